//! A window of the state history, read page by page: which request comes next, and when it is over.
//! Without I/O.

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

/// How far a slice reaches back into the one before it: it is not known whether the edges of a
/// window belong to it.
const SEAM: Duration = Duration::from_secs(1);

/// Rows that are asked for at once; fewer may come. Source: clients and documentation speak of
/// pages of up to 10,000 rows.
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
            Stage::All(cursor) => Next::History {
                path: "/agents/state-history".to_owned(),
                query: cursor.query(),
                agent: None,
            },
            Stage::Listing { skip, .. } => Next::Agents { skip: *skip },
            Stage::Each { ids, place, cursor } => {
                let call = if self.calls == Calls::EachAgentOld {
                    "statehistory"
                } else {
                    "state-history"
                };
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
        self.count += page.rows;
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
                Stage::Each {
                    ids,
                    place: 0,
                    cursor: Cursor::first(self.request.window, LONGEST_FOR_ONE),
                }
            };
        }
    }

    /// The call is not there (404, 405). Whether there is another one to try, or another agent to
    /// ask for.
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
            (Stage::Each { .. }, Calls::EachAgentOld)
            | (Stage::Listing { .. } | Stage::Over, _) => false,
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
        vec![
            ("startDate", from.to_string()),
            ("endDate", to.to_string()),
            ("top", TOP.to_owned()),
            ("skip", skip),
        ]
    }

    /// Moves behind `page`, and to the next slice where it was the slice's last one; false when
    /// there is none.
    fn go_on(
        &mut self,
        page: &Envelope,
        window: Window,
        longest: Duration,
    ) -> Result<bool, ApiError> {
        let received = self.skip.saturating_add(page.rows);
        if !is_last(page, received) {
            if self.before == Some(page.fingerprint) {
                let detail = "every page of the history has the same rows, as if `skip` meant nothing: what is missing cannot be known";
                return Err(ApiError::new(ErrorKind::Malformed, Endpoint::History, detail));
            }
            (self.skip, self.before) = (received, Some(page.fingerprint));
            return Ok(true);
        }
        if self.slice.to >= window.to {
            return Ok(false);
        }
        let from = self.slice.to.minus(SEAM).max(window.from);
        *self = Self {
            slice: Window { from, to: from.plus(longest).min(window.to) },
            skip: 0,
            before: None,
        };
        Ok(true)
    }
}

/// Whether `page`, with which so many rows have come, is the last one. Nothing is concluded from
/// how many rows a page has.
pub(super) fn is_last(page: &Envelope, received: u64) -> bool {
    page.no_content
        || page.not_modified
        || page.rows == 0
        || page.next.map_or_else(|| page.total.is_some_and(|total| received >= total), |next| !next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxone::RowList;
    use crate::domain::report::Filter;
    use crate::domain::time::Timestamp;

    fn paging(hours: u64, user: Option<&str>, calls: Calls) -> Paging<RowList> {
        let from = Timestamp::from_millis(1_698_393_600_000);
        let window = Window { from, to: from.plus(Duration::from_secs(3600 * hours)) };
        let (kind, id) = user.map_or(("all", ""), |id| (USER, id));
        Paging::new(
            ReportRequest { window, filter: Filter { kind: kind.to_owned(), id: id.to_owned() } },
            calls,
        )
    }

    /// Path, start and skip of the next request.
    fn next(paging: &Paging<RowList>) -> String {
        match paging.next() {
            Next::History { path, query, .. } => {
                format!("{path} {} {}", &query[0].1[11..19], query[3].1)
            }
            Next::Agents { skip } => format!("agents {skip}"),
            Next::Nothing => "over".to_owned(),
        }
    }

    fn page(rows: u64, next: Option<bool>, total: Option<u64>) -> Envelope {
        Envelope { rows, next, total, fingerprint: rows, ..Envelope::default() }
    }

    const NOTHING: Envelope = Envelope {
        no_content: true,
        not_modified: false,
        rows: 0,
        total: None,
        next: None,
        last_poll_time: None,
        fingerprint: 0,
    };

    #[test]
    fn a_window_is_read_in_slices_and_each_by_the_rows_that_came() {
        let mut paging = paging(2, None, Calls::AllAgents);
        for (told, after) in [
            (page(7, None, None), "/agents/state-history 08:00:00 7"),
            (page(3, None, None), "/agents/state-history 08:00:00 10"),
            (NOTHING, "/agents/state-history 08:59:59 0"),
            (page(5, Some(true), Some(5)), "/agents/state-history 08:59:59 5"),
            (page(4, Some(false), Some(99)), "/agents/state-history 09:59:58 0"),
            (page(2, None, Some(2)), "over"),
        ] {
            paging.page(&told).unwrap();
            assert_eq!(next(&paging), after);
        }
        assert_eq!(paging.count(), 21);
    }

    #[test]
    fn pages_that_repeat_themselves_are_no_answer() {
        let mut paging = paging(1, None, Calls::AllAgents);
        assert!(paging.page(&page(7, Some(true), None)).is_ok());
        for _ in 0..2 {
            assert_eq!(
                paging.page(&page(7, Some(true), None)).unwrap_err().kind,
                ErrorKind::Malformed
            );
            assert_eq!(
                (next(&paging).as_str(), paging.count()),
                ("/agents/state-history 08:00:00 7", 7),
                "the same request comes next"
            );
        }
    }

    #[test]
    fn where_the_call_for_all_agents_is_missing_each_is_asked_for() {
        let mut paging = paging(30, None, Calls::AllAgents);
        assert!(paging.missing());
        assert_eq!(next(&paging), "agents 0");
        paging.agents(&page(2, Some(true), None), vec!["8".into(), "7".into()]);
        assert_eq!(next(&paging), "agents 2");
        paging.agents(&page(1, Some(false), None), vec!["8/9".into()]);
        assert_eq!(next(&paging), "/agents/7/state-history 08:00:00 0");
        paging.page(&NOTHING).unwrap();
        assert_eq!(next(&paging), "/agents/7/state-history 07:59:59 0");
        paging.page(&NOTHING).unwrap();
        assert!(paging.missing());
        assert_eq!(next(&paging), "/agents/8/statehistory 08:00:00 0");
        assert!(paging.missing(), "the agent may be gone");
        assert_eq!(next(&paging), "/agents/8%2F9/state-history 08:00:00 0");
        paging.page(&NOTHING).unwrap();
        paging.page(&NOTHING).unwrap();
        assert_eq!((next(&paging).as_str(), paging.missing()), ("over", false));
    }

    #[test]
    fn one_agent_that_is_not_there_is_told() {
        let mut paging = paging(1, Some("7"), Calls::AllAgents);
        assert_eq!(next(&paging), "/agents/7/state-history 08:00:00 0");
        assert!(paging.missing());
        assert_eq!(next(&paging), "/agents/7/statehistory 08:00:00 0");
        assert!(!paging.missing());
    }

    #[test]
    fn a_list_of_agents_that_repeats_itself_or_is_empty_ends() {
        let mut paging = paging(1, None, Calls::EachAgent);
        paging.agents(&page(1, None, None), vec!["7".into()]);
        paging.agents(&page(1, None, None), vec!["7".into()]);
        assert_eq!(next(&paging), "/agents/7/state-history 08:00:00 0");
        let mut nobody = super::tests::paging(1, None, Calls::EachAgent);
        nobody.agents(&NOTHING, Vec::new());
        assert_eq!(next(&nobody), "over");
    }
}
