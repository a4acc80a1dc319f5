//! When the live lists are asked for, and how their pages become one answer.

use std::collections::HashSet;
use std::time::Duration;

use super::{LiveRow, SkillRow};
use crate::domain::backoff::{Backoff, Random};
use crate::domain::time::{Monotonic, Now, Timestamp};

/// The most rows that one list may have, over all its pages.
const MAX_ROWS: u64 = 1_000_000;

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

/// `lastPollTime`: the moment that an answer tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollTime {
    /// As CXone wrote it: it is given back in the same words.
    pub text: String,
    /// What it means.
    pub time: Timestamp,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
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
pub struct Page<R> {
    /// The rows that make sense.
    pub rows: Vec<R>,
    /// How many rows it had, with those that make none.
    pub received: u64,
    /// `lastPollTime`.
    pub poll_time: Option<PollTime>,
    /// `totalRecords`: of all pages.
    pub total: Option<u64>,
    /// Whether it links to a next page; `None` when it has no links at all.
    pub next: Option<bool>,
    /// 304: nothing changed.
    pub unchanged: bool,
}

impl<R> Default for Page<R> {
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
pub enum Told<R> {
    /// Everything.
    All(Vec<R>, Timestamp),
    /// What changed.
    Changes(Vec<R>, Timestamp),
}

/// How a feed is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStanding {
    /// Whether the newest answer was one; `None` before there was any.
    pub up: Option<bool>,
    /// When it last succeeded.
    pub last_success: Option<Now>,
    /// Whether it has not for too long.
    pub stale: bool,
}

/// The pages of a list so far.
#[derive(Debug)]
struct Walk<R> {
    since: Option<String>,
    /// CXone's time when the first page was asked for.
    began: Timestamp,
    poll_time: Option<PollTime>,
    rows: Vec<R>,
    received: u64,
    ids: HashSet<String>,
}

impl<R> Walk<R> {
    fn new(since: Option<String>, began: Timestamp) -> Self {
        Self { since, began, poll_time: None, rows: Vec::new(), received: 0, ids: HashSet::new() }
    }

    /// Takes a page in; whether there are more.
    fn take(&mut self, page: Page<R>, id: fn(&R) -> &str) -> bool {
        // The first page's time: what changes while the others are read is told again.
        if self.received == 0 {
            self.poll_time = page.poll_time;
        }
        self.received = self.received.saturating_add(page.received);
        let linked =
            page.next.unwrap_or_else(|| page.total.is_some_and(|total| total > self.received));
        let known = self.ids.len();
        self.ids.extend(page.rows.iter().map(|row| id(row).to_owned()));
        // A server that knows no `skip` would tell the same page for ever.
        let is_new = self.ids.len() > known || page.rows.is_empty();
        self.rows.extend(page.rows);
        page.received > 0 && linked && is_new
    }
}

/// When one feed is asked for.
#[derive(Debug)]
struct Schedule {
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
    states: Schedule,
    skills: Schedule,
    walk_states: Option<Walk<LiveRow>>,
    walk_skills: Option<Walk<SkillRow>>,
    since: Option<String>,
    /// When the whole list is next asked for.
    full_due: Monotonic,
}

impl LivePlan {
    /// A plan that begins with both feeds at once, the whole list first.
    #[must_use]
    pub fn new(rules: LiveRules, random: Random, now: Monotonic) -> Self {
        let backoff = Backoff::new(rules.interval, LONGEST_WAIT.max(rules.interval));
        let schedule = || Schedule {
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

    /// The request that is due, if there is one; `cxone_utc` is CXone's now. It is under way until
    /// it is answered.
    pub fn next(&mut self, now: Monotonic, cxone_utc: Timestamp) -> Option<Ask> {
        if self.states.begin(now) {
            let since = self.since.clone().filter(|_| now < self.full_due);
            let walk = self.walk_states.get_or_insert_with(|| Walk::new(since, cxone_utc));
            return Some(Ask::States { since: walk.since.clone(), skip: walk.received });
        }
        if self.skills.begin(now) {
            let walk = self.walk_skills.get_or_insert_with(|| Walk::new(None, cxone_utc));
            return Some(Ask::Skills { skip: walk.received });
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
    /// When the list is too long; it counts as a failure.
    pub fn states(
        &mut self,
        now: Now,
        cxone_utc: Timestamp,
        page: Page<LiveRow>,
    ) -> Result<Option<Told<LiveRow>>, String> {
        let Some(walk) = &mut self.walk_states else { return Ok(None) };
        let unchanged = page.unchanged;
        if walk.take(page, |row| &row.agent) {
            if walk.received > MAX_ROWS {
                self.failed(Feed::AgentStates, now.instant, None);
                return Err(too_long());
            }
            self.states.go_on(now.instant);
            return Ok(None);
        }
        let Some(walk) = self.walk_states.take() else { return Ok(None) };
        self.states.succeeded(now, self.rules.interval, &mut self.random);
        // Never later than CXone's now: nobody is observed in the future.
        let observed =
            walk.poll_time.as_ref().map_or(walk.began, |poll_time| poll_time.time.min(cxone_utc));
        let is_all = walk.since.is_none() && !unchanged;
        if is_all {
            self.full_due = now.instant.plus(jittered(self.rules.full_every, &mut self.random));
        }
        // Without a time of its own, the answer is asked for again from where this one began: more
        // than changed, never less.
        let since = walk.poll_time.map(|poll_time| poll_time.text).or(walk.since);
        self.since = Some(since.unwrap_or_else(|| walk.began.to_string()));
        Ok(Some(if is_all {
            Told::All(walk.rows, observed)
        } else {
            Told::Changes(walk.rows, observed)
        }))
    }

    /// A page of the skills came. What the whole list tells, when it was the last one.
    ///
    /// # Errors
    /// When the list is too long; it counts as a failure.
    pub fn skills(
        &mut self,
        now: Now,
        page: Page<SkillRow>,
    ) -> Result<Option<Told<SkillRow>>, String> {
        let Some(walk) = &mut self.walk_skills else { return Ok(None) };
        let unchanged = page.unchanged;
        if walk.take(page, |row| &row.skill) {
            if walk.received > MAX_ROWS {
                self.failed(Feed::SkillActivity, now.instant, None);
                return Err(too_long());
            }
            self.skills.go_on(now.instant);
            return Ok(None);
        }
        let Some(walk) = self.walk_skills.take() else { return Ok(None) };
        self.skills.succeeded(now, self.rules.interval, &mut self.random);
        Ok(Some(if unchanged {
            Told::Changes(walk.rows, walk.began)
        } else {
            Told::All(walk.rows, walk.began)
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
    pub fn standing(&self, feed: Feed, now: Monotonic) -> FeedStanding {
        let schedule = match feed {
            Feed::AgentStates => &self.states,
            Feed::SkillActivity => &self.skills,
        };
        let since = schedule.last_success.map_or(self.started, |success| success.instant);
        let stale = now.since(since)
            > self.rules.max_staleness.max(self.rules.interval.saturating_mul(STALE_INTERVALS));
        FeedStanding { up: schedule.up, last_success: schedule.last_success, stale }
    }
}

impl Schedule {
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

fn too_long() -> String {
    format!("the list has more than {MAX_ROWS} rows")
}
