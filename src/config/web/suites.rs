//! Versions, cipher suites and curves by the names that Go has for them, and what rustls has of
//! them.

use std::sync::Arc;

use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::mistake::quote;
use crate::config::reader::Section;

/// A TLS version by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// In the order of the table of settings.
const VERSIONS: [Version; 4] = [Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13];

/// Go's names (`tls.CipherSuites`) of the suites up to TLS 1.2 that rustls has.
const SUITES: [(&str, SupportedCipherSuite); 6] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of TLS 1.3: always on, in Go too, whatever the list says.
const SUITES_OF_13: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// Suites that Go has, or had when the file may have been written, and rustls has not: without
/// forward secrecy, or with CBC.
const SUITES_OF_GO_ALONE: [&str; 10] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
];

/// The curves that the exporter-toolkit knows; `None` for one that rustls has not.
const CURVES: [(&str, Option<NamedGroup>); 4] = [
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
    ("X25519", Some(NamedGroup::X25519)),
];

/// What is offered: versions, and a provider with suites and curves in the order of preference.
pub(super) struct Offer {
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Reads versions, suites and curves.
pub(super) fn read(section: &Section<'_>, http2: bool) -> Offer {
    let versions = versions(section);
    let mut suites = suites(section);
    let mut provider = default_provider();
    if suites.is_empty() && !versions.contains(&&rustls::version::TLS13) {
        // Go refuses such a list with HTTP/2, which needs a suite of these, and ignores it without.
        if http2 {
            let message = "contains no suite that is offered, and `max_version` excludes TLS 1.3: nobody \
                           could connect. Add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 and \
                           TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
            section.mistake("cipher_suites", message);
        } else {
            let message =
                "contains no suite that is offered: all that are not weak are offered instead";
            section.warn("cipher_suites", message);
            suites = suites_of_12();
        }
    }
    let has_12 = versions.contains(&&rustls::version::TLS12) && !suites.is_empty();
    let of_13 = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_some()).copied();
    provider.cipher_suites = of_13.chain(suites).collect();
    provider.kx_groups = curves(section);
    let versions = versions
        .into_iter()
        .filter(|version| has_12 || **version != rustls::version::TLS12)
        .collect();
    Offer { versions, provider: Arc::new(provider) }
}

fn versions(section: &Section<'_>) -> Vec<&'static SupportedProtocolVersion> {
    let min = section.word("min_version", VERSIONS);
    let max = section.word("max_version", VERSIONS);
    if max < Version::Tls12 {
        section
            .mistake("max_version", "must be `TLS12` or `TLS13`: older versions are not offered");
    } else if min > max && section.is_valid(&["min_version", "max_version"]) {
        section.mistake("min_version", "must not be higher than `max_version`");
    } else if min < Version::Tls12 {
        section.warn("min_version", "means TLS 1.2: older versions are not offered");
    }
    [(Version::Tls13, &rustls::version::TLS13), (Version::Tls12, &rustls::version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, version)| version)
        .collect()
}

fn suites_of_12() -> Vec<SupportedCipherSuite> {
    let all = default_provider().cipher_suites.into_iter();
    all.filter(|suite| suite.tls13().is_none()).collect()
}

/// The suites of TLS 1.2, in order of preference.
fn suites(section: &Section<'_>) -> Vec<SupportedCipherSuite> {
    let listed = section.texts("cipher_suites").unwrap_or_default();
    if listed.is_empty() {
        return suites_of_12();
    }
    let mut suites = Vec::new();
    for (at, name) in listed {
        if let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == name) {
            suites.push(*suite);
        } else if SUITES_OF_GO_ALONE.contains(&name) {
            section.document.warn(at, format!("{name} is skipped: it is weak and not offered"));
        } else if !SUITES_OF_13.contains(&name) {
            let message = format!(
                "{} is not a valid cipher suite: names are those of Go's crypto/tls",
                quote(name)
            );
            section.document.mistake(at, message);
        }
    }
    suites
}

fn curves(section: &Section<'_>) -> Vec<&'static dyn SupportedKxGroup> {
    let listed = section.texts("curve_preferences").unwrap_or_default();
    let offered = default_provider().kx_groups;
    let mut curves = Vec::new();
    for (at, name) in &listed {
        match CURVES.iter().find(|(known, _)| known == name) {
            Some((_, Some(group))) => {
                curves.extend(offered.iter().filter(|curve| curve.name() == *group));
            }
            Some((_, None)) => {
                section.document.warn(at.clone(), format!("{name} is skipped: it is not offered"));
            }
            None => {
                let known = CURVES.map(|(known, _)| quote(known)).join(", ");
                let message = format!("{} must be one of {known}", quote(name));
                section.document.mistake(at.clone(), message);
            }
        }
    }
    if curves.is_empty() && !listed.is_empty() {
        let message = "contains no curve that is offered: all others are offered instead";
        section.warn("curve_preferences", message);
    }
    if curves.is_empty() { offered } else { curves }
}
