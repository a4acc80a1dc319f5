//! Buckets cannot be taken apart where windows of two targets overlap. So each moment of an agent
//! is counted from one target, its owner; what others tell waits until the owner's history reaches
//! there.

use serde::{Deserialize, Serialize};

use super::{Agent, AgentReport};
use crate::counts::TargetId;
use crate::counts::book::Book;
use crate::counts::label::LabelId;
use crate::counts::starts::Starts;
use crate::counts::timeline::Told;
use crate::time::{Timestamp, Window};

/// Who counts for an agent, and what waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Buckets {
    owner: TargetId,
    epoch: Timestamp,
    /// The windows in which the owner told of the agent, as far back as another target may still
    /// tell of.
    told: Vec<Window>,
    waiting: Vec<Waiting>,
}

/// What a target that is not the owner told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    target: TargetId,
    window: Window,
    rows: Vec<Told>,
}

impl Buckets {
    fn new(owner: TargetId, epoch: Timestamp) -> Box<Self> {
        Box::new(Self { owner, epoch, told: Vec::new(), waiting: Vec::new() })
    }

    /// The same for other places of the targets; `None` without an owner.
    pub(super) fn retargeted(
        mut self: Box<Self>,
        place_of: impl Fn(TargetId) -> Option<TargetId>,
    ) -> Option<Box<Self>> {
        self.owner = place_of(self.owner)?;
        self.waiting.retain_mut(|waiting| {
            let place = place_of(waiting.target);
            waiting.target = place.unwrap_or(waiting.target);
            place.is_some()
        });
        Some(self)
    }

    /// The owner, and the targets of what waits.
    pub(super) fn targets(&self) -> impl Iterator<Item = TargetId> + '_ {
        std::iter::once(self.owner).chain(self.waiting.iter().map(|waiting| waiting.target))
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.waiting.iter().flat_map(|waiting| waiting.rows.iter().map(|row| row.label.label))
    }

    /// An agent that was not in the owner's first window is counted from the first one that has it.
    fn told_first_window_only(&self) -> bool {
        matches!(self.told[..], [only] if only.from < self.epoch)
    }

    /// Nothing is known beyond `known_to`.
    pub(super) fn set_back(&mut self, known_to: Timestamp) {
        self.epoch = self.epoch.min(known_to);
        self.told.iter_mut().for_each(|window| window.to = window.to.min(known_to));
        self.told.retain(|window| window.from < window.to);
        self.waiting.iter_mut().for_each(|waiting| {
            waiting.window.to = waiting.window.to.min(known_to);
        });
        self.waiting.retain(|waiting| waiting.window.from < waiting.window.to);
    }

    fn told_within(&self, window: Window) -> bool {
        self.told.iter().any(|told| told.from < window.to && window.from < told.to)
    }
}

impl Agent {
    /// The target that counts for the agent; `None` for rows that are no buckets.
    pub(in crate::counts) fn owner(&self) -> Option<TargetId> {
        self.buckets.as_ref().map(|buckets| buckets.owner)
    }

    /// Takes in what a target tells: counts it if the target is the owner, else lets it wait.
    pub(super) fn take_buckets(&mut self, report: &AgentReport<'_>, book: &Book) {
        let is_member =
            |target| self.memberships.iter().any(|membership| membership.target == target);
        let buckets = match self.buckets.take().filter(|buckets| is_member(buckets.owner)) {
            // Nothing is counted yet, and this target's counting began earlier.
            Some(buckets)
                if buckets.told_first_window_only() && report.target_epoch < buckets.epoch =>
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
            buckets.told.push(report.window);
            self.count_buckets(report.window, report.rows, book);
        } else {
            buckets.waiting.push(Waiting {
                target: report.target,
                window: report.window,
                rows: report.rows.to_vec(),
            });
        }
    }

    /// Judges what waits, now that the owner's history is known up to `known_to`. Where the owner
    /// told of the agent, it has counted. Where it did not although another target did, the agent
    /// is no longer among the owner's, and the other becomes the owner.
    pub(in crate::counts) fn judge_buckets(
        &mut self,
        known_to: Timestamp,
        horizon: Timestamp,
        book: &Book,
    ) {
        let Some(mut buckets) = self.buckets.take() else { return };
        buckets.waiting.sort_by_key(|waiting| waiting.window.to);
        let known_to = known_to.max(horizon);
        let mut owner_changed = false;
        for waiting in std::mem::take(&mut buckets.waiting) {
            let same_owner = owner_changed && waiting.target == buckets.owner;
            if !same_owner && waiting.window.to > known_to {
                buckets.waiting.push(waiting);
                continue;
            }
            if waiting.window.from < self.settled_to || buckets.told_within(waiting.window) {
                continue;
            }
            owner_changed = true;
            buckets.owner = waiting.target;
            buckets.told.push(waiting.window);
            self.count_buckets(waiting.window, &waiting.rows, book);
        }
        buckets.told.retain(|window| window.to > horizon);
        self.buckets = Some(buckets);
    }

    fn count_buckets(&mut self, window: Window, rows: &[Told], book: &Book) {
        if window.from < self.settled_to {
            return;
        }
        let index = self.add_series(rows.iter().flat_map(|row| book.groups_of(row.label.label)));
        for row in rows {
            for label in book.groups_of(row.label.label) {
                let counted = if window.from >= self.epoch { row.count } else { 0 };
                let Some(place) = index.find(label) else { continue };
                let series = &mut self.series[place as usize];
                series.settled_entries = series.settled_entries.saturating_add(counted);
            }
        }
        let start = |row: &Told| row.start.clamp(window.from, window.to);
        self.add_starts(
            rows.iter().flat_map(|row| {
                book.groups_of(row.label.label).map(|label| (label, start(row), row.count))
            }),
            book,
        );
        self.settled_to = window.to;
    }
}
