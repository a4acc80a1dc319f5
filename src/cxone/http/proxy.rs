//! Which proxy leads to a host, as the environment says.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::base_url::is_loopback;

/// The variables that name a proxy for `https`, the first that is set counts. Plain `http` never
/// goes through one, so that no proxy reads a secret.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that name the hosts which are reached without one.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy of the environment, and where it is not used.
#[derive(Clone, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    exempt: Vec<NoProxyEntry>,
}

/// A proxy, and the variable that names it.
#[derive(Clone)]
pub struct Proxy {
    url: Url,
    variable: &'static str,
}

/// How a host is reached.
#[derive(Clone, Copy, Debug)]
pub enum ProxyRoute<'a> {
    /// By way of a proxy.
    Via(&'a Proxy),
    /// Directly, although there is a proxy: why.
    Exempt(&'static str),
    /// Directly: there is no proxy.
    Direct,
}

/// A variable that does not name a usable proxy. Its value, which may hold a password, is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {why}: write it like http://proxy.example:3128")]
pub struct ProxyError {
    variable: &'static str,
    why: &'static str,
}

impl Proxies {
    /// The proxies that the environment names; `variable` looks a variable up.
    ///
    /// # Errors
    /// When a variable that counts names none that can be used.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let value = |name: &&str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let proxy = PROXY_VARIABLES
            .into_iter()
            .find_map(|name| Some((name, value(&name)?)))
            .map(|(name, value)| Proxy::parse(name, &value))
            .transpose()?;
        let exempt = NO_PROXY.iter().find_map(value).unwrap_or_default();
        let exempt = exempt
            .split([',', ' ', '\t'])
            .filter(|entry| !entry.is_empty())
            .filter_map(NoProxyEntry::parse)
            .collect();
        Ok(Self { proxy, exempt })
    }

    /// How the host of `url` is reached. This machine itself never needs a proxy.
    #[must_use]
    pub fn route(&self, url: &Url) -> ProxyRoute<'_> {
        let (Some(proxy), Some(host), Some(port)) =
            (&self.proxy, url.host(), url.port_or_known_default())
        else {
            return ProxyRoute::Direct;
        };
        if url.scheme() != "https" {
            ProxyRoute::Exempt("plain http goes through no proxy")
        } else if is_loopback(&host) {
            ProxyRoute::Exempt("it is this machine")
        } else if self.exempt.iter().any(|entry| entry.covers(&host, port)) {
            ProxyRoute::Exempt("NO_PROXY names it")
        } else {
            ProxyRoute::Via(proxy)
        }
    }
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, ProxyError> {
        let wrong = |why| ProxyError { variable, why };
        let value =
            if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url = Url::parse(&value).map_err(|_| wrong("names no proxy"))?;
        match url.scheme() {
            "http" | "https" if url.host().is_some() => Ok(Self { url, variable }),
            "socks4" | "socks4a" | "socks5" | "socks5h" => {
                Err(wrong("names a SOCKS proxy, and only HTTP proxies are supported"))
            }
            _ => Err(wrong("names no proxy")),
        }
    }

    /// Its address, with the name and the password that it asks for.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// The variable that names it.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable
    }

    /// Whether it is given a name or a password.
    pub(crate) fn has_login(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }
}

/// Its address, without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), HostAndPort(&self.url))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// Host and port of a URL, the port always.
pub(crate) struct HostAndPort<'a>(pub(crate) &'a Url);

impl fmt::Display for HostAndPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.host_str().unwrap_or_default())?;
        self.0.port_or_known_default().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoProxyEntry {
    hosts: ExemptHosts,
    /// With one, only this port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExemptHosts {
    All,
    /// An address, and how many of its leading bits count.
    Net(IpAddr, u32),
    /// A domain, and whether the domain itself is meant beside what is below it.
    Domain(String, bool),
}

impl NoProxyEntry {
    /// What `text` excepts: `*`, an address or a network (`10.0.0.0/8`), a name (with all below it)
    /// or `*.name` (only what is below it), each with `:PORT` or without. Nothing else excepts
    /// anything.
    fn parse(text: &str) -> Option<Self> {
        let all_ports = |hosts| Some(Self { hosts, port: None });
        if text == "*" {
            return all_ports(ExemptHosts::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
            return all_ports(ExemptHosts::Net(address, bits));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return all_ports(ExemptHosts::Net(address, width(address)));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self { hosts: ExemptHosts::Net(address, width(address)), port });
        }
        let (below, itself) = match name.strip_prefix("*.") {
            Some(below) => (below, false),
            None => (name.strip_prefix('.').unwrap_or(name), true),
        };
        let domain = below.trim_end_matches('.').to_ascii_lowercase();
        let hosts =
            if domain == "*" { ExemptHosts::All } else { ExemptHosts::Domain(domain, itself) };
        (!below.is_empty()).then_some(Self { hosts, port })
    }

    fn covers(&self, host: &Host<&str>, port: u16) -> bool {
        let hosts = match (&self.hosts, host) {
            (ExemptHosts::All, _) => true,
            (ExemptHosts::Net(net, bits), Host::Ipv4(address)) => {
                within(*net, *bits, (*address).into())
            }
            (ExemptHosts::Net(net, bits), Host::Ipv6(address)) => {
                within(*net, *bits, (*address).into())
            }
            (ExemptHosts::Domain(domain, itself), Host::Domain(name)) => {
                // A URL's host is in small letters already.
                match name.trim_end_matches('.').strip_suffix(domain.as_str()) {
                    Some("") => *itself,
                    Some(rest) => rest.ends_with('.'),
                    None => false,
                }
            }
            (ExemptHosts::Net(..), Host::Domain(_))
            | (ExemptHosts::Domain(..), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        };
        hosts && self.port.is_none_or(|wanted| wanted == port)
    }
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether the first `bits` bits of both are the same.
fn within(net: IpAddr, bits: u32, address: IpAddr) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    net.is_ipv4() == address.is_ipv4()
        && (number(net) ^ number(address)).checked_shr(128 - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use assert_matches::assert_matches;

    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::of(|wanted| {
            pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        })
    }

    fn by_proxy(no_proxy: &str, url: &str) -> bool {
        let proxies =
            proxies(&[("HTTPS_PROXY", "http://proxy.test:3128"), ("NO_PROXY", no_proxy)]).unwrap();
        matches!(proxies.route(&url.parse().unwrap()), ProxyRoute::Via(_))
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_proxy_and_no_password_is_shown() {
        let url: Url = "https://acme.api.cxone.com".parse().unwrap();
        let found = proxies(&[
            ("HTTPS_PROXY", " "),
            ("https_proxy", "me:pass%40word@proxy.test:3128"),
            ("ALL_PROXY", "http://other.test"),
        ])
        .unwrap();
        assert_matches!(found.route(&url), ProxyRoute::Via(proxy) => {
            assert_eq!((proxy.to_string().as_str(), proxy.variable()), ("http://proxy.test:3128", "https_proxy"));
            assert!(proxy.has_login());
        });
        assert!(!format!("{found:?}").contains("pass"), "{found:?}");
        assert_matches!(proxies(&[]).unwrap().route(&url), ProxyRoute::Direct);
        let found = proxies(&[("ALL_PROXY", "https://[::1]")]).unwrap();
        assert_matches!(found.route(&url), ProxyRoute::Via(proxy) => {
            assert_eq!(proxy.to_string(), "https://[::1]:443");
            assert!(!proxy.has_login());
        });
    }

    #[test]
    fn plain_http_and_this_machine_go_through_no_proxy() {
        assert!(by_proxy("", "https://a.test"));
        for url in [
            "http://a.test",
            "https://localhost:1",
            "https://a.localhost",
            "https://127.0.0.9",
            "https://[::1]",
        ] {
            assert!(!by_proxy("", url), "{url}");
        }
    }

    #[test]
    fn no_proxy_knows_names_ports_wildcards_and_networks() {
        for (no_proxy, url, excepted) in [
            ("*", "https://a.test", true),
            ("b.test, a.test", "https://a.test", true),
            ("b.test a.test", "https://x.a.test", true),
            ("A.Test.", "https://a.test", true),
            (".a.test", "https://a.test", true),
            (".a.test", "https://x.a.test", true),
            ("*.a.test", "https://x.y.a.test", true),
            ("*.a.test", "https://a.test", false),
            ("a.test", "https://aa.test", false),
            ("a.test", "https://a.test.example", false),
            ("a.test:443", "https://a.test", true),
            ("a.test:443", "https://a.test:8443", false),
            ("*.a.test:8443", "https://x.a.test:8443", true),
            ("*:8443", "https://b.test:8443", true),
            ("*:8443", "https://b.test", false),
            ("10.1.2.3", "https://10.1.2.3", true),
            ("10.1.2.3:443", "https://10.1.2.3", true),
            ("10.1.2.3:80", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://10.9.9.9", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("0.0.0.0/0", "https://11.0.0.1", true),
            ("0.0.0.0/0", "https://[fd00::1]", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("[fd12::1]:443", "https://[fd12::1]", true),
            ("fd12::1", "https://[fd12::2]", false),
            (",, .,:,a.test:x,10.0.0.0/99", "https://a.test", false),
            ("", "https://a.test", false),
        ] {
            assert_eq!(!by_proxy(no_proxy, url), excepted, "{no_proxy} {url}");
        }
    }

    #[test]
    fn an_unusable_proxy_is_reported_without_its_password() {
        for value in
            ["socks5://me:hunter2@p", "ftp://hunter2@p", "http://hunter2:x@", "http://a b:hunter2"]
        {
            let error = proxies(&[("HTTPS_PROXY", value)]).map(drop).unwrap_err().to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
        }
    }
}
