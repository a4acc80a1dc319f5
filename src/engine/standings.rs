//! What the loop shows: a snapshot for Prometheus, and for people how everything is doing.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::{MINUTE, Poller, Running};
use crate::cxone::AnyClient;
use crate::tasks::{in_place, off_thread};
use cxone_core::counts::{TargetHealth, TargetId};
use cxone_core::live::Feed;
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::status::{ClockStatus, FeedStatus, PollStatus, Status, TargetStatus};
use cxone_core::time::Now;

/// Takes what there is to show, and whether a report was read, or what an earlier process left is
/// fresh; called off the loop's thread, so it may take its time. The snapshot leaves out the agents
/// of shards that were in the one before.
pub type Publish = Arc<dyn Fn(Snapshot, bool) + Send + Sync>;

/// Takes how everything is doing, in every turn of the loop; must not take its time.
pub type Tell = Arc<dyn Fn(Status) + Send + Sync>;

impl Poller {
    /// What there is to show now, for someone who was shown all that was looked at before, and
    /// whether some of it is fresh.
    ///
    /// # Panics
    /// While something is being counted.
    pub fn look(&mut self, now: Now) -> (Snapshot, bool) {
        self.show.targets.clear();
        let mut fresh = false;
        for (place, target) in self.targets.iter().enumerate() {
            let id = TargetId::new(place);
            let standing = self.planner.standing(id, now.instant);
            let last_success = standing.last_success.map(|now| now.utc);
            self.show.targets.push(TargetHealth {
                name: Arc::clone(&target.name),
                up: standing.up,
                last_success,
                stale: standing.stale,
            });
            fresh |= self.marks[place].watermark.is_some() && !standing.stale;
        }
        let live = self.feeds.as_ref().map(|feeds| (feeds.live(), feeds.series(now)));
        let ledger = self.ledger.as_ref().expect("nothing is being counted");
        let snapshot = ledger.snapshot_under(live, &self.show, &self.published);
        self.published = snapshot.fingerprints();
        (snapshot, fresh)
    }

    /// Tells how everything is doing now.
    pub fn tell(&self, now: Now) {
        let used = match &self.client {
            AnyClient::Reports(_) => self
                .submits
                .iter()
                .filter(|(submit, _)| now.instant.since(*submit) <= MINUTE)
                .count(),
            AnyClient::Platform(client) => client.budget_used(),
        };
        let clock = self.server_clock.read();
        (self.tell)(Status {
            clock: ClockStatus { skew_millis: clock.skew_millis(now), doubted: clock.doubted() },
            targets: (0..self.targets.len()).map(|place| self.target_status(now, place)).collect(),
            feeds: self.feed_statuses(now),
            used_in_last_minute: u32::try_from(used).unwrap_or(u32::MAX),
            store: self.store_status,
            errors: Arc::clone(&self.errors),
        });
    }

    fn target_status(&self, now: Now, place: usize) -> TargetStatus {
        let id = TargetId::new(place);
        let standing = self.planner.standing(id, now.instant);
        let finished = standing.last_success.is_some() || standing.last_trouble.is_some();
        TargetStatus {
            name: Arc::clone(&self.targets[place].name),
            up: finished.then_some(standing.up),
            stale: standing.stale,
            watermark: self.marks[place].watermark,
            epoch: self.marks[place].epoch,
            last_success: standing.last_success.map(|now| now.utc),
            last_job: standing.last_job,
            last_error: standing.last_trouble,
            longest_window: standing.longest_window,
            poll: match standing.job_age {
                Some(age) => PollStatus::UnderWay(now.utc.minus(age)),
                None if standing.due < now.instant => {
                    PollStatus::Planned(now.utc.minus(now.instant.since(standing.due)))
                }
                None => PollStatus::Planned(now.utc.plus(standing.due.since(now.instant))),
            },
        }
    }

    fn feed_statuses(&self, now: Now) -> Vec<FeedStatus> {
        let Some(feeds) = &self.feeds else { return Vec::new() };
        let status = |feed: Feed| {
            let standing = feeds.plan().standing(feed, now.instant);
            let last_success = standing.last_success.map(|now| now.utc);
            FeedStatus { name: feed.as_str(), up: standing.up, stale: standing.stale, last_success }
        };
        Feed::ALL.into_iter().map(status).collect()
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
                    tracing::warn!(target = %self.poller.targets[place].name, "stale: no report for too long, so its agents' gauges are gone");
                }
            }
        }
    }

    /// Publishes what there is to show now; one publication at a time.
    pub(super) fn publish(&mut self, now: Now) -> BoxFuture<'static, ()> {
        let (snapshot, fresh) = in_place(|| self.poller.look(now));
        self.ready |= fresh;
        let (publish, ready) = (Arc::clone(&self.poller.publish), self.ready);
        off_thread(move || publish(snapshot, ready)).boxed()
    }
}
