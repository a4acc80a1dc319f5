//! An Alertmanager from the PATH with the routes and inhibitions of `alerts/`, with short waits,
//! and a webhook that keeps its notifications.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::tools::{Running, get, repository};

/// Its name in Debian.
pub(crate) const PROGRAM: &str = "prometheus-alertmanager";

/// An Alertmanager that notifies a webhook of ours.
pub(crate) struct Alertmanager {
    /// Its address, `HOST:PORT`.
    pub(crate) address: String,
    notified: Arc<Mutex<Vec<Notified>>>,
    _process: Running,
}

/// A notification about one alert.
#[derive(Clone, Debug)]
pub(crate) struct Notified {
    /// Its receiver.
    pub(crate) receiver: String,
    /// Status, labels, annotations and times.
    pub(crate) alert: Value,
}

impl Notified {
    /// Whether it notifies `receiver` that the alert with these labels has this status.
    pub(crate) fn is(&self, receiver: &str, status: &str, labels: &[(&str, &str)]) -> bool {
        self.receiver == receiver && self.alert["status"] == status && has(&self.alert, labels)
    }
}

impl Alertmanager {
    /// Starts it in `folder`. Its waits are a second or two, and firing alerts are repeated every
    /// two seconds.
    pub(crate) fn start(folder: &Path) -> Self {
        let notified = Arc::default();
        let webhook = webhook(Arc::clone(&notified));
        let shipped = fs::read_to_string(repository().join("alerts/alertmanager-inhibit.yml"))
            .expect("it is part of the repository");
        let mut config = shipped.clone();
        for (slow, fast) in [
            ("group_wait: 10s", "group_wait: 0s"),
            ("group_interval: 1m", "group_interval: 1s"),
            ("repeat_interval: 30m", "repeat_interval: 2s"),
        ] {
            assert_eq!(config.matches(slow).count(), 1, "{slow}");
            config = config.replace(slow, fast);
        }
        config = config.replace(
            "route:\n",
            "route:\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 2s\n",
        );
        for receiver in ["operators", "supervisors"] {
            let named = format!("  - name: {receiver}\n");
            assert!(config.contains(&named), "{receiver}");
            config = config.replace(
                &named,
                &format!("{named}    webhook_configs: [{{url: 'http://{webhook}/'}}]\n"),
            );
        }
        fs::write(folder.join("alertmanager.yml"), config).expect("the folder is ours");
        let mut command = Command::new(PROGRAM);
        command.args([
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            "--web.listen-address=127.0.0.1:0",
        ]);
        command.arg("--cluster.listen-address=").current_dir(folder);
        let mut process = Running::start(&mut command, folder.join("alertmanager.log"));
        let address = process.word_after("msg=\"Listening on\" address=");
        Self { address, notified, _process: process }
    }

    /// All notifications so far, in order.
    pub(crate) fn notified(&self) -> Vec<Notified> {
        self.notified.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first notification that `wanted` accepts.
    pub(crate) fn first(&self, wanted: impl Fn(&Notified) -> bool) -> Result<Notified, String> {
        let all = self.notified();
        all.iter()
            .find(|one| wanted(one))
            .cloned()
            .ok_or_else(|| format!("not among these notifications: {all:#?}"))
    }

    /// The one alert with these labels, from the API.
    pub(crate) fn alert(&self, labels: &[(&str, &str)]) -> Result<Value, String> {
        let (_, body) = get(&self.address, "/api/v2/alerts", "application/json")
            .map_err(|error| error.to_string())?;
        let alerts: Vec<Value> =
            serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        let found: Vec<Value> = alerts.into_iter().filter(|alert| has(alert, labels)).collect();
        if let [alert] = &found[..] {
            Ok(alert.clone())
        } else {
            Err(format!("{} alerts {labels:?}: {body}", found.len()))
        }
    }
}

fn has(alert: &Value, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(label, value)| alert["labels"][*label] == *value)
}

/// Keeps every alert of every notification as long as the test runs; returns its address.
#[allow(clippy::disallowed_methods, reason = "the house rule is for the exporter's own threads")]
fn webhook(notified: Arc<Mutex<Vec<Notified>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // Alertmanager retries failed notifications.
            let Ok(reported) = client.and_then(answer) else { continue };
            let receiver = reported["receiver"].as_str().unwrap_or_default();
            let alerts = reported["alerts"].as_array().into_iter().flatten();
            let new = alerts
                .map(|alert| Notified { receiver: receiver.to_owned(), alert: alert.clone() });
            notified.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
        }
    });
    address
}

/// Reads one request, answers 200, and hangs up.
fn answer(mut client: TcpStream) -> io::Result<Value> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    serde_json::from_slice(&body).map_err(io::Error::other)
}
