//! Which client certificates are accepted. rustls's own verifier neither accepts unsigned ones nor
//! has lists of names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

/// Which certificate a client must present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// None.
    None,
    /// Any, or none.
    Request,
    /// Any.
    RequireAny,
    /// One that an authority signed, or none.
    VerifyIfGiven,
    /// One that an authority signed.
    RequireAndVerify,
}

impl ClientAuth {
    /// Whether an authority must have signed the certificate.
    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// Checks clients' certificates.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    auth: ClientAuth,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// The certificates that the verifier takes for authorities.
    authorities: Vec<CertificateDer<'static>>,
    sans: Option<BTreeSet<String>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether the handshake admits clients without a required certificate, and the pages reject
    /// them.
    left_to_pages: bool,
}

impl ClientCertificates {
    /// `verifier` says whether one of `authorities` vouches for a certificate, `sans` which names
    /// it must have one of.
    pub(super) fn new(
        auth: ClientAuth,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        authorities: Vec<CertificateDer<'static>>,
        sans: Option<BTreeSet<String>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { auth, verifier, authorities, sans, algorithms, left_to_pages: false }
    }

    /// The certificates that are taken for authorities.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Whether clients without a certificate are rejected.
    pub(super) const fn is_required(&self) -> bool {
        matches!(self.auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify)
    }

    /// The same, with the refusal of those without a certificate left to the pages.
    pub(super) fn left_to_pages(self) -> Self {
        Self { left_to_pages: true, ..self }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("none of the certificate's names is in client_allowed_sans")]
struct NoAllowedName;

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required() && !self.left_to_pages
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(verifier) = &self.verifier
            && let Err(why) = verifier.verify_client_cert(end_entity, intermediates, now)
            // One that is its own authority, as `openssl req -x509` makes them: Go takes it, rustls
            // does not.
            && !(self.authorities.contains(end_entity) && fits(end_entity, now))
        {
            return Err(explained(why, end_entity));
        }
        match &self.sans {
            Some(allowed) if names(end_entity).is_disjoint(allowed) => {
                Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
                    NoAllowedName,
                )))))
            }
            Some(_) | None => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
            .map_err(|why| explained(why, cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
            .map_err(|why| explained(why, cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it is of X.509 version 1, and only version 3 is supported: issue it with extensions (`openssl x509 -req -extfile …`)"
)]
struct OldVersion;

/// The error, said more clearly where the certificate is of a version that rustls does not read.
fn explained(why: Error, certificate: &CertificateDer<'_>) -> Error {
    let is_old = x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, read)| read.version() != X509Version::V3);
    let old = || CertificateError::Other(OtherError(Arc::new(OldVersion)));
    if is_old { Error::InvalidCertificate(old()) } else { why }
}

/// Why a handshake failed on a certificate, the client's or ours, in words that are the same each
/// time; `None` when it failed on something else.
#[must_use]
pub fn certificate_failure(error: &Error) -> Option<String> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other errors are about no certificate")]
    match error {
        Error::NoCertificatesPresented => Some("the client sent no certificate".to_owned()),
        Error::InvalidCertificate(why) => {
            let why = match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "it has expired".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet".to_owned()
                }
                CertificateError::UnknownIssuer => {
                    "no authority in client_ca_file issued it".to_owned()
                }
                CertificateError::BadSignature => "its signature is not valid".to_owned(),
                CertificateError::BadEncoding => "its encoding is not valid".to_owned(),
                CertificateError::Revoked => "it is revoked".to_owned(),
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => {
                    "it is not for clients (extended key usage clientAuth)".to_owned()
                }
                CertificateError::Other(other) => other.0.to_string(),
                _ => "it is not valid".to_owned(),
            };
            Some(format!("the client's certificate was rejected: {why}"))
        }
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA),
        ) => Some(format!("the client rejected this server's certificate: {alert:?}")),
        _ => None,
    }
}

/// Whether a certificate is valid now and may be a client's.
fn fits(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let now = i64::try_from(now.as_secs())
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let is_for_clients = match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
        Ok(None) => true,
        Err(_) => false,
    };
    is_for_clients && now.is_some_and(|now| certificate.validity().is_valid_at(now))
}

/// The DNS names, e-mail addresses, IP addresses and URIs of a certificate.
fn names(certificate: &CertificateDer<'_>) -> BTreeSet<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return BTreeSet::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    names.value.general_names.iter().filter_map(text).collect()
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the exporter-toolkit compares these four kinds of names and no others"
)]
fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    }
}
