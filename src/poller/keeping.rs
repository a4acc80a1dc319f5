//! The loop and its store: what is kept when, and what becomes of what cannot be.

use super::Running;
use crate::domain::fetch::{Failure, Reply, Trouble};
use crate::domain::ledger::{Change, Key, Record, TargetId};
use crate::domain::planner::Ended;
use crate::domain::report::Filter;
use crate::domain::time::{Now, Timestamp};
use crate::store::StoreError;
use crate::tasks::off_thread;

impl Running {
    /// A later process takes the job up rather than submit it anew. If it cannot be kept, that is
    /// all that is lost.
    pub(super) async fn keep_job(&mut self, now: Now, id: TargetId) {
        let key = Key::Job(self.poller.targets[id.index()].kept_as.clone());
        if let Some(job) = self.poller.planner.job(id) {
            let _kept = self.commit(vec![Record::put(&key, &(job, now.utc))]).await;
        }
    }

    /// The records of a change, and the end of its target's job.
    pub(super) fn records(&self, change: &Change, last_success: Option<Timestamp>) -> Vec<Record> {
        let filters: Vec<Filter> =
            self.poller.targets.iter().map(|target| target.kept_as.clone()).collect();
        let mut records = self.poller.ledger.records(change, &filters, last_success);
        records.push(Record::delete(&Key::Job(filters[change.target().index()].clone())));
        records
    }

    /// A slice of the past that CXone refuses is a gap: what follows it can be told all the same.
    pub(super) async fn skip(&mut self, ended: &Ended) {
        let id = ended.origin.target;
        let Some(watermark) = self.poller.ledger.watermark(id) else { return };
        let now = self.poller.clock.now();
        let last_success =
            self.poller.planner.standing(id, now.instant).last_success.map(|now| now.utc);
        let change = self.poller.ledger.skip_to(id, ended.origin.window.to);
        let records = self.records(&change, last_success);
        if self.commit(records).await.is_err() {
            return self.poller.ledger.take_back(change);
        }
        let next_from = ended.origin.window.to.minus(self.poller.planner.overlap());
        let gap =
            next_from.since(self.skipped_to[id.index()].replace(next_from).unwrap_or(watermark));
        self.poller.telemetry.history_gap(gap);
        let name = &self.poller.targets[id.index()].name;
        tracing::warn!(target = %name, window = %ended.origin.window, seconds = gap.as_secs(), "a gap: CXone refuses to tell of this time");
    }

    /// Keeps `records`, and those that wait, all or none.
    pub(super) async fn commit(&mut self, mut records: Vec<Record>) -> Result<(), StoreError> {
        records.extend(self.pending.iter().cloned());
        let Some(mut store) = self.store.take() else { return Ok(()) };
        let began = self.poller.clock.now().instant;
        let (store, result, size) = off_thread(move || {
            let result = store.commit(&records);
            let size = store.size_bytes();
            (store, result, size)
        })
        .await;
        self.store = Some(store);
        let now = self.poller.clock.now();
        self.poller.telemetry.store_committed(now.instant.since(began), size, result.is_ok());
        let status = &mut self.poller.store_status;
        let worked = std::mem::replace(&mut status.works, result.is_ok());
        status.size_bytes = size;
        if result.is_ok() {
            status.last_commit = Some(now.utc);
        }
        match &result {
            Ok(()) => self.pending.clear(),
            Err(error) if worked => {
                tracing::error!("{error}; nothing is counted until it works again")
            }
            Err(_) => {}
        }
        if result.is_ok() && !worked {
            tracing::info!("the store works again");
        }
        result
    }
}

pub(super) fn store_trouble(error: &StoreError) -> Reply {
    Reply::Trouble(Trouble {
        failure: Failure::Store,
        retry_after: None,
        message: error.to_string(),
    })
}
