//! `serve`: the exporter.

use tokio_util::sync::CancellationToken;

use super::{CommandError, announce, random, until_told_to_end, warn};
use crate::app::{self, Exporter, Web};
use crate::cli::{ListenAddress, ServeArgs};
use crate::clock::Clock;
use crate::config::TargetsNeeded;
use crate::server::{Bound, Limits, bind, serve};
use crate::store::DiskStore;
use crate::tasks::{Signals, Tasks};

/// Runs the exporter until a signal ends it.
///
/// # Errors
/// When the configuration is wrong, an address cannot be listened on, or a part of the exporter dies.
pub async fn run(args: ServeArgs) -> Result<(), CommandError> {
    let (config, warnings) = args.config.load(&args.targets, TargetsNeeded::Yes)?;
    warn(&warnings);
    let transport = app::connect(&config)?;
    let clock = Clock::system();
    let web = Web { telemetry_path: args.web.telemetry_path.clone(), max_requests: size(args.web.max_requests) };
    let bound = bind_all(&args.web.listen_address).await?;
    let store = Box::new(DiskStore::open(&args.storage_path)?);
    let exporter = app::exporter(&config, web, &clock, transport, store, random())?;
    let signals = Signals::listen().map_err(|cause| CommandError::Failed(format!("cannot listen for signals: {cause}")))?;
    announce(&config);
    for bound in &bound {
        tracing::info!(address = %bound.address(), path = args.web.telemetry_path, "listening");
    }
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    start(exporter, bound, &tasks);
    until_told_to_end(&tasks, &stop, signals).await
}

/// Lets an exporter poll, and answer on all addresses.
pub(super) fn start(exporter: Exporter, bound: Vec<Bound>, tasks: &Tasks) {
    let (polling, site) = exporter.into_parts(tasks.stop().clone());
    tasks.essential("poller", polling);
    for bound in bound {
        let answering = serve(bound, site.clone().handler(), Limits::default(), tasks.clone(), tasks.stop().clone());
        tasks.essential("server", answering);
    }
}

/// Listens on every address.
pub(super) async fn bind_all(addresses: &[ListenAddress]) -> Result<Vec<Bound>, CommandError> {
    let mut bound = Vec::with_capacity(addresses.len());
    for address in addresses {
        bound.push(bind_first(address).await?);
    }
    Ok(bound)
}

/// Listens on the first of the address's candidates that can be.
pub(super) async fn bind_first(address: &ListenAddress) -> Result<Bound, CommandError> {
    let name = address.clone();
    let candidates = crate::tasks::off_thread(move || name.candidates()).await;
    let candidates = candidates.map_err(|cause| CommandError::Failed(format!("cannot look up {address}: {cause}")))?;
    let mut failure = format!("{address} is no address");
    for candidate in candidates {
        match bind(candidate).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(CommandError::Failed(failure))
}

pub(super) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
