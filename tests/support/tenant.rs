//! A tenant with the documented calls of the platform API and any number of quirks, over the actual
//! visits of a simulated floor.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::{Response, Transport, TransportError};
use cxone_simulator::{AgentProfile, AgentState, Floor, Visit};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};

/// How long a request and its answer take.
const WAY: Duration = Duration::from_millis(60);

/// How the history reports an open visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// Without a duration.
    Null,
    /// With its duration so far.
    Growing,
}

/// What the tenant is like.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) open: Open,
    /// Whether the history has visits that began before the window, and not only those within it.
    pub(crate) overlapping: bool,
    /// PascalCase keys, numbers as strings, seconds instead of ISO 8601.
    pub(crate) odd: bool,
    /// The most rows of each page, one after the other.
    pub(crate) page_sizes: Vec<u64>,
    /// Whether pages have `_links`; without, 204 follows the last one.
    pub(crate) links: bool,
    /// Which calls for the history there are.
    pub(crate) calls: &'static [&'static str],
    /// Every nth request for history is answered with this status.
    pub(crate) faults: Vec<(u64, u16)>,
    pub(crate) token_life: u64,
    /// Whether the list of agents has logged-in ones only.
    pub(crate) lists_logged_in: bool,
    /// Agents whose own history is not found (404) in these spans, though they are listed.
    pub(crate) not_found: Vec<(&'static str, Window)>,
    /// Agents who are deleted at that time.
    pub(crate) deleted: Vec<(&'static str, Timestamp)>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            open: Open::Growing,
            overlapping: false,
            odd: false,
            page_sizes: vec![1000],
            links: true,
            calls: &["/agents/state-history", "each/state-history", "each/statehistory"],
            faults: Vec::new(),
            token_life: 3600,
            lists_logged_in: false,
            not_found: Vec::new(),
            deleted: Vec::new(),
        }
    }
}

/// The tenant, and the requests to it.
pub(crate) struct Tenant {
    floor: Floor,
    /// What each agent does from two days before the beginning to a day after it.
    visits: Vec<Vec<Visit>>,
    clock: Clock,
    habits: Habits,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    asked: Vec<(Timestamp, String)>,
    histories: u64,
    tokens: u64,
    token_until: Timestamp,
}

impl Tenant {
    pub(crate) fn new(floor: Floor, clock: Clock, habits: Habits) -> Self {
        let (now, day) = (clock.now().utc, Duration::from_secs(86_400));
        let all = Window { from: now.minus(2 * day), to: now.plus(day) };
        let visits = (0..floor.agents().len()).map(|index| floor.visits(index, all)).collect();
        Self { floor, visits, clock, habits, seen: Mutex::default() }
    }

    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// When each request came, with method and path.
    pub(crate) fn asked(&self) -> Vec<(Timestamp, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }

    /// The number of requests whose path ends with this.
    pub(crate) fn submits(&self, end: &str) -> usize {
        self.asked().iter().filter(|(_, what)| what.ends_with(end)).count()
    }

    fn answer(&self, request: &Request<Bytes>) -> (u16, String) {
        let now = self.clock.now().utc;
        let path = request.uri().path().to_owned();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.asked.push((now, format!("{} {path}", request.method())));
        let host = request.uri().host().unwrap_or("").to_owned();
        let bearer =
            request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        match (request.method(), path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => {
                assert_eq!((host.as_str(), bearer), ("cxone.niceincontact.com", None));
                (200, json!({"issuer": "x", "token_endpoint": "https://cxone.niceincontact.com/auth/token"}).to_string())
            }
            (&Method::POST, "/auth/token") => {
                let form: Vec<(String, String)> =
                    url::form_urlencoded::parse(request.body()).into_owned().collect();
                let wanted = [
                    ("grant_type", "password"),
                    ("username", "KEY=="),
                    ("password", "key/s3cret="),
                    ("client_id", "app"),
                    ("client_secret", "s"),
                ];
                let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
                assert_eq!(form, wanted);
                seen.tokens += 1;
                seen.token_until = now.plus(Duration::from_secs(self.habits.token_life));
                // {"tenantId":"t-1","area":"na1"}
                let id_token = "e30.eyJ0ZW5hbnRJZCI6InQtMSIsImFyZWEiOiJuYTEifQ.sig";
                // It claims a long lifetime, so it expires within a window.
                (200, json!({"access_token": format!("token-{}", seen.tokens), "expires_in": 3600, "id_token": id_token}).to_string())
            }
            (&Method::GET, "/.well-known/cxone-configuration") => {
                assert_eq!(request.uri().query(), Some("tenantId=t-1"));
                (
                    200,
                    json!({"api_endpoint": "https://api-na1.niceincontact.com", "area": "na1"})
                        .to_string(),
                )
            }
            (&Method::GET, _) => {
                assert_eq!(host, "api-na1.niceincontact.com");
                if bearer != Some(format!("Bearer token-{}", seen.tokens))
                    || now >= seen.token_until
                {
                    return (401, String::new());
                }
                let call = path.strip_prefix("/incontactapi/services/v30.0").expect("the base");
                self.call(call, request.uri().query().unwrap_or(""), now, &mut seen)
            }
            _ => (405, String::new()),
        }
    }

    fn call(&self, call: &str, query: &str, now: Timestamp, seen: &mut Seen) -> (u16, String) {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |name: &str| {
            query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let skip: usize = value("skip").map_or(0, |skip| skip.parse().unwrap());
        if call == "/unavailable-codes" {
            let codes = json!([{"id": 11, "name": "After call", "isActive": true, "isACW": "True"}, {"Id": "12", "name": "Pause", "isACW": false}]);
            return (200, json!({"unavailableCodes": codes}).to_string());
        }
        if call == "/agents/states" {
            let listed = self.floor.agents().filter(|agent| self.lists(agent, now));
            let agents: Vec<Value> = listed.map(|agent| json!({"agentId": agent.id})).collect();
            return self.page(&agents, skip, "agentStates", 7);
        }
        let agent = call.strip_prefix("/agents/").and_then(|rest| rest.split_once('/'));
        let name = agent.map_or(call.to_owned(), |(_, call)| format!("each/{call}"));
        if !self.habits.calls.contains(&name.as_str()) {
            return (404, "no such call".to_owned());
        }
        let Habits { not_found, deleted, .. } = &self.habits;
        if let Some((id, _)) = agent
            && (not_found.iter().any(|(missing, span)| *missing == id && span.contains(now))
                || deleted.iter().any(|(gone, at)| *gone == id && *at <= now))
        {
            return (404, "no such agent".to_owned());
        }
        seen.histories += 1;
        let fault =
            self.habits.faults.iter().find(|(every, _)| seen.histories.is_multiple_of(*every));
        if let Some((_, status)) = fault {
            return (*status, "not now".to_owned());
        }
        let time = |name: &str| {
            Timestamp::from_millis(
                value(name).unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond(),
            )
        };
        let window = Window { from: time("startDate"), to: time("endDate") };
        assert!(
            window.length() <= Duration::from_secs(if agent.is_some() { 86_400 } else { 3600 }),
            "{window}"
        );
        let rows = self.rows(window, now, agent.map(|(id, _)| id));
        let sizes = &self.habits.page_sizes;
        let size = sizes[usize::try_from(seen.histories).unwrap() % sizes.len()];
        self.page(&rows, skip, "agentStateHistory", size)
    }

    fn lists(&self, agent: &AgentProfile, now: Timestamp) -> bool {
        let visits = &self.visits[usize::try_from(agent.index).unwrap()];
        let logged_in = || {
            visits.iter().any(|visit| {
                visit.state != AgentState::Logout && (visit.start..visit.end).contains(&now)
            })
        };
        let is_deleted =
            self.habits.deleted.iter().any(|(gone, at)| *gone == agent.id && *at <= now);
        !is_deleted && (!self.habits.lists_logged_in || logged_in())
    }

    fn rows(&self, window: Window, now: Timestamp, agent: Option<&str>) -> Vec<Value> {
        let agents =
            self.floor.agents().filter(|profile| agent.is_none_or(|agent| profile.id == agent));
        let visits = agents
            .flat_map(|profile| &self.visits[usize::try_from(profile.index).unwrap()])
            .filter(|visit| visit.touches(window));
        let reported = visits.filter(|visit| {
            visit.start <= now && (self.habits.overlapping || visit.start >= window.from)
        });
        reported.enumerate().map(|(index, visit)| self.row(index, visit, now)).collect()
    }

    fn row(&self, index: usize, visit: &Visit, now: Timestamp) -> Value {
        let (id, name, code) = match visit.state {
            AgentState::WrapUp => (2, "Unavailable", json!(11)),
            AgentState::Break | AgentState::Lunch | AgentState::Training => {
                (2, visit.state.name(), json!(12))
            }
            AgentState::Ready => (1, visit.state.name(), json!(0)),
            AgentState::InboundCall => (3, visit.state.name(), Value::Null),
            AgentState::OutboundCall => (4, visit.state.name(), Value::Null),
            AgentState::Login => (8, visit.state.name(), Value::Null),
            AgentState::Logout => (0, visit.state.name(), Value::Null),
        };
        let lasts = visit.end > now;
        let length = visit.end.min(now).since(visit.start);
        let (seconds, millis) = (length.as_secs(), length.subsec_millis());
        let duration = if lasts && self.habits.open == Open::Null {
            Value::Null
        } else if self.habits.odd {
            json!(format!("{seconds}.{millis:03}"))
        } else {
            json!(format!("PT{}M{}.{millis:03}S", seconds / 60, seconds % 60))
        };
        if self.habits.odd {
            json!({"StateIndex": index.to_string(), "StartDate": visit.start.to_string().replace('Z', "0000Z"), "AgentId": visit.agent.id,
                "AgentStateId": id.to_string(), "AgentStateName": name, "OutStateId": code, "SkillName": visit.skill, "Duration": duration})
        } else {
            json!({"stateIndex": index, "startDate": visit.start.to_string(), "agentId": visit.agent.id, "agentStateId": id,
                "agentStateName": name, "outStateId": code, "skillName": visit.skill, "duration": duration, "isOutbound": false})
        }
    }

    fn page(&self, rows: &[Value], skip: usize, list: &str, size: u64) -> (u16, String) {
        let rest = &rows[skip.min(rows.len())..];
        let page = &rest[..rest.len().min(usize::try_from(size).unwrap())];
        if page.is_empty() {
            return (204, String::new());
        }
        let mut document = json!({list: page});
        if self.habits.links {
            let next = if page.len() < rest.len() {
                json!("https://elsewhere.example/next")
            } else {
                Value::Null
            };
            document["_links"] = json!({"self": "x", "next": next});
        }
        (200, document.to_string())
    }
}

impl Transport for Tenant {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move {
            tokio::time::sleep(WAY).await;
            let (status, body) = self.answer(&request);
            let mut headers = HeaderMap::new();
            let now = self.clock.now().utc.millis();
            let date = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap());
            headers.insert(DATE, httpdate::fmt_http_date(date).parse().unwrap());
            tokio::time::sleep(WAY).await;
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: stream::iter([Ok(Bytes::from(body))]).boxed(),
            })
        }
        .boxed()
    }
}
