//! `Retry-After`, and the `Date` beside it. The input: both, a line each.

use std::time::Duration;

use cxone_core::time::Timestamp;
use cxone_exporter::cxone::http::retry_after::{LONGEST, date, retry_after};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};

use super::played::EIGHT;

pub(crate) fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let lines = data.splitn(2, |byte| *byte == b'\n').map(HeaderValue::from_bytes);
    for (name, value) in [RETRY_AFTER, DATE].into_iter().zip(lines) {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    let now = Timestamp::from_millis(EIGHT);
    let later = now.plus(Duration::from_secs(10));
    let waits = [now, later].map(|now| retry_after(&headers, now));
    assert_eq!(waits[0].is_some(), waits[1].is_some());
    assert!(waits.into_iter().flatten().all(|wait| wait <= LONGEST), "no wait is endless");
    assert!(waits[1] <= waits[0], "who asks later waits no longer");
    if date(&headers).is_some() {
        assert_eq!(waits[0], waits[1], "the answer's own date counts");
    }
}
