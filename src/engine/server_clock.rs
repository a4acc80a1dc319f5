//! CXone's clock, shared between the loop and the client's observer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cxone::ClientEvent;
use cxone_core::plan::server_clock::{DateNoted, ServerClock};
use cxone_core::time::{Now, Timestamp};

/// CXone's clock as estimated from its answers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedServerClock(Arc<Mutex<ServerClock>>);

impl SharedServerClock {
    /// Observes the `Date` of an answer. Only successful answers count: an error may come from a
    /// gateway with a clock of its own.
    pub fn client_event(&self, event: &ClientEvent) -> DateNoted {
        match event {
            ClientEvent::Exchange(exchange) if matches!(exchange.code, Some(200..=299 | 304)) => {
                let Some(date) = exchange.date else { return DateNoted::default() };
                let noted =
                    self.lock().observe(exchange.sent, exchange.answered, date, exchange.age);
                if let Some(step) = noted.step_millis {
                    tracing::warn!(step_seconds = step / 1000, "CXone's clock stepped");
                }
                noted
            }
            ClientEvent::Exchange(_)
            | ClientEvent::TokenRefreshed { .. }
            | ClientEvent::TokenRefreshFailed(_) => DateNoted::default(),
        }
    }

    /// By `now`, CXone reported a visit that began at `start`.
    pub(super) fn reported(&self, now: Now, start: Timestamp) {
        self.lock().reported(now, start);
    }

    pub(super) fn read(&self) -> ServerClock {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ServerClock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
