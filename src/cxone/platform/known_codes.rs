//! When the unavailable codes are asked for, and by whom: one request for all who need them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::codes::{self, UnavailableCodes};
use super::{ApiEndpoint, ApiError, PlatformClient};
use cxone_core::time::Monotonic;

/// How long unavailable codes are good for: an administrator rarely changes them.
const CODES_LIFE: Duration = Duration::from_secs(3600);

/// How long old codes serve after new ones were asked for in vain.
const CODES_RETRY: Duration = Duration::from_secs(300);

/// Codes are read at most so often for those that rows name and they lack.
const SEEK_EVERY: Duration = Duration::from_secs(5);

/// How many codes that are not to be found are remembered.
const MOST_SOUGHT: usize = 1_000;

/// The unavailable codes as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct KnownCodes {
    state: Mutex<CodesState>,
    /// Held by the one who asks for them.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct CodesState {
    codes: Option<Arc<UnavailableCodes>>,
    /// When they are reloaded.
    renew: Monotonic,
    /// When they were asked for in vain, and why, if there were none before.
    failed: Option<(Monotonic, ApiError)>,
    /// The codes that rows named and these lacked, with when they were last read for them.
    sought: BTreeMap<String, Monotonic>,
}

impl KnownCodes {
    /// The codes that need not be renewed at `now`, or else those that must be.
    fn at_hand(
        &self,
        now: Monotonic,
    ) -> (Option<Arc<UnavailableCodes>>, Option<Arc<UnavailableCodes>>) {
        let state = self.state();
        if now < state.renew { (state.codes.clone(), None) } else { (None, state.codes.clone()) }
    }

    fn failed_since(&self, came: Monotonic) -> Option<ApiError> {
        self.state().failed.as_ref().filter(|(at, _)| *at >= came).map(|(_, error)| error.clone())
    }

    fn state(&self) -> MutexGuard<'_, CodesState> {
        // Nothing can panic halfway through a change of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlatformClient {
    /// The tenant's unavailable codes; asked for, by one of all who want them, when the ones at
    /// hand are more than an hour old.
    ///
    /// # Errors
    /// When there are none at hand, and none could be loaded.
    pub async fn codes(&self) -> Result<Arc<UnavailableCodes>, ApiError> {
        let came = self.http.clock.now().instant;
        let (fresh, _) = self.codes.at_hand(came);
        if let Some(codes) = fresh {
            return Ok(codes);
        }
        let _flight = self.codes.flight.lock().await;
        // Whoever asked before may have got them by now, or have failed.
        let now = self.http.clock.now().instant;
        let old = match self.codes.at_hand(now) {
            (Some(codes), _) => return Ok(codes),
            (None, old) => old,
        };
        if let Some(error) = self.codes.failed_since(came) {
            return Err(error);
        }
        let (codes, life) = match (self.read_codes().await, old) {
            (Ok(codes), _) => (Arc::new(codes), CODES_LIFE),
            (Err(error), Some(old)) => {
                tracing::warn!(%error, "unavailable codes not refreshed");
                (old, CODES_RETRY)
            }
            (Err(error), None) => {
                self.codes.state().failed = Some((self.http.clock.now().instant, error.clone()));
                return Err(error);
            }
        };
        let mut state = self.codes.state();
        state.codes = Some(Arc::clone(&codes));
        (state.renew, state.failed) = (now.plus(life), None);
        state.sought.retain(|id, _| codes.find(id).is_none());
        drop(state);
        Ok(codes)
    }

    /// All codes. A code that is missed may be the one that makes Wrap-up, so pages are read
    /// for as long as an answer announces more.
    async fn read_codes(&self) -> Result<UnavailableCodes, ApiError> {
        let (mut codes, mut received) = (UnavailableCodes::default(), 0);
        loop {
            let (before, skip) = (codes.len(), received.to_string());
            // No page size is documented for this call, and no `skip`: the first request has none.
            let query: &[(&str, &str)] = if received == 0 { &[] } else { &[("skip", &skip)] };
            let page = self
                .list(ApiEndpoint::Codes, codes::PATH, query, codes::LIST, |row| codes.take(row))
                .await?;
            received += page.rows;
            let more =
                page.next.unwrap_or_else(|| page.total.is_some_and(|total| total > received));
            if !more || codes.len() == before {
                return Ok(codes);
            }
        }
    }

    /// Rows name these codes, which are not known. Whether the codes are reloaded for them, by
    /// whoever needs them next: not so soon for those that were not found the last time, and never
    /// more than every few seconds.
    pub(crate) fn seek_codes(&self, unknown: BTreeSet<String>) -> bool {
        let now = self.http.clock.now().instant;
        let mut state = self.codes.state();
        if unknown.is_empty() || state.codes.is_none() {
            return false;
        }
        if state.sought.values().any(|at| now.since(*at) < SEEK_EVERY) {
            return false;
        }
        state.sought.retain(|_, at| now.since(*at) < CODES_RETRY);
        let room = MOST_SOUGHT.saturating_sub(state.sought.len());
        let news: Vec<String> =
            unknown.into_iter().filter(|id| !state.sought.contains_key(id)).take(room).collect();
        if news.is_empty() {
            return false;
        }
        tracing::debug!(codes = ?news, "unknown unavailable codes found");
        state.sought.extend(news.into_iter().map(|id| (id, now)));
        state.renew = now;
        true
    }

    /// The unavailable codes at hand, however old; nothing is asked for.
    #[must_use]
    pub fn known_codes(&self) -> Option<Arc<UnavailableCodes>> {
        self.codes.state().codes.clone()
    }

    /// The same, asked for where there are none; not again for a while where that was in vain.
    pub(crate) async fn codes_if_any(&self) -> Option<Arc<UnavailableCodes>> {
        let now = self.http.clock.now().instant;
        {
            let mut known = self.codes.state();
            if known.codes.is_some() || now < known.renew {
                return known.codes.clone();
            }
            known.renew = now.plus(CODES_RETRY);
        }
        self.codes().await.ok()
    }
}
