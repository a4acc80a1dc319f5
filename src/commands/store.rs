//! `store`: the shared store's tables, its status, and copies between it and a folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::CommandError;
use super::packaging::print;
use crate::cli::{
    DatabaseArgs, DatabasePasswordArgs, StoreArgs, StoreCommand, StoreCopyArgs, StoreStatusArgs,
};
use crate::clock::Clock;
use crate::config::show_duration;
use crate::store::DiskStore;
use crate::store::shared::{
    CommitsAre, Deadlines, FillError, SharedDatabase, SharedStore, SharedStoreError,
    SharedStoreStatus, StoreUrl,
};
use cxone_core::counts::{Record, RecordKey};
use cxone_core::store::{Owner, Store as _, VERSION};
use cxone_core::time::Timestamp;

/// The longest password, in bytes.
const MAX_PASSWORD_BYTES: u64 = 8192;

impl From<SharedStoreError> for CommandError {
    fn from(error: SharedStoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<FillError> for CommandError {
    fn from(error: FillError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs a command below `store`.
///
/// # Errors
/// When the command line is wrong, the database cannot be used, or a copy is refused.
pub async fn run(args: StoreArgs) -> Result<(), CommandError> {
    match args.command {
        StoreCommand::Init(args) => init(&args.database).await,
        StoreCommand::Status(args) => status(&args).await,
        StoreCommand::Copy(args) => copy(&args).await,
    }
}

async fn init(args: &DatabaseArgs) -> Result<(), CommandError> {
    let mut database = open(args)?;
    let is_new = database.init().await?;
    database.close().await;
    let what = if is_new { "initialised" } else { "already initialised" };
    print(format!("{what}: {}\n", database.url()).as_bytes())
}

async fn status(args: &StoreStatusArgs) -> Result<(), CommandError> {
    let mut database = open(&args.database)?;
    let name = args.name.as_deref();
    let (server, stores) = (database.server().await?, database.stores(name).await?);
    database.close().await;
    if let (Some(name), true) = (name, stores.is_empty()) {
        return Err(CommandError::Failed(format!("{}: there is no store {name}", database.url())));
    }
    let commits = match server.commits {
        CommitsAre::Replicated => "wait for a standby",
        CommitsAre::OnDisk => {
            "are on the server's disk; a failover to a standby may lose the last ones"
        }
        CommitsAre::InMemory => "are in the server's memory; a crash may lose the last ones",
    };
    let mut text = format!(
        "database:    {} (PostgreSQL {})\ncommits:     {commits}\nsize:        {} on disk\n",
        database.url(),
        server.version,
        size(server.table_bytes),
    );
    if stores.is_empty() {
        text.push_str("stores:      none\n");
    }
    for store in &stores {
        show(store, &mut text);
    }
    print(text.as_bytes())
}

fn show(store: &SharedStoreStatus, text: &mut String) {
    let leader = match store.lease_left {
        Some(left) => {
            format!("{}; the lease ends in {} unless renewed", store.holder, about(left))
        }
        None => format!("none; {} was the last", store.holder),
    };
    let seen = |replica: &crate::store::shared::ReplicaStatus| {
        let (revision, ago) = (replica.revision, about(replica.seen_ago));
        format!("{} (revision {revision}, {ago} ago)", replica.name)
    };
    let replicas: Vec<String> = store.replicas.iter().map(seen).collect();
    let replicas =
        if replicas.is_empty() { "none".to_owned() } else { replicas.join("\n               ") };
    // A text in memory takes everything.
    let _written = write!(
        text,
        "store:       {}\n  leader:      {leader}\n  lease:       token {}\n  revision:    {}\n  records:     {} ({})\n  \
         submits:     {} in the last minute\n  replicas:    {replicas}\n",
        store.name,
        store.token,
        store.revision,
        store.records,
        size(store.bytes),
        store.submits,
    );
}

async fn copy(args: &StoreCopyArgs) -> Result<(), CommandError> {
    let name = args.name.as_deref();
    match (StoreUrl::is_meant_by(&args.from), StoreUrl::is_meant_by(&args.to)) {
        (false, true) => {
            let url = url_of_flag("--to", &args.to)?;
            copy_in(Path::new(&args.from), connect(url, &args.password)?, name).await
        }
        (true, false) => {
            let url = url_of_flag("--from", &args.from)?;
            copy_out(connect(url, &args.password)?, name, Path::new(&args.to)).await
        }
        (true, true) | (false, false) => Err(CommandError::Usage(
            "--from, --to: one must be a folder and the other a URL that begins with postgres://"
                .to_owned(),
        )),
    }
}

/// From a folder into a database.
async fn copy_in(
    from: &Path,
    database: SharedDatabase,
    name: Option<&str>,
) -> Result<(), CommandError> {
    // It stays open, and so locked, until the end: nothing is counted meanwhile that would be missing.
    let mut source = DiskStore::open_existing(from)?;
    let mut records = Vec::new();
    source.read(&mut |key, value| {
        records.push(Record { key: key.to_vec(), value: Some(value.to_vec()) });
    })?;
    let name = match (name, owner(&records)) {
        (Some(name), _) => name.to_owned(),
        (None, Some(Owner { host, client })) => format!("{host}/{client}"),
        (None, None) => {
            let message = "--storage.name: give the store a name: the one in the folder does not say whose it is";
            return Err(CommandError::Usage(message.to_owned()));
        }
    };
    let submits: Vec<i64> = records
        .iter()
        .filter_map(|record| match RecordKey::from_bytes(&record.key) {
            Ok(RecordKey::Submit(at)) => Some(at.millis()),
            Ok(_) | Err(_) => None,
        })
        .collect();
    let mut target = shared(database, &name)?;
    target.fill(&records, &submits).await?;
    target.database().close().await;
    report(records.len(), &from.display(), &format!("{name} in {}", target.database().url()))
}

/// From a database into a folder.
async fn copy_out(
    mut database: SharedDatabase,
    name: Option<&str>,
    to: &Path,
) -> Result<(), CommandError> {
    let url = database.url().to_string();
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let stores = database.stores(None).await?;
            let names: Vec<&str> = stores.iter().map(|store| &*store.name).collect();
            match *names {
                [name] => name.to_owned(),
                [] => return Err(CommandError::Failed(format!("{url}: there is no store"))),
                _ => {
                    let names = names.join(", ");
                    let message = format!("--storage.name: give one of {names}");
                    return Err(CommandError::Usage(message));
                }
            }
        }
    };
    let mut source = shared(database, &name)?;
    let Some((contents, submits)) = source.take_out().await? else {
        return Err(CommandError::Failed(format!("{url}: there is no store {name}")));
    };
    source.database().close().await;
    let version = Record::put(&RecordKey::Version, &VERSION);
    if !contents.records.contains(&version) {
        return Err(CommandError::Failed(format!(
            "the store {name} has records of another version, or none: install the version that wrote it"
        )));
    }
    // Those of the shared store are in a table of their own.
    let mut records = contents.records;
    for submit in submits {
        let record = Record::put(&RecordKey::Submit(Timestamp::from_millis(submit)), &());
        if !records.iter().any(|known| known.key == record.key) {
            records.push(record);
        }
    }
    if !DiskStore::fill(to, &records)? {
        return Err(CommandError::Failed(format!(
            "the store in {} is not empty: give another folder",
            to.display()
        )));
    }
    report(records.len(), &format!("{name} in {url}"), &to.display())
}

fn report(
    records: usize,
    from: &impl std::fmt::Display,
    to: &impl std::fmt::Display,
) -> Result<(), CommandError> {
    print(format!("copied: {records} records from {from} to {to}\n").as_bytes())
}

fn owner(records: &[Record]) -> Option<Owner> {
    let key = RecordKey::Owner.to_bytes();
    let record = records.iter().find(|record| record.key == key)?;
    Record::value(record.value.as_deref()?).ok()
}

fn shared(database: SharedDatabase, name: &str) -> Result<SharedStore, CommandError> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let replica = format!("store copy on {}", host.trim());
    Ok(SharedStore::new(database, name, &replica, Clock::system())?)
}

/// The database that flags and environment name. A URL with a password is only taken from the
/// environment: command lines are public on a machine.
fn open(args: &DatabaseArgs) -> Result<SharedDatabase, CommandError> {
    const VARIABLE: &str = "CXONE_STORAGE_URL";
    let url = match (&args.url, variable(VARIABLE)?) {
        (Some(text), _) => url_of_flag("--storage.url", text)?,
        (None, Some(text)) => url_of(VARIABLE, &text)?,
        (None, None) => {
            let message = format!(
                "--storage.url: is missing: give the URL of the database, or set {VARIABLE}"
            );
            return Err(CommandError::Usage(message));
        }
    };
    connect(url, &args.password)
}

fn url_of(source: &str, text: &str) -> Result<StoreUrl, CommandError> {
    text.parse().map_err(|message| CommandError::Usage(format!("{source}: the URL {message}")))
}

fn url_of_flag(flag: &str, text: &str) -> Result<StoreUrl, CommandError> {
    let url = url_of(flag, text)?;
    if url.has_password() {
        return Err(CommandError::Usage(format!(
            "{flag}: the URL holds a password, which every user of this machine can read: write it into a file for \
             --storage.password-file, or into CXONE_STORAGE_PASSWORD"
        )));
    }
    Ok(url)
}

fn connect(url: StoreUrl, args: &DatabasePasswordArgs) -> Result<SharedDatabase, CommandError> {
    let password = match &args.file {
        Some(file) => Some(read_password(file)?),
        None => variable("CXONE_STORAGE_PASSWORD")?.map(SecretString::from),
    };
    Ok(SharedDatabase::new(url, password.as_ref(), Deadlines::default())?)
}

/// The path is not repeated: it may be the password itself, written into the wrong place.
fn read_password(file: &Path) -> Result<SecretString, CommandError> {
    let wrong =
        |message: String| CommandError::Usage(format!("--storage.password-file: {message}"));
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(MAX_PASSWORD_BYTES + 1).read_to_string(&mut text))
        .map_err(|cause| wrong(format!("the file with the password cannot be read: {cause}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(wrong(format!("the password must have 1 to {MAX_PASSWORD_BYTES} bytes")));
    }
    Ok(SecretString::from(password))
}

/// The value of an environment variable; an empty one counts as not set.
fn variable(name: &str) -> Result<Option<String>, CommandError> {
    match std::env::var_os(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value
            .into_string()
            .map(Some)
            .map_err(|_| CommandError::Usage(format!("{name}: is not UTF-8 text"))),
    }
}

/// In whole seconds, rounded up.
fn about(span: Duration) -> String {
    show_duration(Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0)))
}

fn size(bytes: i64) -> String {
    if bytes < 1024 * 1024 {
        return format!("{} KiB", (bytes + 1023) / 1024);
    }
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
