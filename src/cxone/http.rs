//! One request to CXone and its response, whatever the dialect.
//!
//! | module | what it is for |
//! |---|---|
//! | [`transport`] | the seam to the network; [`sockets`] is the one over real sockets |
//! | [`proxy`], `connection` | which proxy leads to a host, and what goes wrong on the way |
//! | [`client`] | one exchange: time limits, size limits, what a refusal says, word to the observer |
//! | `budget` | how many requests may be made |
//! | `decoding`, [`retry_after`] | compressed bodies, and how long a server wants to be left alone |
//! | `redact` | what may be repeated of a response |

pub(crate) mod budget;
pub mod client;
pub(crate) mod connection;
pub(crate) mod decoding;
pub mod proxy;
pub(crate) mod redact;
pub mod retry_after;
pub mod sockets;
pub mod transport;
