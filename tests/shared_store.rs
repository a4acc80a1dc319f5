//! The shared store on a real PostgreSQL: leases, fences, answers that get lost, and the commands.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]
#![allow(
    clippy::disallowed_methods,
    reason = "a proxy and connections beside the store need tasks of their own"
)]

#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "what it has for HTTP is not needed here")]
#[path = "support/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assert_matches::assert_matches;
use nix::sys::signal::Signal;
use proptest::prelude::*;
use secrecy::SecretString;

use cxone_core::counts::{Record, RecordKey};
use cxone_core::store::Owner;
use cxone_core::store::{MemoryStore, SharedRecords, Store};
use cxone_core::time::Timestamp;
use cxone_exporter::clock::Clock;
use cxone_exporter::store::DiskStore;
use cxone_exporter::store::shared::{
    CommitError, CommitOutcome, CommitsAre, DatabaseFault, Deadlines, FillError, LeaderStore,
    Lease, LeaseState, ReadPosition, SharedDatabase, SharedStore, StoreChanges, SubmitDecision,
    Taking,
};
use postgres::{Cut, PASSWORD, Postgres, Proxy};
use tools::are_here;

/// Short, so that a test that waits for one does not wait for long.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(3),
    call: Duration::from_secs(3),
    commit: Duration::from_secs(3),
    whole: Duration::from_secs(60),
};

/// The shared server, unless PostgreSQL is missing.
fn server() -> Option<Arc<Postgres>> {
    are_here(&["postgres", "initdb", "psql"]).then(postgres::shared)
}

fn database(url: &str, deadlines: Deadlines) -> SharedDatabase {
    let password = SecretString::from(PASSWORD);
    SharedDatabase::new(url.parse().expect("a URL"), Some(&password), deadlines).expect("usable")
}

/// A store of a new replica; its database has the tables.
async fn replica(url: &str, name: &str) -> SharedStore {
    let mut database = database(url, DEADLINES);
    database.init().await.expect("the database is ours");
    SharedStore::new(database, "test", name, Clock::system()).expect("a valid name")
}

async fn lease_of(store: &mut SharedStore) -> Lease {
    match store.take().await.expect("the database answers") {
        Taking::Taken(lease) => lease,
        taking @ Taking::HeldBy { .. } => panic!("{taking:?}"),
    }
}

fn put(key: &str, value: &str) -> Record {
    Record { key: key.into(), value: Some(value.into()) }
}

fn delete(key: &str) -> Record {
    Record { key: key.into(), value: None }
}

/// What the store holds, as texts.
async fn contents(store: &mut SharedStore) -> Vec<(String, String)> {
    let contents = store.load().await.expect("the database answers").expect("the store is there");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let pair = |record: Record| (text(record.key), text(record.value.expect("not deleted")));
    contents.records.into_iter().map(pair).collect()
}

async fn position(store: &mut SharedStore) -> ReadPosition {
    store.load().await.expect("the database answers").expect("the store is there").position
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The records that changed since `position`, and the position after them.
async fn changes(store: &mut SharedStore, position: ReadPosition) -> (Vec<Record>, ReadPosition) {
    match store.read_since(position).await.expect("the database answers") {
        StoreChanges::Changed(contents) => (contents.records, contents.position),
        other @ (StoreChanges::RolledBack | StoreChanges::TooOld) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_two_that_take_the_lease_at_once_one_gets_it() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    for round in 1..=10 {
        let (of_a, of_b) = tokio::join!(a.take(), b.take());
        let (lease, winner, loser) = match (of_a.unwrap(), of_b.unwrap()) {
            (Taking::Taken(lease), Taking::HeldBy { name, left }) => {
                assert!(name == "a" && left <= Duration::from_secs(15), "{name} {left:?}");
                (lease, &mut a, &mut b)
            }
            (Taking::HeldBy { name, .. }, Taking::Taken(lease)) => {
                assert_eq!(name, "b");
                (lease, &mut b, &mut a)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(lease.token(), round, "tokens have no gap");
        assert_matches!(loser.take().await.unwrap(), Taking::HeldBy { .. });
        assert!(winner.hand_over(lease).await.unwrap());
    }
}

#[tokio::test]
async fn a_lease_ends_by_the_databases_clock_whatever_the_replicas_think() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let mut a = replica(&url, "a").await.with_ttl(Duration::from_secs(2));
    let in_1970 = Clock::starting_at(Timestamp::from_millis(0));
    let mut b = SharedStore::new(database(&url, DEADLINES), "test", "b", in_1970).unwrap();
    let mut lease = lease_of(&mut a).await;
    let clock = Clock::system();
    assert!(lease.is_held_at(clock.uptime()));
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(a.renew(&mut lease).await.unwrap(), LeaseState::Held);
        assert_matches!(b.take().await.unwrap(), Taking::HeldBy { .. });
    }
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert!(!lease.is_held_at(clock.uptime()), "its holder knows that it may have ended");
    let of_b = lease_of(&mut b).await;
    assert_eq!(of_b.token(), lease.token() + 1);
    assert_eq!(a.renew(&mut lease).await.unwrap(), LeaseState::Fenced);
    assert!(!a.hand_over(lease).await.unwrap(), "the lease of another is not handed over");
    assert_matches!(a.take().await.unwrap(), Taking::HeldBy { .. });
}

#[tokio::test]
async fn a_commit_needs_token_holder_and_revision() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    let mut lease = lease_of(&mut a).await;
    assert_eq!(a.commit(&mut lease, &[put("k", "1")]).await.unwrap(), 1);
    let old = lease.clone();
    assert_eq!(a.commit(&mut lease, &[put("k", "2"), put("l", "1")]).await.unwrap(), 2);

    // An old revision, and an old token.
    assert_matches!(a.commit(&mut old.clone(), &[put("k", "x")]).await, Err(CommitError::Fenced));
    let mut newer = lease_of(&mut a).await;
    assert_matches!(a.commit(&mut lease, &[put("k", "x")]).await, Err(CommitError::Fenced));
    assert_matches!(a.submit(&mut lease, "team:7", 10).await.unwrap(), SubmitDecision::Fenced);
    assert_eq!(a.purge(&lease, 1).await.unwrap(), None);
    assert_eq!(a.commit(&mut newer, &[put("k", "3"), delete("l")]).await.unwrap(), 3);

    // The same token once more, for another holder, as after a failover.
    server.psql(&name, "UPDATE cxone.lease SET holder = gen_random_uuid()");
    assert_matches!(a.commit(&mut newer, &[put("k", "x")]).await, Err(CommitError::Fenced));
    assert_eq!(a.renew(&mut newer).await.unwrap(), LeaseState::Fenced);
    assert_eq!(contents(&mut b).await, pairs(&[("k", "3")]));
    assert_eq!(server.psql(&name, "SELECT count(*) FROM cxone.submits"), "0");
}

#[tokio::test]
async fn of_records_with_one_key_the_last_counts() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let mut a = replica(&url, "a").await;
    let mut lease = lease_of(&mut a).await;
    let records =
        [put("k", "1"), delete("l"), put("l", "1"), put("k", "2"), put("m", ""), delete("k")];
    a.commit(&mut lease, &records).await.unwrap();
    assert_eq!(contents(&mut a).await, pairs(&[("l", "1"), ("m", "")]));
    assert_eq!(a.commit(&mut lease, &[]).await.unwrap(), 2, "an empty commit is a commit");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_out_about() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let proxy = Proxy::start(server.port).await;
    let url = server.plain_url(proxy.port, &name);
    replica(&server.socket_url(&name), "init").await;
    let mut a = replica(&url, "a").await;
    let mut lease = lease_of(&mut a).await;
    let many: Vec<Record> =
        (0..2_000).map(|n| put(&format!("k{n:04}"), &"x".repeat(100))).collect();

    // It went through.
    proxy.cut(Cut::After);
    assert_eq!(a.commit(&mut lease, &many).await.unwrap(), 1);
    assert_eq!(proxy.connections(), 2, "the connection was dropped");
    assert_eq!(contents(&mut a).await.len(), 2_000);
    assert!(lease.token() == 2 && !lease.is_unresolved(), "{lease:?}");

    // It did not.
    proxy.cut(Cut::Before);
    assert_matches!(
        a.commit(&mut lease, &[put("l", "1")]).await,
        Err(CommitError::NotCommitted(_))
    );
    assert_eq!(a.commit(&mut lease, &[put("l", "2")]).await.unwrap(), 2);

    // Nobody knows, until the database can be reached again.
    for (cut, outcome, revision) in [
        (Cut::AfterThenAlways, CommitOutcome::Committed, 3),
        (Cut::Always, CommitOutcome::NotCommitted, 3),
    ] {
        proxy.cut(cut);
        assert_matches!(a.commit(&mut lease, &[put("m", "1")]).await, Err(CommitError::Unknown(_)));
        assert!(lease.is_unresolved());
        a.resolve(&mut lease).await.expect_err("the database cannot be reached");
        proxy.cut(Cut::Never);
        a.submit(&mut lease, "team:7", 10).await.expect_err("nothing leaves until it is known");
        assert_matches!(a.commit(&mut lease, &[put("m", "2")]).await, Err(CommitError::Unknown(_)));
        assert_eq!(a.resolve(&mut lease).await.unwrap(), outcome);
        assert_eq!(lease.revision(), revision);
    }
    let held = contents(&mut a).await;
    assert_eq!(held[2_000..], pairs(&[("l", "2"), ("m", "1")]));
    assert_eq!(a.commit(&mut lease, &[put("m", "3")]).await.unwrap(), 4);
}

#[tokio::test]
async fn a_commit_that_is_still_under_way_is_waited_for_before_its_outcome_is_called_known() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let mut a = replica(&server.socket_url(&name), "a").await;
    let mut lease = lease_of(&mut a).await;
    let mut other = server.admin(&name).await;
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT FROM cxone.lease FOR UPDATE", &[]).await.unwrap();
    // Its statement waits for the lock at the server, and goes on to.
    let failure = a.commit(&mut lease, &[put("k", "1")]).await;
    assert_matches!(failure, Err(CommitError::Unknown(error)) if error.fault == DatabaseFault::Timeout);
    assert!(!a.database().is_connected(), "the connection was dropped");
    lock.rollback().await.unwrap();
    assert_eq!(a.resolve(&mut lease).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(contents(&mut a).await, pairs(&[("k", "1")]));
}

#[tokio::test]
async fn a_commit_whose_wait_for_the_standby_was_ended_is_not_taken_for_replicated() {
    if !are_here(&["postgres", "initdb", "psql"]) {
        return;
    }
    let server = Postgres::start(&[]);
    let name = server.new_database();
    let mut a = replica(&server.socket_url(&name), "a").await;
    assert_eq!(a.database().server().await.unwrap().commits, CommitsAre::OnDisk);
    let mut lease = lease_of(&mut a).await;
    let standby = |names: &str| {
        server.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        server.psql("postgres", "SELECT pg_reload_conf()");
    };
    standby("nowhere");
    // Every process of the server reads its settings anew when it gets to it.
    while a.database().server().await.unwrap().commits != CommitsAre::Replicated {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = server.admin(&name).await;
    let cancel = async {
        let waiting =
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while other.query(waiting, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let records = [put("k", "1")];
    let (failure, ()) = tokio::join!(a.commit(&mut lease, &records), cancel);
    assert_matches!(failure, Err(CommitError::Unknown(error)) if error.to_string().contains("standby was ended"));
    a.resolve(&mut lease).await.expect_err("there is no standby");
    standby("");
    let outcome = loop {
        if let Ok(outcome) = a.resolve(&mut lease).await {
            break outcome;
        }
    };
    assert_eq!(outcome, CommitOutcome::Committed);
    assert_eq!(contents(&mut a).await, pairs(&[("k", "1")]));
}

#[tokio::test]
async fn a_reader_gets_what_is_new_deletions_among_it_until_they_are_forgotten() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    assert_eq!(b.load().await.unwrap(), None, "to read a store makes none");
    let mut lease = lease_of(&mut a).await;
    a.commit(&mut lease, &[put("k", "1"), put("l", "1")]).await.unwrap();
    let first = position(&mut b).await;
    assert_eq!(changes(&mut b, first).await, (vec![], first));
    a.commit(&mut lease, &[put("m", "1"), put("k", "2")]).await.unwrap();
    a.commit(&mut lease, &[delete("l")]).await.unwrap();
    let (records, second) = changes(&mut b, first).await;
    assert_eq!(records, [put("k", "2"), delete("l"), put("m", "1")]);
    assert_eq!(second.revision(), 3);
    // A new term changes nothing for who has read all of the old one.
    a.hand_over(lease).await.unwrap();
    let mut lease = lease_of(&mut b).await;
    let (records, third) = changes(&mut a, second).await;
    assert_eq!((records, third.revision()), (vec![], 3));
    b.commit(&mut lease, &[put("k", "3")]).await.unwrap();
    assert_eq!(b.purge(&lease, 3).await.unwrap(), Some(1));
    assert_eq!(b.purge(&lease, 3).await.unwrap(), Some(0));
    assert_eq!(changes(&mut a, third).await.0, [put("k", "3")]);
    assert_matches!(a.read_since(first).await.unwrap(), StoreChanges::TooOld);
    assert_eq!(contents(&mut a).await, pairs(&[("k", "3"), ("m", "1")]));
}

#[tokio::test]
async fn lost_commits_are_noticed_by_leader_and_readers_even_when_the_revision_has_gone_past_them()
{
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let (mut a, mut b, mut c) =
        (replica(&url, "a").await, replica(&url, "b").await, replica(&url, "c").await);
    let mut lease = lease_of(&mut a).await;
    a.commit(&mut lease, &[put("k", "1")]).await.unwrap();
    let kept = position(&mut c).await;
    let tables = ["lease", "terms", "records"];
    for table in tables {
        server.psql(&name, &format!("CREATE TABLE old_{table} AS SELECT * FROM cxone.{table}"));
    }
    a.commit(&mut lease, &[put("k", "2")]).await.unwrap();
    let lost = position(&mut c).await;
    for table in tables {
        let sql = format!(
            "DELETE FROM cxone.{table}; INSERT INTO cxone.{table} SELECT * FROM old_{table}"
        );
        server.psql(&name, &sql);
    }
    assert_matches!(
        a.commit(&mut lease.clone(), &[put("k", "3")]).await,
        Err(CommitError::RolledBack)
    );
    assert_eq!(a.renew(&mut lease.clone()).await.unwrap(), LeaseState::RolledBack);
    assert_eq!(a.submit(&mut lease, "team:7", 10).await.unwrap(), SubmitDecision::RolledBack);
    assert_matches!(c.read_since(lost).await.unwrap(), StoreChanges::RolledBack);

    // Another leader begins where the store is now, and soon has a higher revision.
    server.psql(&name, "UPDATE cxone.lease SET expires_at = '-infinity'");
    let mut of_b = lease_of(&mut b).await;
    for value in ["4", "5", "6"] {
        b.commit(&mut of_b, &[put("k", value)]).await.unwrap();
    }
    b.hand_over(of_b).await.unwrap();
    lease_of(&mut b).await;
    assert_matches!(c.read_since(lost).await.unwrap(), StoreChanges::RolledBack);
    assert_eq!(changes(&mut c, kept).await.0, [put("k", "6")]);
    server.psql(&name, "DELETE FROM cxone.lease");
    assert_matches!(c.read_since(kept).await.unwrap(), StoreChanges::RolledBack);
}

#[tokio::test]
async fn a_standby_that_is_promoted_without_the_last_commits_is_noticed() {
    if !are_here(&["postgres", "initdb", "psql"]) {
        return;
    }
    let mut primary = Postgres::start(&[]);
    let name = primary.new_database();
    let mut standby = primary.new_standby();
    let (first, second) = (primary.port, standby.port);
    let url =
        format!("postgres://cxone@127.0.0.1:{first},127.0.0.1:{second}/{name}?sslmode=disable");
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    let mut lease = lease_of(&mut a).await;
    a.commit(&mut lease, &[put("k", "1"), put("l", "1")]).await.unwrap();
    let kept = position(&mut b).await;
    let arrived = tools::within(Duration::from_secs(10), || {
        // The tables may not have arrived either.
        let tables = "SELECT to_regclass('cxone.lease') IS NOT NULL";
        let revision = || standby.psql(&name, "SELECT max(revision) FROM cxone.lease");
        if standby.psql(&name, tables) == "t" && revision() == "1" { Ok(()) } else { Err(()) }
    });
    assert!(arrived.is_ok(), "the standby follows");
    standby.stop();
    a.commit(&mut lease, &[put("k", "2")]).await.unwrap();
    let lost = position(&mut b).await;
    primary.stop();
    a.renew(&mut lease).await.expect_err("no server runs");
    standby.start_again();
    let error = a.renew(&mut lease).await.expect_err("a standby is not written to");
    assert_eq!(error.fault, DatabaseFault::ReadOnly, "{error}");
    standby.psql("postgres", "SELECT pg_promote()");

    assert_eq!(a.renew(&mut lease).await.unwrap(), LeaseState::RolledBack);
    assert_matches!(a.commit(&mut lease, &[put("k", "3")]).await, Err(CommitError::RolledBack));
    assert_matches!(b.read_since(lost).await.unwrap(), StoreChanges::RolledBack);
    assert_eq!(changes(&mut b, kept).await, (vec![], kept));
    assert_eq!(contents(&mut b).await, pairs(&[("k", "1"), ("l", "1")]));
    // It is still the holder, and begins again where the store is.
    let mut lease = lease_of(&mut a).await;
    assert_eq!(a.commit(&mut lease, &[put("k", "4")]).await.unwrap(), 2);
    assert_matches!(b.read_since(lost).await.unwrap(), StoreChanges::RolledBack);
    assert_eq!(changes(&mut b, kept).await.0, [put("k", "4")]);
}

#[tokio::test]
async fn the_quota_of_submits_is_one_for_all_holders_of_the_lease() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    let mut lease = lease_of(&mut a).await;
    for _ in 0..6 {
        let decision = a.submit(&mut lease, "team:7", 10).await.unwrap();
        let SubmitDecision::Allowed(permit) = decision else { panic!("{decision:?}") };
        let now = Clock::system().uptime();
        assert!(permit.may_leave_at(now) && lease.is_held_at(now));
        assert!(!permit.may_leave_at(now + Duration::from_secs(6)), "too late");
    }
    a.hand_over(lease).await.unwrap();
    let mut lease = lease_of(&mut b).await;
    for _ in 0..4 {
        let decision = b.submit(&mut lease, "team:8", 10).await.unwrap();
        assert_matches!(decision, SubmitDecision::Allowed(_));
    }
    let full = SubmitDecision::OverQuota { used: 10 };
    assert_eq!(b.submit(&mut lease, "team:8", 10).await.unwrap(), full);
    assert_eq!(b.recent_submits().await.unwrap().len(), 10);
    server
        .psql(&name, "UPDATE cxone.submits SET at = at - interval '61 s' WHERE target = 'team:7'");
    for _ in 0..6 {
        let decision = b.submit(&mut lease, "team:8", 10).await.unwrap();
        assert_matches!(decision, SubmitDecision::Allowed(_));
    }
    assert_eq!(b.submit(&mut lease, "team:8", 10).await.unwrap(), full);
    server.psql(&name, "UPDATE cxone.submits SET at = at - interval '1 hour'");
    assert_matches!(b.submit(&mut lease, "t", 1).await.unwrap(), SubmitDecision::Allowed(_));
    assert_eq!(server.psql(&name, "SELECT count(*) FROM cxone.submits"), "1", "old ones go");
}

#[tokio::test]
async fn a_server_that_does_not_answer_hits_the_deadline_and_the_connection_is_dropped() {
    if !are_here(&["postgres", "initdb", "psql"]) {
        return;
    }
    let server = Postgres::start(&[]);
    let name = server.new_database();
    let mut a = replica(&server.socket_url(&name), "a").await;
    let mut lease = lease_of(&mut a).await;
    a.commit(&mut lease, &[put("k", "1")]).await.unwrap();
    assert!(a.database().is_connected());
    server.signal_all(Signal::SIGSTOP);
    let clock = Clock::system();
    let begun = clock.uptime();
    let error = a.renew(&mut lease).await.expect_err("the server is stopped");
    assert_eq!(error.fault, DatabaseFault::Timeout);
    assert!(!a.database().is_connected());
    let error = a.load().await.expect_err("a new connection is not answered either");
    assert_eq!(error.fault, DatabaseFault::Timeout);
    assert_matches!(
        a.commit(&mut lease, &[put("k", "2")]).await,
        Err(CommitError::NotCommitted(_))
    );
    let took = clock.uptime() - begun;
    assert!(took < Duration::from_secs(18), "{took:?}");
    server.signal_all(Signal::SIGCONT);
    assert_eq!(a.commit(&mut lease, &[put("k", "3")]).await.unwrap(), 2);
}

#[tokio::test]
async fn a_host_that_accepts_connections_and_says_nothing_does_not_hide_the_next_one() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let url = format!(
        "postgres://cxone@127.0.0.1:{silent},127.0.0.1:{}/{name}?sslmode=disable",
        server.port
    );
    let mut a = replica(&url, "a").await;
    lease_of(&mut a).await;
}

#[tokio::test]
async fn replicas_that_announce_themselves_are_shown_until_they_leave() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    let mut lease = lease_of(&mut a).await;
    a.commit(&mut lease, &[put("k", "12345")]).await.unwrap();
    a.announce(1).await.unwrap();
    b.announce(0).await.unwrap();
    b.announce(1).await.unwrap();
    let stores = a.database().stores(Some("test")).await.unwrap();
    let [store] = &*stores else { panic!("{stores:?}") };
    assert_eq!((store.revision, store.token, store.records, store.bytes), (1, 1, 1, 6));
    assert!(store.holder == "a" && store.lease_left.is_some());
    let replicas: Vec<_> = store.replicas.iter().map(|it| (&*it.name, it.revision)).collect();
    assert_eq!(replicas, [("a", 1), ("b", 1)]);
    b.leave().await.unwrap();
    assert_eq!(a.database().stores(None).await.unwrap()[0].replicas.len(), 1);
}

#[tokio::test]
async fn a_store_in_use_or_not_empty_is_not_filled() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let (mut a, mut b) = (replica(&url, "a").await, replica(&url, "b").await);
    let lease = lease_of(&mut a).await;
    assert_matches!(b.fill(&[put("k", "1")], &[]).await, Err(FillError::InUse { by, .. }) if by == "a");
    a.hand_over(lease).await.unwrap();
    // One that fails leaves nothing but an empty store, and can be repeated.
    server.psql(&name, "ALTER TABLE cxone.records ADD CHECK (key <> 'l')");
    assert_matches!(b.fill(&[put("k", "1"), put("l", "1")], &[]).await, Err(FillError::Commit(_)));
    assert_eq!(contents(&mut a).await, pairs(&[]));
    b.fill(&[put("k", "1")], &[]).await.unwrap();
    assert_eq!(contents(&mut a).await, pairs(&[("k", "1")]));
    assert_matches!(
        a.fill(&[put("k", "2")], &[]).await,
        Err(FillError::NotEmpty { records: 1, .. })
    );
    assert_matches!(a.take_out().await, Ok(Some(_)));
}

#[tokio::test]
async fn commits_of_every_size_are_one_statement_each() {
    let Some(server) = server() else { return };
    let url = server.socket_url(&server.new_database());
    let mut database = database(&url, Deadlines::default());
    database.init().await.unwrap();
    let mut a = SharedStore::new(database, "test", "a", Clock::system()).unwrap();
    let mut lease = lease_of(&mut a).await;
    let clock = Clock::system();
    for size in [1, 1_000, 30_000] {
        for round in 0..3 {
            let value = format!("{round}{}", "x".repeat(250));
            let records: Vec<Record> =
                (0..size).map(|n| put(&format!("agent-{n:06}"), &value)).collect();
            let begun = clock.uptime();
            a.commit(&mut lease, &records).await.unwrap();
            println!("commit of {size} records: {:?}", clock.uptime() - begun);
        }
    }
    let begun = clock.uptime();
    let loaded = a.load().await.unwrap().unwrap();
    println!("load of {} records: {:?}", loaded.records.len(), clock.uptime() - begun);
    assert_eq!((loaded.records.len(), lease.revision()), (30_000, 9));
}

/// Everything that a store holds but its version.
fn held(store: &mut dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut held = BTreeMap::new();
    store.read(&mut |key, value| drop(held.insert(key.to_vec(), value.to_vec()))).unwrap();
    held.remove(&RecordKey::Version.to_bytes());
    held
}

type Commits = Vec<(Vec<(u8, Option<usize>)>, bool)>;

fn commits() -> impl Strategy<Value = Commits> {
    let record = (0..12_u8, prop::option::of(0..200_usize));
    prop::collection::vec((prop::collection::vec(record, 1..8), any::<bool>()), 1..8)
}

/// Whatever was committed last is what there is, wherever it is opened again.
fn keeps_its_promise(commits: &Commits, open: &mut dyn FnMut() -> Box<dyn Store>) {
    let mut model = BTreeMap::new();
    let mut store = open();
    for (records, is_reopened) in commits {
        let record = |(key, length): &(u8, Option<usize>)| Record {
            key: vec![b'a', *key],
            value: length.map(|length| vec![*key; length]),
        };
        let records: Vec<Record> = records.iter().map(record).collect();
        store.commit(&records).unwrap();
        for Record { key, value } in records {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        if *is_reopened {
            drop(store);
            store = open();
        }
        assert_eq!(held(&mut *store), model);
    }
    assert!(store.size_bytes() > 0 || model.is_empty());
}

#[test]
fn every_kind_of_store_keeps_the_same_promise() {
    let Some(server) = server() else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(6));
    let case = |commits: Commits| {
        let name = server.new_database();
        let url = server.socket_url(&name);
        keeps_its_promise(&commits, &mut || {
            let mut store = runtime.block_on(replica(&url, "a"));
            // The one before has not handed over.
            server.psql(&name, "UPDATE cxone.lease SET expires_at = '-infinity'");
            let lease = runtime.block_on(lease_of(&mut store));
            Box::new(LeaderStore::new(runtime.handle().clone(), store, lease))
        });
        let kept = SharedRecords::default();
        keeps_its_promise(&commits, &mut || Box::new(MemoryStore::on(kept.clone())));
        let folder = tempfile::tempdir().unwrap();
        keeps_its_promise(&commits, &mut || Box::new(DiskStore::open(folder.path()).unwrap()));
        Ok(())
    };
    runner.run(&commits(), case).unwrap();
}

/// A command line of the exporter, with nothing of this environment that it would read.
fn exporter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxone-exporter"));
    for name in ["CXONE_STORAGE_URL", "CXONE_STORAGE_PASSWORD"] {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn said(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit status"), String::from_utf8(text).expect("text"))
}

#[test]
fn ten_that_initialise_a_database_at_once_all_succeed() {
    let Some(server) = server() else { return };
    let url = format!("--storage.url={}", server.socket_url(&server.new_database()));
    let start = |_| {
        let mut command = exporter(&["store", "init", &url]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let children: Vec<_> = (0..10).map(start).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        assert!(output.status.success() && text.contains("initialised: postgres://"), "{text}");
    }
    let (code, text) = said(&mut exporter(&["store", "init", &url]));
    assert!(code == 0 && text.starts_with("already initialised: "), "{text}");
    let (code, text) = said(&mut exporter(&["store", "status", &url]));
    assert!(code == 0 && text.contains("\nstores:      none\n"), "{text}");
}

/// An embedded store with an owner, a submit of now and some more records.
fn embedded(folder: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut store = DiskStore::open(folder).unwrap();
    let owner = Owner { host: "acme.api.cxone.com".into(), client: "my-client".into() };
    let mut records = vec![
        Record::put(&RecordKey::Owner, &owner),
        Record::put(&RecordKey::Submit(Clock::system().now().utc), &()),
    ];
    records.extend((0..3_000_u32).map(|n| Record {
        key: [&b"a"[..], &n.to_be_bytes()].concat(),
        value: Some(n.to_be_bytes().repeat(20)),
    }));
    store.commit(&records).unwrap();
    every_record(&mut store)
}

fn every_record(store: &mut dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    store.read(&mut |key, value| records.push((key.to_vec(), value.to_vec()))).unwrap();
    records.sort();
    records
}

#[test]
fn a_copy_into_a_database_and_back_has_the_same_bytes() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let folder = tempfile::tempdir().unwrap();
    let (from, back) = (folder.path().join("from"), folder.path().join("back"));
    let (from_flag, back_flag) = (from.display().to_string(), back.display().to_string());
    let original = embedded(&from);
    let copy =
        |from: &str, to: &str| said(&mut exporter(&["store", "copy", "--from", from, "--to", to]));

    let (code, text) = copy(&from_flag, &url);
    assert!(code == 1 && text.contains("run `cxone-exporter store init`"), "{text}");
    let flag = format!("--storage.url={url}");
    assert_eq!(said(&mut exporter(&["store", "init", &flag])).0, 0);
    let (code, text) = copy(&from_flag, &url);
    assert!(code == 0 && text.starts_with("copied: 3003 records from "), "{text}");
    assert!(text.contains(" to acme.api.cxone.com/my-client in postgres://"), "{text}");
    assert_eq!(server.psql(&name, "SELECT count(*) FROM cxone.submits"), "1", "the quota is kept");
    let (code, text) = said(&mut exporter(&["store", "status", &flag]));
    for line in [
        "\n  leader:      none; store copy on ",
        "\n  revision:    1\n",
        "\n  records:     3003 (250 KiB)\n",
    ] {
        assert!(code == 0 && text.contains(line), "{line}: {text}");
    }

    let (code, text) = copy(&url, &back_flag);
    assert!(code == 0 && text.starts_with("copied: 3003 records from "), "{text}");
    assert_eq!(every_record(&mut DiskStore::open(&back).unwrap()), original);

    // Neither side is written over, and a store that is in use is left alone.
    let (code, text) = copy(&from_flag, &url);
    assert!(code == 1 && text.contains("is not empty"), "{text}");
    let (code, text) = copy(&url, &back_flag);
    assert!(code == 1 && text.contains("is not empty"), "{text}");
    let open = DiskStore::open(&from).unwrap();
    let (code, text) = copy(&from_flag, &url);
    assert!(code == 1 && text.contains("is used by another process"), "{text}");
    let (code, text) = copy(&url, &from_flag);
    assert!(code == 1 && text.contains("is used by another process"), "{text}");
    drop(open);
    server.psql(&name, "UPDATE cxone.lease SET expires_at = now() + interval '1 min'");
    let elsewhere = folder.path().join("elsewhere").display().to_string();
    let (code, text) = copy(&url, &elsewhere);
    assert!(code == 1 && text.contains("is in use by store copy on "), "{text}");
    assert!(!Path::new(&elsewhere).exists());

    // A store with nothing in it gives way, and submits of the shared store go along.
    server.psql(&name, "UPDATE cxone.lease SET expires_at = '-infinity'");
    server.psql(
        &name,
        "INSERT INTO cxone.submits SELECT store, now() - interval '3 s', 1, 't' FROM cxone.lease",
    );
    drop(DiskStore::open(Path::new(&elsewhere)).unwrap());
    let (code, text) = copy(&url, &elsewhere);
    assert!(code == 0 && text.starts_with("copied: 3004 records from "), "{text}");
    assert_eq!(every_record(&mut DiskStore::open(Path::new(&elsewhere)).unwrap()).len(), 3_004);
}

#[test]
fn a_copy_that_is_killed_is_whole_or_did_not_happen() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    let original = embedded(&from);
    let killed_after = |arguments: &[&str], delay: u64| {
        let mut child = exporter(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for delay in [5, 20, 40, 60, 80, 120, 250] {
        let name = server.new_database();
        let url = server.socket_url(&name);
        let init = format!("--storage.url={url}");
        assert_eq!(said(&mut exporter(&["store", "init", &init])).0, 0);
        let from = from.display().to_string();
        let copy_in = ["store", "copy", "--from", &from, "--to", &url];
        killed_after(&copy_in, delay);
        // What it had sent goes on at the server.
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cxone' AND datname = current_database()";
        while server.psql(&name, idle) != "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
        let records = server.psql(&name, "SELECT count(*) FROM cxone.records");
        assert!(["0", "3003"].contains(&&*records), "{delay} ms: {records}");
        server.psql(&name, "UPDATE cxone.lease SET expires_at = '-infinity'");
        let (code, text) = said(&mut exporter(&copy_in));
        assert_eq!(code == 0, records == "0", "{delay} ms: {records} {text}");

        let back = folder.path().join(format!("back-{delay}"));
        let to = back.display().to_string();
        let copy_out = ["store", "copy", "--from", &url, "--to", &to];
        killed_after(&copy_out, delay);
        let is_there = back.join("cxone-exporter.redb").exists();
        server.psql(&name, "UPDATE cxone.lease SET expires_at = '-infinity'");
        let (code, text) = said(&mut exporter(&copy_out));
        assert_eq!(code == 0, !is_there, "{delay} ms: {text}");
        assert_eq!(every_record(&mut DiskStore::open(&back).unwrap()), original);
    }
}

#[test]
fn a_copy_names_what_it_cannot_guess() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let url = server.socket_url(&name);
    let folder = tempfile::tempdir().unwrap();
    let nameless = folder.path().join("nameless");
    drop(DiskStore::open(&nameless).unwrap());
    let (nameless, back) =
        (nameless.display().to_string(), folder.path().join("back").display().to_string());
    let flag = format!("--storage.url={url}");
    assert_eq!(said(&mut exporter(&["store", "init", &flag])).0, 0);
    let copy = |arguments: &[&str]| said(exporter(&["store", "copy"]).args(arguments));
    let wrong = [
        (vec!["--from", &nameless, "--to", &url], 64, "--storage.name: give the store a name"),
        (vec!["--from", &url, "--to", &back], 1, "there is no store"),
        (vec!["--from", &url, "--to", &back, "--storage.name=x"], 1, "there is no store x"),
        (vec!["--from", &back, "--to", &url], 1, "there is no store"),
        (vec!["--from", &url, "--to", &url], 64, "one must be a folder and the other a URL"),
        (vec!["--from", &nameless, "--to", &back], 64, "one must be a folder"),
    ];
    for (arguments, status, text) in wrong {
        let (code, said) = copy(&arguments);
        assert!(code == status && said.contains(text), "{arguments:?}: {code} {said}");
    }
    for store in ["--storage.name=one", "--storage.name=two"] {
        let (code, said) = copy(&["--from", &nameless, "--to", &url, store]);
        assert_eq!(code, 0, "{said}");
    }
    let (code, said_) = copy(&["--from", &url, "--to", &back]);
    assert!(code == 64 && said_.contains("--storage.name: give one of one, two"), "{said_}");
    assert_eq!(copy(&["--from", &url, "--to", &back, "--storage.name=two"]).0, 0);
    let (code, said_) = said(&mut exporter(&["store", "status", &flag, "--storage.name=three"]));
    assert!(code == 1 && said_.contains("there is no store three"), "{said_}");
    server.psql(&name, "UPDATE cxone.records SET value = '\\x63' WHERE key = 'v'");
    let elsewhere = folder.path().join("elsewhere").display().to_string();
    let (code, said_) = copy(&["--from", &url, "--to", &elsewhere, "--storage.name=two"]);
    assert!(code == 1 && said_.contains("records of another version"), "{said_}");
}

#[test]
fn what_is_wrong_with_the_way_to_the_database_is_named_with_what_to_do_and_no_secret() {
    let Some(server) = server() else { return };
    let name = server.new_database();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("--storage.password-file={}", path.display())
    };
    let (good, wrong) =
        (file("good", &format!("{PASSWORD}\n")), file("wrong", "S3cret-of-another\n"));
    let port = server.port;
    let authority = server.authority().display().to_string();
    let tls = |host: &str, query: &str| {
        format!("--storage.url=postgres://cxone@{host}:{port}/{name}?{query}")
    };
    let trusted = format!("sslrootcert={authority}");
    let init = |url: &str, password: &str| {
        said(exporter(&["store", "init", url, password]).env("SSL_CERT_FILE", "/dev/null"))
    };

    // Each of these reaches it.
    let by_environment = said(
        exporter(&["store", "init"])
            .env("CXONE_STORAGE_URL", tls("localhost", &trusted).split_once('=').unwrap().1)
            .env("CXONE_STORAGE_PASSWORD", PASSWORD),
    );
    assert_eq!(by_environment.0, 0, "{}", by_environment.1);
    for query in [
        trusted.clone(),
        format!("sslmode=verify-ca&{trusted}"),
        "sslmode=require".to_owned(),
        "sslmode=disable".to_owned(),
    ] {
        let (code, text) = init(&tls("localhost", &query), &good);
        assert_eq!(code, 0, "{query}: {text}");
    }
    let (code, text) = init(&tls("127.0.0.1", &format!("sslmode=verify-ca&{trusted}")), &good);
    assert_eq!(code, 0, "verify-ca takes a certificate of another name: {text}");

    let public = format!("--storage.url=postgres://cxone:S3cret-in-url@localhost:{port}/{name}");
    let missing = format!("--storage.password-file={}", folder.path().join("none").display());
    let cases = [
        (
            tls("localhost", &trusted),
            &wrong,
            1,
            "password authentication failed",
            "--storage.password-file",
        ),
        (tls("127.0.0.1", &trusted), &good, 1, "not valid for name", "sslmode=verify-ca"),
        (tls("localhost", "sslmode=verify-full"), &good, 1, "UnknownIssuer", "sslrootcert=FILE"),
        (
            tls("localhost", &format!("sslrootcert={}", other_authority(folder.path()))),
            &good,
            1,
            "invalid peer certificate",
            "sslrootcert=FILE",
        ),
        (
            tls("localhost", "sslrootcert=/dev/null/ca.pem"),
            &good,
            1,
            "sslrootcert: /dev/null/ca.pem cannot be read",
            "sslrootcert=FILE",
        ),
        (
            tls("localhost", "sslmode=prefer"),
            &good,
            64,
            "falls back to plain text",
            "disable where the network is trusted",
        ),
        (tls("name.invalid", "sslmode=disable"), &good, 1, "lookup", "check host and port"),
        (
            format!("--storage.url=postgres://cxone@localhost:1/{name}?sslmode=disable"),
            &good,
            1,
            "refused",
            "listens there",
        ),
        (
            format!("--storage.url=postgres://cxone@localhost:{port}/absent?sslmode=disable"),
            &good,
            1,
            "\"absent\" does not exist",
            "create the database",
        ),
        (
            format!("--storage.url=postgres://nobody@localhost:{port}/{name}?sslmode=disable"),
            &good,
            1,
            "nobody",
            "check the user",
        ),
        (public, &good, 64, "holds a password", "--storage.password-file"),
        (
            tls("localhost", "sslmode=disable"),
            &missing,
            64,
            "cannot be read",
            "--storage.password-file",
        ),
    ];
    for (url, password, status, detail, advice) in cases {
        let (code, text) = init(&url, password);
        assert_eq!(code, status, "{url}: {text}");
        assert!(
            text.contains(detail) && text.contains(advice),
            "{url}: {detail}, {advice}: {text}"
        );
        assert!(!text.contains("S3cret") && !text.contains(PASSWORD), "{text}");
    }
    let (code, text) = said(&mut exporter(&["store", "init"]));
    assert!(code == 64 && text.contains("CXONE_STORAGE_URL"), "{text}");
    let (code, text) =
        said(&mut exporter(&["store", "init", &tls("localhost", "sslmode=disable")]));
    assert!(
        code == 1 && text.contains("password") && text.contains("CXONE_STORAGE_PASSWORD"),
        "{text}"
    );

    // A user without rights, and one that may only use what is there.
    server.psql(&name, "CREATE ROLE guest LOGIN");
    let guest = server.socket_url(&name).replace("cxone@", "guest@");
    let (code, text) = said(&mut exporter(&["store", "status", &format!("--storage.url={guest}")]));
    assert!(code == 1 && text.contains("permission denied") && text.contains("grant it"), "{text}");
    server.psql(
        &name,
        "GRANT USAGE ON SCHEMA cxone TO guest; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA cxone TO guest",
    );
    let (code, text) = said(&mut exporter(&["store", "init", &format!("--storage.url={guest}")]));
    assert!(code == 0 && text.starts_with("already initialised"), "{text}");
}

/// The certificate of an authority that has issued nothing.
fn other_authority(folder: &Path) -> String {
    let file = folder.join("other.pem");
    let certificate = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    std::fs::write(&file, certificate.cert.pem()).unwrap();
    file.display().to_string()
}
