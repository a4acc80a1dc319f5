//! Where a configuration comes from, so that it can be read again: whole, or its secrets alone.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use super::web::Seen;
use super::{
    Config, ConfigErrors, ConfigText, Flags, MAX_FILE_BYTES, MAX_SECRET_FILE_BYTES, Mistake,
    Overrides, TargetsNeeded, read_limited,
};

/// The file, the flags and the environment that a configuration was read from.
#[derive(Clone, Debug)]
pub struct Source {
    path: Option<PathBuf>,
    flags: Flags,
    needed: TargetsNeeded,
    /// The file's text as it counts now.
    text: Option<String>,
    /// The files with secrets, and what they held.
    secrets: Seen,
}

/// What the first reading gives: the configuration, its warnings, and where it came from.
pub type Loaded = (Config, Vec<String>, Source);

impl Source {
    /// Reads the file at `path`, if there is one, beside `flags` and the process's environment.
    ///
    /// # Errors
    /// As [`Config::parse`], and when the file cannot be read, is larger than 1 MiB or is not
    /// UTF-8.
    pub fn read(
        path: Option<&Path>,
        flags: &Flags,
        needed: TargetsNeeded,
    ) -> Result<Loaded, ConfigErrors> {
        let text = path.map(file_text).transpose()?;
        let mut source = Self {
            path: path.map(Path::to_owned),
            flags: flags.clone(),
            needed,
            text,
            secrets: Seen::default(),
        };
        let (config, warnings) = source.read_secrets_again()?;
        Ok((config, warnings, source))
    }

    /// Reads everything again. Also returns warnings.
    ///
    /// # Errors
    /// As [`Source::read`]; what was read before then goes on.
    pub fn read_again(&mut self) -> Result<(Config, Vec<String>), ConfigErrors> {
        let (config, warnings, source) =
            Self::read(self.path.as_deref(), &self.flags, self.needed)?;
        *self = source;
        Ok((config, warnings))
    }

    /// Reads the secrets again, beside the file as it was read: what is half written there does not
    /// count by chance. Also returns warnings.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn read_secrets_again(&mut self) -> Result<(Config, Vec<String>), ConfigErrors> {
        let seen = RefCell::new(Seen::default());
        let read_secret = |path: &Path| {
            let bytes = read_limited(path, MAX_SECRET_FILE_BYTES);
            seen.borrow_mut().note(path, &bytes);
            String::from_utf8(bytes?)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
        };
        let name = self.path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let overrides = Overrides::new(&self.flags, |name| std::env::var_os(name));
        let text = self.text.as_deref().map(|text| ConfigText { name: &name, text });
        let outcome = Config::parse(text, &overrides, self.needed, read_secret);
        // Wrong ones are known now, too: they are not told again and again.
        self.secrets = seen.into_inner();
        outcome
    }

    /// Whether the files with secrets hold what they did when they were last read.
    #[must_use]
    pub fn secrets_are_current(&self) -> bool {
        self.secrets.is_current()
    }
}

fn file_text(path: &Path) -> Result<String, ConfigErrors> {
    let whole = |line, message: String| {
        ConfigErrors::new(
            &path.display().to_string(),
            vec![Mistake { line, key: String::new(), message }],
        )
    };
    let bytes = read_limited(path, MAX_FILE_BYTES)
        .map_err(|error| whole(None, format!("the configuration file cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let lines = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        whole(Some(lines + 1), "not UTF-8 text".to_owned())
    })
}
