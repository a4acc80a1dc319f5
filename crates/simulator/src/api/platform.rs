//! The platform's API in front of the floor: sign-in, live states, history, codes, skills.

mod call;
mod page;
mod sign_in;

use bytes::Bytes;
use http::header::{HOST, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use super::super::counters::CallRecord;
use super::super::endpoint::ApiEndpoint;
use super::super::faults::{Faults, Quirk};
use super::super::floor::AgentProfile;
use super::super::platform::{Past, activities, codes, live, past};
use super::super::platform::{TENANT, wire::Person};
use super::super::random::hash;
use super::Simulator;
use super::answer::{Reply, method_not_allowed, throttled};
pub(super) use call::Call;
use call::Query;
use page::{List, Teller};

/// Where the API says in words what was wrong.
const STATUS_DESCRIPTION: HeaderName = HeaderName::from_static("icstatusdescription");

/// One request, as far as all calls need it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    now: Timestamp,
    request: &'a Request<Bytes>,
    faults: &'a Faults,
    /// A number of this request, for what is by chance.
    chance: u64,
}

impl Simulator {
    /// What the platform's API answers to `call`.
    pub(super) fn platform(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        call: &Call<'_>,
        chance: u64,
    ) -> Reply {
        let faults = self.desk().faults.clone();
        let asked = Asked { now, request, faults: &faults, chance };
        let method =
            if call.endpoint() == ApiEndpoint::SignIn { Method::POST } else { Method::GET };
        if request.method() != method {
            return method_not_allowed(if method == Method::POST { "POST" } else { "GET" });
        }
        match call {
            Call::OpenIdConfiguration => self.open_id_configuration(asked),
            Call::TenantConfiguration => self.tenant_configuration(asked),
            Call::Token => self.platform_token(asked),
            Call::AccessKey => self.access_key_token(asked),
            Call::States
            | Call::History
            | Call::AgentHistory(_)
            | Call::Codes
            | Call::Skills
            | Call::Agents
            | Call::BusinessUnit
            | Call::UnknownVersion => self
                .with_token(asked, call)
                .and_then(|()| self.read(asked, call))
                .unwrap_or_else(std::convert::identity),
        }
    }

    /// Whether the token is good and the minute has room for the call; else what it is answered.
    fn with_token(&self, asked: Asked<'_>, call: &Call<'_>) -> Result<(), Reply> {
        let mut desk = self.desk();
        if !desk.platform_tokens.admit(asked.now, asked.request) {
            let reply = denied(
                StatusCode::UNAUTHORIZED,
                "The token is missing, unknown, expired or revoked.",
                asked.chance,
            );
            return Err(reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if !self.options.scope_granted {
            return Err(denied(
                StatusCode::FORBIDDEN,
                "The role does not allow this call.",
                asked.chance,
            ));
        }
        let calls = desk.counters.called(CallRecord { at: asked.now, endpoint: call.endpoint() });
        if self
            .options
            .calls_per_minute
            .is_some_and(|limit| calls > usize::try_from(limit.get()).unwrap_or(usize::MAX))
        {
            desk.counters.calls_over_quota += 1;
            return Err(throttled(None));
        }
        Ok(())
    }

    fn read(&self, asked: Asked<'_>, call: &Call<'_>) -> Result<Reply, Reply> {
        let query = Query::read(asked.request)
            .map_err(|wrong| denied(StatusCode::BAD_REQUEST, &wrong, asked.chance))?;
        let teller = Teller { asked, query: &query, most_rows: self.options.page_rows };
        let list = |name, rows| Ok(teller.tell(List { name, rows, poll_time: None }));
        match call {
            Call::States => Ok(self.states(asked, &teller)),
            Call::History => self.history(asked, &teller, None),
            Call::AgentHistory(agent) => self.history(asked, &teller, Some(agent)),
            Call::Codes => list("unavailableCodes", rows(asked, codes())),
            Call::Skills => {
                let shown = |agent: &AgentProfile| self.shows(asked.faults, agent);
                list("skillActivity", rows(asked, activities(&self.floor, asked.now, &shown)))
            }
            Call::Agents => {
                let agents = self.floor.agents().filter(|agent| self.shows(asked.faults, agent));
                list("agents", rows(asked, agents.map(Person::new)))
            }
            Call::BusinessUnit => {
                let unit = json!({"businessUnitId": 4_594_001, "businessUnitName": "Simulated", "tenantId": TENANT, "isActive": true});
                Ok(teller.odd(StatusCode::OK, &json!({"businessUnits": [unit]})))
            }
            Call::UnknownVersion => {
                Err(denied(StatusCode::NOT_FOUND, "There is no such version.", asked.chance))
            }
            Call::OpenIdConfiguration
            | Call::TenantConfiguration
            | Call::Token
            | Call::AccessKey => {
                Err(denied(StatusCode::NOT_FOUND, "There is nothing at this path.", asked.chance))
            }
        }
    }

    fn states(&self, asked: Asked<'_>, teller: &Teller<'_>) -> Reply {
        let agents =
            self.floor.agents().enumerate().filter(|(_, agent)| self.shows(asked.faults, agent));
        let live = agents.filter_map(|(index, agent)| live(&self.floor, index, agent, asked.now));
        let since = teller.query.updated_since;
        let rows = rows(
            asked,
            live.filter(|live| since.is_none_or(|since| live.since >= since)).map(|live| live.row),
        );
        if rows.is_empty() && since.is_some() && asked.odd(Quirk::NotModified).is_some() {
            return Reply::empty(StatusCode::NOT_MODIFIED);
        }
        teller.tell(List { name: "agentStates", rows, poll_time: Some(asked.now) })
    }

    fn history(
        &self,
        asked: Asked<'_>,
        teller: &Teller<'_>,
        agent: Option<&str>,
    ) -> Result<Reply, Reply> {
        if let (None, Some(how)) = (agent, asked.odd(Quirk::NoAllHistory)) {
            let status = if how.is_multiple_of(2) {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            return Err(denied(status, "There is no such call.", asked.chance));
        }
        let query = teller.query;
        let Some(from) = query.start_date else {
            return Err(denied(StatusCode::BAD_REQUEST, "startDate is missing.", asked.chance));
        };
        let window = Window { from, to: query.end_date.unwrap_or(asked.now) };
        if window.from >= window.to {
            return Err(denied(
                StatusCode::BAD_REQUEST,
                "startDate must be before endDate.",
                asked.chance,
            ));
        }
        let all = || self.floor.agents().enumerate();
        if agent.is_some_and(|wanted| {
            !all().any(|(_, agent)| agent.platform_id().to_string() == wanted)
        }) {
            return Err(denied(StatusCode::NOT_FOUND, "There is no such agent.", asked.chance));
        }
        let agents = all().filter(|(_, profile)| {
            agent.is_none_or(|wanted| profile.platform_id().to_string() == wanted)
        });
        let question = Past {
            asked: asked.now,
            window,
            updated_since: query.updated_since,
            rows: self.options.history,
            oldest: self
                .options
                .retention
                .map_or(Timestamp::MIN, |retention| asked.now.minus(retention)),
            faults: asked.faults,
        };
        let told = past(
            &self.floor,
            agents.filter(|(_, agent)| self.shows(asked.faults, agent)),
            &question,
        );
        let rows = told.into_iter().map(|row| (row.key, row.value)).collect();
        Ok(teller.tell(List { name: "agentStateHistory", rows, poll_time: None }))
    }

    /// Whether this role is told of `agent`.
    fn shows(&self, faults: &Faults, agent: &AgentProfile) -> bool {
        faults
            .odd(hash(self.options.seed, &[u64::from(agent.index), 7]), Quirk::HiddenAgents)
            .is_none()
    }
}

/// These rows, each with a number that its quirks follow from.
fn rows<Row: serde::Serialize>(
    asked: Asked<'_>,
    rows: impl IntoIterator<Item = Row>,
) -> Vec<(u64, Value)> {
    rows.into_iter()
        .zip(0_u64..)
        .map(|(row, place)| (hash(asked.chance, &[place]), json!(row)))
        .collect()
}

impl Asked<'_> {
    /// Whether the answer has this quirk: then a number that its details follow from.
    fn odd(&self, quirk: Quirk) -> Option<u64> {
        self.faults.odd(self.chance, quirk)
    }

    /// Scheme and host that the request was sent to, as far as it and a proxy in front of the
    /// simulator tell.
    fn origin(&self) -> String {
        if let (Some(scheme), Some(authority)) =
            (self.request.uri().scheme_str(), self.request.uri().authority())
        {
            return format!("{scheme}://{authority}");
        }
        let header = |name: HeaderName| {
            self.request.headers().get(name).and_then(|value| value.to_str().ok())
        };
        let scheme = header(HeaderName::from_static("x-forwarded-proto")).unwrap_or("http");
        format!("{scheme}://{}", header(HOST).unwrap_or("localhost"))
    }
}

/// A refusal: what is wrong stands in a header, and by chance in a body too.
fn denied(status: StatusCode, why: &str, chance: u64) -> Reply {
    let reply = if chance.is_multiple_of(2) {
        Reply::json(status, &json!({"error": status.canonical_reason(), "error_description": why}))
    } else {
        Reply::empty(status)
    };
    match HeaderValue::from_str(why) {
        Ok(why) => reply.with(STATUS_DESCRIPTION, why),
        Err(_) => reply,
    }
}
