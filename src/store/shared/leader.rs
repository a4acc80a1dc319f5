//! The shared store as the one that has the lease sees it: a store like any other.

use tokio::runtime::Handle;

use cxone_core::counts::Record;
use cxone_core::store::{Store, StoreError, VERSION};

use super::{CommitError, CommitOutcome, Lease, SharedStore, SharedStoreError};

/// Commits with a lease. Its calls wait for the database: they belong on a thread that may wait.
#[derive(Debug)]
pub struct LeaderStore {
    runtime: Handle,
    store: SharedStore,
    lease: Lease,
    size_bytes: i64,
}

impl LeaderStore {
    /// The store with the lease that it has taken. The connection is driven by `runtime`.
    #[must_use]
    pub const fn new(runtime: Handle, store: SharedStore, lease: Lease) -> Self {
        Self { runtime, store, lease, size_bytes: 0 }
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The store and the lease, for whoever renews it.
    pub const fn parts(&mut self) -> (&mut SharedStore, &mut Lease) {
        (&mut self.store, &mut self.lease)
    }

    /// Commits, and says what became of it more precisely than the trait can.
    ///
    /// # Errors
    /// As [`SharedStore::commit`].
    pub fn try_commit(&mut self, records: &[Record]) -> Result<(), CommitError> {
        let Self { runtime, store, lease, size_bytes } = self;
        let limit = store.database.deadlines.commit;
        if let Some(size) = runtime.block_on(store.commit_within(limit, lease, records))? {
            *size_bytes = size;
        }
        Ok(())
    }
}

impl Store for LeaderStore {
    fn read(&mut self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let Self { runtime, store, lease, size_bytes } = self;
        let read = async {
            let contents = store.load().await?;
            *size_bytes = store.database.server().await?.table_bytes;
            Ok::<_, SharedStoreError>(contents)
        };
        let contents = runtime.block_on(read)?;
        let Some(contents) = contents.filter(|it| it.position.revision == lease.revision) else {
            return Err(lost(store));
        };
        for Record { key, value } in &contents.records {
            if let Some(value) = value {
                each(key, value);
            }
        }
        Ok(())
    }

    /// A commit that failed because the database did not answer may have been kept. That is found
    /// out first; what it wrote is then overwritten by this one, as far as they write the same.
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if self.lease.is_unresolved {
            match self.runtime.block_on(self.store.resolve(&mut self.lease))? {
                CommitOutcome::Committed | CommitOutcome::NotCommitted => {}
                CommitOutcome::Fenced | CommitOutcome::RolledBack => return Err(lost(&self.store)),
            }
        }
        self.try_commit(records).map_err(|error| match error {
            CommitError::NotCommitted(error) | CommitError::Unknown(error) => error.into(),
            CommitError::Fenced | CommitError::RolledBack => lost(&self.store),
        })
    }

    /// On the server's disk, the other stores in the database included.
    fn size_bytes(&self) -> u64 {
        u64::try_from(self.size_bytes).unwrap_or_default()
    }

    fn format(&self) -> Option<u32> {
        Some(VERSION)
    }
}

fn lost(store: &SharedStore) -> StoreError {
    StoreError::Unusable {
        path: store.database.url.to_string().into(),
        detail: format!("the lease of {} is no longer held", store.name),
        advice: "another replica has taken over, or the database has lost commits",
    }
}
