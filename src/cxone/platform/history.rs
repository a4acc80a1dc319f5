//! A row of the state history → a visit, or the reason why it is none.

use std::borrow::Cow;

use super::codes::UnavailableCodes;
use super::list::Element;
use super::object::{JsonObject, timestamp};
use cxone_core::live::UNAVAILABLE;
use cxone_core::names::WRAP_UP;
use cxone_core::report::{RawRow, RowRejection};

/// The member with the rows.
pub(crate) const LIST: &str = "agentStateHistory";

/// The id of the state in which an agent does not take contacts.
pub(crate) const UNAVAILABLE_ID: i64 = 2;

/// The names of the states by id, for rows that have no name. Source: NICE's developer
/// documentation.
const STATES: [&str; 9] = [
    "LoggedOut",
    "Available",
    UNAVAILABLE,
    "InboundContact",
    "OutboundContact",
    "InboundConsult",
    "OutboundConsult",
    "Dialer",
    "LoggedIn",
];

/// Reads one row. `agent` is whom the call asked for, if it asked for one: such rows need not name
/// the agent.
///
/// # Errors
/// When the row is not valid.
pub(crate) fn read<'a>(
    row: &Element<'a>,
    agent: Option<&'a str>,
    codes: &UnavailableCodes,
) -> Result<RawRow<'a>, RowRejection> {
    let row = row.as_ref().ok_or(RowRejection::NotAnObject)?;
    let user_id =
        trimmed(row, "agentId").or(agent.map(Cow::Borrowed)).ok_or(RowRejection::NoAgent)?;
    let state_name = state_name(row, codes).ok_or(RowRejection::NoState)?;
    let start = row.nanos("startDate").ok().flatten().ok_or(RowRejection::BadTime)?;
    let duration = row.span("duration").map_err(|_| RowRejection::BadTime)?;
    if duration.is_some_and(|duration| duration < 0) {
        return Err(RowRejection::EndsBeforeStart);
    }
    Ok(RawRow {
        user_id,
        user_name: Cow::Borrowed(""),
        state_name,
        state_id: trimmed(row, "agentStateId").unwrap_or_default(),
        skill_name: name_or_id(row, "skillName", "skillId").unwrap_or_default(),
        count: 1,
        from: timestamp(start),
        to: duration.map(|duration| timestamp(start + duration)),
    })
}

/// The state that a row reports, live or of the history: Wrap-up if the row or its code says so,
/// `Unavailable` for every other code of that state, else the name as CXone reports it.
pub fn state_name<'a>(row: &JsonObject<'a>, codes: &UnavailableCodes) -> Option<Cow<'a, str>> {
    let id = row.whole("agentStateId");
    let name = row.text("agentStateName").filter(|name| !name.trim().is_empty());
    let code = code_of(row);
    let is_unavailable = is_unavailable(id, name.as_deref(), code.as_deref());
    if is_unavailable
        && (row.flag("isACW") == Some(true)
            || code.as_deref().is_some_and(|code| codes.is_acw(code)))
    {
        return Some(Cow::Borrowed(WRAP_UP));
    }
    if is_unavailable && code.is_some_and(|code| code != "0") {
        return Some(Cow::Borrowed(UNAVAILABLE));
    }
    let by_id =
        || id.and_then(|id| STATES.get(usize::try_from(id).ok()?)).map(|name| Cow::Borrowed(*name));
    name.or_else(by_id)
}

fn code_of(row: &JsonObject<'_>) -> Option<String> {
    row.text("outStateId").map(|code| code.trim().to_owned())
}

fn is_unavailable(id: Option<i64>, name: Option<&str>, code: Option<&str>) -> bool {
    match (id, name) {
        (Some(id), _) => id == UNAVAILABLE_ID,
        (None, Some(name)) => name.eq_ignore_ascii_case(UNAVAILABLE),
        (None, None) => code.is_some(),
    }
}

/// The code that a row names, if the state depends on it and it is none of `codes`: it may have
/// been made since they were read. Those of the system, which are 0 and less, are in no list.
pub(crate) fn unknown_code(row: &JsonObject<'_>, codes: &UnavailableCodes) -> Option<String> {
    let code = code_of(row).filter(|code| codes.find(code).is_none())?;
    let is_of_system = code.parse::<i64>().is_ok_and(|number| number <= 0);
    let name = row.text("agentStateName").filter(|name| !name.trim().is_empty());
    let depends = is_unavailable(row.whole("agentStateId"), name.as_deref(), Some(&code))
        && row.flag("isACW") != Some(true);
    (depends && !is_of_system && !code.is_empty()).then_some(code)
}

/// The member `name`, or the member `id` where that is missing or blank; an id of 0 or less does
/// not count.
pub(crate) fn name_or_id<'a>(row: &JsonObject<'a>, name: &str, id: &str) -> Option<Cow<'a, str>> {
    row.text(name).filter(|name| !name.trim().is_empty()).or_else(|| {
        trimmed(row, id).filter(|id| !id.parse::<f64>().is_ok_and(|number| number <= 0.0))
    })
}

fn trimmed<'a>(row: &JsonObject<'a>, name: &str) -> Option<Cow<'a, str>> {
    let text = row.text(name)?;
    let inner = text.trim();
    if inner.is_empty() {
        None
    } else if inner.len() == text.len() {
        Some(text)
    } else {
        Some(Cow::Owned(inner.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> UnavailableCodes {
        let mut codes = UnavailableCodes::default();
        for row in [
            r#"{"id":11,"name":"After call","isACW":true}"#,
            r#"{"id":12,"name":"Break","isACW":false}"#,
        ] {
            codes.take(JsonObject::parse(row).unwrap());
        }
        codes
    }

    fn read_row(row: &str) -> Result<(String, String, String, i64, Option<i64>), RowRejection> {
        let element = JsonObject::parse(row).unwrap();
        let row = read(&element, None, &codes())?;
        let (agent, state, skill) =
            (row.user_id.into_owned(), row.state_name.into_owned(), row.skill_name.into_owned());
        Ok((
            agent,
            state,
            skill,
            row.from.millis() - 1_698_393_600_000,
            row.to.map(|to| to.millis() - 1_698_393_600_000),
        ))
    }

    #[test]
    fn the_documented_row_is_read() {
        let row = r#"{"stateIndex":3,"startDate":"2023-10-27T08:00:00.000Z","agentId":1234,"agentStateId":3,"agentStateName":"InboundContact",
            "agentSessionId":99,"contactId":5,"skillId":7,"skillName":"English","mediaTypeId":4,"outStateId":0,"outStateDescription":null,
            "duration":"PT5M16.976S","isOutbound":false,"teamId":1}"#;
        assert_eq!(
            read_row(row),
            Ok(("1234".into(), "InboundContact".into(), "English".into(), 0, Some(316_976)))
        );
    }

    #[test]
    fn a_skill_without_a_name_is_called_by_its_id() {
        let skill = |members: &str| {
            read_row(&format!(
                r#"{{"startDate":"2023-10-27T08:00:00Z","agentId":1,"agentStateId":3,{members}}}"#
            ))
            .map(|row| row.2)
        };
        for (members, expected) in [
            (r#""skillId":7,"skillName":"English""#, "English"),
            (r#""skillId":7,"skillName":null"#, "7"),
            (r#""SkillID":" 7 ","SkillName":" ""#, "7"),
            (r#""skillId":"s-7""#, "s-7"),
            (r#""skillId":0"#, ""),
            (r#""skillId":"0","skillName":"""#, ""),
            (r#""skillId":-1"#, ""),
            (r#""skillId":null"#, ""),
            (r#""skillId":{}"#, ""),
        ] {
            assert_eq!(skill(members).as_deref(), Ok(expected), "{members}");
        }
    }

    #[test]
    fn only_a_code_of_the_tenant_that_makes_a_difference_is_asked_for() {
        let unknown = |members: &str| {
            let text = format!("{{{members}}}");
            unknown_code(&JsonObject::parse(&text).unwrap().unwrap(), &codes())
        };
        for members in [
            r#""agentStateId":2,"outStateId":13"#,
            r#""agentStateId":"2","outStateId":" 13 ","isACW":"False""#,
            r#""agentStateName":"Unavailable","outStateId":"13""#,
        ] {
            assert_eq!(unknown(members).as_deref(), Some("13"), "{members}");
        }
        for members in [
            r#""agentStateId":2,"outStateId":11"#,
            r#""agentStateId":2,"outStateId":0"#,
            r#""agentStateId":2,"outStateId":-4"#,
            r#""agentStateId":2,"outStateId":null"#,
            r#""agentStateId":2,"outStateId":13,"isACW":true"#,
            r#""agentStateId":1,"outStateId":13"#,
        ] {
            assert_eq!(unknown(members), None, "{members}");
        }
    }

    #[test]
    fn the_same_row_in_other_clothes_is_the_same() {
        let row = r#"{"StateIndex":"3","StartDate":"2023-10-27T08:00:00","AgentId":" 1234 ","AgentStateId":"3","AgentStateName":"InboundContact",
            "SkillName":"English","OutStateId":null,"Duration":"316.976","IsOutbound":"False","Surprise":{"a":[1]}}"#;
        assert_eq!(
            read_row(row),
            Ok(("1234".into(), "InboundContact".into(), "English".into(), 0, Some(316_976)))
        );
    }

    #[test]
    fn the_end_is_exact_where_start_and_duration_are_finer_than_a_millisecond() {
        let row = r#"{"startDate":"2023-10-27T08:00:00.0006Z","agentId":1,"agentStateId":1,"duration":"PT0.0006S"}"#;
        assert_eq!(read_row(row).map(|row| (row.3, row.4)), Ok((0, Some(1))));
    }

    #[test]
    fn a_row_without_a_duration_lasts_and_one_of_no_length_does_not() {
        let row = |duration: &str| {
            format!(
                r#"{{"startDate":"2023-10-27T08:00:00Z","agentId":1,"agentStateId":1,"duration":{duration}}}"#
            )
        };
        for duration in ["null", "\"\""] {
            assert_eq!(read_row(&row(duration)).map(|row| row.4), Ok(None), "{duration}");
        }
        for duration in ["0", "\"0\"", "\"PT0S\"", "0.0"] {
            assert_eq!(read_row(&row(duration)).map(|row| row.4), Ok(Some(0)), "{duration}");
        }
        assert_eq!(read_row(&row("-1")), Err(RowRejection::EndsBeforeStart));
        for duration in ["\"long\"", "true"] {
            assert_eq!(read_row(&row(duration)), Err(RowRejection::BadTime), "{duration}");
        }
    }

    #[test]
    fn wrap_up_is_unavailable_with_a_code_that_is_work_after_a_contact() {
        let state = |members: &str| {
            read_row(&format!(
                r#"{{"startDate":"2023-10-27T08:00:00Z","agentId":1,"duration":1,{members}}}"#
            ))
            .map(|row| row.1)
        };
        for (members, expected) in [
            (r#""agentStateId":2,"agentStateName":"Unavailable","outStateId":11"#, "Wrap-up"),
            (r#""agentStateId":"2","agentStateName":"After call","outStateId":"11""#, "Wrap-up"),
            (r#""agentStateName":"unavailable","outStateId":11"#, "Wrap-up"),
            (r#""outStateId":11"#, "Wrap-up"),
            (r#""agentStateId":2,"isACW":"true""#, "Wrap-up"),
            (r#""agentStateId":2,"agentStateName":"Break","outStateId":12"#, "Unavailable"),
            (r#""agentStateId":2,"agentStateName":"Refused","outStateId":-1"#, "Unavailable"),
            (r#""agentStateId":2,"agentStateName":"Unavailable","outStateId":0"#, "Unavailable"),
            (r#""agentStateId":2,"agentStateName":"Nicht bereit""#, "Nicht bereit"),
            (r#""agentStateId":1,"agentStateName":"Available","outStateId":11"#, "Available"),
            (r#""agentStateId":3"#, "InboundContact"),
            (r#""agentStateId":0,"agentStateName":" ""#, "LoggedOut"),
            (r#""agentStateId":42,"agentStateName":"New""#, "New"),
        ] {
            assert_eq!(state(members).as_deref(), Ok(expected), "{members}");
        }
        for members in
            [r#""agentStateId":42"#, r#""agentStateId":-1"#, r#""x":1"#, r#""agentStateId":{}"#]
        {
            assert_eq!(state(members), Err(RowRejection::NoState), "{members}");
        }
    }

    #[test]
    fn an_invalid_row_is_rejected_with_its_reason() {
        assert_eq!(read_row("[]"), Err(RowRejection::NotAnObject));
        assert_eq!(
            read_row(r#"{"startDate":"2023-10-27T08:00:00Z","agentStateId":1}"#),
            Err(RowRejection::NoAgent)
        );
        assert_eq!(
            read_row(r#"{"agentId":" ","startDate":"2023-10-27T08:00:00Z","agentStateId":1}"#),
            Err(RowRejection::NoAgent)
        );
        for start in
            ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"]
        {
            let row = format!(r#"{{"agentId":1,"agentStateId":1,"startDate":"{start}"}}"#);
            assert_eq!(read_row(&row), Err(RowRejection::BadTime), "{start}");
        }
        assert_eq!(read_row(r#"{"agentId":1,"agentStateId":1}"#), Err(RowRejection::BadTime));
        assert_eq!(
            read_row(r#"{"agentId":1,"agentStateId":1,"startDate":"today"}"#),
            Err(RowRejection::BadTime)
        );
        let nameless =
            JsonObject::parse(r#"{"startDate":"2023-10-27T08:00:00Z","agentStateId":1}"#).unwrap();
        assert_eq!(
            read(&nameless, Some("7"), &codes()).map(|row| row.user_id),
            Ok(Cow::Borrowed("7"))
        );
    }
}
