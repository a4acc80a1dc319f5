//! Whose history it is that is counted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A client of a tenant's API. A store is one's, for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The host of the API.
    pub host: String,
    /// The id of the client, or of the access key.
    pub client: String,
}

/// `acme.api.cxone.com, client my-client`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, client {}", self.host, self.client)
    }
}
