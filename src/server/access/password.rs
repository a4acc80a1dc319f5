//! PasswordChecker: bcrypt off the tasks' threads, one at a time, and what was right before at once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::super::admission::Peer;
use crate::config::web::PasswordHash;
use crate::tasks;

/// Maximum number of unproven passwords of one client that wait for bcrypt.
const MAX_WAITING_PER_PEER: usize = 4;

/// The same of all clients.
const MAX_WAITING: usize = 64;

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum PasswordCheck {
    /// The password is this user's.
    Valid(String),
    /// It is not, there is no such user, or there are no credentials.
    Invalid,
    /// Too many are waiting to be checked.
    Overloaded,
}

/// Checks passwords.
///
/// A valid password is kept as an HMAC under a key of this process, so that no password stays in
/// memory: one for each user, so that no stranger can evict it. Invalid passwords are not kept;
/// each attempt of a stranger waits for bcrypt in a queue of bounded length.
#[derive(Debug)]
pub(in super::super) struct PasswordChecker {
    key: hmac::Key,
    known: Arc<Mutex<BTreeMap<String, hmac::Tag>>>,
    one_at_a_time: Arc<Semaphore>,
    waiting: Mutex<HashMap<Peer, usize>>,
    /// Chooses whose hash stands in for that of an unknown user.
    stand_in: RandomState,
}

impl PasswordChecker {
    pub(in super::super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system has random numbers");
        Self {
            key,
            known: Arc::default(),
            one_at_a_time: Arc::new(Semaphore::new(1)),
            waiting: Mutex::default(),
            stand_in: RandomState::new(),
        }
    }

    /// Whether the credentials in `headers` are those of one of `users`. An unknown user takes as
    /// long as one of the known ones.
    pub(in super::super) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        peer: Peer,
        headers: &HeaderMap,
    ) -> PasswordCheck {
        let Some((user, password)) = credentials(headers) else { return PasswordCheck::Invalid };
        let Some(hash) = users.get(&user).or_else(|| self.stand_in_for(&user, users)) else {
            return PasswordCheck::Invalid;
        };
        let exists = users.contains_key(&user);
        let proof = proof(&user, hash, &password);
        if exists && self.is_known(&user, &proof) {
            return PasswordCheck::Valid(user);
        }
        let Some(_position) = QueuePosition::take(&self.waiting, peer) else {
            return PasswordCheck::Overloaded;
        };
        let turn = Arc::clone(&self.one_at_a_time)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        // Another request with the same password may have been ahead in the queue.
        if exists && self.is_known(&user, &proof) {
            return PasswordCheck::Valid(user);
        }
        let hash = hash.clone();
        let (known, tag) = (Arc::clone(&self.known), hmac::sign(&self.key, &proof));
        let name = user.clone();
        let is_valid = tasks::off_thread(move || {
            // Held until bcrypt is done, even if the client goes away meanwhile.
            let _turn = turn;
            let is_valid = bcrypt::verify(&password, hash.as_str()).unwrap_or(false) && exists;
            if is_valid {
                lock(&known).insert(name, tag);
            }
            is_valid
        });
        if is_valid.await { PasswordCheck::Valid(user) } else { PasswordCheck::Invalid }
    }

    fn is_known(&self, user: &str, proof: &[u8]) -> bool {
        lock(&self.known)
            .get(user)
            .is_some_and(|tag| hmac::verify(&self.key, proof, tag.as_ref()).is_ok())
    }

    /// Always the same for the same name, so that the time of an unknown user has as little spread
    /// as that of a known one.
    fn stand_in_for<'a>(
        &self,
        user: &str,
        users: &'a BTreeMap<String, PasswordHash>,
    ) -> Option<&'a PasswordHash> {
        let count = u64::try_from(users.len()).ok().filter(|count| *count > 0)?;
        users.values().nth(usize::try_from(self.stand_in.hash_one(user) % count).ok()?)
    }

    /// Forgets the users that are not among `users`.
    pub(super) fn retain(&self, users: &BTreeMap<String, PasswordHash>) {
        lock(&self.known).retain(|user, _| users.contains_key(user));
    }
}

/// What is signed. It contains the hash, so that a changed one is checked anew.
fn proof(user: &str, hash: &PasswordHash, password: &[u8]) -> Vec<u8> {
    [
        user.len().to_be_bytes().as_slice(),
        user.as_bytes(),
        hash.as_str().as_bytes(),
        b"\0",
        password,
    ]
    .concat()
}

/// User and password from the header `Authorization`.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A position in the queue for bcrypt; free again when dropped.
struct QueuePosition<'a> {
    queue: &'a Mutex<HashMap<Peer, usize>>,
    peer: Peer,
}

impl<'a> QueuePosition<'a> {
    fn take(queue: &'a Mutex<HashMap<Peer, usize>>, peer: Peer) -> Option<Self> {
        let mut waiting = lock(queue);
        if waiting.values().sum::<usize>() >= MAX_WAITING
            || waiting.get(&peer).is_some_and(|own| *own >= MAX_WAITING_PER_PEER)
        {
            return None;
        }
        *waiting.entry(peer).or_default() += 1;
        drop(waiting);
        Some(Self { queue, peer })
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.queue);
        if let Some(own) = waiting.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.peer);
            }
        }
    }
}
