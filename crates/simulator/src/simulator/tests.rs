use std::num::NonZeroU32;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, RETRY_AFTER};
use serde_json::{Value, json};

use cxone_core::time::Window;

use super::*;
use crate::Delivery;

mod faults;
mod platform;
mod requests;

const SECOND: Duration = Duration::from_secs(1);

/// 2023-10-27T08:00:00Z and this many milliseconds.
fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_698_393_600_000 + millis)
}

fn small() -> SimulatorOptions {
    SimulatorOptions { agents: 4, ..SimulatorOptions::default() }
}

fn simulator() -> Simulator {
    Simulator::new(small())
}

fn token_request(secret: &str) -> Request<Bytes> {
    let body =
        format!("grant_type=client_credentials&client_id=simulated-client&client_secret={secret}");
    let request =
        Request::post("/oauth/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Bytes::from(body)).expect("a request")
}

fn token(simulator: &Simulator, now: Timestamp) -> String {
    let answer = simulator.handle(now, &token_request("simulated-secret"));
    body(&answer)["access_token"].as_str().expect("a token").to_owned()
}

/// The report of the hour before 08:00 for everybody.
fn report() -> Value {
    json!({
        "reportType": "agent-state-history",
        "dateFrom": "2023-10-27T07:00:00.000Z",
        "dateTo": "2023-10-27T08:00:00.000Z",
        "filter": {"type": "all"},
        "groupBy": ["userId", "stateName", "skillName"],
        "metrics": ["count"],
    })
}

fn submit_request(token: &str, report: &Value) -> Request<Bytes> {
    let request = Request::post("/api/v2/reports")
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(HOST, "127.0.0.1:8080");
    request.body(Bytes::from(report.to_string())).expect("a request")
}

fn poll_request(token: &str, id: &str) -> Request<Bytes> {
    let request = Request::get(format!("/api/v2/reports/{id}"))
        .header(AUTHORIZATION, format!("Bearer {token}"));
    request.body(Bytes::new()).expect("a request")
}

/// Submits the report; the job's id.
fn submit(simulator: &Simulator, now: Timestamp, token: &str) -> String {
    let answer = simulator.handle(now, &submit_request(token, &report()));
    body(&answer)["id"].as_str().unwrap_or_else(|| panic!("no id: {answer:?}")).to_owned()
}

fn poll(simulator: &Simulator, now: Timestamp, token: &str, id: &str) -> SimulatedResponse {
    simulator.handle(now, &poll_request(token, id))
}

fn body(answer: &SimulatedResponse) -> Value {
    serde_json::from_slice(answer.response.body())
        .unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn status(answer: &SimulatedResponse) -> u16 {
    answer.response.status().as_u16()
}

fn header(answer: &SimulatedResponse, name: http::HeaderName) -> Option<&str> {
    answer.response.headers().get(name).map(|value| value.to_str().expect("ASCII"))
}
