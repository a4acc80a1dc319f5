//! Access control by the current web configuration: client certificates, passwords, rate limits.

mod password;
mod rate_limit;
pub(super) mod reload;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::admission::Peer;
use super::response::{ResponseBody, plain};
use crate::clock::Clock;
use crate::config::web::{WebConfig, certificate_failure};
use cxone_core::time::Monotonic;

pub(super) use password::{PasswordCheck, PasswordChecker};
use rate_limit::RateLimiter;

/// How often a handshake failure of one reason is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum number of reasons that are logged; names in certificates could make more of them.
const MAX_REASONS: usize = 32;

/// Authorizes or refuses requests. Authentication comes first: only who has access at all counts
/// against a rate limit, and each against its own.
#[derive(Debug)]
pub struct AccessControl {
    current: RwLock<Arc<WebConfig>>,
    passwords: PasswordChecker,
    limiter: Mutex<Option<RateLimiter>>,
    handshake_failures: Mutex<HandshakeFailures>,
    clock: Clock,
}

/// Why handshakes failed: when each reason was last logged, and how often it occurred since.
#[derive(Debug, Default)]
struct HandshakeFailures(BTreeMap<String, (Monotonic, u64)>);

impl HandshakeFailures {
    /// Counts one more. How many there were since the last log message, if one is due now.
    fn count(&mut self, reason: &str, now: Monotonic) -> Option<u64> {
        let is_full = self.0.len() >= MAX_REASONS;
        match self.0.get_mut(reason) {
            Some((logged_at, times)) => {
                *times += 1;
                if now.since(*logged_at) < LOG_INTERVAL {
                    return None;
                }
                *logged_at = now;
                Some(std::mem::take(times))
            }
            None if is_full => None,
            None => {
                self.0.insert(reason.to_owned(), (now, 0));
                Some(1)
            }
        }
    }
}

impl AccessControl {
    /// Access control by `config`, until it is replaced.
    #[must_use]
    pub fn new(config: WebConfig, clock: Clock) -> Self {
        let limiter = Mutex::new(config.rate_limit.map(RateLimiter::new));
        Self {
            current: RwLock::new(Arc::new(config)),
            passwords: PasswordChecker::new(),
            limiter,
            handshake_failures: Mutex::default(),
            clock,
        }
    }

    /// The current configuration.
    #[must_use]
    pub fn current(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs why a handshake failed, if it was for a certificate.
    pub(super) fn handshake_failed(&self, peer: Peer, cause: &io::Error) {
        let error = cause.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let Some(reason) = error.and_then(certificate_failure) else {
            tracing::debug!(error = %cause, "TLS handshake failed");
            return;
        };
        let mut failures = self.handshake_failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = failures.count(&reason, self.clock.now().instant) else { return };
        drop(failures);
        tracing::warn!(client = %peer, times, reason, "TLS handshake failed");
    }

    #[cfg(test)]
    pub(super) fn handshake_failures(&self) -> Vec<String> {
        let failures = self.handshake_failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.0.keys().cloned().collect()
    }

    /// Uses `config` from the next connection and the next request on. Clients keep what they have
    /// used of an unchanged rate limit.
    pub fn replace(&self, config: WebConfig) {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.as_ref().map(RateLimiter::rate) != config.rate_limit {
            *limiter = config.rate_limit.map(RateLimiter::new);
        }
        drop(limiter);
        self.passwords.retain(&config.users);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Whether `peer` may request `path`; else the refusal.
    pub(super) async fn authorize(
        &self,
        peer: Peer,
        has_certificate: bool,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Response<ResponseBody>> {
        let config = self.current();
        let mut user = None;
        if !config.auth_excluded_paths.contains(path) {
            let requires_certificate =
                config.tls.as_ref().is_some_and(|tls| tls.certificate_for_pages);
            if requires_certificate && !has_certificate {
                return Err(plain(StatusCode::FORBIDDEN, "client certificate required\n"));
            }
            if !config.users.is_empty() {
                user = match self.passwords.check(&config.users, peer, headers).await {
                    PasswordCheck::Valid(user) => Some(user),
                    PasswordCheck::Invalid => return Err(unauthorized()),
                    PasswordCheck::Overloaded => {
                        let text = "too many passwords are being checked, retry later\n";
                        let wait = Duration::from_secs(1);
                        return Err(retry_later(StatusCode::SERVICE_UNAVAILABLE, text, wait));
                    }
                };
            }
        }
        let now = self.clock.now().instant;
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limiter) = limiter.as_mut() else { return Ok(()) };
        limiter.take((user, peer), now).map_err(|wait| {
            retry_later(StatusCode::TOO_MANY_REQUESTS, "too many requests (rate_limit)\n", wait)
        })
    }

    /// Adds the configured headers to a response; they replace the page's own.
    pub(super) fn add_headers(&self, response: &mut Response<ResponseBody>) {
        for (name, value) in &self.current().headers {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

fn unauthorized() -> Response<ResponseBody> {
    let mut refusal = plain(StatusCode::UNAUTHORIZED, "user name and password required\n");
    let challenge = HeaderValue::from_static("Basic realm=\"cxone-exporter\", charset=\"UTF-8\"");
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    refusal
}

fn retry_later(status: StatusCode, text: &'static str, wait: Duration) -> Response<ResponseBody> {
    let mut refusal = plain(status, text);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_at_once_and_then_every_ten_minutes_and_reasons_are_bounded() {
        let mut failures = HandshakeFailures::default();
        let at = |seconds| Monotonic::from_elapsed(Duration::from_secs(seconds));
        assert_eq!(failures.count("expired", at(0)), Some(1));
        let logged = (1..600).filter(|second| failures.count("expired", at(*second)).is_some());
        assert_eq!(logged.count(), 0);
        assert_eq!(failures.count("expired", at(600)), Some(600));
        assert_eq!(failures.count("unknown", at(600)), Some(1));
        for number in 0..1000 {
            let _logged = failures.count(&number.to_string(), at(601));
        }
        assert_eq!(failures.0.len(), MAX_REASONS);
    }
}
