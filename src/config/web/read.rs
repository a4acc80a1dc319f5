//! The web configuration from its file.

use std::cell::RefCell;
use std::path::Path;

use super::WebConfig;
use crate::config::{ConfigErrors, ConfigText, FileStates, MAX_FILE_BYTES, Mistake};

/// A reading of the file.
#[derive(Debug)]
pub struct WebConfigRead {
    /// The configuration with its warnings, or every mistake.
    pub outcome: Result<(WebConfig, Vec<String>), ConfigErrors>,
    /// What was read.
    pub seen: FileStates,
}

/// Reads the file at `path` and those that it names, each at most 1 MiB; `before` is what an
/// earlier reading saw.
#[must_use]
pub fn read_file(path: &Path, before: &FileStates) -> WebConfigRead {
    let (seen, keys) = (RefCell::new(FileStates::default()), RefCell::new(FileStates::default()));
    let read = |path: &Path| {
        let bytes = seen.borrow_mut().read(path, MAX_FILE_BYTES, before)?;
        // Certificates are public anyway.
        if bytes.windows(KEY.len()).any(|window| window == KEY) {
            keys.borrow_mut().note_newest_of(&seen.borrow());
        }
        Ok(bytes)
    };
    let name = path.display().to_string();
    let whole = |message: String| {
        ConfigErrors::new(&name, vec![Mistake { line: None, key: String::new(), message }])
    };
    let text = read(path)
        .map_err(|error: std::io::Error| {
            whole(format!("the web configuration cannot be read: {error}"))
        })
        .and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| whole("the web configuration is not UTF-8 text".to_owned()))
        });
    let outcome =
        text.and_then(|text| WebConfig::parse(ConfigText { name: &name, text: &text }, read));
    let public = keys.into_inner().public_files();
    let outcome =
        outcome.map(|(config, warnings)| (config, warnings.into_iter().chain(public).collect()));
    WebConfigRead { outcome, seen: seen.into_inner() }
}

/// What every private key in PEM has at its beginning.
const KEY: &[u8] = b"PRIVATE KEY-----";
