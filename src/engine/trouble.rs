//! What went wrong, as the plan needs it.

use crate::cxone::ApiError;
use cxone_core::plan::fetch::{Reply, Trouble};

/// An error of the client.
#[must_use]
pub fn trouble(error: ApiError) -> Reply {
    let message = error.to_string();
    match error.kind.failure() {
        Some(failure) => {
            Reply::Trouble(Trouble { failure, retry_after: error.retry_after, message })
        }
        None => Reply::Throttled { retry_after: error.retry_after, message },
    }
}
