//! The answer to a poll of the Reporting API. The input: the size of the chunks, where to cut, and
//! the body.

use std::sync::Arc;
use std::time::Duration;

use cxone_core::counts::{CountingRules, Ledger, ReportOrigin, RowKind, SubmitOrder, TargetId};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::plan::fetch::JobId;
use cxone_core::report::Report;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::{
    ApiError, JobStatus, ReportsClient, ReportsOptions, ResponseLimits, RowList, RowSink,
};
use secrecy::SecretString;

use super::is_json;
use super::played::{EIGHT, Played, SECRET, play};

const TOKEN: &[u8] = br#"{"access_token":"token","expires_in":1200}"#;

pub(crate) fn check(data: &[u8]) {
    let [chunk, cut, body @ ..] = data else { return };
    let whole = poll::<RowList>(body, usize::MAX);
    assert_eq!(whole, poll(body, usize::from(*chunk)), "however it is cut into pieces");
    let Ok(reported) = whole else { return };
    assert!(is_json(body), "what is taken is JSON");
    let end = body.trim_ascii_end().len();
    let cut = end * usize::from(*cut) / 256;
    assert!(
        poll::<RowList>(&body[..cut], usize::MAX).is_err(),
        "a report cut short counts for nothing"
    );
    let JobStatus::Completed(list) = reported else { return };
    assert!(
        list.rows.iter().all(|row| !row.user_id.is_empty() && !row.state_name.is_empty()),
        "agent and state are known"
    );
    assert!(
        list.rows.iter().all(|row| row.to.is_none_or(|to| row.from <= to)),
        "nothing ends before it begins"
    );
    let rejected = usize::try_from(list.oddities.all_rejected()).expect("rows are in memory");
    assert!(list.rows.len() + rejected <= body.len(), "every row takes room");
    if let Some(rows) = elements(body) {
        assert_eq!(list.rows.len() + rejected, rows, "every element is a row or a rejection");
    }
    let Ok(JobStatus::Completed(report)) = poll::<Report>(body, usize::MAX) else {
        panic!("the same for the core")
    };
    assert_eq!((report.rows().len(), report.oddities()), (list.rows.len(), &list.oddities));
    for rows in [RowKind::Intervals, RowKind::Events, RowKind::Buckets, RowKind::States] {
        count(rows, &report);
    }
}

fn poll<R: RowSink>(body: &[u8], chunk: usize) -> Result<JobStatus<R>, ApiError> {
    let options = ReportsOptions {
        base_url: "https://acme.niceincontact.com".parse().expect("an address"),
        client_id: "client".to_owned(),
        client_secret: SecretString::from(SECRET),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    play(async {
        let clock = Clock::starting_at(Timestamp::from_millis(EIGHT));
        let transport = Played::new(chunk, [(200, TOKEN.to_vec()), (200, body.to_vec())]);
        let client = ReportsClient::new(transport, clock, options, Arc::new(|_| {}));
        client.poll(&JobId::parse("job").expect("an id")).await
    })
}

/// How many elements another reader finds in the list `data`, where it is read as here and there is
/// no doubt which list is meant.
fn elements(body: &[u8]) -> Option<usize> {
    let serde_json::Value::Object(members) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let mut lists = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("data"));
    let (Some((_, serde_json::Value::Array(list))), None) = (lists.next(), lists.next()) else {
        return None;
    };
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    // Of several members with one name, the last one counts in both; in different cases, only here.
    (text.matches("data\"").count() == 1).then_some(list.len())
}

/// Any report can be counted, twice, and published.
fn count(rows: RowKind, report: &Report) {
    let rules = CountingRules {
        rows,
        lookback: Duration::from_secs(86_400),
        overlap: Duration::from_secs(900),
        wrap_up: vec!["ACW".to_owned()],
        detail: Default::default(),
        labels: Default::default(),
    };
    let show = SnapshotOptions {
        targets: vec![TargetHealth {
            name: "target".into(),
            up: true,
            last_success: None,
            stale: false,
        }],
        limits: Default::default(),
        max_series: 1000,
        agent_info: true,
    };
    let mut ledger = Ledger::new(rules, 1);
    for order in 1..=3 {
        let to = Timestamp::from_millis(EIGHT).plus(Duration::from_secs(60 * (order / 2)));
        let window = Window { from: to.minus(Duration::from_secs(86_400)), to };
        let origin = ReportOrigin {
            target: TargetId::new(0),
            order: SubmitOrder(order),
            oldest_pending: SubmitOrder(order),
            window,
        };
        let (applied, _) = ledger.apply(&origin, report);
        assert_eq!(applied.rows, u64::try_from(report.rows().len()).expect("rows are in memory"));
        let _ = Snapshot::of(&ledger, &show);
    }
}
