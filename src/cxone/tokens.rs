//! The access token of a client: obtained when it is needed, shared by all requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{ApiError, ErrorKind};
use super::http::client::{ApiCall, ClientEvent, HttpClient};
use super::token::{Decision, Token, TokenState, lifetime};

/// How a dialect obtains a token.
pub(crate) trait TokenSource: Send + Sync {
    /// Requests a token, and returns it with its lifetime. The response may echo the `old` one.
    fn request(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
    ) -> impl Future<Output = Result<(Token, Duration), ApiError>> + Send;
}

/// The token of a client, shared by all its requests and renewed by one of them at a time.
pub(crate) struct Tokens<S> {
    source: S,
    state: Mutex<TokenState>,
    /// Held by whoever requests a token. If that request is dropped, the next one takes over.
    renewal: tokio::sync::Mutex<()>,
}

impl<S: TokenSource> Tokens<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, state: Mutex::default(), renewal: tokio::sync::Mutex::default() }
    }

    /// The token for a request that is made now.
    ///
    /// # Errors
    /// When none is granted; within the wait that follows, at once and without a request.
    pub(crate) async fn current(&self, http: &HttpClient) -> Result<Arc<Token>, ApiError> {
        let spare = match self.decide(http) {
            Decision::Use(token) => return Ok(token),
            Decision::Refuse(error) => return Err(error),
            Decision::Refresh(spare) => spare,
        };
        let _renewal = match (self.renewal.try_lock(), spare) {
            (Ok(renewal), _) => renewal,
            (Err(_), Some(spare)) => return Ok(spare),
            (Err(_), None) => self.renewal.lock().await,
        };
        // Whoever asked before may have got one by now, or have failed.
        match self.decide(http) {
            Decision::Use(token) => Ok(token),
            Decision::Refuse(error) => Err(error),
            Decision::Refresh(old) => self.refresh(http, old.as_deref()).await,
        }
    }

    /// A new token, though there may be a good one.
    ///
    /// # Errors
    /// When none is granted.
    pub(crate) async fn renew(&self, http: &HttpClient) -> Result<Arc<Token>, ApiError> {
        let _renewal = self.renewal.lock().await;
        match self.decide(http) {
            Decision::Refuse(error) => Err(error),
            Decision::Use(old) | Decision::Refresh(Some(old)) => {
                self.refresh(http, Some(&old)).await
            }
            Decision::Refresh(None) => self.refresh(http, None).await,
        }
    }

    /// Drops a token that was refused. One that was forbidden too: rights that were mended since
    /// come with a new token only.
    pub(crate) fn forget_if_refused<T>(
        &self,
        token: &Arc<Token>,
        outcome: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if outcome.as_ref().is_err_and(|error| {
            matches!(error.kind, ErrorKind::Unauthorized | ErrorKind::Forbidden)
        }) {
            self.state().forget(token);
        }
        outcome
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    fn decide(&self, http: &HttpClient) -> Decision {
        self.state().decide(http.clock.now().instant)
    }

    fn state(&self) -> MutexGuard<'_, TokenState> {
        // Nothing can panic halfway through a change of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
    ) -> Result<Arc<Token>, ApiError> {
        let asked = http.clock.now();
        match self.source.request(http, old).await {
            Ok((token, life)) => {
                let token = self.state().grant(token, asked.instant, life);
                http.notify(&ClientEvent::TokenRefreshed { expires: asked.utc.plus(life) });
                Ok(token)
            }
            Err(error) => {
                http.notify(&ClientEvent::TokenRefreshFailed(error.kind));
                self.state().fail(error.clone(), http.clock.now().instant);
                match self.decide(http) {
                    Decision::Use(spare) | Decision::Refresh(Some(spare)) => Ok(spare),
                    Decision::Refuse(error) => Err(error),
                    Decision::Refresh(None) => Err(error),
                }
            }
        }
    }
}

impl<S> fmt::Debug for Tokens<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The token of a response with these members. No message repeats any part of the response.
pub(crate) fn token_of(
    call: &ApiCall<'_>,
    access_token: Option<&str>,
    expires_in: Option<&str>,
) -> Result<(Token, Duration), ApiError> {
    let malformed = |what: &str| call.own_error(ErrorKind::Malformed, what);
    let text = access_token.ok_or_else(|| malformed("the response has no access_token"))?;
    let token = Token::new(text).ok_or_else(|| {
        malformed("the access_token in the response is empty or not valid in a header")
    })?;
    Ok((token, lifetime(expires_in)))
}
