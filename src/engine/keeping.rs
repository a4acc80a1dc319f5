//! The loop, its ledger and its store: what counts when, and what becomes of what cannot be kept.
//!
//! An *entry* is what moves a target's watermark: a report, or a gap. One entry at a time is counted
//! on a thread that has the ledger, and then its records are committed on a thread that has the
//! store; the loop goes on meanwhile. What cannot be kept is taken back from the ledger. A commit
//! that takes too long has failed as on a full disk, but the thread still has the store: nothing is
//! kept until it is back, and if it kept the entry after all, that is counted again.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::{Reported, Running};
use crate::tasks::{drop_later, off_thread};
use cxone_core::counts::{
    Change, Ledger, Record, RecordKey, ReportOrigin, RowCounts, SubmitOrder, TargetId,
};
use cxone_core::plan::fetch::{Failure, Reply, Trouble};
use cxone_core::plan::planner::{AHEAD, Ended};
use cxone_core::privacy::Privacy;
use cxone_core::report::{Report, ReportFilter, RowOddities, RowRejection};
use cxone_core::store::{Store, StoreError};
use cxone_core::time::{Monotonic, Now, Timestamp, Window};

/// The longest that a commit is waited for.
const COMMIT_TIME: Duration = Duration::from_secs(10);

/// How far a target is known by what is in the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Event time up to which its history is known.
    pub watermark: Option<Timestamp>,
    /// Where its counting began.
    pub epoch: Option<Timestamp>,
}

impl Mark {
    /// That of each of so many targets.
    #[must_use]
    pub fn all(ledger: &Ledger, targets: usize) -> Vec<Self> {
        let mark = |id| Self { watermark: ledger.watermark(id), epoch: ledger.epoch(id) };
        (0..targets).map(TargetId::new).map(mark).collect()
    }
}

/// What moves a target's watermark.
#[derive(Debug)]
pub(super) enum Entry {
    /// A report, and when it had been read whole.
    Report(Now, Report),
    /// A slice of the past that CXone refuses to tell of.
    Gap(Ended),
    /// A watermark was set by a clock that was ahead; nothing of this window is known.
    SetBack(Window),
}

/// An entry that waits for the ledger.
#[derive(Debug)]
pub(super) struct Waiting {
    target: TargetId,
    entry: Entry,
    /// What it was asked for, if it is in the store already.
    kept: Option<ReportOrigin>,
}

/// An entry that the ledger has counted.
#[derive(Debug)]
pub(super) struct Counted {
    entry: Entry,
    origin: ReportOrigin,
    applied: RowCounts,
    change: Change,
    oddities: RowOddities,
    is_kept: bool,
}

/// What it takes to count an entry.
struct Counting {
    ledger: Ledger,
    entry: Entry,
    origin: ReportOrigin,
    is_kept: bool,
    is_behind: bool,
    /// Where counting begins, if it has not.
    epoch: Option<Timestamp>,
    /// Up to when time has passed by both clocks.
    passed: Timestamp,
    filters: Vec<ReportFilter>,
    privacy: Privacy,
    last_success: Option<Timestamp>,
}

/// An entry that was counted, and the records of what it changed.
#[derive(Debug)]
pub(super) struct Done {
    counted: Counted,
    records: Vec<Record>,
}

/// A report that changes nothing, since too many of its rows are rejected.
#[derive(Debug)]
pub(super) struct Unusable {
    read: Now,
    target: TargetId,
    oddities: RowOddities,
    message: String,
}

/// What follows a commit.
#[derive(Debug)]
pub(super) enum Then {
    /// The submit of a job, which was asked for at this time.
    Submit(TargetId, Window, Now),
    /// Its entry counts.
    Entry(Box<Counted>),
    /// Nothing.
    Nothing,
}

/// A commit that waits for the store.
#[derive(Debug)]
pub(super) struct Commit {
    /// Records that did not matter enough for a commit of their own.
    pending: Vec<Record>,
    records: Vec<Record>,
    then: Then,
}

/// The commit that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pending: Vec<Record>,
    began: Monotonic,
    follows: Follows,
}

#[derive(Debug)]
enum Follows {
    Then(Then),
    /// It took too long, and what follows has been told that it failed. If it was about an entry,
    /// that counts all the same once it turns out to be kept.
    TooLate(Option<Box<Waiting>>),
}

/// A commit that is over: the store, what came of it, and how much room the store takes.
pub(super) type Committed = (Box<dyn Store>, Result<(), StoreError>, u64);

impl Running {
    /// A later process takes the job up rather than submit it anew. If it cannot be kept, that is
    /// all that is lost.
    pub(super) fn keep_job(&mut self, now: Now, id: TargetId) {
        let key = RecordKey::Job(self.poller.targets[id.index()].kept_as.clone());
        if let Some(job) = self.poller.planner.job(id) {
            self.commit(vec![Record::put(&key, &(job, now.utc))], Then::Nothing);
        }
    }

    /// Has an entry counted when it is its turn.
    pub(super) fn enter(&mut self, target: TargetId, entry: Entry) {
        self.entries.push_back(Waiting { target, entry, kept: None });
    }

    /// A watermark that lies in CXone's future was set by a clock that was ahead: what comes until
    /// there is not known. It goes back to when the target was last asked.
    pub(super) fn correct_watermarks(&mut self, now: Now) {
        let clock = self.poller.server_clock.read();
        let Some(cxone_utc) = clock.now(now).filter(|_| clock.is_settled()) else { return };
        let is_busy = self.counting || !self.entries.is_empty();
        if is_busy || !self.poller.store_status.healthy {
            return;
        }
        for place in 0..self.poller.targets.len() {
            let Some(watermark) = self.poller.marks[place].watermark else { continue };
            if watermark.since(cxone_utc) <= AHEAD || self.set_back_to[place] == Some(watermark) {
                continue;
            }
            let id = TargetId::new(place);
            let asked = self.poller.planner.last_asked(id).unwrap_or(now.instant);
            let known_to = cxone_utc.minus(now.instant.since(asked));
            self.enter(id, Entry::SetBack(Window { from: known_to, to: watermark }));
        }
        self.count_next();
    }

    /// Has the next entry counted, if there is one and the ledger is free.
    pub(super) fn count_next(&mut self) {
        while !self.counting
            && let Some(waiting) = self.entries.pop_front()
        {
            let Waiting { target, entry, kept } = waiting;
            if kept.is_none() && self.hangs() {
                self.not_kept_entry(target, &entry, &StoreError::Hanging(COMMIT_TIME));
                continue;
            }
            let origin = kept.or_else(|| match &entry {
                Entry::Report(..) => self.poller.planner.origin(target),
                Entry::Gap(ended) => Some(ended.origin),
                Entry::SetBack(window) => {
                    let order = SubmitOrder::default();
                    Some(ReportOrigin { target, order, oldest_pending: order, window: *window })
                }
            });
            let (Some(origin), Some(ledger)) = (origin, self.poller.ledger.take()) else {
                continue;
            };
            let now = self.poller.clock.now();
            let last_success = match &entry {
                Entry::Report(read, _) => Some(read.utc),
                Entry::Gap(_) | Entry::SetBack(_) => self
                    .poller
                    .planner
                    .standing(target, now.instant)
                    .last_success
                    .map(|success| success.utc),
            };
            self.counting = true;
            let filters = self.poller.targets.iter().map(|target| target.kept_as.clone()).collect();
            let counting = Counting {
                ledger,
                entry,
                origin,
                is_kept: kept.is_some(),
                is_behind: self.poller.planner.is_behind(target),
                epoch: self.poller.planner.epoch(target),
                passed: self
                    .poller
                    .server_clock
                    .read()
                    .now(now)
                    .map_or(now.utc, |cxone_utc| cxone_utc.min(now.utc)),
                filters,
                privacy: self.poller.privacy.clone(),
                last_success,
            };
            let counted = off_thread(move || counting.count());
            self.requests.push(async move { Reported::Counted(Box::new(counted.await)) }.boxed());
        }
    }

    /// Takes the ledger back with an entry counted in it, which shows when it is in the store.
    pub(super) fn counted(&mut self, (ledger, done): (Ledger, Result<Done, Unusable>)) {
        self.poller.ledger = Some(ledger);
        match done {
            Ok(Done { counted, .. }) if counted.is_kept => self.finish(counted),
            Ok(Done { counted, records }) => self.commit(records, Then::Entry(Box::new(counted))),
            Err(Unusable { read, target, oddities, message }) => {
                self.counting = false;
                self.poller.telemetry.rows_irregular(&oddities);
                let failure = Failure::RowsRejected;
                let trouble = Trouble { failure, retry_after: None, message };
                self.reply(read, target, Reply::Trouble(trouble));
            }
        }
    }

    /// The ledger is as it was before an entry that could not be kept.
    pub(super) fn taken_back(&mut self, ledger: Ledger) {
        self.poller.ledger = Some(ledger);
        self.counting = false;
    }

    /// An entry is in the store: it counts.
    fn finish(&mut self, counted: Counted) {
        let Counted { entry, origin, applied, change, oddities, is_kept } = counted;
        let id = origin.target;
        let before = self.poller.marks[id.index()].watermark;
        if let Some(ledger) = &self.poller.ledger {
            self.poller.marks = Mark::all(ledger, self.poller.targets.len());
        }
        self.counting = false;
        self.changed = true;
        match &entry {
            Entry::Report(read, report) => {
                let starts = report.rows().iter().map(|row| row.from);
                // Rows of the future make no sense yet.
                if let Some(start) = starts.filter(|from| *from < origin.window.to).max() {
                    self.poller.server_clock.reported(*read, start);
                }
                self.poller.telemetry.report_applied(&applied);
                self.poller.telemetry.rows_irregular(&oddities);
                self.ready = true;
                self.skipped_to[id.index()] = None;
                if is_kept {
                    tracing::info!(target = %self.poller.targets[id.index()].name, window = %origin.window, "the store has kept a report that was taken for lost");
                } else {
                    self.completed(*read, &origin, applied.rows, &oddities);
                }
            }
            Entry::Gap(ended) => {
                let next_from = ended.origin.window.to.minus(self.poller.planner.overlap());
                let skipped_to = self.skipped_to[id.index()].replace(next_from);
                let gap = next_from.since(skipped_to.or(before).unwrap_or(next_from));
                self.poller.telemetry.history_gap(gap);
                let name = &self.poller.targets[id.index()].name;
                tracing::warn!(target = %name, window = %ended.origin.window, seconds = gap.as_secs(), "history gap: window rejected by CXone, skipped");
            }
            Entry::SetBack(Window { from, to }) => {
                let name = &self.poller.targets[id.index()].name;
                let watermark = self.poller.marks[id.index()].watermark;
                self.set_back_to[id.index()] = watermark;
                let from = watermark.unwrap_or(*from);
                tracing::warn!(target = %name, seconds = to.since(from).as_secs(), watermark = %from, "watermark was in CXone's future, set back");
            }
        }
        drop_later((entry, change));
    }

    /// Keeps `records`, and those that are pending, all or none; then something follows.
    pub(super) fn commit(&mut self, records: Vec<Record>, then: Then) {
        if self.hangs() {
            self.not_kept(then, &StoreError::Hanging(COMMIT_TIME));
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        self.commits.push_back(Commit { pending, records, then });
        self.commit_next();
    }

    /// Begins the next commit, if there is one and the store is free.
    fn commit_next(&mut self) {
        let Some(mut store) = self.poller.store.take() else { return };
        let Some(Commit { pending, records, then }) = self.commits.pop_front() else {
            self.poller.store = Some(store);
            return;
        };
        let mut all = pending.clone();
        all.extend(records);
        let work = move || {
            let result = store.commit(&all);
            let size = store.size_bytes();
            (store, result, size)
        };
        self.committing = Some(off_thread(work).boxed()).into();
        let began = self.poller.clock.now().instant;
        self.under_way = Some(UnderWay { pending, began, follows: Follows::Then(then) });
    }

    /// Takes the store back, and what came of the commit.
    pub(super) fn committed(&mut self, (store, result, size): Committed) {
        self.committing = None::<BoxFuture<'static, Committed>>.into();
        self.poller.store = Some(store);
        let Some(UnderWay { mut pending, began, follows }) = self.under_way.take() else { return };
        let now = self.poller.clock.now();
        self.poller.telemetry.store_committed(now.instant.since(began), size, result.is_ok());
        let status = &mut self.poller.store_status;
        let worked = std::mem::replace(&mut status.healthy, result.is_ok());
        status.size_bytes = size;
        match &result {
            Ok(()) => {
                status.last_commit = Some(now.utc);
                if !worked {
                    tracing::info!("the store works again");
                }
            }
            Err(error) => {
                if worked {
                    tracing::error!("{error}; nothing is counted until it works again");
                }
                pending.append(&mut self.pending);
                self.pending = pending;
            }
        }
        match (follows, result) {
            (Follows::Then(then), Ok(())) => self.kept(then),
            (Follows::Then(then), Err(error)) => drop(self.not_kept(then, &error)),
            (Follows::TooLate(Some(entry)), Ok(())) => self.entries.push_front(*entry),
            (Follows::TooLate(_), _) => {}
        }
        self.commit_next();
    }

    /// When a commit that is under way will have taken too long.
    pub(super) fn too_late_at(&self) -> Option<Monotonic> {
        let under_way = self.under_way.as_ref()?;
        matches!(under_way.follows, Follows::Then(_)).then(|| under_way.began.plus(COMMIT_TIME))
    }

    /// Whether a commit has taken too long, and is not over yet.
    fn hangs(&self) -> bool {
        let follows = self.under_way.as_ref().map(|under_way| &under_way.follows);
        matches!(follows, Some(Follows::TooLate(_)))
    }

    /// Notices a commit that has taken too long: it has failed, for all that is known.
    pub(super) fn note_hanging(&mut self, now: Now) {
        if self.too_late_at().is_none_or(|too_late| now.instant < too_late) {
            return;
        }
        let error = StoreError::Hanging(COMMIT_TIME);
        tracing::error!("{error}; nothing is counted until it works again");
        self.poller.store_status.healthy = false;
        self.poller.telemetry.store_commit_timed_out();
        let Some(under_way) = &mut self.under_way else { return };
        let follows = std::mem::replace(&mut under_way.follows, Follows::TooLate(None));
        let Follows::Then(then) = follows else { return };
        let entry = self.not_kept(then, &error);
        if let Some(under_way) = &mut self.under_way {
            under_way.follows = Follows::TooLate(entry.map(Box::new));
        }
        for Commit { mut pending, then, .. } in std::mem::take(&mut self.commits) {
            pending.append(&mut self.pending);
            self.pending = pending;
            self.not_kept(then, &error);
        }
    }

    fn kept(&mut self, then: Then) {
        match then {
            Then::Submit(id, window, asked) => {
                let now = self.poller.clock.now();
                // It is in the quota as of then; so late it might be one more than that allows.
                if now.instant.since(asked.instant) > COMMIT_TIME {
                    self.never_left(asked);
                    self.reply(now, id, store_trouble(&StoreError::Hanging(COMMIT_TIME)));
                } else {
                    self.send_submit(asked, id, window);
                }
            }
            Then::Entry(counted) => self.finish(*counted),
            Then::Nothing => {}
        }
    }

    /// What was to follow does not. Gives the entry back that is taken out of the ledger.
    fn not_kept(&mut self, then: Then, error: &StoreError) -> Option<Waiting> {
        match then {
            Then::Submit(id, _, asked) => {
                self.never_left(asked);
                self.reply(self.poller.clock.now(), id, store_trouble(error));
                None
            }
            Then::Entry(counted) => {
                let Counted { entry, origin, change, .. } = *counted;
                if let Some(mut ledger) = self.poller.ledger.take() {
                    let taken_back = off_thread(move || {
                        ledger.take_back(change);
                        ledger
                    });
                    let reported = async move { Reported::TakenBack(Box::new(taken_back.await)) };
                    self.requests.push(reported.boxed());
                }
                self.not_kept_entry(origin.target, &entry, error);
                Some(Waiting { target: origin.target, entry, kept: Some(origin) })
            }
            Then::Nothing => None,
        }
    }

    /// A report is asked for again; a gap is found again.
    fn not_kept_entry(&mut self, id: TargetId, entry: &Entry, error: &StoreError) {
        if let Entry::Report(..) = entry {
            self.reply(self.poller.clock.now(), id, store_trouble(error));
        }
    }
}

impl Counting {
    /// Counts the entry, and makes records of what it changed. A report of which too many rows are
    /// rejected changes nothing.
    fn count(self) -> (Ledger, Result<Done, Unusable>) {
        let Self { mut ledger, entry, origin, is_kept, is_behind, filters, privacy, .. } = self;
        let last_success = self.last_success;
        ledger.set_passed(self.passed);
        if let Some(epoch) = self.epoch {
            ledger.set_epoch(origin.target, epoch);
        }
        let (entry, applied, change, oddities) = match entry {
            Entry::Report(read, report) => {
                let report = if is_kept { report } else { privacy.pseudonymise(report) };
                let (applied, change) = ledger.apply(&origin, &report);
                let mut oddities = report.oddities().clone();
                oddities.reject_more(RowRejection::CutBucket, applied.cut_buckets);
                let accepted = applied.rows.saturating_sub(applied.cut_buckets);
                if !is_kept && oddities.outweigh(accepted, !is_behind) {
                    ledger.take_back(change);
                    let message = oddities.why_unusable(accepted);
                    return (
                        ledger,
                        Err(Unusable { read, target: origin.target, oddities, message }),
                    );
                }
                (Entry::Report(read, report), applied, change, oddities)
            }
            Entry::Gap(ended) => {
                let change = ledger.skip_to(origin.target, origin.window.to);
                (Entry::Gap(ended), RowCounts::default(), change, RowOddities::default())
            }
            Entry::SetBack(window) => {
                let change = ledger.set_back(origin.target, window.from);
                (Entry::SetBack(window), RowCounts::default(), change, RowOddities::default())
            }
        };
        let mut records = ledger.records(&change, &filters, last_success);
        records.push(Record::delete(&RecordKey::Job(filters[origin.target.index()].clone())));
        let counted = Counted { entry, origin, applied, change, oddities, is_kept };
        (ledger, Ok(Done { counted, records }))
    }
}

fn store_trouble(error: &StoreError) -> Reply {
    Reply::Trouble(Trouble {
        failure: Failure::Store,
        retry_after: None,
        message: error.to_string(),
    })
}
