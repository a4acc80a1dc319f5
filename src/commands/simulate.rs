//! `simulate`: the simulated contact centre as a server of its own.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::serve::{WEB_ADDRESS, bind_first};
use super::{CommandError, run_until_signal, unless_interrupted};
use crate::cli::SimulateArgs;
use crate::clock::Clock;
use crate::server::{self, Abort, Address, Handler, ResponseBody, Server, ServerLimits};
use crate::tasks::{Signals, Tasks, off_thread};
use cxone_simulator::{Delivery, Simulator, SimulatorOptions};

/// The longest request that is read, and the longest time for it.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
const MAX_REQUEST_TIME: Duration = Duration::from_secs(10);

/// How many user IDs the banner contains.
const BANNER_USERS: usize = 5;

/// Serves the simulated contact centre until a signal ends it.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn run(args: SimulateArgs, mut signals: Signals) -> Result<(), CommandError> {
    let simulator = Arc::new(Simulator::new(SimulatorOptions {
        seed: args.seed,
        agents: args.agents,
        pace: args.pace,
        client_id: args.client_id.clone(),
        client_secret: args.client_secret.clone(),
        token_life: args.token_life,
        report_jobs_per_minute: args.quota,
        job_time: args.job_time,
        rows: args.rows,
        access_key_id: args.access_key_id.clone(),
        access_key_secret: args.access_key_secret.clone(),
        history: args.history_rows,
        calls_per_minute: args.calls,
        faults: args.faults.clone(),
        ..SimulatorOptions::default()
    }));
    let binding = bind_first(&args.listen_address, WEB_ADDRESS);
    let Some(bound) = unless_interrupted(&mut signals, binding).await? else { return Ok(()) };
    let printing = print_banner(banner(&simulator, bound.address()));
    if unless_interrupted(&mut signals, printing).await?.is_none() {
        return Ok(());
    }
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    let server = Server::new(ServerLimits::default(), tasks.clone(), stop.clone());
    tasks.essential("simulator", server.serve(bound, handler(simulator, Clock::system())));
    run_until_signal(&tasks, &stop, signals).await
}

/// What a client needs to know.
fn banner(simulator: &Simulator, address: &Address) -> Result<String, fmt::Error> {
    let options = simulator.options();
    let users: Vec<&str> =
        simulator.floor().agents().take(BANNER_USERS).map(|agent| &*agent.id).collect();
    let mut out = String::new();
    writeln!(out, "A simulated contact centre with {} agents.", options.agents)?;
    writeln!(out, "address:       http://{address}")?;
    writeln!(out, "client id:     {}", options.client_id)?;
    writeln!(out, "client secret: {}", options.client_secret.expose_secret())?;
    writeln!(out, "user ids:      {} …", users.join(" "))?;
    writeln!(out, "platform API, with the same client or without:")?;
    writeln!(out, "access key id: {}", options.access_key_id)?;
    writeln!(out, "its secret:    {}", options.access_key_secret.expose_secret())?;
    Ok(out)
}

/// Prints what a user needs to know of a long-running command. Readers of stdout may be slow: it is
/// written off the thread, so that signals are handled meanwhile.
pub(super) async fn print_banner(text: Result<String, fmt::Error>) -> Result<(), CommandError> {
    let text = text.map_err(|cause| CommandError::Failed(cause.to_string()))?;
    let written = off_thread(move || {
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    written.await.map_err(|cause| CommandError::Failed(format!("cannot write: {cause}")))
}

/// Answers requests as CXone would.
pub fn handler(simulator: Arc<Simulator>, clock: Clock) -> Handler {
    server::handler(move |request| {
        let (simulator, clock) = (Arc::clone(&simulator), clock.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = tokio::time::timeout(
                MAX_REQUEST_TIME,
                Limited::new(body, MAX_REQUEST_BYTES).collect(),
            )
            .await;
            let Ok(Ok(body)) = body else {
                let mut refusal =
                    Response::new(ResponseBody::full("the request is too long or too slow\n"));
                *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(refusal);
            };
            let request: Request<Bytes> = Request::from_parts(head, body.to_bytes());
            let now = clock.now().utc;
            let answer = off_thread(move || simulator.handle(now, &request)).await;
            tokio::time::sleep(answer.delay).await;
            match answer.delivery {
                Delivery::Dropped => Err(Abort),
                Delivery::Whole => Ok(answer.response.map(ResponseBody::full)),
                Delivery::CutAfter(bytes) => Ok(answer
                    .response
                    .map(|body| ResponseBody::cut_short(body.slice(..bytes.min(body.len()))))),
            }
        }
    })
}
