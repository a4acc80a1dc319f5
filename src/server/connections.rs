//! The open connections: a bounded number, of which those that wait make room for those that come.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::guard::Requests;

/// The open connections of all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    table: Mutex<Table>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    client: Client,
    requests: Arc<Requests>,
    close: CancellationToken,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    connections: Arc<Connections>,
    /// Cancelled when the connection has to make room.
    pub(super) close: CancellationToken,
    /// The connection's requests.
    pub(super) requests: Arc<Requests>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), count: watch::Sender::new(0) })
    }

    /// Whether one more can come: there is room, or a connection without a request, which would
    /// make some.
    pub(super) fn has_room(&self) -> bool {
        let table = self.lock();
        table.open.len() < self.most || table.open.values().any(|open| open.requests.is_idle())
    }

    /// Takes a place for a connection of `client`. Where there is no room, a connection without a
    /// request is closed: of the client that has the most connections, the one that has been silent
    /// the longest. So whoever opens many can only push out its own.
    pub(super) fn enter(self: &Arc<Self>, client: Client) -> Place {
        let (close, requests) = (CancellationToken::new(), Arc::new(Requests::default()));
        let mut table = self.lock();
        if table.open.len() >= self.most
            && let Some(number) = table.least_missed()
            && let Some(closed) = table.open.remove(&number)
        {
            closed.close.cancel();
        }
        table.next += 1;
        let number = table.next;
        requests.touch(number);
        table
            .open
            .insert(number, Open { client, requests: Arc::clone(&requests), close: close.clone() });
        self.count.send_replace(table.open.len());
        Place { number, connections: Arc::clone(self), close, requests }
    }

    /// Waits until there are none.
    pub(super) async fn ended(&self) {
        // An error would mean that the sender is gone, and we are the sender.
        let mut count = self.count.subscribe();
        let _none_left = count.wait_for(|count| *count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn least_missed(&self) -> Option<u64> {
        let mut of_client: HashMap<Client, usize> = HashMap::new();
        for open in self.open.values() {
            *of_client.entry(open.client).or_default() += 1;
        }
        let idle = self.open.iter().filter(|(_, open)| open.requests.is_idle());
        let least = idle.max_by_key(|(_, open)| {
            (of_client.get(&open.client), std::cmp::Reverse(open.requests.touched()))
        });
        least.map(|(number, _)| *number)
    }
}

impl Place {
    /// Notes that the connection has just been of use.
    pub(super) fn touch(&self) {
        let mut table = self.connections.lock();
        table.next += 1;
        self.requests.touch(table.next);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.lock();
        table.open.remove(&self.number);
        self.connections.count.send_replace(table.open.len());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u32) -> Client {
        Client::V4(Ipv4Addr::from(number))
    }

    #[test]
    fn who_opens_many_pushes_out_its_own_and_the_most_silent_first() {
        let connections = Connections::new(4);
        let prometheus = connections.enter(client(1));
        let flood: Vec<Place> = (0..3).map(|_| connections.enter(client(2))).collect();
        flood[0].touch();
        let _more = connections.enter(client(2));
        let closed: Vec<bool> = flood.iter().map(|place| place.close.is_cancelled()).collect();
        assert_eq!((closed, prometheus.close.is_cancelled()), (vec![false, true, false], false));
        let _newcomer = connections.enter(client(3));
        assert!(flood[2].close.is_cancelled() && !prometheus.close.is_cancelled());
    }

    #[test]
    fn a_connection_with_a_request_stays_and_without_an_idle_one_there_is_no_room() {
        let connections = Connections::new(2);
        let (first, second) = (connections.enter(client(1)), connections.enter(client(1)));
        let (running, also) = (first.requests.begin(), second.requests.begin());
        assert!(!connections.has_room());
        drop(also);
        assert!(connections.has_room());
        let _third = connections.enter(client(2));
        assert!(second.close.is_cancelled() && !first.close.is_cancelled());
        drop(running);
    }

    #[tokio::test]
    async fn it_is_empty_again_when_all_places_are_given_back() {
        let connections = Connections::new(1);
        let (first, second) = (connections.enter(client(1)), connections.enter(client(1)));
        assert!(first.close.is_cancelled(), "the bound holds");
        drop((first, second));
        connections.ended().await;
        assert!(connections.has_room());
    }
}
