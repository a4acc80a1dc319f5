//! The web configuration from its file, and whether that file, or one that it names, has changed
//! since.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::WebConfig;
use crate::config::{ConfigErrors, ConfigText, MAX_FILE_BYTES, Mistake, read_limited};

/// What a file held: a digest of its bytes, or why it could not be read.
type State = Result<Vec<u8>, io::ErrorKind>;

/// The files that a reading read, and what they held.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<(PathBuf, State)>);

/// A reading of the file.
#[derive(Debug)]
pub struct Reading {
    /// The configuration with its warnings, or every mistake.
    pub outcome: Result<(WebConfig, Vec<String>), ConfigErrors>,
    /// What was read.
    pub seen: Seen,
}

impl Seen {
    /// Takes note of what a file held when it was read.
    pub(in crate::config) fn note(&mut self, path: &Path, read: &io::Result<Vec<u8>>) {
        self.0.push((path.to_owned(), state_of(read)));
    }

    /// Whether all files still hold what they did. Their content is compared: times of change have
    /// gaps, and a mounted secret changes by a link.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0.iter().all(|(path, state)| state_of(&read_limited(path, MAX_FILE_BYTES)) == *state)
    }
}

fn state_of(read: &io::Result<Vec<u8>>) -> State {
    match read {
        Ok(bytes) => Ok(digest(&SHA256, bytes).as_ref().to_vec()),
        Err(error) => Err(error.kind()),
    }
}

/// Reads the file at `path` and those that it names, each at most 1 MiB.
#[must_use]
pub fn read_file(path: &Path) -> Reading {
    let seen = RefCell::new(Seen::default());
    let read = |path: &Path| {
        let bytes = read_limited(path, MAX_FILE_BYTES);
        seen.borrow_mut().note(path, &bytes);
        bytes
    };
    let name = path.display().to_string();
    let whole = |message: String| {
        ConfigErrors::new(&name, vec![Mistake { line: None, key: String::new(), message }])
    };
    let text = read(path)
        .map_err(|error| whole(format!("the web configuration cannot be read: {error}")))
        .and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| whole("the web configuration is not UTF-8 text".to_owned()))
        });
    let outcome =
        text.and_then(|text| WebConfig::parse(ConfigText { name: &name, text: &text }, read));
    Reading { outcome, seen: seen.into_inner() }
}
