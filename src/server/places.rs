//! The places of scrapes that are being answered: a bounded number, since each may keep a page that
//! is no longer the newest, and the state of its inflation. Who reads slowly makes room for those
//! who come.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::clock::Clock;
use cxone_core::time::Monotonic;

/// For so long an answer is not cut off for a client with as many answers of its own. Most are sent
/// within milliseconds.
const GRACE: Duration = Duration::from_secs(2);

/// Who asks, and how the connection is closed that the answer goes to.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) close: CancellationToken,
}

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    clock: Clock,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    cut_off: u64,
    /// Numbers grow, so the first has been answered for the longest.
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    caller: Caller,
    since: Monotonic,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(most: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self { most, clock, table: Mutex::default() })
    }

    /// Takes a place for `caller`; where none is free, that of an answer that has to make room and
    /// is cut off. `None` when none has to.
    pub(super) fn take(self: &Arc<Self>, caller: Caller) -> Option<Place> {
        let since = self.clock.now().instant;
        let mut table = self.lock();
        if table.taken.len() >= self.most {
            let number = table.makes_room(caller.client, since)?;
            if let Some(cut_off) = table.taken.remove(&number) {
                cut_off.caller.close.cancel();
                table.cut_off += 1;
            }
        }
        table.next += 1;
        let number = table.next;
        table.taken.insert(number, Taken { caller, since });
        Some(Place { number, places: Arc::clone(self) })
    }

    /// How many answers were cut off so far.
    pub(super) fn cut_off(&self) -> u64 {
        self.lock().cut_off
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.lock().taken.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Which answer makes room for one to `newcomer`: of the client that has the most, the one that
    /// runs the longest. That client must have the more of them even afterwards, or the answer must
    /// have had its time.
    fn makes_room(&self, newcomer: Client, now: Monotonic) -> Option<u64> {
        let mut of_client: HashMap<Client, usize> = HashMap::new();
        for taken in self.taken.values() {
            *of_client.entry(taken.caller.client).or_default() += 1;
        }
        let own = of_client.get(&newcomer).copied().unwrap_or_default();
        let count =
            |taken: &Taken| of_client.get(&taken.caller.client).copied().unwrap_or_default();
        let may_go = |taken: &Taken| count(taken) > own + 1 || now.since(taken.since) >= GRACE;
        // The first of equals is wanted, and `max_by_key` takes the last.
        let candidates = self.taken.iter().rev().filter(|(_, taken)| may_go(taken));
        candidates.max_by_key(|(_, taken)| count(taken)).map(|(number, _)| *number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn caller(number: u32) -> Caller {
        Caller { client: Client::V4(Ipv4Addr::from(number)), close: CancellationToken::new() }
    }

    /// Takes a place for each, and tells the tokens of all.
    fn take(places: &Arc<Places>, callers: &[u32]) -> (Vec<Place>, Vec<CancellationToken>) {
        let callers: Vec<Caller> = callers.iter().map(|number| caller(*number)).collect();
        let tokens = callers.iter().map(|caller| caller.close.clone()).collect();
        (callers.into_iter().map(|caller| places.take(caller).unwrap()).collect(), tokens)
    }

    fn closed(tokens: &[CancellationToken]) -> Vec<bool> {
        tokens.iter().map(CancellationToken::is_cancelled).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_many_answers_makes_room_for_who_has_none_and_the_oldest_goes() {
        let places = Places::new(4, Clock::system());
        let (_kept, tokens) = take(&places, &[1, 2, 2, 2]);
        let (_third, _) = take(&places, &[3]);
        assert_eq!(closed(&tokens), [false, true, false, false]);
        let (_fourth, _) = take(&places, &[4]);
        assert_eq!(closed(&tokens), [false, true, true, false]);
        assert!(places.take(caller(5)).is_none(), "now nobody has more than one");
        assert_eq!(closed(&tokens), [false, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_had_its_time_makes_room_for_anybody_and_no_other_does() {
        let places = Places::new(2, Clock::system());
        let (_kept, tokens) = take(&places, &[1, 1]);
        assert!(places.take(caller(1)).is_none());
        tokio::time::advance(GRACE).await;
        assert!(places.take(caller(1)).is_some());
        assert_eq!((closed(&tokens), places.cut_off()), (vec![true, false], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_once_and_the_bound_holds() {
        let places = Places::new(2, Clock::system());
        let (mut kept, _) = take(&places, &[1, 1]);
        tokio::time::advance(GRACE).await;
        let (newer, _) = take(&places, &[2]);
        // The first was cut off: that it ends gives back no place that is another's.
        drop(kept.remove(0));
        assert_eq!(places.taken(), 2);
        drop((kept, newer));
        assert_eq!(places.taken(), 0);
    }
}
