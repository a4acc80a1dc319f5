//! What came of a request when it was not what was asked for.

pub(crate) mod advice;

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::http::redact::SHOWN_CHARS;
use super::http::transport::TransportFault;
use cxone_core::plan::fetch::{FailureReason, JobError, JobReply};

/// What a request was for: the label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiEndpoint {
    /// A token is asked for.
    Token,
    /// A report job is submitted.
    Submit,
    /// A report job is asked for.
    Poll,
    /// Platform: where tokens come from, and where the tenant's API is.
    Discovery,
    /// Platform: a page of the agents' state history.
    History,
    /// Platform: the agents' states now.
    States,
    /// Platform: the unavailable codes.
    Codes,
    /// Platform: what the skills are doing.
    Activity,
}

impl ApiEndpoint {
    /// Those of the Reporting API.
    pub const OF_REPORTS: [Self; 3] = [Self::Token, Self::Submit, Self::Poll];

    /// Those of the platform's API.
    pub const OF_PLATFORM: [Self; 6] =
        [Self::Token, Self::Discovery, Self::History, Self::States, Self::Codes, Self::Activity];

    /// The value of the label `endpoint`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Discovery => "discovery",
            Self::History => "history",
            Self::States => "states",
            Self::Codes => "codes",
            Self::Activity => "activity",
        }
    }

    const fn doing(self) -> &'static str {
        match self {
            Self::Token => "asking for a token",
            Self::Submit => "submitting a report job",
            Self::Poll => "asking for a report",
            Self::Discovery => "asking where the tenant's API is",
            Self::History => "asking for the agents' state history",
            Self::States => "asking for the agents' states",
            Self::Codes => "asking for the unavailable codes",
            Self::Activity => "asking what the skills are doing",
        }
    }

    /// Whether only the dialect `platform` uses it.
    const fn is_platform(self) -> bool {
        match self {
            Self::Token | Self::Submit | Self::Poll => false,
            Self::Discovery | Self::History | Self::States | Self::Codes | Self::Activity => true,
        }
    }
}

/// The ways in which a request fails, as far as they call for different things to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// 401 to the request for a token: the client id or the secret is wrong.
    Credentials,
    /// 403 to the request for a token: the client lacks permission or is disabled.
    TokenForbidden,
    /// Any other refusal of a token.
    Token,
    /// 401 to a submit or a poll: the token expired or was revoked. It has been dropped, so the
    /// next request gets a new one.
    Unauthorized,
    /// 403 to a submit or a poll: scope, capability or licence is missing. The token has been
    /// dropped, since a mended client needs a new one.
    Forbidden,
    /// 404 or 410 to a poll: the job is gone.
    Lost,
    /// 422, or what the platform's API answers instead of it: the same request will not be accepted
    /// later either.
    Rejected,
    /// Every other 4xx: as often as not, of a machine between here and CXone.
    UnexpectedStatus,
    /// 429.
    Throttled,
    /// 5xx, 408 and 425: a passing fault of the server.
    Server,
    /// No answer: refused, cut or timed out.
    Unreachable,
    /// A redirect, which is never followed.
    Redirected,
    /// An answer that is not valid JSON, lacks its `id` or `data`, has an unknown `status`, or ends
    /// early.
    Malformed,
    /// An answer over one of the limits.
    TooLarge,
    /// CXone says that the report job failed.
    JobFailed,
}

impl ErrorKind {
    /// What it is to the job that the request was for; `None` for 429, which is not a failure of
    /// the job.
    #[must_use]
    pub const fn failure(self) -> Option<FailureReason> {
        Some(match self {
            Self::Credentials => FailureReason::Credentials,
            Self::TokenForbidden => FailureReason::TokenForbidden,
            Self::Token => FailureReason::Token,
            Self::Unauthorized => FailureReason::Unauthorized,
            Self::Forbidden => FailureReason::Forbidden,
            Self::Lost => FailureReason::Lost,
            Self::Rejected => FailureReason::Rejected,
            Self::UnexpectedStatus => FailureReason::UnexpectedStatus,
            Self::Throttled => return None,
            Self::Server => FailureReason::Server,
            Self::Unreachable => FailureReason::Unreachable,
            Self::Redirected => FailureReason::Redirected,
            Self::Malformed => FailureReason::Malformed,
            Self::TooLarge => FailureReason::TooLarge,
            Self::JobFailed => FailureReason::Failed,
        })
    }

    /// What an unsuccessful status means.
    pub(crate) fn of_status(endpoint: ApiEndpoint, status: StatusCode) -> Self {
        match (status.as_u16(), endpoint) {
            (429, _) => Self::Throttled,
            (408 | 425 | 500.., _) => Self::Server,
            (300..=399, _) => Self::Redirected,
            (401, ApiEndpoint::Token) => Self::Credentials,
            (401, _) => Self::Unauthorized,
            (403, ApiEndpoint::Token) => Self::TokenForbidden,
            (403, _) => Self::Forbidden,
            (404 | 410, ApiEndpoint::Poll) => Self::Lost,
            (_, ApiEndpoint::Token) => Self::Token,
            (422, _) => Self::Rejected,
            (_, _) => Self::UnexpectedStatus,
        }
    }
}

/// What a token is got with: which keys of the configuration advice speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignsInWith {
    /// The id and the secret of an OAuth client: the Reporting API.
    OauthClient,
    /// An access key alone: the platform's API.
    AccessKey,
    /// An access key and an OAuth client: the platform's API.
    AccessKeyAndClient,
}

/// Why a request did not get what it asked for. Never contains the secret or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What the request was for; [`ApiEndpoint::Token`] also when a submit or a poll failed for
    /// want of a token.
    pub endpoint: ApiEndpoint,
    /// The status of the answer; `None` when there was none.
    pub status: Option<StatusCode>,
    /// How long the server asks to be left alone, at most an hour; for a token that is not to be
    /// had, when it is next asked for.
    pub retry_after: Option<Duration>,
    /// What happened, cleaned and cut.
    pub(crate) detail: String,
    /// Where the exchange broke off, where it did.
    pub(crate) fault: Option<TransportFault>,
    pub(crate) signs_in_with: SignsInWith,
}

impl ApiError {
    /// An error of `endpoint`; `detail` says what happened and has been cleaned.
    pub(crate) fn new(kind: ErrorKind, endpoint: ApiEndpoint, detail: impl Into<String>) -> Self {
        let signs_in_with = if endpoint.is_platform() {
            SignsInWith::AccessKeyAndClient
        } else {
            SignsInWith::OauthClient
        };
        Self {
            kind,
            endpoint,
            status: None,
            retry_after: None,
            detail: detail.into(),
            fault: None,
            signs_in_with,
        }
    }

    /// The platform's calls answer 400, and not 422, to dates that they do not accept, and say so.
    pub(crate) fn rejecting_dates(mut self) -> Self {
        let said = self.detail.to_ascii_lowercase();
        let of_dates = ["daterange", "date range", "startdate", "enddate"];
        if self.status == Some(StatusCode::BAD_REQUEST)
            && of_dates.iter().any(|words| said.contains(words))
        {
            self.kind = ErrorKind::Rejected;
        }
        self
    }

    /// An answer with an unsuccessful status; `said` is the cleaned beginning of its body.
    pub(crate) fn refused(
        endpoint: ApiEndpoint,
        status: StatusCode,
        retry_after: Option<Duration>,
        said: &str,
    ) -> Self {
        debug_assert!(said.chars().count() <= SHOWN_CHARS, "the body was cut");
        let mut detail = format!("CXone answered {status}");
        if !said.is_empty() {
            detail.push_str(" and said: ");
            detail.push_str(said);
        }
        let kind = ErrorKind::of_status(endpoint, status);
        Self { status: Some(status), retry_after, ..Self::new(kind, endpoint, detail) }
    }

    /// The same, of a client that signs in so.
    pub(crate) const fn with(mut self, signs_in_with: SignsInWith) -> Self {
        self.signs_in_with = signs_in_with;
        self
    }

    /// The same, of an exchange that broke off so.
    pub(crate) const fn by(mut self, fault: TransportFault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The same, with more detail.
    pub(crate) fn adding(mut self, more: &str) -> Self {
        self.detail.push_str("; ");
        self.detail.push_str(more);
        self
    }
}

/// What was being done, what happened, and what to do about it, on one line.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What CXone said may end like a sentence.
        let detail = self.detail.trim_end_matches('.');
        write!(f, "{}: {detail}. {}", self.endpoint.doing(), advice::of(self))
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for JobReply {
    fn from(error: ApiError) -> Self {
        let (message, retry_after) = (error.to_string(), error.retry_after);
        match error.kind.failure() {
            Some(failure) => Self::Failed(JobError { reason: failure, retry_after, message }),
            None => Self::Throttled { retry_after, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_meaning_of_the_table() {
        use ApiEndpoint::{Poll, Submit, Token};
        use ErrorKind as Kind;
        let table = [
            (401, Token, Kind::Credentials),
            (403, Token, Kind::TokenForbidden),
            (400, Token, Kind::Token),
            (404, Token, Kind::Token),
            (429, Token, Kind::Throttled),
            (503, Token, Kind::Server),
            (401, Submit, Kind::Unauthorized),
            (401, Poll, Kind::Unauthorized),
            (403, Submit, Kind::Forbidden),
            (403, Poll, Kind::Forbidden),
            (404, Submit, Kind::UnexpectedStatus),
            (409, Submit, Kind::UnexpectedStatus),
            (400, Submit, Kind::UnexpectedStatus),
            (404, Poll, Kind::Lost),
            (410, Poll, Kind::Lost),
            (422, Submit, Kind::Rejected),
            (400, Poll, Kind::UnexpectedStatus),
            (429, Submit, Kind::Throttled),
            (429, Poll, Kind::Throttled),
            (408, Submit, Kind::Server),
            (500, Submit, Kind::Server),
            (504, Poll, Kind::Server),
            (302, Submit, Kind::Redirected),
            (307, Poll, Kind::Redirected),
            (301, Token, Kind::Redirected),
        ];
        for (code, endpoint, kind) in table {
            assert_eq!(
                ErrorKind::of_status(endpoint, StatusCode::from_u16(code).unwrap()),
                kind,
                "{code} {endpoint:?}"
            );
        }
    }

    #[test]
    fn an_error_says_what_happened_and_what_to_do() {
        let wait = Some(Duration::from_millis(1500));
        let error = ApiError::refused(ApiEndpoint::Poll, StatusCode::FORBIDDEN, wait, "no scope.");
        assert_eq!(
            error.to_string(),
            "asking for a report: CXone answered 403 Forbidden and said: no scope. Look at Admin > Security > OAuth \
             Clients: Reports must be checked under Capabilities and reports:read under Scopes, and the tenant needs the Reporting \
             module; what was mended there works with the next token."
        );
    }
}
