//! What went wrong on the way to a host, in words and as far as there are different things to do.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::proxy::Proxy;
use super::transport::{TransportError, TransportFault};
use cxone_core::time::Timestamp;

/// What `error` is, on the way `by` a proxy or none. URLs are left out: they may hold ids.
pub(crate) fn fault(error: &reqwest::Error, by: Option<&Proxy>) -> TransportError {
    let chain = Chain::of(error);
    let (fault, what) = match by {
        Some(proxy) if chain.says("tunnel error") => {
            let (fault, what) = in_tunnel(&chain, proxy);
            return TransportError::new(fault, format!("the proxy {proxy} {what}"));
        }
        Some(_) | None => direct(error, &chain),
    };
    match by {
        Some(proxy) => TransportError::new(fault, format!("by way of the proxy {proxy}: {what}")),
        None => TransportError::new(fault, what),
    }
}

/// Connections cannot be made at all.
pub(crate) fn impossible(error: &reqwest::Error) -> TransportError {
    TransportError::new(TransportFault::Tls, Chain::of(error).text())
}

/// A time limit that ran out: within it there was no `what`.
pub(crate) fn late(what: &str, limit: Duration) -> TransportError {
    TransportError::new(TransportFault::Timeout, format!("no {what} within {limit:?}"))
}

fn in_tunnel(chain: &Chain<'_>, proxy: &Proxy) -> (TransportFault, String) {
    if chain.says("proxy authorization required") {
        let what = if proxy.has_login() {
            "refused the name and password that it got (407)"
        } else {
            "asks for a name and a password (407)"
        };
        (TransportFault::ProxyLogin, what.to_owned())
    } else if chain.says("failed to create underlying connection") {
        (TransportFault::ProxyUnreachable, format!("cannot be reached: {}", chain.last()))
    } else if chain.says("tunnel error: unsuccessful") {
        (TransportFault::ProxyRefused, "refused to connect to it".to_owned())
    } else {
        (TransportFault::ProxyUnreachable, format!("broke the connection off: {}", chain.last()))
    }
}

fn direct(error: &reqwest::Error, chain: &Chain<'_>) -> (TransportFault, String) {
    if let Some(error) = chain.find::<rustls::Error>() {
        return of_tls(error);
    }
    if chain.find::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
        return (TransportFault::NotHttp, "its answer is not valid HTTP".to_owned());
    }
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    if error.is_timeout() {
        (TransportFault::Timeout, chain.last())
    } else if chain.says("dns error") {
        (TransportFault::Name, format!("the name is not known: {}", chain.last()))
    } else if error.is_connect() && chain.find::<io::Error>().is_some_and(closed) {
        (TransportFault::Tls, "it ended the connection while TLS was agreed on".to_owned())
    } else if error.is_connect() {
        (TransportFault::Connect, chain.last())
    } else {
        (TransportFault::Cut, chain.text())
    }
}

fn of_tls(error: &rustls::Error) -> (TransportFault, String) {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others have the same meaning for us")]
    match error {
        rustls::Error::InvalidMessage(_) => {
            (TransportFault::NotTls, "its answer is not valid TLS".to_owned())
        }
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(alert) => {
            (TransportFault::Tls, format!("it does not agree on TLS ({alert:?})"))
        }
        other => (TransportFault::Tls, format!("TLS was not agreed on: {other}")),
    }
}

fn of_certificate(error: &CertificateError) -> (TransportFault, String) {
    let time = |time: &rustls::pki_types::UnixTime| {
        Timestamp::from_millis(0).plus(Duration::from_secs(time.as_secs()))
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others have the same meaning for us")]
    match error {
        // An authority that was made anew has the old name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let what = "its certificate is of an authority that this machine does not trust";
            (TransportFault::UnknownIssuer, what.to_owned())
        }
        CertificateError::Expired => {
            (TransportFault::Expired, "its certificate has expired".to_owned())
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            (TransportFault::Expired, format!("its certificate expired at {}", time(not_after)))
        }
        CertificateError::NotValidYet => {
            (TransportFault::Expired, "its certificate is not valid yet".to_owned())
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let what = format!("its certificate is not valid before {}", time(not_before));
            (TransportFault::Expired, what)
        }
        CertificateError::NotValidForName => {
            (TransportFault::WrongName, "its certificate is for another host".to_owned())
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.join(", ");
            let what = format!("its certificate is for other hosts: {names}");
            (TransportFault::WrongName, what)
        }
        other => (TransportFault::Tls, format!("its certificate is not valid: {other}")),
    }
}

/// An error and its causes.
struct Chain<'a>(Vec<&'a (dyn Error + 'static)>);

impl<'a> Chain<'a> {
    fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut chain = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            chain.push(error);
            // An I/O error that wraps another one names the causes of that, and not itself.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(within) => Some(within),
                None => error.source(),
            };
        }
        Self(chain)
    }

    fn find<E: Error + 'static>(&self) -> Option<&'a E> {
        self.0.iter().find_map(|error| error.downcast_ref::<E>())
    }

    fn says(&self, words: &str) -> bool {
        self.0.iter().any(|error| error.to_string().contains(words))
    }

    /// What it comes down to.
    fn last(&self) -> String {
        let last = self.0.last().map(ToString::to_string).unwrap_or_default();
        last.strip_prefix("tunnel error: ").map(str::to_owned).unwrap_or(last)
    }

    /// All of it but the outermost, which says little more than that something failed.
    fn text(&self) -> String {
        let mut text = String::new();
        for cause in self.0.iter().skip(1).map(ToString::to_string) {
            if !text.contains(&cause) {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(&cause);
            }
        }
        text
    }
}
