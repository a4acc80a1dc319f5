//! The platform API: sign-in, live states, history, unavailable codes and skills.

mod history;
mod list;
mod live;
mod names;
mod route;
mod sign_in;
mod wire;

use bytes::Bytes;
use http::header::{HOST, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};

use cxone_core::time::{Timestamp, Window};

use crate::counters::CallRecord;
use crate::endpoint::SimulatedEndpoint;
use crate::faults::{Faults, Quirk};
use crate::floor::AgentProfile;
use crate::random::hash;
use crate::response::{ApiReply, method_not_allowed, throttled};
use crate::tenant::SimulatedTenant;
use history::HistoryQuery;
use list::{KeyedRows, ListWriter};
use live::{live_state, skill_activity};
use names::{CODES, TENANT};
use route::ListQuery;
pub(crate) use route::PlatformRoute;
use wire::AgentRow;

/// The header with the reason of an error.
const STATUS_DESCRIPTION: HeaderName = HeaderName::from_static("icstatusdescription");

/// One request, as far as all calls need it.
#[derive(Clone, Copy)]
struct PlatformRequest<'a> {
    now: Timestamp,
    http: &'a Request<Bytes>,
    faults: &'a Faults,
    /// A number of this request, for what is by chance.
    chance: u64,
}

impl SimulatedTenant {
    /// What the platform API answers.
    pub(crate) fn platform(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        route: &PlatformRoute<'_>,
        chance: u64,
    ) -> ApiReply {
        let is_sign_in = route.endpoint() == SimulatedEndpoint::SignIn;
        if is_sign_in && request.method() != Method::POST {
            return method_not_allowed("POST");
        }
        if !is_sign_in && request.method() != Method::GET {
            return method_not_allowed("GET");
        }
        let faults = self.state().faults.clone();
        let request = PlatformRequest { now, http: request, faults: &faults, chance };
        match route {
            PlatformRoute::OpenIdConfiguration => self.open_id_configuration(request),
            PlatformRoute::TenantConfiguration => self.tenant_configuration(request),
            PlatformRoute::Token => self.password_token(request),
            PlatformRoute::AccessKey => self.token_for_access_key(request),
            PlatformRoute::States
            | PlatformRoute::History
            | PlatformRoute::AgentHistory(_)
            | PlatformRoute::Codes
            | PlatformRoute::Skills
            | PlatformRoute::Agents
            | PlatformRoute::BusinessUnit
            | PlatformRoute::UnknownVersion => self
                .admit(request, route)
                .and_then(|()| self.call(request, route))
                .unwrap_or_else(std::convert::identity),
        }
    }

    /// Whether the request has a valid token and is within the quota.
    fn admit(
        &self,
        request: PlatformRequest<'_>,
        route: &PlatformRoute<'_>,
    ) -> Result<(), ApiReply> {
        let mut state = self.state();
        if !state.platform_tokens.admits(request.now, request.http) {
            let why = "The token is missing, unknown, expired or revoked.";
            let reply = denied(StatusCode::UNAUTHORIZED, why, request.chance);
            return Err(reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if !self.options().scope_granted {
            let why = "The role does not allow this call.";
            return Err(denied(StatusCode::FORBIDDEN, why, request.chance));
        }
        let call = CallRecord { at: request.now, endpoint: route.endpoint() };
        let calls = u64::try_from(state.counters.called(call)).unwrap_or(u64::MAX);
        if self.options().calls_per_minute.is_some_and(|max| calls > u64::from(max.get())) {
            state.counters.calls_over_quota += 1;
            return Err(throttled(None));
        }
        Ok(())
    }

    fn call(
        &self,
        request: PlatformRequest<'_>,
        route: &PlatformRoute<'_>,
    ) -> Result<ApiReply, ApiReply> {
        let query = ListQuery::read(request.http)
            .map_err(|why| denied(StatusCode::BAD_REQUEST, &why, request.chance))?;
        let writer = ListWriter { request, query: &query, max_rows: self.options().page_rows };
        let list = |name, rows| Ok(writer.page(name, rows, None));
        let not_found = |why| Err(denied(StatusCode::NOT_FOUND, why, request.chance));
        match route {
            PlatformRoute::States => Ok(self.states(&writer)),
            PlatformRoute::History => self.history(&writer, None),
            PlatformRoute::AgentHistory(agent) => self.history(&writer, Some(agent)),
            PlatformRoute::Codes => list("unavailableCodes", keyed(request, CODES)),
            PlatformRoute::Skills => {
                let visible = |agent: &AgentProfile| self.is_visible(request.faults, agent);
                let activity = skill_activity(self.floor(), request.now, visible);
                list("skillActivity", keyed(request, activity))
            }
            PlatformRoute::Agents => {
                let agents =
                    self.floor().agents().filter(|agent| self.is_visible(request.faults, agent));
                list("agents", keyed(request, agents.map(AgentRow::new)))
            }
            PlatformRoute::BusinessUnit => {
                let unit = json!({
                    "businessUnitId": 4_594_001,
                    "businessUnitName": "Simulated",
                    "tenantId": TENANT,
                    "isActive": true,
                });
                Ok(writer.json(&json!({"businessUnits": [unit]})))
            }
            PlatformRoute::UnknownVersion => not_found("There is no such version."),
            PlatformRoute::OpenIdConfiguration
            | PlatformRoute::TenantConfiguration
            | PlatformRoute::Token
            | PlatformRoute::AccessKey => not_found("There is nothing at this path."),
        }
    }

    fn states(&self, writer: &ListWriter<'_>) -> ApiReply {
        let request = writer.request;
        let since = writer.query.updated_since;
        let mut rows = Vec::new();
        for (index, agent) in self.floor().agents().enumerate() {
            let Some((start, row)) = live_state(self.floor(), index, agent, request.now) else {
                continue;
            };
            if self.is_visible(request.faults, agent) && since.is_none_or(|since| start >= since) {
                rows.push(row);
            }
        }
        if rows.is_empty() && since.is_some() && request.quirk(Quirk::NotModified).is_some() {
            return ApiReply::empty(StatusCode::NOT_MODIFIED);
        }
        writer.page("agentStates", keyed(request, rows), Some(request.now))
    }

    fn history(&self, writer: &ListWriter<'_>, agent: Option<&str>) -> Result<ApiReply, ApiReply> {
        let ListWriter { request, query, .. } = *writer;
        let error = |status, why| denied(status, why, request.chance);
        if let (None, Some(number)) = (agent, request.quirk(Quirk::NoAllHistory)) {
            let status = if number.is_multiple_of(2) {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            return Err(error(status, "There is no such call."));
        }
        let from = query
            .start_date
            .ok_or_else(|| error(StatusCode::BAD_REQUEST, "startDate is missing."))?;
        let window = Window { from, to: query.end_date.unwrap_or(request.now) };
        if window.from >= window.to {
            return Err(error(StatusCode::BAD_REQUEST, "startDate must be before endDate."));
        }
        let mut agents: Vec<_> = self.floor().agents().enumerate().collect();
        if let Some(id) = agent {
            agents.retain(|(_, agent)| agent.platform_id().to_string() == id);
            if agents.is_empty() {
                return Err(error(StatusCode::NOT_FOUND, "There is no such agent."));
            }
        }
        agents.retain(|(_, agent)| self.is_visible(request.faults, agent));
        let options = self.options();
        let history = HistoryQuery {
            now: request.now,
            window,
            updated_since: query.updated_since,
            rows: options.history,
            oldest: options.retention.map_or(Timestamp::MIN, |span| request.now.minus(span)),
            faults: request.faults,
        };
        Ok(writer.page("agentStateHistory", history.rows(self.floor(), &agents), None))
    }

    /// Whether this role sees `agent`.
    fn is_visible(&self, faults: &Faults, agent: &AgentProfile) -> bool {
        let key = hash(self.options().seed, &[u64::from(agent.index), 7]);
        faults.quirk(key, Quirk::HiddenAgents).is_none()
    }
}

/// These rows, each with a number that its quirks follow from.
fn keyed<Row: serde::Serialize>(
    request: PlatformRequest<'_>,
    rows: impl IntoIterator<Item = Row>,
) -> KeyedRows {
    let rows = rows.into_iter().zip(0_u64..);
    rows.map(|(row, index)| (hash(request.chance, &[index]), json!(row))).collect()
}

impl PlatformRequest<'_> {
    /// Whether the answer has this quirk: then a number that its details follow from.
    fn quirk(&self, quirk: Quirk) -> Option<u64> {
        self.faults.quirk(self.chance, quirk)
    }

    /// Scheme and host of the request, as far as it and a proxy in front of the simulator say.
    fn origin(&self) -> String {
        let uri = self.http.uri();
        if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
            return format!("{scheme}://{authority}");
        }
        let header =
            |name: HeaderName| self.http.headers().get(name).and_then(|value| value.to_str().ok());
        let scheme = header(HeaderName::from_static("x-forwarded-proto")).unwrap_or("http");
        format!("{scheme}://{}", header(HOST).unwrap_or("localhost"))
    }
}

/// An error: its reason is in a header, and by chance in a body too.
fn denied(status: StatusCode, why: &str, chance: u64) -> ApiReply {
    let reply = if chance.is_multiple_of(2) {
        let error: Value = json!({"error": status.canonical_reason(), "error_description": why});
        ApiReply::json(status, &error)
    } else {
        ApiReply::empty(status)
    };
    with_description(reply, why)
}

fn with_description(reply: ApiReply, why: &str) -> ApiReply {
    match HeaderValue::from_str(why) {
        Ok(why) => reply.with(STATUS_DESCRIPTION, why),
        Err(_) => reply,
    }
}
