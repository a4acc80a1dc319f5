//! What each fuzz target checks, through the public interface alone. cargo-fuzz runs these with
//! inputs that it finds (`fuzz_targets`, `scripts/fuzz`), and `tests/fuzz.rs` as property tests
//! with changes of the inputs in `seeds`.

mod accept;
mod config;
mod platform;
mod played;
mod records;
mod report;
mod retry_after;
mod token;
mod web_config;

/// What panics when an input breaks a promise.
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

/// `data` where it is cut at each byte 0xFF, which is in no UTF-8: at most `most` parts.
fn parts(data: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    data.splitn(most, |byte| *byte == 0xFF)
}

/// Whether `body` is JSON as a reader without a limit on depth has it: what is no UTF-8 in a string
/// does not matter, nor does a control character in one, which serde_json lets through in the names
/// of members that are read as bytes.
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
