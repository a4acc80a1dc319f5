//! The composition root: the only place that knows every concrete type.

mod api;
mod page_state;
pub mod reload;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use api::{ConnectError, client, connect, proxies, timing};
pub use rules::quota_status;
use rules::{ledger_rules, live_feeds, planner_rules, quota_facts, snapshot_options};

use crate::clock::Clock;
use crate::config::Config;
use crate::cxone::{ClientEvent, Observer, Transport};
use crate::engine::{
    Engine, EngineContext, EngineParts, Handover, Heartbeat, PolledTarget, SharedServerClock,
};
use crate::exposition::render;
use crate::server::{Pages, Reload};
use crate::telemetry::Telemetry;
use cxone_core::checkpoint::{self, RestoreError};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::plan::backoff::Random;
use cxone_core::plan::planner::Planner;
use cxone_core::privacy::Privacy;
use cxone_core::report::ReportFilter;
use cxone_core::store::Store;

use page_state::SharedPageState;

/// The exporter: the loop that polls, and the pages that answer.
pub struct Exporter {
    /// The loop.
    pub engine: Engine,
    /// The pages.
    pub front: Front,
}

/// What stays while configurations come and go.
#[derive(Clone)]
pub struct Front {
    /// The pages.
    pub pages: Arc<Pages>,
    /// What every loop uses.
    pub context: EngineContext,
    state: SharedPageState,
}

/// A loop that cannot be built, and what it was to go on with.
pub struct BuildError {
    /// Why.
    pub error: RestoreError,
    /// What it was given.
    pub handover: Handover,
}

/// How the pages are served.
#[derive(Clone, Default)]
pub struct Web {
    /// The path of the metrics.
    pub telemetry_path: String,
    /// The maximum number of concurrent scrapes.
    pub max_requests: usize,
    /// Reloads the configuration, where that is allowed over the network.
    pub reload: Option<Reload>,
}

/// Puts the exporter together, with what an earlier process left in `store`; nothing runs yet.
///
/// # Errors
/// When the store cannot be read, or does not fit the configuration.
pub fn exporter(
    config: &Config,
    web: Web,
    clock: &Clock,
    heartbeat: Heartbeat,
    transport: Arc<dyn Transport>,
    store: Box<dyn Store>,
    random: Random,
) -> Result<Exporter, RestoreError> {
    let front = Front::new(web, clock, heartbeat);
    let engine =
        front.engine(config, transport, store.into(), random).map_err(|failure| failure.error)?;
    front.context.telemetry.config_loaded(clock.now().utc);
    Ok(Exporter { engine, front })
}

impl Front {
    /// Pages that show nothing yet.
    fn new(web: Web, clock: &Clock, heartbeat: Heartbeat) -> Self {
        let telemetry = Arc::new(Telemetry::new(clock.now().utc));
        let state = SharedPageState::default();
        let pages = Arc::new(Pages::new(
            state.sources(web, clock, &telemetry),
            render(Snapshot::default(), None),
        ));
        let context = EngineContext {
            clock: clock.clone(),
            server_clock: SharedServerClock::default(),
            telemetry,
            heartbeat,
            publish_snapshot: state.publish(&pages),
            publish_status: state.publish_status(),
        };
        Self { pages, context, state }
    }

    /// What the exporter does, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let state = self.state.read();
        let targets = &state.status.targets;
        let up = targets.iter().filter(|target| target.up == Some(true)).count();
        format!(
            "{up} of {} targets up, {} agents, {} series",
            targets.len(),
            state.agents_seen,
            state.series
        )
    }

    /// A loop that polls as `config` says, goes on with what it is handed, and shows on these pages
    /// what it knows; nothing runs yet.
    ///
    /// # Errors
    /// When the store cannot be read, or does not fit the configuration; what was handed over comes
    /// back.
    pub fn engine(
        &self,
        config: &Config,
        transport: Arc<dyn Transport>,
        mut handover: Handover,
        random: Random,
    ) -> Result<Engine, BuildError> {
        let EngineContext { clock, telemetry, server_clock, .. } = self.context.clone();
        let observer: Observer = {
            let telemetry = Arc::clone(&telemetry);
            Arc::new(move |event: &ClientEvent| {
                telemetry.client_event(event);
                telemetry.date_noted(server_clock.client_event(event));
            })
        };
        let privacy =
            Privacy { ids: config.metrics.agent_ids.clone(), names: config.metrics.agent_info };
        let targets: Vec<PolledTarget> = config
            .targets
            .iter()
            .map(|target| PolledTarget {
                name: target.name.as_str().into(),
                filter: target.filter.clone(),
                store_key: privacy.ids.of_filter(&target.filter),
            })
            .collect();
        let store_keys: Vec<ReportFilter> =
            targets.iter().map(|target| target.store_key.clone()).collect();
        let client = client(config, transport, clock.clone(), observer);
        let left = match checkpoint::read(
            &mut *handover.store,
            ledger_rules(config),
            &store_keys,
            &privacy.ids,
            Some(&config.api.owner()),
        ) {
            Ok(left) => left,
            Err(error) => return Err(BuildError { error, handover }),
        };
        let now = clock.now();
        let feeds = live_feeds(&client, config, &privacy, &random, now.instant);
        let mut planner = Planner::new(planner_rules(config), targets.len(), now.instant, random);
        let submits = left.resume(&mut planner, now, |id| {
            tracing::info!(target = %targets[id.index()].name, "report job resumed");
        });
        // A reload finishes no job and writes nothing, so it changes no gauge.
        if !handover.is_from_reload() {
            telemetry.restored(left.is_up(&planner, now.instant));
        }
        if handover.is_store_healthy() {
            telemetry.store_opened(handover.store.size_bytes());
        }
        let quota = quota_facts(config);
        telemetry.add_endpoints(client.endpoints());
        telemetry.set_quota(quota);
        {
            let mut state = self.state.write();
            state.api = config.api.address().to_string();
            state.quota = quota_status(config);
        }
        let mut engine = Engine::new(EngineParts {
            context: self.context.clone(),
            client,
            planner,
            ledger: left.ledger,
            feeds,
            targets,
            privacy,
            view: snapshot_options(config),
            submits,
            handover,
        });
        engine.publish_restored();
        Ok(engine)
    }
}

impl Exporter {
    /// The loop as a future that ends when `stop` is cancelled.
    pub fn into_parts(
        self,
        stop: CancellationToken,
    ) -> (impl Future<Output = ()> + Send + 'static, Arc<Pages>) {
        let polling = async move { drop(self.engine.run(stop).await) };
        (polling, self.front.pages)
    }
}

/// How long a shutdown may take.
pub const DRAIN: Duration = Duration::from_secs(5);
