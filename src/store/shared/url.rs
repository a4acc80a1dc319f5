//! `--storage.url`: where the database is, and how far the way there is trusted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};
use url::form_urlencoded;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
const DEFAULT_PORT: u16 = 5432;

/// What may follow the `?`. Anything else is rejected: an option that were ignored might be the one
/// that was to protect the connection.
const OPTIONS: [&str; 11] = [
    "application_name",
    "channel_binding",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

/// How the connection is protected, as `sslmode` of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// The server has a certificate of a known authority that names the host: the default.
    VerifyFull,
    /// As [`Encryption::VerifyFull`], whatever host the certificate names.
    VerifyCa,
    /// Encrypted, whoever the server is.
    Require,
    /// Plain text; always so on a Unix socket.
    Disable,
}

/// The URL of a PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    parsed: Config,
    encryption: Encryption,
    root_cert: Option<PathBuf>,
}

impl StoreUrl {
    /// Whether `text` is meant as such a URL, rather than as a folder.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// How the connection is protected.
    #[must_use]
    pub const fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// The file with the authorities to trust instead of those of the machine.
    #[must_use]
    pub const fn root_cert(&self) -> Option<&PathBuf> {
        self.root_cert.as_ref()
    }

    /// Whether the password is part of the URL.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.parsed.get_password().is_some()
    }

    /// One configuration for each host. The hosts are tried one by one, each within its time: a host
    /// that accepts connections and then says nothing must not keep the others from being tried.
    pub(super) fn hosts(&self) -> Vec<Config> {
        let url = &self.parsed;
        let of_host = |(index, host): (usize, &Host)| {
            let mut config = Config::new();
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(path) => config.host_path(path),
            };
            config
                .port(self.port(index))
                .application_name(url.get_application_name().unwrap_or("cxone-exporter"))
                .channel_binding(url.get_channel_binding())
                .ssl_mode(match self.encryption {
                    Encryption::Disable => SslMode::Disable,
                    Encryption::VerifyFull | Encryption::VerifyCa | Encryption::Require => {
                        SslMode::Require
                    }
                })
                .target_session_attrs(TargetSessionAttrs::ReadWrite)
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_user_timeout(TCP_USER_TIMEOUT)
                .keepalives_idle(KEEPALIVE_IDLE)
                .keepalives_interval(KEEPALIVE_INTERVAL)
                .keepalives_retries(KEEPALIVE_RETRIES);
            if let Some(user) = url.get_user() {
                config.user(user);
            }
            if let Some(password) = url.get_password() {
                config.password(password);
            }
            if let Some(dbname) = url.get_dbname() {
                config.dbname(dbname);
            }
            if let Some(options) = url.get_options() {
                config.options(options);
            }
            config
        };
        url.get_hosts().iter().enumerate().map(of_host).collect()
    }

    fn port(&self, index: usize) -> u16 {
        let ports = self.parsed.get_ports();
        ports.get(index).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT)
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    /// The message repeats nothing of `text`, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if !Self::is_meant_by(text) {
            return Err("is not a URL that begins with postgres://".to_owned());
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut encryption = None;
        let mut root_cert = None;
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sslmode" => encryption = Some(parse_sslmode(&value)?),
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => root_cert = Some(PathBuf::from(&*value)),
                // The only sort of session that the store can use; it is asked for in any case.
                "target_session_attrs" if matches!(&*value, "read-write" | "primary") => {}
                "target_session_attrs" => {
                    return Err("target_session_attrs must be read-write: the store is written to"
                        .to_owned());
                }
                known if OPTIONS.contains(&known) => {
                    rest.append_pair(&name, &value);
                }
                _ => {
                    return Err(format!("has an option that is not one of {}", OPTIONS.join(", ")));
                }
            }
        }
        // A plus sign is a space in a form, and a plus sign in the URL of a database.
        let rest = rest.finish().replace('+', "%20");
        let parsed: Config = format!("{base}?{rest}").parse().map_err(|error| {
            // Its messages name an option, and never its value.
            format!("cannot be read: {error}")
        })?;
        let ports = parsed.get_ports().len();
        let hosts = parsed.get_hosts();
        if hosts.is_empty() {
            return Err("names no host".to_owned());
        }
        if ports > 1 && ports != hosts.len() {
            return Err(format!("has {} hosts and {ports} ports", hosts.len()));
        }
        // Only the hosts before the path are split at commas.
        let has_comma = |host: &Host| match host {
            Host::Tcp(name) => name.contains(','),
            Host::Unix(path) => path.to_string_lossy().contains(','),
        };
        if hosts.iter().any(has_comma) {
            return Err(
                "has a comma in the option host: name several hosts before the database".to_owned()
            );
        }
        let unix = hosts.iter().filter(|host| matches!(host, Host::Unix(_))).count();
        let encryption = match (unix, encryption) {
            (0, encryption) => encryption.unwrap_or(Encryption::VerifyFull),
            (unix, None | Some(Encryption::Disable)) if unix == hosts.len() => Encryption::Disable,
            (unix, Some(_)) if unix == hosts.len() => {
                return Err("has an sslmode, which a Unix socket has no use for".to_owned());
            }
            _ => return Err("mixes Unix sockets with other hosts".to_owned()),
        };
        if parsed.get_channel_binding() == ChannelBinding::Require
            && encryption == Encryption::Disable
        {
            return Err("channel_binding=require needs TLS".to_owned());
        }
        if root_cert.is_some() && matches!(encryption, Encryption::Require | Encryption::Disable) {
            return Err(
                "sslrootcert has no effect with this sslmode: write verify-full or verify-ca"
                    .to_owned(),
            );
        }
        Ok(Self { parsed, encryption, root_cert })
    }
}

fn parse_sslmode(text: &str) -> Result<Encryption, String> {
    Ok(match text {
        "verify-full" => Encryption::VerifyFull,
        "verify-ca" => Encryption::VerifyCa,
        "require" => Encryption::Require,
        "disable" => Encryption::Disable,
        "prefer" | "allow" => {
            return Err(format!(
                "sslmode={text} falls back to plain text without notice: write verify-full, verify-ca or require, or disable where the \
                 network is trusted"
            ));
        }
        _ => return Err("sslmode must be verify-full, verify-ca, require or disable".to_owned()),
    })
}

/// Without the password, and without options.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.parsed.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in self.parsed.get_hosts().iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{separator}{name}:{}", self.port(index))?,
                Host::Unix(path) => {
                    write!(f, "{separator}{}:{}", path.display(), self.port(index))?;
                }
            }
        }
        match self.parsed.get_dbname() {
            Some(dbname) => write!(f, "/{dbname}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, String> {
        text.parse()
    }

    #[test]
    fn tls_is_verified_unless_something_weaker_is_written_out() {
        let modes = [
            ("", Encryption::VerifyFull),
            ("?sslmode=verify-full", Encryption::VerifyFull),
            ("?sslmode=verify-ca", Encryption::VerifyCa),
            ("?sslmode=require", Encryption::Require),
            ("?sslmode=disable", Encryption::Disable),
        ];
        for (query, encryption) in modes {
            let url = parse(&format!("postgres://cxone@db.example/cxone{query}")).unwrap();
            assert_eq!(url.encryption(), encryption, "{query}");
            let is_plain = url.hosts()[0].get_ssl_mode() == SslMode::Disable;
            assert_eq!(is_plain, encryption == Encryption::Disable, "{query}");
        }
        for mode in ["prefer", "allow", "", "VERIFY-FULL"] {
            let error = parse(&format!("postgres://db.example/cxone?sslmode={mode}")).unwrap_err();
            assert!(error.contains("verify-full"), "{error}");
        }
    }

    #[test]
    fn a_unix_socket_needs_no_tls_and_cannot_be_mixed_with_hosts() {
        let url = parse("postgres:///cxone?host=/run/postgresql").unwrap();
        assert_eq!(url.encryption(), Encryption::Disable);
        assert_eq!(url.to_string(), "postgres:///run/postgresql:5432/cxone");
        parse("postgres:///cxone?host=/run/postgresql&sslmode=require").unwrap_err();
        parse("postgres:///cxone?host=/run/postgresql,db.example").unwrap_err();
        let error = parse("postgres://%2Frun%2Fpostgresql,db.example/cxone").unwrap_err();
        assert!(error.contains("mixes"), "{error}");
    }

    #[test]
    fn every_host_has_a_configuration_of_its_own_that_wants_to_write() {
        let url = parse("postgres://cxone@a.example:6000,b.example:6001/cxone").unwrap();
        let hosts = url.hosts();
        let of =
            |index: usize| (hosts[index].get_hosts().to_vec(), hosts[index].get_ports().to_vec());
        assert_eq!(of(0), (vec![Host::Tcp("a.example".to_owned())], vec![6000]));
        assert_eq!(of(1), (vec![Host::Tcp("b.example".to_owned())], vec![6001]));
        assert!(hosts.iter().all(|host| {
            host.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
                && host.get_user() == Some("cxone")
                && host.get_dbname() == Some("cxone")
        }));
        assert_eq!(url.to_string(), "postgres://cxone@a.example:6000,b.example:6001/cxone");
    }

    #[test]
    fn no_message_and_no_display_repeats_the_password() {
        let url = parse("postgres://cxone:s3cret%2B@db.example/cxone").unwrap();
        assert!(url.has_password());
        assert_eq!(url.hosts()[0].get_password(), Some(&b"s3cret+"[..]));
        assert!(!format!("{url} {url:?}").contains("s3cret"));
        for wrong in [
            "postgres://cxone:s3cret@/cxone",
            "postgres://cxone:s3cret@db.example:port/cxone",
            "postgres://cxone:s3cret@db.example/cxone?s3cret=1",
            "postgres://db.example/cxone?password=s3cret&sslmode=s3cret",
            "postgres://cxone:s3cret@db.example/cxone?connect_timeout=1",
            "s3cret",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_authority_is_only_named_where_it_is_used() {
        let url = parse("postgres://db.example/cxone?sslrootcert=/etc/ca.pem").unwrap();
        assert_eq!(url.root_cert(), Some(&PathBuf::from("/etc/ca.pem")));
        assert_eq!(
            parse("postgres://db.example/cxone?sslrootcert=system").unwrap().root_cert(),
            None
        );
        parse("postgres://db.example/cxone?sslrootcert=/etc/ca.pem&sslmode=require").unwrap_err();
        parse("postgres://db.example/cxone?target_session_attrs=read-only").unwrap_err();
        parse("postgres://db.example/cxone?target_session_attrs=read-write").unwrap();
    }
}
