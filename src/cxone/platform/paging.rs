//! A window of the state history, read page by page: which request comes next, and when it is over. Without I/O.

use std::time::Duration;

use super::list::Envelope;
use crate::cxone::base_url::path_segment;
use crate::cxone::error::{ApiError, Endpoint, ErrorKind};
use crate::cxone::reports::ReportRequest;
use crate::domain::time::Window;

/// The filter of a request that names one agent.
const USER: &str = "user";

/// The longest window that all agents are asked about at once: so that one page suffices as a rule.
const LONGEST_FOR_ALL: Duration = Duration::from_secs(3600);

/// The longest window that one agent is asked about at once.
const LONGEST_FOR_ONE: Duration = Duration::from_secs(24 * 3600);

/// How far a slice reaches back into the one before it: it is not known whether the edges of a window belong to it.
const SEAM: Duration = Duration::from_secs(1);

/// Rows that are asked for at once; fewer may come. Source: clients and documentation speak of pages of up to 10,000 rows.
const TOP: &str = "10000";

/// Which calls for the history the tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Calls {
    /// One for all agents.
    #[default]
    AllAgents,
    /// One for each agent.
    EachAgent,
    /// An older one for each agent.
    EachAgentOld,
}

/// What is read at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The history of all agents.
    All(Cursor),
    /// The ids of the agents whose histories come next.
    Listing { ids: Vec<String>, skip: u64 },
    /// One agent's history after the other.
    Each { ids: Vec<String>, place: usize, cursor: Cursor },
    /// Everything has been read.
    Over,
}

/// How far one history has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    slice: Window,
    skip: u64,
    /// The page before in the same slice.
    before: Option<u64>,
}

/// A window of the history of some agents, as far as it has been read.
#[derive(Debug)]
pub struct Paging<R> {
    request: ReportRequest,
    calls: Calls,
    stage: Stage,
    /// The rows of the pages that were read whole.
    pub(super) rows: R,
    pub(super) count: u64,
}

/// The next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A page of histories.
    History { path: String, query: Vec<(&'static str, String)>, agent: Option<String> },
    /// A page of the list of agents.
    Agents { skip: u64 },
    /// Nothing: all has been read.
    Nothing,
}

impl<R: Default> Paging<R> {
    pub(super) fn new(request: ReportRequest, calls: Calls) -> Self {
        let stage = if request.filter.kind == USER {
            let ids = vec![request.filter.id.clone()];
            Stage::Each { ids, place: 0, cursor: Cursor::first(request.window, LONGEST_FOR_ONE) }
        } else if calls == Calls::AllAgents {
            Stage::All(Cursor::first(request.window, LONGEST_FOR_ALL))
        } else {
            Stage::Listing { ids: Vec::new(), skip: 0 }
        };
        Self { request, calls, stage, rows: R::default(), count: 0 }
    }

    /// The rows, once all has been read.
    #[must_use]
    pub fn into_rows(self) -> R {
        self.rows
    }

    /// How many rows have been read so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Which calls are made.
    pub(super) fn calls(&self) -> Calls {
        self.calls
    }

    /// The request that comes next.
    pub(super) fn next(&self) -> Next {
        match &self.stage {
            Stage::All(cursor) => Next::History { path: "/agents/state-history".to_owned(), query: cursor.query(), agent: None },
            Stage::Listing { skip, .. } => Next::Agents { skip: *skip },
            Stage::Each { ids, place, cursor } => {
                let call = if self.calls == Calls::EachAgentOld { "statehistory" } else { "state-history" };
                let path = format!("/agents/{}/{call}", path_segment(&ids[*place]));
                Next::History { path, query: cursor.query(), agent: Some(ids[*place].clone()) }
            }
            Stage::Over => Next::Nothing,
        }
    }

    /// A page of histories was read.
    ///
    /// # Errors
    /// When it is the same page as before, which would come for ever.
    pub(super) fn page(&mut self, page: &Envelope) -> Result<(), ApiError> {
        self.count += page.rows;
        let window = self.request.window;
        match &mut self.stage {
            Stage::All(cursor) => {
                if !cursor.go_on(page, window, LONGEST_FOR_ALL)? {
                    self.stage = Stage::Over;
                }
            }
            Stage::Each { cursor, .. } => {
                if !cursor.go_on(page, window, LONGEST_FOR_ONE)? {
                    self.next_agent();
                }
            }
            Stage::Listing { .. } | Stage::Over => {}
        }
        Ok(())
    }

    /// A page of the list of agents was read.
    pub(super) fn agents(&mut self, page: &Envelope, told: Vec<String>) {
        let Stage::Listing { ids, skip } = &mut self.stage else { return };
        *skip += page.rows;
        let known = ids.len();
        ids.extend(told);
        ids.sort_unstable();
        ids.dedup();
        // A list that repeats itself is over as well.
        if is_last(page, *skip) || ids.len() == known {
            let ids = std::mem::take(ids);
            self.stage = if ids.is_empty() {
                Stage::Over
            } else {
                Stage::Each { ids, place: 0, cursor: Cursor::first(self.request.window, LONGEST_FOR_ONE) }
            };
        }
    }

    /// The call is not there (404, 405). Whether there is another one to try, or another agent to ask for.
    pub(super) fn missing(&mut self) -> bool {
        match (&self.stage, self.calls) {
            (Stage::All(_), _) => {
                self.calls = Calls::EachAgent;
                self.stage = Stage::Listing { ids: Vec::new(), skip: 0 };
                true
            }
            (Stage::Each { .. }, Calls::AllAgents | Calls::EachAgent) => {
                self.calls = Calls::EachAgentOld;
                true
            }
            (Stage::Each { ids, .. }, Calls::EachAgentOld) if ids.len() > 1 => {
                // It may be this agent that is not there, and not the call.
                self.calls = Calls::EachAgent;
                self.next_agent();
                true
            }
            (Stage::Each { .. }, Calls::EachAgentOld) | (Stage::Listing { .. } | Stage::Over, _) => false,
        }
    }

    fn next_agent(&mut self) {
        let Stage::Each { ids, place, cursor } = &mut self.stage else { return };
        *place += 1;
        *cursor = Cursor::first(self.request.window, LONGEST_FOR_ONE);
        if *place == ids.len() {
            self.stage = Stage::Over;
        }
    }
}

impl Cursor {
    fn first(window: Window, longest: Duration) -> Self {
        let slice = Window { from: window.from, to: window.from.plus(longest).min(window.to) };
        Self { slice, skip: 0, before: None }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let Window { from, to } = self.slice;
        let skip = self.skip.to_string();
        vec![("startDate", from.to_string()), ("endDate", to.to_string()), ("top", TOP.to_owned()), ("skip", skip)]
    }

    /// Moves behind `page`, and to the next slice where it was the slice's last one; false when there is none.
    fn go_on(&mut self, page: &Envelope, window: Window, longest: Duration) -> Result<bool, ApiError> {
        self.skip += page.rows;
        if !is_last(page, self.skip) {
            if self.before.replace(page.fingerprint) == Some(page.fingerprint) {
                let detail = "every page of the history has the same rows, as if `skip` meant nothing: what is missing cannot be known";
                return Err(ApiError::new(ErrorKind::Malformed, Endpoint::History, detail));
            }
            return Ok(true);
        }
        if self.slice.to >= window.to {
            return Ok(false);
        }
        let from = self.slice.to.minus(SEAM).max(window.from);
        *self = Self { slice: Window { from, to: self.slice.to.plus(longest).min(window.to) }, skip: 0, before: None };
        Ok(true)
    }
}

/// Whether `page`, with which so many rows have come, is the last one. Nothing is concluded from how many rows a page has.
pub(super) fn is_last(page: &Envelope, received: u64) -> bool {
    page.no_content
        || page.not_modified
        || page.rows == 0
        || page.next.map_or_else(|| page.total.is_some_and(|total| received >= total), |next| !next)
}
