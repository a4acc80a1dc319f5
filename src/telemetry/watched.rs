//! Something whose changes are counted.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is made of `T` is to be made anew after a change and only then.
#[derive(Debug, Default)]
pub(super) struct Watched<T> {
    value: T,
    changes: AtomicU64,
}

impl<T> Watched<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { value, changes: AtomicU64::new(0) }
    }

    /// As it is, to look at.
    pub(super) const fn look(&self) -> &T {
        &self.value
    }

    /// To be changed through; the change counts when the guard is gone.
    pub(super) const fn change(&self) -> Changing<'_, T> {
        Changing(self)
    }

    /// How many changes there were. Whoever asks sees what they did.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// Lets a [`Watched`] be changed.
pub(super) struct Changing<'a, T>(&'a Watched<T>);

impl<T> Deref for Changing<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for Changing<'_, T> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::Release);
    }
}
