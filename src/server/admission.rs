//! Admission: a bounded number of connections, and of scrapes in progress. When all slots are
//! taken, one rule says who is evicted for a newcomer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use cxone_core::time::Monotonic;

/// A scrape younger than this is not cut off for a peer that has as many in progress itself. Most
/// are sent within milliseconds.
const GRACE: Duration = Duration::from_secs(2);

/// Who connects, as far as limits distinguish: an IPv4 address, an IPv6 network of 64 bits (one
/// machine has as many addresses in it as it likes), or anybody on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Peer {
    Local,
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::V4(address) => address.fmt(f),
            Self::V6([a, b, c, d]) => {
                write!(f, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0))
            }
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// One connection: whose it is, what it is doing, and how to close it.
#[derive(Clone, Debug)]
pub(super) struct ConnectionHandle {
    pub(super) peer: Peer,
    /// Cancelled when the connection, or a scrape on it, is evicted.
    pub(super) close: CancellationToken,
    pub(super) requests: Arc<RequestCount>,
}

impl ConnectionHandle {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer, close: CancellationToken::new(), requests: Arc::default() }
    }
}

/// How many requests of one connection have begun (their heads were read) and have ended (their
/// answers were handed to hyper).
#[derive(Debug, Default)]
pub(super) struct RequestCount {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl RequestCount {
    /// Counts a request whose head was read; it ends when the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> RequestGuard {
        self.begun.fetch_add(1, Ordering::Relaxed);
        RequestGuard(Arc::clone(self))
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.begun() == self.ended.load(Ordering::Relaxed)
    }
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<RequestCount>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Connections,
    Scrapes,
}

/// The slots of one resource.
#[derive(Debug)]
pub(super) struct Admission {
    resource: Resource,
    max: usize,
    clock: Clock,
    table: Mutex<SlotTable>,
    taken: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct SlotTable {
    /// Counts admissions and uses, so that slots can be ordered by their last use.
    uses: u64,
    evicted: u64,
    entries: HashMap<u64, SlotEntry>,
}

#[derive(Debug)]
struct SlotEntry {
    connection: ConnectionHandle,
    admitted_at: Monotonic,
    last_use: u64,
}

/// A slot; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    admission: Arc<Admission>,
}

impl Admission {
    pub(super) fn new(resource: Resource, max: usize) -> Arc<Self> {
        let (clock, taken) = (Clock::system(), watch::Sender::new(0));
        Arc::new(Self { resource, max, clock, table: Mutex::default(), taken })
    }

    /// Takes a slot for `connection`, if need be by evicting another one. `None` if all are taken
    /// and none may be evicted.
    pub(super) fn admit(self: &Arc<Self>, connection: ConnectionHandle) -> Option<Slot> {
        let admitted_at = self.clock.now().instant;
        let mut table = self.lock();
        if table.entries.len() >= self.max {
            let id = table.choose_victim(self.resource, connection.peer, admitted_at)?;
            if let Some(victim) = table.entries.remove(&id) {
                victim.connection.close.cancel();
                table.evicted += 1;
            }
        }
        table.uses += 1;
        let id = table.uses;
        table.entries.insert(id, SlotEntry { connection, admitted_at, last_use: id });
        self.taken.send_replace(table.entries.len());
        Some(Slot { id, admission: Arc::clone(self) })
    }

    pub(super) fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// Waits until no slot is taken.
    pub(super) async fn emptied(&self) {
        // An error would mean that the sender is gone, and we are the sender.
        let mut taken = self.taken.subscribe();
        let _none_left = taken.wait_for(|taken| *taken == 0).await;
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    /// Which slot is evicted for `newcomer`: of the peer that holds the most, the least recently
    /// used one. So a peer that takes many slots evicts its own first.
    fn choose_victim(&self, resource: Resource, newcomer: Peer, now: Monotonic) -> Option<u64> {
        let mut held: HashMap<Peer, usize> = HashMap::new();
        for entry in self.entries.values() {
            *held.entry(entry.connection.peer).or_default() += 1;
        }
        let held = |peer| held.get(&peer).copied().unwrap_or_default();
        let is_evictable = |entry: &SlotEntry| match resource {
            // An idle connection costs its peer nothing but a new one. A busy one is left to its
            // time limits.
            Resource::Connections => entry.connection.requests.is_idle(),
            // A scrape cut off is a scrape lost. That is fair if its peer has more in progress
            // than the newcomer even afterwards, or if it has had its time.
            Resource::Scrapes => {
                held(entry.connection.peer) > held(newcomer) + 1
                    || now.since(entry.admitted_at) >= GRACE
            }
        };
        let evictable = self.entries.iter().filter(|(_, entry)| is_evictable(entry));
        evictable
            .max_by_key(|(_, entry)| (held(entry.connection.peer), Reverse(entry.last_use)))
            .map(|(id, _)| *id)
    }
}

impl Slot {
    /// Notes that the slot is in use: it becomes the last of its peer to be evicted.
    pub(super) fn touch(&self) {
        let mut table = self.admission.lock();
        table.uses += 1;
        let last_use = table.uses;
        if let Some(entry) = table.entries.get_mut(&self.id) {
            entry.last_use = last_use;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.admission.lock();
        // An evicted slot is no longer in the table, and its id is never given again.
        table.entries.remove(&self.id);
        self.admission.taken.send_replace(table.entries.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections of these peers, each with its slot.
    fn admit(admission: &Arc<Admission>, peers: &[u32]) -> Vec<(ConnectionHandle, Slot)> {
        let peers = peers.iter().map(|peer| Peer::V4(Ipv4Addr::from(*peer)));
        peers
            .map(|peer| {
                let connection = ConnectionHandle::new(peer);
                (connection.clone(), admission.admit(connection).expect("a slot"))
            })
            .collect()
    }

    fn evicted(admitted: &[(ConnectionHandle, Slot)]) -> Vec<bool> {
        admitted.iter().map(|(connection, _)| connection.close.is_cancelled()).collect()
    }

    fn is_full_for(admission: &Arc<Admission>, peer: u32) -> bool {
        admission.admit(ConnectionHandle::new(Peer::V4(Ipv4Addr::from(peer)))).is_none()
    }

    #[test]
    fn one_machine_is_one_peer_whichever_of_its_addresses_it_uses() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8:1:2:3::4"), peer("2001:db8:1:2::9"));
        assert_ne!(peer("2001:db8:1:2::9"), peer("2001:db8:1:3::9"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.2"), peer("10.0.0.1"));
    }

    #[test]
    fn a_peer_with_many_connections_evicts_its_own_least_recently_used_one() {
        let connections = Admission::new(Resource::Connections, 4);
        let admitted = admit(&connections, &[1, 2, 2, 2]);
        admitted[1].1.touch();
        let _more = admit(&connections, &[2]);
        assert_eq!(evicted(&admitted), [false, false, true, false]);
        let _newcomer = admit(&connections, &[3]);
        assert_eq!(evicted(&admitted), [false, false, true, true]);
    }

    #[test]
    fn a_connection_with_a_request_in_progress_is_never_evicted() {
        let connections = Admission::new(Resource::Connections, 2);
        let admitted = admit(&connections, &[1, 1]);
        let _first = admitted[0].0.requests.begin();
        let second = admitted[1].0.requests.begin();
        assert!(is_full_for(&connections, 2));
        drop(second);
        let _third = admit(&connections, &[2]);
        assert_eq!(evicted(&admitted), [false, true]);
    }

    #[tokio::test]
    async fn the_table_is_empty_when_all_slots_are_dropped() {
        let connections = Admission::new(Resource::Connections, 1);
        let admitted = admit(&connections, &[1, 1]);
        assert_eq!(evicted(&admitted), [true, false], "the bound holds");
        drop(admitted);
        connections.emptied().await;
        let _another = admit(&connections, &[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_peer_with_many_scrapes_the_oldest_is_cut_off_for_a_peer_with_fewer() {
        let scrapes = Admission::new(Resource::Scrapes, 4);
        let admitted = admit(&scrapes, &[1, 2, 2, 2]);
        let _third = admit(&scrapes, &[3]);
        assert_eq!(evicted(&admitted), [false, true, false, false]);
        let _fourth = admit(&scrapes, &[4]);
        assert_eq!(evicted(&admitted), [false, true, true, false]);
        assert!(is_full_for(&scrapes, 5), "now nobody has more than one");
        assert_eq!(evicted(&admitted), [false, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_that_takes_too_long_is_cut_off_for_anybody() {
        let scrapes = Admission::new(Resource::Scrapes, 2);
        let admitted = admit(&scrapes, &[1, 1]);
        assert!(is_full_for(&scrapes, 1));
        tokio::time::advance(GRACE).await;
        let _third = admit(&scrapes, &[1]);
        assert_eq!((evicted(&admitted), scrapes.evicted()), (vec![true, false], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_evicted_slot_does_not_free_its_successors() {
        let scrapes = Admission::new(Resource::Scrapes, 2);
        let mut admitted = admit(&scrapes, &[1, 1]);
        tokio::time::advance(GRACE).await;
        let _newer = admit(&scrapes, &[2]);
        drop(admitted.remove(0));
        assert_eq!(scrapes.taken(), 2);
    }
}
