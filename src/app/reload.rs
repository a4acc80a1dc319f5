//! The exporter while configurations come and go: pages and connections stay, the loop is built
//! anew from the store, as after a restart.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{BuildError, Front};
use crate::config::Config;
use crate::cxone::Transport;
use crate::engine::{Engine, Handover};
use crate::tasks::off_thread;
use cxone_core::plan::backoff::Random;

/// Reloads that may wait. More are rejected, since the last one reads what all of them would.
const MAX_WAITING: usize = 4;

/// What to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadScope {
    /// The configuration, and the secrets that it names.
    Everything,
    /// The secrets alone, since their files changed.
    Secrets,
}

struct ReloadRequest {
    scope: ReloadScope,
    done: oneshot::Sender<Result<(), String>>,
}

/// Requests reloads of a [`Reloader`].
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<ReloadRequest>);

/// The reloads that are requested, for a [`Reloader`].
#[derive(Debug)]
pub struct ReloadInbox(mpsc::Receiver<ReloadRequest>);

/// A handle, and where its requests arrive.
#[must_use]
pub fn channel() -> (ReloadHandle, ReloadInbox) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (ReloadHandle(sender), ReloadInbox(receiver))
}

impl ReloadHandle {
    /// Reloads, and waits for the result.
    ///
    /// # Errors
    /// What is wrong with the configuration; the previous one stays in effect then.
    pub async fn reload(&self, scope: ReloadScope) -> Result<(), String> {
        let (done, outcome) = oneshot::channel();
        self.0
            .try_send(ReloadRequest { scope, done })
            .map_err(|_| "a reload is in progress already".to_owned())?;
        outcome.await.unwrap_or_else(|_| Err("the exporter is shutting down".to_owned()))
    }
}

/// A configuration, and the way to the API that it names.
pub type ConnectedConfig = (Config, Arc<dyn Transport>);

/// Runs the loop, and builds it anew at each reload.
pub struct Reloader {
    /// What stays.
    pub front: Front,
    /// The configuration in effect.
    pub current: ConnectedConfig,
    /// Loads the configuration; may block.
    pub load: Arc<dyn Fn(ReloadScope) -> Result<ConnectedConfig, String> + Send + Sync>,
    /// Called when what was loaded last takes effect.
    pub accept: Arc<dyn Fn() + Send + Sync>,
    /// Randomness for the next loop.
    pub random: fn() -> Random,
}

impl Reloader {
    /// Polls by `engine` until `stop` is cancelled, and reloads on request. Returns earlier only
    /// when the loop cannot go on, which is logged.
    pub async fn run(
        mut self,
        mut engine: Engine,
        mut inbox: ReloadInbox,
        stop: CancellationToken,
    ) {
        // Whether the configuration file as it is now is invalid. New secrets do not change that.
        let mut is_file_invalid = false;
        loop {
            let pause = stop.child_token();
            let mut polling = Box::pin(engine.run(pause.clone()));
            let (scope, loaded, done) = tokio::select! {
                _handover = &mut polling => return,
                valid = self.next_valid(&mut inbox, &mut is_file_invalid) => valid,
            };
            // Requests in progress are dropped as at a shutdown: what was counted is in the store,
            // and the next loop requests the rest again.
            pause.cancel();
            let mut handover = polling.await;
            if !loaded.0.api.has_access_of(&self.current.0.api) {
                handover.retry_at_once();
            }
            let (loaded, built) = self.build(loaded, handover).await;
            engine = match built {
                Ok(engine) => {
                    let config = &loaded.0;
                    let (api, targets) = (config.api.address(), config.targets.len());
                    tracing::info!(%api, targets, "configuration reloaded");
                    (self.accept)();
                    self.current = loaded;
                    is_file_invalid &= scope != ReloadScope::Everything;
                    if !is_file_invalid {
                        let context = &self.front.context;
                        context.telemetry.config_loaded(context.clock.now().utc);
                    }
                    let _sent = done.send(Ok(()));
                    engine
                }
                Err(failure) => {
                    is_file_invalid |= scope == ReloadScope::Everything;
                    self.reject(done, failure.error.to_string());
                    match self.build(self.current.clone(), failure.handover).await.1 {
                        Ok(engine) => engine,
                        Err(failure) => {
                            let error = failure.error;
                            tracing::error!(%error, "previous configuration failed as well");
                            return;
                        }
                    }
                }
            };
        }
    }

    /// Builds the loop on another thread, since it reads the store. The heart beats meanwhile, or a
    /// watchdog would take the reload of a large store for a hang.
    async fn build(
        &self,
        loaded: ConnectedConfig,
        handover: Handover,
    ) -> (ConnectedConfig, Result<Engine, Box<BuildError>>) {
        let (front, random) = (self.front.clone(), (self.random)());
        let mut building = std::pin::pin!(off_thread(move || {
            let built = front.engine(&loaded.0, Arc::clone(&loaded.1), handover, random);
            (loaded, built.map_err(Box::new))
        }));
        let (clock, heartbeat) = (&self.front.context.clock, &self.front.context.heartbeat);
        loop {
            let next_beat = clock.now().instant.plus(heartbeat.max_interval());
            tokio::select! {
                built = &mut building => return built,
                () = clock.sleep_until(next_beat) => heartbeat.beat(),
            }
        }
    }

    /// Waits for a reload, and loads the configuration, until one is valid.
    async fn next_valid(
        &self,
        inbox: &mut ReloadInbox,
        is_file_invalid: &mut bool,
    ) -> (ReloadScope, ConnectedConfig, oneshot::Sender<Result<(), String>>) {
        loop {
            let Some(ReloadRequest { scope, done }) = inbox.0.recv().await else {
                return std::future::pending().await;
            };
            let load = Arc::clone(&self.load);
            match off_thread(move || load(scope)).await {
                Ok(loaded) => return (scope, loaded, done),
                Err(mistakes) => {
                    *is_file_invalid |= scope == ReloadScope::Everything;
                    self.reject(done, mistakes);
                }
            }
        }
    }

    fn reject(&self, done: oneshot::Sender<Result<(), String>>, mistakes: String) {
        let context = &self.front.context;
        context.telemetry.config_rejected(context.clock.now().utc);
        tracing::error!(
            mistakes = mistakes.trim_end(),
            "configuration rejected: the previous one stays in effect"
        );
        let _sent = done.send(Err(mistakes));
    }
}
