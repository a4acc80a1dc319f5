//! Versions, cipher suites and curves by the names that Go has for them, and what rustls has of
//! them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::mistake::{Notes, quote};
use crate::config::section::Section;

/// A TLS version by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

const VERSIONS: [(&str, Version); 4] = [
    ("TLS10", Version::Tls10),
    ("TLS11", Version::Tls11),
    ("TLS12", Version::Tls12),
    ("TLS13", Version::Tls13),
];

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

/// What is spoken: versions, and a provider with suites and curves in the order of preference.
pub(super) struct Spoken {
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Reads versions, suites and curves; `None` when something is wrong, which is then told.
pub(super) fn read(section: &Section<'_>, http2: bool, notes: &mut Notes) -> Option<Spoken> {
    let before = notes.mistakes.len();
    let versions = versions(section, notes);
    let suites = suites(section, notes);
    let curves = curves(section, notes);
    let (versions, mut suites, curves) = (versions?, suites?, curves?);
    let mut provider = default_provider();
    if suites.is_empty() && !versions.contains(&&rustls::version::TLS13) {
        // Go refuses such a list with HTTP/2, which needs a suite of these, and goes by it without.
        if http2 {
            let message = "none of them can be had, and `max_version` leaves out TLS 1.3: nobody could connect. Add \
                           TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 and TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
            notes.mistake(section.at("cipher_suites"), message);
        } else {
            notes.warning(
                section.at("cipher_suites"),
                "none of them can be had: all that are not weak are offered instead",
            );
            suites = provider
                .cipher_suites
                .iter()
                .filter(|suite| suite.tls13().is_none())
                .copied()
                .collect();
        }
    }
    let speaks_12 = versions.contains(&&rustls::version::TLS12) && !suites.is_empty();
    let of_13 = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_some()).copied();
    provider.cipher_suites = of_13.chain(suites).collect();
    provider.kx_groups = curves;
    let versions = versions
        .into_iter()
        .filter(|version| speaks_12 || **version != rustls::version::TLS12)
        .collect();
    (notes.mistakes.len() == before).then(|| Spoken { versions, provider: Arc::new(provider) })
}

fn versions(
    section: &Section<'_>,
    notes: &mut Notes,
) -> Option<Vec<&'static SupportedProtocolVersion>> {
    let lowest = section.choice("min_version", Version::Tls12, &VERSIONS, notes);
    let highest = section.choice("max_version", Version::Tls13, &VERSIONS, notes);
    let (lowest, highest) = (lowest?, highest?);
    if highest < Version::Tls12 {
        notes.mistake(
            section.at("max_version"),
            "TLS 1.2 is the lowest version that is offered: write `TLS12` or `TLS13`",
        );
        return None;
    }
    if lowest > highest {
        notes.mistake(section.at("min_version"), "is higher than `max_version`");
        return None;
    }
    if lowest < Version::Tls12 {
        notes.warning(section.at("min_version"), "TLS 1.2 is the lowest version that is offered");
    }
    let offered =
        [(Version::Tls13, &rustls::version::TLS13), (Version::Tls12, &rustls::version::TLS12)];
    Some(
        offered
            .into_iter()
            .filter(|(version, _)| (lowest..=highest).contains(version))
            .map(|(_, version)| version)
            .collect(),
    )
}

/// The suites of TLS 1.2, in order of preference.
fn suites(section: &Section<'_>, notes: &mut Notes) -> Option<Vec<SupportedCipherSuite>> {
    let listed = section.texts("cipher_suites", notes).unwrap_or_default();
    if listed.is_empty() {
        return Some(
            default_provider()
                .cipher_suites
                .into_iter()
                .filter(|suite| suite.tls13().is_none())
                .collect(),
        );
    }
    let mut suites = Vec::new();
    let mut right = true;
    for (at, name) in listed {
        if let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == name) {
            suites.push(*suite);
        } else if SUITES_OF_GO_ALONE.contains(&name) {
            notes.warning(at, format!("{name} is left out: it is not offered, as it is weak"));
        } else if !SUITES_OF_13.contains(&name) {
            right = false;
            notes.mistake(
                at,
                format!("{} is no cipher suite: names are those of Go's crypto/tls", quote(name)),
            );
        }
    }
    right.then_some(suites)
}

fn curves(
    section: &Section<'_>,
    notes: &mut Notes,
) -> Option<Vec<&'static dyn rustls::crypto::SupportedKxGroup>> {
    let listed = section.texts("curve_preferences", notes).unwrap_or_default();
    if listed.is_empty() {
        return Some(default_provider().kx_groups);
    }
    let mut curves = Vec::new();
    let mut right = true;
    for (at, name) in &listed {
        match CURVES.iter().find(|(known, _)| known == name) {
            Some((_, Some(group))) => curves.extend(
                default_provider().kx_groups.into_iter().filter(|offered| offered.name() == *group),
            ),
            Some((_, None)) => {
                notes.warning(at.clone(), format!("{name} is left out: it is not offered"))
            }
            None => {
                right = false;
                let known = CURVES.map(|(known, _)| quote(known)).join(", ");
                notes.mistake(at.clone(), format!("{} is none of {known}", quote(name)));
            }
        }
    }
    if right && curves.is_empty() {
        notes.warning(
            section.at("curve_preferences"),
            "none of them can be had: all others are offered instead",
        );
        curves = default_provider().kx_groups;
    }
    right.then_some(curves)
}
