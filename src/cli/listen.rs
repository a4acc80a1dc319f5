//! Addresses to listen on, in the forms that Prometheus takes.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `:PORT`: every interface.
    AnyInterface {
        /// The port; 0 lets the system choose.
        port: u16,
    },
    /// `127.0.0.1:PORT`, `[::1]:PORT`.
    Address(SocketAddr),
    /// `localhost:PORT`.
    Name {
        /// The host's name, to be looked up.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
    },
}

impl ListenAddress {
    /// The addresses to try to bind, in order of preference. [`ListenAddress::AnyInterface`] is
    /// `[::]`, which includes IPv4.
    ///
    /// # Errors
    /// When the name cannot be looked up.
    pub fn candidates(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::AnyInterface { port } => Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into()]),
            Self::Address(address) => Ok(vec![*address]),
            Self::Name { host, port } => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let form = || {
            "write it like `:10962`, `127.0.0.1:10962`, `[::1]:10962` or `localhost:10962`"
                .to_owned()
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = if digits { port.parse().ok() } else { None }.ok_or_else(form)?;
        let is_name = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        // Digits and dots alone are meant as an address, and are not a valid one.
        let is_broken_address =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match host {
            "" => Ok(Self::AnyInterface { port }),
            _ if is_name && !is_broken_address && host.len() <= 253 => {
                Ok(Self::Name { host: host.to_owned(), port })
            }
            _ => Err(form()),
        }
    }
}

/// Where `serve` listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP.
    Tcp(ListenAddress),
    /// `unix:/run/cxone-exporter.sock`: a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|form: String| format!("{form}, or `unix:PATH`")),
            Some("") => Err("must have a path after `unix:`".to_owned()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
        }
    }
}

/// As it was written.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyInterface { port } => write!(f, ":{port}"),
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed_and_shown_as_written() {
        for text in [":10962", "127.0.0.1:0", "[::1]:8080", "localhost:8080"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!(":1".parse(), Ok(ListenAddress::AnyInterface { port: 1 }));
        for text in
            ["", "10962", ":", ":x", ":+1", ":65536", "::1:80", "1.2.3:80", "a b:80", "http://h:80"]
        {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_is_a_path() {
        assert_eq!("unix:/run/x.sock".parse(), Ok(Listen::Unix("/run/x.sock".into())));
        assert_eq!("unix:x.sock".parse(), Ok(Listen::Unix("x.sock".into())));
        assert_eq!(":1".parse(), Ok(Listen::Tcp(ListenAddress::AnyInterface { port: 1 })));
        assert!(
            "unix:".parse::<Listen>().is_err()
                && "/run/x.sock".parse::<Listen>().unwrap_err().contains("unix:PATH")
        );
    }

    #[test]
    fn a_port_alone_is_every_interface() {
        let all = ":80".parse::<ListenAddress>().unwrap().candidates().unwrap();
        assert_eq!(all, ["[::]:80".parse().unwrap()]);
    }
}
