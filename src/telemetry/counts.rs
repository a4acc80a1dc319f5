//! What is counted when something happens.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::by_labels::ByLabels;
use super::self_status::{SelfStatusGauges, SharedSelfStatus};
use super::{labels, register, with_code};
use crate::cxone::ApiEndpoint;
use crate::exposition::families;
use cxone_core::plan::fetch::FailureReason;
use cxone_core::plan::server_clock::DateFault;
use cxone_core::report::{LenientForm, RowRejection};

type Seconds = Counter<f64, AtomicU64>;

/// Upper bounds for the time of one request, in seconds.
const REQUEST_BUCKETS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds for the time from submit to data, in seconds.
const JOB_BUCKETS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0];

/// Upper bounds for the time of one commit, in seconds.
const COMMIT_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Metrics that change with events, and not between two of them.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) up: Gauge,
    pub(super) rows: Counter,
    pub(super) rows_revised: Counter,
    pub(super) rows_late: Counter,
    pub(super) rows_rejected: ByLabels<Counter>,
    pub(super) rows_lenient: ByLabels<Counter>,
    pub(super) jobs: Counter,
    pub(super) job_failures: ByLabels<Counter>,
    pub(super) jobs_in_flight: Gauge,
    pub(super) job_duration: Histogram,
    pub(super) requests: ByLabels<Counter>,
    pub(super) request_duration: ByLabels<Histogram>,
    pub(super) throttled: ByLabels<Counter>,
    pub(super) quota_wait: Seconds,
    pub(super) history_gap: Seconds,
    pub(super) store_up: Gauge,
    pub(super) store_commit_failures: Counter,
    pub(super) store_commit_duration: Histogram,
    pub(super) store_size: Gauge,
    pub(super) quota_limit: Gauge<f64, AtomicU64>,
    pub(super) quota_reserved: Gauge<f64, AtomicU64>,
    pub(super) quota_demand: Gauge<f64, AtomicU64>,
    pub(super) config_is_valid: Gauge,
    pub(super) config_loaded_at: Gauge<f64, AtomicU64>,
    pub(super) dates_rejected: ByLabels<Counter>,
    pub(super) clock_steps: Counter,
    pub(super) token_refreshes: Counter,
    pub(super) token_refresh_failures: Counter,
    pub(super) self_status: Arc<SharedSelfStatus>,
}

impl Counts {
    /// All of them at their beginning, written by `in_registry` from now on.
    pub(super) fn new(in_registry: &mut Registry) -> Self {
        let self_status = Arc::new(SharedSelfStatus::default());
        in_registry.register_collector(Box::new(SelfStatusGauges(Arc::clone(&self_status))));
        let counts = Self {
            up: register(in_registry, families::UP, Gauge::default()),
            rows: register(in_registry, families::REPORT_ROWS, Counter::default()),
            rows_revised: register(in_registry, families::REPORT_ROWS_REVISED, Counter::default()),
            rows_late: register(in_registry, families::REPORT_ROWS_LATE, Counter::default()),
            rows_rejected: register(
                in_registry,
                families::REPORT_ROWS_REJECTED,
                ByLabels::new(Counter::default),
            ),
            rows_lenient: register(
                in_registry,
                families::REPORT_ROWS_LENIENT,
                ByLabels::new(Counter::default),
            ),
            jobs: register(in_registry, families::REPORT_JOBS, Counter::default()),
            job_failures: register(
                in_registry,
                families::REPORT_JOB_FAILURES,
                ByLabels::new(Counter::default),
            ),
            jobs_in_flight: register(
                in_registry,
                families::REPORT_JOBS_IN_FLIGHT,
                Gauge::default(),
            ),
            job_duration: register(
                in_registry,
                families::REPORT_JOB_DURATION,
                Histogram::new(JOB_BUCKETS),
            ),
            requests: register(
                in_registry,
                families::API_REQUESTS,
                ByLabels::new(Counter::default),
            ),
            request_duration: register(
                in_registry,
                families::API_REQUEST_DURATION,
                ByLabels::new(|| Histogram::new(REQUEST_BUCKETS)),
            ),
            throttled: register(
                in_registry,
                families::API_THROTTLED,
                ByLabels::new(Counter::default),
            ),
            quota_wait: register(in_registry, families::QUOTA_WAIT_SECONDS, Counter::default()),
            history_gap: register(in_registry, families::HISTORY_GAP_SECONDS, Counter::default()),
            store_up: register(in_registry, families::STORE_UP, Gauge::default()),
            store_commit_failures: register(
                in_registry,
                families::STORE_COMMIT_FAILURES,
                Counter::default(),
            ),
            store_commit_duration: register(
                in_registry,
                families::STORE_COMMIT_DURATION,
                Histogram::new(COMMIT_BUCKETS),
            ),
            store_size: register(in_registry, families::STORE_SIZE, Gauge::default()),
            quota_limit: register(in_registry, families::QUOTA_REPORT_JOBS_LIMIT, Gauge::default()),
            quota_reserved: register(
                in_registry,
                families::QUOTA_REPORT_JOBS_RESERVED,
                Gauge::default(),
            ),
            quota_demand: register(in_registry, families::QUOTA_DEMAND_RATIO, Gauge::default()),
            config_is_valid: register(
                in_registry,
                families::CONFIG_LAST_RELOAD_SUCCESSFUL,
                Gauge::default(),
            ),
            config_loaded_at: register(
                in_registry,
                families::CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP,
                Gauge::default(),
            ),
            dates_rejected: register(
                in_registry,
                families::CLOCK_DATES_REJECTED,
                ByLabels::new(Counter::default),
            ),
            clock_steps: register(in_registry, families::CLOCK_STEPS, Counter::default()),
            token_refreshes: register(in_registry, families::TOKEN_REFRESHES, Counter::default()),
            token_refresh_failures: register(
                in_registry,
                families::TOKEN_REFRESH_FAILURES,
                Counter::default(),
            ),
            self_status,
        };
        counts.begin_at_zero();
        counts
    }

    fn begin_at_zero(&self) {
        for reason in RowRejection::ALL {
            let _created = self.rows_rejected.of(vec![("reason", reason.as_str().to_owned())]);
        }
        for form in LenientForm::ALL {
            let _created = self.rows_lenient.of(vec![("form", form.as_str().to_owned())]);
        }
        for reason in FailureReason::ALL {
            let _created = self.job_failures.of(vec![("reason", reason.as_str().to_owned())]);
        }
        for fault in DateFault::ALL {
            let _created = self.dates_rejected.of(vec![("reason", fault.as_str().to_owned())]);
        }
    }

    /// Has the metrics of these endpoints begin at 0, unless they are there already.
    pub(super) fn begin_endpoints(&self, endpoints: &[ApiEndpoint]) {
        for endpoint in endpoints {
            let _created = self.throttled.of(labels(*endpoint));
            let _created = self.request_duration.of(labels(*endpoint));
            for code in ["200", "error"] {
                let _created = self.requests.of(with_code(*endpoint, code));
            }
        }
    }
}
