//! The one type of an address that a person writes: `api.base_url`, `api.issuer`, `--healthy`.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The domains of CXone's hosts. Source: NICE's developer documentation names hosts in both.
const CXONE_DOMAINS: [&str; 2] = ["niceincontact.com", "nice-incontact.com"];

/// The base of every request: `http` or `https`, a host, perhaps a port and a path; nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    url: Url,
    /// The text before the paths of the API, without a slash at its end.
    prefix: String,
}

/// Why a text is not a base URL. No message repeats it, as it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It cannot be parsed.
    #[error("is not a valid URL ({0})")]
    Unreadable(#[from] url::ParseError),
    /// Its scheme is another one, or it has no host.
    #[error("must begin with https:// or http:// and name a host")]
    Scheme,
    /// It has a user name or a password.
    #[error("must not contain a user name or a password")]
    Login,
    /// It has a query or a fragment.
    #[error("must not contain a query or a fragment")]
    Query,
}

impl BaseUrl {
    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.url.host().is_some_and(|host| is_loopback(&host))
    }

    /// Whether the host is one of CXone's own.
    #[must_use]
    pub fn is_cxone(&self) -> bool {
        // A URL's host is in lower case already.
        CXONE_DOMAINS.iter().any(|domain| {
            self.host()
                .strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Whether scheme, host and port are those of `other`.
    #[must_use]
    pub fn has_origin_of(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// Scheme, host and port, as messages name them.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The host; never empty.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The parsed URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The URL of `path`, which begins with a slash and is percent-encoded.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BaseUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Login);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Query);
        }
        let prefix = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, prefix })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

/// Whether `host` is this machine.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// `text` as one segment of a path: everything but the characters that a segment may hold as they
/// are is percent-encoded.
pub(crate) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_may_have_a_port_and_a_path() {
        let base: BaseUrl = "http://127.0.0.1:8080/cxone/eu/".parse().unwrap();
        assert_eq!(base.join("/oauth/token"), "http://127.0.0.1:8080/cxone/eu/oauth/token");
        assert_eq!(
            "https://acme.api.cxone.com".parse::<BaseUrl>().unwrap().join("/x"),
            "https://acme.api.cxone.com/x"
        );
    }

    #[test]
    fn an_invalid_base_is_rejected_with_its_reason() {
        for (text, error) in [
            ("ftp://example.org", BaseUrlError::Scheme),
            ("acme.api.cxone.com:443", BaseUrlError::Scheme),
            ("mailto:a@example.org", BaseUrlError::Scheme),
            ("https://me@example.org", BaseUrlError::Login),
            ("https://:pw@example.org", BaseUrlError::Login),
            ("https://example.org/?a=b", BaseUrlError::Query),
            ("https://example.org/#a", BaseUrlError::Query),
            ("", BaseUrlError::Unreadable(url::ParseError::RelativeUrlWithoutBase)),
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn loopback_addresses_and_names_are_this_machine() {
        for text in
            ["http://127.0.0.1:1", "http://localhost", "http://[::1]:80", "http://a.localhost"]
        {
            assert!(text.parse::<BaseUrl>().unwrap().is_loopback(), "{text}");
        }
        assert!(!"http://localhost.example.org".parse::<BaseUrl>().unwrap().is_loopback());
    }

    #[test]
    fn only_cxones_domains_and_their_subdomains_are_cxones() {
        let is_cxone =
            |host: &str| format!("https://{host}").parse::<BaseUrl>().unwrap().is_cxone();
        for host in [
            "niceincontact.com",
            "cxone.niceincontact.com",
            "CXONE-GOV.niceincontact.com",
            "na1.nice-incontact.com",
            "a.b.nice-incontact.com",
        ] {
            assert!(is_cxone(host), "{host}");
        }
        for host in [
            "evilniceincontact.com",
            "niceincontact.com.evil.org",
            "niceincontact.co",
            "nice.incontact.com",
            "incontact.com",
        ] {
            assert!(!is_cxone(host), "{host}");
        }
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(path_segment("job-12345"), "job-12345");
        assert_eq!(path_segment("a/../b?c#d%2e\\é \n"), "a%2F..%2Fb%3Fc%23d%252e%5C%C3%A9%20%0A");
    }
}
