//! Which format and which coding a client reads, from its `Accept` and `Accept-Encoding` headers.

use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};
use http::{HeaderMap, HeaderValue};

use crate::exposition::Format;

/// Parts of a header behind this many are not looked at.
const MAX_PARTS: usize = 64;

/// Bytes of a header behind this many are not looked at.
const MAX_BYTES: usize = 8 * 1024;

/// A q value in thousandths: 1000 is 1.
type Quality = u16;

/// The format that `headers` ask for: the one of higher q value by its most specific range; of
/// equal ones that which is named more exactly, then that which is named first. Text 0.0.4 where
/// nothing decides, or nothing of what is asked for can be had: a scrape in another format than the
/// one hoped for is more useful than a refusal.
#[must_use]
pub fn format(headers: &HeaderMap) -> Format {
    let mut openmetrics = Choice::default();
    let mut text = Choice::default();
    for (index, part) in parts(headers, ACCEPT).into_iter().enumerate() {
        let Some(range) = Range::parse(&part) else { continue };
        openmetrics.consider(index, &range, "application", "openmetrics-text", "1.0.0");
        text.consider(index, &range, "text", "plain", "0.0.4");
    }
    if openmetrics.rank() > text.rank() { Format::OpenMetrics } else { Format::Text }
}

/// Whether `headers` allow gzip and do not prefer the plain text to it.
#[must_use]
pub fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for part in parts(headers, ACCEPT_ENCODING) {
        let mut pieces = pieces(&part, ';').into_iter();
        let coding = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some(quality) = quality(pieces.map(str::trim)) else { continue };
        let slot = match coding.as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "*" => &mut any,
            "identity" => &mut identity,
            _ => continue,
        };
        *slot = Some(slot.unwrap_or(0).max(quality));
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// How well one format is asked for.
#[derive(Default)]
struct Choice {
    exactness: u8,
    quality: Quality,
    index: usize,
}

impl Choice {
    fn consider(
        &mut self,
        index: usize,
        range: &Range<'_>,
        kind: &str,
        subtype: &str,
        version: &str,
    ) {
        let exactness = match (range.kind, range.subtype, range.version) {
            ("*", "*", None) => 1,
            (k, "*", None) if k.eq_ignore_ascii_case(kind) => 2,
            (k, s, wanted) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => {
                match wanted {
                    None => 3,
                    Some(wanted) if wanted == version => 4,
                    Some(_) => return,
                }
            }
            _ => return,
        };
        if exactness > self.exactness {
            *self = Self { exactness, quality: range.quality, index };
        }
    }

    /// To be compared: more is better. What is not asked for, or with q=0, has no rank.
    fn rank(&self) -> Option<(Quality, u8, std::cmp::Reverse<usize>)> {
        (self.quality > 0).then_some((self.quality, self.exactness, std::cmp::Reverse(self.index)))
    }
}

/// One media range of `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    quality: Quality,
}

impl<'a> Range<'a> {
    /// `None` when it is malformed: then it asks for nothing.
    fn parse(part: &'a str) -> Option<Self> {
        let mut pieces = pieces(part, ';').into_iter().map(str::trim);
        let (kind, subtype) = pieces.next()?.split_once('/')?;
        let parameters: Vec<&str> = pieces.collect();
        let version = parameters.iter().find_map(|p| parameter(p, "version"));
        Some(Self {
            kind: kind.trim(),
            subtype: subtype.trim(),
            version,
            quality: quality(parameters.into_iter())?,
        })
    }
}

/// The q value among `parameters`; 1 when there is none, `None` when it is malformed.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<Quality> {
    let Some(text) = parameters.find_map(|p| parameter(p, "q")) else { return Some(1000) };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: Quality = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// The value of `name=value`, without its quotes.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = text.split_once('=')?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    key.trim().eq_ignore_ascii_case(name).then_some(unquoted)
}

/// The comma-separated parts of all headers of this name, within the limits.
fn parts(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<String> {
    let mut parts = Vec::new();
    for value in headers.get_all(name).iter().take(MAX_PARTS) {
        for part in pieces(text(value), ',') {
            if parts.len() == MAX_PARTS {
                return parts;
            }
            parts.push(part.to_owned());
        }
    }
    parts
}

/// The header's text as far as it is ASCII and within the limit.
fn text(value: &HeaderValue) -> &str {
    let bytes = &value.as_bytes()[..value.len().min(MAX_BYTES)];
    let ascii = bytes.iter().position(|b| !b.is_ascii()).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..ascii]).expect("ASCII is UTF-8")
}

/// `text` split at each `separator` outside quotes, at most [`MAX_PARTS`] pieces.
fn pieces(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let outside = move |c: char| {
        let here = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        here
    };
    text.split(outside).take(MAX_PARTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|v| (name.clone(), HeaderValue::from_bytes(v.as_bytes()).unwrap()))
            .collect()
    }

    fn format_of(accept: &str) -> Format {
        format(&headers(ACCEPT, &[accept]))
    }

    fn gzip_of(accept: &str) -> bool {
        gzip(&headers(ACCEPT_ENCODING, &[accept]))
    }

    #[test]
    fn what_prometheus_2_and_3_send_asks_for_openmetrics() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(format_of(prometheus_2), Format::OpenMetrics);
        assert_eq!(format_of(prometheus_3), Format::OpenMetrics);
        assert_eq!(
            format(&headers(ACCEPT, &prometheus_3.split(',').collect::<Vec<_>>())),
            Format::OpenMetrics
        );
        // What Prometheus 2 sends when it is wanted to scrape text.
        assert_eq!(format_of("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Text);
    }

    #[test]
    fn curl_browsers_and_unknown_wishes_get_text() {
        assert_eq!(format(&HeaderMap::new()), Format::Text);
        for accept in [
            "*/*",
            "",
            "text/*",
            "image/png",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json",
        ] {
            assert_eq!(format_of(accept), Format::Text, "{accept}");
        }
        assert_eq!(format_of("application/openmetrics-text;version=2.0.0"), Format::Text);
        assert_eq!(
            format_of(
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            ),
            Format::Text
        );
    }

    #[test]
    fn q_values_decide_and_the_most_specific_range_wins() {
        assert_eq!(format_of("application/openmetrics-text;q=0.2,text/plain;q=0.3"), Format::Text);
        assert_eq!(
            format_of("application/openmetrics-text;q=0.3,text/plain;q=0.2"),
            Format::OpenMetrics
        );
        assert_eq!(format_of("application/openmetrics-text;q=0,*/*"), Format::Text);
        assert_eq!(format_of("text/plain;q=0,*/*;q=0.1"), Format::OpenMetrics);
        assert_eq!(format_of("*/*,application/openmetrics-text;q=0.5"), Format::Text);
        assert_eq!(format_of("application/*, text/*;q=0.9"), Format::OpenMetrics);
        assert_eq!(
            format_of("Application/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=1.000"),
            Format::OpenMetrics
        );
        assert_eq!(format_of("text/plain,application/openmetrics-text"), Format::Text);
        assert_eq!(format_of("application/openmetrics-text,text/plain"), Format::OpenMetrics);
    }

    #[test]
    fn malformed_parts_ask_for_nothing() {
        for bad in ["q=nan", "q=-1", "q=2", "q=1.5", "q=0.1234", "q=", "q=1e0", "q=٣"] {
            assert_eq!(
                format_of(&format!("application/openmetrics-text;{bad},text/plain;q=0.1")),
                Format::Text,
                "{bad}"
            );
            assert!(!gzip_of(&format!("gzip;{bad}")), "{bad}");
        }
        assert_eq!(
            format_of("application/openmetrics-text;x=\"a,b;q=0\";q=0.9,text/plain;q=0.1"),
            Format::OpenMetrics
        );
        assert_eq!(format_of("\"application/openmetrics-text"), Format::Text);
    }

    #[test]
    fn absurd_headers_are_read_within_bounds() {
        for absurd in [
            ",".repeat(64 * 1024),
            ";".repeat(64 * 1024),
            "\"".repeat(65_535),
            "a/b;q=0.1,".repeat(6_000),
            "\\".repeat(9_000),
        ] {
            assert_eq!(format_of(&absurd), Format::Text);
            assert!(!gzip_of(&absurd));
        }
        let late = format!("{}application/openmetrics-text", "a/b,".repeat(MAX_PARTS));
        assert_eq!(format_of(&late), Format::Text);
        assert_eq!(format_of("application/openmetrics-text\u{e9}"), Format::OpenMetrics);
    }

    #[test]
    fn gzip_is_used_where_it_is_allowed_and_not_ranked_below_the_plain_text() {
        for yes in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip;q=0.5",
            "*",
            "gzip;q=0.001",
            "gzip, identity",
            "*;q=0, gzip",
        ] {
            assert!(gzip_of(yes), "{yes}");
        }
        for no in [
            "",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000, *",
            "*;q=0",
            "br",
            "gzip;q=0.5, identity",
            "gzipped",
        ] {
            assert!(!gzip_of(no), "{no}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
