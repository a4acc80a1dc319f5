//! The live feeds in the whole exporter, in virtual time: a hand-made CXone reports states, skills,
//! codes and a little history.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "support/strict.rs"]
mod strict;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::plan::backoff::Random;
use cxone_core::store::MemoryStore;
use cxone_core::time::Timestamp;
use cxone_exporter::app::{self, Web};
use cxone_exporter::clock::Clock;
use cxone_exporter::config::{Config, ConfigText, Overrides, TargetsNeeded};
use cxone_exporter::cxone::{Response, Transport, TransportError};
use cxone_exporter::engine::Heartbeat;
use cxone_exporter::server::Pages;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use strict::Dialect;
use tokio_util::sync::CancellationToken;

const START: Timestamp = Timestamp::from_millis(1_781_076_600_000);

/// A short past, so that the history is read in a moment.
const HOUR: &str = "poll: {lookback: 1h}\n";

const BASE: &str = "/incontactapi/services/v30.0";

/// The answers of the hand-made CXone, and the requests to it.
#[derive(Default)]
struct LiveAnswers {
    /// Rows of the live list, all of them, as pages.
    all: Vec<Vec<String>>,
    /// What each request for changes is answered with, one after the other; then with 204.
    changes: VecDeque<(u16, Vec<String>)>,
    /// How many of the next answers to these link to a next page.
    linked: usize,
    /// What every call but the sign-in is answered with instead, with 200.
    instead: Option<String>,
    /// Rows of the history.
    history: Vec<String>,
    skills: Vec<String>,
    /// Unavailable codes beside the usual ones.
    more_codes: String,
    /// The status of every answer of a live feed instead.
    fails: Option<u16>,
    history_fails: bool,
    queries: Vec<(Duration, String)>,
}

struct Cxone {
    clock: Clock,
    answers: Mutex<LiveAnswers>,
}

impl Cxone {
    fn change_answers<T>(&self, change: impl FnOnce(&mut LiveAnswers) -> T) -> T {
        change(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, request: &Request<Bytes>) -> (u16, String) {
        if *request.method() == Method::POST {
            return (200, r#"{"access_token":"token-1","expires_in":3600}"#.to_owned());
        }
        let now = self.clock.now();
        let path =
            request.uri().path().strip_prefix(BASE).expect("below the API's base").to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        self.change_answers(|answers| {
            answers.queries.push((now.instant.elapsed(), format!("{path}?{query}")));
            if let Some(instead) = &answers.instead {
                return (200, instead.clone());
            }
            match path.as_str() {
                "/unavailable-codes" => {
                    let more = &answers.more_codes;
                    let codes = format!(r#"{{"unavailableCodes":[{{"id":11,"name":"After call","isActive":true,"isACW":true,"agentTimeout":30}},
                        {{"id":12,"name":"Lunch","isActive":true,"isACW":false,"agentTimeout":"60"}},
                        {{"id":13,"name":"Old","isActive":false,"isACW":false,"agentTimeout":1}}{more}]}}"#);
                    (200, codes)
                }
                "/agents/state-history" if answers.history_fails => (500, String::new()),
                "/agents/state-history" if query.contains("skip=") && !query.contains("skip=0") => (204, String::new()),
                "/agents/state-history" => (200, format!(r#"{{"agentStateHistory":[{}]}}"#, answers.history.join(","))),
                _ if answers.fails.is_some() => (answers.fails.unwrap_or(500), "oh".to_owned()),
                "/skills/activity" => (200, format!(r#"{{"skillActivity":[{}]}}"#, answers.skills.join(","))),
                "/agents/states" => states(answers, &query, now.utc),
                other => panic!("{other}"),
            }
        })
    }
}

fn states(answers: &mut LiveAnswers, query: &str, now: Timestamp) -> (u16, String) {
    let document = |rows: &[String], next: bool| {
        let next = if next { r#""next":"http://127.0.0.1:1/elsewhere""# } else { r#""next":null"# };
        format!(
            r#"{{"_links":{{{next}}},"lastPollTime":"{now}","agentStates":[{}]}}"#,
            rows.join(",")
        )
    };
    if query.contains("updatedSince") {
        let (status, rows) = answers.changes.pop_front().unwrap_or((204, Vec::new()));
        let is_linked = std::mem::take(&mut answers.linked);
        answers.linked = is_linked.saturating_sub(1);
        return (
            status,
            if status == 200 { document(&rows, is_linked > 0) } else { String::new() },
        );
    }
    let skip: usize = query.strip_prefix("skip=").map_or(0, |skip| skip.parse().expect("a number"));
    let mut before = 0;
    for (place, page) in answers.all.iter().enumerate() {
        if before == skip {
            return (200, document(page, place + 1 < answers.all.len()));
        }
        before += page.len();
    }
    (204, String::new())
}

impl Transport for Cxone {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move {
            self.clock.sleep_until(self.clock.now().instant.plus(Duration::from_millis(40))).await;
            let (status, body) = self.answer(&request);
            let mut headers = HeaderMap::new();
            let date = jiff::Timestamp::from_millisecond(self.clock.now().utc.millis()).unwrap();
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            headers.insert("date", HeaderValue::from_str(&date).unwrap());
            let body = stream::iter([Ok(Bytes::from(body))]).boxed();
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
        }
        .boxed()
    }
}

/// The exporter and its CXone.
struct World {
    clock: Clock,
    cxone: Arc<Cxone>,
    pages: Arc<Pages>,
    polling: Pin<Box<dyn Future<Output = ()>>>,
}

type Page = BTreeMap<String, String>;

impl World {
    fn new(more: &str, answers: LiveAnswers) -> Self {
        let clock = Clock::starting_at(START);
        let cxone = Arc::new(Cxone { clock: clock.clone(), answers: Mutex::new(answers) });
        let text = format!(
            "api: {{dialect: platform, issuer: \"http://127.0.0.1:1\", base_url: \"http://127.0.0.1:1\", access_key_id: k, \
             access_key_secret_file: key}}\nmetrics: {{agent_info: true}}\n{more}"
        );
        let file = ConfigText { name: "c.yml", text: &text };
        let (config, _) =
            Config::parse(Some(file), &Overrides::default(), TargetsNeeded::Yes, |_, _| {
                Ok("s3cret".to_owned())
            })
            .unwrap();
        let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 10, reload: None };
        let transport = Arc::clone(&cxone);
        let exporter = app::exporter(
            &config,
            web,
            &clock,
            Heartbeat::default(),
            transport,
            Box::new(MemoryStore::default()),
            Random::from_seed(5),
        )
        .unwrap();
        let (polling, pages) = exporter.into_parts(CancellationToken::new());
        Self { clock, cxone, pages, polling: Box::pin(polling) }
    }

    async fn run_for(&mut self, seconds: u64) {
        let end = self.clock.now().instant.plus(Duration::from_secs(seconds));
        tokio::select! {
            biased;
            () = &mut self.polling => panic!("the loop ended"),
            () = self.clock.sleep_until(end) => {}
        }
    }

    /// Every sample on the page, as `name{label=value,…}` without quotes.
    async fn page(&self) -> Page {
        let request = Request::get("/metrics")
            .header("accept", "application/openmetrics-text;version=1.0.0")
            .body(())
            .unwrap();
        let (_, body) = self.pages.answer(&request).into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let page = strict::parse(&text, Dialect::OpenMetrics).unwrap();
        let of = |((name, labels), value): (&(String, BTreeMap<String, String>), &String)| {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (format!("{name}{{{}}}", labels.join(",")), value.clone())
        };
        page.samples.iter().map(of).collect()
    }

    fn queries(&self, of: &str) -> Vec<(Duration, String)> {
        self.cxone.change_answers(|answers| {
            answers.queries.iter().filter(|(_, query)| query.starts_with(of)).cloned().collect()
        })
    }
}

/// A row of the live list; the agent has been there since `START` and `since` seconds.
fn agent(id: u32, more: &str, since: i64) -> String {
    let start = START.millis() + since * 1_000;
    format!(
        r#"{{"agentId":{id},"startDate":"{}","teamName":"North","firstName":"Ann","lastName":"{id}",{more}}}"#,
        Timestamp::from_millis(start)
    )
}

fn available(id: u32, since: i64) -> String {
    agent(id, r#""agentStateId":1,"agentStateName":"Available","isACW":false"#, since)
}

fn visit(id: u32, state: u32, since: i64, lasted: Option<i64>) -> String {
    let duration = lasted.map_or("null".to_owned(), |lasted| format!("\"PT{lasted}S\""));
    let start = Timestamp::from_millis(START.millis() + since * 1_000);
    format!(
        r#"{{"agentId":{id},"agentStateId":{state},"agentSessionId":1,"stateIndex":1,"startDate":"{start}","duration":{duration}}}"#
    )
}

#[track_caller]
fn is(page: &Page, series: &str, value: Option<&str>) {
    assert_eq!(page.get(series).map(String::as_str), value, "{series}");
}

fn number(page: &Page, series: &str) -> f64 {
    page.get(series).unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

/// Seconds from `START`.
fn time(page: &Page, series: &str) -> f64 {
    number(page, series) - f64::from(u32::try_from(START.millis() / 1_000).unwrap())
}

#[tokio::test(start_paused = true)]
async fn live_states_give_the_current_states_and_history_the_counters() {
    let wrap_up = agent(
        2,
        r#""agentStateId":2,"agentStateName":"Unavailable","isACW":"True","skillName":"Sales""#,
        -20,
    );
    let lunch =
        agent(3, r#""agentStateId":2,"outStateId":12,"outStateDescription":"Lunch""#, -3_000);
    let all = vec![vec![available(1, -60), wrap_up], vec![lunch]];
    let mut world = World::new(
        HOUR,
        LiveAnswers { all, history: vec![visit(1, 1, -60, None)], ..LiveAnswers::default() },
    );
    world.run_for(10).await;
    let page = world.page().await;
    is(&page, "cxone_agents{state=Available}", Some("1"));
    is(&page, "cxone_agents{state=Wrap-up}", Some("1"));
    is(&page, "cxone_agents{state=Unavailable}", Some("1"));
    is(&page, "cxone_agents_seen{}", Some("3"));
    is(&page, "cxone_skill_agents{skill=Sales,state=Wrap-up}", Some("1"));
    is(&page, "cxone_unavailable_agents{reason=Lunch}", Some("1"));
    is(&page, "cxone_team_agents{state=Available,team=North}", Some("1"));
    is(&page, "cxone_live_up{feed=agent_states}", Some("1"));
    is(&page, "cxone_agent_info{agent=1,agent_name=Ann 1}", Some("1"));
    assert_eq!(
        time(&page, "cxone_agent_state_start_timestamp_seconds{agent=2,skill=Sales,state=Wrap-up}"),
        -20.0
    );
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=Available}", Some("0"));
    assert!(
        !page.keys().any(|series| series.starts_with("cxone_agent_state_entries_total{agent=2")),
        "no history yet"
    );

    let inbound =
        agent(1, r#""agentStateId":3,"agentStateName":"InboundContact","skillName":"Sales""#, 12);
    world
        .cxone
        .change_answers(|answers| answers.changes.extend([(304, vec![]), (200, vec![inbound])]));
    world.run_for(40).await;
    let page = world.page().await;
    is(&page, "cxone_agents{state=Available}", Some("0"));
    is(&page, "cxone_agents{state=InboundContact}", Some("1"));
    assert_eq!(
        time(
            &page,
            "cxone_agent_state_start_timestamp_seconds{agent=1,skill=Sales,state=InboundContact}"
        ),
        12.0
    );
    assert!(time(&page, "cxone_agent_observed_timestamp_seconds{agent=1}") > 30.0);
    is(&page, "cxone_state_entries_total{skill=,state=Available}", Some("0"));
    assert!(
        !page.contains_key("cxone_state_entries_total{skill=Sales,state=InboundContact}"),
        "the history does not have it"
    );

    world.cxone.change_answers(|answers| {
        answers.history = vec![visit(1, 1, -60, Some(72)), visit(1, 3, 12, None)]
    });
    world.run_for(60).await;
    let page = world.page().await;
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=InboundContact}", Some("1"));
    is(&page, "cxone_state_entries_total{skill=,state=InboundContact}", Some("1"));
    assert_eq!(
        page.keys()
            .filter(
                |series| series.starts_with("cxone_agent_state_start_timestamp_seconds{agent=1,")
            )
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn the_full_list_is_read_in_pages_at_startup_and_every_five_minutes_and_changes_in_between() {
    let all = vec![vec![available(1, -60)], vec![available(2, -60)], vec![available(3, -60)]];
    let mut world = World::new(HOUR, LiveAnswers { all, ..LiveAnswers::default() });
    world.run_for(280).await;
    world.cxone.change_answers(|answers| answers.all.truncate(2));
    is(&world.page().await, "cxone_agents{state=Available}", Some("3"));
    world.run_for(100).await;
    is(&world.page().await, "cxone_agents{state=Available}", Some("2"));
    let asked = world.queries("/agents/states");
    let whole: Vec<&str> = asked
        .iter()
        .map(|(_, query)| query.as_str())
        .filter(|query| !query.contains("updatedSince"))
        .collect();
    let pages = ["/agents/states?", "/agents/states?skip=1", "/agents/states?skip=2"];
    assert_eq!(whole, [&pages[..], &pages[..2]].concat());
    let changes: Vec<Duration> = asked
        .iter()
        .filter(|(_, query)| query.contains("updatedSince=2026-06-10T"))
        .map(|(at, _)| *at)
        .collect();
    let minute = asked.iter().filter(|(at, _)| *at < Duration::from_secs(60)).count();
    assert!(changes.len() > 20 && (3..=8).contains(&minute), "{} {minute}", changes.len());
}

#[tokio::test(start_paused = true)]
async fn a_failing_feed_freezes_then_withdraws_its_states_and_shows_nobody_as_stuck() {
    let wrap_up = agent(1, r#""agentStateId":2,"isACW":true"#, -5);
    let skills = vec![r#"{"skillName":"Sales","queueCount":3,"agentsACW":1,"serviceLevel":85,"serviceLevelGoal":"90.0"}"#.to_owned()];
    let answers =
        LiveAnswers { all: vec![vec![wrap_up.clone()]], skills, ..LiveAnswers::default() };
    let mut world = World::new("states: {limits: {Wrap-up: 1m}}\n", answers);
    world.run_for(20).await;
    let page = world.page().await;
    is(&page, "cxone_agents_over_limit{state=Wrap-up}", Some("0"));
    is(&page, "cxone_skill_queue_contacts{skill=Sales}", Some("3"));
    is(&page, "cxone_skill_service_level_ratio{skill=Sales}", Some("0.850"));
    is(&page, "cxone_skill_activity_agents{activity=acw,skill=Sales}", Some("1"));
    let observed = time(&page, "cxone_agent_observed_timestamp_seconds{agent=1}");
    for status in [500, 403, 429] {
        world.cxone.change_answers(|answers| answers.fails = Some(status));
        world.run_for(240).await;
        let page = world.page().await;
        assert_eq!(
            time(&page, "cxone_agent_observed_timestamp_seconds{agent=1}"),
            observed,
            "{status}"
        );
        is(&page, "cxone_agents_over_limit{state=Wrap-up}", Some("0"));
        is(&page, "cxone_live_up{feed=agent_states}", Some("0"));
        is(&page, "cxone_live_up{feed=skill_activity}", Some("0"));
    }
    world.run_for(240).await;
    let page = world.page().await;
    for gone in [
        "cxone_agent_observed_timestamp_seconds{agent=1}",
        "cxone_agent_state_start_timestamp_seconds{agent=1,skill=,state=Wrap-up}",
        "cxone_skill_queue_contacts{skill=Sales}",
        "cxone_team_agents{state=Wrap-up,team=North}",
    ] {
        is(&page, gone, None);
    }
    is(&page, "cxone_agents{state=Wrap-up}", Some("0"));
    is(&page, "cxone_agents_seen{}", Some("1"));
    world.cxone.change_answers(|answers| answers.fails = None);
    world.run_for(500).await;
    let page = world.page().await;
    is(&page, "cxone_agents_over_limit{state=Wrap-up}", Some("1"));
    is(&page, "cxone_live_up{feed=skill_activity}", Some("1"));
    is(&page, "cxone_skill_queue_contacts{skill=Sales}", Some("3"));
}

#[tokio::test(start_paused = true)]
async fn the_live_feeds_work_without_the_history_and_the_history_without_them() {
    let answers = LiveAnswers {
        all: vec![vec![available(1, -60)]],
        history_fails: true,
        ..LiveAnswers::default()
    };
    let mut world = World::new(HOUR, answers);
    world.run_for(60).await;
    let page = world.page().await;
    is(&page, "cxone_agents{state=Available}", Some("1"));
    is(&page, "cxone_up{}", Some("0"));
    let answers = LiveAnswers {
        fails: Some(403),
        history: vec![visit(1, 1, -60, None)],
        ..LiveAnswers::default()
    };
    let mut world = World::new(HOUR, answers);
    world.run_for(90).await;
    let page = world.page().await;
    is(&page, "cxone_agents{state=Available}", Some("1"));
    is(&page, "cxone_up{}", Some("1"));
    is(&page, "cxone_live_up{feed=agent_states}", Some("0"));
    is(&page, "cxone_live_last_success_timestamp_seconds{feed=agent_states}", None);
}

#[tokio::test(start_paused = true)]
async fn the_tenants_timeouts_are_the_limits_unless_configured() {
    let lunch = agent(3, r#""agentStateId":2,"outStateId":12"#, -3_650);
    for (more, wrap_up) in [
        // The configured default is stricter than the time after which agents are logged out.
        ("", "300"),
        ("states: {limits: {Wrap-up: 2m}}\n", "120"),
        ("states: {limits: {}}\n", "1800"),
        ("states: {limits: {Ready: 1m}}\n", "1800"),
    ] {
        let mut world = World::new(
            more,
            LiveAnswers { all: vec![vec![lunch.clone()]], ..LiveAnswers::default() },
        );
        world.run_for(40).await;
        let page = world.page().await;
        is(&page, "cxone_state_duration_limit_seconds{state=Wrap-up}", Some(wrap_up));
        is(&page, "cxone_state_duration_limit_seconds{state=Unavailable}", Some("3600"));
        is(&page, "cxone_agents_over_limit{state=Unavailable}", Some("1"));
        is(&page, "cxone_unavailable_agents{reason=Lunch}", Some("1"));
        is(&page, "cxone_unavailable_agents{reason=Old}", None);
    }
}

/// A visit of ten seconds to an unavailable code.
fn unavailable_for(code: u32, since: i64) -> String {
    let row = visit(1, 2, since, Some(10));
    row.replace(r#""agentStateId":2"#, &format!(r#""agentStateId":2,"outStateId":{code}"#))
}

const NEW_CODE: &str = r#",{"id":14,"name":"Notes","isActive":true,"isACW":true}"#;

#[tokio::test(start_paused = true)]
async fn a_code_created_later_is_classified_from_its_first_row_on() {
    let mut world = World::new(
        HOUR,
        LiveAnswers { history: vec![visit(1, 1, -60, None)], ..LiveAnswers::default() },
    );
    world.run_for(90).await;
    world.cxone.change_answers(|answers| {
        answers.more_codes = NEW_CODE.to_owned();
        answers.history =
            vec![visit(1, 1, -60, Some(160)), unavailable_for(14, 100), visit(1, 1, 110, None)];
    });
    world.run_for(120).await;
    let page = world.page().await;
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=Wrap-up}", Some("1"));
    is(&page, "cxone_agent_state_seconds_total{agent=1,skill=,state=Wrap-up}", Some("10"));
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=Unavailable}", None);
    assert_eq!(world.queries("/unavailable-codes").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_code_is_queried_periodically_and_corrected_once_it_exists() {
    let history =
        vec![visit(1, 1, -60, Some(160)), unavailable_for(14, 100), visit(1, 1, 110, None)];
    let mut world = World::new(
        HOUR,
        LiveAnswers { history: vec![visit(1, 1, -60, None)], ..LiveAnswers::default() },
    );
    world.run_for(90).await;
    world.cxone.change_answers(|answers| answers.history = history);
    world.run_for(240).await;
    let page = world.page().await;
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=Unavailable}", Some("1"));
    assert_eq!(world.queries("/unavailable-codes").len(), 2, "not again with each page");
    world.cxone.change_answers(|answers| answers.more_codes = NEW_CODE.to_owned());
    world.run_for(360).await;
    let page = world.page().await;
    is(&page, "cxone_agent_state_entries_total{agent=1,skill=,state=Wrap-up}", Some("1"));
    is(&page, "cxone_agent_state_seconds_total{agent=1,skill=,state=Wrap-up}", Some("10"));
    assert_eq!(world.queries("/unavailable-codes").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn changes_are_read_to_the_end_despite_a_repeated_page() {
    let ids = 1..=8;
    let all = vec![ids.clone().map(|id| available(id, -60)).collect()];
    let mut world = World::new(HOUR, LiveAnswers { all, ..LiveAnswers::default() });
    world.run_for(30).await;
    let inbound = |id: u32| agent(id, r#""agentStateId":3,"agentStateName":"InboundContact""#, 30);
    let page = |ids: [u32; 4]| (200, ids.map(inbound).to_vec());
    world.cxone.change_answers(|answers| {
        // While they are read, four agents change and come before the others.
        answers.changes = [page([1, 2, 3, 4]), page([1, 2, 3, 4]), page([5, 6, 7, 8])].into();
        answers.linked = 2;
    });
    world.run_for(25).await;
    is(&world.page().await, "cxone_agents{state=InboundContact}", Some("8"));
    let asked: Vec<String> = world
        .queries("/agents/states")
        .into_iter()
        .filter_map(|(_, query)| query.split_once("&skip=").map(|(_, skip)| skip.to_owned()))
        .collect();
    assert_eq!(asked, ["4", "8"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_with_status_200_is_not_an_empty_list() {
    for instead in [
        "",
        "{}",
        r#"{"error":"not now"}"#,
        r#"{"agentStateHistory":null,"agentStates":null,"unavailableCodes":null}"#,
        r#"{"agentStateHistory":{},"agentStates":{},"skillActivity":{}}"#,
        r#"{"agentStates":[{"error":"not now"}],"agentStateHistory":"","skillActivity":[7]}"#,
    ] {
        let answers = LiveAnswers {
            all: vec![vec![available(1, -60)]],
            history: vec![visit(1, 1, -60, None)],
            skills: vec![r#"{"skillName":"Sales","queueCount":3}"#.to_owned()],
            ..LiveAnswers::default()
        };
        let mut world = World::new(HOUR, answers);
        world.run_for(60).await;
        let before = world.page().await;
        is(&before, "cxone_up{}", Some("1"));
        is(&before, "cxone_skill_queue_contacts{skill=Sales}", Some("3"));
        world.cxone.change_answers(|answers| answers.instead = Some(instead.to_owned()));
        world.run_for(400).await;
        let page = world.page().await;
        is(&page, "cxone_up{}", Some("0"));
        let malformed = number(&page, "cxone_report_job_failures_total{reason=malformed}");
        assert!(malformed > 0.0, "{instead}");
        for series in
            ["cxone_target_watermark_timestamp_seconds{target=all}", "cxone_agents_seen{}"]
        {
            assert_eq!(page.get(series), before.get(series), "{instead}");
        }
        is(&page, "cxone_agents{state=Available}", Some("1"));
        is(&page, "cxone_live_up{feed=agent_states}", Some("0"));
        is(&page, "cxone_live_up{feed=skill_activity}", Some("0"));
        is(&page, "cxone_skill_queue_contacts{skill=Sales}", Some("3"));
        world.cxone.change_answers(|answers| answers.instead = None);
        world.run_for(400).await;
        let page = world.page().await;
        is(&page, "cxone_up{}", Some("1"));
        is(&page, "cxone_live_up{feed=agent_states}", Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn live_requests_stay_within_the_budget() {
    let answers = LiveAnswers { all: vec![vec![available(1, -60)]], ..LiveAnswers::default() };
    let mut world =
        World::new("poll: {live_interval: 1s}\nquota: {requests_per_minute: 12}\n", answers);
    world.run_for(600).await;
    let asked = world.queries("/");
    for (place, (first, _)) in asked.iter().enumerate() {
        let within =
            asked[place..].iter().filter(|(at, _)| *at < *first + Duration::from_secs(60)).count();
        assert!(within <= 12, "{within} requests in the minute from {first:?}");
    }
    let count = |of: &str| world.queries(of).len();
    assert!(
        count("/agents/state-history") >= 5 && count("/skills/activity") > 20,
        "everybody has a turn"
    );
}
