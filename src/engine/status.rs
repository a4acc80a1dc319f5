//! What the loop shows: a snapshot for Prometheus, and a status for people.

use std::sync::Arc;

use futures_util::future::FutureExt;

use super::{Engine, MINUTE};
use crate::tasks::{in_place, off_thread};
use cxone_core::counts::TargetId;
use cxone_core::live::Feed;
use cxone_core::page::TargetHealth;
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::status::{ClockStatus, FeedStatus, PollStatus, Status, TargetStatus};
use cxone_core::time::{Monotonic, Now, Timestamp};

/// Takes a snapshot to show, and whether the exporter is ready. Called off the loop's thread, so it
/// may take a while. The snapshot leaves out the agents of shards that were in the one before.
pub type PublishSnapshot = Arc<dyn Fn(Snapshot, bool) + Send + Sync>;

/// Takes the status, in every turn of the loop; must return at once.
pub type PublishStatus = Arc<dyn Fn(Status) + Send + Sync>;

impl Engine {
    /// Shows what is in the store, before anything is requested from CXone. Takes a while.
    pub fn publish_restored(&mut self) {
        let now = self.context.clock.now();
        let snapshot = self.snapshot(now);
        self.publish_status(now);
        (self.context.publish_snapshot)(snapshot, self.is_ready);
    }

    /// What there is to show now, for a page that has shown every snapshot before. The exporter is
    /// ready as soon as some of it is fresh.
    ///
    /// # Panics
    /// While a thread has the ledger.
    fn snapshot(&mut self, now: Now) -> Snapshot {
        self.view.targets.clear();
        for (index, state) in self.targets.iter().enumerate() {
            let status = self.planner.status(TargetId::new(index), now.instant);
            self.view.targets.push(TargetHealth {
                name: Arc::clone(&state.target.name),
                up: status.up,
                last_success: status.last_success.map(|now| now.utc),
                stale: status.stale,
            });
            self.is_ready |= state.watermark.is_some() && !status.stale;
        }
        let live = self.feeds.as_ref().map(|feeds| (&feeds.live, feeds.series(now)));
        let ledger = self.ledger.idle().expect("no thread has the ledger");
        let snapshot = Snapshot::build(ledger, live, &self.view, &self.published);
        self.published = snapshot.fingerprints();
        snapshot
    }

    /// Begins to publish what there is to show now; one publication at a time.
    pub(super) fn publish(&mut self, now: Now) {
        let snapshot = in_place(|| self.snapshot(now));
        let (publish, is_ready) = (Arc::clone(&self.context.publish_snapshot), self.is_ready);
        self.publishing = Some(off_thread(move || publish(snapshot, is_ready)).boxed());
    }

    pub(super) fn publish_status(&self, now: Now) {
        let in_last_minute =
            |(submit, _): &&(Monotonic, Timestamp)| now.instant.since(*submit) <= MINUTE;
        let jobs = || self.submits.iter().filter(in_last_minute).count();
        let used = self.client.budget_used().unwrap_or_else(jobs);
        let clock = self.context.server_clock.read();
        (self.context.publish_status)(Status {
            clock: ClockStatus { skew_millis: clock.skew_millis(now), doubted: clock.doubted() },
            targets: (0..self.targets.len()).map(|index| self.target_status(now, index)).collect(),
            feeds: self.feed_statuses(now),
            used_in_last_minute: u32::try_from(used).unwrap_or(u32::MAX),
            store: self.store_status,
            errors: Arc::clone(&self.errors),
        });
    }

    fn target_status(&self, now: Now, index: usize) -> TargetStatus {
        let state = &self.targets[index];
        let status = self.planner.status(TargetId::new(index), now.instant);
        let has_finished = status.last_success.is_some() || status.last_error.is_some();
        TargetStatus {
            name: Arc::clone(&state.target.name),
            up: has_finished.then_some(status.up),
            stale: status.stale,
            watermark: state.watermark,
            epoch: state.epoch,
            last_success: status.last_success.map(|now| now.utc),
            last_job: status.last_job,
            last_error: status.last_error,
            longest_window: status.longest_window,
            poll: match status.job_age {
                Some(age) => PollStatus::UnderWay(now.utc.minus(age)),
                None if status.due < now.instant => {
                    PollStatus::Planned(now.utc.minus(now.instant.since(status.due)))
                }
                None => PollStatus::Planned(now.utc.plus(status.due.since(now.instant))),
            },
        }
    }

    fn feed_statuses(&self, now: Now) -> Vec<FeedStatus> {
        let Some(feeds) = &self.feeds else { return Vec::new() };
        let status = |feed: Feed| {
            let status = feeds.plan.status(feed, now.instant);
            let last_success = status.last_success.map(|now| now.utc);
            FeedStatus { name: feed.as_str(), up: status.up, stale: status.stale, last_success }
        };
        Feed::ALL.into_iter().map(status).collect()
    }

    /// A target that turns stale changes what is shown, though nothing was read.
    pub(super) fn note_stale(&mut self, now: Now) {
        for (index, state) in self.targets.iter_mut().enumerate() {
            let is_stale = self.planner.status(TargetId::new(index), now.instant).stale;
            if is_stale != std::mem::replace(&mut state.is_stale, is_stale) {
                self.has_changes = true;
                if is_stale {
                    tracing::warn!(target = %state.target.name, "target stale: gauges of its agents withdrawn");
                }
            }
        }
    }
}
