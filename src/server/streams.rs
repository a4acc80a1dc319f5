//! The time of a connection's requests, where several of them share it (HTTP/2). A client that
//! grants no room for an answer, or that sends nothing but what keeps a connection alive, blocks no
//! write and no read; so the time is counted from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::accept::Limits;

/// Limits are kept to within this part of the shortest of them.
const TICKS: u32 = 4;

/// The longest time between two looks.
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// The requests of one connection, and how long they run. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    shared: Arc<Mutex<Table>>,
    tick: Duration,
    idle_ticks: u64,
    answer_ticks: u64,
}

#[derive(Debug, Default)]
struct Table {
    now: u64,
    next: u64,
    /// The tick that each request began at.
    open: BTreeMap<u64, u64>,
    /// The tick since which there is none.
    idle_since: u64,
}

/// What has to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    GoOn,
    /// It has been silent for long: it is ended in good order.
    End,
    /// A client takes too long for an answer, or does not let the connection end.
    Drop,
}

/// A request; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    shared: Arc<Mutex<Table>>,
    number: u64,
}

impl Streams {
    pub(super) fn new(limits: &Limits) -> Self {
        let tick = (limits.idle_time.min(limits.answer_time) / TICKS)
            .clamp(Duration::from_millis(1), LONGEST_TICK);
        let ticks = |limit: Duration| {
            u64::try_from(limit.as_millis() / tick.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            shared: Arc::default(),
            tick,
            idle_ticks: ticks(limits.idle_time),
            answer_ticks: ticks(limits.answer_time),
        }
    }

    /// A request begins.
    pub(super) fn open(&self) -> OpenStream {
        let mut table = lock(&self.shared);
        table.next += 1;
        let (number, now) = (table.next, table.now);
        table.open.insert(number, now);
        OpenStream { shared: Arc::clone(&self.shared), number }
    }

    /// Waits for a moment, then says what has to be done.
    pub(super) async fn tick(&self) -> Verdict {
        tokio::time::sleep(self.tick).await;
        self.look()
    }

    fn look(&self) -> Verdict {
        let mut table = lock(&self.shared);
        table.now += 1;
        match table.open.values().min() {
            Some(oldest) if table.now - oldest > self.answer_ticks => Verdict::Drop,
            Some(_) => Verdict::GoOn,
            None if table.now - table.idle_since > self.idle_ticks.saturating_mul(2) => {
                Verdict::Drop
            }
            None if table.now - table.idle_since > self.idle_ticks => Verdict::End,
            None => Verdict::GoOn,
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut table = lock(&self.shared);
        table.open.remove(&self.number);
        table.idle_since = table.now;
    }
}

fn lock(shared: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_ends_and_one_that_does_not_let_go_is_dropped() {
        let streams =
            Streams::new(&Limits { idle_time: Duration::from_secs(10), ..Limits::default() });
        let verdicts: Vec<Verdict> = (0..21).map(|_| streams.look()).collect();
        assert!(verdicts[..10].iter().all(|verdict| *verdict == Verdict::GoOn), "{verdicts:?}");
        assert!(verdicts[10..20].iter().all(|verdict| *verdict == Verdict::End), "{verdicts:?}");
        assert_eq!(verdicts[20], Verdict::Drop);
    }

    #[test]
    fn one_request_that_runs_too_long_drops_the_connection_whatever_the_others_do() {
        let streams =
            Streams::new(&Limits { answer_time: Duration::from_secs(5), ..Limits::default() });
        let stalled = streams.open();
        for _ in 0..5 {
            drop(streams.open());
            assert_eq!(streams.look(), Verdict::GoOn);
        }
        assert_eq!(streams.look(), Verdict::Drop);
        drop(stalled);
        assert_eq!(streams.look(), Verdict::GoOn);
    }
}
