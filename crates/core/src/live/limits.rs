//! How long agents may be in a state, as the tenant's unavailable codes say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::UNAVAILABLE;
use crate::counts::WRAP_UP;

/// The timeout of an unavailable code that agents can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTimeout {
    /// Whether the code is work after a contact.
    pub is_acw: bool,
    /// After how long it logs an agent out.
    pub timeout: Duration,
}

/// By state, the lowest timeout of its codes: an agent is told to be over the limit too early
/// rather than never.
#[must_use]
pub fn tenant_limits(codes: impl IntoIterator<Item = CodeTimeout>) -> BTreeMap<Arc<str>, Duration> {
    let mut limits: BTreeMap<Arc<str>, Duration> = BTreeMap::new();
    for CodeTimeout { is_acw, timeout } in codes {
        let state = if is_acw { WRAP_UP } else { UNAVAILABLE };
        limits
            .entry(Arc::from(state))
            .and_modify(|limit| *limit = timeout.min(*limit))
            .or_insert(timeout);
    }
    limits
}
