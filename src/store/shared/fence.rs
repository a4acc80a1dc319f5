//! What an answer of the database, or the lack of one, means for whoever holds the lease: pure.

use std::fmt;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// A random number that one process has for as long as it runs.
///
/// The token alone fences nobody: after a failover that lost commits, the new primary issues numbers
/// that the old one has issued before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HolderId([u8; 16]);

impl HolderId {
    /// A new one.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// The id that PostgreSQL wrote in its usual form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

/// As PostgreSQL reads a UUID.
impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderId({self})")
    }
}

/// The right to write, as its holder knows it. Every write carries token, holder and revision, and
/// does nothing unless all three are those of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub(super) token: i64,
    pub(super) holder: HolderId,
    pub(super) revision: i64,
    /// Until when, in time since the machine started.
    pub(super) held_until: Duration,
    /// Whether nobody knows what became of the last commit.
    pub(super) is_unresolved: bool,
}

impl Lease {
    /// The number of this holding of the lease; later ones have larger numbers.
    #[must_use]
    pub const fn token(&self) -> i64 {
        self.token
    }

    /// The number of the last commit.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether nobody else can hold it at `uptime`, which is [`crate::clock::Clock::uptime`].
    /// Reckoned from before the last renewal was sent, so it ends here before it does at the
    /// database.
    #[must_use]
    pub fn is_held_at(&self, uptime: Duration) -> bool {
        uptime < self.held_until
    }

    /// Whether the outcome of the last commit is unknown: resolve it first.
    #[must_use]
    pub const fn is_unresolved(&self) -> bool {
        self.is_unresolved
    }
}

/// The lease as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObservedLease {
    pub(super) token: i64,
    pub(super) holder: HolderId,
    pub(super) revision: i64,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It was kept.
    Committed,
    /// Nothing of it was kept; the lease is still held.
    NotCommitted,
    /// Somebody else has the lease.
    Fenced,
    /// The database lost commits that it had confirmed.
    RolledBack,
}

/// Whether the lease is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It is.
    Held,
    /// Somebody else has it.
    Fenced,
    /// The database lost commits that it had confirmed.
    RolledBack,
}

/// What a write that matched nothing means. It wrote nothing, whatever the lease says now.
pub(super) fn after_refusal(lease: &Lease, observed: Option<ObservedLease>) -> LeaseState {
    match observed {
        Some(observed) if observed.revision >= lease.revision => LeaseState::Fenced,
        // A store that is gone has lost everything.
        Some(_) | None => LeaseState::RolledBack,
    }
}

/// What became of a commit that nobody answered. `observed` was read after no earlier write of this
/// holder could succeed any more.
pub(super) fn after_silence(lease: &Lease, observed: Option<ObservedLease>) -> CommitOutcome {
    let Some(observed) = observed else { return CommitOutcome::RolledBack };
    match observed.revision - lease.revision {
        ..=-1 => CommitOutcome::RolledBack,
        // Of a commit before the takeover nobody needs to know: the new holder has read it, or not.
        _ if observed.holder != lease.holder => CommitOutcome::Fenced,
        0 => CommitOutcome::NotCommitted,
        1 => CommitOutcome::Committed,
        // Nobody but the holder commits, and one commit at a time.
        2.. => CommitOutcome::Fenced,
    }
}

/// What a renewal that matched found.
pub(super) fn after_renewal(lease: &Lease, revision: i64) -> LeaseState {
    let newest = lease.revision + i64::from(lease.is_unresolved);
    if revision < lease.revision {
        LeaseState::RolledBack
    } else if revision <= newest {
        LeaseState::Held
    } else {
        LeaseState::Fenced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: HolderId = HolderId([1; 16]);
    const OTHER: HolderId = HolderId([2; 16]);

    fn lease() -> Lease {
        Lease {
            token: 7,
            holder: ME,
            revision: 100,
            held_until: Duration::from_secs(15),
            is_unresolved: false,
        }
    }

    fn observed(holder: HolderId, token: i64, revision: i64) -> Option<ObservedLease> {
        Some(ObservedLease { token, holder, revision })
    }

    #[test]
    fn an_unanswered_commit_was_kept_only_if_the_same_holder_is_one_revision_further() {
        let outcome = |observed| after_silence(&lease(), observed);
        assert_eq!(outcome(observed(ME, 8, 101)), CommitOutcome::Committed);
        assert_eq!(outcome(observed(ME, 8, 100)), CommitOutcome::NotCommitted);
        assert_eq!(outcome(observed(ME, 8, 102)), CommitOutcome::Fenced);
        for revision in [100, 101, 500] {
            assert_eq!(outcome(observed(OTHER, 8, revision)), CommitOutcome::Fenced);
        }
    }

    #[test]
    fn a_revision_below_one_that_was_confirmed_is_a_rollback_whoever_holds_the_lease() {
        for holder in [ME, OTHER] {
            assert_eq!(after_silence(&lease(), observed(holder, 7, 99)), CommitOutcome::RolledBack);
            assert_eq!(after_refusal(&lease(), observed(holder, 7, 99)), LeaseState::RolledBack);
        }
        assert_eq!(after_silence(&lease(), None), CommitOutcome::RolledBack);
        assert_eq!(after_refusal(&lease(), None), LeaseState::RolledBack);
        assert_eq!(after_renewal(&lease(), 99), LeaseState::RolledBack);
    }

    #[test]
    fn a_refused_commit_is_never_taken_for_a_kept_one() {
        // An earlier commit whose outcome was unknown may have brought the revision further.
        for (holder, token, revision) in [(ME, 7, 101), (ME, 8, 100), (OTHER, 7, 100)] {
            let state = after_refusal(&lease(), observed(holder, token, revision));
            assert_eq!(state, LeaseState::Fenced, "{holder:?} {token} {revision}");
        }
    }

    #[test]
    fn a_renewal_allows_one_more_revision_only_while_a_commit_is_unresolved() {
        assert_eq!(after_renewal(&lease(), 100), LeaseState::Held);
        assert_eq!(after_renewal(&lease(), 101), LeaseState::Fenced);
        let unresolved = Lease { is_unresolved: true, ..lease() };
        assert_eq!(after_renewal(&unresolved, 101), LeaseState::Held);
        assert_eq!(after_renewal(&unresolved, 102), LeaseState::Fenced);
    }

    #[test]
    fn a_lease_is_held_until_its_end_and_not_longer() {
        assert!(lease().is_held_at(Duration::from_millis(14_999)));
        assert!(!lease().is_held_at(Duration::from_secs(15)));
    }

    #[test]
    fn a_holder_is_read_as_postgresql_writes_it() {
        let id = HolderId::random();
        assert_ne!(id, HolderId::random());
        let text = id.to_string();
        let dashed =
            [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-");
        assert_eq!(HolderId::parse(&dashed), Some(id));
        assert_eq!(HolderId::parse("x"), None);
    }
}
