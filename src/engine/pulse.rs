//! Whether the loop turns, for whoever must know when it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A trace of the loop's turns. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// The longest time between two turns.
    pub every: Duration,
    turns: Arc<AtomicU64>,
}

impl Pulse {
    /// Of a loop that turns at least so often, but for when it is stuck.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, turns: Arc::default() }
    }

    /// Leaves a trace: the loop turns.
    pub fn beat(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has turned.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}
