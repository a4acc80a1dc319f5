//! The exporter's metrics about itself: its requests, jobs, quota and process.

mod known;
mod process;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use process::{LogMessages, Process};

use crate::cxone::{Endpoint, Event};
use crate::domain::fetch::Failure;
use crate::domain::ledger::Applied;
use crate::domain::report::{Report, RowRejection};
use crate::domain::time::Timestamp;
use crate::exposition::families;

pub use known::Known;
use known::{NowAndThen, Shared};

type Labels = Vec<(&'static str, String)>;
type Seconds = Counter<f64, AtomicU64>;
type HistogramOf = fn() -> Histogram;

/// Upper bounds for the time of one request, in seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds for the time from submit to data, in seconds.
const JOB_BUCKETS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0];

/// Upper bounds for the time of one commit, in seconds.
const COMMIT_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// The exporter's own metrics.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    now_and_then: Arc<NowAndThen>,
    up: Gauge,
    rows: Counter,
    rows_revised: Counter,
    rows_late: Counter,
    rows_rejected: Family<Labels, Counter>,
    jobs: Counter,
    job_failures: Family<Labels, Counter>,
    jobs_in_flight: Gauge,
    job_duration: Histogram,
    requests: Family<Labels, Counter>,
    request_duration: Family<Labels, Histogram, HistogramOf>,
    throttled: Family<Labels, Counter>,
    quota_wait: Seconds,
    history_gap: Seconds,
    store_up: Gauge,
    store_commit_failures: Counter,
    store_commit_duration: Histogram,
    store_size: Gauge,
    quota_limit: Gauge<f64, AtomicU64>,
    quota_reserved: Gauge<f64, AtomicU64>,
    quota_demand: Gauge<f64, AtomicU64>,
    config_is_right: Gauge,
    config_taken: Gauge<f64, AtomicU64>,
    token_refreshes: Counter,
    token_refresh_failures: Counter,
}

/// What the quota is, for its gauges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaFacts {
    /// Report jobs a minute that CXone allows.
    pub limit: u32,
    /// Of these, left free for other commands.
    pub reserved: u32,
    /// What the targets ask for over the limit.
    pub demand_ratio: f64,
}

impl Telemetry {
    /// All of them at their beginning: every closed set of labels is there, at 0.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        let mut registry = Registry::default();
        let now_and_then = Arc::new(NowAndThen::default());
        register_facts(&mut registry, started);
        registry.register_collector(Box::new(Shared(Arc::clone(&now_and_then))));
        registry.register_collector(Box::new(Process::new()));
        registry.register_collector(Box::new(LogMessages));
        let in_registry = &mut registry;
        let telemetry = Self {
            up: register(in_registry, families::UP, Gauge::default()),
            rows: register(in_registry, families::REPORT_ROWS, Counter::default()),
            rows_revised: register(in_registry, families::REPORT_ROWS_REVISED, Counter::default()),
            rows_late: register(in_registry, families::REPORT_ROWS_LATE, Counter::default()),
            rows_rejected: register(in_registry, families::REPORT_ROWS_REJECTED, Family::default()),
            jobs: register(in_registry, families::REPORT_JOBS, Counter::default()),
            job_failures: register(in_registry, families::REPORT_JOB_FAILURES, Family::default()),
            jobs_in_flight: register(in_registry, families::REPORT_JOBS_IN_FLIGHT, Gauge::default()),
            job_duration: register(in_registry, families::REPORT_JOB_DURATION, Histogram::new(JOB_BUCKETS)),
            requests: register(in_registry, families::API_REQUESTS, Family::default()),
            request_duration: register(
                in_registry,
                families::API_REQUEST_DURATION,
                Family::new_with_constructor((|| Histogram::new(REQUEST_BUCKETS)) as HistogramOf),
            ),
            throttled: register(in_registry, families::API_THROTTLED, Family::default()),
            quota_wait: register(in_registry, families::QUOTA_WAIT_SECONDS, Counter::default()),
            history_gap: register(in_registry, families::HISTORY_GAP_SECONDS, Counter::default()),
            store_up: register(in_registry, families::STORE_UP, Gauge::default()),
            store_commit_failures: register(in_registry, families::STORE_COMMIT_FAILURES, Counter::default()),
            store_commit_duration: register(in_registry, families::STORE_COMMIT_DURATION, Histogram::new(COMMIT_BUCKETS)),
            store_size: register(in_registry, families::STORE_SIZE, Gauge::default()),
            quota_limit: register(in_registry, families::QUOTA_REPORT_JOBS_LIMIT, Gauge::default()),
            quota_reserved: register(in_registry, families::QUOTA_REPORT_JOBS_RESERVED, Gauge::default()),
            quota_demand: register(in_registry, families::QUOTA_DEMAND_RATIO, Gauge::default()),
            config_is_right: register(in_registry, families::CONFIG_LAST_RELOAD_SUCCESSFUL, Gauge::default()),
            config_taken: register(in_registry, families::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP, Gauge::default()),
            token_refreshes: register(in_registry, families::TOKEN_REFRESHES, Counter::default()),
            token_refresh_failures: register(in_registry, families::TOKEN_REFRESH_FAILURES, Counter::default()),
            now_and_then,
            registry,
        };
        telemetry.begin_at_zero();
        telemetry
    }

    fn begin_at_zero(&self) {
        for reason in RowRejection::ALL {
            let _created = self.rows_rejected.get_or_create(&vec![("reason", reason.as_str().to_owned())]);
        }
        for reason in Failure::ALL {
            let _created = self.job_failures.get_or_create(&vec![("reason", reason.as_str().to_owned())]);
        }
        for endpoint in Endpoint::ALL {
            let _created = self.throttled.get_or_create(&labels(endpoint));
            let _created = self.request_duration.get_or_create(&labels(endpoint));
            for code in ["200", "error"] {
                let _created = self.requests.get_or_create(&with_code(endpoint, code));
            }
        }
    }

    /// All metrics, as OpenMetrics text.
    #[must_use]
    pub fn openmetrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a string takes all that is written");
        text
    }

    /// Takes note of what happened in the client.
    pub fn client_event(&self, event: &Event) {
        match event {
            Event::Exchange(exchange) => {
                let code = exchange.code.map_or_else(|| "error".to_owned(), |code| code.to_string());
                self.requests.get_or_create(&with_code(exchange.endpoint, &code)).inc();
                let took = exchange.answered.instant.since(exchange.sent.instant);
                self.request_duration.get_or_create(&labels(exchange.endpoint)).observe(took.as_secs_f64());
                if exchange.code == Some(429) {
                    self.throttled.get_or_create(&labels(exchange.endpoint)).inc();
                }
            }
            Event::TokenRefreshed { expires } => {
                self.token_refreshes.inc();
                self.now_and_then.lock().token_expiry = Some(*expires);
            }
            Event::TokenRefreshFailed(_) => {
                self.token_refresh_failures.inc();
            }
        }
    }

    /// A job was submitted.
    pub fn job_submitted(&self) {
        self.jobs.inc();
    }

    /// A job gave its report, so long after its submission.
    pub fn job_completed(&self, age: Duration) {
        self.up.set(1);
        self.job_duration.observe(age.as_secs_f64());
    }

    /// A job came to nothing.
    pub fn job_failed(&self, reason: Failure) {
        self.up.set(0);
        self.job_failures.get_or_create(&vec![("reason", reason.as_str().to_owned())]).inc();
    }

    /// An earlier process left data: its newest finished job, as far as is known, succeeded.
    pub fn restored(&self, size_bytes: u64) {
        self.up.set(1);
        self.store_opened(size_bytes);
    }

    /// The store can be used.
    pub fn store_opened(&self, size_bytes: u64) {
        self.store_up.set(1);
        self.store_size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
    }

    /// A commit to the store took so long, and the store is so large now.
    pub fn store_committed(&self, took: Duration, size_bytes: u64, succeeded: bool) {
        self.store_commit_duration.observe(took.as_secs_f64());
        self.store_size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        self.store_up.set(i64::from(succeeded));
        if !succeeded {
            self.store_commit_failures.inc();
        }
    }

    /// Event time that no report will ever cover.
    pub fn history_gap(&self, gap: Duration) {
        self.history_gap.inc_by(gap.as_secs_f64());
    }

    /// A report was taken in.
    pub fn report_applied(&self, report: &Report, applied: &Applied) {
        self.rows.inc_by(applied.rows);
        self.rows_revised.inc_by(applied.revised);
        self.rows_late.inc_by(applied.late);
        for reason in RowRejection::ALL {
            let cut = if reason == RowRejection::CutBucket { applied.cut_buckets } else { 0 };
            self.rows_rejected.get_or_create(&vec![("reason", reason.as_str().to_owned())]).inc_by(report.rejected(reason) + cut);
        }
    }

    /// How many jobs CXone works on, how long jobs have waited for the quota in all, and how far CXone's clock is from ours.
    pub fn tick(&self, in_flight: usize, quota_wait: Duration, clock_skew: Option<f64>) {
        self.jobs_in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        let mut known = self.now_and_then.lock();
        known.clock_skew = clock_skew;
        // Less than before is the wait of another plan, which began with the configuration.
        let grown = quota_wait.checked_sub(known.quota_wait).unwrap_or(quota_wait);
        known.quota_wait = quota_wait;
        self.quota_wait.inc_by(grown.as_secs_f64());
    }

    /// The web configuration is right; `certificate_expiry` is that of its certificate, if it has one.
    pub fn web_config_taken(&self, certificate_expiry: Option<Timestamp>) {
        let mut known = self.now_and_then.lock();
        (known.certificate_expiry, known.web_config_is_right) = (certificate_expiry, Some(true));
    }

    /// The web configuration has changed and is wrong now; the one before goes on.
    pub fn web_config_refused(&self) {
        self.now_and_then.lock().web_config_is_right = Some(false);
    }

    /// A configuration counts from now on.
    pub fn config_taken(&self, quota: QuotaFacts, now: Timestamp) {
        self.quota_limit.set(f64::from(quota.limit));
        self.quota_reserved.set(f64::from(quota.reserved));
        self.quota_demand.set(quota.demand_ratio);
        self.config_is_right.set(1);
        self.config_taken.set(seconds(now));
        let mut known = self.now_and_then.lock();
        (known.config_taken, known.config_refused) = (Some(now), None);
    }

    /// The configuration was read again and is wrong; the one before goes on.
    pub fn config_refused(&self, now: Timestamp) {
        self.config_is_right.set(0);
        self.now_and_then.lock().config_refused = Some(now);
    }

    /// What is known by now.
    #[must_use]
    pub fn known(&self) -> Known {
        *self.now_and_then.lock()
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, family: families::Family, metric: M) -> M {
    registry.register(family.family_name(), family.help, metric.clone());
    metric
}

/// What does not change while the process runs.
fn register_facts(registry: &mut Registry, started: Timestamp) {
    register(registry, families::PROCESS_START_TIME, Gauge::<f64, AtomicU64>::default()).set(seconds(started));
    let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register(families::BUILD_INFO.family_name(), families::BUILD_INFO.help, version);
}

fn labels(endpoint: Endpoint) -> Labels {
    vec![("endpoint", endpoint.as_str().to_owned())]
}

fn with_code(endpoint: Endpoint, code: &str) -> Labels {
    vec![("endpoint", endpoint.as_str().to_owned()), ("code", code.to_owned())]
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 53 bits until the year 287396")]
fn seconds(time: Timestamp) -> f64 {
    time.millis() as f64 / 1000.0
}

fn encode(encoder: &mut DescriptorEncoder<'_>, family: families::Family, metric: &impl EncodeMetric) -> fmt::Result {
    let encoder = encoder.encode_descriptor(family.family_name(), family.help, None, metric.metric_type())?;
    metric.encode(encoder)
}

#[allow(clippy::cast_precision_loss, reason = "a metric's value is a 64-bit float")]
fn count(number: u64) -> f64 {
    number as f64
}
