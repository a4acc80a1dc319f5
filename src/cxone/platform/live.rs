//! The live lists: the agents' states, and what the skills are doing.
//!
//! Source: NICE's developer documentation of `GET /agents/states` and `GET /skills/activity`, and
//! the polling of its published SDK.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::codes::UnavailableCodes;
use super::history::{UNAVAILABLE_ID, name_or_id, state_name, unknown_code};
use super::list::{Element, Envelope};
use super::object::JsonObject;
use super::paging::is_last;
use super::{ApiEndpoint, ApiError, PlatformClient};
use cxone_core::live::{Activity, FeedPage, FeedRequest, LiveRow, SkillRow, UNAVAILABLE};
use cxone_core::names::WRAP_UP;

const STATES_PATH: &str = "/agents/states";
const STATES: &str = "agentStates";
const SKILLS_PATH: &str = "/skills/activity";
const SKILLS: &str = "skillActivity";

/// A page of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivePage {
    /// Of the agents' states.
    States(FeedPage<LiveRow>),
    /// Of the skills.
    Skills(FeedPage<SkillRow>),
}

impl PlatformClient {
    /// One page of a live list. The unavailable codes, where they are known, say what the rows
    /// leave out.
    ///
    /// # Errors
    /// When no token was granted, or the answer cannot be used; none of it counts then.
    pub async fn live(&self, ask: &FeedRequest) -> Result<LivePage, ApiError> {
        match ask {
            FeedRequest::States { since, skip } => {
                let codes = self.codes_if_any().await.unwrap_or_default();
                let skip = skip.to_string();
                let mut query: Vec<(&str, &str)> =
                    since.iter().map(|since| ("updatedSince", since.as_str())).collect();
                query.extend((skip != "0").then_some(("skip", &*skip)));
                let (mut rows, mut unknown) = (Vec::new(), BTreeSet::new());
                let take = |row: Element<'_>| {
                    unknown.extend(row.as_ref().and_then(|row| unknown_code(row, &codes)));
                    rows.extend(row.and_then(|row| agent(&row, &codes)));
                };
                let envelope =
                    self.list(ApiEndpoint::States, STATES_PATH, &query, STATES, take).await?;
                // Whoever needs them next reads them.
                self.seek_codes(unknown);
                Ok(LivePage::States(page(envelope, rows)))
            }
            FeedRequest::Skills { skip } => {
                let skip = skip.to_string();
                let query: Vec<(&str, &str)> =
                    (skip != "0").then_some(("skip", &*skip)).into_iter().collect();
                let mut rows = Vec::new();
                let take = |row: Element<'_>| rows.extend(row.and_then(|row| skill(&row)));
                let envelope =
                    self.list(ApiEndpoint::Activity, SKILLS_PATH, &query, SKILLS, take).await?;
                Ok(LivePage::Skills(page(envelope, rows)))
            }
        }
    }

    /// Where all agents are now, as far as the role lets them be seen, by id. Of several rows of an
    /// agent the last counts.
    ///
    /// # Errors
    /// When no token was granted, or an answer cannot be used.
    pub async fn agents_now(&self) -> Result<BTreeMap<String, LiveRow>, ApiError> {
        let codes = self.codes_if_any().await.unwrap_or_default();
        let (mut agents, mut received) = (BTreeMap::new(), 0);
        loop {
            let (before, skip) = (agents.len(), received.to_string());
            let rows = |row: Element<'_>| {
                agents.extend(
                    row.and_then(|row| agent(&row, &codes)).map(|row| (row.agent.clone(), row)),
                );
            };
            let envelope = self
                .list(ApiEndpoint::States, STATES_PATH, &[("skip", &*skip)], STATES, rows)
                .await?;
            received += envelope.rows;
            self.not_too_many(ApiEndpoint::States, received)?;
            // A page without new agents is the last one.
            if is_last(&envelope, received) || agents.len() == before {
                return Ok(agents);
            }
        }
    }
}

fn page<R>(envelope: Envelope, rows: Vec<R>) -> FeedPage<R> {
    FeedPage {
        rows,
        received: envelope.rows,
        poll_time: envelope.last_poll_time,
        total: envelope.total,
        next: envelope.next,
        unchanged: envelope.not_modified,
    }
}

/// An agent; `None` when it has no id or is in no state that has a name.
fn agent(row: &JsonObject<'_>, codes: &UnavailableCodes) -> Option<LiveRow> {
    let agent = text(row, "agentId").filter(|agent| !agent.is_empty())?;
    let state = state_name(row, codes)?.into_owned();
    let is_unavailable = state == UNAVAILABLE
        || (state != WRAP_UP && row.whole("agentStateId") == Some(UNAVAILABLE_ID));
    let reason = is_unavailable.then(|| {
        let described = text(row, "outStateDescription").filter(|reason| !reason.is_empty());
        let code = text(row, "outStateId")
            .and_then(|id| codes.find(&id).map(|code| code.name.trim().to_owned()));
        let code = code.filter(|name| !name.is_empty());
        let id = || text(row, "outStateId").filter(|id| id != "0");
        described.or(code).or_else(id).unwrap_or_default()
    });
    Some(LiveRow {
        agent,
        agent_name: display_name(row),
        reason,
        skill: named(row, "skillName", "skillId").unwrap_or_default(),
        team: named(row, "teamName", "teamId").unwrap_or_default(),
        // An invalid start is dropped, and the row is kept.
        start: row.time("startDate").ok().flatten(),
        state,
    })
}

fn display_name(row: &JsonObject<'_>) -> String {
    let parts = ["firstName", "lastName"].map(|name| text(row, name).unwrap_or_default());
    let name = parts.join(" ").trim().to_owned();
    if name.is_empty() { text(row, "userName").unwrap_or_default() } else { name }
}

/// A skill; `None` when it has neither name nor id.
fn skill(row: &JsonObject<'_>) -> Option<SkillRow> {
    let skill = named(row, "skillName", "skillId")?;
    let count = |name: &str| row.whole(name).and_then(|count| u64::try_from(count).ok());
    let agents = Activity::ALL.map(|activity| {
        count(match activity {
            Activity::Acw => "agentsACW",
            Activity::Available => "agentsAvailable",
            Activity::Idle => "agentsIdle",
            Activity::LoggedIn => "agentsLoggedIn",
            Activity::Unavailable => "agentsUnavailable",
            Activity::Working => "agentsWorking",
        })
    });
    let queue = count("queueCount");
    Some(SkillRow {
        skill,
        queue,
        // Nobody waits in an empty queue, whatever time is reported.
        oldest: row.time("earliestQueueTime").ok().flatten().filter(|_| queue != Some(0)),
        agents,
        inside: count("inSLA"),
        outside: count("outSLA"),
        level: thousandths(row, "serviceLevel"),
        goal: thousandths(row, "serviceLevelGoal"),
    })
}

/// A percentage as thousandths; `None` where it is none from 0 to 100.
fn thousandths(row: &JsonObject<'_>, name: &str) -> Option<u64> {
    let text = row.text(name)?;
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tenths = fraction.bytes().next().map_or(0, |digit| u64::from(digit - b'0'));
    let whole: u64 = whole.parse().ok()?;
    Some(whole.checked_mul(10)? + tenths).filter(|thousandths| *thousandths <= 1_000)
}

fn named(row: &JsonObject<'_>, name: &str, id: &str) -> Option<String> {
    name_or_id(row, name, id).map(|text| text.trim().to_owned())
}

fn text(row: &JsonObject<'_>, name: &str) -> Option<String> {
    row.text(name).map(|text| match text {
        Cow::Borrowed(text) => text.trim().to_owned(),
        Cow::Owned(text) => text.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxone_core::time::Timestamp;

    fn codes() -> UnavailableCodes {
        let mut codes = UnavailableCodes::default();
        for row in [
            r#"{"id":11,"name":"After call","isACW":true}"#,
            r#"{"id":12,"name":"Lunch","isACW":false}"#,
        ] {
            codes.take(JsonObject::parse(row).unwrap());
        }
        codes
    }

    fn read(row: &str) -> Option<LiveRow> {
        JsonObject::parse(row).unwrap().and_then(|row| agent(&row, &codes()))
    }

    #[test]
    fn a_row_in_the_documented_form_is_read() {
        let row = r#"{"agentId":4711,"agentStateId":3,"agentStateName":"InboundContact","isACW":false,"isActive":true,"isOutbound":false,
            "contactId":99,"openContacts":1,"outStateId":null,"outStateDescription":"","startDate":"2023-10-27T08:00:00.123Z",
            "skillId":7,"skillName":"Sales","teamId":3,"teamName":"North","userName":"ann@example.org","firstName":"Ann","lastName":"Lee"}"#;
        let expected = LiveRow {
            agent: "4711".to_owned(),
            agent_name: "Ann Lee".to_owned(),
            state: "InboundContact".to_owned(),
            reason: None,
            skill: "Sales".to_owned(),
            team: "North".to_owned(),
            start: Some(Timestamp::from_millis(1_698_393_600_123)),
        };
        assert_eq!(read(row), Some(expected));
    }

    #[test]
    fn keys_in_any_case_and_values_as_strings_or_null_are_read() {
        let row = r#"{"AGENTID":" 4711 ","AgentStateID":"2","agentstatename":null,"IsAcw":"False","outstateid":"12","OutStateDescription":null,
            "StartDate":"2023-10-27T08:00:00","SkillName":null,"TeamName":"","UserName":"ann"}"#;
        let read = read(row).unwrap();
        assert_eq!(
            (read.agent.as_str(), read.state.as_str(), read.reason.as_deref()),
            ("4711", UNAVAILABLE, Some("Lunch"))
        );
        assert_eq!(
            (read.skill.as_str(), read.team.as_str(), read.agent_name.as_str()),
            ("", "", "ann")
        );
        assert_eq!(read.start, Some(Timestamp::from_millis(1_698_393_600_000)));
    }

    #[test]
    fn what_has_no_name_is_called_by_its_id() {
        let row = read(
            r#"{"agentId":1,"agentStateId":2,"outStateId":77,"skillId":7,"teamId":"3","teamName":""}"#,
        )
        .unwrap();
        assert_eq!(
            (row.reason.as_deref(), row.skill.as_str(), row.team.as_str()),
            (Some("77"), "7", "3")
        );
        let skill = |row: &str| {
            JsonObject::parse(row).unwrap().and_then(|row| skill(&row)).map(|row| row.skill)
        };
        assert_eq!(skill(r#"{"skillId":7,"skillName":" "}"#).as_deref(), Some("7"));
        assert_eq!(skill(r#"{"skillId":0}"#), None);
    }

    #[test]
    fn wrap_up_is_the_flag_of_the_row_or_of_its_code() {
        for (fields, state, reason) in [
            (r#""agentStateId":2,"isACW":true"#, WRAP_UP, None),
            (r#""agentStateId":2,"isACW":"1""#, WRAP_UP, None),
            (r#""agentStateId":2,"agentStateName":"Nicht bereit""#, "Nicht bereit", Some("")),
            (r#""agentStateId":2,"outStateId":"11""#, WRAP_UP, None),
            (
                r#""agentStateId":2,"outStateId":12,"outStateDescription":"Pause""#,
                UNAVAILABLE,
                Some("Pause"),
            ),
            (
                r#""agentStateId":2,"outStateId":-1,"outStateDescription":"Refused""#,
                UNAVAILABLE,
                Some("Refused"),
            ),
            (r#""agentStateId":2"#, UNAVAILABLE, Some("")),
            (r#""agentStateName":"Unavailable""#, UNAVAILABLE, Some("")),
            (r#""agentStateId":0"#, "LoggedOut", None),
            (r#""agentStateId":8.0"#, "LoggedIn", None),
            (r#""agentStateId":77,"agentStateName":"Callback Pending""#, "Callback Pending", None),
        ] {
            let read = read(&format!(r#"{{"agentId":1,{fields}}}"#)).unwrap();
            assert_eq!((read.state.as_str(), read.reason.as_deref()), (state, reason), "{fields}");
        }
    }

    #[test]
    fn a_row_without_an_agent_or_a_state_is_none_and_a_bad_start_costs_only_itself() {
        for row in [
            "7",
            "null",
            "[]",
            "{}",
            r#"{"agentId":1}"#,
            r#"{"agentId":null,"agentStateId":1}"#,
            r#"{"agentId":" ","agentStateId":1}"#,
            r#"{"agentId":1,"agentStateId":99}"#,
            r#"{"agentId":{},"agentStateId":1}"#,
            r#"{"agentId":1,"agentStateId":[],"agentStateName":{}}"#,
        ] {
            assert_eq!(read(row), None, "{row}");
        }
        for start in [
            "null",
            "7",
            "{}",
            "\"yesterday\"",
            "\"2023-10-27\"",
            "\"\"",
            "\"0001-01-01T00:00:00Z\"",
            "\"9999-12-31T23:59:59Z\"",
        ] {
            let read =
                read(&format!(r#"{{"agentId":1,"agentStateId":1,"startDate":{start}}}"#)).unwrap();
            assert_eq!((read.start, read.state.as_str()), (None, "Available"), "{start}");
        }
    }

    #[test]
    fn a_skill_is_read_with_what_it_reports_and_nothing_else() {
        let read = |row: &str| JsonObject::parse(row).unwrap().and_then(|row| skill(&row));
        let row = read(
            r#"{"skillId":7,"skillName":"Sales","agentsACW":1,"AgentsAvailable":"2","agentsIdle":null,"agentsLoggedIn":5,"agentsUnavailable":-1,
            "agentsWorking":"many","queueCount":"3","earliestQueueTime":"2023-10-27T08:00:00.1234567Z","inSLA":8,"outSLA":2.0,
            "serviceLevel":"80.55","serviceLevelGoal":90}"#,
        )
        .unwrap();
        assert_eq!(
            (row.skill.as_str(), row.queue, row.agents),
            ("Sales", Some(3), [Some(1), Some(2), None, Some(5), None, None])
        );
        assert_eq!(row.oldest, Some(Timestamp::from_millis(1_698_393_600_123)));
        assert_eq!(
            (row.inside, row.outside, row.level, row.goal),
            (Some(8), Some(2), Some(805), Some(900))
        );
        let empty = read(
            r#"{"skillName":"Sales","queueCount":0,"earliestQueueTime":"2023-10-27T08:00:00Z","serviceLevel":101,"serviceLevelGoal":"x"}"#,
        )
        .unwrap();
        assert_eq!(
            (empty.queue, empty.oldest, empty.level, empty.goal),
            (Some(0), None, None, None)
        );
        for row in ["{}", r#"{"skillName":null}"#, r#"{"skillName":" "}"#, "[]"] {
            assert_eq!(read(row), None, "{row}");
        }
    }

    #[test]
    fn percentages_are_taken_to_the_tenth() {
        let of = |level: &str| {
            thousandths(
                &JsonObject::parse(&format!(r#"{{"level":{level}}}"#)).unwrap().unwrap(),
                "level",
            )
        };
        for (level, expected) in [
            ("0", Some(0)),
            ("100", Some(1000)),
            ("\"87.5\"", Some(875)),
            ("87.59", Some(875)),
            ("100.1", None),
            ("-1", None),
            ("8e1", None),
            ("\"\"", None),
            ("\".5\"", None),
            ("true", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(of(level), expected, "{level}");
        }
    }
}
