//! `Accept` and `Accept-Encoding`. The input: header values, a line each.

use cxone_exporter::server::negotiate;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderValue};

pub(crate) fn check(data: &[u8]) {
    let as_reported = headers(data);
    let (format, gzip) = (negotiate::format(&as_reported), negotiate::gzip(&as_reported));
    let upper = headers(&data.to_ascii_uppercase());
    assert_eq!(
        (format, gzip),
        (negotiate::format(&upper), negotiate::gzip(&upper)),
        "the case does not matter"
    );
    let mut more = as_reported;
    for name in [ACCEPT, ACCEPT_ENCODING] {
        more.append(name, HeaderValue::from_static("x/unheard-of;q=1.0"));
    }
    assert_eq!(
        (format, gzip),
        (negotiate::format(&more), negotiate::gzip(&more)),
        "what nobody has does not matter"
    );
}

fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in data
        .split(|byte| *byte == b'\n')
        .take(1000)
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
    {
        headers.append(ACCEPT, value.clone());
        headers.append(ACCEPT_ENCODING, value);
    }
    headers
}
