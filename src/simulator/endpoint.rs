//! The calls of the simulated API.

/// What a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /oauth/token`.
    Token,
    /// `POST /api/v2/reports`.
    Submit,
    /// `GET /api/v2/reports/{id}`.
    Poll,
    /// Anything else.
    Other,
}
