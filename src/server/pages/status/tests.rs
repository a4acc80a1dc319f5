//! The page in every state it can be in.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use cxone_core::page::status::{ClockStatus, RecentErrors, StoreStatus};
use cxone_core::plan::fetch::{FailureReason, JobError};
use cxone_core::plan::planner::JobEnd;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

fn target(name: &str) -> TargetStatus {
    TargetStatus {
        name: name.into(),
        up: Some(true),
        stale: false,
        watermark: Some(at(-12)),
        epoch: Some(at(-7_200)),
        last_success: Some(at(-9)),
        last_job: Some(JobEnd { at: at(-9), took: Duration::from_millis(3_450) }),
        last_error: None,
        poll: PollStatus::Planned(at(21)),
        longest_window: None,
    }
}

fn trouble(message: &str) -> JobError {
    JobError { reason: FailureReason::Rejected, retry_after: None, message: message.to_owned() }
}

/// All is well.
pub(in crate::server) fn view() -> StatusView {
    StatusView {
        version: "0.1.0".to_owned(),
        now: at(0),
        started_at: at(-7_205),
        api: "https://acme.api.cxone.com".to_owned(),
        agents_seen: 120,
        series: 1_894,
        series_dropped: 0,
        quota: QuotaStatus {
            unit: QuotaUnit::ReportJobs,
            limit: 10,
            reserved: 1,
            demand_ratio: 0.4,
        },
        status: Status {
            clock: ClockStatus { skew_millis: Some(300), doubted: 0 },
            targets: vec![target("user:user-abc-123"), target("team:team-7")],
            feeds: Vec::new(),
            used_in_last_minute: 7,
            store: StoreStatus {
                healthy: true,
                format: Some(1),
                size_bytes: 1_600_000,
                last_commit: Some(at(-9)),
            },
            errors: Arc::default(),
        },
        token_expiry: Some(at(3_000)),
        token_refresh_failed: false,
        config_loaded_at: Some(at(-7_205)),
        config_rejected_at: None,
        web_config_is_valid: None,
        certificate_expiry: None,
    }
}

fn page_of(view: &StatusView, readiness: &Readiness) -> String {
    html(
        view,
        readiness,
        &ServerStatus {
            metrics_path: "/metrics",
            rejected_scrapes: 0,
            evicted_scrapes: 0,
            refresh: None,
        },
    )
}

fn page(view: &StatusView) -> String {
    page_of(view, &Readiness::Ready)
}

#[track_caller]
fn assert_contains(page: &str, all: &[&str]) {
    for text in all {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
}

#[test]
fn everything_from_outside_is_escaped() {
    const EVIL: &str = "<i>\"'&\u{202e}";
    let mut view = view();
    view.api = EVIL.to_owned();
    view.version = EVIL.to_owned();
    let mut errors = RecentErrors::default();
    errors.note(at(-3), &EVIL.into(), Some(FailureReason::Server), EVIL);
    view.status.errors = Arc::new(errors);
    view.status.targets = vec![
        TargetStatus { up: Some(false), last_error: Some(trouble(EVIL)), ..target(EVIL) },
        TargetStatus { stale: true, ..target(EVIL) },
    ];
    for readiness in [Readiness::Ready, Readiness::NotReady(EVIL.to_owned())] {
        let page = html(
            &view,
            &readiness,
            &ServerStatus {
                metrics_path: "/<i>\"",
                rejected_scrapes: 3,
                evicted_scrapes: 7,
                refresh: None,
            },
        );
        assert!(page.contains(r"\u{202e}") && !page.contains('\u{202e}'), "{page}");
        assert!(!page.contains("<i>\"") && !page.contains("\"'&"), "{page}");
        assert_contains(
            &page,
            &[
                "&lt;i&gt;&quot;&#39;&amp;",
                "by --web.max-requests; 7 evicted",
                "href=\"./&lt;i&gt;&quot;\"",
            ],
        );
    }
}

#[test]
fn before_the_first_report_the_page_says_what_it_waits_for() {
    let mut view = view();
    let nothing = TargetStatus {
        up: None,
        watermark: None,
        epoch: None,
        last_success: None,
        last_job: None,
        poll: PollStatus::UnderWay(at(-4)),
        ..target("team:team-8")
    };
    view.status = Status { targets: vec![nothing], ..Status::default() };
    view.token_expiry = None;
    let page = page_of(
        &view,
        &Readiness::NotReady("no report yet: the first one is in progress".to_owned()),
    );
    assert_contains(
        &page,
        &[
            "class=\"warn\">Not ready:",
            "the first one is in progress",
            ">no report yet<",
            "<dd>none yet</dd>",
            "in progress for 4s",
        ],
    );
    assert_contains(&page, &["none yet", "<dd>in memory<", "None since the start.", "0 of 10"]);
    assert!(!page.contains("<ul class=\"problems\">"), "nothing is wrong yet");
}

#[test]
fn when_all_is_well_the_page_says_so_and_nothing_is_red() {
    let page = page(&view());
    assert_contains(
        &page,
        &[
            "class=\"good\">Healthy.</strong> 2 of 2 targets up.",
            "7 of 10",
            "1 reserved; the targets require 4.0 per minute",
        ],
    );
    assert_contains(
        &page,
        &[
            "in 50m",
            "12s ago",
            "2h ago",
            ">up<",
            "took 3.5s",
            "in 21s",
            "1.5 MiB, format 1",
            "2023-11-14T22:13:11.000Z",
        ],
    );
    assert_contains(
        &page,
        &[
            "x=\"90.0\" width=\"10.0\"",
            "class=\"used\" width=\"70.0\"",
            ">valid<",
            "None since the start.",
        ],
    );
    let body = page.split("<body>").nth(1).unwrap();
    assert!(
        !body.contains("\"bad\"")
            && !body.contains("\"warn\"")
            && !body.contains("Web configuration"),
        "{body}"
    );
}

#[test]
fn failures_come_first_with_cause_and_advice() {
    let mut view = view();
    let failing = TargetStatus {
        up: Some(false),
        last_error: Some(trouble("CXone answered 422")),
        ..target("team:team-7")
    };
    view.status.targets[1] = failing;
    let mut errors = RecentErrors::default();
    for second in [-600, -9] {
        errors.note(
            at(second),
            &"team:team-7".into(),
            Some(FailureReason::Rejected),
            "CXone answered 422",
        );
    }
    errors.note(
        at(-20),
        &"team:team-8".into(),
        Some(FailureReason::Timeout),
        "no report within 60s",
    );
    errors.note(at(-5), &"user:user-abc-123".into(), None, "CXone answered 429");
    view.status.errors = Arc::new(errors);
    let page = page(&view);
    assert_contains(
        &page,
        &[
            "class=\"bad\">Unhealthy:</strong> 1 of 2 targets up.",
            "The last job failed: <b class=\"external\">team:team-7</b>.",
        ],
    );
    assert_contains(
        &page,
        &[
            ">down<",
            "failed after 3.5s",
            "Last success: ",
            ", 2 times, first ",
            "10m ago",
            ">throttled<",
        ],
    );
    assert_contains(&page, &["no report within 60s CXone is slow, or throttles this client"]);
    assert!(page.find("429").unwrap() < page.rfind("422").unwrap(), "the newest first");
    view.status.targets.remove(0);
    assert_contains(
        &super::tests::page(&view),
        &["class=\"bad\">Unhealthy, all targets down:</strong> 0 of 1"],
    );
}

#[test]
fn the_first_few_stale_targets_are_named() {
    let mut view = view();
    view.status.targets = (0..40)
        .map(|number| TargetStatus {
            stale: true,
            up: Some(false),
            ..target(&format!("t{number}"))
        })
        .collect();
    let page = page(&view);
    assert_contains(
        &page,
        &[
            "Stale: <b class=\"external\">t0</b>, <b class=\"external\">t1</b>, <b class=\"external\">t2</b> and 37 more.",
            ">stale<",
        ],
    );
    assert!(!page.contains("The last job failed"), "stale says it all");
}

#[test]
fn demand_above_the_quota_is_a_warning_with_a_remedy() {
    let mut view = view();
    let demand = "The targets require 9.5 report jobs per minute, and 9 are allowed";
    view.quota.demand_ratio = 0.95;
    view.status.targets[0].poll = PollStatus::Planned(at(-30));
    assert_contains(
        &page(&view),
        &[
            "class=\"warn\">Healthy, with warnings:",
            demand,
            "merge targets or raise poll.interval",
            "as soon as the quota allows",
        ],
    );
    view.quota.demand_ratio = 0.9;
    assert!(!page(&view).contains("merge targets"), "all of it is not too much");
    view.status.used_in_last_minute = 40;
    assert_contains(&page(&view), &["40 of 10", "class=\"used\" width=\"100.0\""]);
    view.series_dropped = 12;
    assert_contains(&page(&view), &["12 series of single agents are dropped"]);
}

#[test]
fn a_quota_of_requests_is_described_without_jobs() {
    let mut view = view();
    view.quota =
        QuotaStatus { unit: QuotaUnit::Requests, limit: 60, reserved: 0, demand_ratio: 1.5 };
    view.status.targets = vec![TargetStatus { up: Some(false), ..target("all") }];
    let failing = page(&view);
    assert_contains(
        &failing,
        &[
            "Unhealthy, all targets down:",
            "The history cannot be read: <b class=\"external\">all</b>.",
            ">Last read<",
        ],
    );
    assert_contains(
        &failing,
        &[
            "Targets and feeds require at least 90.0 requests per minute, and 60 are allowed",
            "quota.requests_per_minute",
        ],
    );
    view.status.targets = vec![TargetStatus { stale: true, up: Some(false), ..target("all") }];
    assert_contains(&page(&view), &["have only what the live feed contains"]);
    view.status.targets = vec![TargetStatus { up: None, last_job: None, ..target("all") }];
    assert_contains(&page(&view), &[">no history yet<"]);
    for page in [failing, page(&view)] {
        let words = page.to_lowercase();
        assert!(!words.contains(" job") && !words.contains("report"), "{page}");
    }
}

#[test]
fn live_feeds_are_shown_if_there_are_any() {
    let mut view = view();
    assert!(!page(&view).contains("Live feeds"));
    let feed = |name, up, stale| FeedStatus { name, up, stale, last_success: up.map(|_| at(-8)) };
    view.quota =
        QuotaStatus { unit: QuotaUnit::Requests, limit: 60, reserved: 0, demand_ratio: 0.1 };
    view.status.feeds =
        vec![feed("agent_states", Some(true), false), feed("skill_activity", None, false)];
    assert_contains(
        &page(&view),
        &[
            "Healthy.</strong> 2 of 2 targets up, 1 of 2 live feeds.",
            ">not polled yet<",
            "7 of 60 requests",
        ],
    );
    view.status.feeds[1] = feed("skill_activity", Some(false), false);
    assert_contains(
        &page(&view),
        &["Live feed down: <b class=\"external\">skill_activity</b>.", ">down<"],
    );
}

#[test]
fn an_unhealthy_store_an_invalid_configuration_and_expired_certificates_and_tokens_are_shown() {
    let mut view = view();
    view.status.store.healthy = false;
    view.config_rejected_at = Some(at(-60));
    view.web_config_is_valid = Some(false);
    view.certificate_expiry = Some(at(-1));
    view.token_expiry = Some(at(-90));
    view.token_refresh_failed = true;
    assert_contains(
        &page(&view),
        &[
            "The store cannot be written, so nothing is counted",
            ">not writable<",
            "The configuration was rejected 1m ago",
            ">invalid<",
        ],
    );
    assert_contains(
        &page(&view),
        &[
            "The web configuration has changed and is invalid",
            "The certificate of this server has expired",
            "certificate expired",
        ],
    );
    assert_contains(
        &page(&view),
        &["There is no access token: the last refresh failed.", "the last one expired <time"],
    );
    view.certificate_expiry = Some(at(3 * 86_400));
    assert_contains(
        &page(&view),
        &["The certificate of this server expires in 3d.", "certificate expires"],
    );
    view.certificate_expiry = Some(at(15 * 86_400));
    assert!(!page(&view).contains("of this server expires"), "there is time");
    view.certificate_expiry = None;
    assert_contains(&page(&view), &["no TLS"]);
}

#[test]
fn an_expired_token_that_nothing_needs_is_not_a_problem() {
    let mut view = view();
    view.token_expiry = Some(at(-90));
    let expired = page(&view);
    assert_contains(
        &expired,
        &[
            "Healthy.</strong>",
            "<dd>none in use<small>",
            "expired <time",
            "the next request fetches",
        ],
    );
    view.token_expiry = Some(at(60));
    view.token_refresh_failed = true;
    let renewing = page(&view);
    assert_contains(&renewing, &["Healthy.</strong>", "expires <time", "the last refresh failed"]);
    view.token_expiry = None;
    assert_contains(&page(&view), &["<dd>none yet<small>the last", "There is no access token"]);
}

#[test]
fn the_clock_is_good_only_if_responses_agree_about_it() {
    let of = |skew_millis, doubted| {
        let mut view = view();
        view.status.clock = ClockStatus { skew_millis, doubted };
        page(&view)
    };
    let unknown = of(None, 0);
    assert_contains(&unknown, &["<dd>unknown<", "no response with a time so far"]);
    assert!(!unknown.contains("times rejected"), "{unknown}");
    assert_contains(
        &of(Some(300), 1),
        &["<span class=\"good\">in sync with the local clock", "1 of the last 16"],
    );
    let doubted = of(Some(300), 10);
    assert_contains(
        &doubted,
        &[
            "Healthy, with warnings",
            "<span class=\"warn\">in sync",
            "10 of the last 16 were rejected",
        ],
    );
    assert_contains(&of(Some(7_000), 0), &["<span class=\"warn\">7s ahead of the local clock"]);
    assert_contains(
        &of(Some(-7_000), 0),
        &["<span class=\"warn\">7s behind the local clock", "7s apart"],
    );
}

#[test]
fn a_store_in_memory_has_no_format() {
    let mut view = view();
    view.status.store.format = None;
    let page = page(&view);
    assert_contains(&page, &["<dd>in memory<small>1.5 MiB; lost when the process ends</small>"]);
    assert!(!page.contains(">healthy<") && !page.contains("format"), "{page}");
}

#[test]
fn the_page_refreshes_itself_only_on_request() {
    assert_eq!([None, Some(""), Some("refresh=x"), Some("fresh=9")].map(refresh), [None; 4]);
    assert_eq!(
        [Some("refresh=30"), Some("a=b&refresh=1"), Some("refresh=99999")].map(refresh),
        [Some(30), Some(5), Some(3600)]
    );
    let server = ServerStatus {
        metrics_path: "/metrics",
        rejected_scrapes: 0,
        evicted_scrapes: 0,
        refresh: Some(30),
    };
    assert_contains(
        &html(&view(), &Readiness::Ready, &server),
        &["<meta http-equiv=\"refresh\" content=\"30\">", "<a href=\"./\">Stop</a>"],
    );
    let still = page(&view());
    assert!(!still.contains("http-equiv") && still.contains("href=\"./?refresh=15\""));
}

#[test]
fn the_content_security_policy_allows_the_style_and_the_page_needs_nothing_else() {
    let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    let hash = base64(digest.as_ref());
    assert!(
        CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{hash}'")),
        "the style's hash is {hash}"
    );
    let page = page(&view());
    assert!(
        !page.contains("style=\"")
            && !page.contains("<script")
            && !page.contains("src=")
            && !page.contains("url(")
    );
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..=three.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
        }
    }
    text + &"=".repeat((3 - bytes.len() % 3) % 3)
}
