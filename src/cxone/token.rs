//! When a token is used, renewed, or not asked for: decisions without I/O.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::SecretString;

use cxone_core::time::Monotonic;

use super::error::{ApiError, ErrorKind};

/// The life of a token of which nothing is said: what CXone gives as a rule.
const USUAL_LIFE: Duration = Duration::from_secs(1200);

/// The life of a token of which nonsense is said; a token that dies earlier is dropped when it is
/// refused.
const DOUBTFUL_LIFE: Duration = Duration::from_secs(60);

/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How long before its end a token is renewed; one that lives at most twice as long, at half of its
/// life.
const MARGIN: Duration = Duration::from_secs(60);

/// The first wait after a failure, and the first after a 429 that asks for none.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const FIRST_WAIT_THROTTLED: Duration = Duration::from_secs(5);

/// The longest waits: for faults that pass, and for those that someone has to mend.
const LONGEST_PASSING_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A token, ready for use.
pub(crate) struct Token {
    pub(crate) text: SecretString,
    /// `Bearer …`, marked as sensitive.
    pub(crate) header: HeaderValue,
}

impl Token {
    /// A token for `text`, unless it cannot stand in a header.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_safe = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header =
            HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| is_safe)?;
        header.set_sensitive(true);
        Some(Self { text: SecretString::from(text), header })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The life that `expires_in`, as written in the answer, gives a token.
pub(crate) fn lifetime(expires_in: Option<&str>) -> Duration {
    let Some(written) = expires_in.filter(|raw| *raw != "null") else {
        return USUAL_LIFE;
    };
    let seconds: Option<f64> =
        super::json::string_or_number(written).and_then(|text| text.trim().parse().ok());
    match seconds {
        Some(seconds) if seconds >= LONGEST_LIFE.as_secs_f64() => LONGEST_LIFE,
        Some(seconds) if seconds > 0.0 => Duration::from_secs_f64(seconds),
        Some(_) | None => DOUBTFUL_LIFE,
    }
}

/// What to do for a request that needs a token.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Send it with this one.
    Use(Arc<Token>),
    /// Ask for a new one. The old one, if it is still good, serves whoever does not want to wait.
    Refresh(Option<Arc<Token>>),
    /// Nothing: the last attempt failed a short while ago, like this.
    Refuse(ApiError),
}

/// The token at hand, and how the last attempts to get one went.
#[derive(Debug, Default)]
pub(crate) struct TokenState {
    current: Option<CurrentToken>,
    failure: Option<FailedRenewal>,
}

#[derive(Debug)]
struct CurrentToken {
    token: Arc<Token>,
    renew: Monotonic,
    expires: Monotonic,
}

#[derive(Debug)]
struct FailedRenewal {
    error: ApiError,
    attempts: u32,
    until: Monotonic,
}

impl TokenState {
    /// What to do for a request at `now`.
    pub(crate) fn decide(&self, now: Monotonic) -> Decision {
        let alive = self.current.as_ref().filter(|current| now < current.expires);
        if let Some(current) = alive.filter(|current| now < current.renew) {
            return Decision::Use(Arc::clone(&current.token));
        }
        let spare = alive.map(|current| Arc::clone(&current.token));
        match (&self.failure, spare) {
            (Some(failure), Some(spare)) if now < failure.until => Decision::Use(spare),
            (Some(failure), None) if now < failure.until => Decision::Refuse(ApiError {
                retry_after: Some(failure.until.since(now)),
                ..failure.error.clone()
            }),
            (Some(_) | None, spare) => Decision::Refresh(spare),
        }
    }

    /// A token came that lives for `life` from `asked`, the moment it was asked for.
    pub(crate) fn grant(&mut self, token: Token, asked: Monotonic, life: Duration) -> Arc<Token> {
        let renew = if life <= 2 * MARGIN { life / 2 } else { life.saturating_sub(MARGIN) };
        let token = Arc::new(token);
        self.current = Some(CurrentToken {
            token: Arc::clone(&token),
            renew: asked.plus(renew),
            expires: asked.plus(life),
        });
        self.failure = None;
        token
    }

    /// No token came, which was known at `now`.
    pub(crate) fn fail(&mut self, error: ApiError, now: Monotonic) {
        let attempts =
            self.failure.as_ref().map_or(0, |failure| failure.attempts).saturating_add(1);
        let wait = error
            .retry_after
            .map_or_else(|| backoff(error.kind, attempts), |asked| asked.max(FIRST_WAIT));
        self.failure = Some(FailedRenewal { error, attempts, until: now.plus(wait) });
    }

    /// `refused` was refused; it is forgotten, unless it has been replaced by now.
    pub(crate) fn forget(&mut self, refused: &Arc<Token>) {
        if self.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.token, refused)) {
            self.current = None;
        }
    }
}

/// The wait after the `attempts`th failure in a row.
fn backoff(kind: ErrorKind, attempts: u32) -> Duration {
    let (first, longest) = match kind {
        ErrorKind::Throttled => (FIRST_WAIT_THROTTLED, LONGEST_PASSING_WAIT),
        ErrorKind::Server | ErrorKind::Unreachable | ErrorKind::Malformed | ErrorKind::TooLarge => {
            (FIRST_WAIT, LONGEST_PASSING_WAIT)
        }
        ErrorKind::Credentials
        | ErrorKind::TokenForbidden
        | ErrorKind::Token
        | ErrorKind::Redirected
        | ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::Lost
        | ErrorKind::JobFailed
        | ErrorKind::UnexpectedStatus
        | ErrorKind::Rejected => (FIRST_WAIT, LONGEST_WAIT),
    };
    2_u32
        .checked_pow(attempts.saturating_sub(1))
        .map_or(longest, |factor| first.saturating_mul(factor).min(longest))
}

#[cfg(test)]
mod tests {
    use assert_matches::assert_matches;

    use super::*;
    use crate::cxone::error::ApiEndpoint;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_secs(seconds))
    }

    fn granted(life: u64) -> TokenState {
        let mut state = TokenState::default();
        state.grant(Token::new("abc").unwrap(), at(0), Duration::from_secs(life));
        state
    }

    fn error(kind: ErrorKind) -> ApiError {
        ApiError::new(kind, ApiEndpoint::Token, "no")
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_its_end() {
        let state = granted(1200);
        assert_matches!(state.decide(at(1139)), Decision::Use(_));
        assert_matches!(state.decide(at(1140)), Decision::Refresh(Some(_)));
        assert_matches!(state.decide(at(1199)), Decision::Refresh(Some(_)));
        assert_matches!(state.decide(at(1200)), Decision::Refresh(None));
        assert_matches!(TokenState::default().decide(at(0)), Decision::Refresh(None));
    }

    #[test]
    fn a_token_with_a_very_short_life_is_renewed_at_half_of_it() {
        assert_matches!(granted(20).decide(at(9)), Decision::Use(_));
        assert_matches!(granted(20).decide(at(10)), Decision::Refresh(Some(_)));
        assert_matches!(granted(120).decide(at(59)), Decision::Use(_));
        assert_matches!(granted(120).decide(at(60)), Decision::Refresh(Some(_)));
    }

    #[test]
    fn wrong_credentials_wait_up_to_five_minutes_and_passing_faults_up_to_one() {
        for (kind, waits) in [
            (ErrorKind::Credentials, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
            (ErrorKind::TokenForbidden, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
            (ErrorKind::Server, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]),
            (ErrorKind::Throttled, [5, 10, 20, 40, 60, 60, 60, 60, 60, 60, 60]),
        ] {
            let (mut state, mut now) = (TokenState::default(), 0);
            for wait in waits {
                state.fail(error(kind), at(now));
                assert_matches!(state.decide(at(now + wait - 1)), Decision::Refuse(error) => {
                    assert_eq!((error.kind, error.retry_after), (kind, Some(Duration::from_secs(1))));
                });
                now += wait;
                assert_matches!(state.decide(at(now)), Decision::Refresh(None));
            }
        }
        assert_eq!(backoff(ErrorKind::Credentials, u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_kept() {
        let mut state = TokenState::default();
        state.fail(
            ApiError { retry_after: Some(Duration::from_secs(90)), ..error(ErrorKind::Throttled) },
            at(0),
        );
        assert_matches!(state.decide(at(89)), Decision::Refuse(_));
        assert_matches!(state.decide(at(90)), Decision::Refresh(None));
        state.fail(
            ApiError { retry_after: Some(Duration::ZERO), ..error(ErrorKind::Throttled) },
            at(90),
        );
        assert_matches!(state.decide(at(90)), Decision::Refuse(_));
    }

    #[test]
    fn a_valid_token_serves_while_no_new_one_is_granted() {
        let mut state = granted(1200);
        state.fail(error(ErrorKind::Server), at(1150));
        assert_matches!(state.decide(at(1150)), Decision::Use(_));
        assert_matches!(state.decide(at(1151)), Decision::Refresh(Some(_)));
        state.fail(error(ErrorKind::Server), at(1199));
        assert_matches!(state.decide(at(1200)), Decision::Refuse(_));
    }

    #[test]
    fn success_forgets_the_failures() {
        let mut state = TokenState::default();
        (0..9).for_each(|second| state.fail(error(ErrorKind::Credentials), at(second)));
        state.grant(Token::new("abc").unwrap(), at(10), Duration::from_secs(2));
        state.fail(error(ErrorKind::Credentials), at(20));
        assert_matches!(state.decide(at(21)), Decision::Refresh(None));
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten() {
        let mut state = granted(1200);
        let Decision::Use(old) = state.decide(at(0)) else { panic!("a token") };
        state.grant(Token::new("new").unwrap(), at(1), Duration::from_secs(1200));
        state.forget(&old);
        let Decision::Use(new) = state.decide(at(1)) else { panic!("the new token stays") };
        state.forget(&new);
        assert_matches!(state.decide(at(1)), Decision::Refresh(None));
    }

    #[test]
    fn an_odd_life_is_taken_with_care() {
        for (written, seconds) in [
            (None, 1200),
            (Some("null"), 1200),
            (Some("1200"), 1200),
            (Some("\"900\""), 900),
            (Some("20.0"), 20),
            (Some("0"), 60),
            (Some("-5"), 60),
            (Some("\"soon\""), 60),
            (Some("\"NaN\""), 60),
            (Some("[]"), 60),
            (Some("1e999"), 86_400),
            (Some("99999999999999999999"), 86_400),
        ] {
            assert_eq!(lifetime(written), Duration::from_secs(seconds), "{written:?}");
        }
    }

    #[test]
    fn a_token_that_cannot_stand_in_a_header_is_none() {
        for text in ["", "a b", "a\nb", "é", "a\u{7f}"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }
}
