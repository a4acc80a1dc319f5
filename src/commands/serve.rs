//! `serve`: the exporter.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    CommandError, log_polling, random, run_until_signal, systemd, unless_interrupted, warn,
};
use crate::app::reload::{self, ConnectedConfig, ReloadHandle, ReloadScope, Reloader};
use crate::app::{self, Exporter, Web};
use crate::cli::{Listen, ListenAddress, ServeArgs, WebArgs};
use crate::clock::Clock;
use crate::config::web::{WebConfig, WebConfigRead, read_file};
use crate::config::{Config, ConfigSource, FileStates, TargetsNeeded};
use crate::cxone::Transport;
use crate::engine::Heartbeat;
use crate::server::{
    AccessControl, Bound, Pages, Reload, Server, ServerLimits, WebConfigChange, bind, bind_unix,
    from_systemd, watch_web_config,
};
use crate::store::DiskStore;
use crate::tasks::{Hangups, Signals, Tasks, off_thread};
use crate::telemetry::Telemetry;
use cxone_core::checkpoint;

/// How often files with secrets are checked for changes.
const SECRETS_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the exporter until a signal ends it.
///
/// # Errors
/// When a configuration is invalid, an address cannot be listened on, or a part of the exporter dies.
pub async fn run(
    args: ServeArgs,
    hangups: Hangups,
    mut signals: Signals,
) -> Result<(), CommandError> {
    let args = Arc::new(args);
    let clock = Clock::system();
    let (reloads, inbox) = reload::channel();
    let heartbeat = systemd::heartbeat();
    let starting = start(Arc::clone(&args), clock.clone(), reloads.clone(), heartbeat.clone());
    let Some(started) = unless_interrupted(&mut signals, starting).await? else { return Ok(()) };
    let Started { exporter, config, source, transport, web_file, bound } = started;
    log_polling(&config);
    let tls = web_file.as_ref().is_some_and(|web| web.config.tls.is_some());
    for bound in &bound {
        let path = format!("{}{}", args.web.proxy.prefix(), args.web.telemetry_path);
        match &args.web.proxy.external_url {
            None => tracing::info!(address = %bound.address(), path, tls, "listening"),
            Some(_) => {
                let url = args.web.proxy.address(bound.address());
                tracing::info!(address = %bound.address(), path, tls, url, "listening");
            }
        }
    }
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    let server = Server::new(ServerLimits::default(), tasks.clone(), stop.clone());
    let server = match web_file {
        None => server,
        Some(web) => server.with_access_control(access_control(
            web,
            clock.clone(),
            &exporter.front.context.telemetry,
            &tasks,
        )),
    };
    let Exporter { engine, front } = exporter;
    let pages = Arc::clone(&front.pages);
    let source = Arc::new(Mutex::new(source));
    let reloader = Reloader {
        front: front.clone(),
        current: (config, transport),
        load: load_config(Arc::clone(&source)),
        accept: accept(Arc::clone(&source)),
        random,
    };
    tasks.essential("poller", reloader.run(engine, inbox, stop.clone()));
    tasks.essential(
        "reload",
        watch_for_reload(hangups, reloads, source, clock.clone(), stop.clone()),
    );
    let status = move || front.summary();
    tasks.essential(
        "systemd",
        systemd::notify_regularly(status, heartbeat, clock.clone(), stop.clone()),
    );
    serve_pages(&pages, bound, args.web.proxy.prefix(), &server, &tasks);
    systemd::ready();
    run_until_signal(&tasks, &stop, signals).await
}

struct Started {
    exporter: Exporter,
    config: Config,
    source: ConfigSource,
    transport: Arc<dyn Transport>,
    web_file: Option<WebFile>,
    bound: Vec<Bound>,
}

/// Reads the configurations and the store, and binds the listeners.
async fn start(
    args: Arc<ServeArgs>,
    clock: Clock,
    reloads: ReloadHandle,
    heartbeat: Heartbeat,
) -> Result<Started, CommandError> {
    let args_of_files = Arc::clone(&args);
    let ((config, source), web_file) = off_thread(move || configurations(&args_of_files)).await?;
    let bound = bind_all(&args.web).await?;
    off_thread(move || {
        let transport = app::connect(&config)?;
        let web = Web {
            telemetry_path: args.web.telemetry_path.clone(),
            max_requests: size(args.web.max_requests),
            reload: args.web.enable_lifecycle.then(|| reload_by_request(&reloads)),
        };
        let mut store = Box::new(DiskStore::open(&args.storage_path)?);
        if args.storage_adopt {
            checkpoint::adopt(&mut *store, &config.api.owner())?;
        }
        let exporter = app::exporter(
            &config,
            web,
            &clock,
            heartbeat,
            Arc::clone(&transport),
            store,
            random(),
        )?;
        Ok(Started { exporter, config, source, transport, web_file, bound })
    })
    .await
}

/// The web configuration, and the file that it was read from.
struct WebFile {
    path: PathBuf,
    config: WebConfig,
    seen: FileStates,
}

/// Reloads the configuration for `POST /-/reload`.
fn reload_by_request(reloads: &ReloadHandle) -> Reload {
    let reloads = reloads.clone();
    Arc::new(move || {
        let reloads = reloads.clone();
        async move { reloads.reload(ReloadScope::Everything).await }.boxed()
    })
}

fn accept(source: Arc<Mutex<ConfigSource>>) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || source.lock().unwrap_or_else(PoisonError::into_inner).accept())
}

fn load_config(
    source: Arc<Mutex<ConfigSource>>,
) -> Arc<dyn Fn(ReloadScope) -> Result<ConnectedConfig, String> + Send + Sync> {
    Arc::new(move |scope| {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = match scope {
            ReloadScope::Everything => source.reload(),
            ReloadScope::Secrets => source.reload_secrets(),
        };
        let (config, warnings) = loaded.map_err(|mistakes| mistakes.to_string())?;
        warn(&warnings);
        let transport = app::connect(&config).map_err(|error| error.to_string())?;
        Ok((config, transport))
    })
}

/// Reloads the configuration at SIGHUP, and the secrets when their files change, until
/// `stop` is cancelled.
async fn watch_for_reload(
    mut hangups: Hangups,
    reloads: ReloadHandle,
    source: Arc<Mutex<ConfigSource>>,
    clock: Clock,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let next = clock.now().instant.plus(SECRETS_CHECK_INTERVAL);
        let scope = tokio::select! {
            () = stop.cancelled() => return,
            () = hangups.next() => Some(ReloadScope::Everything),
            () = clock.sleep_until(next) => {
                let source = Arc::clone(&source);
                let changed = off_thread(move || !source.lock().unwrap_or_else(PoisonError::into_inner).secrets_are_current()).await;
                changed.then_some(ReloadScope::Secrets)
            }
        };
        if let Some(scope) = scope {
            // The outcome is in the log and in the metrics.
            systemd::reloading();
            let _outcome = reloads.reload(scope).await;
            systemd::ready();
        }
    }
}

/// Both configurations, or the mistakes of both.
fn configurations(
    args: &ServeArgs,
) -> Result<((Config, ConfigSource), Option<WebFile>), CommandError> {
    let loaded = ConfigSource::read(
        args.config.file.as_deref(),
        &args.config.flags(&args.targets),
        TargetsNeeded::Yes,
    );
    let web = args
        .web
        .config_file
        .as_ref()
        .map(|path| (path.clone(), read_file(path, &FileStates::default())));
    let (web, web_errors) = match web {
        None => (None, None),
        Some((path, WebConfigRead { outcome: Ok((config, warnings)), seen })) => {
            warn(&warnings);
            (Some(WebFile { path, config, seen }), None)
        }
        Some((_, WebConfigRead { outcome: Err(errors), .. })) => (None, Some(errors)),
    };
    match (loaded, web_errors) {
        (Ok((config, warnings, source)), None) => {
            warn(&warnings);
            Ok(((config, source), web))
        }
        (Ok(_), Some(errors)) | (Err(errors), None) => Err(errors.into()),
        (Err(errors), Some(web_errors)) => Err(CommandError::BothConfigs(errors, web_errors)),
    }
}

/// Access control by the web configuration, reloaded when its file changes.
fn access_control(
    web: WebFile,
    clock: Clock,
    telemetry: &Arc<Telemetry>,
    tasks: &Tasks,
) -> Arc<AccessControl> {
    let WebFile { path, config, seen } = web;
    let note = {
        let (telemetry, clock) = (Arc::clone(telemetry), clock.clone());
        let name = path.display().to_string();
        move |config: &WebConfig| {
            let expiry = config.tls.as_ref().map(|tls| tls.expiry);
            telemetry.web_config_loaded(expiry);
            if let Err(warning) = config.is_valid_at(&name, clock.now().utc) {
                tracing::warn!(%warning, "configuration warning");
            }
        }
    };
    note(&config);
    let access = Arc::new(AccessControl::new(config, clock));
    let telemetry = Arc::clone(telemetry);
    let report = move |change| match change {
        WebConfigChange::Loaded(config) => {
            tracing::info!(
                tls = config.tls.is_some(),
                users = config.users.len(),
                "web configuration reloaded"
            );
            note(&config);
        }
        WebConfigChange::Rejected(why) => {
            tracing::error!(mistakes = %why, "web configuration rejected");
            telemetry.web_config_rejected();
        }
    };
    tasks.essential(
        "web configuration",
        watch_web_config(path, seen, Arc::clone(&access), report, tasks.stop().clone()),
    );
    access
}

/// Starts polling and serving.
#[cfg(feature = "simulator")]
pub(super) fn spawn(
    exporter: Exporter,
    bound: Vec<Bound>,
    prefix: &str,
    server: &Server,
    tasks: &Tasks,
) {
    let (polling, pages) = exporter.into_parts(tasks.stop().clone());
    tasks.essential("poller", polling);
    serve_pages(&pages, bound, prefix, server, tasks);
}

fn serve_pages(
    pages: &Arc<Pages>,
    bound: Vec<Bound>,
    prefix: &str,
    server: &Server,
    tasks: &Tasks,
) {
    for bound in bound {
        tasks.essential("server", server.clone().serve(bound, Arc::clone(pages).handler(prefix)));
    }
}

/// The flag of the exporter's address.
pub(super) const WEB_ADDRESS: &str = "--web.listen-address";

/// Listens on every address, or on the sockets from systemd.
async fn bind_all(web: &WebArgs) -> Result<Vec<Bound>, CommandError> {
    if web.systemd_socket {
        return from_systemd().map_err(|error| CommandError::Failed(error.to_string()));
    }
    let mut bound = Vec::with_capacity(web.listen_address.len());
    for address in &web.listen_address {
        bound.push(match address {
            Listen::Tcp(address) => bind_first(address, WEB_ADDRESS).await?,
            Listen::Unix(path) => bind_unix(path).map_err(|error| unbound(&error, WEB_ADDRESS))?,
        });
    }
    Ok(bound)
}

/// Listens on the first of the address's candidates that is free; the error names `flag`.
pub(super) async fn bind_first(address: &ListenAddress, flag: &str) -> Result<Bound, CommandError> {
    let name = address.clone();
    let candidates =
        crate::tasks::off_thread(move || name.candidates()).await.map_err(|cause| {
            unbound(&format!("cannot listen on {address}: cannot look it up: {cause}"), flag)
        })?;
    let mut failure = format!("cannot listen on {address}: the name has no address");
    for candidate in candidates {
        match bind(candidate).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(unbound(&failure, flag))
}

fn unbound(why: &impl std::fmt::Display, flag: &str) -> CommandError {
    CommandError::Failed(format!("{why}; choose another address with {flag}"))
}

pub(super) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
