//! Where a configuration comes from, so that it can be reloaded: whole, or its secrets alone.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use super::{
    Config, ConfigErrors, ConfigText, FileContent, FileStates, Flags, MAX_FILE_BYTES, Mistake,
    Overrides, TargetsNeeded,
};

/// The file, the flags and the environment that a configuration was read from.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    path: Option<PathBuf>,
    flags: Flags,
    needed: TargetsNeeded,
    /// Those in effect.
    current: Texts,
    /// Those read last, until they are accepted.
    next: Option<Texts>,
}

/// What files contained when they were read.
#[derive(Clone, Debug, Default)]
struct Texts {
    /// The configuration's text.
    text: Option<String>,
    /// Its file.
    file: FileStates,
    /// The files that it names: those with secrets, and that with authorities.
    secrets: FileStates,
}

/// A configuration, its warnings, and how to reload it.
pub type LoadedConfig = (Config, Vec<String>, ConfigSource);

impl ConfigSource {
    /// Reads the file at `path`, if there is one, beside `flags` and the process's environment.
    ///
    /// # Errors
    /// As [`Config::parse`], and when the file cannot be read, is larger than 1 MiB or is not
    /// UTF-8.
    pub fn read(
        path: Option<&Path>,
        flags: &Flags,
        needed: TargetsNeeded,
    ) -> Result<LoadedConfig, ConfigErrors> {
        let mut source = Self {
            path: path.map(Path::to_owned),
            flags: flags.clone(),
            needed,
            current: Texts::default(),
            next: None,
        };
        let (config, warnings) = source.reload()?;
        source.accept();
        Ok((config, warnings, source))
    }

    /// Reloads everything. Also returns warnings. [`ConfigSource::reload_secrets`] uses the file's text
    /// only once it is [accepted](Self::accept).
    ///
    /// # Errors
    /// As [`ConfigSource::read`]; the configuration before then stays in effect.
    pub fn reload(&mut self) -> Result<(Config, Vec<String>), ConfigErrors> {
        self.next = None;
        let mut next = Texts::default();
        if let Some(path) = &self.path {
            next.text = Some(file_text(path, &mut next.file, &self.current.file)?);
        }
        let outcome = self.parse(&mut next)?;
        self.next = Some(next);
        Ok(outcome)
    }

    /// Reloads the secrets alone, with the accepted text of the file: what is half written there
    /// must not take effect by chance. Also returns warnings.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn reload_secrets(&mut self) -> Result<(Config, Vec<String>), ConfigErrors> {
        self.next = None;
        let mut next = Texts { secrets: FileStates::default(), ..self.current.clone() };
        let outcome = self.parse(&mut next);
        // Invalid ones are known now, too: they are logged once.
        self.current = next;
        outcome
    }

    /// Takes what was reloaded last into effect.
    pub fn accept(&mut self) {
        if let Some(next) = self.next.take() {
            self.current = next;
        }
    }

    /// Whether the files with secrets contain what they did when they were last read.
    #[must_use]
    pub fn secrets_are_current(&self) -> bool {
        self.current.secrets.is_current()
    }

    /// The configuration with this text and the secrets as they are now.
    fn parse(&self, texts: &mut Texts) -> Result<(Config, Vec<String>), ConfigErrors> {
        let seen = RefCell::new(FileStates::default());
        let secrets = RefCell::new(FileStates::default());
        let read_file = |path: &Path, content: FileContent| {
            let bytes = seen.borrow_mut().read(path, content.limit(), &self.current.secrets);
            if content == FileContent::Authorities {
                // The text between certificates may have any encoding.
                return bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            }
            secrets.borrow_mut().note_newest_of(&seen.borrow());
            let bytes = bytes?;
            String::from_utf8(bytes)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
        };
        let name = self.path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let overrides = Overrides::new(&self.flags, |name| std::env::var_os(name));
        let text = texts.text.as_deref().map(|text| ConfigText { name: &name, text });
        let outcome = Config::parse(text, &overrides, self.needed, read_file);
        texts.secrets = seen.into_inner();
        let public = secrets.into_inner().public_files();
        outcome.map(|(config, warnings)| (config, warnings.into_iter().chain(public).collect()))
    }
}

fn file_text(
    path: &Path,
    seen: &mut FileStates,
    before: &FileStates,
) -> Result<String, ConfigErrors> {
    let whole = |line, message: String| {
        ConfigErrors::new(
            &path.display().to_string(),
            vec![Mistake { line, key: String::new(), message }],
        )
    };
    let bytes = seen
        .read(path, MAX_FILE_BYTES, before)
        .map_err(|error| whole(None, format!("the configuration file cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let lines = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        whole(Some(lines + 1), "is not UTF-8 text".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use secrecy::ExposeSecret as _;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Dialect;

    /// A folder with a configuration for the agent with this id; the secret's file is `secret`.
    fn folder(id: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_config(&folder, id);
        folder
    }

    fn write_config(folder: &TempDir, id: &str) {
        let text = format!(
            "api: {{tenant: acme, client_id: c, client_secret_file: secret}}\ntargets: [{{user: {id}}}]\n"
        );
        fs::write(folder.path().join("c.yml"), text).unwrap();
    }

    fn write_secret(folder: &TempDir, text: &str) {
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    fn read(folder: &TempDir) -> LoadedConfig {
        let path = folder.path().join("c.yml");
        ConfigSource::read(Some(&path), &Flags::default(), TargetsNeeded::Yes).unwrap()
    }

    /// Who is polled, and with which secret.
    fn polled(config: &Config) -> (String, String) {
        let Dialect::Reports(api) = &config.api.dialect else { panic!("reports") };
        (config.targets[0].filter.id.clone(), api.client.secret.expose_secret().to_owned())
    }

    #[test]
    fn a_text_is_used_with_later_secrets_only_once_it_was_accepted() {
        let folder = folder("user-1");
        write_secret(&folder, "first");
        let (_, _, mut source) = read(&folder);
        write_config(&folder, "user-2");
        source.reload().unwrap();
        // It was rejected for a reason that is not in the text.
        write_secret(&folder, "second");
        assert!(!source.secrets_are_current());
        let (config, _) = source.reload_secrets().unwrap();
        assert_eq!(polled(&config), ("user-1".to_owned(), "second".to_owned()));
        assert!(source.secrets_are_current());
        source.reload().unwrap();
        source.accept();
        let (config, _) = source.reload_secrets().unwrap();
        assert_eq!(polled(&config).0, "user-2");
    }

    #[test]
    fn an_invalid_secret_is_an_error_once_whatever_is_wrong_with_it() {
        let folder = folder("user-1");
        write_secret(&folder, "first");
        let (_, _, mut source) = read(&folder);
        for size in [FileContent::Secret.limit() + 1, 0, MAX_FILE_BYTES + 1] {
            write_secret(&folder, &"x".repeat(size));
            assert!(!source.secrets_are_current(), "{size}");
            source.reload_secrets().unwrap_err();
            assert!(source.secrets_are_current(), "{size}");
        }
    }

    #[test]
    fn a_pipe_gives_its_secret_once_and_reloads_go_on_with_it() {
        let folder = folder("user-1");
        let pipe = folder.path().join("secret");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let write = |text: &str| {
            let script = format!("sleep 0.1; printf {text} > \"$0\"");
            Command::new("sh").args(["-c", &script]).arg(&pipe).spawn().unwrap()
        };
        let mut writer = write("first");
        let (config, _, mut source) = read(&folder);
        assert!(writer.wait().unwrap().success());
        assert_eq!(polled(&config).1, "first");
        // Nobody writes into it again.
        assert!(source.secrets_are_current());
        assert_eq!(polled(&source.reload().unwrap().0).1, "first");
        source.accept();
        fs::remove_file(&pipe).unwrap();
        assert_eq!(polled(&source.reload_secrets().unwrap().0).1, "first");
        assert!(source.secrets_are_current());
        write_secret(&folder, "second");
        assert_eq!(polled(&source.reload().unwrap().0).1, "second");
    }

    #[test]
    fn a_changed_authority_is_reloaded_as_secrets_are() {
        let folder = folder("user-1");
        write_secret(&folder, "first");
        let path = folder.path().join("ca.pem");
        let certificate =
            || rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap().cert.pem();
        let flags = Flags::default().with("api.ca_file", path.display().to_string());
        let config = folder.path().join("c.yml");
        let read = || ConfigSource::read(Some(&config), &flags, TargetsNeeded::Yes);
        // A byte order mark hides no certificate, nor does a comment of another coding.
        let first = certificate();
        fs::write(&path, ["\u{feff}".as_bytes(), first.as_bytes(), b"\xe9\n"].concat()).unwrap();
        let (before, warnings, mut source) = read().unwrap();
        assert_eq!(warnings, Vec::<String>::new(), "certificates are public");
        assert_eq!(before.api.authorities.len(), 1);
        assert!(source.secrets_are_current());
        fs::write(&path, first + &certificate()).unwrap();
        assert!(!source.secrets_are_current());
        let (after, _) = source.reload_secrets().unwrap();
        assert_eq!(after.api.authorities.len(), 2);
        assert!(!after.api.has_access_of(&before.api));
        assert!(source.secrets_are_current());
        // Invalid ones are an error once, and the limit is that of bundles.
        for size in [FileContent::Secret.limit() + 1, MAX_FILE_BYTES + 1] {
            fs::write(&path, "x".repeat(size)).unwrap();
            let errors = source.reload_secrets().unwrap_err().to_string();
            assert_eq!(errors.contains("larger than 1048576"), size > MAX_FILE_BYTES, "{errors}");
            assert!(source.secrets_are_current());
        }
        // A pipe gives them once.
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let script = format!("sleep 0.1; printf %s '{}' > \"$0\"", certificate());
        let mut writer = Command::new("sh").args(["-c", &script]).arg(&path).spawn().unwrap();
        let (piped, _, mut source) = read().unwrap();
        assert!(writer.wait().unwrap().success());
        assert_eq!(piped.api.authorities.len(), 1);
        assert!(source.secrets_are_current());
        assert!(source.reload().unwrap().0.api.has_access_of(&piped.api));
    }

    #[test]
    fn a_secret_that_every_user_can_read_gets_a_warning() {
        let folder = folder("user-1");
        write_secret(&folder, "first");
        assert_eq!(read(&folder).1, Vec::<String>::new());
        for mode in [0o604, 0o644, 0o666] {
            let path = folder.path().join("secret");
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let warnings = read(&folder).1;
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("secret: every user of this machine"), "{warnings:?}");
        }
    }
}
