//! The composition root: the only place that knows every concrete type.

mod shown;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
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
use crate::domain::live::{Live, LivePlan, LiveRules};
use crate::domain::planner::{self, Asking, Planner};
use crate::domain::privacy::Privacy;
use crate::domain::report::Filter;
use crate::domain::snapshot::Snapshot;
use crate::domain::status::StoreStatus;
use crate::domain::time::Monotonic;
use crate::domain::window::WindowRules;
use crate::exposition::render;
use crate::poller::{LiveFeeds, Poller, SharedServerClock, Target};
use crate::server::{QuotaOf, QuotaStatus, Reload, Site};
use crate::store::Store;
use crate::telemetry::{QuotaFacts, Telemetry};

use shown::SharedShown;

/// The exporter, put together: what polls and what answers.
pub struct Exporter {
    /// The loop.
    pub poller: Poller,
    /// What answers.
    pub front: Front,
}

/// What stays while configurations come and go.
#[derive(Clone)]
pub struct Front {
    /// The pages.
    pub site: Arc<Site>,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Where now comes from.
    pub clock: Clock,
    shown: SharedShown,
}

/// A configuration that cannot be gone by, and the store that it was to go on with.
pub struct Refused {
    /// Why.
    pub error: StartError,
    /// The store as it was.
    pub store: Box<dyn Store>,
}

/// How the pages are served.
#[derive(Clone, Default)]
pub struct Web {
    /// The path of the metrics.
    pub telemetry_path: String,
    /// How many scrapes are answered at a time.
    pub max_requests: usize,
    /// Has the configuration read again, where that may be asked for over the network.
    pub reload: Option<Reload>,
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
    store: Box<dyn Store>,
    random: Random,
) -> Result<Exporter, StartError> {
    let front = Front::new(web, clock);
    let poller = front.poller(config, transport, store, random).map_err(|refused| refused.error)?;
    Ok(Exporter { poller, front })
}

impl Front {
    /// Pages that show nothing yet.
    fn new(web: Web, clock: &Clock) -> Self {
        let telemetry = Arc::new(Telemetry::new(clock.now().utc));
        let shown = SharedShown::default();
        let site = Arc::new(Site::new(shown.sources(web, clock, &telemetry), render(Snapshot::default(), None)));
        Self { site, telemetry, clock: clock.clone(), shown }
    }

    /// What it does, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let shown = self.shown.read();
        let targets = &shown.standings.targets;
        let up = targets.iter().filter(|target| target.up == Some(true)).count();
        format!("{up} of {} targets up, {} agents, {} series", targets.len(), shown.agents_seen, shown.series)
    }

    /// A loop that polls as `config` says, with what is in `store`, and shows on these pages what it knows; nothing runs yet.
    ///
    /// # Errors
    /// When the address of the API is no base, or the store does not fit; the store comes back.
    pub fn poller(
        &self,
        config: &Config,
        transport: Arc<dyn Transport>,
        mut store: Box<dyn Store>,
        random: Random,
    ) -> Result<Poller, Refused> {
        let server_clock = SharedServerClock::default();
        let observer: Observer = {
            let (telemetry, server_clock) = (Arc::clone(&self.telemetry), server_clock.clone());
            Arc::new(move |event: &Event| {
                telemetry.client_event(event);
                server_clock.client_event(event);
            })
        };
        let privacy = Privacy { ids: config.metrics.agent_ids.clone(), names: config.metrics.agent_info };
        let targets: Vec<Target> = config.targets.iter().map(|target| poller_target(target, &privacy)).collect();
        let filters: Vec<Filter> = targets.iter().map(|target| target.kept_as.clone()).collect();
        let client = match client(config, transport, self.clock.clone(), observer) {
            Ok(client) => client,
            Err(error) => return Err(Refused { error: error.into(), store }),
        };
        let left = match checkpoint::read(&mut *store, ledger_rules(config), &filters, &privacy.ids) {
            Ok(left) => left,
            Err(error) => return Err(Refused { error: error.into(), store }),
        };
        let now = self.clock.now();
        let feeds = live_feeds(config, &privacy, &random, now.instant);
        let mut planner = Planner::new(planner_rules(config), filters.len(), now.instant, random);
        let submits = left.resume(&mut planner, now);
        if left.knows_something() {
            self.telemetry.restored(store.size_bytes());
        } else {
            self.telemetry.store_opened(store.size_bytes());
        }
        let quota = quota_facts(config);
        self.telemetry.config_taken(quota, now.utc);
        let errors = {
            let mut shown = self.shown.write();
            (shown.api, shown.quota) = (config.api.address().to_string(), quota_status(config, quota));
            Arc::clone(&shown.standings.errors)
        };
        let store_status = StoreStatus { size_bytes: store.size_bytes(), ..StoreStatus::default() };
        let mut poller = Poller {
            clock: self.clock.clone(),
            client,
            server_clock,
            planner,
            ledger: left.ledger,
            feeds,
            store,
            targets,
            privacy,
            show: show(config),
            submits,
            telemetry: Arc::clone(&self.telemetry),
            store_status,
            errors,
            publish: self.shown.publish(&self.site),
            tell: self.shown.tell(),
            published: HashSet::new(),
        };
        // What is in the store is shown before anything is asked of CXone.
        let (snapshot, fresh) = poller.look(now);
        poller.tell(now);
        (poller.publish)(snapshot, fresh);
        Ok(poller)
    }
}

fn poller_target(target: &config::Target, privacy: &Privacy) -> Target {
    Target { name: target.name.as_str().into(), filter: target.filter.clone(), kept_as: privacy.ids.of_filter(&target.filter) }
}

impl Exporter {
    /// The loop as a future that ends when `stop` is cancelled.
    pub fn into_parts(self, stop: CancellationToken) -> (impl Future<Output = ()> + Send + 'static, Arc<Site>) {
        let polling = async move { drop(self.poller.run(stop).await) };
        (polling, self.front.site)
    }
}

fn quota_facts(config: &Config) -> QuotaFacts {
    let (limit, reserved) = match config.api.dialect {
        Dialect::Reports(_) => (config.quota.report_jobs_per_minute, config.quota.reserve),
        // Each window costs a request at least.
        Dialect::Platform(_) => (config.quota.requests_per_minute, 0),
    };
    let targets = u32::try_from(config.targets.len()).unwrap_or(u32::MAX);
    let live_a_minute = match config.api.dialect {
        Dialect::Reports(_) => 0.0,
        // One request for each of the two feeds.
        Dialect::Platform(_) => 2.0 * 60.0 / config.poll.live_interval.as_secs_f64(),
    };
    let asked_a_minute = f64::from(targets) * 60.0 / config.poll.interval.as_secs_f64() + live_a_minute;
    QuotaFacts { limit, reserved, demand_ratio: asked_a_minute / f64::from(limit) }
}

fn quota_status(config: &Config, QuotaFacts { limit, reserved, demand_ratio }: QuotaFacts) -> QuotaStatus {
    let of = match config.api.dialect {
        Dialect::Reports(_) => QuotaOf::ReportJobs,
        Dialect::Platform(_) => QuotaOf::Requests,
    };
    QuotaStatus { of, limit, reserved, demand_ratio }
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

/// How often the whole list of agents' states is asked for, and not only what changed: who is gone is in no list of changes.
const WHOLE_LIST_EVERY: Duration = Duration::from_secs(300);

/// The live feeds of the dialect, if it has any.
fn live_feeds(config: &Config, privacy: &Privacy, random: &Random, now: Monotonic) -> Option<LiveFeeds> {
    let rules =
        LiveRules { interval: config.poll.live_interval, full_every: WHOLE_LIST_EVERY, max_staleness: config.metrics.max_staleness };
    let live = Live::new(config.states.wrap_up.clone(), privacy.clone());
    match config.api.dialect {
        Dialect::Reports(_) => None,
        Dialect::Platform(_) => Some(LiveFeeds::new(LivePlan::new(rules, random.clone().split(), now), live, show(config).limits)),
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

/// How long a process that was told to end may take.
pub const DRAIN: Duration = Duration::from_secs(5);
