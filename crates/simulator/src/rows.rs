//! A report's rows: the visits of a window, told as a tenant tells them, with the faults of single
//! rows.

mod odd;
pub(super) mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use super::faults::{Faults, Quirk, RowFault};
use super::floor::{AgentProfile, Floor};
use super::random::{Random, hash};
use super::wire::{DateTo, SoundRow, WireRow};
use told::Told;

/// What the rows of this tenant stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportRows {
    /// Every visit that touches the window, with its true start and end.
    WholeIntervals,
    /// Every visit that touches the window, cut at the window's edges; one that goes on past the
    /// window ends with it.
    CutIntervals,
    /// The visits that begin in the window, with their ends.
    Events,
    /// The visits that begin in the window, without their ends.
    EventsWithoutEnd,
    /// One row for agent, state and skill, with the number of visits that began in the window.
    Buckets,
}

impl ReportRows {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::WholeIntervals,
        Self::CutIntervals,
        Self::Events,
        Self::EventsWithoutEnd,
        Self::Buckets,
    ];

    /// The name that the command line knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WholeIntervals => "intervals",
            Self::CutIntervals => "cut-intervals",
            Self::Events => "events",
            Self::EventsWithoutEnd => "events-without-end",
            Self::Buckets => "buckets",
        }
    }
}

impl fmt::Display for ReportRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no kind of rows has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReportRows(String);

impl fmt::Display for UnknownReportRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown kind of rows `{}`: known are {}",
            self.0,
            ReportRows::ALL.map(ReportRows::name).join(", ")
        )
    }
}

impl std::error::Error for UnknownReportRows {}

impl FromStr for ReportRows {
    type Err = UnknownReportRows;

    fn from_str(name: &str) -> Result<Self, UnknownReportRows> {
        Self::ALL
            .into_iter()
            .find(|rows| rows.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownReportRows(name.to_owned()))
    }
}

/// How a row says that its visit goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenEnd {
    /// It has no `dateTo`.
    Absent,
    /// Its `dateTo` is `null`.
    Null,
}

/// Whose rows are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// One agent, by id.
    User(String),
    /// One team, by id.
    Team(String),
    /// Everybody.
    All,
}

impl Filter {
    fn holds(&self, agent: &AgentProfile) -> bool {
        match self {
            Self::User(id) => agent.id == *id,
            Self::Team(id) => agent.team == *id,
            Self::All => true,
        }
    }
}

/// How this tenant tells its history.
pub(super) struct Teller<'a> {
    pub(super) floor: &'a Floor,
    pub(super) rows: ReportRows,
    pub(super) open_end: OpenEnd,
    pub(super) faults: &'a Faults,
    pub(super) max_rows: usize,
}

/// One report: what is told, and as of which moment.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) asked: Timestamp,
    pub(super) window: Window,
    pub(super) filter: Filter,
    /// Tells reports apart, for what is by chance.
    pub(super) job: u64,
}

/// A report would have more rows than are allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyRows;

impl<'a> Teller<'a> {
    /// The rows that answer `question`, sorted by agent and start unless they are shuffled.
    pub(super) fn tell(&self, question: &Question) -> Result<Vec<WireRow<'a>>, TooManyRows> {
        let mut rows = Vec::new();
        for (index, agent) in
            self.floor.agents().enumerate().filter(|(_, agent)| question.filter.holds(agent))
        {
            let told = self.told(index, question);
            match self.rows {
                ReportRows::WholeIntervals
                | ReportRows::CutIntervals
                | ReportRows::Events
                | ReportRows::EventsWithoutEnd => {
                    for told in told {
                        self.push(&mut rows, told.key, self.row(agent, &told, question.window));
                    }
                }
                ReportRows::Buckets => self.push_buckets(&mut rows, agent, &told, question),
            }
            if rows.len() > self.max_rows {
                return Err(TooManyRows);
            }
        }
        let seed = self.floor.options().seed;
        if self.faults.of_row(hash(seed, &[question.job]), RowFault::Shuffled).is_some() {
            shuffle(&mut rows, &mut Random::new(seed, &[question.job, 4]));
        }
        self.tell_oddly(question, &mut rows);
        Ok(rows)
    }

    /// What is told of the agent at `index`: only what began by the moment that was asked, only
    /// what touches or begins in the window.
    fn told(&self, index: usize, question: &Question) -> Vec<Told> {
        let seed = self.floor.options().seed;
        let window = question.window;
        // A visit that ended before the window may be told as if it went on.
        let known = Window {
            from: window.from.minus(self.faults.revised_for),
            to: window.to.min(question.asked.plus(Duration::from_millis(1))),
        };
        let visits = self.floor.visits(index, known);
        let told =
            visits.iter().filter_map(|visit| Told::new(visit, question.asked, seed, self.faults));
        match self.rows {
            ReportRows::WholeIntervals | ReportRows::CutIntervals => {
                told.filter(|told| told.touches(window)).collect()
            }
            ReportRows::Events | ReportRows::EventsWithoutEnd | ReportRows::Buckets => {
                told.filter(|told| window.contains(told.start)).collect()
            }
        }
    }

    fn row(&self, agent: &'a AgentProfile, told: &Told, window: Window) -> SoundRow<'a> {
        let open = match self.open_end {
            OpenEnd::Absent => DateTo::Absent,
            OpenEnd::Null => DateTo::Null,
        };
        let end =
            |end: Option<Timestamp>| end.map_or(open.clone(), |end| DateTo::At(end.to_string()));
        let (from, to) = match self.rows {
            ReportRows::WholeIntervals | ReportRows::Events => (told.start, end(told.end)),
            ReportRows::EventsWithoutEnd => (told.start, open),
            ReportRows::CutIntervals => (
                told.start.max(window.from),
                end(Some(told.end.map_or(window.to, |end| end.min(window.to)))),
            ),
            ReportRows::Buckets => (window.from, end(Some(window.to))),
        };
        SoundRow {
            user_id: &agent.id,
            user_name: &agent.name,
            state_name: told.state.name(),
            state_id: told.state.id(),
            // No skill is told in both ways: by some agents' rows as an empty one, by the others'
            // not at all.
            skill_name: told.skill.or((agent.index % 2 == 1).then_some("")),
            count: 1,
            date_from: from.to_string(),
            date_to: to,
        }
    }

    fn push_buckets(
        &self,
        rows: &mut Vec<WireRow<'a>>,
        agent: &'a AgentProfile,
        told: &[Told],
        question: &Question,
    ) {
        let mut buckets: BTreeMap<(&str, Option<&'static str>), (u64, &Told)> = BTreeMap::new();
        for told in told {
            buckets.entry((told.state.name(), told.skill)).or_insert((0, told)).0 += 1;
        }
        for (count, first) in buckets.into_values() {
            let row = SoundRow { count, ..self.row(agent, first, question.window) };
            self.push(rows, hash(first.key, &[question.window.from.millis().cast_unsigned()]), row);
        }
    }

    /// Adds `row`, perhaps twice, perhaps with one beside it that makes no sense.
    fn push(&self, rows: &mut Vec<WireRow<'a>>, key: u64, row: SoundRow<'a>) {
        if let Some(how) = self.faults.of_row(key, RowFault::Malformed) {
            rows.push(WireRow::Odd(malformed(how, &row)));
        }
        if let Some(how) = self.faults.odd(key, Quirk::TimeFormat) {
            return rows.push(WireRow::Odd(odd::with_times(&row, how)));
        }
        if self.faults.of_row(key, RowFault::Repeated).is_some() {
            rows.push(WireRow::Sound(row.clone()));
        }
        rows.push(WireRow::Sound(row));
    }
}

/// A row like `row` that makes no sense, in one of nine ways.
fn malformed(how: u64, row: &SoundRow<'_>) -> Value {
    let mut value = json!(row);
    let (field, wrong) = match how % 9 {
        0 => return Value::Null,
        1 => return json!("a row"),
        2 => ("userId", Value::Null),
        3 => ("stateName", json!("")),
        4 => ("dateFrom", json!(row.date_from.replace('-', "/"))),
        5 => ("dateFrom", json!(row.date_from[..16])),
        6 => ("dateTo", json!("1999-12-31T23:59:59.999Z")),
        7 => ("count", json!(-1)),
        _ => ("count", json!(1.5)),
    };
    value[field] = wrong;
    value
}

fn shuffle(rows: &mut [WireRow<'_>], random: &mut Random) {
    for last in (1..rows.len()).rev() {
        let other = random.between(0, u64::try_from(last).expect("an index fits 64 bits") + 1);
        rows.swap(last, usize::try_from(other).expect("not above `last`"));
    }
}

#[cfg(test)]
mod tests;
