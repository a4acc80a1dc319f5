//! Where the counts outlive the process: records in transactions. Here is what every store
//! promises, and the one in memory; the one on disk is the program's.

mod memory;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use memory::{MemoryStore, SharedRecords};

use serde::{Deserialize, Serialize};

use crate::counts::Record;

/// The version of the format. A store of a higher version is refused.
pub const VERSION: u32 = 1;

/// Keeps records. All of a commit are kept, or none, whenever the process ends.
pub trait Store: Send {
    /// Visits every record, in the order of the keys.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&mut self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;

    /// Keeps all of `records` before it returns, or none of them.
    ///
    /// # Errors
    /// When they could not be kept; a later commit may succeed.
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError>;

    /// Its size in bytes.
    fn size_bytes(&self) -> u64;

    /// The version of its format; `None` when nothing outlives the process.
    fn format(&self) -> Option<u32>;
}

/// Whose history a store contains: a client of a tenant's API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The host of the API.
    pub host: String,
    /// The id of the client, or of the access key.
    pub client: String,
}

/// `acme.api.cxone.com, client my-client`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, client {}", self.host, self.client)
    }
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error(
        "the store {0} is used by another process: end that one first, or give this one a --storage.path of its own"
    )]
    Locked(PathBuf),
    /// There is none.
    #[error("there is no store {0}: give its folder as --storage.path")]
    Missing(PathBuf),
    /// It was written by a newer version.
    #[error(
        "the store {path} has the format {found} of a newer version; this one knows {VERSION}: install the newer version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
    },
    /// It is somebody else's.
    #[error(
        "the store belongs to {kept}, and the configuration is of {wanted}: give each its own --storage.path; if it is the same tenant \
         under a new address or client, start once with --storage.adopt"
    )]
    OtherOwner {
        /// Whose it is.
        kept: Owner,
        /// Who wants to use it.
        wanted: Owner,
    },
    /// It cannot be trusted.
    #[error(
        "the store {path} is damaged ({detail}): put back a copy of it, or move it away; the counters then begin at 0 with a new epoch"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Something else has its name.
    #[error(
        "{0} was replaced while in use: put the store back, or move away what is there now, and the counts are written anew"
    )]
    Replaced(PathBuf),
    /// It does not answer.
    #[error(
        "the store does not answer: a commit has taken longer than {} s: look at the disk", .0.as_secs()
    )]
    Hanging(Duration),
    /// The disk does not do what it should.
    #[error("the store {path} cannot be used: {detail}: {advice}")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        detail: String,
        /// What to do.
        advice: &'static str,
    },
}
