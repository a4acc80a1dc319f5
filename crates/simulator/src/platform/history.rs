//! The history of visits, as it is reported at some moment.

use std::time::Duration;

use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use super::list::KeyedRows;
use super::live::contact_id;
use super::names::{PHONE, platform_skill_id};
use super::wire::{HistoryRow, RowDuration};
use crate::faults::{Faults, Quirk, RowFault};
use crate::floor::{AgentProfile, AgentState, Floor, Visit};
use crate::options::HistoryRows;
use crate::random::hash;
use crate::reported_visit::{ReportedVisit, reportable};

/// A request for the history.
pub(super) struct HistoryQuery<'a> {
    pub(super) now: Timestamp,
    pub(super) window: Window,
    /// Only rows that changed since then.
    pub(super) updated_since: Option<Timestamp>,
    pub(super) rows: HistoryRows,
    /// Visits that begin earlier are forgotten.
    pub(super) oldest: Timestamp,
    pub(super) faults: &'a Faults,
}

impl HistoryQuery<'_> {
    /// The rows of these agents, by start, or in an order that depends on the window and the row
    /// alone. So a client that reads page by page misses no row that was there from the first page
    /// on, even if others appear in between.
    pub(super) fn rows(&self, floor: &Floor, agents: &[(usize, &AgentProfile)]) -> KeyedRows {
        let seed = floor.options().seed;
        let mut rows = Vec::new();
        for (index, agent) in agents {
            for visit in
                floor.platform_visits(*index, reportable(self.window, self.now, self.faults))
            {
                if let Some(reported) = ReportedVisit::new(&visit, self.now, seed, self.faults)
                    && self.contains(&reported)
                {
                    self.push(&mut rows, agent, &visit, &reported);
                }
            }
        }
        let Window { from, to } = self.window;
        let window = hash(seed, &[from.millis().cast_unsigned(), to.millis().cast_unsigned()]);
        if self.faults.row_fault(window, RowFault::Shuffled).is_some() {
            rows.sort_by_key(|(start, key, _)| (hash(window, &[*key]), *start));
        } else {
            rows.sort_by_key(|(start, ..)| *start);
        }
        rows.into_iter().map(|(_, key, row)| (key, row)).collect()
    }

    fn contains(&self, visit: &ReportedVisit) -> bool {
        let in_window = match self.rows {
            HistoryRows::Touching => visit.touches(self.window),
            HistoryRows::Starting => self.window.contains(visit.start),
        };
        let changed = visit.end.unwrap_or(visit.start).max(visit.since);
        in_window
            && visit.start >= self.oldest
            && self.updated_since.is_none_or(|since| changed >= since)
    }

    /// Adds the row of `visit`, perhaps twice, perhaps with an invalid one before it.
    fn push(
        &self,
        rows: &mut Vec<(Timestamp, u64, Value)>,
        agent: &AgentProfile,
        visit: &Visit,
        reported: &ReportedVisit,
    ) {
        let key = reported.key;
        let Some(row) = self.row(agent, visit, reported) else { return };
        if let Some(number) = self.faults.row_fault(key, RowFault::Malformed) {
            rows.push((reported.start, key, malformed(number, &row)));
        }
        if self.faults.row_fault(key, RowFault::Repeated).is_some() {
            rows.push((reported.start, key, row.clone()));
        }
        rows.push((reported.start, key, row));
    }

    fn row(&self, agent: &AgentProfile, visit: &Visit, reported: &ReportedVisit) -> Option<Value> {
        let has = |quirk| self.faults.quirk(reported.key, quirk).is_some();
        let end = match reported.end {
            Some(end) => Some(end),
            None if has(Quirk::OpenOmitted) => return None,
            None => has(Quirk::OpenSoFar).then_some(self.now),
        };
        let duration = end.map(|end| end.since(reported.start)).map(|length| {
            if has(Quirk::Seconds) {
                RowDuration::Seconds(seconds(length))
            } else {
                RowDuration::Iso(iso(length))
            }
        });
        let with_contact = matches!(
            reported.state,
            AgentState::InboundCall | AgentState::OutboundCall | AgentState::WrapUp
        );
        let code = reported.state.unavailable_code();
        Some(json!(HistoryRow {
            state_index: visit.position.index,
            start_date: reported.start.to_string(),
            agent_id: agent.platform_id(),
            agent_state_id: reported.state.platform_id(),
            agent_state_name: reported.state.platform_name(),
            agent_session_id: visit.position.session * 1_000_000 + i64::from(agent.index),
            contact_id: with_contact.then(|| contact_id(visit)),
            skill_id: reported.skill.and_then(platform_skill_id),
            skill_name: reported.skill,
            media_type_id: with_contact.then_some(PHONE),
            media_type_name: with_contact.then_some("Phone Call"),
            out_state_id: code.map(|(id, _)| id),
            out_state_description: code.map(|(_, name)| name),
            duration,
            is_outbound: reported.state == AgentState::OutboundCall,
            team_id: agent.platform_team_id(),
        }))
    }
}

/// `length` in seconds, with three decimals at most.
fn seconds(length: Duration) -> f64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX) as f64 / 1000.0
}

/// `length` in ISO 8601, with days from one day on: `PT5M16.976S`, `P2DT3H`.
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

/// A row like `row` that is invalid in one of eight ways.
fn malformed(number: u64, row: &Value) -> Value {
    let mut value = row.clone();
    let (field, wrong) = match number % 8 {
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
    fn durations_are_written_in_iso_8601() {
        let written = |millis| iso(Duration::from_millis(millis));
        let hour = 3_600_000;
        assert_eq!(
            [0, 7, 316_976, 60_000, hour, hour + 5010, 24 * hour, 51 * hour].map(written),
            ["PT0S", "PT0.007S", "PT5M16.976S", "PT1M", "PT1H", "PT1H5.01S", "P1D", "P2DT3H"]
        );
    }
}
