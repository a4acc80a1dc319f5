//! The checks of each fuzz target, through the public interface only. cargo-fuzz runs them with the
//! inputs that it finds (`fuzz_targets`, `scripts/fuzz`), and `tests/fuzz.rs` as property tests with
//! mutations of the inputs in `seeds`.

mod accept;
mod config;
mod platform;
mod played;
mod records;
mod report;
mod retry_after;
mod token;
mod web_config;

/// A check that panics if an input breaks a promise.
type Check = fn(&[u8]);

/// Every target, by name.
pub(crate) const TARGETS: [(&str, Check); 8] = [
    ("accept", accept::check),
    ("config", config::check),
    ("platform", platform::check),
    ("records", records::check),
    ("report", report::check),
    ("retry_after", retry_after::check),
    ("token", token::check),
    ("web_config", web_config::check),
];

/// Runs the target `name` once.
pub(crate) fn check(name: &str, data: &[u8]) {
    let (_, check) =
        TARGETS.iter().find(|(known, _)| *known == name).expect("there is such a target");
    check(data);
}

/// `data` split at each byte 0xFF, which UTF-8 never contains: at most `most` parts.
fn parts(data: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    data.splitn(most, |byte| *byte == 0xFF)
}

/// Whether `body` is JSON for a parser without a depth limit. Invalid UTF-8 in strings is accepted,
/// as are control characters, which serde_json accepts in the names of members read as bytes.
fn is_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let tame = |byte: &u8| match byte {
        b'\t' | b'\n' | b'\r' => b' ',
        0..0x20 => b'.',
        other => *other,
    };
    let body: Vec<u8> = body.iter().map(tame).collect();
    serde_json::from_str::<serde::de::IgnoredAny>(&String::from_utf8_lossy(&body)).is_ok()
}
