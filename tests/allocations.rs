//! What a row and a scrape may take from the allocator. Counted, not timed: a loss shows on the
//! busiest machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use cxone_core::counts::{
    CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowKind, SubmitOrder, TargetId,
};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::status::Status;
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::plan::fetch::JobId;
use cxone_core::report::{RawRow, Report};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::{
    JobStatus, ReportsClient, ReportsOptions, Response, ResponseLimits, Transport, TransportError,
};
use cxone_exporter::exposition::{ExporterMetrics, render};
use cxone_exporter::server::{PageSources, Pages, QuotaStatus, QuotaUnit, Readiness, StatusView};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;

const LABELS: [(&str, &str); 6] = [
    ("Available", "Sales"),
    ("InboundContact", "English"),
    ("InboundContact", "Billing"),
    ("Wrap-up", "Sales"),
    ("Lunch", ""),
    ("Break", ""),
];
const TARGETS: usize = 4;
const HOUR: i64 = 3_600_000;

/// Answers a request for a token with one, and every other with the report, in pieces of 64 KiB.
struct Canned(Bytes);

impl Transport for Canned {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        let token = Bytes::from_static(br#"{"access_token":"t","expires_in":1200}"#);
        let whole = if request.uri().path().ends_with("/token") { token } else { self.0.clone() };
        let pieces = (0..whole.len().div_ceil(65_536))
            .map(move |n| Ok(whole.slice(n * 65_536..whole.len().min((n + 1) * 65_536))));
        async {
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: stream::iter(pieces).boxed(),
            })
        }
        .boxed()
    }
}

/// A report with this number of rows, of a thousand agents.
fn report(rows: usize) -> Bytes {
    let mut text = "{\"status\":\"COMPLETED\",\"data\":[".to_owned();
    for row in 0..rows {
        let (state, skill) = LABELS[row % LABELS.len()];
        let comma = if row == 0 { "" } else { "," };
        let (agent, minute) = (row % 1000, row / 1000 % 60);
        write!(
            text,
            "{comma}{{\"userId\":\"user-{agent}\",\"userName\":\"Agent {agent}\",\"stateName\":\"{state}\",\"stateId\":\"s\",\
             \"skillName\":\"{skill}\",\"count\":1,\"dateFrom\":\"2023-10-27T08:{minute:02}:00.000Z\",\"dateTo\":\"2023-10-27T09:00:00.000Z\"}}"
        )
        .expect("a string takes all that is written");
    }
    text.push_str("]}");
    text.into()
}

/// What reading such a report takes, once the client is warm.
fn reading(rows: usize) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let options = ReportsOptions {
        base_url: "http://127.0.0.1:1".parse().expect("an address"),
        client_id: "c".to_owned(),
        client_secret: SecretString::from("s"),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    let job = JobId::parse("job").expect("an id");
    let client = runtime.block_on(async {
        let client = ReportsClient::new(
            Arc::new(Canned(report(rows))),
            Clock::system(),
            options,
            Arc::new(|_| {}),
        );
        client.sign_in().await.expect("a token");
        client
    });
    measure(|| {
        let read = runtime.block_on(client.poll::<Report>(&job)).expect("a report");
        assert!(matches!(read, JobStatus::Completed(report) if report.rows().len() == rows));
    })
}

#[test]
fn a_row_that_is_read_allocates_nothing() {
    let (few, many) = (reading(5_000), reading(15_000));
    let more = many.count_total - few.count_total;
    // The list of rows doubles now and then, the memory of a task that lets others run is taken
    // anew, and each of some 35 more pieces ends in the middle of a row, which is an error to who
    // reads ahead.
    assert!(more < 80, "10,000 more rows made {more} more allocations");
    assert!(
        few.count_total < 5_000,
        "{} allocations for 5,000 rows of 1,000 agents",
        few.count_total
    );
}

#[test]
fn a_report_keeps_little_more_than_its_rows_while_it_is_read() {
    let read = reading(20_000);
    // 40 bytes a row, in a list that is twice as long at the worst, and while it grows beside the
    // one before.
    assert!(read.bytes_max < 20_000 * 40 * 3 + 1_000_000, "{} bytes", read.bytes_max);
}

/// Pages of this number of agents, twenty series each.
fn pages(agents: usize) -> Arc<Pages> {
    let rules = CountingRules {
        rows: RowKind::Intervals,
        lookback: Duration::from_secs(3600),
        overlap: Duration::from_secs(60),
        wrap_up: Vec::new(),
        detail: Detail::AgentSkill,
        labels: LabelLimits::default(),
    };
    let target = |place| TargetHealth {
        name: Arc::from(format!("team:{place}")),
        up: true,
        last_success: None,
        stale: false,
    };
    let show = SnapshotOptions {
        targets: (0..TARGETS).map(target).collect(),
        limits: BTreeMap::new(),
        max_series: 1_000_000,
        agent_info: false,
    };
    let mut ledger = Ledger::new(rules, TARGETS);
    for target in 0..TARGETS {
        let origin = ReportOrigin {
            target: TargetId::new(target),
            order: SubmitOrder(1),
            oldest_pending: SubmitOrder(1),
            window: Window { from: Timestamp::from_millis(0), to: Timestamp::from_millis(HOUR) },
        };
        let _applied = ledger.apply(&origin, &visits((target..agents).step_by(TARGETS)));
    }
    let own: ExporterMetrics = "# HELP x_up Whether.\n# TYPE x_up gauge\nx_up 1\n".into();
    let sources = PageSources {
        metrics_path: "/metrics".to_owned(),
        max_requests: 4,
        reload: None,
        exporter_metrics: Box::new(move || own.clone()),
        readiness: Box::new(|| Readiness::Ready),
        status: Box::new(status),
    };
    Arc::new(Pages::new(sources, render(Snapshot::of(&ledger, &show), None)))
}

fn visits(agents: impl Iterator<Item = usize>) -> Report {
    let mut report = Report::default();
    for agent in agents {
        for (place, (state, skill)) in (0_i64..).zip(LABELS) {
            let at = |step: i64| Timestamp::from_millis(HOUR / 2 + step * 60_000);
            report.push(&RawRow {
                user_id: Cow::Owned(format!("agent-{agent:06}")),
                state_name: Cow::Borrowed(state),
                skill_name: Cow::Borrowed(skill),
                count: 1,
                from: at(place),
                to: (place < 5).then(|| at(place + 1)),
                ..RawRow::default()
            });
        }
    }
    report
}

fn status() -> StatusView {
    StatusView {
        version: String::new(),
        token_refresh_failed: false,
        now: Timestamp::from_millis(0),
        started_at: Timestamp::from_millis(0),
        api: String::new(),
        agents_seen: 0,
        series: 0,
        series_dropped: 0,
        quota: QuotaStatus {
            unit: QuotaUnit::ReportJobs,
            limit: 10,
            reserved: 0,
            demand_ratio: 0.0,
        },
        status: Status::default(),
        token_expiry: None,
        config_loaded_at: None,
        config_rejected_at: None,
        web_config_is_valid: None,
        certificate_expiry: None,
    }
}

/// What one gzip scrape takes, and how many bytes it sends.
fn scrape(pages: &Pages) -> (AllocationInfo, usize) {
    let request =
        Request::get("/metrics").header("Accept-Encoding", "gzip").body(()).expect("a request");
    let mut sent = 0;
    let taken = measure(|| {
        let mut body = pages.answer(&request).into_body();
        while let Some(frame) = body.frame().now_or_never().expect("it lies ready") {
            sent += frame.expect("it is whole").into_data().expect("data").len();
        }
    });
    (taken, sent)
}

#[test]
fn a_scrape_takes_as_much_of_the_allocator_for_ten_thousand_series_as_for_one_thousand() {
    let (small, large) = (pages(50), pages(500));
    // The first scrape of a page makes its pieces shared ones.
    let _first = (scrape(&small), scrape(&large));
    let ((few, little), (many, much)) = (scrape(&small), scrape(&large));
    assert!(much > 5 * little, "{much} bytes are sent, and {little}");
    assert_eq!(many.count_total, few.count_total);
    assert!(many.count_total < 30, "{} allocations", many.count_total);
    // A longer page may be in more pieces, each of which is a pointer or so.
    assert!(
        many.bytes_total < few.bytes_total + 1_000,
        "{} bytes, and {}",
        many.bytes_total,
        few.bytes_total
    );
    assert!(many.bytes_total < 20_000, "{} bytes", many.bytes_total);
    assert_eq!((many.count_current, many.bytes_current), (0, 0));
}
