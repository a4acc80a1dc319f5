//! Which call of the APIs a request is.

/// An endpoint of one of the simulated APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimulatedEndpoint {
    /// `POST /oauth/token`.
    Token,
    /// `POST /api/v2/reports`.
    Submit,
    /// `GET /api/v2/reports/{id}`.
    Poll,
    /// `GET /.well-known/openid-configuration` and `GET /.well-known/cxone-configuration`.
    Discovery,
    /// `POST /auth/token` and `POST /authentication/v1/token/access-key`.
    SignIn,
    /// `GET …/agents/states`.
    States,
    /// `GET …/agents/state-history`.
    History,
    /// `GET …/agents/{id}/state-history` and its older name.
    AgentHistory,
    /// `GET …/unavailable-codes`.
    Codes,
    /// `GET …/skills/activity`.
    Skills,
    /// `GET …/agents` and `GET …/business-unit`.
    Directory,
    /// Anything else.
    Other,
}

impl SimulatedEndpoint {
    /// Whether it is a call of the platform API that needs a token.
    #[must_use]
    pub const fn is_platform_call(self) -> bool {
        match self {
            Self::States
            | Self::History
            | Self::AgentHistory
            | Self::Codes
            | Self::Skills
            | Self::Directory => true,
            Self::Token
            | Self::Submit
            | Self::Poll
            | Self::Discovery
            | Self::SignIn
            | Self::Other => false,
        }
    }
}
