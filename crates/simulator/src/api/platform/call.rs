//! Which call a path is, and what a query asks for.

use bytes::Bytes;
use http::Request;

use cxone_core::time::Timestamp;

use super::super::super::endpoint::ApiEndpoint;

/// The versions of the API that there are.
const VERSIONS: std::ops::RangeInclusive<u32> = 21..=35;

/// A call of the platform's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Call<'a> {
    OpenIdConfiguration,
    TenantConfiguration,
    Token,
    AccessKey,
    States,
    History,
    /// Of the agent with this id.
    AgentHistory(&'a str),
    Codes,
    Skills,
    Agents,
    BusinessUnit,
    UnknownVersion,
}

impl<'a> Call<'a> {
    /// The call at `path`, if it is one of the platform's. Below the base the case does not matter,
    /// nor does a slash too many: clients write both.
    pub(in super::super) fn at(path: &'a str) -> Option<Self> {
        match path {
            "/.well-known/openid-configuration" => return Some(Self::OpenIdConfiguration),
            "/.well-known/cxone-configuration" => return Some(Self::TenantConfiguration),
            "/auth/token" => return Some(Self::Token),
            "/authentication/v1/token/access-key" => return Some(Self::AccessKey),
            _ => {}
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let is = |part: &str, name: &str| part.eq_ignore_ascii_case(name);
        let [base, services, version, rest @ ..] = parts.as_slice() else { return None };
        if !is(base, "incontactapi") || !is(services, "services") {
            return None;
        }
        let number = version
            .strip_prefix(['v', 'V'])
            .and_then(|number| number.strip_suffix(".0"))
            .and_then(|number| number.parse().ok());
        if !number.is_some_and(|number| VERSIONS.contains(&number)) {
            return Some(Self::UnknownVersion);
        }
        match rest {
            [agents] if is(agents, "agents") => Some(Self::Agents),
            [unit] if is(unit, "business-unit") => Some(Self::BusinessUnit),
            [codes] if is(codes, "unavailable-codes") => Some(Self::Codes),
            [skills, activity] if is(skills, "skills") && is(activity, "activity") => {
                Some(Self::Skills)
            }
            [agents, states] if is(agents, "agents") && is(states, "states") => Some(Self::States),
            [agents, history] if is(agents, "agents") && is(history, "state-history") => {
                Some(Self::History)
            }
            [agents, id, history]
                if is(agents, "agents")
                    && (is(history, "state-history") || is(history, "statehistory")) =>
            {
                Some(Self::AgentHistory(id))
            }
            _ => None,
        }
    }

    pub(in super::super) fn endpoint(&self) -> ApiEndpoint {
        match self {
            Self::OpenIdConfiguration | Self::TenantConfiguration => ApiEndpoint::Discovery,
            Self::Token | Self::AccessKey => ApiEndpoint::SignIn,
            Self::States => ApiEndpoint::States,
            Self::History => ApiEndpoint::History,
            Self::AgentHistory(_) => ApiEndpoint::AgentHistory,
            Self::Codes => ApiEndpoint::Codes,
            Self::Skills => ApiEndpoint::Skills,
            Self::Agents | Self::BusinessUnit => ApiEndpoint::Directory,
            Self::UnknownVersion => ApiEndpoint::Other,
        }
    }
}

/// What a query says. Names are known in any case; unknown ones are left alone, as the API does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) start_date: Option<Timestamp>,
    pub(super) end_date: Option<Timestamp>,
    pub(super) updated_since: Option<Timestamp>,
    pub(super) skip: usize,
    pub(super) top: Option<usize>,
    /// The fields that rows are to have; none: all.
    pub(super) fields: Vec<String>,
}

impl Query {
    /// Reads the query of `request`; else what is wrong with it.
    pub(super) fn read(request: &Request<Bytes>) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        {
            if value.is_empty() {
                continue;
            }
            let time = || {
                let time: Result<jiff::Timestamp, _> = value.parse();
                time.map(|time| Timestamp::from_millis(time.as_millisecond()))
                    .map_err(|_| format!("{name} is no time."))
            };
            let count = || value.parse::<usize>().map_err(|_| format!("{name} is no count."));
            match name.to_ascii_lowercase().as_str() {
                "startdate" => query.start_date = Some(time()?),
                "enddate" => query.end_date = Some(time()?),
                "updatedsince" => query.updated_since = Some(time()?),
                "skip" => query.skip = count()?,
                "top" => query.top = Some(count()?),
                "fields" => {
                    query.fields = value.split(',').map(|field| field.trim().to_owned()).collect()
                }
                _ => {}
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_in_any_case_and_with_slashes_too_many() {
        let base = "/incontactapi/services/v30.0";
        for (path, call) in [
            ("/inContactAPI/services/v21.0/agents/states", Some(Call::States)),
            ("/incontactApi//services/v28.0/agents/states", Some(Call::States)),
            (&format!("{base}/agents/state-history"), Some(Call::History)),
            (&format!("{base}/agents/100001/state-history"), Some(Call::AgentHistory("100001"))),
            (&format!("{base}/agents/100001/stateHistory"), Some(Call::AgentHistory("100001"))),
            (&format!("{base}/unavailable-codes"), Some(Call::Codes)),
            (&format!("{base}/skills/activity"), Some(Call::Skills)),
            (&format!("{base}/agents"), Some(Call::Agents)),
            (&format!("{base}/nothing"), None),
            ("/incontactapi/services/v20.0/agents/states", Some(Call::UnknownVersion)),
            ("/incontactapi/services/v30/agents/states", Some(Call::UnknownVersion)),
            ("/api/v2/reports", None),
            ("/auth/token", Some(Call::Token)),
            ("/Auth/Token", None),
        ] {
            assert_eq!(Call::at(path), call, "{path}");
        }
    }

    #[test]
    fn queries_are_read_strictly_but_for_names_that_nobody_knows() {
        let read = |query: &str| {
            Query::read(&Request::get(format!("/x?{query}")).body(Bytes::new()).expect("a request"))
        };
        let query = read("startDate=2023-10-27T08:00:00Z&SKIP=7&top=3&fields=agentId,%20startDate&orderBy=x&updatedSince=").expect("right");
        assert_eq!(query.start_date, Some(Timestamp::from_millis(1_698_393_600_000)));
        assert_eq!((query.skip, query.top, query.updated_since), (7, Some(3), None));
        assert_eq!(query.fields, ["agentId", "startDate"]);
        for wrong in ["startDate=yesterday", "endDate=2023-10-27T08:00:00", "skip=-1", "top=many"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
