//! Who gets through to the pages, by the web configuration that counts now.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::body::Body;
use super::client::Client;
use super::limiter::Limiter;
use super::password::{Passwords, Verdict};
use super::routes::plain;
use crate::clock::Clock;
use crate::config::web::{WebConfig, certificate_trouble};
use cxone_core::time::Monotonic;

/// Lets requests through or refuses them. Authentication comes first: only who may come in at all
/// counts against a rate limit, and each against its own.
#[derive(Debug)]
pub struct Gate {
    current: RwLock<Arc<WebConfig>>,
    passwords: Passwords,
    limiter: Mutex<Option<Limiter>>,
    rejections: Mutex<Rejections>,
    clock: Clock,
}

/// How often a handshake that fails for one reason is logged.
const LOGGED_EVERY: Duration = Duration::from_secs(600);

/// So many reasons are told apart; names in certificates could make more of them.
const MOST_REASONS: usize = 32;

/// Why handshakes failed: when each reason was last logged, and how often it happened since.
#[derive(Debug, Default)]
struct Rejections(BTreeMap<String, (Monotonic, u64)>);

impl Rejections {
    /// Takes note of one more. How many there were since the last time that it was logged, when it
    /// is to be logged now.
    fn note(&mut self, reason: &str, now: Monotonic) -> Option<u64> {
        let is_full = self.0.len() >= MOST_REASONS;
        match self.0.get_mut(reason) {
            Some((last, times)) => {
                *times += 1;
                let due = now.since(*last) >= LOGGED_EVERY;
                due.then(|| {
                    *last = now;
                    std::mem::take(times)
                })
            }
            None if is_full => None,
            None => {
                self.0.insert(reason.to_owned(), (now, 0));
                Some(1)
            }
        }
    }
}

impl Gate {
    /// A gate that goes by `config` until it is told otherwise.
    #[must_use]
    pub fn new(config: WebConfig, clock: Clock) -> Self {
        let limiter = Mutex::new(config.rate_limit.map(Limiter::new));
        Self {
            current: RwLock::new(Arc::new(config)),
            passwords: Passwords::new(),
            limiter,
            rejections: Mutex::default(),
            clock,
        }
    }

    /// What counts now.
    #[must_use]
    pub fn current(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs why a handshake failed, if it was for a certificate: each reason once in ten minutes.
    pub(super) fn handshake_failed(&self, client: Client, cause: &io::Error) {
        let error = cause.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let Some(reason) = error.and_then(certificate_trouble) else {
            tracing::debug!(error = %cause, "a TLS handshake failed");
            return;
        };
        let mut rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = rejections.note(&reason, self.clock.now().instant) else { return };
        drop(rejections);
        tracing::warn!(%client, times, reason, "TLS handshake failed");
    }

    /// Why handshakes failed so far.
    #[cfg(test)]
    pub(super) fn rejections(&self) -> Vec<String> {
        let rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        rejections.0.keys().cloned().collect()
    }

    /// Goes by `config` from the next connection and the next request on. Clients keep what they
    /// have used of an unchanged rate limit.
    pub fn replace(&self, config: WebConfig) {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.as_ref().map(Limiter::rate) != config.rate_limit {
            *limiter = config.rate_limit.map(Limiter::new);
        }
        drop(limiter);
        self.passwords.keep(&config.users);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Whether a request for `path` may pass, on a connection with a client's certificate or
    /// without (`certified`); else the refusal.
    pub(super) async fn admit(
        &self,
        client: Client,
        certified: bool,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Response<Body>> {
        let config = self.current();
        let mut signed_in = None;
        let is_exempt = config.auth_excluded_paths.contains(path);
        if !certified
            && !is_exempt
            && config.tls.as_ref().is_some_and(|tls| tls.certificate_for_pages)
        {
            return Err(plain(
                StatusCode::FORBIDDEN,
                "a client certificate is needed\n".to_owned(),
            ));
        }
        if !config.users.is_empty() && !is_exempt {
            match self.passwords.check(&config.users, client, headers).await {
                Verdict::Right(user) => signed_in = Some(user),
                Verdict::Wrong => return Err(unauthorized()),
                Verdict::Busy => {
                    let text = "too many passwords are being checked; come again\n";
                    return Err(come_again(
                        StatusCode::SERVICE_UNAVAILABLE,
                        text,
                        Duration::from_secs(1),
                    ));
                }
            }
        }
        let now = self.clock.now().instant;
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let taken =
            limiter.as_mut().map_or(Ok(()), |limiter| limiter.take((signed_in, client), now));
        taken.map_err(|wait| {
            come_again(StatusCode::TOO_MANY_REQUESTS, "too many requests (rate_limit)\n", wait)
        })
    }

    /// Puts the configured headers onto a response, in place of the page's own.
    pub(super) fn dress(&self, response: &mut Response<Body>) {
        for (name, value) in &self.current().headers {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

fn unauthorized() -> Response<Body> {
    let mut refusal =
        plain(StatusCode::UNAUTHORIZED, "a user name and a password are needed\n".to_owned());
    let challenge = HeaderValue::from_static("Basic realm=\"cxone-exporter\", charset=\"UTF-8\"");
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    refusal
}

fn come_again(status: StatusCode, text: &str, wait: Duration) -> Response<Body> {
    let mut refusal = plain(status, text.to_owned());
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_at_once_then_seldom_and_there_are_not_too_many() {
        let mut rejections = Rejections::default();
        let at = |seconds| Monotonic::from_elapsed(Duration::from_secs(seconds));
        assert_eq!(rejections.note("expired", at(0)), Some(1));
        let logged = (1..600).filter(|second| rejections.note("expired", at(*second)).is_some());
        assert_eq!(logged.count(), 0);
        assert_eq!(rejections.note("expired", at(600)), Some(600));
        assert_eq!(rejections.note("unknown", at(600)), Some(1));
        for number in 0..1000 {
            let _logged = rejections.note(&number.to_string(), at(601));
        }
        assert_eq!(rejections.0.len(), MOST_REASONS);
    }
}
