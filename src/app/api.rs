//! The way to the API that a configuration names.

use std::num::NonZeroU32;
use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::config::{Config, Dialect, PlatformApi};
use crate::cxone::platform::Credentials;
use crate::cxone::{
    CxoneClient, HttpLimits, HttpTransport, Network, Observer, PlatformClient, PlatformOptions,
    Proxies, ProxyError, ReportsClient, ReportsOptions, ResponseLimits, Transport, TransportError,
};
use cxone_core::plan::fetch::JobTiming;

/// Why connections to CXone cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The environment names a proxy that cannot be used.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// No transport can be made.
    #[error(
        "cannot prepare connections to CXone: {0}. Install the package ca-certificates; if SSL_CERT_FILE or SSL_CERT_DIR is set, \
         it must name certificates in PEM"
    )]
    Transport(#[from] TransportError),
}

/// The proxies that the environment names.
///
/// # Errors
/// When it names one that cannot be used.
pub fn proxies() -> Result<Proxies, ProxyError> {
    Proxies::of(|name| std::env::var(name).ok())
}

/// A transport over the network to the API that `config` names.
///
/// # Errors
/// When the environment names a proxy that cannot be used, or the machine lacks certificates.
pub fn connect(config: &Config) -> Result<Arc<dyn Transport>, ConnectError> {
    let base = config.api.address();
    let limits = HttpLimits::default();
    let network = Network { proxies: proxies()?, authorities: config.api.authorities.clone() };
    let transport = match &config.api.dialect {
        Dialect::Reports(_) => HttpTransport::new(base, &network, limits),
        Dialect::Platform(_) => HttpTransport::http1(base, &network, limits),
    };
    Ok(Arc::new(transport?))
}

/// The client of the API that `config` names.
#[must_use]
pub fn client(
    config: &Config,
    transport: Arc<dyn Transport>,
    clock: Clock,
    observer: Observer,
) -> CxoneClient {
    let limits = ResponseLimits::default();
    let hidden =
        config.metrics.agent_ids.hidden(config.targets.iter().map(|target| &target.filter));
    let hidden: Vec<SecretString> =
        hidden.into_iter().map(|id| SecretString::from(id.to_owned())).collect();
    match &config.api.dialect {
        Dialect::Reports(api) => {
            let (client_id, client_secret) = (api.client.id.clone(), api.client.secret.clone());
            let options = ReportsOptions {
                base_url: api.base_url.clone(),
                client_id,
                client_secret,
                limits,
                hidden,
            };
            ReportsClient::new(transport, clock, options, observer).into()
        }
        Dialect::Platform(api) => {
            let options = platform_options(api, config.quota.requests_per_minute, limits, hidden);
            PlatformClient::new(transport, clock, options, observer).into()
        }
    }
}

fn platform_options(
    api: &PlatformApi,
    requests_per_minute: u32,
    limits: ResponseLimits,
    hidden: Vec<SecretString>,
) -> PlatformOptions {
    let credentials = match &api.client {
        Some(client) => {
            Credentials::Client { id: client.id.clone(), secret: client.secret.clone() }
        }
        None => Credentials::AccessKey(
            api.access_key_base.clone().unwrap_or_else(|| api.issuer.clone()),
        ),
    };
    PlatformOptions {
        issuer: api.issuer.clone(),
        base_url: api.base_url.clone(),
        version: api.version,
        access_key_id: api.access_key.id.clone(),
        access_key_secret: api.access_key.secret.clone(),
        credentials,
        limits,
        hidden,
        requests_per_minute: NonZeroU32::new(requests_per_minute).unwrap_or(NonZeroU32::MIN),
    }
}

/// How jobs are waited for.
#[must_use]
pub const fn timing(config: &Config) -> JobTiming {
    JobTiming { poll_every: config.jobs.poll_every, timeout: config.jobs.timeout }
}
