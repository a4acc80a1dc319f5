//! The whole client, over a transport that follows a script.

mod answers;
mod bodies;
mod network;
mod platform;
mod secrets;
mod sockets;
mod tokens;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use secrecy::SecretString;

use crate::clock::Clock;
use cxone_core::plan::fetch::JobId;
use cxone_core::report::ReportFilter;
use cxone_core::time::{Timestamp, Window};

use super::{
    ClientEvent, HistoryRequest, Observer, ReportsClient, ReportsOptions, Response, ResponseLimits,
    Transport, TransportError, TransportFault,
};

pub(super) const EIGHT: Timestamp = Timestamp::from_millis(1_698_393_600_000);
pub(super) const SECRET: &str = "s3cret/with+odd chars";
pub(super) const TOKEN: &str = "tok-1";

/// What the script says to one request.
pub(super) struct ScriptedAnswer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<Result<Bytes, TransportError>>,
    /// Before the head.
    delay: Duration,
    /// After the body, which then never ends.
    hangs: bool,
    no_head: Option<TransportError>,
}

impl ScriptedAnswer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = vec![Ok(Bytes::from(body.into()))];
        Self {
            status,
            headers: Vec::new(),
            body,
            delay: Duration::ZERO,
            hangs: false,
            no_head: None,
        }
    }

    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    pub(super) fn token(token: &str, expires_in: u64) -> Self {
        Self::ok(format!(
            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{expires_in}}}"#
        ))
    }

    pub(super) fn none(fault: TransportFault) -> Self {
        Self { no_head: Some(TransportError::new(fault, "it broke")), ..Self::new(200, "") }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn then_breaks(mut self, fault: TransportFault) -> Self {
        self.body.push(Err(TransportError::new(fault, "it broke")));
        self
    }

    pub(super) fn then_hangs(mut self) -> Self {
        self.hangs = true;
        self
    }

    fn response(self) -> Result<Response, TransportError> {
        if let Some(error) = self.no_head {
            return Err(error);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(name, value.parse().unwrap());
        }
        let body = stream::iter(self.body);
        let body = if self.hangs { body.chain(stream::pending()).boxed() } else { body.boxed() };
        Ok(Response { status: StatusCode::from_u16(self.status).unwrap(), headers, body })
    }
}

/// Gives the answers of its script in their order, and keeps the requests.
#[derive(Default)]
pub(super) struct Script {
    answers: Mutex<VecDeque<ScriptedAnswer>>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Script {
    pub(super) fn next(&self, answer: ScriptedAnswer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Method, path and body of every request so far.
    pub(super) fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let describe = |request: &Request<Bytes>| {
            let authorization = request
                .headers()
                .get("authorization")
                .map(|value| format!(" [{}]", value.to_str().unwrap()));
            format!("{} {}{}", request.method(), request.uri(), authorization.unwrap_or_default())
        };
        requests.iter().map(describe).collect()
    }

    pub(super) fn request_body(&self, at: usize) -> String {
        String::from_utf8(self.requests.lock().unwrap()[at].body().to_vec()).unwrap()
    }

    pub(super) fn request_header(&self, at: usize, name: &str) -> String {
        self.requests.lock().unwrap()[at].headers()[name].to_str().unwrap().to_owned()
    }

    pub(super) fn tokens_asked(&self) -> usize {
        self.requests().iter().filter(|request| request.ends_with("/oauth/token")).count()
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.requests.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front().expect("the script has an answer");
        Box::pin(async move {
            tokio::time::sleep(answer.delay).await;
            answer.response()
        })
    }
}

/// A client, its script, and the events it reported.
pub(super) struct Stage {
    pub(super) client: ReportsClient,
    pub(super) script: Arc<Script>,
    pub(super) events: Arc<Mutex<Vec<ClientEvent>>>,
}

impl Stage {
    pub(super) fn with(limits: ResponseLimits) -> Self {
        let (script, events) = (Arc::new(Script::default()), Arc::new(Mutex::new(Vec::new())));
        let recorded = Arc::clone(&events);
        let observer: Observer =
            Arc::new(move |event| recorded.lock().unwrap().push(event.clone()));
        let options = ReportsOptions {
            base_url: "http://cxone.test/eu".parse().unwrap(),
            client_id: "my-client".to_owned(),
            client_secret: SecretString::from(SECRET),
            limits,
            hidden: vec![SecretString::from(HIDDEN)],
        };
        let transport: Arc<dyn Transport> = script.clone();
        let client = ReportsClient::new(transport, Clock::starting_at(EIGHT), options, observer);
        Self { client, script, events }
    }

    /// A client whose script begins with a token.
    pub(super) fn logged_in() -> Self {
        let stage = Self::with(ResponseLimits::default());
        stage.script.next(ScriptedAnswer::token(TOKEN, 1200));
        stage
    }
}

/// The id of an agent who must stay hidden.
pub(super) const HIDDEN: &str = "user-hidden-7";

pub(super) fn request() -> HistoryRequest {
    let window = Window { from: EIGHT.minus(Duration::from_secs(86_400)), to: EIGHT };
    HistoryRequest {
        window,
        filter: ReportFilter { kind: "user".to_owned(), id: "user-abc-123".to_owned() },
    }
}

pub(super) fn job() -> JobId {
    JobId::parse("job-12345").unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_can_run_on_any_thread() {
    fn on_any_thread<T: Send>(value: T) -> T {
        value
    }
    let stage = Stage::logged_in();
    stage.script.next(ScriptedAnswer::ok(r#"{"id":"j"}"#));
    stage.script.next(ScriptedAnswer::ok(r#"{"status":"RUNNING"}"#));
    let (request, job) = (request(), job());
    assert!(on_any_thread(stage.client.submit(&request)).await.is_ok());
    assert!(on_any_thread(stage.client.poll::<cxone_core::report::Report>(&job)).await.is_ok());
}
