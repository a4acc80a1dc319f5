//! Passwords: bcrypt off the tasks' threads, one at a time, and what was right before at once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::client::Client;
use crate::config::web::PasswordHash;
use crate::tasks;

/// How many unproven passwords of one client may wait for bcrypt.
const WAITING_OF_ONE: usize = 4;

/// How many of all clients may.
const WAITING: usize = 64;

/// What came of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this user's.
    Right(String),
    /// It is not, or there is no such user, or nothing was said.
    Wrong,
    /// Too many are waiting to be tried.
    Busy,
}

/// Checks passwords.
///
/// What was right is kept as a tag under a key of this process, so that no password is in memory:
/// one for each user, so that no stranger can push it out. What was wrong is not kept; strangers
/// wait in a queue of their own for each try.
#[derive(Debug)]
pub(super) struct Passwords {
    key: hmac::Key,
    right: Arc<Mutex<BTreeMap<String, hmac::Tag>>>,
    one_at_a_time: Arc<Semaphore>,
    waiting: Mutex<HashMap<Client, usize>>,
    /// Which user's hash stands in for that of a user who is not there.
    stand_in: RandomState,
}

impl Passwords {
    /// None is known yet.
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system has random numbers");
        let (right, waiting) = (Arc::default(), Mutex::default());
        Self {
            key,
            right,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            waiting,
            stand_in: RandomState::new(),
        }
    }

    /// Whether the credentials in `headers` are those of one of `users`. An unknown user takes as
    /// long as one of the known ones.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        client: Client,
        headers: &HeaderMap,
    ) -> Verdict {
        let Some((user, password)) = credentials(headers) else { return Verdict::Wrong };
        let Some(hash) = users.get(&user).or_else(|| self.stand_in_for(&user, users)) else {
            return Verdict::Wrong;
        };
        let known = users.contains_key(&user);
        let proof = proof(&user, hash, &password);
        if known && self.was_right(&user, &proof) {
            return Verdict::Right(user);
        }
        let Some(_waiting) = Waiting::begin(&self.waiting, client) else { return Verdict::Busy };
        let turn = Arc::clone(&self.one_at_a_time)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        // Another request with the same password may have been before this one in the queue.
        if known && self.was_right(&user, &proof) {
            return Verdict::Right(user);
        }
        let hash = hash.clone();
        let (right, tag) = (Arc::clone(&self.right), hmac::sign(&self.key, &proof));
        let name = user.clone();
        let is_right = tasks::off_thread(move || {
            // Held until bcrypt is done, even if the client goes away meanwhile.
            let _turn = turn;
            let is_right = bcrypt::verify(&password, hash.as_str()).unwrap_or(false) && known;
            if is_right {
                lock(&right).insert(name, tag);
            }
            is_right
        });
        if is_right.await { Verdict::Right(user) } else { Verdict::Wrong }
    }

    fn was_right(&self, user: &str, proof: &[u8]) -> bool {
        lock(&self.right)
            .get(user)
            .is_some_and(|tag| hmac::verify(&self.key, proof, tag.as_ref()).is_ok())
    }

    /// Always the same for the same name, so that an unknown user's time has as little spread as a
    /// known one's.
    fn stand_in_for<'a>(
        &self,
        user: &str,
        users: &'a BTreeMap<String, PasswordHash>,
    ) -> Option<&'a PasswordHash> {
        let count = u64::try_from(users.len()).ok().filter(|count| *count > 0)?;
        users.values().nth(usize::try_from(self.stand_in.hash_one(user) % count).ok()?)
    }

    /// Forgets the users that are not among `users`.
    pub(super) fn keep(&self, users: &BTreeMap<String, PasswordHash>) {
        lock(&self.right).retain(|user, _| users.contains_key(user));
    }
}

/// What is signed: the hash is in it, so that a changed one is tried anew.
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

/// A place in the queue for bcrypt; given back when dropped.
struct Waiting<'a> {
    queue: &'a Mutex<HashMap<Client, usize>>,
    client: Client,
}

impl<'a> Waiting<'a> {
    fn begin(queue: &'a Mutex<HashMap<Client, usize>>, client: Client) -> Option<Self> {
        let mut waiting = lock(queue);
        if waiting.values().sum::<usize>() >= WAITING
            || waiting.get(&client).is_some_and(|own| *own >= WAITING_OF_ONE)
        {
            return None;
        }
        *waiting.entry(client).or_default() += 1;
        drop(waiting);
        Some(Self { queue, client })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.queue);
        if let Some(own) = waiting.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}
