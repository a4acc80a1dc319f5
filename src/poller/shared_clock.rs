//! CXone's clock, shared between the loop and the client's observer.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cxone::Event;
use crate::domain::server_clock::ServerClock;

/// CXone's clock as the client's answers tell it; shared with the client's observer.
#[derive(Clone, Debug, Default)]
pub struct SharedServerClock(Arc<Mutex<ServerClock>>);

impl SharedServerClock {
    /// Takes note of an answer with a date.
    pub fn client_event(&self, event: &Event) {
        if let Event::Exchange(exchange) = event
            && let Some(date) = exchange.date
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).observe(
                exchange.sent,
                exchange.answered,
                date,
            );
        }
    }

    pub(super) fn read(&self) -> ServerClock {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
