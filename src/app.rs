//! The composition root: the only place that knows every concrete type.

mod api;
mod rules;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use api::{ConnectError, client, connect, timing};
use rules::{ledger_rules, live_feeds, planner_rules, quota_facts, show};

use crate::checkpoint::{self, RestoreError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cxone::{Event, Observer, Transport};
use crate::domain::backoff::Random;
use crate::domain::planner::Planner;
use crate::domain::privacy::Privacy;
use crate::domain::report::Filter;
use crate::domain::snapshot::Snapshot;
use crate::exposition::render;
use crate::poller::{Poller, Publish, SharedServerClock, Standings, Target};
use crate::server::{QuotaStatus, Readiness, Reload, Site, Sources, StatusView, TargetStatus};
use crate::store::Store;
use crate::telemetry::{QuotaFacts, Telemetry};

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
    shown: Arc<RwLock<Shown>>,
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

/// What the status page and `/-/ready` say, as of the last publication.
#[derive(Default)]
struct Shown {
    facts: Facts,
    standings: Standings,
    agents_seen: u64,
    series: u64,
    series_dropped: u64,
}

/// What the configuration says, for the status page.
struct Facts {
    api: String,
    quota: QuotaFacts,
}

impl Default for Facts {
    fn default() -> Self {
        Self { api: String::new(), quota: QuotaFacts { limit: 0, reserved: 0, demand_ratio: 0.0 } }
    }
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
        let shown = Arc::new(RwLock::new(Shown::default()));
        let site = Arc::new(Site::new(sources(web, clock, &telemetry, &shown), render(Snapshot::default(), None)));
        Self { site, telemetry, clock: clock.clone(), shown }
    }

    /// What it does, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
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
        self.shown.write().unwrap_or_else(PoisonError::into_inner).facts = Facts { api: config.api.address().to_string(), quota };
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
            publish: publish(&self.site, Arc::clone(&self.shown)),
            published: HashSet::new(),
        };
        // What is in the store is shown before anything is asked of CXone.
        let (snapshot, standings) = poller.look(now);
        (poller.publish)(snapshot, standings);
        Ok(poller)
    }
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
        {
            let mut shown = shown.write().unwrap_or_else(PoisonError::into_inner);
            (shown.standings, shown.agents_seen) = (standings, agents_seen);
            (shown.series, shown.series_dropped) = (rendered.samples(), series_dropped);
        }
        site.publish(rendered);
    })
}

impl Exporter {
    /// The loop as a future that ends when `stop` is cancelled.
    pub fn into_parts(self, stop: CancellationToken) -> (impl Future<Output = ()> + Send + 'static, Arc<Site>) {
        let polling = async move { drop(self.poller.run(stop).await) };
        (polling, self.front.site)
    }
}

fn sources(web: Web, clock: &Clock, telemetry: &Arc<Telemetry>, shown: &Arc<RwLock<Shown>>) -> Sources {
    let started = clock.now().utc;
    let own = Arc::clone(telemetry);
    let readiness = {
        let shown = Arc::clone(shown);
        move || readiness(&shown.read().unwrap_or_else(PoisonError::into_inner))
    };
    let status = {
        let (shown, telemetry, clock) = (Arc::clone(shown), Arc::clone(telemetry), clock.clone());
        move || {
            let shown = shown.read().unwrap_or_else(PoisonError::into_inner);
            StatusView {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                now: clock.now().utc,
                started,
                api: shown.facts.api.clone(),
                agents_seen: shown.agents_seen,
                series: shown.series,
                series_dropped: shown.series_dropped,
                quota: QuotaStatus {
                    limit: shown.facts.quota.limit,
                    reserved: shown.facts.quota.reserved,
                    used: shown.standings.jobs_in_last_minute,
                    demand_ratio: shown.facts.quota.demand_ratio,
                },
                token_expiry: telemetry.token_expiry(),
                targets: target_statuses(&shown.standings),
            }
        }
    };
    Sources {
        metrics_path: web.telemetry_path,
        max_requests: web.max_requests,
        reload: web.reload,
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
