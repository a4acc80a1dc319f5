//! The section `tls_server_config`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, RootCertStore, ServerConfig};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::clients::{Asked, ClientCertificates};
use super::suites::{self, Spoken};
use super::{Tls, go};
use crate::config::mistake::{Mistake, Notes, Origin};
use crate::config::section::Section;
use cxone_core::time::Timestamp;

/// The keys of which any turns TLS on. Source: `TLSConfig.IsEnabled` of the exporter-toolkit.
const TURNS_ON: [&str; 7] =
    ["cert_file", "cert", "key_file", "key", "client_ca_file", "client_ca", "client_auth_type"];

/// Which certificates clients are asked for, by Go's names; `RequireClientCert` is the
/// exporter-toolkit's own.
const CLIENT_AUTH: [(&str, Asked); 6] = [
    ("NoClientCert", Asked::Not),
    ("RequestClientCert", Asked::Politely),
    ("RequireAnyClientCert", Asked::ForAny),
    ("RequireClientCert", Asked::ForAny),
    ("VerifyClientCertIfGiven", Asked::VerifiedIfGiven),
    ("RequireAndVerifyClientCert", Asked::Verified),
];

/// Where named files are, and how they are read.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) read: &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
}

/// What other sections mean for this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfHttp {
    /// Whether HTTP/2 is offered.
    pub(super) http2: bool,
    /// Whether there are paths that need no certificate, so that the handshake must let in whoever
    /// comes without one.
    pub(super) exempts: bool,
}

/// Reads the section; `None` without TLS, and when something is wrong, which is then told.
pub(super) fn read(
    section: &Section<'_>,
    OfHttp { http2, exempts }: OfHttp,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Tls> {
    let spoken = suites::read(section, http2, notes);
    let in_order = section.parsed("prefer_server_cipher_suites", true, notes, go::boolean);
    if !TURNS_ON.iter().any(|key| section.filled(key, notes).is_some()) {
        if section.has("client_allowed_sans") {
            notes.mistake(
                section.at("client_allowed_sans"),
                "needs a certificate: write `cert_file` and `key_file`",
            );
        }
        return None;
    }
    let certificate = material(section, "cert_file", "cert", files, notes);
    let key = material(section, "key_file", "key", files, notes);
    for (found, of, either) in [
        (&certificate, "cert_file", "`cert_file` or `cert`"),
        (&key, "key_file", "`key_file` or `key`"),
    ] {
        if matches!(found, Material::None) {
            notes.mistake(section.at(of), format!("is missing: TLS needs {either}"));
        }
    }
    let chain = certificate.given().and_then(|(at, pem)| chain(&at, &pem, notes));
    let key = key.given().and_then(|(at, pem)| {
        private_key(&pem)
            .map_err(|message| notes.mistake(at.clone(), message))
            .ok()
            .map(|key| (at, key))
    });
    let clients = clients(section, spoken.as_ref(), files, notes);
    let (spoken, in_order, chain, (key_at, key), clients) =
        (spoken?, in_order?, chain?, key?, clients?);
    let expiry = chain.iter().filter_map(expiry).min()?;
    let (certificate_at, authorities_at) =
        (at_of(section, "cert_file", "cert"), at_of(section, "client_ca_file", "client_ca"));
    let of_chain = chain.iter().filter_map(|one| Dates::of(one, &certificate_at, "certificate"));
    let named = clients.as_ref().map_or(&[][..], ClientCertificates::authorities);
    let of_clients = named.iter().filter_map(|one| Dates::of(one, &authorities_at, "authority"));
    let dates = of_chain.chain(of_clients).collect();
    let builder = ServerConfig::builder_with_provider(spoken.provider)
        .with_protocol_versions(&spoken.versions);
    let certificate_for_pages =
        exempts && clients.as_ref().is_some_and(ClientCertificates::is_required);
    let built = builder.map(|builder| match clients {
        None => builder.with_no_client_auth(),
        Some(clients) if exempts => {
            builder.with_client_cert_verifier(Arc::new(clients.left_to_pages()))
        }
        Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
    });
    let mut server = built
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(|error| notes.mistake(key_at, wrong_key(&error)))
        .ok()?;
    server.ignore_client_order = in_order;
    server.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Some(Tls { server: Arc::new(server), expiry, dates, certificate_for_pages })
}

/// The place of the one of two keys that counts.
fn at_of(section: &Section<'_>, file: &str, inline: &str) -> Origin {
    section.at(if section.has(file) { file } else { inline })
}

/// From when until when a certificate is valid, and where it is named.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    at: Origin,
    what: &'static str,
    from: Timestamp,
    until: Timestamp,
}

impl Dates {
    fn of(certificate: &CertificateDer<'_>, at: &Origin, what: &'static str) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        let time = |time: ASN1Time| Timestamp::from_millis(time.timestamp().saturating_mul(1000));
        let (from, until) = (time(validity.not_before), time(validity.not_after));
        Some(Self { at: at.clone(), what, from, until })
    }

    /// What is wrong with them at `now`, if anything.
    pub(super) fn wrong(&self, now: Timestamp) -> Option<Mistake> {
        let Self { at, what, from, until } = self;
        let message = if *until <= now {
            format!("holds an expired {what}: it was valid until {until}; renew it")
        } else if *from > now {
            format!(
                "holds a {what} that is not valid yet: it is from {from}; check this machine's clock"
            )
        } else {
            return None;
        };
        Some(Mistake { line: at.line, key: at.key.clone(), message })
    }
}

fn wrong_key(error: &Error) -> String {
    if matches!(error, Error::InconsistentKeys(_)) {
        "does not belong to the certificate: another key made it".to_owned()
    } else {
        format!("cannot be used with the certificate: {error}")
    }
}

/// What one of two keys gives, a file or text within the configuration.
enum Material {
    /// Neither is there.
    None,
    /// It cannot be had, which was told.
    Wrong,
    Given(Origin, Vec<u8>),
}

impl Material {
    fn given(self) -> Option<(Origin, Vec<u8>)> {
        match self {
            Self::Given(at, bytes) => Some((at, bytes)),
            Self::None | Self::Wrong => None,
        }
    }
}

/// The file wins, as in the exporter-toolkit.
fn material(
    section: &Section<'_>,
    file: &str,
    inline: &str,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Material {
    let text = section.filled(inline, notes);
    if let Some(path) = section.filled(file, notes) {
        if text.is_some() {
            notes.warning(section.at(inline), format!("is not used: `{file}` is given, too"));
        }
        return match (files.read)(&files.folder.join(path)) {
            Ok(bytes) => Material::Given(section.at(file), bytes),
            Err(error) => {
                notes.mistake(section.at(file), format!("cannot be read: {error} (a relative path begins at the folder of this file)"));
                Material::Wrong
            }
        };
    }
    text.map_or(Material::None, |text| {
        Material::Given(section.at(inline), text.as_bytes().to_vec())
    })
}

/// The certificates in `pem`, at least one.
fn chain(at: &Origin, pem: &[u8], notes: &mut Notes) -> Option<Vec<CertificateDer<'static>>> {
    match certificates(pem) {
        Ok(chain) => Some(chain),
        Err(message) => {
            notes.mistake(at.clone(), message);
            None
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("is not valid PEM: {}", wrong_pem(&error)))?;
    if found.is_empty() {
        return Err("holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    if found.iter().any(|certificate| expiry(certificate).is_none()) {
        return Err("holds a certificate that cannot be read".to_owned());
    }
    Ok(found)
}

/// Why PEM cannot be read. The errors themselves repeat the text, in which a key may be.
fn wrong_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no `-----END …-----` line",
        pem::Error::IllegalSectionStart { .. } => {
            "`-----BEGIN …-----` and `-----END …-----` must be lines of their own; were newlines lost? \
             In YAML, write the text after `|`"
        }
        pem::Error::Base64Decode(_) => {
            "a line between `-----BEGIN …-----` and `-----END …-----` is not base64"
        }
        pem::Error::NoItemsFound => "there is no `-----BEGIN …-----` line",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::Io(_) | _ => "it cannot be read",
    }
}

/// The private key in `pem`. The message repeats nothing of it.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let why = if encrypted {
            "it is encrypted; decrypt it with `openssl pkey`"
        } else if matches!(error, pem::Error::NoItemsFound) {
            "there is no `-----BEGIN PRIVATE KEY-----` line"
        } else {
            wrong_pem(&error)
        };
        format!("holds no private key in PEM: {why}")
    })
}

/// When a certificate expires; `None` when it cannot be read.
fn expiry(certificate: &CertificateDer<'static>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
}

/// Whom the server lets connect: `Some(None)` for everybody; `None` when something is wrong, which
/// is then told.
fn clients(
    section: &Section<'_>,
    spoken: Option<&Spoken>,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Option<ClientCertificates>> {
    let asked = match section.filled("client_auth_type", notes) {
        None => Asked::Not,
        Some(_) => section.choice("client_auth_type", Asked::Not, &CLIENT_AUTH, notes)?,
    };
    let authorities = match material(section, "client_ca_file", "client_ca", files, notes) {
        Material::None => None,
        Material::Wrong => return None,
        Material::Given(at, pem) => Some((chain(&at, &pem, notes)?, at)),
    };
    if let (Asked::Not, Some((_, at))) = (asked, &authorities) {
        notes.mistake(at.clone(), "has no effect without `client_auth_type`: write `client_auth_type: RequireAndVerifyClientCert`");
        return None;
    }
    let sans = allowed_sans(section, asked, notes)?;
    let provider = &spoken?.provider;
    if matches!(asked, Asked::Not) {
        return Some(None);
    }
    let named =
        authorities.as_ref().map(|(authorities, _)| authorities.clone()).unwrap_or_default();
    let verifier = if asked.verifies() {
        let at = authorities
            .as_ref()
            .map_or_else(|| section.at("client_auth_type"), |(_, at)| at.clone());
        let roots = match authorities {
            Some((authorities, at)) => roots(authorities, &at, notes)?,
            None => system_roots(section, notes),
        };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build();
        Some(
            verifier
                .map_err(|error| notes.mistake(at, format!("clients cannot be verified: {error}")))
                .ok()?,
        )
    } else {
        None
    };
    Some(Some(ClientCertificates::new(
        asked,
        verifier,
        named,
        sans,
        provider.signature_verification_algorithms,
    )))
}

fn roots(
    authorities: Vec<CertificateDer<'static>>,
    at: &Origin,
    notes: &mut Notes,
) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        if !may_sign(&authority) {
            let message = "holds a certificate without the CA flag: whoever has its key can make certificates for clients all the same; \
                           name the authority that issued it";
            notes.warning(at.clone(), message);
        }
        if let Err(error) = roots.add(authority) {
            notes.mistake(
                at.clone(),
                format!("holds a certificate that can be no authority: {error}"),
            );
            return None;
        }
    }
    Some(roots)
}

/// Whether a certificate says of itself that it is an authority's; those of version 1 say nothing.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, read)| read.version() == X509Version::V1 || read.is_ca())
}

/// As in Go, where nothing is named, the machine's authorities count.
fn system_roots(section: &Section<'_>, notes: &mut Notes) -> RootCertStore {
    let message = "without `client_ca_file` the authorities that this machine trusts count: whoever has a certificate of any of them is let in";
    notes.warning(section.at("client_auth_type"), message);
    let mut roots = RootCertStore::empty();
    let (_added, _ignored) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The names of which a client's certificate must have one: `Some(None)` for any; `None` when
/// something is wrong, which is then told.
fn allowed_sans(
    section: &Section<'_>,
    asked: Asked,
    notes: &mut Notes,
) -> Option<Option<BTreeSet<String>>> {
    let Some(listed) = section.texts("client_allowed_sans", notes) else {
        return Some(None);
    };
    if !matches!(asked, Asked::ForAny | Asked::Verified) {
        let message =
            "requires `client_auth_type` to be RequireAnyClientCert or RequireAndVerifyClientCert";
        notes.mistake(section.at("client_allowed_sans"), message);
        return None;
    }
    if listed.is_empty() {
        notes.mistake(section.at("client_allowed_sans"), "names nobody, so nobody could connect");
        return None;
    }
    Some(Some(listed.into_iter().map(|(_, san)| san.to_owned()).collect()))
}
