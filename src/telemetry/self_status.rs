//! What is known only now and then, as gauges and for people.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{encode, seconds};
use crate::exposition::families;
use cxone_core::time::Timestamp;

/// Gauges that are not there until something is known.
#[derive(Debug, Default)]
pub(super) struct NowAndThen(Mutex<SelfStatus>);

/// What is not known from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelfStatus {
    /// When the access token expires.
    pub token_expiry: Option<Timestamp>,
    /// Whether the last attempt to get one failed.
    pub token_refresh_failed: bool,
    /// CXone's clock less ours, in seconds.
    pub clock_skew: Option<f64>,
    /// When the configuration was taken that counts.
    pub config_loaded_at: Option<Timestamp>,
    /// When one was last refused since; `None` while what was last read is right.
    pub config_rejected_at: Option<Timestamp>,
    /// When the certificate of the web configuration expires.
    pub certificate_expiry: Option<Timestamp>,
    /// Whether the web configuration that was last read is right; `None` without one.
    pub web_config_is_valid: Option<bool>,
    /// How long the jobs of the plan that counts now have waited for the quota in all.
    pub(super) quota_wait: Duration,
}

impl NowAndThen {
    pub(super) fn lock(&self) -> MutexGuard<'_, SelfStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// These gauges, where they are registered.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<NowAndThen>);

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = *self.0.lock();
        for (family, value) in [
            (families::TOKEN_EXPIRY, known.token_expiry.map(seconds)),
            (families::CLOCK_SKEW, known.clock_skew),
            (families::CERTIFICATE_EXPIRY, known.certificate_expiry.map(seconds)),
            (
                families::WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
                known.web_config_is_valid.map(|right| f64::from(u8::from(right))),
            ),
        ] {
            if let Some(value) = value {
                encode(&mut encoder, family, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}
