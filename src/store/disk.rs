//! Records in a file: redb, one table, one transaction a commit.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use cxone_core::counts::{Record, RecordKey};
use cxone_core::store::Owner;
use cxone_core::store::{Store, StoreError, VERSION};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// The file, in the folder that `--storage.path` names.
const FILE: &str = "cxone-exporter.redb";

/// A new file is written under this name and then renamed, so that a file with the final name was
/// complete at least once.
const NEW_FILE: &str = "cxone-exporter.redb.new";

/// Who may read and write a new store: it holds agents' ids.
const FOR_US_ALONE: u32 = 0o600;

/// Size of redb's page cache. Records of a commit are in the order of their keys, so each page is
/// needed only once.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// A store in a file.
///
/// The folder is locked as well as the file, so that nobody else creates a store in it when the file
/// is removed. The file is then written again from what is still open.
#[derive(Debug)]
pub struct DiskStore {
    folder: PathBuf,
    path: PathBuf,
    /// The folder, locked where the file system can do that.
    held: File,
    /// The open file, whatever happens to its name.
    file: File,
    /// `None` after a failure: redb recovers only when the file is opened again.
    database: Option<Database>,
}

impl DiskStore {
    /// Opens the store in `folder`; creates both if they do not exist.
    ///
    /// # Errors
    /// When another process has it, a newer version wrote it, it is damaged, or the disk does not
    /// let it be used.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let held = hold(folder, &path)?;
        if !fs::exists(&path).map_err(|cause| unusable(&path, &cause))? {
            create(folder, &path, &[Record::put(&RecordKey::Version, &VERSION)])?;
        }
        let file = File::open(&path).map_err(|cause| unusable(&path, &cause))?;
        let mut store = Self { folder: folder.to_owned(), path, held, file, database: None };
        let database = store.reopen()?;
        check_version(&store.path, &database)?;
        store.database = Some(database);
        // Otherwise a read-only folder would only be noticed at the first report.
        store.commit(&[Record::put(&RecordKey::Version, &VERSION)])?;
        Ok(store)
    }

    /// Opens the store in `folder`, which must be there.
    ///
    /// # Errors
    /// As [`DiskStore::open`], and when there is none.
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        if !fs::exists(&path).map_err(|cause| unusable(&path, &cause))? {
            return Err(StoreError::Missing(path));
        }
        Self::open(folder)
    }

    /// Makes a store of `records` in `folder`. A store that holds nothing but its version gives way
    /// to it; for any other the answer is false, and nothing changes. Whenever the process ends, it
    /// is there whole, or not at all.
    ///
    /// # Errors
    /// When another process has the folder, or the disk does not let it be used.
    pub fn fill(folder: &Path, records: &[Record]) -> Result<bool, StoreError> {
        let path = folder.join(FILE);
        let _held = hold(folder, &path)?;
        if fs::exists(&path).map_err(|cause| unusable(&path, &cause))? {
            let mut held = 0;
            read(&open(&path, &path)?, &mut |_, _| held += 1)
                .map_err(|cause| damaged(&path, cause))?;
            if held > 1 {
                return Ok(false);
            }
        }
        create(folder, &path, records)?;
        Ok(true)
    }

    /// Makes the store in `folder` anew with those of its records whose key `keeps` wants, and says
    /// how many it does not: the old file, where what was deleted may still be read, is gone.
    ///
    /// # Errors
    /// As [`DiskStore::open`], and when there is no store, or it is not `owner`'s.
    pub fn rewrite(
        folder: &Path,
        owner: Option<&Owner>,
        mut keeps: impl FnMut(&RecordKey) -> bool,
    ) -> Result<usize, StoreError> {
        let path = folder.join(FILE);
        let mut store = Self::open_existing(folder)?;
        let mut kept = Vec::new();
        let mut dropped = 0;
        let mut sound = true;
        let mut kept_owner = None;
        store.read(&mut |bytes, value| match RecordKey::from_bytes(bytes) {
            Ok(key) if keeps(&key) => {
                if key == RecordKey::Owner {
                    kept_owner = Record::value(value).ok();
                }
                kept.push(Record { key: bytes.to_vec(), value: Some(value.to_vec()) })
            }
            Ok(_) => dropped += 1,
            Err(_) => sound = false,
        })?;
        if !sound {
            return Err(damaged(&path, "it contains an invalid record"));
        }
        if let (Some(kept), Some(wanted)) = (kept_owner, owner)
            && kept != *wanted
        {
            return Err(StoreError::OtherOwner { kept, wanted: wanted.clone() });
        }
        if dropped > 0 {
            create(folder, &path, &kept)?;
        }
        Ok(dropped)
    }

    fn reopen(&self) -> Result<Database, StoreError> {
        let length = self.file.metadata().map_err(|cause| unusable(&self.path, &cause))?.len();
        if length == 0 {
            return Err(damaged(&self.path, "it is empty"));
        }
        match whose(&self.path, &self.file)? {
            Whose::Ours => open(&self.path, &self.path),
            // It has no name any more, or not that one.
            Whose::Nobodys | Whose::Others => {
                let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                open(Path::new(&path), &self.path)
            }
        }
    }

    /// Sees to it that what is kept will be found again: folder and file have their names. A name
    /// that is nobody's is taken again; one that is another's is not.
    fn keep_names(&mut self) -> Result<(), StoreError> {
        match whose(&self.folder, &self.held)? {
            Whose::Ours => {}
            Whose::Nobodys => self.held = hold(&self.folder, &self.path)?,
            Whose::Others => return Err(StoreError::Replaced(self.folder.clone())),
        }
        match whose(&self.path, &self.file)? {
            Whose::Ours => Ok(()),
            Whose::Nobodys => self.write_anew(),
            Whose::Others => Err(StoreError::Replaced(self.path.clone())),
        }
    }

    fn write_anew(&mut self) -> Result<(), StoreError> {
        tracing::error!(path = %self.path.display(), "store removed while in use, written anew");
        let mut records = Vec::new();
        self.read(&mut |key, value| {
            records.push(Record { key: key.to_vec(), value: Some(value.to_vec()) });
        })?;
        create(&self.folder, &self.path, &records)?;
        self.database = None;
        self.file = File::open(&self.path).map_err(|cause| unusable(&self.path, &cause))?;
        Ok(())
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        let is_gone = matches!(whose(&self.path, &self.file), Ok(Whose::Nobodys));
        let has_folder = matches!(whose(&self.folder, &self.held), Ok(Whose::Ours));
        if is_gone && has_folder {
            // Nobody is left who could be notified of a failure.
            let _written = self.write_anew();
        }
    }
}

/// Makes the folder if it is not there, and locks it.
fn hold(folder: &Path, path: &Path) -> Result<File, StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(FOR_US_ALONE | 0o100)
        .create(folder)
        .map_err(|cause| unusable(folder, &cause))?;
    let held = File::open(folder).map_err(|cause| unusable(folder, &cause))?;
    match held.try_lock() {
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        // Not every file system locks folders; the file has a lock of its own.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(held),
    }
}

/// Whose a name is.
enum Whose {
    Ours,
    Nobodys,
    Others,
}

fn whose(name: &Path, ours: &File) -> Result<Whose, StoreError> {
    let ours = ours.metadata().map_err(|cause| unusable(name, &cause))?;
    match fs::metadata(name) {
        Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => Ok(Whose::Ours),
        Ok(_) => Ok(Whose::Others),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Whose::Nobodys),
        Err(cause) => Err(unusable(name, &cause)),
    }
}

/// Opens the file that is at `place`, and should be at `path`; what redb cannot make sense of may
/// also make it panic.
fn open(place: &Path, path: &Path) -> Result<Database, StoreError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Database::builder().set_cache_size(CACHE_BYTES).open(place)
    }));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::Locked(path.to_owned())),
        Ok(Err(DatabaseError::Storage(redb::StorageError::Io(cause))))
            if !is_about_content(&cause) =>
        {
            Err(unusable(path, &cause))
        }
        Ok(Err(cause)) => Err(damaged(path, cause)),
        Err(_) => Err(damaged(path, "its contents contradict each other")),
    }
}

fn is_about_content(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Makes a store of `records` under another name, and gives it its own once it is whole.
fn create(folder: &Path, path: &Path, records: &[Record]) -> Result<(), StoreError> {
    let new = folder.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(unusable(&new, &cause));
        }
        Ok(()) | Err(_) => {}
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FOR_US_ALONE)
        .open(&new)
        .map_err(|cause| unusable(&new, &cause))?;
    let database = Database::builder().create(&new).map_err(|cause| failed(&new, cause.into()))?;
    write(&database, records).map_err(|cause| failed(&new, cause))?;
    drop(database);
    fs::rename(&new, path).map_err(|cause| unusable(path, &cause))?;
    // The name is kept only when the folder is.
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| unusable(folder, &cause))
}

fn check_version(path: &Path, database: &Database) -> Result<(), StoreError> {
    match version(database).map_err(|cause| damaged(path, cause))? {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(StoreError::Newer { path: path.to_owned(), found }),
        Some(_) | None => Err(damaged(path, "it does not contain its version")),
    }
}

fn version(database: &Database) -> Result<Option<u32>, redb::Error> {
    let table = database.begin_read()?.open_table(TABLE)?;
    let value = table.get(RecordKey::Version.to_bytes().as_slice())?;
    Ok(value.and_then(|value| Record::value(value.value()).ok()))
}

fn read(database: &Database, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(TABLE)?;
    for record in table.iter()? {
        let (key, value) = record?;
        each(key.value(), value.value());
    }
    Ok(())
}

fn write(database: &Database, records: &[Record]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for Record { key, value } in records {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}

impl Store for DiskStore {
    fn read(&mut self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let result = catch_unwind(AssertUnwindSafe(|| read(&database, each)));
        self.database = Some(database);
        match result {
            Ok(result) => result.map_err(|cause| damaged(&self.path, cause)),
            Err(_) => Err(damaged(&self.path, "its contents contradict each other")),
        }
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.keep_names()?;
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        write(&database, records).map_err(|cause| failed(&self.path, cause))?;
        self.database = Some(database);
        Ok(())
    }

    fn format(&self) -> Option<u32> {
        Some(VERSION)
    }

    fn size_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

fn unusable(path: &Path, cause: &io::Error) -> StoreError {
    let advice = advice(cause);
    StoreError::Unusable { path: path.to_owned(), detail: cause.to_string(), advice }
}

fn failed(path: &Path, cause: redb::Error) -> StoreError {
    if let redb::Error::Io(cause) = cause {
        return unusable(path, &cause);
    }
    StoreError::Unusable { path: path.to_owned(), detail: cause.to_string(), advice: LOOK }
}

/// What to do if the cause does not say.
const LOOK: &str = "look at the disk's free space and at the rights of the folder";

fn advice(cause: &io::Error) -> &'static str {
    match (cause.kind(), cause.raw_os_error()) {
        (_, Some(libc::EMFILE | libc::ENFILE)) => {
            "raise the limit on open files (`ulimit -n`, `LimitNOFILE=` in a systemd unit)"
        }
        (io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory, _) => {
            "a file has the name of the folder; give another folder as --storage.path"
        }
        (io::ErrorKind::PermissionDenied, _) => {
            "give the user that runs the exporter the right to read and write there, or give another folder as --storage.path"
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            "mount it to be written to, or give another folder as --storage.path"
        }
        (io::ErrorKind::FileTooLarge, _) => {
            "raise the limit on the size of files (`ulimit -f`, `LimitFSIZE=` in a systemd unit)"
        }
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            "make room on the disk, or raise its quota"
        }
        _ => LOOK,
    }
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), detail: cause.to_string() }
}
