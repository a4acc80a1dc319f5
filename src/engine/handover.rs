//! What a loop leaves to the one that follows it after a reload. Counts are in the store; this is
//! what only memory holds, and what alerts are about: what failed, since when, and what waits.

use std::collections::HashMap;
use std::sync::Arc;

use super::live::LiveFeeds;
use super::{Engine, TargetState};
use crate::tasks::{Offloaded, off_thread};
use cxone_core::counts::TargetId;
use cxone_core::page::status::{RecentErrors, StoreStatus};
use cxone_core::plan::fetch::FailureReason;
use cxone_core::plan::planner::{PastPolls, PastThrottles};
use cxone_core::report::ReportFilter;
use cxone_core::store::Store;
use cxone_core::time::Timestamp;

/// The store, and what an earlier loop knew.
pub struct Handover {
    /// The store; everything counted is in it.
    pub store: Box<dyn Store>,
    /// `None` when the process has just started.
    pub(super) past: Option<Box<Past>>,
}

/// What a loop knew.
pub(super) struct Past {
    /// By store key.
    targets: HashMap<ReportFilter, PastTarget>,
    /// `None` when waits no longer apply.
    throttles: Option<PastThrottles>,
    feeds: Option<LiveFeeds>,
    store_status: StoreStatus,
    errors: Arc<RecentErrors>,
    is_ready: bool,
}

/// What a loop knew of one target.
struct PastTarget {
    polls: PastPolls,
    last_outcome: Option<Result<(), FailureReason>>,
    skipped_to: Option<Timestamp>,
    is_stale: bool,
}

impl From<Box<dyn Store>> for Handover {
    fn from(store: Box<dyn Store>) -> Self {
        Self { store, past: None }
    }
}

impl Handover {
    /// Whether an earlier loop of this process left it.
    #[must_use]
    pub const fn is_from_reload(&self) -> bool {
        self.past.is_some()
    }

    /// Whether the newest commit succeeded, as far as is known.
    #[must_use]
    pub fn is_store_healthy(&self) -> bool {
        self.past.as_ref().is_none_or(|past| past.store_status.healthy)
    }

    /// Lets everything that failed be retried at once: the reload may have fixed the cause.
    pub fn retry_at_once(&mut self) {
        if let Some(past) = &mut self.past {
            past.throttles = None;
        }
    }
}

impl Engine {
    /// What the next loop goes on with.
    pub(super) async fn hand_over(self) -> Handover {
        let Offloaded::Idle(store) = self.store else { panic!("a commit is in progress") };
        let ledger = self.ledger;
        // A large ledger takes a while to drop.
        off_thread(move || drop(ledger)).await;
        let planner = &self.planner;
        let target = |(index, state): (usize, TargetState)| {
            let past = PastTarget {
                polls: planner.past_polls(TargetId::new(index)),
                last_outcome: state.last_outcome,
                skipped_to: state.skipped_to,
                is_stale: state.is_stale,
            };
            (state.target.store_key, past)
        };
        let past = Past {
            targets: self.targets.into_iter().enumerate().map(target).collect(),
            throttles: Some(planner.past_throttles()),
            feeds: self.feeds,
            store_status: self.store_status,
            errors: self.errors,
            is_ready: self.is_ready,
        };
        Handover { store, past: Some(Box::new(past)) }
    }

    /// Continues with what an earlier loop knew of the targets and feeds that are still configured.
    pub(super) fn restore(&mut self, past: Past) {
        let Past { mut targets, throttles, feeds, store_status, errors, is_ready } = past;
        let keeps_waits = throttles.is_some();
        for (index, state) in self.targets.iter_mut().enumerate() {
            if let Some(known) = targets.remove(&state.target.store_key) {
                self.planner.restore_polls(TargetId::new(index), known.polls, keeps_waits);
                state.last_outcome = known.last_outcome;
                state.skipped_to = known.skipped_to;
                state.is_stale = known.is_stale;
            }
        }
        if let Some(throttles) = throttles {
            self.planner.restore_throttles(throttles);
        }
        if let (Some(feeds), Some(before)) = (&mut self.feeds, feeds) {
            feeds.restore(before, keeps_waits, &mut self.view);
        }
        self.store_status =
            StoreStatus { size_bytes: self.store_status.size_bytes, ..store_status };
        self.errors = errors;
        self.is_ready = is_ready;
    }
}
