//! Records in memory, for tests and the demo.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Store, StoreError};
use crate::counts::Record;

/// The records of a [`MemoryStore`]. They outlive the store, as a file does.
#[derive(Clone, Debug, Default)]
pub struct SharedRecords(Arc<(Mutex<Contents>, Condvar)>);

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    full: bool,
    hanging: bool,
}

impl SharedRecords {
    /// Whether commits fail, as on a full disk.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Whether commits wait until this is unset, as on a disk that does not answer.
    pub fn set_hanging(&self, hanging: bool) {
        self.lock().hanging = hanging;
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the disk answers.
    fn answering(&self) -> MutexGuard<'_, Contents> {
        let answering = self.0.1.wait_while(self.lock(), |contents| contents.hanging);
        answering.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: SharedRecords,
}

impl MemoryStore {
    /// A store of these records.
    #[must_use]
    pub const fn on(records: SharedRecords) -> Self {
        Self { records }
    }
}

impl Store for MemoryStore {
    fn read(&mut self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.records.lock().records.iter().for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut contents = self.records.answering();
        if contents.full {
            return Err(StoreError::Unusable {
                path: PathBuf::from("(memory)"),
                detail: "no space left".to_owned(),
                advice: "make room",
            });
        }
        for Record { key, value } in records {
            match value {
                Some(value) => contents.records.insert(key.clone(), value.clone()),
                None => contents.records.remove(key),
            };
        }
        Ok(())
    }

    fn format(&self) -> Option<u32> {
        None
    }

    fn size_bytes(&self) -> u64 {
        let sizes = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX)
        };
        self.records.lock().records.iter().map(sizes).sum()
    }
}
