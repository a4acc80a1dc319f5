//! The history of stays, as it is told at some moment.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use super::super::faults::{Faults, Quirk, RowFault};
use super::super::floor::{AgentProfile, AgentState, Floor, Visit};
use super::super::random::hash;
use super::super::rows::told::Told;
use super::live::contact;
use super::wire::{Length, PastRow};
use super::{PHONE, platform_skill_id};

/// Which rows the history of a span of time has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRows {
    /// Every stay that touches the span, with its true start and length.
    Touching,
    /// The stays that begin in the span.
    Starting,
}

impl HistoryRows {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Touching, Self::Starting];

    /// The name that the command line knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Touching => "touching",
            Self::Starting => "starting",
        }
    }
}

impl fmt::Display for HistoryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no kind of history has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHistoryRows(String);

impl fmt::Display for UnknownHistoryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown kind of history `{}`: known are {}",
            self.0,
            HistoryRows::ALL.map(HistoryRows::name).join(", ")
        )
    }
}

impl std::error::Error for UnknownHistoryRows {}

impl FromStr for HistoryRows {
    type Err = UnknownHistoryRows;

    fn from_str(name: &str) -> Result<Self, UnknownHistoryRows> {
        Self::ALL
            .into_iter()
            .find(|rows| rows.name() == name)
            .ok_or_else(|| UnknownHistoryRows(name.to_owned()))
    }
}

/// What is asked of the history.
pub(in super::super) struct Past<'a> {
    pub(in super::super) asked: Timestamp,
    pub(in super::super) window: Window,
    /// Only rows that changed since then.
    pub(in super::super) updated_since: Option<Timestamp>,
    pub(in super::super) rows: HistoryRows,
    /// What begins earlier is forgotten.
    pub(in super::super) oldest: Timestamp,
    pub(in super::super) faults: &'a Faults,
}

/// A row, and the numbers that its order and its quirks follow from.
pub(in super::super) struct Row {
    pub(in super::super) key: u64,
    pub(in super::super) value: Value,
    start: Timestamp,
}

/// The rows that answer `past` for these agents: by start, or in an order that the span and the row
/// alone decide. So pages that are read one after the other leave out no row that was there from
/// the first page on, though others come in between.
pub(in super::super) fn past<'a>(
    floor: &Floor,
    agents: impl Iterator<Item = (usize, &'a AgentProfile)>,
    past: &Past<'_>,
) -> Vec<Row> {
    let seed = floor.options().seed;
    let mut rows = Vec::new();
    for (index, agent) in agents {
        past.of_agent(floor, index, agent, &mut rows);
    }
    rows.sort_by_key(|row| row.start);
    let span = hash(
        seed,
        &[past.window.from.millis().cast_unsigned(), past.window.to.millis().cast_unsigned()],
    );
    if past.faults.of_row(span, RowFault::Shuffled).is_some() {
        rows.sort_by_key(|row| hash(span, &[row.key]));
    }
    rows
}

impl Past<'_> {
    fn of_agent(&self, floor: &Floor, index: usize, agent: &AgentProfile, rows: &mut Vec<Row>) {
        let seed = floor.options().seed;
        // A stay that ended before the span may be told as if it went on.
        let known = Window {
            from: self.window.from.minus(self.faults.revised_for),
            to: self.window.to.min(self.asked.plus(Duration::from_millis(1))),
        };
        for stay in floor.platform_visits(index, known) {
            let Some(told) =
                Told::new(&stay, self.asked, seed, self.faults).filter(|told| self.holds(told))
            else {
                continue;
            };
            let Some(row) = self.row(agent, &stay, &told) else { continue };
            let mut push = |value| rows.push(Row { key: told.key, value, start: told.start });
            if let Some(how) = self.faults.of_row(told.key, RowFault::Malformed) {
                push(malformed(how, &row));
            }
            if self.faults.of_row(told.key, RowFault::Repeated).is_some() {
                push(row.clone());
            }
            push(row);
        }
    }

    fn holds(&self, told: &Told) -> bool {
        let in_span = match self.rows {
            HistoryRows::Touching => told.touches(self.window),
            HistoryRows::Starting => self.window.contains(told.start),
        };
        let changed = told.end.unwrap_or(told.start).max(told.since);
        in_span
            && told.start >= self.oldest
            && self.updated_since.is_none_or(|since| changed >= since)
    }

    /// The row that tells `stay` as `told`, if it is told at all.
    fn row(&self, agent: &AgentProfile, stay: &Visit, told: &Told) -> Option<Value> {
        let odd = |quirk| self.faults.odd(told.key, quirk).is_some();
        let end = match told.end {
            Some(end) => Some(end),
            None if odd(Quirk::OpenOmitted) => return None,
            None => odd(Quirk::OpenSoFar).then_some(self.asked),
        };
        let length = end.map(|end| end.since(told.start));
        let with_contact = matches!(
            told.state,
            AgentState::InboundCall | AgentState::OutboundCall | AgentState::WrapUp
        );
        let code = told.state.unavailable_code();
        let row = PastRow {
            state_index: stay.position.index,
            start_date: told.start.to_string(),
            agent_id: agent.platform_id(),
            agent_state_id: told.state.platform_id(),
            agent_state_name: told.state.platform_name(),
            agent_session_id: stay.position.session * 1_000_000 + i64::from(agent.index),
            contact_id: with_contact.then(|| contact(stay)),
            skill_id: told.skill.and_then(platform_skill_id),
            skill_name: told.skill,
            media_type_id: with_contact.then_some(PHONE),
            media_type_name: with_contact.then_some("Phone Call"),
            out_state_id: code.map(|(id, _)| id),
            out_state_description: code.map(|(_, name)| name),
            duration: length.map(|length| {
                if odd(Quirk::Seconds) {
                    Length::Seconds(seconds(length))
                } else {
                    Length::Iso(iso(length))
                }
            }),
            is_outbound: told.state == AgentState::OutboundCall,
            team_id: agent.platform_team_id(),
        };
        Some(json!(row))
    }
}

/// `length` in seconds, with three decimals at most.
fn seconds(length: Duration) -> f64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX) as f64 / 1000.0
}

/// `length` in the form of ISO 8601, with days from a day on: `PT5M16.976S`, `P2DT3H`.
fn iso(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.subsec_millis());
    let parts = [(seconds / 3600 % 24, "H"), (seconds / 60 % 60, "M")];
    let days = if seconds >= 86_400 { format!("{}D", seconds / 86_400) } else { String::new() };
    let mut time: String = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if millis > 0 {
        time += &format!("{}.{}S", seconds % 60, format!("{millis:03}").trim_end_matches('0'));
    } else if seconds % 60 > 0 {
        time += &format!("{}S", seconds % 60);
    }
    match (days.as_str(), time.as_str()) {
        ("", "") => "PT0S".to_owned(),
        (days, "") => format!("P{days}"),
        (days, time) => format!("P{days}T{time}"),
    }
}

/// A row like `row` that makes no sense, in one of eight ways.
fn malformed(how: u64, row: &Value) -> Value {
    let mut value = row.clone();
    let (field, wrong) = match how % 8 {
        0 => return Value::Null,
        1 => return json!("a row"),
        2 => ("agentId", Value::Null),
        3 => ("startDate", json!("yesterday")),
        4 => ("startDate", Value::Null),
        5 => ("duration", json!("soon")),
        6 => ("duration", json!(-1)),
        _ => ("agentStateId", json!("elsewhere")),
    };
    value[field] = wrong;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_as_iso_8601_does() {
        let told = |millis| iso(Duration::from_millis(millis));
        let hour = 3_600_000;
        assert_eq!(
            [0, 7, 316_976, 60_000, hour, hour + 5010, 24 * hour, 51 * hour].map(told),
            ["PT0S", "PT0.007S", "PT5M16.976S", "PT1M", "PT1H", "PT1H5.01S", "P1D", "P2DT3H"]
        );
    }
}
