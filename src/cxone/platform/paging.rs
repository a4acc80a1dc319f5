//! A window of the state history, read page by page: which request comes next, and when it is over.
//! Without I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::list::Envelope;
use crate::base_url::path_segment;
use crate::cxone::error::{ApiEndpoint, ApiError, ErrorKind};
use crate::cxone::reports::HistoryRequest;
use crate::cxone::rows::RowSink;
use cxone_core::time::{Timestamp, Window};

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

/// How long an agent that is no longer listed is still asked for: its last rows may be late, and a
/// tenant may list only those who are logged in.
const GONE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After this many pages in a row that repeat the page before, the list is given up. One may come
/// again because agents were added in front of it; several do only where the server ignores `skip`.
const MOST_REPEATS: u8 = 3;

/// Which calls for the history the tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HistoryCalls {
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
enum PagingStage {
    /// The history of all agents.
    All(Cursor),
    /// The ids of the agents whose histories come next.
    Listing(AgentListing),
    /// One agent's history after the other.
    Each { agents: Vec<DueAgent>, index: usize, cursor: Cursor },
    /// Everything has been read.
    Over,
}

/// The list of agents, as far as it has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AgentListing {
    ids: Vec<String>,
    skip: u64,
    /// How many ids there were, those included that came twice.
    received: usize,
    before: Option<u64>,
    repeats: u8,
}

/// An agent whose history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DueAgent {
    id: String,
    /// Where that begins: before the window, if it could not be read before.
    from: Timestamp,
}

/// The agents that were listed or reported in the last day.
#[derive(Debug, Default)]
pub(crate) struct Roster(BTreeMap<String, KnownAgent>);

#[derive(Debug)]
struct KnownAgent {
    /// When it was last listed, or last changed its state.
    seen: Timestamp,
    /// From when on its history could not be read.
    owed: Option<Timestamp>,
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
    request: HistoryRequest,
    calls: HistoryCalls,
    stage: PagingStage,
    /// Where each agent is asked for: those whose histories were read.
    answered: Option<Vec<String>>,
    /// The rows of the pages that were read whole.
    pub(crate) rows: R,
    pub(crate) count: u64,
}

/// The next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextRequest {
    /// A page of histories.
    History { path: String, query: Vec<(&'static str, String)>, agent: Option<String> },
    /// A page of the list of agents.
    Agents { skip: u64 },
    /// Nothing: all has been read.
    Nothing,
}

impl<R: Default> Paging<R> {
    pub(crate) fn new(request: HistoryRequest, calls: HistoryCalls) -> Self {
        let window = request.window;
        let stage = if request.filter.kind == USER {
            let agents = vec![DueAgent { id: request.filter.id.clone(), from: window.from }];
            PagingStage::Each { agents, index: 0, cursor: Cursor::first(window, LONGEST_FOR_ONE) }
        } else if calls == HistoryCalls::AllAgents {
            PagingStage::All(Cursor::first(window, LONGEST_FOR_ALL))
        } else {
            PagingStage::Listing(AgentListing::default())
        };
        Self { request, calls, stage, answered: None, rows: R::default(), count: 0 }
    }

    /// Whether the list of agents comes next.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        matches!(self.stage, PagingStage::Listing(_))
    }

    /// The span that the next page of a history is of.
    pub(crate) fn asked_about(&self) -> Window {
        match &self.stage {
            PagingStage::All(cursor) | PagingStage::Each { cursor, .. } => cursor.slice,
            PagingStage::Listing(_) | PagingStage::Over => self.request.window,
        }
    }

    /// Whether several agents are asked for one by one.
    pub(crate) fn is_of_many(&self) -> bool {
        self.answered.is_some()
    }

    /// How many rows have been read so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Which calls are made.
    pub(crate) fn calls(&self) -> HistoryCalls {
        self.calls
    }

    /// The request that comes next.
    pub(crate) fn next(&self) -> NextRequest {
        match &self.stage {
            PagingStage::All(cursor) => NextRequest::History {
                path: "/agents/state-history".to_owned(),
                query: cursor.query(),
                agent: None,
            },
            PagingStage::Listing(listing) => NextRequest::Agents { skip: listing.skip },
            PagingStage::Each { agents, index, cursor } => {
                let call = if self.calls == HistoryCalls::EachAgentOld {
                    "statehistory"
                } else {
                    "state-history"
                };
                let id = &agents[*index].id;
                let path = format!("/agents/{}/{call}", path_segment(id));
                NextRequest::History { path, query: cursor.query(), agent: Some(id.clone()) }
            }
            PagingStage::Over => NextRequest::Nothing,
        }
    }

    /// A page of histories was read.
    ///
    /// # Errors
    /// When it is the same page as before, which would come for ever.
    pub(crate) fn page(&mut self, page: &Envelope) -> Result<(), ApiError> {
        let window = self.request.window;
        match &mut self.stage {
            PagingStage::All(cursor) => {
                if !cursor.go_on(page, window, LONGEST_FOR_ALL)? {
                    self.stage = PagingStage::Over;
                }
            }
            PagingStage::Each { agents, index, cursor } => {
                let window = Window { from: agents[*index].from, ..window };
                if !cursor.go_on(page, window, LONGEST_FOR_ONE)? {
                    let id = agents[*index].id.clone();
                    self.answered.iter_mut().for_each(|answered| answered.push(id.clone()));
                    self.next_agent();
                }
            }
            PagingStage::Listing(_) | PagingStage::Over => {}
        }
        self.count += page.rows;
        Ok(())
    }

    /// A page of the list of agents was read. With its last page it is decided who is asked for:
    /// who is in it, and who is in `roster` and was there recently.
    ///
    /// # Errors
    /// When it is the same page again and again, or no page has an id.
    pub(crate) fn agents(
        &mut self,
        page: &Envelope,
        agent_ids: Vec<String>,
        roster: &mut Roster,
    ) -> Result<(), ApiError> {
        let window = self.request.window;
        let PagingStage::Listing(listing) = &mut self.stage else { return Ok(()) };
        if !listing.take(page, agent_ids)? {
            return Ok(());
        }
        let ids = std::mem::take(&mut listing.ids);
        roster.list(ids, window.to);
        let agents = roster.wanted(window);
        self.answered = Some(Vec::new());
        self.stage = match agents.first() {
            None => PagingStage::Over,
            Some(first) => {
                let cursor = Cursor::first(Window { from: first.from, ..window }, LONGEST_FOR_ONE);
                PagingStage::Each { agents, index: 0, cursor }
            }
        };
        Ok(())
    }

    /// What was read of whom, for the next window.
    pub(crate) fn note_answers(&self, roster: &mut Roster) {
        if let (PagingStage::Over, Some(answered)) = (&self.stage, &self.answered) {
            roster.answered(answered, self.request.window);
        }
    }

    /// The call is not there (404, 405). Whether there is another one to try, or another agent to
    /// ask for.
    pub(crate) fn missing(&mut self) -> bool {
        match (&self.stage, self.calls) {
            (PagingStage::All(_), _) => {
                self.calls = HistoryCalls::EachAgent;
                self.stage = PagingStage::Listing(AgentListing::default());
                true
            }
            (PagingStage::Each { .. }, HistoryCalls::AllAgents | HistoryCalls::EachAgent) => {
                self.calls = HistoryCalls::EachAgentOld;
                true
            }
            // It may be this agent that is not there, and not the call; but if none is there, it is
            // the call.
            (PagingStage::Each { agents, index, .. }, HistoryCalls::EachAgentOld)
                if *index + 1 < agents.len()
                    || self.answered.as_ref().is_some_and(|answered| !answered.is_empty()) =>
            {
                self.calls = HistoryCalls::EachAgent;
                self.next_agent();
                true
            }
            (PagingStage::Each { .. }, HistoryCalls::EachAgentOld)
            | (PagingStage::Listing(_) | PagingStage::Over, _) => false,
        }
    }

    fn next_agent(&mut self) {
        let PagingStage::Each { agents, index, cursor } = &mut self.stage else { return };
        *index += 1;
        match agents.get(*index) {
            Some(DueAgent { from, .. }) => {
                let window = Window { from: *from, ..self.request.window };
                *cursor = Cursor::first(window, LONGEST_FOR_ONE);
            }
            None => self.stage = PagingStage::Over,
        }
    }
}

impl<R: RowSink> Paging<R> {
    /// The rows, once all has been read.
    pub fn take_rows(&mut self) -> R {
        let mut rows = std::mem::take(&mut self.rows);
        if let Some(answered) = self.answered.take() {
            rows.cover(&answered);
        }
        // A visit is in every slice that it touches.
        rows.drop_repeats();
        rows
    }
}

impl AgentListing {
    /// Takes a page in; whether it is the last one. A page that came before is not the end: new
    /// agents move the others to later pages while the list is read.
    fn take(&mut self, page: &Envelope, agent_ids: Vec<String>) -> Result<bool, ApiError> {
        let malformed =
            |detail: String| ApiError::new(ErrorKind::Malformed, ApiEndpoint::States, detail);
        let is_repeated = page.rows > 0 && self.before == Some(page.fingerprint);
        self.repeats = if is_repeated { self.repeats.saturating_add(1) } else { 0 };
        self.before = Some(page.fingerprint);
        self.skip = self.skip.saturating_add(page.rows);
        self.received += agent_ids.len();
        self.ids.extend(agent_ids);
        self.ids.sort_unstable();
        self.ids.dedup();
        let twice = u64::try_from(self.received - self.ids.len()).unwrap_or(u64::MAX);
        let is_last = is_last(page, self.skip.saturating_sub(twice));
        if !is_last && self.repeats >= MOST_REPEATS {
            return Err(malformed(
                "every page of the list of agents has the same rows, as if `skip` meant nothing: who is missing cannot be known".to_owned(),
            ));
        }
        if is_last && self.ids.is_empty() && self.skip > 0 {
            return Err(malformed(format!(
                "the list of agents has {} rows, and none has an agentId",
                self.skip
            )));
        }
        Ok(is_last)
    }
}

impl Roster {
    /// Agents that are known from before: each with when it was last reported, and from when on its
    /// history is owed, if it is.
    pub(crate) fn remember(
        &mut self,
        agents: impl IntoIterator<Item = (String, Timestamp, Option<Timestamp>)>,
    ) {
        for (id, seen, owed) in agents {
            self.0.entry(id).or_insert(KnownAgent { seen, owed });
        }
    }

    /// These agents are listed at `now`. Those who were not before, though others were, are asked
    /// about the day before: they may just have logged in.
    fn list(&mut self, ids: Vec<String>, now: Timestamp) {
        let owed = (!self.0.is_empty()).then(|| now.minus(GONE_AFTER));
        for id in ids {
            let known = self.0.entry(id).or_insert(KnownAgent { seen: now, owed });
            known.seen = known.seen.max(now);
        }
    }

    /// The agent changed its state at `at`.
    pub(crate) fn saw(&mut self, id: &str, at: Timestamp) {
        if let Some(known) = self.0.get_mut(id) {
            known.seen = known.seen.max(at);
        }
    }

    /// Who is asked for about `window`. Those who were seen too long ago are forgotten.
    fn wanted(&mut self, window: Window) -> Vec<DueAgent> {
        self.0.retain(|_, known| window.to.since(known.seen) <= GONE_AFTER);
        let wanted = self.0.iter().map(|(id, known)| DueAgent {
            id: id.clone(),
            from: known.owed.map_or(window.from, |owed| owed.min(window.from)),
        });
        wanted.collect()
    }

    /// The histories of these agents were read up to the end of `window`, and no others.
    fn answered(&mut self, agents: &[String], window: Window) {
        let answered: std::collections::HashSet<&str> = agents.iter().map(String::as_str).collect();
        for (id, known) in &mut self.0 {
            let is_answered = answered.contains(id.as_str());
            known.owed = (!is_answered).then(|| known.owed.unwrap_or(window.from));
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
                return Err(ApiError::new(ErrorKind::Malformed, ApiEndpoint::History, detail));
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

/// Whether `page`, with which `received` rows have come in all, is the last one. Nothing is
/// concluded from how many rows a page has.
pub(crate) fn is_last(page: &Envelope, received: u64) -> bool {
    page.no_content
        || page.not_modified
        || page.rows == 0
        || page.next.map_or_else(|| page.total.is_some_and(|total| received >= total), |next| !next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxone::RowList;
    use cxone_core::report::ReportFilter;
    use cxone_core::time::Timestamp;

    fn paging(hours: u64, user: Option<&str>, calls: HistoryCalls) -> Paging<RowList> {
        let from = Timestamp::from_millis(1_698_393_600_000);
        let window = Window { from, to: from.plus(Duration::from_secs(3600 * hours)) };
        let (kind, id) = user.map_or(("all", ""), |id| (USER, id));
        Paging::new(
            HistoryRequest {
                window,
                filter: ReportFilter { kind: kind.to_owned(), id: id.to_owned() },
            },
            calls,
        )
    }

    /// Path, start and skip of the next request.
    fn next(paging: &Paging<RowList>) -> String {
        match paging.next() {
            NextRequest::History { path, query, .. } => {
                format!("{path} {} {}", &query[0].1[11..19], query[3].1)
            }
            NextRequest::Agents { skip } => format!("agents {skip}"),
            NextRequest::Nothing => "over".to_owned(),
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
        let mut paging = paging(2, None, HistoryCalls::AllAgents);
        for (envelope, after) in [
            (page(7, None, None), "/agents/state-history 08:00:00 7"),
            (page(3, None, None), "/agents/state-history 08:00:00 10"),
            (NOTHING, "/agents/state-history 08:59:59 0"),
            (page(5, Some(true), Some(5)), "/agents/state-history 08:59:59 5"),
            (page(4, Some(false), Some(99)), "/agents/state-history 09:59:58 0"),
            (page(2, None, Some(2)), "over"),
        ] {
            paging.page(&envelope).unwrap();
            assert_eq!(next(&paging), after);
        }
        assert_eq!(paging.count(), 21);
    }

    #[test]
    fn pages_that_repeat_themselves_are_rejected() {
        let mut paging = paging(1, None, HistoryCalls::AllAgents);
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
        let mut paging = paging(30, None, HistoryCalls::AllAgents);
        assert!(paging.missing());
        assert_eq!(next(&paging), "agents 0");
        let mut roster = Roster::default();
        let agent_ids = vec!["8".into(), "7".into()];
        paging.agents(&page(2, Some(true), None), agent_ids, &mut roster).unwrap();
        assert_eq!(next(&paging), "agents 2");
        paging.agents(&page(1, Some(false), None), vec!["8/9".into()], &mut roster).unwrap();
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
    fn one_missing_agent_is_reported() {
        let mut paging = paging(1, Some("7"), HistoryCalls::AllAgents);
        assert_eq!(next(&paging), "/agents/7/state-history 08:00:00 0");
        assert!(paging.missing());
        assert_eq!(next(&paging), "/agents/7/statehistory 08:00:00 0");
        assert!(!paging.missing());
    }

    #[test]
    fn a_list_of_agents_is_read_on_where_a_page_comes_again_and_fails_where_all_are_the_same() {
        let mut paging = paging(1, None, HistoryCalls::EachAgent);
        let mut roster = Roster::default();
        let seven = || vec!["7".to_owned()];
        for _ in 0..3 {
            paging.agents(&page(1, Some(true), None), seven(), &mut roster).unwrap();
        }
        assert_eq!(next(&paging), "agents 3");
        let agent_ids = vec!["8".to_owned(), "9".to_owned()];
        paging.agents(&page(2, Some(false), None), agent_ids, &mut roster).unwrap();
        assert_eq!(next(&paging), "/agents/7/state-history 08:00:00 0");
        let PagingStage::Each { agents, .. } = &paging.stage else { panic!("{:?}", paging.stage) };
        assert_eq!(agents.len(), 3);

        let mut endless = super::tests::paging(1, None, HistoryCalls::EachAgent);
        for _ in 0..3 {
            endless.agents(&page(1, Some(true), None), seven(), &mut roster).unwrap();
        }
        let error = endless.agents(&page(1, Some(true), None), seven(), &mut roster).unwrap_err();
        assert_eq!((error.kind, error.endpoint), (ErrorKind::Malformed, ApiEndpoint::States));
    }

    #[test]
    fn a_list_of_agents_without_ids_is_not_an_empty_list() {
        let mut roster = Roster::default();
        let mut nobody = paging(1, None, HistoryCalls::EachAgent);
        nobody.agents(&NOTHING, Vec::new(), &mut roster).unwrap();
        assert_eq!(next(&nobody), "over");
        let mut odd = paging(1, None, HistoryCalls::EachAgent);
        let error = odd.agents(&page(2, Some(false), None), Vec::new(), &mut roster).unwrap_err();
        assert!(error.to_string().contains("2 rows"), "{error}");
    }

    /// Lists `ids` to a window of an hour that begins `hour` hours after the first one, and answers
    /// for those who are not `missing`. Who was asked for, from when on.
    fn read(roster: &mut Roster, hour: u64, ids: &[&str], missing: &[&str]) -> Vec<String> {
        let mut paging = paging(1, None, HistoryCalls::EachAgent);
        let later = Duration::from_secs(3600 * hour);
        let window = &mut paging.request.window;
        *window = Window { from: window.from.plus(later), to: window.to.plus(later) };
        let agent_ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let listed = Envelope { rows: agent_ids.len() as u64, ..page(0, Some(false), None) };
        paging.agents(&listed, agent_ids, roster).unwrap();
        let mut asked = Vec::new();
        while let NextRequest::History { agent: Some(agent), query, .. } = paging.next() {
            if missing.contains(&agent.as_str()) {
                if paging.calls == HistoryCalls::EachAgent {
                    assert!(paging.missing());
                }
                asked.push(format!("{agent} missing"));
                if !paging.missing() {
                    asked.push("nobody".to_owned());
                    return asked;
                }
                continue;
            }
            asked.push(format!("{agent} {}", &query[0].1[11..16]));
            paging.page(&NOTHING).unwrap();
        }
        paging.note_answers(roster);
        asked
    }

    #[test]
    fn an_agent_that_leaves_the_list_is_asked_for_for_a_day_more() {
        let mut roster = Roster::default();
        assert_eq!(read(&mut roster, 0, &["7", "8"], &[]), ["7 08:00", "8 08:00"]);
        assert_eq!(read(&mut roster, 1, &["7"], &[]), ["7 09:00", "8 09:00"]);
        assert_eq!(read(&mut roster, 2, &[], &[]), ["7 10:00", "8 10:00"]);
        assert_eq!(read(&mut roster, 25, &["9"], &[]), ["7 09:00", "9 10:00"], "new: a day back");
        let asked = read(&mut roster, 26, &["8"], &[]);
        assert_eq!(asked, ["8 11:00", "9 10:00"], "who comes back is asked about a day");
    }

    #[test]
    fn an_agent_that_changed_its_state_is_asked_for_as_if_it_had_been_listed() {
        let mut roster = Roster::default();
        read(&mut roster, 0, &["7", "8"], &[]);
        let from = Timestamp::from_millis(1_698_393_600_000);
        roster.saw("7", from.plus(Duration::from_secs(20 * 3600)));
        assert_eq!(read(&mut roster, 30, &[], &[]), ["7 14:00"]);
    }

    #[test]
    fn whose_history_could_not_be_read_is_asked_about_all_of_it_later() {
        let mut roster = Roster::default();
        read(&mut roster, 0, &["7", "8"], &[]);
        for hour in 1..4 {
            let asked = read(&mut roster, hour, &["7", "8"], &["7"]);
            assert_eq!(asked[0], "7 missing", "{hour}");
        }
        assert_eq!(read(&mut roster, 4, &["7", "8"], &[]), ["7 09:00", "8 12:00"]);
        assert_eq!(read(&mut roster, 5, &["7", "8"], &[]), ["7 13:00", "8 13:00"]);
    }

    #[test]
    fn where_no_agent_is_there_it_is_the_call_that_is_not() {
        let mut roster = Roster::default();
        let asked = read(&mut roster, 0, &["7", "8"], &["7", "8"]);
        assert_eq!(asked, ["7 missing", "8 missing", "nobody"]);
    }

    #[test]
    fn an_agent_that_is_known_from_before_is_asked_for_though_it_is_not_listed() {
        let from = Timestamp::from_millis(1_698_393_600_000);
        let ago = |hours: u64| from.minus(Duration::from_secs(hours * 3600));
        let mut roster = Roster::default();
        roster.remember([
            ("7".to_owned(), ago(20), None),
            ("8".to_owned(), ago(20), Some(ago(3))),
            ("9".to_owned(), ago(24), None),
        ]);
        assert_eq!(read(&mut roster, 0, &["6"], &[]), ["6 09:00", "7 08:00", "8 05:00"]);
    }
}
