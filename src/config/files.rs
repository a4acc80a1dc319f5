//! Files that a configuration is read from: each within its limit, never waited for without end,
//! and known again when they change. What comes out of a pipe comes once, and is remembered.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretSlice};

use super::{MAX_FILE_BYTES, MAX_SECRET_FILE_BYTES};

/// What a file that the configuration names contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// A secret.
    Secret,
    /// Certificates of authorities in PEM, which anybody may read.
    Authorities,
}

impl FileContent {
    /// The most bytes that such a file may have.
    pub(super) const fn limit(self) -> usize {
        match self {
            Self::Secret => MAX_SECRET_FILE_BYTES,
            Self::Authorities => MAX_FILE_BYTES,
        }
    }
}

/// How long the first reading of a pipe waits for a writer.
const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a pipe is polled meanwhile.
const PIPE_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What a file held: a digest of its bytes, or why it could not be read.
type FileState = Result<Vec<u8>, io::ErrorKind>;

/// The files that a reading read, and what they held.
#[derive(Clone, Debug, Default)]
pub struct FileStates(Vec<SeenFile>);

#[derive(Clone, Debug)]
struct SeenFile {
    path: PathBuf,
    /// The most bytes it may have.
    limit: usize,
    state: FileState,
    /// What it gave, where it gives everything only once.
    once: Option<SecretSlice<u8>>,
    /// Whether every user of the machine may read it.
    is_public: bool,
}

impl FileStates {
    /// Reads the file at `path` and takes note of it. A pipe that has nothing new gives what it
    /// gave in `before`.
    pub(super) fn read(&mut self, path: &Path, limit: usize, before: &Self) -> io::Result<Vec<u8>> {
        let known = before.0.iter().find(|file| file.path == path);
        let known = known.and_then(|file| file.once.as_ref());
        let (bytes, once, is_public) = match read(path, limit, known.is_none()) {
            Ok(Opened { bytes, is_pipe, is_public }) => {
                let bytes = match known {
                    Some(known) if is_pipe && bytes.is_empty() => known.expose_secret().to_vec(),
                    Some(_) | None => bytes,
                };
                let once = is_pipe.then(|| SecretSlice::from(bytes.clone()));
                (Ok(bytes), once, is_public)
            }
            // A pipe may be gone once it was read, as that of a process substitution.
            Err(error) => match known {
                Some(known) => (Ok(known.expose_secret().to_vec()), Some(known.clone()), false),
                None => (Err(error), None, false),
            },
        };
        let state = state_of(&bytes);
        self.0.push(SeenFile { path: path.to_owned(), limit, state, once, is_public });
        bytes
    }

    /// Whether all files still contain what they did. Their contents are compared: modification times
    /// are too coarse, and a mounted secret changes by a link. Pipes are skipped.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0.iter().filter(|file| file.once.is_none()).all(|file| {
            let read = read(&file.path, file.limit, false).map(|opened| opened.bytes);
            state_of(&read) == file.state
        })
    }

    /// Takes over what `other` noted last.
    pub(super) fn note_newest_of(&mut self, other: &Self) {
        self.0.extend(other.0.last().cloned());
    }

    /// Warnings about files that every user of the machine may read.
    pub(super) fn public_files(&self) -> Vec<String> {
        let public = self.0.iter().filter(|file| file.is_public);
        public
            .map(|SeenFile { path, .. }| {
                let path = path.display();
                format!(
                    "{path}: every user of this machine can read this secret: run `chmod o= {path}`"
                )
            })
            .collect()
    }
}

fn state_of(read: &io::Result<Vec<u8>>) -> FileState {
    match read {
        Ok(bytes) => Ok(digest(&SHA256, bytes).as_ref().to_vec()),
        Err(error) => Err(error.kind()),
    }
}

/// What there is in a file.
struct Opened {
    bytes: Vec<u8>,
    /// Whether it is not a regular file: what was read of it is gone.
    is_pipe: bool,
    is_public: bool,
}

/// What there is at `path`; an error if there are more than `limit` bytes. Nobody is waited for
/// who may never come: a pipe into which nobody writes is empty, with `patient` after
/// [`PIPE_TIMEOUT`] an error.
fn read(path: &Path, limit: usize, patient: bool) -> io::Result<Opened> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    let is_pipe = !metadata.is_file() && !metadata.is_dir();
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if is_pipe {
        drain(&file, most, patient, &mut bytes)?;
    } else {
        (&file).take(most).read_to_end(&mut bytes)?;
    }
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        ));
    }
    let is_public = metadata.is_file() && metadata.mode() & 0o004 != 0;
    Ok(Opened { bytes, is_pipe, is_public })
}

/// Reads a pipe to the end of what is written into it.
fn drain(file: &File, most: u64, patient: bool, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut left = PIPE_TIMEOUT;
    loop {
        let room = most.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let before = bytes.len();
        let ended = match file.take(room).read_to_end(bytes) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(error),
        };
        // Before anybody has written into it, a pipe seems to be at its end.
        if ended && !bytes.is_empty() || bytes.is_empty() && !patient {
            return Ok(());
        }
        left = if bytes.len() > before {
            PIPE_TIMEOUT
        } else {
            left.saturating_sub(PIPE_POLL_INTERVAL)
        };
        if left.is_zero() {
            let message =
                format!("nobody has written into this pipe for {} s", PIPE_TIMEOUT.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(PIPE_POLL_INTERVAL);
    }
}
