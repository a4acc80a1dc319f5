//! The composition root: the only place that knows every concrete type.

mod api;
mod rules;
mod shown;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use api::{ConnectError, client, connect, proxies, timing};
pub use rules::asked_a_minute;
use rules::{ledger_rules, live_feeds, planner_rules, quota_facts, quota_status, show};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cxone::{Event, Observer, Transport};
use crate::engine::{Handover, Mark, Poller, Pulse, SharedServerClock, Target};
use crate::exposition::render;
use crate::server::{Pages, Reload};
use crate::telemetry::Telemetry;
use cxone_core::checkpoint::{self, RestoreError};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::status::StoreStatus;
use cxone_core::plan::backoff::Random;
use cxone_core::plan::planner::Planner;
use cxone_core::privacy::Privacy;
use cxone_core::report::ReportFilter;
use cxone_core::store::Store;

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
    pub pages: Arc<Pages>,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Where now comes from.
    pub clock: Clock,
    /// Where each loop leaves a trace of its turns.
    pub pulse: Pulse,
    /// CXone's clock.
    server_clock: SharedServerClock,
    shown: SharedShown,
}

/// A configuration that cannot be gone by, and what it was to go on with.
pub struct Refused {
    /// Why.
    pub error: StartError,
    /// What it was given.
    pub handover: Handover,
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
    let poller =
        front.poller(config, transport, store.into(), random).map_err(|refused| refused.error)?;
    front.telemetry.config_loaded(clock.now().utc);
    Ok(Exporter { poller, front })
}

impl Front {
    /// Pages that show nothing yet.
    fn new(web: Web, clock: &Clock) -> Self {
        let telemetry = Arc::new(Telemetry::new(clock.now().utc));
        let shown = SharedShown::default();
        let pages = Arc::new(Pages::new(
            shown.sources(web, clock, &telemetry),
            render(Snapshot::default(), None),
        ));
        let pulse = Pulse::new(LONGEST_NAP);
        let server_clock = SharedServerClock::default();
        Self { pages, telemetry, clock: clock.clone(), pulse, server_clock, shown }
    }

    /// What it does, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let shown = self.shown.read();
        let targets = &shown.standings.targets;
        let up = targets.iter().filter(|target| target.up == Some(true)).count();
        format!(
            "{up} of {} targets up, {} agents, {} series",
            targets.len(),
            shown.agents_seen,
            shown.series
        )
    }

    /// A loop that polls as `config` says, goes on with what it is handed, and shows on these pages
    /// what it knows; nothing runs yet.
    ///
    /// # Errors
    /// When the address of the API is no base, or the store does not fit; what was handed over
    /// comes back.
    pub fn poller(
        &self,
        config: &Config,
        transport: Arc<dyn Transport>,
        mut handover: Handover,
        random: Random,
    ) -> Result<Poller, Refused> {
        let observer: Observer = {
            let (telemetry, server_clock) =
                (Arc::clone(&self.telemetry), self.server_clock.clone());
            Arc::new(move |event: &Event| {
                telemetry.client_event(event);
                telemetry.date_noted(server_clock.client_event(event));
            })
        };
        let privacy =
            Privacy { ids: config.metrics.agent_ids.clone(), names: config.metrics.agent_info };
        let targets: Vec<Target> =
            config.targets.iter().map(|target| poller_target(target, &privacy)).collect();
        let filters: Vec<ReportFilter> =
            targets.iter().map(|target| target.kept_as.clone()).collect();
        let client = client(config, transport, self.clock.clone(), observer);
        let rules = ledger_rules(config);
        let left = match checkpoint::read(
            &mut *handover.store,
            rules,
            &filters,
            &privacy.ids,
            Some(&config.api.owner()),
        ) {
            Ok(left) => left,
            Err(error) => return Err(Refused { error: error.into(), handover }),
        };
        let now = self.clock.now();
        let feeds = live_feeds(config, &privacy, &random, now.instant);
        let mut planner = Planner::new(planner_rules(config), filters.len(), now.instant, random);
        let submits = left.resume(&mut planner, now, |id| {
            let name = &targets[id.index()].name;
            tracing::info!(target = %name, "taking up the report job that was under way");
        });
        // A reload finishes no job and writes nothing: what is up or down stays so.
        if !handover.is_from_a_loop() {
            self.telemetry.restored(left.is_up(&planner, now.instant));
        }
        let size_bytes = handover.store.size_bytes();
        if handover.store_works() {
            self.telemetry.store_opened(size_bytes);
        }
        let quota = quota_facts(config);
        self.telemetry.add_endpoints(client.endpoints());
        self.telemetry.set_quota(quota);
        let errors = {
            let mut shown = self.shown.write();
            (shown.api, shown.quota) =
                (config.api.address().to_string(), quota_status(config, quota));
            Arc::clone(&shown.standings.errors)
        };
        let Handover { store, past } = handover;
        let store_status = StoreStatus {
            format: store.format(),
            size_bytes,
            last_commit: self.shown.read().standings.store.last_commit,
            ..StoreStatus::default()
        };
        let mut poller = Poller {
            clock: self.clock.clone(),
            client,
            server_clock: self.server_clock.clone(),
            planner,
            marks: Mark::all(&left.ledger, filters.len()),
            ledger: Some(left.ledger),
            feeds,
            store: Some(store),
            targets,
            privacy,
            show: show(config),
            submits,
            telemetry: Arc::clone(&self.telemetry),
            store_status,
            errors,
            publish: self.shown.publish(&self.pages),
            tell: self.shown.tell(),
            published: HashSet::new(),
            past_targets: HashMap::new(),
            ready: false,
            pulse: self.pulse.clone(),
        };
        poller.carry_on(past);
        // What is in the store is shown before anything is asked of CXone.
        let (snapshot, fresh) = poller.look(now);
        poller.tell(now);
        (poller.publish)(snapshot, fresh || poller.ready);
        Ok(poller)
    }
}

fn poller_target(target: &config::Target, privacy: &Privacy) -> Target {
    Target {
        name: target.name.as_str().into(),
        filter: target.filter.clone(),
        kept_as: privacy.ids.of_filter(&target.filter),
    }
}

impl Exporter {
    /// The same, whose loop leaves a trace of its turns here.
    #[must_use]
    pub fn watched_by(mut self, pulse: &Pulse) -> Self {
        (self.front.pulse, self.poller.pulse) = (pulse.clone(), pulse.clone());
        self
    }

    /// The loop as a future that ends when `stop` is cancelled.
    pub fn into_parts(
        self,
        stop: CancellationToken,
    ) -> (impl Future<Output = ()> + Send + 'static, Arc<Pages>) {
        let polling = async move { drop(self.poller.run(stop).await) };
        (polling, self.front.pages)
    }
}

/// How long a loop rests that nobody watches.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// How long a process that was told to end may take.
pub const DRAIN: Duration = Duration::from_secs(5);
