//! A report's rows as compact integers beside one table of the names that they use.

mod oddities;
mod rows;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::names::{NameId, Names};
use crate::time::Timestamp;

pub use oddities::{LenientForm, LenientForms, RejectedRow, RowOddities};
pub use rows::RowTable;

/// Whose history a report contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportFilter {
    /// The filter's `type`: `user`, or another one that the tenant knows.
    pub kind: String,
    /// The filter's `id`.
    pub id: String,
}

/// The filter type whose id is an agent's.
const USER: &str = "user";

impl ReportFilter {
    /// The agent that it asks for, if it asks for one agent alone.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        (self.kind == USER).then_some(&self.id)
    }

    /// Whether it asks for this agent alone.
    #[must_use]
    pub fn is_for(&self, agent: &str) -> bool {
        self.agent() == Some(agent)
    }
}

/// A row as CXone reported it, parsed and valid, its strings still borrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRow<'a> {
    /// `userId`: the agent.
    pub user_id: Cow<'a, str>,
    /// `userName`; empty when absent.
    pub user_name: Cow<'a, str>,
    /// `stateName`.
    pub state_name: Cow<'a, str>,
    /// `stateId`; empty when absent. Kept for information: a state is identified by its name.
    pub state_id: Cow<'a, str>,
    /// `skillName`; empty when absent.
    pub skill_name: Cow<'a, str>,
    /// `count`: the number of state changes that the row stands for; 1 when absent.
    pub count: u32,
    /// `dateFrom`.
    pub from: Timestamp,
    /// `dateTo`; `None` while the state lasts. Never before `from`.
    pub to: Option<Timestamp>,
}

/// Why a row is invalid: the closed set of `cxone_report_rows_rejected_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowRejection {
    /// The row is not a JSON object.
    NotAnObject,
    /// `userId` is missing, empty or not a string.
    NoAgent,
    /// `stateName` is missing, empty or not a string.
    NoState,
    /// `dateFrom` is missing or a placeholder, or a time is in no accepted format.
    BadTime,
    /// `dateTo` lies before `dateFrom`.
    EndsBeforeStart,
    /// `count` is negative, not a whole number, or larger than 4,294,967,295.
    BadCount,
    /// A `count` above 1 that starts at its window's start: how much of it lies before the window
    /// is unknown.
    CutBucket,
}

impl RowRejection {
    /// Every reason, in the order of its label values' exposition.
    pub const ALL: [Self; 7] = [
        Self::NotAnObject,
        Self::NoAgent,
        Self::NoState,
        Self::BadTime,
        Self::EndsBeforeStart,
        Self::BadCount,
        Self::CutBucket,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::NoAgent => "no_agent",
            Self::NoState => "no_state",
            Self::BadTime => "bad_time",
            Self::EndsBeforeStart => "ends_before_start",
            Self::BadCount => "bad_count",
            Self::CutBucket => "cut_bucket",
        }
    }
}

/// A row whose strings are in its report's [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportRow {
    /// The agent.
    pub agent: NameId,
    /// The state.
    pub state: NameId,
    /// The skill; the empty name when there is none.
    pub skill: NameId,
    /// The number of state changes that the row stands for.
    pub count: u32,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends; `None` while the state lasts.
    pub to: Option<Timestamp>,
}

/// All rows of one finished job.
#[derive(Clone, Debug, Default)]
pub struct Report {
    names: Names,
    rows: RowTable,
    /// The agent of the newest row: rows of one agent mostly follow each other.
    newest: Option<NameId>,
    display_names: Vec<(NameId, NameId)>,
    /// The agents whose history was read; `None` if that is not known.
    covered: Option<Vec<NameId>>,
    oddities: RowOddities,
}

impl Report {
    /// Adds a row.
    pub fn push(&mut self, row: &RawRow<'_>) {
        let agent = self.names.intern_near(&row.user_id, self.newest);
        self.newest = Some(agent);
        if !row.user_name.is_empty() {
            let name = self
                .names
                .intern_near(&row.user_name, self.display_names.last().map(|(_, name)| *name));
            if self.display_names.last() != Some(&(agent, name)) {
                self.display_names.push((agent, name));
            }
        }
        let row = ReportRow {
            agent,
            state: self.names.intern(&row.state_name),
            skill: self.names.intern(&row.skill_name),
            count: row.count,
            from: row.from,
            to: row.to,
        };
        self.rows.push(row);
    }

    /// The same without the agents' names.
    #[must_use]
    pub fn without_display_names(mut self) -> Self {
        self.display_names = Vec::new();
        self
    }

    /// The same with each agent's id replaced by what `called` makes of it.
    #[must_use]
    pub fn with_agents(mut self, called: impl Fn(&str) -> Cow<'_, str>) -> Self {
        let mut new_ids: HashMap<NameId, NameId> = HashMap::new();
        let Self { names, rows, display_names, covered, newest, .. } = &mut self;
        *newest = None;
        let agents = rows
            .agents_mut()
            .chain(display_names.iter_mut().map(|(agent, _)| agent))
            .chain(covered.iter_mut().flatten());
        for agent in agents {
            *agent = *new_ids.entry(*agent).or_insert_with(|| {
                let id = Arc::clone(names.value(*agent));
                names.intern(&called(&id))
            });
        }
        self
    }

    /// The report has the history of these agents, and of no others: nothing is known of those that
    /// it leaves out.
    pub fn cover(&mut self, agents: impl IntoIterator<Item: AsRef<str>>) {
        let names = &mut self.names;
        self.covered = Some(agents.into_iter().map(|agent| names.intern(agent.as_ref())).collect());
    }

    /// The agents whose history it has, with or without rows; `None` if that is not known. Agents
    /// without rows did not change their state.
    pub fn covered(&self) -> Option<impl Iterator<Item = &Arc<str>>> {
        self.covered.as_ref().map(|agents| agents.iter().map(|agent| self.names.value(*agent)))
    }

    /// Counts an invalid row.
    pub fn reject(&mut self, row: RejectedRow<'_>) {
        self.oddities.reject(row);
    }

    /// Counts a row that was accepted in these forms.
    pub fn accept_lenient(&mut self, forms: LenientForms) {
        self.oddities.accept_lenient(forms);
    }

    /// Appends the rows of `later`.
    pub fn append(&mut self, later: &Self) {
        let names: Vec<NameId> = later.names.values().map(|name| self.names.intern(name)).collect();
        let translate = |id: NameId| names[id.index()];
        for row in later.rows.iter() {
            self.rows.push(ReportRow {
                agent: translate(row.agent),
                state: translate(row.state),
                skill: translate(row.skill),
                ..row
            });
        }
        self.display_names.extend(
            later.display_names.iter().map(|(agent, name)| (translate(*agent), translate(*name))),
        );
        self.oddities.append(&later.oddities);
    }

    /// The rows, in the order of the report.
    #[must_use]
    pub const fn rows(&self) -> &RowTable {
        &self.rows
    }

    /// The names that its rows use.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// `(agent, userName)` in the order of the rows.
    #[must_use]
    pub fn display_names(&self) -> &[(NameId, NameId)] {
        &self.display_names
    }

    /// How many rows were rejected for `reason`.
    #[must_use]
    pub fn rejected(&self, reason: RowRejection) -> u64 {
        self.oddities.rejected(reason)
    }

    /// How its rows deviate from the documentation.
    #[must_use]
    pub const fn oddities(&self) -> &RowOddities {
        &self.oddities
    }
}
