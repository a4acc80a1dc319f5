//! Why a job failed.

/// Why a job failed: the closed set of `cxone_report_job_failures_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureReason {
    /// The client id or the secret is wrong.
    Credentials,
    /// The client may not have a token: it lacks permission or is disabled.
    TokenForbidden,
    /// A token was refused for any other reason.
    Token,
    /// The token was refused twice in a row.
    Unauthorized,
    /// Scope, capability or licence is missing.
    Forbidden,
    /// The dates or the filter were rejected (422).
    Rejected,
    /// An answer with an unexpected status, such as a gateway's 404.
    UnexpectedStatus,
    /// CXone says that the job failed.
    Failed,
    /// The job was not done in time.
    Timeout,
    /// The job is gone.
    Lost,
    /// The answer is not valid JSON, lacks its id or its rows, has an unknown status or ends early.
    Malformed,
    /// More rows of the report were rejected than not.
    RowsRejected,
    /// The report is larger than the limit.
    TooLarge,
    /// A fault of the server.
    Server,
    /// No answer.
    Unreachable,
    /// A redirect, which is never followed.
    Redirected,
    /// The store did not accept what was read or is to be submitted.
    Store,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Credentials,
        Self::TokenForbidden,
        Self::Token,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Rejected,
        Self::UnexpectedStatus,
        Self::Failed,
        Self::Timeout,
        Self::Lost,
        Self::Malformed,
        Self::RowsRejected,
        Self::TooLarge,
        Self::Server,
        Self::Unreachable,
        Self::Redirected,
        Self::Store,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::TokenForbidden => "token_forbidden",
            Self::Token => "token",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::UnexpectedStatus => "unexpected_status",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::RowsRejected => "rows_rejected",
            Self::TooLarge => "too_large",
            Self::Server => "server",
            Self::Unreachable => "unreachable",
            Self::Redirected => "redirected",
            Self::Store => "store",
        }
    }

    /// Whether CXone rejects the credentials, so that every job fails until somebody corrects them.
    #[must_use]
    pub const fn is_of_credentials(self) -> bool {
        matches!(self, Self::Credentials | Self::TokenForbidden)
    }

    /// What to do, beyond what the messages say.
    #[must_use]
    pub const fn advice(self) -> &'static [&'static str] {
        match self {
            Self::Timeout => &[
                "CXone is slow, or throttles this client: try again later; if it lasts, take smaller targets or raise jobs.timeout.",
            ],
            Self::Unauthorized => &[
                "A token was given and then refused: the credentials may have been changed a moment ago; try again.",
            ],
            Self::RowsRejected => &[
                "The rows came, in a form that is not the documented one: the id is not the cause. docs/counting.md has the table of what is understood.",
            ],
            Self::Credentials
            | Self::TokenForbidden
            | Self::Token
            | Self::Forbidden
            | Self::Rejected
            | Self::UnexpectedStatus
            | Self::Failed
            | Self::Lost
            | Self::Malformed
            | Self::TooLarge
            | Self::Server
            | Self::Unreachable
            | Self::Redirected
            | Self::Store => &[],
        }
    }

    /// A fault that may pass within seconds, so that a job in progress is polled again.
    pub(crate) const fn is_transient(self) -> bool {
        matches!(self, Self::Server | Self::Unreachable)
    }

    /// An answer that was damaged on the way, or that a machine in between made: the same report or
    /// page may come whole the next time.
    pub(super) const fn may_be_damaged(self) -> bool {
        matches!(self, Self::Malformed | Self::Redirected | Self::Token | Self::UnexpectedStatus)
    }
}
