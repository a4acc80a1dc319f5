//! What an earlier process left in the store, taken up where it fits the configuration.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::counts::{
    CountingRules, InvalidRecord, Ledger, LedgerLoader, Record, RecordKey, SubmitOrder, TargetId,
};
use crate::owner::Owner;
use crate::plan::planner::{Planner, PreviousRun, SavedJob};
use crate::privacy::AgentIds;
use crate::report::ReportFilter;
use crate::store::{Store, StoreError};
use crate::time::{Monotonic, Now, Timestamp};

/// Why nothing can be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Its agents are called otherwise than they would be now.
    #[error(
        "the store's agents are called by other ids than the configuration says: put `metrics.agent_ids` and its key back, or move the \
         store away; the counters then begin at 0 with a new epoch"
    )]
    OtherIds,
    /// Its records make no sense.
    #[error(
        "{0}: put back a copy of the store, or move it away; the counters then begin at 0 with a new epoch"
    )]
    InvalidRecord(#[from] InvalidRecord),
}

/// What was left.
#[derive(Debug)]
pub struct Checkpoint {
    /// The counts.
    pub ledger: Ledger,
    submits: Vec<Timestamp>,
    targets: Vec<PreviousRun>,
    jobs: Vec<Option<(SavedJob, Timestamp)>>,
}

/// Reads what is in `store`, for targets with these filters in the order of the configuration, if
/// it is this owner's.
///
/// # Errors
/// When the store cannot be read, or makes no sense.
pub fn read(
    store: &mut dyn Store,
    rules: CountingRules,
    filters: &[ReportFilter],
    ids: &AgentIds,
    owner: Option<&Owner>,
) -> Result<Checkpoint, RestoreError> {
    let (mut kept_ids, mut kept_owner) = (None, None);
    let mut is_empty = true;
    let mut restored = LedgerLoader::default();
    let mut submits = Vec::new();
    let mut jobs: HashMap<ReportFilter, (SavedJob, Timestamp)> = HashMap::new();
    let mut result = Ok(());
    store.read(&mut |key, value| {
        let taken = RecordKey::from_bytes(key).and_then(|key| match key {
            RecordKey::AgentIds => Record::value(value).map(|kept: String| kept_ids = Some(kept)),
            RecordKey::Owner => Record::value(value).map(|kept: Owner| kept_owner = Some(kept)),
            RecordKey::Submit(time) => {
                submits.push(time);
                Ok(())
            }
            RecordKey::Job(filter) => {
                Record::value(value).map(|job| drop(jobs.insert(filter, job)))
            }
            key @ (RecordKey::Version
            | RecordKey::Ledger
            | RecordKey::Label(_)
            | RecordKey::Target(_)
            | RecordKey::Agent(_)
            | RecordKey::Starts(..)
            | RecordKey::Total(_)) => {
                is_empty = is_empty && key == RecordKey::Version;
                restored.take(key, value)
            }
        });
        if result.is_ok() {
            result = taken;
        }
    })?;
    result?;
    // A store that nothing was counted in is anybody's; an old one that does not tell belongs to
    // who comes first.
    if let Some(owner) = owner {
        match kept_owner {
            Some(kept) if kept != *owner && !is_empty => {
                return Err(StoreError::OtherOwner { kept, wanted: owner.clone() }.into());
            }
            Some(kept) if kept == *owner => {}
            Some(_) | None => adopt(store, owner)?,
        }
    }
    match (ids.fingerprint(), is_empty) {
        (Some(fingerprint), true) => {
            store.commit(&[Record::put(&RecordKey::AgentIds, &fingerprint)])?
        }
        (None, true) => store.commit(&[Record::delete(&RecordKey::AgentIds)])?,
        (fingerprint, false) if fingerprint != kept_ids => return Err(RestoreError::OtherIds),
        (_, false) => {}
    }
    let left = |filter| PreviousRun {
        last_success: restored.target(filter).and_then(|saved| saved.last_success),
        failed: false,
        job: None,
    };
    let targets: Vec<PreviousRun> = filters.iter().map(left).collect();
    let removed = restored.removed(filters);
    let jobs = filters.iter().map(|filter| jobs.remove(filter)).collect();
    let ledger = restored.into_ledger(rules, filters)?;
    if !removed.is_empty() {
        let records = removed
            .into_iter()
            .flat_map(|filter| [RecordKey::Target(filter.clone()), RecordKey::Job(filter)]);
        let records: Vec<Record> = records.map(|key| Record::delete(&key)).collect();
        store.commit(&records)?;
    }
    Ok(Checkpoint { ledger, submits, targets, jobs })
}

/// Makes the store this owner's, whosever it was.
///
/// # Errors
/// When that cannot be kept.
pub fn adopt(store: &mut dyn Store, owner: &Owner) -> Result<(), StoreError> {
    store.commit(&[Record::put(&RecordKey::Owner, owner)])
}

impl Checkpoint {
    /// Lets the plan go on from here. Returns the submits that still count, by both clocks, oldest
    /// first. `taken_up` is told of every target whose job was under way and goes on.
    pub fn resume(
        &self,
        planner: &mut Planner,
        now: Now,
        mut taken_up: impl FnMut(TargetId),
    ) -> VecDeque<(Monotonic, Timestamp)> {
        let age = |time: Timestamp| now.utc.since(time);
        let ages: Vec<Duration> = self.submits.iter().map(|submit| age(*submit)).collect();
        planner.remember(now.instant, &ages, self.ledger.newest_order().max(self.newest_job()));
        for (place, left) in self.targets.iter().enumerate() {
            let id = TargetId::new(place);
            let job = self.jobs[place].clone().map(|(job, submitted)| (job, age(submitted)));
            let failed = left.last_success.is_some_and(|success| {
                job.is_none() && self.has_failed_since(success, planner, now)
            });
            let left = PreviousRun { job, failed, ..left.clone() };
            if planner.resume(now, id, &left, self.ledger.watermark(id)) {
                taken_up(id);
            }
        }
        let mut submits: Vec<(Monotonic, Timestamp)> =
            self.submits.iter().map(|submit| (now.instant.before(age(*submit)), *submit)).collect();
        submits.sort_unstable();
        submits.into()
    }

    /// Whether the newest finished job succeeded, as far as `planner`, which has taken this up,
    /// knows.
    #[must_use]
    pub fn is_up(&self, planner: &Planner, now: Monotonic) -> bool {
        let ups = (0..self.targets.len()).map(|place| planner.status(TargetId::new(place), now));
        !self.has_failed() && ups.into_iter().any(|status| status.up)
    }

    /// Whether the job that was submitted last has failed: it is not under way, and nothing
    /// succeeded after it.
    fn has_failed(&self) -> bool {
        let newest_success = self.targets.iter().filter_map(|left| left.last_success).max();
        self.jobs.iter().all(Option::is_none) && self.submits.iter().max() > newest_success.as_ref()
    }

    /// Whether a target that is not waited for seems to have failed after its last `success`.
    /// Failures are not kept; but every submit is, and where jobs are not submitted, time has gone
    /// by in which one should have succeeded.
    fn has_failed_since(&self, success: Timestamp, planner: &Planner, now: Now) -> bool {
        let cycle = planner.cycle();
        let long = cycle.saturating_add(planner.timeout());
        match self.submits.iter().max() {
            None => now.utc.since(success) >= long,
            Some(submit) => {
                let after = submit.since(success);
                let own = self.targets.len() == 1 || after >= cycle / 2;
                after >= long || self.has_failed() && own
            }
        }
    }

    fn newest_job(&self) -> SubmitOrder {
        self.jobs.iter().flatten().map(|(job, _)| job.order()).max().unwrap_or_default()
    }
}
