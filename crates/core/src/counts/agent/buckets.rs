//! Rows that are buckets. A bucket cannot be split where the windows of two targets overlap, so
//! each moment of an agent is counted from one target, its owner. What other targets report waits
//! until the owner's history reaches there.

use serde::{Deserialize, Serialize};

use super::{Agent, AgentReport};
use crate::counts::catalog::Catalog;
use crate::counts::label::LabelId;
use crate::counts::starts::Starts;
use crate::counts::target::TargetKey;
use crate::counts::timeline::VisitRow;
use crate::time::{Timestamp, Window};

/// Who counts for an agent, and what waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Buckets {
    owner: TargetKey,
    epoch: Timestamp,
    /// The windows in which the owner reported the agent, as far back as another target may still
    /// report.
    reported: Vec<Window>,
    waiting: Vec<WaitingBuckets>,
}

/// What a target that is not the owner reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WaitingBuckets {
    target: TargetKey,
    window: Window,
    rows: Vec<VisitRow>,
}

impl Buckets {
    fn new(owner: TargetKey, epoch: Timestamp) -> Box<Self> {
        Box::new(Self { owner, epoch, reported: Vec::new(), waiting: Vec::new() })
    }

    /// Without what waits of removed targets; `None` if the owner was removed.
    pub(super) fn retain_targets(
        mut self: Box<Self>,
        exists: impl Fn(TargetKey) -> bool,
    ) -> Option<Box<Self>> {
        self.waiting.retain(|waiting| exists(waiting.target));
        exists(self.owner).then_some(self)
    }

    /// The owner, and the targets of what waits.
    pub(super) fn targets(&self) -> impl Iterator<Item = TargetKey> + '_ {
        std::iter::once(self.owner).chain(self.waiting.iter().map(|waiting| waiting.target))
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.waiting.iter().flat_map(|waiting| waiting.rows.iter().map(|row| row.label.label))
    }

    /// Whether nothing is counted yet: the first window, up to the epoch, is only the lookback.
    fn has_only_first_window(&self) -> bool {
        matches!(self.reported[..], [only] if only.from < self.epoch)
    }

    /// Nothing is known beyond `known_to`.
    pub(super) fn set_back(&mut self, known_to: Timestamp) {
        self.epoch = self.epoch.min(known_to);
        self.reported.iter_mut().for_each(|window| window.to = window.to.min(known_to));
        self.reported.retain(|window| window.from < window.to);
        for waiting in &mut self.waiting {
            waiting.window.to = waiting.window.to.min(known_to);
        }
        self.waiting.retain(|waiting| waiting.window.from < waiting.window.to);
    }

    fn overlaps_reported(&self, window: Window) -> bool {
        self.reported.iter().any(|known| known.from < window.to && window.from < known.to)
    }
}

impl Agent {
    /// The target that counts for the agent; `None` for rows that are not buckets.
    pub(in crate::counts) fn owner(&self) -> Option<TargetKey> {
        self.buckets.as_ref().map(|buckets| buckets.owner)
    }

    /// Counts what a target reports if the target is the owner, else lets it wait.
    pub(super) fn take_buckets(&mut self, report: &AgentReport<'_>, catalog: &Catalog) {
        let buckets = match self.buckets.take() {
            // This target's counting began earlier, so it becomes the owner.
            Some(buckets)
                if buckets.has_only_first_window() && report.target_epoch < buckets.epoch =>
            {
                self.settled_to = Timestamp::MIN;
                self.starts = Starts::default();
                Buckets::new(report.target, report.target_epoch)
            }
            Some(buckets) => buckets,
            None => Buckets::new(report.target, report.target_epoch),
        };
        self.epoch = buckets.epoch;
        let is_owner = buckets.owner == report.target;
        let buckets = self.buckets.insert(buckets);
        if is_owner {
            buckets.reported.push(report.window);
            self.count_buckets(report.window, report.rows, catalog);
        } else {
            buckets.waiting.push(WaitingBuckets {
                target: report.target,
                window: report.window,
                rows: report.rows.to_vec(),
            });
        }
    }

    /// Decides about what waits, now that the owner's history is known up to `known_to`. Where the
    /// owner reported the agent, it has counted. Where it did not although another target did, the
    /// agent no longer belongs to the owner's, and the other target becomes the owner.
    pub(in crate::counts) fn resolve_waiting(
        &mut self,
        known_to: Timestamp,
        horizon: Timestamp,
        catalog: &Catalog,
    ) {
        let Some(mut buckets) = self.buckets.take() else { return };
        buckets.waiting.sort_by_key(|waiting| waiting.window.to);
        let known_to = known_to.max(horizon);
        let mut owner_changed = false;
        for waiting in std::mem::take(&mut buckets.waiting) {
            let is_of_new_owner = owner_changed && waiting.target == buckets.owner;
            if !is_of_new_owner && waiting.window.to > known_to {
                buckets.waiting.push(waiting);
                continue;
            }
            if waiting.window.from < self.settled_to || buckets.overlaps_reported(waiting.window) {
                continue;
            }
            owner_changed = true;
            buckets.owner = waiting.target;
            buckets.reported.push(waiting.window);
            self.count_buckets(waiting.window, &waiting.rows, catalog);
        }
        buckets.reported.retain(|window| window.to > horizon);
        self.buckets = Some(buckets);
    }

    fn count_buckets(&mut self, window: Window, rows: &[VisitRow], catalog: &Catalog) {
        if window.from < self.settled_to {
            return;
        }
        let groups = |row: &VisitRow| catalog.groups_of(row.label.label);
        let index = self.add_series(rows.iter().flat_map(groups));
        if window.from >= self.epoch {
            for row in rows {
                for at in groups(row).into_iter().filter_map(|label| index.find(label)) {
                    let series = &mut self.series[at as usize];
                    series.settled_entries = series.settled_entries.saturating_add(row.count);
                }
            }
        }
        let starts = rows.iter().flat_map(|row| {
            let start = row.start.clamp(window.from, window.to);
            groups(row).map(|label| (label, start, row.count))
        });
        self.add_starts(starts, catalog);
        self.settled_to = window.to;
    }
}
