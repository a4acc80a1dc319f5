//! What the loop shows: a snapshot, and how the targets are doing.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{MINUTE, Poller, Running};
use crate::domain::ledger::{ShownTarget, TargetId};
use crate::domain::snapshot::Snapshot;
use crate::domain::time::{Now, Timestamp};
use crate::tasks::off_thread;

/// How the targets are doing, for people.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    /// In the order of the configuration.
    pub targets: Vec<TargetStanding>,
    /// Jobs that were submitted in the last minute.
    pub jobs_in_last_minute: u32,
    /// Whether a report was read, or what an earlier process left is fresh.
    pub ready: bool,
}

/// How one target is doing.
#[derive(Clone, Debug)]
pub struct TargetStanding {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded; `None` before the first has finished.
    pub up: Option<bool>,
    /// Whether it has not succeeded for too long.
    pub stale: bool,
    /// Event time up to which it is known.
    pub watermark: Option<Timestamp>,
    /// Where its counting began.
    pub epoch: Option<Timestamp>,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// What went wrong with its newest finished job.
    pub last_error: Option<String>,
    /// Since when CXone works on a job of it.
    pub job_since: Option<Timestamp>,
}

/// Takes what there is to show; called off the loop's thread, so it may take its time. The snapshot leaves out the agents of shards that
/// were in the one before.
pub type Publish = Arc<dyn Fn(Snapshot, Standings) + Send + Sync>;

impl Poller {
    /// What there is to show now, for someone who was shown all that was looked at before.
    pub fn look(&mut self, now: Now) -> (Snapshot, Standings) {
        self.show.targets.clear();
        let submits = self.submits.iter().filter(|(submit, _)| now.instant.since(*submit) <= MINUTE).count();
        let mut standings = Standings { jobs_in_last_minute: u32::try_from(submits).unwrap_or(u32::MAX), ..Standings::default() };
        for (place, target) in self.targets.iter().enumerate() {
            let id = TargetId::new(place);
            let standing = self.planner.standing(id, now.instant);
            let last_success = standing.last_success.map(|now| now.utc);
            let finished = last_success.is_some() || standing.last_trouble.is_some();
            self.show.targets.push(ShownTarget { name: Arc::clone(&target.name), up: standing.up, last_success, stale: standing.stale });
            standings.targets.push(TargetStanding {
                name: Arc::clone(&target.name),
                up: finished.then_some(standing.up),
                stale: standing.stale,
                watermark: self.ledger.watermark(id),
                epoch: self.ledger.epoch(id),
                last_success,
                last_error: standing.last_trouble.map(|trouble| trouble.message),
                job_since: standing.job_age.map(|age| now.utc.minus(age)),
            });
        }
        standings.ready = standings.targets.iter().any(|target| target.watermark.is_some() && !target.stale);
        let live = self.feeds.as_ref().map(|feeds| (feeds.live(), feeds.series(now)));
        let snapshot = self.ledger.snapshot_under(live, &self.show, &self.published);
        self.published = snapshot.fingerprints();
        (snapshot, standings)
    }
}

impl Running {
    /// A target that turns stale changes what is shown, though nothing was read.
    pub(super) fn note_stale(&mut self, now: Now) {
        for place in 0..self.stale.len() {
            let stale = self.poller.planner.standing(TargetId::new(place), now.instant).stale;
            if stale != std::mem::replace(&mut self.stale[place], stale) {
                self.changed = true;
                if stale {
                    tracing::warn!(target_name = %self.poller.targets[place].name, "stale: no report for too long, so its agents' gauges are gone");
                }
            }
        }
    }

    /// Publishes what there is to show now; one publication at a time.
    pub(super) fn publish(&mut self, now: Now) -> BoxFuture<'static, ()> {
        let (snapshot, mut standings) = self.poller.look(now);
        self.ready |= standings.ready;
        standings.ready = self.ready;
        let publish = Arc::clone(&self.poller.publish);
        off_thread(move || publish(snapshot, standings)).boxed()
    }
}
