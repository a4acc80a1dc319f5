//! The loop, its ledger and its store: what counts when, and what happens to an update that cannot
//! be stored.
//!
//! An *update* moves a target's watermark: a report, or a gap. One update at a time is applied on a
//! thread that has the ledger, and then its records are committed on a thread that has the store;
//! the loop goes on meanwhile. An update that cannot be committed is reverted in the ledger.
//!
//! A commit that takes too long counts as failed, as on a full disk, but its thread still has the
//! store. Nothing else is committed until the thread returns it. If the commit succeeded after all,
//! its update is applied again: what the store contains must be in the ledger.

use std::time::Duration;

use super::Engine;
use crate::tasks::drop_later;
use cxone_core::counts::{
    Change, Ledger, Record, RecordKey, ReportOrigin, RowCounts, SubmitOrder, TargetId,
};
use cxone_core::plan::fetch::{FailureReason, JobError, JobReply};
use cxone_core::plan::planner::{EndedJob, MAX_AHEAD};
use cxone_core::privacy::Privacy;
use cxone_core::report::{Report, ReportFilter, RowOddities, RowRejection};
use cxone_core::store::StoreError;
use cxone_core::time::{Monotonic, Now, Timestamp, Window};

/// A commit that takes longer than this counts as failed.
const MAX_COMMIT_TIME: Duration = Duration::from_secs(10);

/// What moves a target's watermark.
#[derive(Debug)]
pub(super) enum LedgerUpdate {
    /// A report, and when it had been read whole.
    Report(Now, Report),
    /// A slice of the past that CXone rejects.
    Gap(EndedJob),
    /// The watermark was set by a clock that was ahead; nothing of this window is known.
    SetBack(Window),
}

/// An update that waits for the ledger.
#[derive(Debug)]
pub(super) struct QueuedUpdate {
    target: TargetId,
    update: LedgerUpdate,
    /// Its origin, if it is in the store already.
    stored_as: Option<ReportOrigin>,
}

/// An update that the ledger contains.
#[derive(Debug)]
pub(super) struct AppliedUpdate {
    update: LedgerUpdate,
    origin: ReportOrigin,
    applied: RowCounts,
    change: Change,
    oddities: RowOddities,
    is_stored: bool,
}

/// An update, and everything that applying it depends on.
struct UpdateInput {
    update: LedgerUpdate,
    origin: ReportOrigin,
    is_stored: bool,
    is_behind: bool,
    /// Where counting begins, if it has not.
    epoch: Option<Timestamp>,
    /// Now by our clock or CXone's, whichever is behind.
    passed: Timestamp,
    store_keys: Vec<ReportFilter>,
    privacy: Privacy,
    last_success: Option<Timestamp>,
}

/// What a thread did to the ledger.
#[derive(Debug)]
pub(super) enum LedgerOutcome {
    /// The records of what the update changed.
    Applied(Box<AppliedUpdate>, Vec<Record>),
    /// A report changed nothing, since too many of its rows are rejected.
    Unusable { read_at: Now, target: TargetId, oddities: RowOddities, message: String },
    /// The ledger is as it was before an update that could not be committed.
    Reverted,
}

/// What follows a commit.
#[derive(Debug)]
pub(super) enum AfterCommit {
    /// The submit of a job that was planned at this time.
    Submit(TargetId, Window, Now),
    /// The update counts.
    Update(Box<AppliedUpdate>),
    Nothing,
}

/// A commit that waits for the store.
#[derive(Debug)]
pub(super) struct QueuedCommit {
    /// Records that were not worth a commit of their own.
    deferred: Vec<Record>,
    records: Vec<Record>,
    then: AfterCommit,
}

/// The commit in progress.
#[derive(Debug)]
pub(super) struct RunningCommit {
    deferred: Vec<Record>,
    started_at: Monotonic,
    then: AfterRunning,
}

#[derive(Debug)]
enum AfterRunning {
    InTime(AfterCommit),
    /// The commit takes too long and counts as failed. If it was about an update, that counts all
    /// the same if the commit succeeds in the end.
    Hanging(Option<Box<QueuedUpdate>>),
}

/// How a commit ended, and the size of the store in bytes.
pub(super) type CommitResult = (Result<(), StoreError>, u64);

impl Engine {
    /// Stores the target's job, so that a later process resumes it and does not submit another. If
    /// that fails, nothing but that is lost.
    pub(super) fn save_job(&mut self, now: Now, id: TargetId) {
        let key = RecordKey::Job(self.targets[id.index()].target.store_key.clone());
        if let Some(job) = self.planner.job(id) {
            self.commit(vec![Record::put(&key, &(job, now.utc))], AfterCommit::Nothing);
        }
    }

    /// Applies an update when it is its turn.
    pub(super) fn queue_update(&mut self, target: TargetId, update: LedgerUpdate) {
        self.queued_updates.push_back(QueuedUpdate { target, update, stored_as: None });
    }

    /// Sets watermarks back that lie in CXone's future. Such a watermark comes from a window that
    /// was planned by a clock that was ahead, ours or CXone's: the report said nothing of the time
    /// that had not come yet, and a window that follows the watermark would skip it. The history is
    /// known up to when the target was last requested, whatever the window said.
    pub(super) fn correct_watermarks(&mut self, now: Now) {
        let clock = self.context.server_clock.read();
        let Some(cxone_utc) = clock.now(now).filter(|_| clock.is_settled()) else { return };
        // Without a healthy store the update would be reverted, in every turn of the loop.
        let is_busy = self.is_ledger_ahead || !self.queued_updates.is_empty();
        if is_busy || !self.store_status.healthy {
            return;
        }
        for index in 0..self.targets.len() {
            let state = &self.targets[index];
            let Some(watermark) = state.watermark else { continue };
            if watermark.since(cxone_utc) <= MAX_AHEAD || state.set_back_to == Some(watermark) {
                continue;
            }
            let id = TargetId::new(index);
            let asked = self.planner.last_asked(id).unwrap_or(now.instant);
            let known_to = cxone_utc.minus(now.instant.since(asked));
            let unknown = Window { from: known_to, to: watermark };
            self.queue_update(id, LedgerUpdate::SetBack(unknown));
        }
        self.apply_next_update();
    }

    /// Reads from the ledger up to when each target is known.
    pub(super) fn read_watermarks(&mut self) {
        let Some(ledger) = self.ledger.idle() else { return };
        for (index, state) in self.targets.iter_mut().enumerate() {
            let id = TargetId::new(index);
            (state.watermark, state.epoch) = (ledger.watermark(id), ledger.epoch(id));
        }
    }

    /// Begins to apply the next update, if there is one and the one before is stored.
    pub(super) fn apply_next_update(&mut self) {
        while !self.is_ledger_ahead
            && let Some(QueuedUpdate { target, update, stored_as }) =
                self.queued_updates.pop_front()
        {
            let is_stored = stored_as.is_some();
            if !is_stored && self.is_hanging() {
                self.not_stored(target, &update, &StoreError::Hanging(MAX_COMMIT_TIME));
                continue;
            }
            let now = self.context.clock.now();
            let order = SubmitOrder::default();
            let origin = stored_as.or_else(|| match &update {
                LedgerUpdate::Report(..) => self.planner.origin(target),
                LedgerUpdate::Gap(ended) => Some(ended.origin),
                LedgerUpdate::SetBack(window) => {
                    Some(ReportOrigin { target, order, oldest_pending: order, window: *window })
                }
            });
            let Some(origin) = origin else { continue };
            let last_success = match &update {
                LedgerUpdate::Report(read_at, _) => Some(*read_at),
                LedgerUpdate::Gap(_) | LedgerUpdate::SetBack(_) => {
                    self.planner.status(target, now.instant).last_success
                }
            };
            let cxone_utc = self.context.server_clock.read().now(now);
            let input = UpdateInput {
                update,
                origin,
                is_stored,
                is_behind: self.planner.is_behind(target),
                epoch: self.planner.epoch(target),
                passed: cxone_utc.map_or(now.utc, |cxone_utc| cxone_utc.min(now.utc)),
                store_keys: self
                    .targets
                    .iter()
                    .map(|state| state.target.store_key.clone())
                    .collect(),
                privacy: self.privacy.clone(),
                last_success: last_success.map(|success| success.utc),
            };
            self.is_ledger_ahead = true;
            self.ledger.start(move |ledger| input.apply(ledger));
        }
    }

    /// A thread has returned the ledger.
    pub(super) fn ledger_finished(&mut self, outcome: LedgerOutcome) {
        match outcome {
            LedgerOutcome::Applied(update, _) if update.is_stored => self.finish(*update),
            LedgerOutcome::Applied(update, records) => {
                self.commit(records, AfterCommit::Update(update));
            }
            LedgerOutcome::Unusable { read_at, target, oddities, message } => {
                self.is_ledger_ahead = false;
                self.context.telemetry.rows_irregular(&oddities);
                let failure = FailureReason::RowsRejected;
                let error = JobError { reason: failure, retry_after: None, message };
                self.reply(read_at, target, JobReply::Failed(error));
            }
            LedgerOutcome::Reverted => self.is_ledger_ahead = false,
        }
    }

    /// An update is in the ledger and in the store: it counts.
    fn finish(&mut self, finished: AppliedUpdate) {
        let AppliedUpdate { update, origin, applied, change, oddities, is_stored } = finished;
        let id = origin.target;
        let before = self.targets[id.index()].watermark;
        self.read_watermarks();
        self.is_ledger_ahead = false;
        self.has_changes = true;
        let state = &mut self.targets[id.index()];
        let (target, window) = (&state.target.name, origin.window);
        match &update {
            LedgerUpdate::Report(read_at, report) => {
                let starts = report.rows().iter().map(|row| row.from);
                // A row that begins behind the window is not valid, and says nothing of the clock.
                if let Some(start) = starts.filter(|from| *from < window.to).max() {
                    self.context.server_clock.reported(*read_at, start);
                }
                self.context.telemetry.report_applied(&applied);
                self.context.telemetry.rows_irregular(&oddities);
                self.is_ready = true;
                state.skipped_to = None;
                if is_stored {
                    tracing::info!(%target, %window, "late commit succeeded, report counted");
                } else {
                    self.completed(*read_at, &origin, applied.rows, &oddities);
                }
            }
            LedgerUpdate::Gap(_) => {
                // The next window reaches back into this one, and may bring what this one did not.
                let next_from = window.to.minus(self.planner.overlap());
                let skipped_to = state.skipped_to.replace(next_from);
                let gap = next_from.since(skipped_to.or(before).unwrap_or(next_from));
                self.context.telemetry.history_gap(gap);
                let seconds = gap.as_secs();
                tracing::warn!(
                    %target, %window, seconds, "history gap: window rejected by CXone, skipped"
                );
            }
            LedgerUpdate::SetBack(Window { from, to }) => {
                state.set_back_to = state.watermark;
                let watermark = state.watermark.unwrap_or(*from);
                let seconds = to.since(watermark).as_secs();
                tracing::warn!(
                    %target, seconds, %watermark, "watermark set back: it was in CXone's future"
                );
            }
        }
        drop_later((update, change));
    }

    /// Commits `records`, and those that are deferred, all or none; then something follows.
    pub(super) fn commit(&mut self, records: Vec<Record>, then: AfterCommit) {
        if self.is_hanging() {
            self.commit_failed(then, &StoreError::Hanging(MAX_COMMIT_TIME));
            return;
        }
        let deferred = std::mem::take(&mut self.deferred_records);
        self.queued_commits.push_back(QueuedCommit { deferred, records, then });
        self.start_next_commit();
    }

    fn start_next_commit(&mut self) {
        if self.running_commit.is_some() {
            return;
        }
        let Some(QueuedCommit { deferred, records, then }) = self.queued_commits.pop_front() else {
            return;
        };
        let mut all = deferred.clone();
        all.extend(records);
        self.store.start(move |store| {
            let result = store.commit(&all);
            (result, store.size_bytes())
        });
        let started_at = self.context.clock.now().instant;
        let then = AfterRunning::InTime(then);
        self.running_commit = Some(RunningCommit { deferred, started_at, then });
    }

    /// A thread has returned the store.
    pub(super) fn committed(&mut self, (result, size_bytes): CommitResult) {
        let Some(RunningCommit { deferred, started_at, then }) = self.running_commit.take() else {
            return;
        };
        let now = self.context.clock.now();
        let took = now.instant.since(started_at);
        self.context.telemetry.store_committed(took, size_bytes, result.is_ok());
        let status = &mut self.store_status;
        let was_healthy = std::mem::replace(&mut status.healthy, result.is_ok());
        status.size_bytes = size_bytes;
        match &result {
            Ok(()) => {
                status.last_commit = Some(now.utc);
                if !was_healthy {
                    tracing::info!("store recovered");
                }
            }
            Err(error) => {
                if was_healthy {
                    tracing::error!(%error, "commit failed: nothing is counted until one succeeds");
                }
                self.defer(deferred);
            }
        }
        match (then, result) {
            (AfterRunning::InTime(then), Ok(())) => self.commit_succeeded(then),
            (AfterRunning::InTime(then), Err(error)) => drop(self.commit_failed(then, &error)),
            (AfterRunning::Hanging(Some(update)), Ok(())) => {
                self.queued_updates.push_front(*update)
            }
            (AfterRunning::Hanging(_), _) => {}
        }
        self.start_next_commit();
    }

    /// The next commit takes `records` first, in the order that they were made in.
    fn defer(&mut self, mut records: Vec<Record>) {
        records.append(&mut self.deferred_records);
        self.deferred_records = records;
    }

    /// When the commit in progress will have taken too long.
    pub(super) fn commit_deadline(&self) -> Option<Monotonic> {
        let running = self.running_commit.as_ref()?;
        matches!(running.then, AfterRunning::InTime(_))
            .then(|| running.started_at.plus(MAX_COMMIT_TIME))
    }

    /// Whether a commit has taken too long, and has not ended yet.
    fn is_hanging(&self) -> bool {
        let running = self.running_commit.as_ref();
        running.is_some_and(|running| matches!(running.then, AfterRunning::Hanging(_)))
    }

    /// Notices a commit that takes too long. Whether it will succeed is not known, so it counts as
    /// failed, and with it all that wait for the store behind it.
    pub(super) fn note_hanging(&mut self, now: Now) {
        if self.commit_deadline().is_none_or(|deadline| now.instant < deadline) {
            return;
        }
        let error = StoreError::Hanging(MAX_COMMIT_TIME);
        tracing::error!(%error, "commit failed: nothing is counted until one succeeds");
        self.store_status.healthy = false;
        self.context.telemetry.store_commit_timed_out();
        let Some(running) = &mut self.running_commit else { return };
        let then = std::mem::replace(&mut running.then, AfterRunning::Hanging(None));
        let AfterRunning::InTime(then) = then else { return };
        let update = self.commit_failed(then, &error);
        if let Some(running) = &mut self.running_commit {
            running.then = AfterRunning::Hanging(update.map(Box::new));
        }
        for QueuedCommit { deferred, then, .. } in std::mem::take(&mut self.queued_commits) {
            self.defer(deferred);
            self.commit_failed(then, &error);
        }
    }

    fn commit_succeeded(&mut self, then: AfterCommit) {
        match then {
            AfterCommit::Submit(id, window, planned) => {
                // The quota has it at the time that it was planned for. Sent much later than that,
                // it might be one more than a minute may hold.
                let now = self.context.clock.now();
                if now.instant.since(planned.instant) > MAX_COMMIT_TIME {
                    self.forget_submit(planned);
                    self.reply(now, id, store_error(&StoreError::Hanging(MAX_COMMIT_TIME)));
                } else {
                    self.send_submit(planned, id, window);
                }
            }
            AfterCommit::Update(update) => self.finish(*update),
            AfterCommit::Nothing => {}
        }
    }

    /// What was to follow does not. Returns the update that is reverted, to be applied again if the
    /// store has it after all.
    fn commit_failed(&mut self, then: AfterCommit, error: &StoreError) -> Option<QueuedUpdate> {
        match then {
            AfterCommit::Submit(id, _, planned) => {
                self.forget_submit(planned);
                self.reply(self.context.clock.now(), id, store_error(error));
                None
            }
            AfterCommit::Update(applied) => {
                let AppliedUpdate { update, origin, change, .. } = *applied;
                self.ledger.start(|ledger| {
                    ledger.take_back(change);
                    LedgerOutcome::Reverted
                });
                let target = origin.target;
                self.not_stored(target, &update, error);
                Some(QueuedUpdate { target, update, stored_as: Some(origin) })
            }
            AfterCommit::Nothing => None,
        }
    }

    /// A report is requested again; a gap and a watermark ahead of the clock are found again.
    fn not_stored(&mut self, id: TargetId, update: &LedgerUpdate, error: &StoreError) {
        if let LedgerUpdate::Report(..) = update {
            self.reply(self.context.clock.now(), id, store_error(error));
        }
    }
}

impl UpdateInput {
    /// Applies the update. A report of which too many rows are rejected changes nothing.
    fn apply(self, ledger: &mut Ledger) -> LedgerOutcome {
        let Self { update, origin, is_stored, store_keys, .. } = self;
        ledger.set_passed(self.passed);
        if let Some(epoch) = self.epoch {
            ledger.set_epoch(origin.target, epoch);
        }
        let (mut applied, mut oddities) = (RowCounts::default(), RowOddities::default());
        let (update, change) = match update {
            LedgerUpdate::Report(read_at, report) => {
                // An update that is in the store has been through this before.
                let report = if is_stored { report } else { self.privacy.pseudonymise(report) };
                let change;
                (applied, change) = ledger.apply(&origin, &report);
                oddities = report.oddities().clone();
                oddities.reject_more(RowRejection::CutBucket, applied.cut_buckets);
                let accepted = applied.rows.saturating_sub(applied.cut_buckets);
                if !is_stored && oddities.is_unusable(accepted, !self.is_behind) {
                    ledger.take_back(change);
                    let (target, message) = (origin.target, oddities.why_unusable(accepted));
                    return LedgerOutcome::Unusable { read_at, target, oddities, message };
                }
                (LedgerUpdate::Report(read_at, report), change)
            }
            LedgerUpdate::Gap(_) => {
                let change = ledger.skip_to(origin.target, origin.window.to);
                (update, change)
            }
            LedgerUpdate::SetBack(window) => {
                let change = ledger.set_back(origin.target, window.from);
                (update, change)
            }
        };
        let mut records = ledger.records(&change, &store_keys, self.last_success);
        records.push(Record::delete(&RecordKey::Job(store_keys[origin.target.index()].clone())));
        let applied = AppliedUpdate { update, origin, applied, change, oddities, is_stored };
        LedgerOutcome::Applied(Box::new(applied), records)
    }
}

fn store_error(error: &StoreError) -> JobReply {
    JobReply::Failed(JobError {
        reason: FailureReason::Store,
        retry_after: None,
        message: error.to_string(),
    })
}
