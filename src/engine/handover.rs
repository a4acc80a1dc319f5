//! What a loop leaves to the one that follows it after a reload. Counts are in the store; this is
//! what nobody keeps on the disk, and what alerts look at: who failed, since when, and what is
//! waited for.

use std::collections::HashMap;

use super::{Poller, Running};
use cxone_core::counts::TargetId;
use cxone_core::page::status::StoreStatus;
use cxone_core::plan::fetch::Failure;
use cxone_core::plan::planner::{PastPolls, PastThrottles};
use cxone_core::report::ReportFilter;
use cxone_core::store::Store;
use cxone_core::time::Timestamp;

use super::LiveFeeds;

/// The store, and what an earlier loop knew.
pub struct Handover {
    /// The store; all that was counted is in it.
    pub store: Box<dyn Store>,
    /// `None` when the process has just started.
    pub(crate) past: Option<Box<Past>>,
}

/// What a loop knew.
pub(crate) struct Past {
    /// By what the store calls them.
    targets: HashMap<ReportFilter, PastTarget>,
    /// `None` when nothing is waited for any longer.
    throttles: Option<PastThrottles>,
    feeds: Option<LiveFeeds>,
    store_status: StoreStatus,
    ready: bool,
}

/// What a loop knew of one target.
pub(crate) struct PastTarget {
    polls: PastPolls,
    pub(super) told: Option<Result<(), Failure>>,
    pub(super) skipped_to: Option<Timestamp>,
    pub(super) stale: bool,
}

impl From<Box<dyn Store>> for Handover {
    fn from(store: Box<dyn Store>) -> Self {
        Self { store, past: None }
    }
}

impl Handover {
    /// Whether an earlier loop of this process left it.
    #[must_use]
    pub const fn is_from_a_loop(&self) -> bool {
        self.past.is_some()
    }

    /// Whether the newest commit succeeded, as far as is known.
    #[must_use]
    pub fn store_works(&self) -> bool {
        self.past.as_ref().is_none_or(|past| past.store_status.healthy)
    }

    /// Nothing that failed is waited for any longer: what made it fail may have been mended.
    pub fn retry_at_once(&mut self) {
        if let Some(past) = &mut self.past {
            past.throttles = None;
        }
    }
}

impl Running {
    /// What the next loop goes on with.
    pub(super) fn hand_over(mut self) -> Handover {
        let store = self.poller.store.take().expect("no commit is under way");
        let planner = &self.poller.planner;
        let target = |place: usize| PastTarget {
            polls: planner.past_polls(TargetId::new(place)),
            told: self.told[place],
            skipped_to: self.skipped_to[place],
            stale: self.stale[place],
        };
        let filters = self.poller.targets.iter().map(|target| target.kept_as.clone());
        let past = Past {
            targets: filters.enumerate().map(|(place, kept)| (kept, target(place))).collect(),
            throttles: Some(planner.past_throttles()),
            feeds: self.poller.feeds.take(),
            store_status: self.poller.store_status,
            ready: self.ready,
        };
        Handover { store, past: Some(Box::new(past)) }
    }
}

impl Poller {
    /// Continues with what an earlier loop knew of the targets and feeds that are still there.
    pub(crate) fn carry_on(&mut self, past: Option<Box<Past>>) {
        let Some(past) = past else { return };
        let Past { targets, throttles, feeds, store_status, ready } = *past;
        let waits = throttles.is_some();
        for (place, target) in self.targets.iter().enumerate() {
            if let Some(known) = targets.get(&target.kept_as) {
                self.planner.carry_on(TargetId::new(place), known.polls.clone(), waits);
            }
        }
        if let Some(throttles) = throttles {
            self.planner.hold_on(throttles);
        }
        if let (Some(feeds), Some(before)) = (&mut self.feeds, feeds) {
            feeds.carry_on(before, waits, &mut self.show);
        }
        self.store_status =
            StoreStatus { size_bytes: self.store_status.size_bytes, ..store_status };
        self.past_targets = targets;
        self.ready = ready;
    }
}
