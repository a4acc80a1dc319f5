//! The exporter's metrics about itself: its requests, jobs, quota and process.

mod by_labels;
mod change_counted;
mod counts;
mod process;
mod self_status;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use by_labels::Labels;
use change_counted::ChangeCounted;
use counts::Counts;
use process::{LogMessages, Process};

use crate::build_info;
use crate::cxone::{ApiEndpoint, ClientEvent};
use crate::exposition::{EncodedMetrics, ExporterMetrics, families};
use cxone_core::counts::RowCounts;
use cxone_core::plan::fetch::FailureReason;
use cxone_core::plan::server_clock::DateNoted;
use cxone_core::report::{LenientForm, RowOddities, RowRejection};
use cxone_core::time::Timestamp;

pub use self_status::SelfStatus;

/// The exporter's own metrics.
#[derive(Debug)]
pub struct Telemetry {
    counts: ChangeCounted<Counts>,
    /// Writes [`Counts`], and what does not change at all.
    counted: Registry,
    /// Writes what may differ at each scrape.
    moving: Registry,
    encoded: Mutex<EncodedCounts>,
}

/// The counts as last encoded, and how many changes they had seen then. To encode and compress
/// them at each scrape would cost more than the rest of a small page.
#[derive(Debug)]
struct EncodedCounts {
    changes: u64,
    text: Arc<EncodedMetrics>,
}

/// The quota, for its gauges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaFacts {
    /// Maximum number of report jobs per minute.
    pub limit: u32,
    /// Of these, reserved for other commands.
    pub reserved: u32,
    /// What the targets require, relative to the limit.
    pub demand_ratio: f64,
}

impl Telemetry {
    /// All of them at their beginning: every closed set of labels is there, at 0.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        let (mut counted, mut moving) = (Registry::default(), Registry::default());
        register_facts(&mut counted, started);
        let counts = ChangeCounted::new(Counts::new(&mut counted));
        moving.register_collector(Box::new(Process::new()));
        moving.register_collector(Box::new(LogMessages));
        let last = EncodedCounts {
            changes: counts.changes(),
            text: Arc::new(EncodedMetrics::new(encoded(&counted))),
        };
        Self { counts, counted, moving, encoded: Mutex::new(last) }
    }

    /// All metrics. What did not change since it was last encoded is the same text as then.
    #[must_use]
    pub fn exporter_metrics(&self) -> ExporterMetrics {
        let moving = encoded(&self.moving);
        let mut last = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before encoding: a change in between is left to the next scrape, not lost.
        let changes = self.counts.changes();
        if last.changes != changes {
            *last = EncodedCounts {
                changes,
                text: Arc::new(EncodedMetrics::new(encoded(&self.counted))),
            };
        }
        ExporterMetrics { counted: Arc::clone(&last.text), moving }
    }

    /// Takes note of what happened in the client.
    pub fn client_event(&self, event: &ClientEvent) {
        let counts = self.counts.change();
        match event {
            ClientEvent::Exchange(exchange) => {
                let code =
                    exchange.code.map_or_else(|| "error".to_owned(), |code| code.to_string());
                counts.requests.of(with_code(exchange.endpoint, &code)).inc();
                let took = exchange.answered.instant.since(exchange.sent.instant);
                counts.request_duration.of(labels(exchange.endpoint)).observe(took.as_secs_f64());
                if exchange.code == Some(429) {
                    counts.throttled.of(labels(exchange.endpoint)).inc();
                }
            }
            ClientEvent::TokenRefreshed { expires } => {
                counts.token_refreshes.inc();
                let mut known = counts.self_status.lock();
                (known.token_expiry, known.token_refresh_failed) = (Some(*expires), false);
            }
            ClientEvent::TokenRefreshFailed(_) => {
                counts.token_refresh_failures.inc();
                counts.self_status.lock().token_refresh_failed = true;
            }
        }
    }

    /// What an answer's `Date` changed.
    pub fn date_noted(&self, noted: DateNoted) {
        if noted == DateNoted::default() {
            return;
        }
        let counts = self.counts.change();
        if let Some(fault) = noted.fault {
            counts.dates_rejected.of(vec![("reason", fault.as_str().to_owned())]).inc();
        }
        counts.clock_steps.inc_by(u64::from(noted.step_millis.is_some()));
    }

    /// A job was submitted.
    pub fn job_submitted(&self) {
        let counts = self.counts.change();
        counts.jobs.inc();
    }

    /// A job gave its report, so long after its submission.
    pub fn job_completed(&self, age: Duration) {
        let counts = self.counts.change();
        counts.up.set(1);
        counts.job_duration.observe(age.as_secs_f64());
    }

    /// A job came to nothing.
    pub fn job_failed(&self, reason: FailureReason) {
        let counts = self.counts.change();
        counts.up.set(0);
        counts.job_failures.of(vec![("reason", reason.as_str().to_owned())]).inc();
    }

    /// An earlier process left data: `up` is whether its newest finished job succeeded, as far as
    /// is known.
    pub fn restored(&self, up: bool) {
        self.counts.change().up.set(i64::from(up));
    }

    /// The store can be used.
    pub fn store_opened(&self, size_bytes: u64) {
        let counts = self.counts.change();
        counts.store_up.set(1);
        counts.store_size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
    }

    /// A commit to the store took so long, and the store is so large now.
    pub fn store_committed(&self, took: Duration, size_bytes: u64, succeeded: bool) {
        let counts = self.counts.change();
        counts.store_commit_duration.observe(took.as_secs_f64());
        counts.store_size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        counts.store_up.set(i64::from(succeeded));
        if !succeeded {
            counts.store_commit_failures.inc();
        }
    }

    /// A commit to the store has taken too long, and is not over yet.
    pub fn store_commit_timed_out(&self) {
        let counts = self.counts.change();
        counts.store_up.set(0);
    }

    /// ClientEvent time that no report will ever cover.
    pub fn history_gap(&self, gap: Duration) {
        let counts = self.counts.change();
        counts.history_gap.inc_by(gap.as_secs_f64());
    }

    /// A report was taken in.
    pub fn report_applied(&self, applied: &RowCounts) {
        let counts = self.counts.change();
        counts.rows.inc_by(applied.rows);
        counts.rows_revised.inc_by(applied.revised);
        counts.rows_late.inc_by(applied.late);
    }

    /// A report was read, whether it counts or not, and not all of its rows are as documented.
    pub fn rows_irregular(&self, oddities: &RowOddities) {
        let counts = self.counts.change();
        for reason in RowRejection::ALL {
            let rejected = counts.rows_rejected.of(vec![("reason", reason.as_str().to_owned())]);
            rejected.inc_by(oddities.rejected(reason));
        }
        for form in LenientForm::ALL {
            let lenient = counts.rows_lenient.of(vec![("form", form.as_str().to_owned())]);
            lenient.inc_by(oddities.lenient(form));
        }
    }

    /// How many jobs CXone works on, how long jobs have waited for the quota in all, and how far
    /// CXone's clock is from ours.
    pub fn tick(&self, in_flight: usize, quota_wait: Duration, clock_skew: Option<f64>) {
        let counts = self.counts.change();
        counts.jobs_in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        let mut known = counts.self_status.lock();
        known.clock_skew = clock_skew;
        // Less than before is the wait of another plan, which began with the configuration.
        let grown = quota_wait.checked_sub(known.quota_wait).unwrap_or(quota_wait);
        known.quota_wait = quota_wait;
        counts.quota_wait.inc_by(grown.as_secs_f64());
    }

    /// The web configuration is right; `certificate_expiry` is that of its certificate, if it has
    /// one.
    pub fn web_config_loaded(&self, certificate_expiry: Option<Timestamp>) {
        let counts = self.counts.change();
        let mut known = counts.self_status.lock();
        (known.certificate_expiry, known.web_config_is_valid) = (certificate_expiry, Some(true));
    }

    /// The web configuration has changed and is invalid; the previous one stays in effect.
    pub fn web_config_rejected(&self) {
        let counts = self.counts.change();
        counts.self_status.lock().web_config_is_valid = Some(false);
    }

    /// These endpoints are called from now on.
    pub fn add_endpoints(&self, endpoints: &[ApiEndpoint]) {
        let counts = self.counts.change();
        counts.begin_endpoints(endpoints);
    }

    /// What the quota is from now on.
    pub fn set_quota(&self, quota: QuotaFacts) {
        let counts = self.counts.change();
        counts.quota_limit.set(f64::from(quota.limit));
        counts.quota_reserved.set(f64::from(quota.reserved));
        counts.quota_demand.set(quota.demand_ratio);
    }

    /// A configuration was loaded.
    pub fn config_loaded(&self, now: Timestamp) {
        let counts = self.counts.change();
        counts.config_is_valid.set(1);
        counts.config_loaded_at.set(seconds(now));
        let mut known = counts.self_status.lock();
        (known.config_loaded_at, known.config_rejected_at) = (Some(now), None);
    }

    /// A configuration was rejected; the previous one stays in effect.
    pub fn config_rejected(&self, now: Timestamp) {
        let counts = self.counts.change();
        counts.config_is_valid.set(0);
        counts.self_status.lock().config_rejected_at = Some(now);
    }

    /// What is known by now.
    #[must_use]
    pub fn self_status(&self) -> SelfStatus {
        *self.counts.get().self_status.lock()
    }
}

fn encoded(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)
        .expect("a string takes all that is written");
    text
}

fn register<M: Metric + Clone>(registry: &mut Registry, family: families::Family, metric: M) -> M {
    registry.register(family.family_name(), family.help, metric.clone());
    metric
}

/// What does not change while the process runs.
fn register_facts(registry: &mut Registry, started: Timestamp) {
    register(registry, families::PROCESS_START_TIME, Gauge::<f64, AtomicU64>::default())
        .set(seconds(started));
    let build = Info::new(vec![
        ("version", build_info::VERSION),
        ("revision", build_info::REVISION),
        ("branch", build_info::BRANCH),
        ("rustversion", build_info::RUST_VERSION),
        ("os", build_info::OS),
        ("arch", build_info::ARCH),
    ]);
    registry.register(families::BUILD_INFO.family_name(), families::BUILD_INFO.help, build);
}

fn labels(endpoint: ApiEndpoint) -> Labels {
    vec![("endpoint", endpoint.as_str().to_owned())]
}

fn with_code(endpoint: ApiEndpoint, code: &str) -> Labels {
    vec![("endpoint", endpoint.as_str().to_owned()), ("code", code.to_owned())]
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit 53 bits until the year 287396"
)]
fn seconds(time: Timestamp) -> f64 {
    time.millis() as f64 / 1000.0
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    family: families::Family,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder =
        encoder.encode_descriptor(family.family_name(), family.help, None, metric.metric_type())?;
    metric.encode(encoder)
}

#[allow(clippy::cast_precision_loss, reason = "a metric's value is a 64-bit float")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, render};
    use cxone_core::page::snapshot::Snapshot;

    fn text(own: &ExporterMetrics) -> String {
        let page = render(Snapshot::default(), None).page(Format::OpenMetrics, own);
        String::from_utf8(page.plain().collect::<Vec<_>>().concat()).expect("a page is text")
    }

    #[test]
    fn unchanged_metrics_share_their_text_and_changes_are_visible_at_once() {
        let telemetry = Telemetry::new(Timestamp::from_millis(0));
        let first = telemetry.exporter_metrics();
        assert!(Arc::ptr_eq(&first.counted, &telemetry.exporter_metrics().counted));
        assert!(text(&first).contains("\ncxone_report_jobs_total 0\n"));
        telemetry.job_submitted();
        let second = telemetry.exporter_metrics();
        assert!(text(&second).contains("\ncxone_report_jobs_total 1\n"), "{}", text(&second));
        assert!(Arc::ptr_eq(&second.counted, &telemetry.exporter_metrics().counted));
    }

    #[test]
    fn only_endpoints_that_are_called_have_metrics_and_in_the_same_order_on_every_page() {
        let page = || {
            let telemetry = Telemetry::new(Timestamp::from_millis(0));
            telemetry.add_endpoints(&ApiEndpoint::OF_REPORTS);
            text(&telemetry.exporter_metrics())
        };
        let series = |page: &str| -> Vec<String> {
            let series = page.lines().filter(|line| line.starts_with("cxone_"));
            series.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
        };
        let first = page();
        let requests: Vec<&str> = first
            .lines()
            .filter_map(|line| line.strip_prefix("cxone_api_requests_total"))
            .collect();
        assert_eq!(
            requests,
            [
                r#"{endpoint="poll",code="200"} 0"#,
                r#"{endpoint="poll",code="error"} 0"#,
                r#"{endpoint="submit",code="200"} 0"#,
                r#"{endpoint="submit",code="error"} 0"#,
                r#"{endpoint="token",code="200"} 0"#,
                r#"{endpoint="token",code="error"} 0"#,
            ]
        );
        for _ in 0..8 {
            assert_eq!(series(&page()), series(&first));
        }
    }

    #[test]
    fn the_process_is_read_at_each_scrape() {
        let telemetry = Telemetry::new(Timestamp::from_millis(0));
        let open_files = || {
            let text = text(&telemetry.exporter_metrics());
            let value = text.lines().find_map(|line| line.strip_prefix("process_open_fds "));
            value.map(|value| value.parse::<u32>().expect("a number"))
        };
        let before = open_files().expect("Linux reports it");
        // Other tests open and close files meanwhile, but far fewer.
        let files: Vec<_> =
            (0..200).map(|_| std::fs::File::open("/dev/null").expect("it is there")).collect();
        assert!(open_files().expect("Linux reports it") > before + 100);
        drop(files);
    }
}
