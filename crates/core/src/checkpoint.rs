//! What an earlier process left in the store, restored as far as it fits the configuration.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::counts::{
    CountingRules, InvalidRecord, Ledger, LedgerLoader, Record, RecordKey, SubmitOrder, TargetId,
};
use crate::plan::planner::{Planner, PreviousRun, SavedJob};
use crate::privacy::AgentIds;
use crate::report::ReportFilter;
use crate::store::{Owner, Store, StoreError};
use crate::time::{Monotonic, Now, Timestamp};

/// Why nothing can be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Its agents have other ids than they would have now.
    #[error(
        "the store's agents are called by other ids than the configuration says: put `metrics.agent_ids` and its key back, or move the \
         store away; the counters then begin at 0 with a new epoch"
    )]
    OtherIds,
    /// It contains an invalid record.
    #[error(
        "{0}: put back a copy of the store, or move it away; the counters then begin at 0 with a new epoch"
    )]
    InvalidRecord(#[from] InvalidRecord),
}

/// What an earlier process left.
#[derive(Debug)]
pub struct Checkpoint {
    /// The counts.
    pub ledger: Ledger,
    submits: Vec<Timestamp>,
    targets: Vec<PreviousRun>,
    jobs: Vec<Option<(SavedJob, Timestamp)>>,
}

/// Reads `store` for targets with these filters in the order of the configuration, if it belongs
/// to `owner`. What the store has of other targets is deleted.
///
/// # Errors
/// When the store cannot be read or used.
pub fn read(
    store: &mut dyn Store,
    rules: CountingRules,
    filters: &[ReportFilter],
    ids: &AgentIds,
    owner: Option<&Owner>,
) -> Result<Checkpoint, RestoreError> {
    let (mut stored_ids, mut stored_owner) = (None, None);
    let mut is_empty = true;
    let mut loader = LedgerLoader::default();
    let mut submits = Vec::new();
    let mut jobs: HashMap<ReportFilter, (SavedJob, Timestamp)> = HashMap::new();
    let mut take = |key: &[u8], value: &[u8]| -> Result<(), InvalidRecord> {
        match RecordKey::from_bytes(key)? {
            RecordKey::AgentIds => stored_ids = Some(Record::value::<String>(value)?),
            RecordKey::Owner => stored_owner = Some(Record::value::<Owner>(value)?),
            RecordKey::Submit(time) => submits.push(time),
            RecordKey::Job(filter) => drop(jobs.insert(filter, Record::value(value)?)),
            key @ (RecordKey::Version
            | RecordKey::Ledger
            | RecordKey::Label(_)
            | RecordKey::Target(_)
            | RecordKey::Agent(_)
            | RecordKey::Starts(..)
            | RecordKey::Total(_)) => {
                is_empty = is_empty && key == RecordKey::Version;
                loader.take(key, value)?;
            }
        }
        Ok(())
    };
    let mut result = Ok(());
    store.read(&mut |key, value| {
        if result.is_ok() {
            result = take(key, value);
        }
    })?;
    result?;
    // A store in which nothing was counted may be anybody's.
    if let Some(owner) = owner {
        match stored_owner {
            Some(kept) if kept != *owner && !is_empty => {
                return Err(StoreError::OtherOwner { kept, wanted: owner.clone() }.into());
            }
            Some(kept) if kept == *owner => {}
            Some(_) | None => adopt(store, owner)?,
        }
    }
    match (ids.fingerprint(), is_empty) {
        (Some(fingerprint), true) => {
            store.commit(&[Record::put(&RecordKey::AgentIds, &fingerprint)])?;
        }
        (None, true) => store.commit(&[Record::delete(&RecordKey::AgentIds)])?,
        (fingerprint, false) if fingerprint != stored_ids => return Err(RestoreError::OtherIds),
        (_, false) => {}
    }
    let previous = |filter| PreviousRun {
        last_success: loader.target(filter).and_then(|record| record.last_success),
        failed: false,
        job: None,
    };
    let targets: Vec<PreviousRun> = filters.iter().map(previous).collect();
    let removed = loader.removed(filters);
    let jobs = filters.iter().map(|filter| jobs.remove(filter)).collect();
    let ledger = loader.into_ledger(rules, filters)?;
    if !removed.is_empty() {
        let keys = removed
            .into_iter()
            .flat_map(|filter| [RecordKey::Target(filter.clone()), RecordKey::Job(filter)]);
        let records: Vec<Record> = keys.map(|key| Record::delete(&key)).collect();
        store.commit(&records)?;
    }
    Ok(Checkpoint { ledger, submits, targets, jobs })
}

/// Makes `owner` the owner of the store, whosever it was.
///
/// # Errors
/// When the commit fails.
pub fn adopt(store: &mut dyn Store, owner: &Owner) -> Result<(), StoreError> {
    store.commit(&[Record::put(&RecordKey::Owner, owner)])
}

impl Checkpoint {
    /// Lets `planner` continue from here. Returns the submits that still count towards the quota,
    /// by both clocks, oldest first. `resumed` is called with every target whose job in progress
    /// is resumed.
    pub fn resume(
        &self,
        planner: &mut Planner,
        now: Now,
        mut resumed: impl FnMut(TargetId),
    ) -> VecDeque<(Monotonic, Timestamp)> {
        let age = |time: Timestamp| now.utc.since(time);
        let ages: Vec<Duration> = self.submits.iter().map(|submit| age(*submit)).collect();
        planner.remember(now.instant, &ages, self.ledger.newest_order().max(self.newest_job()));
        for (index, previous) in self.targets.iter().enumerate() {
            let id = TargetId::new(index);
            let job = self.jobs[index].clone().map(|(job, submitted)| (job, age(submitted)));
            let failed = previous.last_success.is_some_and(|success| {
                job.is_none() && self.has_failed_since(success, planner, now)
            });
            let previous = PreviousRun { job, failed, ..previous.clone() };
            if planner.resume(now, id, &previous, self.ledger.watermark(id)) {
                resumed(id);
            }
        }
        let mut submits: Vec<(Monotonic, Timestamp)> =
            self.submits.iter().map(|submit| (now.instant.before(age(*submit)), *submit)).collect();
        submits.sort_unstable();
        submits.into()
    }

    /// Whether the newest finished job succeeded, as far as `planner`, which was resumed from this,
    /// knows.
    #[must_use]
    pub fn is_up(&self, planner: &Planner, now: Monotonic) -> bool {
        let mut targets = (0..self.targets.len()).map(TargetId::new);
        !self.has_failed() && targets.any(|id| planner.status(id, now).up)
    }

    /// Whether the job that was submitted last has failed: it is not in progress, and nothing
    /// succeeded after it.
    fn has_failed(&self) -> bool {
        let newest_success = self.targets.iter().filter_map(|target| target.last_success).max();
        self.jobs.iter().all(Option::is_none) && self.submits.iter().max() > newest_success.as_ref()
    }

    /// Whether a target without a job in progress seems to have failed after its last `success`.
    /// Failures are not stored. But every submit is, and where no jobs are submitted, a time has
    /// passed in which one should have succeeded.
    fn has_failed_since(&self, success: Timestamp, planner: &Planner, now: Now) -> bool {
        let cycle = planner.cycle();
        let overdue = cycle.saturating_add(planner.timeout());
        match self.submits.iter().max() {
            None => now.utc.since(success) >= overdue,
            Some(submit) => {
                let after = submit.since(success);
                let is_its_own = self.targets.len() == 1 || after >= cycle / 2;
                after >= overdue || self.has_failed() && is_its_own
            }
        }
    }

    fn newest_job(&self) -> SubmitOrder {
        self.jobs.iter().flatten().map(|(job, _)| job.order()).max().unwrap_or_default()
    }
}
