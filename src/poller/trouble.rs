//! What went wrong, as the plan needs it.

use crate::cxone::ApiError;
use crate::domain::fetch::{Failure, Reply, Trouble};
use crate::store::StoreError;

/// A failure of the store.
pub(super) fn store_trouble(error: &StoreError) -> Reply {
    Reply::Trouble(Trouble { failure: Failure::Store, retry_after: None, message: error.to_string() })
}

/// An error of the client.
#[must_use]
pub fn trouble(error: ApiError) -> Reply {
    let message = error.to_string();
    match error.kind.failure() {
        Some(failure) => Reply::Trouble(Trouble { failure, retry_after: error.retry_after, message }),
        None => Reply::Throttled { retry_after: error.retry_after, message },
    }
}
