//! The dialect `platform` with many agents: history and live lists in pages of 10,000 rows, read as
//! they arrive and within bounded memory, and every count exact. 2,000 agents here; in full, with a
//! million series: `MANY_AGENTS=50000 cargo test --release --test many_agents -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the way to say it"
)]

use std::alloc::System;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cap::Cap;
use cxone_core::plan::backoff::Random;
use cxone_core::store::MemoryStore;
use cxone_core::time::Timestamp;
use cxone_exporter::app::{self, Web};
use cxone_exporter::clock::Clock;
use cxone_exporter::config::{Config, ConfigText, Overrides, TargetsNeeded};
use cxone_exporter::cxone::{Response, Transport, TransportError};
use cxone_exporter::engine::Heartbeat;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// 2026-06-10 07:30.
const START: i64 = 1_781_076_600_000;

/// How often an agent changes state, each at another second.
const VISIT: i64 = 180_000;

/// Nine states and skills, so that an agent has twenty series with the two of where it is now.
const STATES: [(&str, &str); 9] = [
    ("Available", ""),
    ("InboundContact", "Sales"),
    ("OutboundContact", "Sales"),
    ("InboundContact", "Service"),
    ("OutboundContact", "Service"),
    ("InboundConsult", "Sales"),
    ("OutboundConsult", "Service"),
    ("Dialer", "Sales"),
    ("LoggedIn", ""),
];

const PAGE: u64 = 10_000;

/// A CXone whose histories need not be stored: everything follows from the numbers of agent and
/// visit.
struct Cxone {
    clock: Clock,
    agents: i64,
    requests: AtomicUsize,
    rows: AtomicUsize,
    /// The most memory that was in use while an answer was read.
    most: Arc<AtomicUsize>,
}

/// When the visit with this number begins.
fn begins(agent: i64, visit: i64) -> i64 {
    START + visit * VISIT + agent % (VISIT / 1000) * 1000
}

/// The number of the visit that an agent is in.
fn visit_at(agent: i64, at: i64) -> i64 {
    (at - begins(agent, 0)).div_euclid(VISIT)
}

fn state(agent: i64, visit: i64) -> (&'static str, &'static str) {
    STATES[usize::try_from((agent + visit).rem_euclid(9)).unwrap()]
}

/// Entries of all agents from `from` to before `to`.
fn entries(agents: i64, from: i64, to: i64) -> i64 {
    (0..agents).map(|agent| visit_at(agent, to - 1) - visit_at(agent, from - 1)).sum()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The row of an agent's visit as it is known at `now`; live rows have no duration.
fn row(agent: i64, visit: i64, now: Option<i64>) -> String {
    let (name, skill) = state(agent, visit);
    let mut row = format!(
        r#"{{"agentId":{agent},"agentStateName":"{name}","skillName":"{skill}","teamName":"t","startDate":"#
    );
    let begin = begins(agent, visit);
    write!(row, r#""{}""#, at(begin)).unwrap();
    if now.is_some_and(|now| begin + VISIT <= now) {
        write!(row, r#","agentSessionId":1,"stateIndex":{visit},"duration":"PT{}S""#, VISIT / 1000)
            .unwrap();
    }
    row.push('}');
    row
}

impl Cxone {
    /// A page of `total` rows, where `row` makes the one at an index; chunk by chunk, as it is
    /// read.
    fn page(
        &self,
        query: &str,
        list: &str,
        total: u64,
        row: impl Fn(i64) -> String + Send + 'static,
    ) -> Response {
        let skip: u64 = query
            .split('&')
            .find_map(|part| part.strip_prefix("skip="))
            .map_or(0, |skip| skip.parse().unwrap());
        let end = total.min(skip + PAGE);
        self.rows.fetch_add(usize::try_from(end.saturating_sub(skip)).unwrap(), Ordering::Relaxed);
        let now = at(self.clock.now().utc.millis());
        let head = format!(r#"{{"totalRecords":{total},"lastPollTime":"{now}","{list}":["#);
        let most = Arc::clone(&self.most);
        let rows = (skip..end).step_by(100).map(move |first| {
            most.fetch_max(MEMORY.allocated(), Ordering::Relaxed);
            let rows = (first..end.min(first + 100)).map(|index| {
                let comma = if index == skip { "" } else { "," };
                comma.to_owned() + &row(i64::try_from(index).unwrap())
            });
            rows.collect::<String>()
        });
        let chunks = std::iter::once(head).chain(rows).chain(std::iter::once("]}".to_owned()));
        response(stream::iter(chunks.map(|chunk| Ok(Bytes::from(chunk)))).boxed())
    }

    fn history(&self, query: &str) -> Response {
        let time = |name: &str| {
            let part = query
                .split('&')
                .find_map(|part| part.strip_prefix(name))
                .unwrap()
                .replace("%3A", ":");
            part.parse::<jiff::Timestamp>().unwrap().as_millisecond()
        };
        let (from, to, now) = (time("startDate="), time("endDate="), self.clock.now().utc.millis());
        // As many visits of every agent as there can be, in the order of agents; those outside the
        // window are the same as the first one.
        let visits = (to - from) / VISIT + 2;
        let total = u64::try_from(self.agents * visits).unwrap();
        self.page(query, "agentStateHistory", total, move |index| {
            let agent = index / visits;
            let (first, last) = (visit_at(agent, from), visit_at(agent, to.min(now)));
            row(agent, (first + index % visits).min(last), Some(now))
        })
    }
}

fn response(body: stream::BoxStream<'static, Result<Bytes, TransportError>>) -> Response {
    Response { status: StatusCode::OK, headers: HeaderMap::new(), body }
}

impl Transport for Cxone {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let text = |text: &'static str| {
            response(stream::once(async move { Ok(Bytes::from_static(text.as_bytes())) }).boxed())
        };
        let query = request.uri().query().unwrap_or_default();
        let now = self.clock.now().utc.millis();
        let answer = match request.uri().path().rsplit('/').next().unwrap() {
            _ if *request.method() == Method::POST => {
                text(r#"{"access_token":"token-1","expires_in":3600}"#)
            }
            "state-history" => self.history(query),
            "states" if query.contains("updatedSince") => text(r#"{"agentStates":[]}"#),
            "states" => {
                let total = u64::try_from(self.agents).unwrap();
                self.page(query, "agentStates", total, move |agent| {
                    row(agent, visit_at(agent, now), None)
                })
            }
            _ => text(r#"{"unavailableCodes":[],"skillActivity":[]}"#),
        };
        async { Ok(answer) }.boxed()
    }
}

/// The sum of all samples of a family, and how many there are.
fn family(page: &str, name: &str) -> (f64, usize) {
    let lines = page
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    lines.fold((0.0, 0), |(sum, count), line| {
        (sum + line.rsplit(' ').next().unwrap().parse::<f64>().unwrap(), count + 1)
    })
}

/// A time gauge of the one target, in milliseconds.
fn time(page: &str, name: &str) -> i64 {
    let series = format!("cxone_target_{name}_timestamp_seconds{{");
    let (_, seconds) =
        page.lines().find(|line| line.starts_with(&series)).unwrap().rsplit_once(' ').unwrap();
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{fraction:0<3}").parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn many_agents_are_read_page_by_page_within_bounded_memory_and_every_count_is_exact() {
    let agents: i64 = std::env::var("MANY_AGENTS").map_or(2_000, |agents| agents.parse().unwrap());
    let clock = Clock::starting_at(at(START));
    let cxone = Arc::new(Cxone {
        clock: clock.clone(),
        agents,
        requests: AtomicUsize::new(0),
        rows: AtomicUsize::new(0),
        most: Arc::default(),
    });
    let text = "api: {dialect: platform, issuer: 'http://127.0.0.1:1', base_url: 'http://127.0.0.1:1', access_key_id: k, \
                access_key_secret_file: k}\npoll: {interval: 5m, live_interval: 5m, lookback: 1h, overlap: 10m}\nmetrics: {max_series: 2000000}\n\
                quota: {requests_per_minute: 600}\n";
    let read = |_: &Path, _| Ok("s3cret".to_owned());
    let (config, _) = Config::parse(
        Some(ConfigText { name: "c", text }),
        &Overrides::default(),
        TargetsNeeded::Yes,
        read,
    )
    .unwrap();
    let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 1, reload: None };
    let before = MEMORY.allocated();
    let store = Box::new(MemoryStore::default());
    let exporter = app::exporter(
        &config,
        web,
        &clock,
        Heartbeat::default(),
        cxone.clone(),
        store,
        Random::from_seed(5),
    )
    .unwrap();
    let (polling, pages) = exporter.into_parts(CancellationToken::new());
    let mut polling = Box::pin(polling);
    tokio::select! {
        biased;
        () = &mut polling => panic!("the loop ended"),
        () = tokio::time::sleep(Duration::from_secs(45 * 60)) => {}
    }
    let (after, most) = (MEMORY.allocated() - before, cxone.most.load(Ordering::Relaxed) - before);
    let request = Request::get("/metrics")
        .header("accept", "application/openmetrics-text;version=1.0.0")
        .body(())
        .unwrap();
    let bytes = pages.answer(&request).into_body().collect().await.unwrap().to_bytes();
    let page = std::str::from_utf8(&bytes).unwrap();
    let (epoch, watermark) = (time(page, "epoch"), time(page, "watermark"));
    let actual = entries(agents, epoch, watermark);
    let (reported, series) = family(page, "cxone_agent_state_entries_total");
    assert_eq!(format!("{reported}"), actual.to_string(), "entries from {epoch} to {watermark}");
    assert_eq!(format!("{}", family(page, "cxone_state_entries_total").0), actual.to_string());
    assert_eq!(format!("{}", family(page, "cxone_agents").0), agents.to_string());
    assert!(
        actual > 9 * agents && i64::try_from(series).unwrap() == 9 * agents,
        "{actual} entries, {series} series"
    );
    let agents = usize::try_from(agents).unwrap();
    println!(
        "{agents} agents, {} lines on the page, {} requests, {} rows: {} MiB while reading, {} MiB at rest",
        page.lines().count(),
        cxone.requests.load(Ordering::Relaxed),
        cxone.rows.load(Ordering::Relaxed),
        most >> 20,
        after >> 20
    );
    // An answer of 10,000 rows has 2 MB; a window's rows are kept as a few integers each.
    assert!(most < (8 << 20) + agents * 3_000, "{most} bytes while reading");
}
