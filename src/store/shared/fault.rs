//! Why the database cannot be used, and what to do.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use tokio_postgres::error::{Severity, SqlState};

use cxone_core::store::StoreError;

/// What is wrong, as far as there are different things to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// There is no connection.
    Unreachable,
    /// The connection is not protected as it should be.
    Tls,
    /// The user may not connect.
    Login,
    /// The user may not do what the store needs.
    Privilege,
    /// The database, or the tables of the store, are not there.
    NotInitialised,
    /// The server is a standby.
    ReadOnly,
    /// There was no answer in time.
    Timeout,
    /// Another version of the exporter wrote the store.
    Format,
    /// What else the server says.
    Other,
}

/// The shared store cannot be used. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store {at} cannot be used: {detail}: {advice}")]
pub struct SharedStoreError {
    /// What is wrong.
    pub fault: DatabaseFault,
    /// The URL, without password.
    at: String,
    detail: String,
    advice: &'static str,
}

impl From<SharedStoreError> for StoreError {
    fn from(error: SharedStoreError) -> Self {
        let SharedStoreError { at, detail, advice, .. } = error;
        Self::Unusable { path: at.into(), detail, advice }
    }
}

impl SharedStoreError {
    pub(super) fn new(
        at: &impl ToString,
        fault: DatabaseFault,
        detail: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { fault, at: at.to_string(), detail: detail.into(), advice }
    }

    pub(super) fn timeout(at: &impl ToString, limit: Duration) -> Self {
        Self::new(
            at,
            DatabaseFault::Timeout,
            format!("no answer within {limit:?}"),
            "check that the server and, with synchronous replication, its standby are healthy",
        )
    }

    pub(super) fn of(at: &impl ToString, error: &tokio_postgres::Error) -> Self {
        let (fault, detail, advice) = describe(error);
        Self::new(at, fault, detail, advice)
    }
}

/// Whether the server rejected the statement, so that it certainly did nothing. A session that is
/// ended while it waits for the standby has already committed.
pub(super) fn is_rejection(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity)
        == Some(Severity::Error)
}

const LOG: &str = "the server's log says more";

const ALL_SERVERS: &str = "name every server of the cluster in the URL: HOST:PORT,HOST:PORT";

fn describe(error: &tokio_postgres::Error) -> (DatabaseFault, String, &'static str) {
    if let Some(said) = error.as_db_error() {
        let (fault, advice) = of_code(said.code());
        let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return (fault, format!("{}{detail} [{}]", said.message(), said.code().code()), advice);
    }
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        if let Some(tls) = tls_error(inner) {
            return (DatabaseFault::Tls, tls.to_string(), of_tls(tls));
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            // What the library says of a server that is not read-write.
            if io.to_string().contains("does not allow writes") {
                return (DatabaseFault::ReadOnly, io.to_string(), ALL_SERVERS);
            }
            let advice = of_io(io);
            return (DatabaseFault::Unreachable, io.to_string(), advice);
        }
        text = inner.to_string();
        cause = inner.source();
    }
    if text.contains("does not support TLS") {
        let advice = "set `ssl = on` in postgresql.conf; only where the network is trusted, write sslmode=disable";
        return (DatabaseFault::Tls, text, advice);
    }
    if text.contains("password") {
        let advice = "give it in --storage.password-file or CXONE_STORAGE_PASSWORD";
        return (DatabaseFault::Login, text, advice);
    }
    let fault = if error.is_closed() { DatabaseFault::Unreachable } else { DatabaseFault::Other };
    (fault, text, LOG)
}

fn of_code(code: &SqlState) -> (DatabaseFault, &'static str) {
    use DatabaseFault as Fault;
    match *code {
        SqlState::INVALID_PASSWORD => (
            Fault::Login,
            "check the user in the URL, and --storage.password-file or CXONE_STORAGE_PASSWORD",
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            (Fault::Login, "check the user in the URL, and that pg_hba.conf lets it in from here")
        }
        SqlState::INVALID_CATALOG_NAME => {
            (Fault::NotInitialised, "create the database, then run `cxone-exporter store init`")
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME | SqlState::UNDEFINED_COLUMN => {
            (Fault::NotInitialised, "run `cxone-exporter store init`")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => (
            Fault::Privilege,
            "run `cxone-exporter store init` as the user of the exporter, with the right to create a schema, or grant it what it needs",
        ),
        SqlState::READ_ONLY_SQL_TRANSACTION => (Fault::ReadOnly, ALL_SERVERS),
        SqlState::TOO_MANY_CONNECTIONS => {
            (Fault::Unreachable, "raise max_connections; each replica needs one connection")
        }
        SqlState::DISK_FULL => (Fault::Other, "free disk space on the database server"),
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            (Fault::Unreachable, "wait until the server has started")
        }
        _ => (Fault::Other, LOG),
    }
}

/// rustls puts its errors into one of input and output.
fn tls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref()).or_else(|| cause.downcast_ref())
}

fn of_tls(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return "check that the port is that of PostgreSQL, and that both sides speak TLS 1.2 or newer";
    };
    if matches!(certificate, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        "name the file of the authority in the URL: sslrootcert=FILE"
    } else if matches!(
        certificate,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "use the host name of the certificate in the URL, or write sslmode=verify-ca"
    } else if matches!(
        certificate,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    ) {
        "renew the server's certificate, or set the clock of this machine"
    } else {
        "check the server's certificate; it must be of version 3 with a subjectAltName"
    }
}

fn of_io(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    let kind = error.kind();
    if matches!(kind, Kind::ConnectionRefused | Kind::NotFound) {
        "check host and port in the URL, and that the server runs and listens there"
    } else if matches!(kind, Kind::TimedOut | Kind::HostUnreachable) {
        "check host and port in the URL, and that no firewall is in between"
    } else if matches!(kind, Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe) {
        "the connection was closed: check that the server is healthy"
    } else {
        "check host and port in the URL"
    }
}
