//! A Prometheus from the PATH that scrapes one exporter twice a second: in its preferred format,
//! and through a relay that requests text 0.0.4, for which older versions have no option.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use url::form_urlencoded;

use crate::strict::Series;
use crate::tools::{Running, get, repository};

/// A Prometheus that has loaded this repository's rules.
pub(crate) struct Prometheus {
    /// Its address, `HOST:PORT`.
    pub(crate) address: String,
    process: Running,
}

/// What one scrape of one job stored.
pub(crate) struct Scrape {
    /// When, in seconds since 1970.
    pub(crate) at: f64,
    /// The values, without the labels that Prometheus added.
    pub(crate) samples: HashMap<Series, f64>,
}

/// Labels and value of a query's result.
pub(crate) type Sample = (BTreeMap<String, String>, f64);

impl Prometheus {
    /// Starts it in `folder` with these rules, to scrape the exporter at `exporter` in its
    /// preferred format (job `cxone`) and in text (`cxone-text`).
    pub(crate) fn with_two_jobs(folder: &Path, exporter: &str) -> Self {
        let relay = relay_that_asks_for_text(exporter.to_owned());
        let rules = repository().join("alerts/cxone-exporter.rules.yml");
        let config = format!(
            "rule_files: ['{}']\n\
             scrape_configs:\n\
             - {{job_name: cxone, static_configs: [{{targets: ['{exporter}']}}]}}\n\
             - {{job_name: cxone-text, static_configs: [{{targets: ['{relay}']}}]}}\n",
            rules.display()
        );
        Self::start(folder, &config)
    }

    /// Starts it in `folder` with the rules in the file `rules`, to scrape the exporter at
    /// `exporter` as two replicas of one tenant, and to send alerts to the Alertmanager at
    /// `alertmanager`.
    pub(crate) fn with_two_replicas(
        folder: &Path,
        exporter: &str,
        rules: &Path,
        alertmanager: &str,
    ) -> Self {
        let relay = relay_that_asks_for_text(exporter.to_owned());
        let config = format!(
            "rule_files: ['{}']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
             scrape_configs:\n\
             - {{job_name: cxone, static_configs: [{{targets: ['{exporter}', '{relay}'], labels: {{tenant: acme}}}}]}}\n",
            rules.display()
        );
        Self::start(folder, &config)
    }

    /// Starts it in `folder`, to scrape two exporters that use different APIs: the jobs
    /// `reports` and `platform`.
    pub(crate) fn of_each_dialect(folder: &Path, reports: &str, platform: &str) -> Self {
        let config = format!(
            "scrape_configs:\n\
             - {{job_name: reports, static_configs: [{{targets: ['{reports}']}}]}}\n\
             - {{job_name: platform, static_configs: [{{targets: ['{platform}']}}]}}\n"
        );
        Self::start(folder, &config)
    }

    fn start(folder: &Path, config: &str) -> Self {
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n{config}"
        );
        fs::write(folder.join("prometheus.yml"), config).expect("the folder is ours");
        let mut command = Command::new("prometheus");
        command.args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            "--web.listen-address=127.0.0.1:0",
        ]);
        let mut process =
            Running::start(command.current_dir(folder), folder.join("prometheus.log"));
        let address = process.word_after("msg=\"Listening on\" address=");
        Self { address, process }
    }

    /// The result of an instant query, at `at` (seconds since 1970) or now.
    pub(crate) fn query(&self, query: &str, at: Option<f64>) -> Result<Vec<Sample>, String> {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("query", query);
        if let Some(at) = at {
            parameters.append_pair("time", &at.to_string());
        }
        let data = self.ask(&format!("query?{}", parameters.finish()))?;
        let found = data["result"].as_array().ok_or("no result")?;
        found.iter().map(|one| Ok((labels(&one["metric"]), number(&one["value"][1])?))).collect()
    }

    /// All samples of the newest complete scrape of `job`.
    pub(crate) fn newest_scrape(&self, job: &str) -> Result<Scrape, String> {
        // A scrape is stored in one step with its `up`.
        let newest = self.query(&format!("timestamp(up{{job=\"{job}\"}})"), None)?;
        let (_, at) = *newest.first().ok_or("no scrape yet")?;
        let found = self.query(
            &format!("{{__name__=~\"(cxone|process|scrape)_.+|up\",job=\"{job}\"}}"),
            Some(at),
        )?;
        let samples = found.into_iter().map(|(mut labels, value)| {
            labels.remove("job");
            labels.remove("instance");
            let name = labels.remove("__name__").expect("a plain selector keeps the name");
            ((name, labels), value)
        });
        Ok(Scrape { at, samples: samples.collect() })
    }

    /// Type and HELP by family, as scraped by `job`.
    pub(crate) fn metadata(&self, job: &str) -> Result<BTreeMap<String, (String, String)>, String> {
        let target: String =
            form_urlencoded::byte_serialize(format!("{{job=\"{job}\"}}").as_bytes()).collect();
        let data = self.ask(&format!("targets/metadata?match_target={target}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let families = data.as_array().ok_or("no metadata")?.iter();
        Ok(families
            .map(|one| (text(&one["metric"]), (text(&one["type"]), text(&one["help"]))))
            .collect())
    }

    /// The warnings and errors in its log: duplicates and samples out of order are only reported
    /// there.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.process
            .said()
            .lines()
            .filter(|line| ["level=warn", "level=error"].iter().any(|level| line.contains(level)))
            .map(str::to_owned)
            .collect()
    }

    fn ask(&self, path: &str) -> Result<Value, String> {
        let (_, body) = get(&self.address, &format!("/api/v1/{path}"), "application/json")
            .map_err(|error| error.to_string())?;
        let mut answer: Value =
            serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }
}

impl Scrape {
    /// Labels and values of one name.
    pub(crate) fn family(
        &self,
        name: &str,
    ) -> impl Iterator<Item = (&BTreeMap<String, String>, f64)> {
        self.samples
            .iter()
            .filter(move |((own, _), _)| own == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    /// The value of the one series of that name that has these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64, String> {
        let fits = |own: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| own.get(*label).is_some_and(|own| own == value))
        };
        let found: Vec<f64> =
            self.family(name).filter(|(own, _)| fits(own)).map(|(_, value)| value).collect();
        if let [value] = found[..] {
            Ok(value)
        } else {
            Err(format!("{} series {name}{labels:?}", found.len()))
        }
    }

    /// The value of the one series of that name.
    pub(crate) fn only(&self, name: &str) -> Result<f64, String> {
        self.value(name, &[])
    }
}

fn labels(metric: &Value) -> BTreeMap<String, String> {
    let pairs = metric.as_object().into_iter().flatten();
    pairs
        .map(|(label, value)| (label.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn number(value: &Value) -> Result<f64, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{value} is not a number"))
}

/// Answers every request with the exporter's metrics in text 0.0.4 as long as the test runs;
/// returns its address.
#[allow(clippy::disallowed_methods, reason = "the house rule is for the exporter's own threads")]
fn relay_that_asks_for_text(exporter: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // Prometheus counts an interrupted scrape as failed, which the test detects.
            let _relayed = client.and_then(|client| relay(client, &exporter));
        }
    });
    address
}

fn relay(mut client: TcpStream, exporter: &str) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut chunk)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    let mut upstream = TcpStream::connect(exporter)?;
    write!(
        upstream,
        "GET /metrics HTTP/1.0\r\nHost: {exporter}\r\nAccept: text/plain;version=0.0.4\r\n\r\n"
    )?;
    io::copy(&mut upstream, &mut client).map(|_| ())
}
