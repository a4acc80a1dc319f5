//! Values that are not known from the start, as gauges and for the status page.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::gauge::ConstGauge;

use super::{encode, seconds};
use crate::exposition::families;
use cxone_core::time::Timestamp;

/// Written by events, read by the gauges and the status page.
#[derive(Debug, Default)]
pub(super) struct SharedSelfStatus(Mutex<SelfStatus>);

/// Values that are not known from the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelfStatus {
    /// When the access token expires.
    pub token_expiry: Option<Timestamp>,
    /// Whether the last attempt to get one failed.
    pub token_refresh_failed: bool,
    /// CXone's clock less ours, in seconds.
    pub clock_skew: Option<f64>,
    /// When the configuration in effect was loaded.
    pub config_loaded_at: Option<Timestamp>,
    /// When a later one was rejected; `None` if the configuration in effect is the newest.
    pub config_rejected_at: Option<Timestamp>,
    /// When the certificate of the web configuration expires.
    pub certificate_expiry: Option<Timestamp>,
    /// Whether the newest web configuration is valid; `None` without one.
    pub web_config_is_valid: Option<bool>,
    /// How long the jobs of the current plan have waited for the quota in total.
    pub(super) quota_wait: Duration,
}

impl SharedSelfStatus {
    pub(super) fn lock(&self) -> MutexGuard<'_, SelfStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gauges that are absent until their value is known.
#[derive(Debug)]
pub(super) struct SelfStatusGauges(pub(super) Arc<SharedSelfStatus>);

impl Collector for SelfStatusGauges {
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
