//! The section `tls_server_config`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, RootCertStore, ServerConfig};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::clients::{ClientAuth, ClientCertificates};
use super::suites;
use super::{Tls, go};
use crate::config::mistake::{Mistake, Origin};
use crate::config::reader::Section;
use cxone_core::time::Timestamp;

/// The keys of which any turns TLS on. Source: `TLSConfig.IsEnabled` of the exporter-toolkit.
const TURNS_ON: [&str; 7] =
    ["cert_file", "cert", "key_file", "key", "client_ca_file", "client_ca", "client_auth_type"];

/// Which certificates clients need, in the order of the table of settings. `RequireClientCert` is the
/// exporter-toolkit's own name of `RequireAnyClientCert`.
const CLIENT_AUTH: [ClientAuth; 6] = [
    ClientAuth::None,
    ClientAuth::Request,
    ClientAuth::RequireAny,
    ClientAuth::RequireAny,
    ClientAuth::VerifyIfGiven,
    ClientAuth::RequireAndVerify,
];

/// Reads a file that the configuration names.
pub(super) type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// Reads the section; `None` without TLS, and when something is wrong. With `has_exempt_paths` the
/// handshake must admit clients without a certificate: there are paths that need none.
pub(super) fn read(
    section: &Section<'_>,
    http2: bool,
    has_exempt_paths: bool,
    read_file: ReadFile<'_>,
) -> Option<Tls> {
    let before = section.document.mistakes();
    let offer = suites::read(section, http2);
    let prefers_own_order = section.parsed("prefer_server_cipher_suites", go::boolean);
    if !TURNS_ON.iter().any(|key| section.filled(key).is_some()) {
        if section.has("client_allowed_sans") {
            section.mistake("client_allowed_sans", "requires `cert_file` and `key_file`");
        }
        return None;
    }
    let certificate = pem(section, "cert_file", "cert", read_file);
    let key = pem(section, "key_file", "key", read_file);
    let chain = certificate.and_then(|(at, pem)| Some((at.clone(), chain(section, &at, &pem)?)));
    let key = key.and_then(|(at, pem)| match private_key(&pem) {
        Ok(key) => Some((at, key)),
        Err(message) => {
            section.document.mistake(at, message);
            None
        }
    });
    for (name, either) in
        [("cert_file", "`cert_file` or `cert`"), ("key_file", "`key_file` or `key`")]
    {
        let inline = name.trim_end_matches("_file");
        if section.filled(name).is_none() && section.filled(inline).is_none() {
            section.mistake(name, format!("is missing: TLS needs {either}"));
        }
    }
    let clients = clients(section, &offer.provider, read_file);
    if section.document.mistakes() > before {
        return None;
    }
    let ((chain_at, chain), (key_at, key)) = (chain?, key?);
    let expiry = chain.iter().filter_map(expiry).min()?;
    let mut dates: Vec<Dates> =
        chain.iter().filter_map(|one| Dates::of(one, &chain_at, "certificate")).collect();
    if let Some((clients, at)) = &clients {
        let authorities = clients.authorities().iter();
        dates.extend(authorities.filter_map(|one| Dates::of(one, at, "authority")));
    }
    let clients = clients.map(|(clients, _)| clients);
    let certificate_for_pages =
        has_exempt_paths && clients.as_ref().is_some_and(ClientCertificates::is_required);
    let builder = ServerConfig::builder_with_provider(offer.provider)
        .with_protocol_versions(&offer.versions)
        .map(|builder| match clients {
            None => builder.with_no_client_auth(),
            Some(clients) if has_exempt_paths => {
                builder.with_client_cert_verifier(Arc::new(clients.left_to_pages()))
            }
            Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
        });
    let mut server = builder
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(|error| section.document.mistake(key_at, wrong_key(&error)))
        .ok()?;
    server.ignore_client_order = prefers_own_order;
    server.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Some(Tls { server: Arc::new(server), expiry, dates, certificate_for_pages })
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

    /// The mistake that the certificate is not valid at `now`, if so.
    pub(super) fn mistake_at(&self, now: Timestamp) -> Option<Mistake> {
        let Self { at, what, from, until } = self;
        let message = if *until <= now {
            format!("contains an expired {what}: it was valid until {until}; renew it")
        } else if *from > now {
            format!(
                "contains a {what} that is not valid before {from}; check the clock of this machine"
            )
        } else {
            return None;
        };
        Some(Mistake { line: at.line, key: at.key.clone(), message })
    }
}

fn wrong_key(error: &Error) -> String {
    if matches!(error, Error::InconsistentKeys(_)) {
        "does not match the certificate".to_owned()
    } else {
        format!("cannot be used with the certificate: {error}")
    }
}

/// What a file, or the text within the configuration, contains; `None` when neither is there, or the
/// file cannot be read. The file takes precedence, as in the exporter-toolkit.
fn pem(
    section: &Section<'_>,
    file: &str,
    inline: &str,
    read_file: ReadFile<'_>,
) -> Option<(Origin, Vec<u8>)> {
    let text = section.filled(inline);
    let Some(path) = section.filled(file) else {
        return text.map(|text| (section.at(inline), text.as_bytes().to_vec()));
    };
    if text.is_some() {
        section.warn(inline, format!("is not used: `{file}` takes precedence"));
    }
    match read_file(&section.document.folder.join(path)) {
        Ok(bytes) => Some((section.at(file), bytes)),
        Err(error) => {
            let message = format!(
                "cannot be read: {error} (relative paths begin at the folder of this file)"
            );
            section.mistake(file, message);
            None
        }
    }
}

/// The certificates in `pem`, at least one.
fn chain(section: &Section<'_>, at: &Origin, pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    certificates(pem).map_err(|message| section.document.mistake(at.clone(), message)).ok()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("is not valid PEM: {}", wrong_pem(&error)))?;
    if found.is_empty() {
        return Err("contains no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    if found.iter().any(|certificate| expiry(certificate).is_none()) {
        return Err("contains a certificate that is not valid".to_owned());
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
        format!("contains no private key in PEM: {why}")
    })
}

/// When a certificate expires; `None` when it cannot be read.
fn expiry(certificate: &CertificateDer<'static>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
}

/// How clients' certificates are checked, and where the authorities are named; `None` when clients
/// need none, and when something is wrong.
fn clients(
    section: &Section<'_>,
    provider: &Arc<CryptoProvider>,
    read_file: ReadFile<'_>,
) -> Option<(ClientCertificates, Origin)> {
    let auth = match section.filled("client_auth_type") {
        None => ClientAuth::None,
        Some(_) => section.word("client_auth_type", CLIENT_AUTH),
    };
    let named = pem(section, "client_ca_file", "client_ca", read_file);
    let named = named.and_then(|(at, pem)| Some((chain(section, &at, &pem)?, at)));
    let sans = allowed_sans(section, auth);
    if !section.is_valid(&["client_auth_type", "client_ca_file", "client_ca"]) {
        return None;
    }
    if matches!(auth, ClientAuth::None) {
        if let Some((_, at)) = named {
            let message = "has no effect without `client_auth_type`: set it to \
                           RequireAndVerifyClientCert";
            section.document.mistake(at, message);
        }
        return None;
    }
    let at = named.as_ref().map_or_else(|| section.at("client_auth_type"), |(_, at)| at.clone());
    let verifier = if auth.verifies() {
        let roots = match &named {
            Some((authorities, at)) => roots(section, authorities, at)?,
            None => system_roots(section),
        };
        let built =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build();
        let unverifiable = |error| {
            section.document.mistake(at.clone(), format!("clients cannot be verified: {error}"));
        };
        Some(built.map_err(unverifiable).ok()?)
    } else {
        None
    };
    let authorities = named.map(|(authorities, _)| authorities).unwrap_or_default();
    let algorithms = provider.signature_verification_algorithms;
    Some((ClientCertificates::new(auth, verifier, authorities, sans, algorithms), at))
}

fn roots(
    section: &Section<'_>,
    authorities: &[CertificateDer<'static>],
    at: &Origin,
) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        if !may_sign(authority) {
            let message = "contains a certificate without the CA flag: whoever has its key can make \
                           certificates for clients all the same; name the authority that issued it";
            section.document.warn(at.clone(), message);
        }
        if let Err(error) = roots.add(authority.clone()) {
            let message = format!("contains a certificate that is not a valid authority: {error}");
            section.document.mistake(at.clone(), message);
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

/// The system's authorities: as in Go, they are trusted where none is named.
fn system_roots(section: &Section<'_>) -> RootCertStore {
    let message = "without `client_ca_file` all authorities of this system are trusted: whoever has a \
                   certificate from any of them is admitted";
    section.warn("client_auth_type", message);
    let mut roots = RootCertStore::empty();
    let (_added, _ignored) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The names of which a client's certificate must have one; `None` for any.
fn allowed_sans(section: &Section<'_>, auth: ClientAuth) -> Option<BTreeSet<String>> {
    let listed = section.texts("client_allowed_sans")?;
    if !matches!(auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify) {
        let message = "requires `client_auth_type` to be RequireAnyClientCert or \
                       RequireAndVerifyClientCert";
        section.mistake("client_allowed_sans", message);
    } else if listed.is_empty() {
        section.mistake("client_allowed_sans", "must not be empty: nobody could connect");
    }
    Some(listed.into_iter().map(|(_, san)| san.to_owned()).collect())
}
