//! The exporter while configurations come and go: pages and connections stay, the loop is built
//! anew from the store, as after a restart.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Front, Refused};
use crate::config::Config;
use crate::cxone::Transport;
use crate::engine::{Engine, Handover};
use crate::tasks::off_thread;
use cxone_core::plan::backoff::Random;

/// Orders that may wait; more are refused, for the last of them reads what all of them would.
const MOST_ORDERS: usize = 4;

/// What is to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The configuration, and the secrets that it names.
    Everything,
    /// The secrets alone, since their files changed.
    Secrets,
}

/// An order to read the configuration again.
struct Order {
    what: What,
    done: oneshot::Sender<Result<(), String>>,
}

/// Gives orders to a [`Reloader`].
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Order>);

/// Carries [`Orders`] out, one after another.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Order>);

/// Orders, and where they go.
#[must_use]
pub fn orders() -> (Orders, Inbox) {
    let (sender, receiver) = mpsc::channel(MOST_ORDERS);
    (Orders(sender), Inbox(receiver))
}

impl Orders {
    /// Has the configuration read again, and waits for what comes of it.
    ///
    /// # Errors
    /// What is wrong with it; the configuration before goes on then.
    pub async fn give(&self, what: What) -> Result<(), String> {
        let (done, outcome) = oneshot::channel();
        self.0
            .try_send(Order { what, done })
            .map_err(|_| "it is being read again already".to_owned())?;
        outcome.await.unwrap_or_else(|_| Err("the exporter is ending".to_owned()))
    }
}

/// A configuration that was read, and the way to the API that it names.
pub type Taken = (Config, Arc<dyn Transport>);

/// Runs the loop, and builds it anew when the configuration was read again.
pub struct Reloader {
    /// What stays.
    pub front: Front,
    /// The configuration that counts, and the way to its API.
    pub current: Taken,
    /// Reads the configuration again; may block.
    pub read: Arc<dyn Fn(What) -> Result<Taken, String> + Send + Sync>,
    /// Takes note that what was read last counts.
    pub accept: Arc<dyn Fn() + Send + Sync>,
    /// Randomness for the next loop.
    pub random: fn() -> Random,
}

impl Reloader {
    /// Polls by `engine` until `stop` is cancelled, and carries out what comes into `inbox`.
    /// Returns earlier only when the loop cannot go on, which is logged.
    pub async fn run(mut self, mut engine: Engine, mut inbox: Inbox, stop: CancellationToken) {
        // Whether the configuration as it is on the disk is refused: new secrets do not mend that.
        let mut refused_file = false;
        loop {
            let pause = stop.child_token();
            let mut polling = Box::pin(engine.run(pause.clone()));
            let (what, taken, done) = tokio::select! {
                _store = &mut polling => return,
                news = self.next(&mut inbox, &mut refused_file) => news,
            };
            // What is under way is dropped as at an end; what was counted is in the store, and what
            // was asked for is asked again.
            pause.cancel();
            let mut handover = polling.await;
            if !taken.0.api.has_access_of(&self.current.0.api) {
                handover.retry_at_once();
            }
            let (taken, built) = self.build(taken, handover).await;
            let config = &taken.0;
            engine = match built {
                Ok(engine) => {
                    tracing::info!(api = %config.api.address(), targets = config.targets.len(), "the configuration was read again and counts from now on");
                    (self.accept)();
                    self.current = taken;
                    refused_file &= what != What::Everything;
                    if !refused_file {
                        self.front
                            .context
                            .telemetry
                            .config_loaded(self.front.context.clock.now().utc);
                    }
                    let _told = done.send(Ok(()));
                    engine
                }
                Err(refused) => {
                    refused_file |= what == What::Everything;
                    self.refuse(done, refused.error.to_string());
                    match self.build(self.current.clone(), refused.handover).await.1 {
                        Ok(engine) => engine,
                        Err(refused) => {
                            tracing::error!(
                                "the configuration before cannot go on either: {}",
                                refused.error
                            );
                            return;
                        }
                    }
                }
            };
        }
    }

    /// Builds the loop on another thread, since it reads the store, and waits for it as the loop
    /// does for its commits.
    async fn build(
        &self,
        taken: Taken,
        handover: Handover,
    ) -> (Taken, Result<Engine, Box<Refused>>) {
        let (front, random) = (self.front.clone(), (self.random)());
        let mut building = std::pin::pin!(off_thread(move || {
            let built = front.engine(&taken.0, Arc::clone(&taken.1), handover, random);
            (taken, built.map_err(Box::new))
        }));
        loop {
            let wake = self
                .front
                .context
                .clock
                .now()
                .instant
                .plus(self.front.context.heartbeat.max_interval());
            tokio::select! {
                built = &mut building => return built,
                () = self.front.context.clock.sleep_until(wake) => self.front.context.heartbeat.beat(),
            }
        }
    }

    /// Waits for a configuration that is right.
    async fn next(
        &self,
        inbox: &mut Inbox,
        refused_file: &mut bool,
    ) -> (What, Taken, oneshot::Sender<Result<(), String>>) {
        loop {
            let Some(Order { what, done }) = inbox.0.recv().await else {
                return std::future::pending().await;
            };
            let read = Arc::clone(&self.read);
            match off_thread(move || read(what)).await {
                Ok(taken) => return (what, taken, done),
                Err(mistakes) => {
                    *refused_file |= what == What::Everything;
                    self.refuse(done, mistakes);
                }
            }
        }
    }

    fn refuse(&self, done: oneshot::Sender<Result<(), String>>, why: String) {
        self.front.context.telemetry.config_rejected(self.front.context.clock.now().utc);
        tracing::error!(
            "the configuration was read again and is wrong; the one before goes on: {}",
            why.trim_end()
        );
        let _told = done.send(Err(why));
    }
}
