//! When the live lists are requested, and how their pages become one update.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use super::{LiveRow, SkillRow};
use crate::plan::backoff::{Backoff, Random};
use crate::time::{Monotonic, Now, Timestamp};

/// The most rows that one list may have, over all its pages.
const MAX_ROWS: u64 = 1_000_000;

/// This many pages in a row that are the same as the page before end a list. One may repeat since
/// many agents changed meanwhile; all of them do only where `skip` has no effect.
const MAX_REPEATS: u8 = 3;

/// How far the next request reaches back behind what was reported: CXone's machines may differ in
/// their clocks, and in when they see a change.
const MARGIN: Duration = Duration::from_secs(10);

/// A feed that fails is retried after this at the latest, unless its interval is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// A feed is stale only after this many of its intervals.
const STALE_INTERVALS: u32 = 3;

/// A list that is requested again and again.
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
    /// How often each feed is requested.
    pub interval: Duration,
    /// How often the whole list of agents' states is requested, and not only what changed.
    pub full_every: Duration,
    /// After this long without a success a feed is stale, if that is longer than three intervals.
    pub max_staleness: Duration,
}

/// A request for a page of a list.
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
    /// The valid rows.
    pub rows: Vec<R>,
    /// How many rows it had, invalid ones included.
    pub received: u64,
    /// `lastPollTime`: the time as of which it reports.
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

/// What a list reports, read whole, and as of when.
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
    /// Whether the newest answer was a success; `None` before the first.
    pub up: Option<bool>,
    /// When it last succeeded.
    pub last_success: Option<Now>,
    /// Whether it has not succeeded for too long.
    pub stale: bool,
}

/// Why a list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// It has more rows than are read.
    TooLong,
    /// The same page comes again and again.
    Repeats,
    /// It has this many rows, and none is valid.
    NoValidRow(u64),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the list has more than {MAX_ROWS} rows"),
            Self::Repeats => f.write_str(
                "every page of the list has the same rows, as if `skip` had no effect: rows may be missing",
            ),
            Self::NoValidRow(rows) => {
                write!(f, "the list has {rows} rows, none of them valid")
            }
        }
    }
}

/// The pages of a list so far.
#[derive(Debug)]
struct ListRead<R> {
    since: Option<String>,
    /// CXone's time when the first page was requested.
    began: Timestamp,
    /// CXone's time when the first page came.
    first_came: Timestamp,
    poll_time: Option<Timestamp>,
    rows: Vec<R>,
    received: u64,
    ids: HashSet<String>,
    total: Option<u64>,
    /// Whether the list became shorter meanwhile: rows may have moved from behind `skip` to before
    /// it, and were not read.
    shrank: bool,
    unchanged: bool,
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
            unchanged: false,
            repeats: 0,
            repeated: 0,
        }
    }

    /// Adds a page that came at CXone's time `now`. Returns whether there are more.
    fn add(
        &mut self,
        page: FeedPage<R>,
        id: fn(&R) -> &str,
        now: Timestamp,
    ) -> Result<bool, ListError> {
        // The first page's time: what changes while the others are read is reported again.
        if self.received == 0 {
            (self.poll_time, self.first_came) = (page.poll_time, now);
        }
        self.unchanged = page.unchanged;
        // A page that is the same as the one before is not the end of the list: agents that change
        // meanwhile move others behind `skip`, where they are read a second time.
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
        let is_linked = page.next.unwrap_or_else(|| {
            page.total.is_some_and(|total| total > self.received.saturating_sub(twice))
        });
        let has_more = page.received > 0 && is_linked;
        if has_more && self.received > MAX_ROWS {
            return Err(ListError::TooLong);
        }
        if has_more && self.repeats >= MAX_REPEATS {
            return Err(ListError::Repeats);
        }
        if !has_more && self.since.is_none() && self.received > 0 && self.rows.is_empty() {
            return Err(ListError::NoValidRow(self.received));
        }
        Ok(has_more)
    }
}

/// When one feed is requested, and what has been read of its list.
#[derive(Debug)]
struct FeedSchedule<R> {
    due: Monotonic,
    in_progress: bool,
    list: Option<ListRead<R>>,
    backoff: Backoff,
    up: Option<bool>,
    last_success: Option<Now>,
}

impl<R: PartialEq> FeedSchedule<R> {
    fn new(rules: &LiveRules, now: Monotonic) -> Self {
        Self {
            due: now,
            in_progress: false,
            list: None,
            backoff: Backoff::new(rules.interval, MAX_BACKOFF.max(rules.interval)),
            up: None,
            last_success: None,
        }
    }

    fn restore(&mut self, past: &Self, keeps_waits: bool) {
        (self.up, self.last_success) = (past.up, past.last_success);
        self.backoff = past.backoff.clone();
        if keeps_waits && past.up == Some(false) {
            self.due = past.due;
        }
    }

    /// The list whose next page is to be requested now.
    fn begin(
        &mut self,
        now: Monotonic,
        list: impl FnOnce() -> ListRead<R>,
    ) -> Option<&ListRead<R>> {
        if self.in_progress || self.due > now {
            return None;
        }
        self.in_progress = true;
        Some(self.list.get_or_insert_with(list))
    }

    /// Takes a page in. Returns the whole list if it was the last one.
    fn take(
        &mut self,
        page: FeedPage<R>,
        id: fn(&R) -> &str,
        (now, cxone_utc): (Now, Timestamp),
        interval: Duration,
        random: &mut Random,
    ) -> Result<Option<ListRead<R>>, ListError> {
        let Some(list) = &mut self.list else { return Ok(None) };
        let has_more = list
            .add(page, id, cxone_utc)
            .inspect_err(|_| self.failed(now.instant, None, random))?;
        self.in_progress = false;
        if has_more {
            self.due = now.instant;
            return Ok(None);
        }
        self.up = Some(true);
        self.last_success = Some(now);
        self.backoff.reset();
        self.due = now.instant.plus(jittered(interval, random));
        Ok(self.list.take())
    }

    fn failed(&mut self, now: Monotonic, retry_after: Option<Duration>, random: &mut Random) {
        self.list = None;
        self.in_progress = false;
        self.up = Some(false);
        let wait = self.backoff.at_least(random).max(retry_after.unwrap_or_default());
        self.due = now.plus(wait);
    }

    fn wake_at(&self) -> Option<Monotonic> {
        (!self.in_progress).then_some(self.due)
    }

    fn status(&self, since: Monotonic, rules: &LiveRules, now: Monotonic) -> FeedPlanStatus {
        let since = self.last_success.map_or(since, |success| success.instant);
        let longest = rules.max_staleness.max(rules.interval.saturating_mul(STALE_INTERVALS));
        let stale = now.since(since) > longest;
        FeedPlanStatus { up: self.up, last_success: self.last_success, stale }
    }
}

/// When the live feeds are requested.
#[derive(Debug)]
pub struct LivePlan {
    rules: LiveRules,
    random: Random,
    started: Monotonic,
    states: FeedSchedule<LiveRow>,
    skills: FeedSchedule<SkillRow>,
    since: Option<String>,
    /// When the whole list is next requested.
    full_due: Monotonic,
}

impl LivePlan {
    /// A plan that begins with both feeds at once, the whole list first.
    #[must_use]
    pub fn new(rules: LiveRules, random: Random, now: Monotonic) -> Self {
        Self {
            rules,
            random,
            started: now,
            states: FeedSchedule::new(&rules, now),
            skills: FeedSchedule::new(&rules, now),
            since: None,
            full_due: now,
        }
    }

    /// Continues with what the plan before a reload knew of the feeds: when they last succeeded,
    /// and whether they fail. Both are requested at once, the whole list first; with `keeps_waits`, a
    /// feed that fails is not retried earlier than before.
    pub fn restore(&mut self, before: &Self, keeps_waits: bool) {
        self.started = before.started;
        self.states.restore(&before.states, keeps_waits);
        self.skills.restore(&before.skills, keeps_waits);
    }

    /// The request that is due, if there is one; `cxone_utc` is CXone's now. It is in progress
    /// until it is answered.
    pub fn next(&mut self, now: Monotonic, cxone_utc: Timestamp) -> Option<FeedRequest> {
        let since = || self.since.clone().filter(|_| now < self.full_due);
        if let Some(list) = self.states.begin(now, || ListRead::new(since(), cxone_utc)) {
            return Some(FeedRequest::States { since: list.since.clone(), skip: list.received });
        }
        let list = self.skills.begin(now, || ListRead::new(None, cxone_utc))?;
        Some(FeedRequest::Skills { skip: list.received })
    }

    /// When something is due next; `None` while both feeds are in progress.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.states.wake_at().into_iter().chain(self.skills.wake_at()).min()
    }

    /// A page of the agents' states came. Returns the update when it was the last page.
    ///
    /// # Errors
    /// When the list cannot be used; it counts as a failure.
    pub fn states(
        &mut self,
        now: Now,
        cxone_utc: Timestamp,
        page: FeedPage<LiveRow>,
    ) -> Result<Option<FeedUpdate<LiveRow>>, ListError> {
        let (interval, random) = (self.rules.interval, &mut self.random);
        let Some(list) =
            self.states.take(page, |row| &row.agent, (now, cxone_utc), interval, random)?
        else {
            return Ok(None);
        };
        // Never later than when it was reported: nobody is observed in the future.
        let observed = list.poll_time.map_or(list.began, |time| time.min(list.first_came));
        let is_full = list.since.is_none() && !list.unchanged && !list.shrank;
        if is_full {
            self.full_due = now.instant.plus(jittered(self.rules.full_every, random));
        }
        // After an answer without a time of its own, or of which rows may be missing, the next one
        // goes back to where this one began: it reports more than what changed, never less.
        let known_to = list.poll_time.filter(|_| !list.shrank).map(|time| time.min(list.began));
        self.since = match (known_to, list.since) {
            (None, Some(since)) => Some(since),
            (known_to, _) => Some(known_to.unwrap_or(list.began).minus(MARGIN).to_string()),
        };
        Ok(Some(if is_full {
            FeedUpdate::Full(list.rows, observed)
        } else {
            FeedUpdate::Changes(list.rows, observed)
        }))
    }

    /// A page of the skills came. Returns the whole list when it was the last page, unless nothing
    /// changed.
    ///
    /// # Errors
    /// When the list cannot be used; it counts as a failure.
    pub fn skills(
        &mut self,
        now: Now,
        cxone_utc: Timestamp,
        page: FeedPage<SkillRow>,
    ) -> Result<Option<FeedUpdate<SkillRow>>, ListError> {
        let (interval, random) = (self.rules.interval, &mut self.random);
        let list = self.skills.take(page, |row| &row.skill, (now, cxone_utc), interval, random)?;
        Ok(list.map(|list| {
            let update = if list.unchanged { FeedUpdate::Changes } else { FeedUpdate::Full };
            update(list.rows, list.began)
        }))
    }

    /// A request failed: the pages so far are dropped. `retry_after` is how long CXone asks to
    /// wait.
    pub fn failed(&mut self, feed: Feed, now: Monotonic, retry_after: Option<Duration>) {
        match feed {
            Feed::AgentStates => self.states.failed(now, retry_after, &mut self.random),
            Feed::SkillActivity => self.skills.failed(now, retry_after, &mut self.random),
        }
    }

    /// How a feed is doing.
    #[must_use]
    pub fn status(&self, feed: Feed, now: Monotonic) -> FeedPlanStatus {
        match feed {
            Feed::AgentStates => self.states.status(self.started, &self.rules, now),
            Feed::SkillActivity => self.skills.status(self.started, &self.rules, now),
        }
    }
}

/// `span`, give or take a tenth, so that many exporters do not request in step.
fn jittered(span: Duration, random: &mut Random) -> Duration {
    span * 9 / 10 + random.up_to(span / 5)
}
