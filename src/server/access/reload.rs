//! The web configuration is reloaded when its file, or one that it names, changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AccessControl;
use crate::config::FileStates;
use crate::config::web::{WebConfig, WebConfigRead, read_file};
use crate::tasks;

/// How often changes are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The outcome of a change.
#[derive(Debug)]
pub enum WebConfigChange {
    /// The new configuration is in effect.
    Loaded(Arc<WebConfig>),
    /// It is invalid, for this reason; the previous one stays in effect.
    Rejected(String),
}

/// Reloads the web configuration at `path`, of which `seen` was read, whenever it changes, until
/// `stop` is cancelled. Reports each change once.
pub async fn watch_web_config(
    path: PathBuf,
    mut seen: FileStates,
    access: Arc<AccessControl>,
    report: impl Fn(WebConfigChange) + Send,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL)).await.is_some() {
        let (of, before) = (path.clone(), seen.clone());
        let reading =
            tasks::off_thread(move || (!before.is_current()).then(|| read_file(&of, &before)))
                .await;
        let Some(reading) = reading else { continue };
        report(apply(&access, &reading));
        seen = reading.seen;
    }
}

/// Puts a reading into effect, unless it is invalid.
fn apply(access: &AccessControl, reading: &WebConfigRead) -> WebConfigChange {
    match &reading.outcome {
        Err(mistakes) => WebConfigChange::Rejected(mistakes.to_string()),
        Ok((config, _)) => match removes_protection(&access.current(), config) {
            Some(what) => WebConfigChange::Rejected(format!("{what} without a restart")),
            None => {
                access.replace(config.clone());
                WebConfigChange::Loaded(access.current())
            }
        },
    }
}

/// Which protection the change would remove. A file that is being written may be empty for a
/// moment, and must not open the server.
fn removes_protection(before: &WebConfig, after: &WebConfig) -> Option<&'static str> {
    if before.tls.is_some() && after.tls.is_none() {
        Some("tls_server_config is missing: TLS is not disabled")
    } else if !before.users.is_empty() && after.users.is_empty() {
        Some("basic_auth_users is missing: authentication is not disabled")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn reading(folder: &tempfile::TempDir, text: &str) -> WebConfigRead {
        let path = folder.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        read_file(&path, &FileStates::default())
    }

    #[tokio::test]
    async fn a_valid_file_is_loaded_and_one_that_is_invalid_or_removes_protection_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let with = |users: &str| reading(&folder, &format!("basic_auth_users: {{{users}}}\n"));
        let access =
            AccessControl::new(with(&format!("ann: {HASH}")).outcome.unwrap().0, Clock::system());
        let WebConfigChange::Rejected(why) =
            apply(&access, &reading(&folder, "basic_auth_user: {}\n"))
        else {
            panic!("loaded")
        };
        assert!(why.contains(":1: basic_auth_user: unknown key"), "{why}");
        let WebConfigChange::Rejected(why) = apply(&access, &reading(&folder, "")) else {
            panic!("loaded")
        };
        assert!(why.contains("restart"), "{why}");
        assert!(access.current().users.contains_key("ann"));
        let loaded = apply(&access, &with(&format!("bob: {HASH}")));
        assert!(
            matches!(loaded, WebConfigChange::Loaded(config) if config.users.contains_key("bob") && !config.users.contains_key("ann"))
        );
    }

    #[test]
    fn a_change_is_noticed_whatever_its_timestamp_and_so_is_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let seen = reading(&folder, "rate_limit: {interval: 1s, burst: 1}\n").seen;
        assert!(seen.is_current());
        let other = reading(&folder, "rate_limit: {interval: 1s, burst: 2}\n").seen;
        assert!(!seen.is_current() && other.is_current());
        let missing =
            reading(&folder, "tls_server_config: {cert_file: a.pem, key_file: a.pem}\n").seen;
        assert!(missing.is_current());
        std::fs::write(folder.path().join("a.pem"), "").unwrap();
        assert!(!missing.is_current());
    }
}
