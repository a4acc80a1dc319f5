//! The web configuration is read again when its file, or one that it names, changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use crate::config::Seen;
use crate::config::web::{Reading, WebConfig, read_file};
use crate::tasks;

/// How often is looked for changes.
const EVERY: Duration = Duration::from_secs(2);

/// What came of a change.
#[derive(Debug)]
pub enum Changed {
    /// The new configuration counts.
    Taken(Arc<WebConfig>),
    /// It is wrong, for what follows, and the last good one goes on.
    Refused(String),
}

/// Looks for changes of the web configuration at `path`, of which `seen` was read, until `stop` is
/// cancelled. Each change is told once.
pub async fn watch(
    path: PathBuf,
    mut seen: Seen,
    gate: Arc<Gate>,
    tell: impl Fn(Changed) + Send,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let (of, before) = (path.clone(), seen.clone());
        let reading =
            tasks::off_thread(move || (!before.is_current()).then(|| read_file(&of, &before)))
                .await;
        let Some(reading) = reading else { continue };
        tell(take(&gate, &reading));
        seen = reading.seen;
    }
}

/// Lets a reading count, unless it is wrong.
fn take(gate: &Gate, reading: &Reading) -> Changed {
    match &reading.outcome {
        Err(mistakes) => Changed::Refused(mistakes.to_string()),
        Ok((config, _)) => match loosened(&gate.current(), config) {
            Some(what) => Changed::Refused(format!(
                "{what} while the exporter runs: restart it, if that is what you want"
            )),
            None => {
                gate.replace(config.clone());
                Changed::Taken(gate.current())
            }
        },
    }
}

/// What a file that is being written, and is empty at the moment, would take away.
fn loosened(before: &WebConfig, after: &WebConfig) -> Option<&'static str> {
    if before.tls.is_some() && after.tls.is_none() {
        Some("tls_server_config is gone: TLS is not turned off")
    } else if !before.users.is_empty() && after.users.is_empty() {
        Some("basic_auth_users is gone: passwords are not done away with")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn reading(folder: &tempfile::TempDir, text: &str) -> Reading {
        let path = folder.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        read_file(&path, &Seen::default())
    }

    #[tokio::test]
    async fn a_right_file_counts_a_wrong_one_and_one_that_opens_the_door_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let with = |users: &str| reading(&folder, &format!("basic_auth_users: {{{users}}}\n"));
        let gate = Gate::new(with(&format!("ann: {HASH}")).outcome.unwrap().0, Clock::system());
        let Changed::Refused(why) = take(&gate, &reading(&folder, "basic_auth_user: {}\n")) else {
            panic!("taken")
        };
        assert!(why.contains(":1: basic_auth_user: unknown key"), "{why}");
        let Changed::Refused(why) = take(&gate, &reading(&folder, "")) else { panic!("taken") };
        assert!(why.contains("restart"), "{why}");
        assert!(gate.current().users.contains_key("ann"));
        let taken = take(&gate, &with(&format!("bob: {HASH}")));
        assert!(
            matches!(taken, Changed::Taken(config) if config.users.contains_key("bob") && !config.users.contains_key("ann"))
        );
    }

    #[test]
    fn a_change_is_seen_whatever_its_time_and_a_file_that_appears_too() {
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
