//! When the live lists are asked for, and how their pages become one answer.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use super::{LiveRow, SkillRow};
use crate::plan::backoff::{Backoff, Random};
use crate::time::{Monotonic, Now, Timestamp};

/// The most rows that one list may have, over all its pages.
const MAX_ROWS: u64 = 1_000_000;

/// So many pages that are the same as the page before end a list: one may come again because so
/// many agents changed before it, all of them only where `skip` means nothing.
const MOST_REPEATS: u8 = 3;

/// How far before what an answer told of the next one goes back: CXone's machines need not tell the
/// same time, nor a change at once.
const MARGIN: Duration = Duration::from_secs(10);

/// A feed that fails is asked again after this at the latest, unless its interval is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A feed is stale only after this many of its intervals.
const STALE_INTERVALS: u32 = 3;

/// What is asked for again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// The agents' states.
    AgentStates,
    /// What the skills are doing.
    SkillActivity,
}

impl Feed {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AgentStates, Self::SkillActivity];

    /// The value of the label `feed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentStates => "agent_states",
            Self::SkillActivity => "skill_activity",
        }
    }
}

/// What the plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRules {
    /// How often each feed is asked for.
    pub interval: Duration,
    /// How often the whole list of agents' states is, and not only what changed.
    pub full_every: Duration,
    /// After this long without a success a feed is stale, if that is longer than three intervals.
    pub max_staleness: Duration,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedRequest {
    /// A page of the agents' states, behind the first `skip` rows: those that changed since then,
    /// or all.
    States {
        /// `updatedSince`.
        since: Option<String>,
        /// `skip`.
        skip: u64,
    },
    /// A page of the skills, behind the first `skip`.
    Skills {
        /// `skip`.
        skip: u64,
    },
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage<R> {
    /// The rows that make sense.
    pub rows: Vec<R>,
    /// How many rows it had, with those that make none.
    pub received: u64,
    /// `lastPollTime`: the moment that it tells of.
    pub poll_time: Option<Timestamp>,
    /// `totalRecords`: of all pages.
    pub total: Option<u64>,
    /// Whether it links to a next page; `None` when it has no links at all.
    pub next: Option<bool>,
    /// 304: nothing changed.
    pub unchanged: bool,
}

impl<R> Default for FeedPage<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            received: 0,
            poll_time: None,
            total: None,
            next: None,
            unchanged: false,
        }
    }
}

/// What a whole list tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedUpdate<R> {
    /// Everything.
    Full(Vec<R>, Timestamp),
    /// What changed.
    Changes(Vec<R>, Timestamp),
}

/// How a feed is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlanStatus {
    /// Whether the newest answer was one; `None` before there was any.
    pub up: Option<bool>,
    /// When it last succeeded.
    pub last_success: Option<Now>,
    /// Whether it has not for too long.
    pub stale: bool,
}

/// Why a list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// It has more rows than are read.
    TooLong,
    /// The same page comes again and again.
    Repeats,
    /// It has so many rows, and none of them makes sense.
    NoValidRow(u64),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the list has more than {MAX_ROWS} rows"),
            Self::Repeats => f.write_str(
                "every page of the list has the same rows, as if `skip` meant nothing: what is missing cannot be known",
            ),
            Self::NoValidRow(rows) => {
                write!(f, "the list has {rows} rows, and not one that can be used")
            }
        }
    }
}

/// The pages of a list so far.
#[derive(Debug)]
struct ListRead<R> {
    since: Option<String>,
    /// CXone's time when the first page was asked for.
    began: Timestamp,
    /// CXone's time when the first page came.
    first_came: Timestamp,
    poll_time: Option<Timestamp>,
    rows: Vec<R>,
    received: u64,
    ids: HashSet<String>,
    total: Option<u64>,
    /// Whether the list became shorter meanwhile: then some rows moved before the place that is
    /// read, and were not.
    shrank: bool,
    /// How many of the newest pages are the same as the one before.
    repeats: u8,
    /// Rows of pages that are the same as the one before; they are not kept.
    repeated: u64,
}

impl<R: PartialEq> ListRead<R> {
    fn new(since: Option<String>, began: Timestamp) -> Self {
        Self {
            since,
            began,
            first_came: began,
            poll_time: None,
            rows: Vec::new(),
            received: 0,
            ids: HashSet::new(),
            total: None,
            shrank: false,
            repeats: 0,
            repeated: 0,
        }
    }

    /// Takes a page in that came at CXone's time `now`; whether there are more. A page that came
    /// before is no end: what changes meanwhile moves the others behind the place that is read.
    fn take(
        &mut self,
        page: FeedPage<R>,
        id: fn(&R) -> &str,
        now: Timestamp,
    ) -> Result<bool, ListError> {
        // The first page's time: what changes while the others are read is told again.
        if self.received == 0 {
            (self.poll_time, self.first_came) = (page.poll_time, now);
        }
        let is_repeated = !page.rows.is_empty() && self.rows.ends_with(&page.rows);
        self.repeats = if is_repeated { self.repeats.saturating_add(1) } else { 0 };
        self.shrank |= page.total.zip(self.total).is_some_and(|(now, before)| now < before);
        self.total = page.total.or(self.total);
        self.received = self.received.saturating_add(page.received);
        if is_repeated {
            self.repeated += page.received;
        } else {
            self.ids.extend(page.rows.iter().map(|row| id(row).to_owned()));
            self.rows.extend(page.rows);
        }
        let twice = u64::try_from(self.rows.len() - self.ids.len()).unwrap_or(u64::MAX);
        let twice = twice.saturating_add(self.repeated);
        let linked = page.next.unwrap_or_else(|| {
            page.total.is_some_and(|total| total > self.received.saturating_sub(twice))
        });
        let more = page.received > 0 && linked;
        if more && self.received > MAX_ROWS {
            return Err(ListError::TooLong);
        }
        if more && self.repeats >= MOST_REPEATS {
            return Err(ListError::Repeats);
        }
        if !more && self.since.is_none() && self.received > 0 && self.rows.is_empty() {
            return Err(ListError::NoValidRow(self.received));
        }
        Ok(more)
    }
}

/// When one feed is asked for.
#[derive(Debug)]
struct FeedSchedule {
    due: Monotonic,
    under_way: bool,
    backoff: Backoff,
    up: Option<bool>,
    last_success: Option<Now>,
}

/// What to ask when.
#[derive(Debug)]
pub struct LivePlan {
    rules: LiveRules,
    random: Random,
    started: Monotonic,
    states: FeedSchedule,
    skills: FeedSchedule,
    walk_states: Option<ListRead<LiveRow>>,
    walk_skills: Option<ListRead<SkillRow>>,
    since: Option<String>,
    /// When the whole list is next asked for.
    full_due: Monotonic,
}

impl LivePlan {
    /// A plan that begins with both feeds at once, the whole list first.
    #[must_use]
    pub fn new(rules: LiveRules, random: Random, now: Monotonic) -> Self {
        let backoff = Backoff::new(rules.interval, LONGEST_WAIT.max(rules.interval));
        let schedule = || FeedSchedule {
            due: now,
            under_way: false,
            backoff: backoff.clone(),
            up: None,
            last_success: None,
        };
        Self {
            rules,
            random,
            started: now,
            states: schedule(),
            skills: schedule(),
            walk_states: None,
            walk_skills: None,
            since: None,
            full_due: now,
        }
    }

    /// Continues with what the plan before a reload knew of the feeds: when they last succeeded,
    /// and whether they fail. Both are asked for at once, the whole list first; with `waits`, one
    /// that fails not before it would have been.
    pub fn carry_on(&mut self, before: &Self, waits: bool) {
        self.started = before.started;
        for (schedule, past) in
            [(&mut self.states, &before.states), (&mut self.skills, &before.skills)]
        {
            (schedule.up, schedule.last_success) = (past.up, past.last_success);
            schedule.backoff = past.backoff.clone();
            if waits && past.up == Some(false) {
                schedule.due = past.due;
            }
        }
    }

    /// The request that is due, if there is one; `cxone_utc` is CXone's now. It is under way until
    /// it is answered.
    pub fn next(&mut self, now: Monotonic, cxone_utc: Timestamp) -> Option<FeedRequest> {
        if self.states.begin(now) {
            let since = self.since.clone().filter(|_| now < self.full_due);
            let walk = self.walk_states.get_or_insert_with(|| ListRead::new(since, cxone_utc));
            return Some(FeedRequest::States { since: walk.since.clone(), skip: walk.received });
        }
        if self.skills.begin(now) {
            let walk = self.walk_skills.get_or_insert_with(|| ListRead::new(None, cxone_utc));
            return Some(FeedRequest::Skills { skip: walk.received });
        }
        None
    }

    /// When there is something to ask for next; `None` while all of it is under way.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        [&self.states, &self.skills]
            .into_iter()
            .filter(|feed| !feed.under_way)
            .map(|feed| feed.due)
            .min()
    }

    /// A page of the agents' states came. What the whole list tells, when it was the last one.
    ///
    /// # Errors
    /// When the list cannot be used; it counts as a failure.
    pub fn states(
        &mut self,
        now: Now,
        cxone_utc: Timestamp,
        page: FeedPage<LiveRow>,
    ) -> Result<Option<FeedUpdate<LiveRow>>, ListError> {
        let Some(walk) = &mut self.walk_states else { return Ok(None) };
        let unchanged = page.unchanged;
        match walk.take(page, |row| &row.agent, cxone_utc) {
            Ok(true) => {
                self.states.go_on(now.instant);
                return Ok(None);
            }
            Ok(false) => {}
            Err(fault) => {
                self.failed(Feed::AgentStates, now.instant, None);
                return Err(fault);
            }
        }
        let Some(walk) = self.walk_states.take() else { return Ok(None) };
        self.states.succeeded(now, self.rules.interval, &mut self.random);
        // Never later than when it was told: nobody is observed in the future.
        let observed = walk.poll_time.map_or(walk.began, |time| time.min(walk.first_came));
        let is_all = walk.since.is_none() && !unchanged && !walk.shrank;
        if is_all {
            self.full_due = now.instant.plus(jittered(self.rules.full_every, &mut self.random));
        }
        // An answer without a time of its own, or of which rows may be missing, is asked for again
        // from where this one began: more than changed, never less.
        let told_to = walk.poll_time.filter(|_| !walk.shrank).map(|time| time.min(walk.began));
        self.since = match (told_to, walk.since) {
            (None, Some(since)) => Some(since),
            (told_to, _) => Some(told_to.unwrap_or(walk.began).minus(MARGIN).to_string()),
        };
        Ok(Some(if is_all {
            FeedUpdate::Full(walk.rows, observed)
        } else {
            FeedUpdate::Changes(walk.rows, observed)
        }))
    }

    /// A page of the skills came. What the whole list tells, when it was the last one.
    ///
    /// # Errors
    /// When the list cannot be used; it counts as a failure.
    pub fn skills(
        &mut self,
        now: Now,
        cxone_utc: Timestamp,
        page: FeedPage<SkillRow>,
    ) -> Result<Option<FeedUpdate<SkillRow>>, ListError> {
        let Some(walk) = &mut self.walk_skills else { return Ok(None) };
        let unchanged = page.unchanged;
        match walk.take(page, |row| &row.skill, cxone_utc) {
            Ok(true) => {
                self.skills.go_on(now.instant);
                return Ok(None);
            }
            Ok(false) => {}
            Err(fault) => {
                self.failed(Feed::SkillActivity, now.instant, None);
                return Err(fault);
            }
        }
        let Some(walk) = self.walk_skills.take() else { return Ok(None) };
        self.skills.succeeded(now, self.rules.interval, &mut self.random);
        Ok(Some(if unchanged {
            FeedUpdate::Changes(walk.rows, walk.began)
        } else {
            FeedUpdate::Full(walk.rows, walk.began)
        }))
    }

    /// A request failed: the pages so far count for nothing. `retry_after` is how long CXone asks
    /// to be left alone.
    pub fn failed(&mut self, feed: Feed, now: Monotonic, retry_after: Option<Duration>) {
        let schedule = match feed {
            Feed::AgentStates => {
                self.walk_states = None;
                &mut self.states
            }
            Feed::SkillActivity => {
                self.walk_skills = None;
                &mut self.skills
            }
        };
        schedule.up = Some(false);
        schedule.under_way = false;
        schedule.due = now
            .plus(schedule.backoff.at_least(&mut self.random).max(retry_after.unwrap_or_default()));
    }

    /// How a feed is doing.
    #[must_use]
    pub fn status(&self, feed: Feed, now: Monotonic) -> FeedPlanStatus {
        let schedule = match feed {
            Feed::AgentStates => &self.states,
            Feed::SkillActivity => &self.skills,
        };
        let since = schedule.last_success.map_or(self.started, |success| success.instant);
        let stale = now.since(since)
            > self.rules.max_staleness.max(self.rules.interval.saturating_mul(STALE_INTERVALS));
        FeedPlanStatus { up: schedule.up, last_success: schedule.last_success, stale }
    }
}

impl FeedSchedule {
    fn begin(&mut self, now: Monotonic) -> bool {
        let begins = !self.under_way && self.due <= now;
        self.under_way |= begins;
        begins
    }

    /// The next page is due at once.
    fn go_on(&mut self, now: Monotonic) {
        self.under_way = false;
        self.due = now;
    }

    fn succeeded(&mut self, now: Now, interval: Duration, random: &mut Random) {
        self.under_way = false;
        self.up = Some(true);
        self.last_success = Some(now);
        self.backoff.reset();
        self.due = now.instant.plus(jittered(interval, random));
    }
}

/// From nine to eleven tenths of `span`, so that many exporters do not ask in step.
fn jittered(span: Duration, random: &mut Random) -> Duration {
    span * 9 / 10 + random.up_to(span / 5)
}
