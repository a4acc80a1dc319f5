//! The store that replicas share: records in a PostgreSQL database.
//!
//! One replica has the **lease** and is the only one to write. Every write names the token of the
//! lease, its holder and the revision that it follows, in one statement that does nothing unless all
//! three are the store's: a replica that was stopped, or cut off, and comes back late writes nothing.
//! The others read what is newer than what they have.
//!
//! Every call has a deadline. When it passes, or anything else goes wrong, the connection is dropped,
//! and the next call makes a new one. What then became of a commit is unknown until
//! [`SharedStore::resolve`] has found out.

mod fault;
mod fence;
mod leader;
mod session;
mod sql;
mod tls;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Config, Error, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::clock::Clock;
use cxone_core::counts::Record;

pub use fault::{DatabaseFault, SharedStoreError};
pub use fence::{CommitOutcome, HolderId, Lease, LeaseState};
pub use leader::LeaderStore;
pub use url::{Encryption, StoreUrl};

use fence::{ObservedLease, after_refusal, after_renewal, after_silence};
use session::{Durability, Parameters, Session};

/// How long a lease lasts unless it is renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(15);

/// How often it should be renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// For how long a submit may leave after it was counted. A process that was stopped in between must
/// not send it: the minute that it was counted in is over.
pub const SUBMIT_WITHIN: Duration = Duration::from_secs(5);

/// The longest name of a store, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// How many bytes of records fit into one commit: PostgreSQL takes messages of less than 1 GiB.
const MAX_COMMIT_BYTES: usize = 768 * 1024 * 1024;

/// How long each kind of call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// To connect to one host, TLS and login included.
    pub connect: Duration,
    /// A statement that reads or writes a few rows.
    pub call: Duration,
    /// A commit.
    pub commit: Duration,
    /// A read or write of everything.
    pub whole: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            call: Duration::from_secs(5),
            commit: Duration::from_secs(10),
            whole: Duration::from_secs(600),
        }
    }
}

/// A database that holds shared stores. It is connected to when it is first used.
pub struct SharedDatabase {
    url: StoreUrl,
    hosts: Vec<Config>,
    /// The index of the host that is tried first: the one that was connected to last.
    first_host: usize,
    tls: MakeRustlsConnect,
    deadlines: Deadlines,
    /// Taken out for every call and put back when it has succeeded: whatever ends a call, if only that
    /// its future is dropped, ends the connection as well.
    session: Option<Session>,
}

impl fmt::Debug for SharedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDatabase")
            .field("url", &self.url)
            .field("is_connected", &self.session.is_some())
            .finish_non_exhaustive()
    }
}

/// A call that failed.
struct CallFailure {
    error: SharedStoreError,
    /// Whether the server may have carried it out all the same.
    may_have_happened: bool,
}

impl From<CallFailure> for SharedStoreError {
    fn from(failure: CallFailure) -> Self {
        failure.error
    }
}

/// The rows of a statement.
struct Answer {
    rows: Vec<Row>,
    durability: Durability,
}

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Its version.
    pub version: String,
    /// What a commit that it confirms has survived.
    pub commits: CommitsAre,
    /// How large the records of all stores are on its disk, in bytes.
    pub table_bytes: i64,
}

/// What a confirmed commit has survived, by the server's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitsAre {
    /// It is on a standby, too.
    Replicated,
    /// It is on the server's disk.
    OnDisk,
    /// It is in the server's memory.
    InMemory,
}

/// One store in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedStoreStatus {
    /// Its name.
    pub name: String,
    /// The format of its tables.
    pub format: i32,
    /// How often the lease was taken.
    pub token: i64,
    /// The number of its last commit.
    pub revision: i64,
    /// Who has the lease, or had it last.
    pub holder: String,
    /// For how much longer, if the lease is held.
    pub lease_left: Option<Duration>,
    /// How many records it has.
    pub records: i64,
    /// How long their keys and values are, in bytes.
    pub bytes: i64,
    /// How many submits there were in the last minute.
    pub submits: i64,
    /// The replicas that have announced themselves in the last minute.
    pub replicas: Vec<ReplicaStatus>,
}

/// A replica that uses a store.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaStatus {
    /// Its name.
    pub name: String,
    /// The revision that it has.
    pub revision: i64,
    /// How long ago it announced itself.
    pub seen_ago: Duration,
}

impl SharedDatabase {
    /// The database at `url`, with `password` where the URL has none. Connects to nothing yet.
    ///
    /// # Errors
    /// When the authorities that the server is verified with cannot be read.
    pub fn new(
        url: StoreUrl,
        password: Option<&SecretString>,
        deadlines: Deadlines,
    ) -> Result<Self, SharedStoreError> {
        let tls = tls::client_config(&url).map_err(|detail| {
            let advice = "name the file of the server's authority in the URL: sslrootcert=FILE";
            SharedStoreError::new(&url, DatabaseFault::Tls, detail, advice)
        })?;
        let mut hosts = url.hosts();
        if let Some(password) = password {
            for host in &mut hosts {
                host.password(password.expose_secret());
            }
        }
        let tls = MakeRustlsConnect::new(tls);
        Ok(Self { url, hosts, first_host: 0, tls, deadlines, session: None })
    }

    /// Its URL.
    #[must_use]
    pub const fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Whether there is a connection.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Creates what the stores need, and says whether anything was missing. Any number of processes
    /// may do so at once.
    ///
    /// # Errors
    /// When the database cannot be used, or the user may not create a schema.
    pub async fn init(&mut self) -> Result<bool, SharedStoreError> {
        let answer = self.call(self.deadlines.call, sql::IS_INITIALISED, &[]).await?;
        if self.column(first(&answer.rows), 0)? {
            return Ok(false);
        }
        let mut session = self.ready_session().await?;
        // Nine others may be at it.
        let limit = self.deadlines.call * 10;
        match timeout(limit, session.execute_all(sql::INIT)).await {
            Ok(Ok(_)) => self.session = Some(session),
            Ok(Err(error)) => return Err(SharedStoreError::of(&self.url, &error)),
            Err(_) => return Err(SharedStoreError::timeout(&self.url, limit)),
        }
        Ok(true)
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn server(&mut self) -> Result<DatabaseStatus, SharedStoreError> {
        let answer = self.call(self.deadlines.call, sql::SERVER, &[]).await?;
        let row = first(&answer.rows);
        let waits: String = self.column(row, 2)?;
        let commits = match (&*waits, self.column(row, 1)?) {
            ("off", _) => CommitsAre::InMemory,
            ("local", _) | (_, false) => CommitsAre::OnDisk,
            (_, true) => CommitsAre::Replicated,
        };
        let (version, table_bytes) = (self.column(row, 0)?, self.column(row, 3)?);
        Ok(DatabaseStatus { version, commits, table_bytes })
    }

    /// The store called `name`, if it is there, or all stores.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn stores(
        &mut self,
        name: Option<&str>,
    ) -> Result<Vec<SharedStoreStatus>, SharedStoreError> {
        let whole = self.deadlines.whole;
        let stores = self.call(whole, sql::STORES, &[(&name, Type::TEXT)]).await?;
        let replicas =
            self.call(self.deadlines.call, sql::REPLICAS, &[(&name, Type::TEXT)]).await?;
        let mut by_store: BTreeMap<String, Vec<ReplicaStatus>> = BTreeMap::new();
        for row in &replicas.rows {
            let row = Some(row);
            let replica = ReplicaStatus {
                name: self.column(row, 1)?,
                revision: self.column(row, 2)?,
                seen_ago: seconds(self.column(row, 3)?),
            };
            by_store.entry(self.column(row, 0)?).or_default().push(replica);
        }
        let mut found = Vec::new();
        for row in &stores.rows {
            let row = Some(row);
            let name: String = self.column(row, 0)?;
            let replicas = by_store.remove(&name).unwrap_or_default();
            found.push(SharedStoreStatus {
                name,
                format: self.column(row, 1)?,
                token: self.column(row, 2)?,
                revision: self.column(row, 3)?,
                holder: self.column(row, 4)?,
                lease_left: self.column::<Option<f64>>(row, 5)?.map(seconds),
                records: self.column(row, 6)?,
                bytes: self.column(row, 7)?,
                submits: self.column(row, 8)?,
                replicas,
            });
        }
        Ok(found)
    }

    /// Ends the connection, if there is one.
    pub async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // A server that does not answer notices by itself.
            let _closed = timeout(self.deadlines.call, session.close()).await;
        }
    }

    async fn call(
        &mut self,
        limit: Duration,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Answer, CallFailure> {
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            Ok(())
        };
        let durability = self.call_for_each(limit, sql, parameters, &mut keep).await?;
        Ok(Answer { rows, durability })
    }

    /// Runs one statement within `limit`. The connection is kept only if it was answered, and as
    /// the database promises.
    async fn call_for_each(
        &mut self,
        limit: Duration,
        sql: &str,
        parameters: &Parameters<'_>,
        each: &mut (dyn FnMut(Row) -> Result<(), Error> + Send),
    ) -> Result<Durability, CallFailure> {
        let mut session = self
            .ready_session()
            .await
            .map_err(|error| CallFailure { error, may_have_happened: false })?;
        match timeout(limit, session.query(sql, parameters, each)).await {
            Ok(Ok(durability)) => {
                if durability == Durability::AsConfigured {
                    self.session = Some(session);
                }
                Ok(durability)
            }
            Ok(Err(error)) => Err(CallFailure {
                may_have_happened: !fault::is_rejection(&error),
                error: SharedStoreError::of(&self.url, &error),
            }),
            Err(_) => Err(CallFailure {
                error: SharedStoreError::timeout(&self.url, limit),
                may_have_happened: true,
            }),
        }
    }

    async fn ready_session(&mut self) -> Result<Session, SharedStoreError> {
        if let Some(mut session) = self.session.take()
            && session.is_open()
        {
            return Ok(session);
        }
        let mut failure = None;
        for index in (0..self.hosts.len()).map(|step| (self.first_host + step) % self.hosts.len()) {
            let limit = self.deadlines.connect;
            match timeout(limit, Session::open(&self.hosts[index], self.tls.clone())).await {
                Ok(Ok(session)) => {
                    self.first_host = index;
                    return Ok(session);
                }
                Ok(Err(error)) => failure = Some(SharedStoreError::of(&self.url, &error)),
                Err(_) => failure = Some(SharedStoreError::timeout(&self.url, limit)),
            }
        }
        // A URL names at least one host.
        Err(failure.unwrap_or_else(|| SharedStoreError::timeout(&self.url, Duration::ZERO)))
    }

    fn column<'a, T: FromSql<'a>>(
        &self,
        row: Option<&'a Row>,
        index: usize,
    ) -> Result<T, SharedStoreError> {
        let unexpected = |detail: String| {
            let advice = "install the same version of the exporter everywhere";
            SharedStoreError::new(&self.url, DatabaseFault::Format, detail, advice)
        };
        let row = row.ok_or_else(|| unexpected("a row is missing".to_owned()))?;
        row.try_get(index).map_err(|error| unexpected(error.to_string()))
    }
}

fn first(rows: &[Row]) -> Option<&Row> {
    rows.first()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// One store in a database, as one process uses it.
#[derive(Debug)]
pub struct SharedStore {
    database: SharedDatabase,
    name: String,
    holder: HolderId,
    replica: String,
    clock: Clock,
    ttl: Duration,
}

/// What came of the attempt to take the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It is ours.
    Taken(Lease),
    /// Somebody has it.
    HeldBy {
        /// The name of who has it.
        name: String,
        /// For how much longer, unless it is renewed.
        left: Duration,
    },
}

/// Why a commit did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it was kept, and the lease is still held.
    #[error("{0}")]
    NotCommitted(SharedStoreError),
    /// Nobody knows whether it was kept: [`SharedStore::resolve`] finds out. Until then nothing else
    /// is committed.
    #[error("whether the commit was kept is not known: {0}")]
    Unknown(SharedStoreError),
    /// Another replica has the lease.
    #[error("another replica has the lease")]
    Fenced,
    /// The database lost commits that it had confirmed.
    #[error("the database lost commits that it had confirmed")]
    RolledBack,
}

/// Whether a submit may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitDecision {
    /// It may, soon.
    Allowed(SubmitPermit),
    /// The quota is used up.
    OverQuota {
        /// How many submits there were in the last 61 seconds, of all replicas.
        used: i64,
    },
    /// Another replica has the lease.
    Fenced,
    /// The database lost commits that it had confirmed.
    RolledBack,
}

/// A submit that has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitPermit {
    /// When it was counted, by the database's clock, in milliseconds since 1970.
    pub at_millis: i64,
    leaves_until: Duration,
}

impl SubmitPermit {
    /// Whether it may still leave at `uptime`, which is [`Clock::uptime`]. Ask this last of all,
    /// together with [`Lease::is_held_at`].
    #[must_use]
    pub fn may_leave_at(&self, uptime: Duration) -> bool {
        uptime < self.leaves_until
    }
}

/// Where in the store's history a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPosition {
    token: i64,
    holder: HolderId,
    revision: i64,
}

impl ReadPosition {
    /// The number of the last commit that it has.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }
}

/// All that the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreContents {
    /// Every record, in the order of the keys.
    pub records: Vec<Record>,
    /// Where its reader is now.
    pub position: ReadPosition,
}

/// What there is since a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChanges {
    /// The records that have changed, in the order of the keys.
    Changed(StoreContents),
    /// The store was put back behind the position, and went on from there: load it.
    RolledBack,
    /// Deletions since the position have been forgotten: load the store.
    TooOld,
}

/// Why a store was not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// It is in use.
    #[error(
        "the store {name} is in use by {by}: stop that first; the lease ends in {} s", left.as_secs() + 1
    )]
    InUse {
        /// The store.
        name: String,
        /// Who has the lease.
        by: String,
        /// For how much longer.
        left: Duration,
    },
    /// It holds something.
    #[error(
        "the store {name} is not empty: it has {records} records of revision {revision}; give another --storage.name"
    )]
    NotEmpty {
        /// The store.
        name: String,
        /// How many.
        records: usize,
        /// The number of its last commit.
        revision: i64,
    },
    /// The records are too many for one commit.
    #[error("the records take {bytes} bytes, more than the {MAX_COMMIT_BYTES} of one commit")]
    TooLarge {
        /// How long keys and values are.
        bytes: usize,
    },
    /// The commit failed.
    #[error("{0}")]
    Commit(#[from] CommitError),
    /// The database cannot be used.
    #[error("{0}")]
    Unusable(#[from] SharedStoreError),
}

impl SharedStore {
    /// The store called `name` in `database`, used by a process that is shown to others as
    /// `replica`.
    ///
    /// # Errors
    /// When that is not a valid name.
    pub fn new(
        database: SharedDatabase,
        name: &str,
        replica: &str,
        clock: Clock,
    ) -> Result<Self, SharedStoreError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
            let detail = format!(
                "its name must have 1 to {MAX_NAME_BYTES} bytes, without control characters"
            );
            let advice = "give another --storage.name";
            return Err(SharedStoreError::new(&database.url, DatabaseFault::Other, detail, advice));
        }
        Ok(Self {
            database,
            name: name.to_owned(),
            holder: HolderId::random(),
            replica: replica.to_owned(),
            clock,
            ttl: LEASE_TTL,
        })
    }

    /// The same with another duration of the lease.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database that it is in.
    #[must_use]
    pub const fn database(&mut self) -> &mut SharedDatabase {
        &mut self.database
    }

    /// Takes the lease if nobody else has it. A process that has it gets a new token.
    ///
    /// # Errors
    /// When the database cannot be used, or another version of the exporter wrote the store. The lease
    /// may have been taken all the same: take it again.
    pub async fn take(&mut self) -> Result<Taking, SharedStoreError> {
        let held_until = self.clock.uptime() + self.ttl;
        let holder = self.holder.to_string();
        let (ttl, call) = (self.ttl.as_secs_f64(), self.database.deadlines.call);
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&sql::FORMAT, Type::INT4),
            (&holder, Type::TEXT),
            (&self.replica, Type::TEXT),
            (&ttl, Type::FLOAT8),
        ];
        let answer = self.database.call(call, sql::TAKE, parameters).await?;
        if let row @ Some(_) = first(&answer.rows) {
            return Ok(Taking::Taken(Lease {
                token: self.database.column(row, 0)?,
                holder: self.holder,
                revision: self.database.column(row, 1)?,
                held_until,
                is_unresolved: false,
            }));
        }
        let parameters: &Parameters<'_> = &[(&self.name, Type::TEXT)];
        let answer = self.database.call(call, sql::READ_LEASE, parameters).await?;
        let row = first(&answer.rows);
        self.check_format(self.database.column(row, 4)?)?;
        let left: Option<f64> = self.database.column(row, 5)?;
        let left = left.map(seconds).unwrap_or_default();
        Ok(Taking::HeldBy { name: self.database.column(row, 2)?, left })
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// When the database cannot be used; the lease then ends when it would have.
    pub async fn renew(&mut self, lease: &mut Lease) -> Result<LeaseState, SharedStoreError> {
        let held_until = self.clock.uptime() + self.ttl;
        let (holder, ttl) = (lease.holder.to_string(), self.ttl.as_secs_f64());
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&lease.token, Type::INT8),
            (&holder, Type::TEXT),
            (&ttl, Type::FLOAT8),
        ];
        let answer =
            self.database.call(self.database.deadlines.call, sql::RENEW, parameters).await?;
        let Some(row) = first(&answer.rows) else {
            return Ok(after_refusal(lease, self.observe().await?));
        };
        let state = after_renewal(lease, self.database.column(Some(row), 0)?);
        if state == LeaseState::Held {
            lease.held_until = held_until;
        }
        Ok(state)
    }

    /// Ends the lease, so that another replica may take it at once. Says whether it was still held.
    ///
    /// # Errors
    /// When the database cannot be used; the lease then ends when it would have.
    pub async fn hand_over(&mut self, lease: Lease) -> Result<bool, SharedStoreError> {
        let holder = lease.holder.to_string();
        let parameters: &Parameters<'_> =
            &[(&self.name, Type::TEXT), (&lease.token, Type::INT8), (&holder, Type::TEXT)];
        let limit = self.database.deadlines.call;
        let answer = self.database.call(limit, sql::HAND_OVER, parameters).await?;
        Ok(!answer.rows.is_empty())
    }

    /// Keeps all of `records` before it returns, or none of them, and gives the new revision. Of
    /// several records with one key the last counts.
    ///
    /// # Errors
    /// As [`CommitError`] says. Its outcome is looked up at once; only where that fails, too, is it
    /// unknown.
    pub async fn commit(
        &mut self,
        lease: &mut Lease,
        records: &[Record],
    ) -> Result<i64, CommitError> {
        self.commit_within(self.database.deadlines.commit, lease, records)
            .await
            .map(|_size| lease.revision)
    }

    /// Gives the size of the table of records.
    async fn commit_within(
        &mut self,
        limit: Duration,
        lease: &mut Lease,
        records: &[Record],
    ) -> Result<Option<i64>, CommitError> {
        if lease.is_unresolved {
            return Err(CommitError::Unknown(self.unresolved()));
        }
        // One statement cannot write a row twice. In the order of the keys each page is needed once.
        let newest: BTreeMap<&[u8], Option<&[u8]>> =
            records.iter().map(|record| (&*record.key, record.value.as_deref())).collect();
        let (keys, values): (Vec<&[u8]>, Vec<Option<&[u8]>>) = newest.into_iter().unzip();
        let held_until = self.clock.uptime() + self.ttl;
        let (holder, ttl) = (lease.holder.to_string(), self.ttl.as_secs_f64());
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&lease.token, Type::INT8),
            (&holder, Type::TEXT),
            (&lease.revision, Type::INT8),
            (&ttl, Type::FLOAT8),
            (&keys, Type::BYTEA_ARRAY),
            (&values, Type::BYTEA_ARRAY),
        ];
        let error = match self.database.call(limit, sql::COMMIT, parameters).await {
            Ok(Answer { rows, durability: Durability::AsConfigured }) => {
                if let row @ Some(_) = first(&rows) {
                    lease.revision += 1;
                    lease.held_until = held_until;
                    return Ok(self.database.column(row, 1).ok());
                }
                let observed = self.observe().await.map_err(CommitError::NotCommitted)?;
                return Err(match after_refusal(lease, observed) {
                    LeaseState::RolledBack => CommitError::RolledBack,
                    LeaseState::Fenced | LeaseState::Held => CommitError::Fenced,
                });
            }
            Ok(Answer { durability: Durability::MaybeNotReplicated, .. }) => SharedStoreError::new(
                &self.database.url,
                DatabaseFault::Timeout,
                "the wait for the standby was ended, which may not have the commit",
                "check the standby",
            ),
            Err(CallFailure { error, may_have_happened: false }) => {
                return Err(CommitError::NotCommitted(error));
            }
            Err(CallFailure { error, may_have_happened: true }) => error,
        };
        lease.is_unresolved = true;
        match self.resolve(lease).await {
            Ok(CommitOutcome::Committed) => Ok(None),
            Ok(CommitOutcome::NotCommitted) => Err(CommitError::NotCommitted(error)),
            Ok(CommitOutcome::Fenced) => Err(CommitError::Fenced),
            Ok(CommitOutcome::RolledBack) => Err(CommitError::RolledBack),
            Err(_) => Err(CommitError::Unknown(error)),
        }
    }

    /// Finds out what became of a commit whose outcome is unknown. The lease gets a new token on the
    /// way: a commit that is still under way somewhere is waited for, or fenced, so the outcome is
    /// final.
    ///
    /// # Errors
    /// When the database cannot be used; the outcome is as unknown as before.
    pub async fn resolve(&mut self, lease: &mut Lease) -> Result<CommitOutcome, SharedStoreError> {
        let held_until = self.clock.uptime() + self.ttl;
        let (holder, ttl) = (lease.holder.to_string(), self.ttl.as_secs_f64());
        let parameters: &Parameters<'_> =
            &[(&self.name, Type::TEXT), (&holder, Type::TEXT), (&ttl, Type::FLOAT8)];
        let limit = self.database.deadlines.call;
        let answer = self.database.call(limit, sql::RETAKE, parameters).await?;
        let observed = match first(&answer.rows) {
            Some(row) => Some(ObservedLease {
                token: self.database.column(Some(row), 0)?,
                holder: lease.holder,
                revision: self.database.column(Some(row), 1)?,
            }),
            None => self.observe().await?,
        };
        let outcome = after_silence(lease, observed);
        if let (CommitOutcome::Committed | CommitOutcome::NotCommitted, Some(observed)) =
            (outcome, observed)
        {
            lease.token = observed.token;
            lease.revision = observed.revision;
            lease.held_until = held_until;
            lease.is_unresolved = false;
        }
        Ok(outcome)
    }

    /// Counts a submit, if fewer than `quota` have been counted in the last 61 seconds. Call this
    /// before it leaves.
    ///
    /// # Errors
    /// When the database cannot be used, or the outcome of the last commit is unknown. The submit may
    /// have been counted, and must not leave.
    pub async fn submit(
        &mut self,
        lease: &mut Lease,
        target: &str,
        quota: i64,
    ) -> Result<SubmitDecision, SharedStoreError> {
        if lease.is_unresolved {
            return Err(self.unresolved());
        }
        let uptime = self.clock.uptime();
        let (holder, ttl) = (lease.holder.to_string(), self.ttl.as_secs_f64());
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&lease.token, Type::INT8),
            (&holder, Type::TEXT),
            (&lease.revision, Type::INT8),
            (&ttl, Type::FLOAT8),
            (&target, Type::TEXT),
            (&quota, Type::INT8),
        ];
        let limit = self.database.deadlines.call;
        let answer = self.database.call(limit, sql::SUBMIT, parameters).await?;
        let row = first(&answer.rows);
        if self.database.column::<Option<i64>>(row, 2)?.is_none() {
            return Ok(match after_refusal(lease, self.observe().await?) {
                LeaseState::RolledBack => SubmitDecision::RolledBack,
                LeaseState::Fenced | LeaseState::Held => SubmitDecision::Fenced,
            });
        }
        lease.held_until = uptime + self.ttl;
        Ok(match self.database.column(row, 0)? {
            Some(at_millis) => SubmitDecision::Allowed(SubmitPermit {
                at_millis,
                leaves_until: uptime + SUBMIT_WITHIN,
            }),
            None => SubmitDecision::OverQuota { used: self.database.column(row, 1)? },
        })
    }

    /// The submits of all replicas that may still count, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn recent_submits(&mut self) -> Result<Vec<i64>, SharedStoreError> {
        let limit = self.database.deadlines.call;
        let parameters: &Parameters<'_> = &[(&self.name, Type::TEXT)];
        let answer = self.database.call(limit, sql::RECENT_SUBMITS, parameters).await?;
        answer.rows.iter().map(|row| self.database.column(Some(row), 0)).collect()
    }

    /// Everything in the store; `None` when there is no store of that name.
    ///
    /// # Errors
    /// When the database cannot be used, or another version of the exporter wrote the store.
    pub async fn load(&mut self) -> Result<Option<StoreContents>, SharedStoreError> {
        let whole = self.database.deadlines.whole;
        let parameters: &Parameters<'_> = &[(&self.name, Type::TEXT)];
        let mut head = None;
        let mut records = Vec::new();
        let mut each = |row: Row| {
            if let Some(key) = row.try_get(4)? {
                records.push(Record { key, value: row.try_get(5)? });
            }
            head.get_or_insert(row);
            Ok(())
        };
        self.database.call_for_each(whole, sql::LOAD, parameters, &mut each).await?;
        let Some(head) = head else { return Ok(None) };
        self.check_format(self.database.column(Some(&head), 3)?)?;
        Ok(Some(StoreContents { records, position: self.position(&head)? }))
    }

    /// What has changed since `position`.
    ///
    /// # Errors
    /// As [`SharedStore::load`].
    pub async fn read_since(
        &mut self,
        position: ReadPosition,
    ) -> Result<StoreChanges, SharedStoreError> {
        let holder = position.holder.to_string();
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&position.revision, Type::INT8),
            (&position.token, Type::INT8),
            (&holder, Type::TEXT),
        ];
        let mut head = None;
        let mut records = Vec::new();
        let mut each = |row: Row| {
            if let Some(key) = row.try_get(6)? {
                records.push(Record { key, value: row.try_get(7)? });
            }
            head.get_or_insert(row);
            Ok(())
        };
        let limit = self.database.deadlines.commit;
        self.database.call_for_each(limit, sql::READ_SINCE, parameters, &mut each).await?;
        let Some(head) = head else { return Ok(StoreChanges::RolledBack) };
        self.check_format(self.database.column(Some(&head), 3)?)?;
        if !self.database.column(Some(&head), 5)? {
            return Ok(StoreChanges::RolledBack);
        }
        if position.revision < self.database.column(Some(&head), 4)? {
            return Ok(StoreChanges::TooOld);
        }
        Ok(StoreChanges::Changed(StoreContents { records, position: self.position(&head)? }))
    }

    /// Forgets the deletions up to `revision`, and says how many there were; `None` when another
    /// replica has the lease. Readers that have less must load the store.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn purge(
        &mut self,
        lease: &Lease,
        revision: i64,
    ) -> Result<Option<i64>, SharedStoreError> {
        let holder = lease.holder.to_string();
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&lease.token, Type::INT8),
            (&holder, Type::TEXT),
            (&revision, Type::INT8),
        ];
        let limit = self.database.deadlines.commit;
        let answer = self.database.call(limit, sql::PURGE, parameters).await?;
        first(&answer.rows).map(|row| self.database.column(Some(row), 0)).transpose()
    }

    /// Shows this replica to others, with the revision that it has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn announce(&mut self, revision: i64) -> Result<(), SharedStoreError> {
        let holder = self.holder.to_string();
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&holder, Type::TEXT),
            (&self.replica, Type::TEXT),
            (&revision, Type::INT8),
        ];
        let limit = self.database.deadlines.call;
        self.database.call(limit, sql::ANNOUNCE, parameters).await?;
        Ok(())
    }

    /// Shows this replica no longer.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn leave(&mut self) -> Result<(), SharedStoreError> {
        let holder = self.holder.to_string();
        let parameters: &Parameters<'_> = &[(&self.name, Type::TEXT), (&holder, Type::TEXT)];
        self.database.call(self.database.deadlines.call, sql::LEAVE, parameters).await?;
        Ok(())
    }

    /// Puts `records` into the store, which must be empty and not in use, in one commit: until it
    /// succeeds the store stays empty. `submits`, in milliseconds since 1970, count as those of
    /// the store.
    ///
    /// # Errors
    /// As [`FillError`] says; the store is then as it was.
    pub async fn fill(&mut self, records: &[Record], submits: &[i64]) -> Result<(), FillError> {
        let length = |record: &Record| record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        let bytes = records.iter().map(length).sum();
        if bytes > MAX_COMMIT_BYTES {
            return Err(FillError::TooLarge { bytes });
        }
        let mut lease = self.take_for_copy().await?;
        let filled = self.fill_with(&mut lease, records, submits).await;
        // It ends by itself, too.
        let _handed_over = self.hand_over(lease).await;
        filled
    }

    async fn fill_with(
        &mut self,
        lease: &mut Lease,
        records: &[Record],
        submits: &[i64],
    ) -> Result<(), FillError> {
        let held = self.load().await?.map(|contents| contents.records.len()).unwrap_or_default();
        if held > 0 || lease.revision > 0 {
            let (name, revision) = (self.name.clone(), lease.revision);
            return Err(FillError::NotEmpty { name, records: held, revision });
        }
        let holder = lease.holder.to_string();
        let parameters: &Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&lease.token, Type::INT8),
            (&holder, Type::TEXT),
            (&lease.revision, Type::INT8),
            (&submits, Type::INT8_ARRAY),
        ];
        // They come first: a copy that is interrupted in between costs a minute of the quota, and
        // not a submit too many.
        let limit = self.database.deadlines.call;
        let restored = self.database.call(limit, sql::RESTORE_SUBMITS, parameters).await;
        if restored.map_err(SharedStoreError::from)?.rows.is_empty() {
            return Err(CommitError::Fenced.into());
        }
        self.commit_within(self.database.deadlines.whole, lease, records).await?;
        Ok(())
    }

    /// Everything in the store, which must not be in use, and the submits that may still count.
    /// `None` when there is no store of that name.
    ///
    /// # Errors
    /// When it is in use, or the database cannot be used.
    pub async fn take_out(&mut self) -> Result<Option<(StoreContents, Vec<i64>)>, FillError> {
        // To take the lease would make a store of that name.
        if self.load().await?.is_none() {
            return Ok(None);
        }
        let lease = self.take_for_copy().await?;
        let read = async {
            let contents = self.load().await?;
            Ok::<_, SharedStoreError>(contents.zip(Some(self.recent_submits().await?)))
        };
        let read = read.await;
        let _handed_over = self.hand_over(lease).await;
        Ok(read?)
    }

    async fn take_for_copy(&mut self) -> Result<Lease, FillError> {
        match self.take().await? {
            Taking::Taken(lease) => Ok(lease),
            Taking::HeldBy { name: by, left } => {
                Err(FillError::InUse { name: self.name.clone(), by, left })
            }
        }
    }

    /// The lease as the database has it.
    async fn observe(&mut self) -> Result<Option<ObservedLease>, SharedStoreError> {
        let limit = self.database.deadlines.call;
        let parameters: &Parameters<'_> = &[(&self.name, Type::TEXT)];
        let answer = self.database.call(limit, sql::READ_LEASE, parameters).await?;
        let Some(row) = first(&answer.rows) else { return Ok(None) };
        Ok(Some(ObservedLease {
            token: self.database.column(Some(row), 0)?,
            holder: self.holder_in(row, 1)?,
            revision: self.database.column(Some(row), 3)?,
        }))
    }

    /// The first columns of a row are token, holder and revision.
    fn position(&self, row: &Row) -> Result<ReadPosition, SharedStoreError> {
        Ok(ReadPosition {
            token: self.database.column(Some(row), 0)?,
            holder: self.holder_in(row, 1)?,
            revision: self.database.column(Some(row), 2)?,
        })
    }

    fn holder_in(&self, row: &Row, index: usize) -> Result<HolderId, SharedStoreError> {
        let text: &str = self.database.column(Some(row), index)?;
        HolderId::parse(text).ok_or_else(|| {
            let advice = "install the same version of the exporter everywhere";
            let detail = "the holder of the lease is not a UUID";
            SharedStoreError::new(&self.database.url, DatabaseFault::Format, detail, advice)
        })
    }

    fn unresolved(&self) -> SharedStoreError {
        let detail = "the outcome of the last commit is unknown";
        let advice = "it is found out as soon as the database answers";
        SharedStoreError::new(&self.database.url, DatabaseFault::Unreachable, detail, advice)
    }

    fn check_format(&self, found: i32) -> Result<(), SharedStoreError> {
        if found == sql::FORMAT {
            return Ok(());
        }
        let detail = format!(
            "the store {} has tables of format {found}, and this version knows {}",
            self.name,
            sql::FORMAT
        );
        let advice = "install the version that wrote it";
        Err(SharedStoreError::new(&self.database.url, DatabaseFault::Format, detail, advice))
    }
}
