//! The calls of the platform API, and their parameters.

use bytes::Bytes;
use http::Request;

use cxone_core::time::Timestamp;

use crate::endpoint::SimulatedEndpoint;

/// The supported versions of the API.
const VERSIONS: std::ops::RangeInclusive<u32> = 21..=35;

/// A call of the platform API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlatformRoute<'a> {
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

impl<'a> PlatformRoute<'a> {
    /// The call at `path`, if it is one of the platform API. Below the base, case and repeated
    /// slashes do not matter: clients write all of them.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        match path {
            "/.well-known/openid-configuration" => return Some(Self::OpenIdConfiguration),
            "/.well-known/cxone-configuration" => return Some(Self::TenantConfiguration),
            "/auth/token" => return Some(Self::Token),
            "/authentication/v1/token/access-key" => return Some(Self::AccessKey),
            _ => {}
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let lower: Vec<String> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let ["incontactapi", "services", version, call @ ..] = lower.as_slice() else {
            return None;
        };
        let number = version.strip_prefix('v').and_then(|number| number.strip_suffix(".0"));
        if !number.and_then(|number| number.parse().ok()).is_some_and(|it| VERSIONS.contains(&it)) {
            return Some(Self::UnknownVersion);
        }
        match call {
            ["agents"] => Some(Self::Agents),
            ["business-unit"] => Some(Self::BusinessUnit),
            ["unavailable-codes"] => Some(Self::Codes),
            ["skills", "activity"] => Some(Self::Skills),
            ["agents", "states"] => Some(Self::States),
            ["agents", "state-history"] => Some(Self::History),
            ["agents", _, "state-history" | "statehistory"] => Some(Self::AgentHistory(parts[4])),
            _ => None,
        }
    }

    pub(crate) fn endpoint(&self) -> SimulatedEndpoint {
        match self {
            Self::OpenIdConfiguration | Self::TenantConfiguration => SimulatedEndpoint::Discovery,
            Self::Token | Self::AccessKey => SimulatedEndpoint::SignIn,
            Self::States => SimulatedEndpoint::States,
            Self::History => SimulatedEndpoint::History,
            Self::AgentHistory(_) => SimulatedEndpoint::AgentHistory,
            Self::Codes => SimulatedEndpoint::Codes,
            Self::Skills => SimulatedEndpoint::Skills,
            Self::Agents | Self::BusinessUnit => SimulatedEndpoint::Directory,
            Self::UnknownVersion => SimulatedEndpoint::Other,
        }
    }
}

/// The query string of a call. Names are matched in any case, unknown ones are ignored, as CXone
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) start_date: Option<Timestamp>,
    pub(super) end_date: Option<Timestamp>,
    pub(super) updated_since: Option<Timestamp>,
    pub(super) skip: usize,
    pub(super) top: Option<usize>,
    /// The fields of the rows; empty: all.
    pub(super) fields: Vec<String>,
}

impl ListQuery {
    /// Reads the query string of `request`; the error says what is wrong with it.
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
                    .map_err(|_| format!("{name} is not a valid time."))
            };
            let count =
                || value.parse::<usize>().map_err(|_| format!("{name} is not a valid number."));
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
    fn routes_are_matched_in_any_case_and_with_repeated_slashes() {
        let base = "/incontactapi/services/v30.0";
        for (path, route) in [
            ("/inContactAPI/services/v21.0/agents/states", Some(PlatformRoute::States)),
            ("/incontactApi//services/v28.0/agents/states", Some(PlatformRoute::States)),
            (&format!("{base}/agents/state-history"), Some(PlatformRoute::History)),
            (
                &format!("{base}/agents/100001/state-history"),
                Some(PlatformRoute::AgentHistory("100001")),
            ),
            (
                &format!("{base}/agents/100001/stateHistory"),
                Some(PlatformRoute::AgentHistory("100001")),
            ),
            (&format!("{base}/unavailable-codes"), Some(PlatformRoute::Codes)),
            (&format!("{base}/skills/activity"), Some(PlatformRoute::Skills)),
            (&format!("{base}/agents"), Some(PlatformRoute::Agents)),
            (&format!("{base}/nothing"), None),
            ("/incontactapi/services/v20.0/agents/states", Some(PlatformRoute::UnknownVersion)),
            ("/incontactapi/services/v30/agents/states", Some(PlatformRoute::UnknownVersion)),
            ("/api/v2/reports", None),
            ("/auth/token", Some(PlatformRoute::Token)),
            ("/Auth/Token", None),
        ] {
            assert_eq!(PlatformRoute::parse(path), route, "{path}");
        }
    }

    #[test]
    fn queries_are_parsed_strictly_except_for_unknown_names() {
        let read = |query: &str| {
            ListQuery::read(
                &Request::get(format!("/x?{query}")).body(Bytes::new()).expect("a request"),
            )
        };
        let query = read("startDate=2023-10-27T08:00:00Z&SKIP=7&top=3&fields=agentId,%20startDate&orderBy=x&updatedSince=").expect("valid");
        assert_eq!(query.start_date, Some(Timestamp::from_millis(1_698_393_600_000)));
        assert_eq!((query.skip, query.top, query.updated_since), (7, Some(3), None));
        assert_eq!(query.fields, ["agentId", "startDate"]);
        for wrong in ["startDate=yesterday", "endDate=2023-10-27T08:00:00", "skip=-1", "top=many"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
