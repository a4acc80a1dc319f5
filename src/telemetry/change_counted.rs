//! A value whose changes are counted.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts changes of `T`, so that what is derived from it is renewed after a change and only then.
#[derive(Debug, Default)]
pub(super) struct ChangeCounted<T> {
    value: T,
    changes: AtomicU64,
}

impl<T> ChangeCounted<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { value, changes: AtomicU64::new(0) }
    }

    pub(super) const fn get(&self) -> &T {
        &self.value
    }

    /// Gives access for a change, which is counted when the guard is dropped.
    pub(super) const fn change(&self) -> ChangeGuard<'_, T> {
        ChangeGuard(self)
    }

    /// Number of changes so far. Acquire: who reads it sees what they did.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// Lets a [`ChangeCounted`] be changed.
pub(super) struct ChangeGuard<'a, T>(&'a ChangeCounted<T>);

impl<T> Deref for ChangeGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for ChangeGuard<'_, T> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::Release);
    }
}
