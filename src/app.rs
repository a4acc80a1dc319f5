//! The composition root: the only place that knows every concrete type.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{self, RestoreError};
use crate::clock::Clock;
use crate::config::{self, Config, Dialect, PlatformApi};
use crate::cxone::platform::Credentials;
use crate::cxone::{
    AnyClient, BaseUrl, BaseUrlError, Client, ClientOptions, Event, HttpLimits, HttpTransport, Limits, Observer, PlatformClient,
    PlatformOptions, Transport, TransportError,
};
use crate::domain::backoff::Random;
use crate::domain::fetch::JobTiming;
use crate::domain::ledger::{self, Show};
use crate::domain::planner::{self, Asking, Planner};
use crate::domain::privacy::Privacy;
use crate::domain::report::Filter;
use crate::domain::snapshot::Snapshot;
use crate::domain::window::WindowRules;
use crate::exposition::render;
use crate::poller::{Poller, Publish, SharedServerClock, Standings, Target};
use crate::server::{QuotaStatus, Readiness, Site, Sources, StatusView, TargetStatus};
use crate::store::Store;
use crate::telemetry::{QuotaFacts, Telemetry};

/// The exporter, put together: what polls and what answers.
pub struct Exporter {
    /// The loop.
    pub poller: Poller,
    /// The pages.
    pub site: Arc<Site>,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
}

/// How the pages are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// The path of the metrics.
    pub telemetry_path: String,
    /// How many scrapes are answered at a time.
    pub max_requests: usize,
}

/// Why the exporter cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The way to CXone cannot be made.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// What an earlier process left cannot be taken up.
    #[error("{0}")]
    Restore(#[from] RestoreError),
}

/// Why the way to CXone cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is no base.
    #[error("api.base_url {0}")]
    BaseUrl(#[from] BaseUrlError),
    /// There is no transport to it.
    #[error("cannot prepare connections to CXone: {0}")]
    Transport(#[from] TransportError),
}

/// What the status page and `/-/ready` say, as of the last publication.
#[derive(Default)]
struct Shown {
    standings: Standings,
    agents_seen: u64,
    series: u64,
    series_dropped: u64,
}

/// A transport over the network to the API that `config` names.
///
/// # Errors
/// When the address is no base, or the machine lacks certificates.
pub fn connect(config: &Config) -> Result<Arc<dyn Transport>, ConnectError> {
    let base = BaseUrl::try_from(config.api.address().clone())?;
    let limits = HttpLimits::default();
    let transport = match &config.api.dialect {
        Dialect::Reports(_) => HttpTransport::new(&base, limits),
        Dialect::Platform(_) => HttpTransport::http1(&base, limits),
    };
    Ok(Arc::new(transport?))
}

/// The client of the API that `config` names.
///
/// # Errors
/// When the address is no base.
pub fn client(config: &Config, transport: Arc<dyn Transport>, clock: Clock, observer: Observer) -> Result<AnyClient, ConnectError> {
    let limits = Limits::default();
    let hidden = config.metrics.agent_ids.hidden(config.targets.iter().map(|target| &target.filter));
    let hidden: Vec<SecretString> = hidden.into_iter().map(|id| SecretString::from(id.to_owned())).collect();
    Ok(match &config.api.dialect {
        Dialect::Reports(api) => {
            let (client_id, client_secret) = (api.client.id.clone(), api.client.secret.clone());
            let options = ClientOptions { base_url: BaseUrl::try_from(api.base_url.clone())?, client_id, client_secret, limits, hidden };
            AnyClient::Reports(Arc::new(Client::new(transport, clock, options, observer)))
        }
        Dialect::Platform(api) => {
            let options = platform_options(api, config.quota.requests_per_minute, limits, hidden)?;
            AnyClient::Platform(Arc::new(PlatformClient::new(transport, clock, options, observer)))
        }
    })
}

fn platform_options(
    api: &PlatformApi,
    requests_per_minute: u32,
    limits: Limits,
    hidden: Vec<SecretString>,
) -> Result<PlatformOptions, ConnectError> {
    let issuer = BaseUrl::try_from(api.issuer.clone())?;
    let credentials = match &api.client {
        Some(client) => Credentials::Client { id: client.id.clone(), secret: client.secret.clone() },
        None => Credentials::AccessKey(BaseUrl::try_from(api.access_key_base.clone().unwrap_or_else(|| api.issuer.clone()))?),
    };
    Ok(PlatformOptions {
        issuer,
        base_url: api.base_url.clone().map(BaseUrl::try_from).transpose()?,
        version: api.version,
        access_key_id: api.access_key_id.clone(),
        access_key_secret: api.access_key_secret.clone(),
        credentials,
        limits,
        hidden,
        requests_per_minute: NonZeroU32::new(requests_per_minute).unwrap_or(NonZeroU32::MIN),
    })
}

/// How jobs are waited for.
#[must_use]
pub const fn timing(config: &Config) -> JobTiming {
    JobTiming { poll_every: config.jobs.poll_every, timeout: config.jobs.timeout }
}

/// Puts the exporter together, with what an earlier process left in `store`; nothing runs yet.
///
/// # Errors
/// When the address of the API is no base, or the store cannot be read.
pub fn exporter(
    config: &Config,
    web: Web,
    clock: &Clock,
    transport: Arc<dyn Transport>,
    mut store: Box<dyn Store>,
    random: Random,
) -> Result<Exporter, StartError> {
    let now = clock.now();
    let quota = quota_facts(config);
    let telemetry = Arc::new(Telemetry::new(now.utc, quota));
    let server_clock = SharedServerClock::default();
    let observer: Observer = {
        let (telemetry, server_clock) = (Arc::clone(&telemetry), server_clock.clone());
        Arc::new(move |event: &Event| {
            telemetry.client_event(event);
            server_clock.client_event(event);
        })
    };
    let client = client(config, transport, clock.clone(), observer)?;
    let privacy = Privacy { ids: config.metrics.agent_ids.clone(), names: config.metrics.agent_info };
    let targets: Vec<Target> = config.targets.iter().map(|target| poller_target(target, &privacy)).collect();
    let filters: Vec<Filter> = targets.iter().map(|target| target.kept_as.clone()).collect();
    let left = checkpoint::read(&mut *store, ledger_rules(config), &filters, &privacy.ids)?;
    let mut planner = Planner::new(planner_rules(config), filters.len(), now.instant, random);
    let submits = left.resume(&mut planner, now);
    if left.knows_something() {
        telemetry.restored(store.size_bytes());
    } else {
        telemetry.store_opened(store.size_bytes());
    }
    let shown = Arc::new(RwLock::new(Shown::default()));
    let site = Arc::new(Site::new(sources(config, web, clock, quota, &telemetry, &shown), render(Snapshot::default(), None)));
    let mut poller = Poller {
        clock: clock.clone(),
        client,
        server_clock,
        planner,
        ledger: left.ledger,
        store,
        targets,
        privacy,
        show: show(config),
        submits,
        telemetry: Arc::clone(&telemetry),
        publish: publish(&site, shown),
        published: HashSet::new(),
    };
    // What an earlier process left is shown before anything is asked of CXone.
    let (snapshot, standings) = poller.look(now);
    (poller.publish)(snapshot, standings);
    Ok(Exporter { poller, site, telemetry })
}

fn poller_target(target: &config::Target, privacy: &Privacy) -> Target {
    Target { name: target.name.as_str().into(), filter: target.filter.clone(), kept_as: privacy.ids.of_filter(&target.filter) }
}

/// Shows snapshots on the pages.
fn publish(site: &Arc<Site>, shown: Arc<RwLock<Shown>>) -> Publish {
    let site = Arc::clone(site);
    Arc::new(move |snapshot: Snapshot, standings: Standings| {
        let Snapshot { agents_seen, series_dropped, .. } = snapshot;
        let rendered = render(snapshot, Some(&site.published()));
        *shown.write().unwrap_or_else(PoisonError::into_inner) =
            Shown { standings, agents_seen, series: rendered.samples(), series_dropped };
        site.publish(rendered);
    })
}

impl Exporter {
    /// The loop as a future that ends when `stop` is cancelled.
    pub fn into_parts(self, stop: CancellationToken) -> (impl Future<Output = ()> + Send + 'static, Arc<Site>) {
        (self.poller.run(stop), self.site)
    }
}

fn quota_facts(config: &Config) -> QuotaFacts {
    let (limit, reserved) = match config.api.dialect {
        Dialect::Reports(_) => (config.quota.report_jobs_per_minute, config.quota.reserve),
        // Each window costs a request at least.
        Dialect::Platform(_) => (config.quota.requests_per_minute, 0),
    };
    let targets = u32::try_from(config.targets.len()).unwrap_or(u32::MAX);
    let asked_a_minute = f64::from(targets) * 60.0 / config.poll.interval.as_secs_f64();
    QuotaFacts { limit, reserved, demand_ratio: asked_a_minute / f64::from(limit) }
}

fn planner_rules(config: &Config) -> planner::Rules {
    let QuotaFacts { limit, reserved, .. } = quota_facts(config);
    planner::Rules {
        interval: config.poll.interval,
        windows: WindowRules {
            lookback: config.poll.lookback,
            overlap: config.poll.overlap,
            settle_delay: config.poll.settle_delay,
            retention: config.poll.retention,
        },
        timing: timing(config),
        jobs_per_minute: NonZeroU32::new(limit.saturating_sub(reserved)).unwrap_or(NonZeroU32::MIN),
        asking: match config.api.dialect {
            Dialect::Reports(_) => Asking::Jobs,
            Dialect::Platform(_) => Asking::Pages,
        },
        max_staleness: config.metrics.max_staleness,
    }
}

fn ledger_rules(config: &Config) -> ledger::Rules {
    ledger::Rules {
        rows: config.api.rows,
        lookback: config.poll.lookback,
        overlap: config.poll.overlap,
        wrap_up: config.states.wrap_up.clone(),
        detail: config.metrics.detail,
    }
}

fn show(config: &Config) -> Show {
    Show {
        targets: Vec::new(),
        limits: config.states.limits.iter().map(|(state, limit)| (state.as_str().into(), *limit)).collect(),
        max_series: config.metrics.max_series,
        agent_info: config.metrics.agent_info,
    }
}

fn sources(config: &Config, web: Web, clock: &Clock, quota: QuotaFacts, telemetry: &Arc<Telemetry>, shown: &Arc<RwLock<Shown>>) -> Sources {
    let started = clock.now().utc;
    let own = Arc::clone(telemetry);
    let readiness = {
        let shown = Arc::clone(shown);
        move || readiness(&shown.read().unwrap_or_else(PoisonError::into_inner))
    };
    let status = {
        let (shown, telemetry, clock) = (Arc::clone(shown), Arc::clone(telemetry), clock.clone());
        let api = config.api.address().to_string();
        move || {
            let shown = shown.read().unwrap_or_else(PoisonError::into_inner);
            StatusView {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                now: clock.now().utc,
                started,
                api: api.clone(),
                agents_seen: shown.agents_seen,
                series: shown.series,
                series_dropped: shown.series_dropped,
                quota: QuotaStatus {
                    limit: quota.limit,
                    reserved: quota.reserved,
                    used: shown.standings.jobs_in_last_minute,
                    demand_ratio: quota.demand_ratio,
                },
                token_expiry: telemetry.token_expiry(),
                targets: target_statuses(&shown.standings),
            }
        }
    };
    Sources {
        metrics_path: web.telemetry_path,
        max_requests: web.max_requests,
        own: Box::new(move || own.openmetrics()),
        readiness: Box::new(readiness),
        status: Box::new(status),
    }
}

fn target_statuses(standings: &Standings) -> Vec<TargetStatus> {
    let status = |target: &crate::poller::TargetStanding| TargetStatus {
        name: target.name.to_string(),
        up: target.up,
        stale: target.stale,
        watermark: target.watermark,
        epoch: target.epoch,
        last_success: target.last_success,
        last_error: target.last_error.clone(),
        job_since: target.job_since,
    };
    standings.targets.iter().map(status).collect()
}

fn readiness(shown: &Shown) -> Readiness {
    let targets = &shown.standings.targets;
    if shown.standings.ready {
        return Readiness::Ready;
    }
    let error = targets.iter().find_map(|target| target.last_error.as_deref().map(|error| (&target.name, error)));
    Readiness::NotReady(match error {
        Some((target, error)) => format!("no report yet; target {target}: {error}"),
        None => "no report yet: the first one is under way".to_owned(),
    })
}

/// How long a process that was told to end may take.
pub const DRAIN: Duration = Duration::from_secs(5);
