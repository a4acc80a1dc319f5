//! The token: got when it is needed, shared by all requests, asked for by one of them at a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use super::error::{ApiEndpoint, ApiError, ErrorKind};
use super::http::client::{ApiCall, ClientEvent, HttpClient};
use super::json;
use super::platform::PlatformSignIn;
use super::reports::TOKEN_PATH;
use super::token::{Decision, Token, TokenState, life};
use crate::base_url::BaseUrl;

/// The media type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// How a token is got.
pub(crate) enum Grant {
    /// By the client credentials of an OAuth client.
    Client { base: BaseUrl, id: String, secret: SecretString },
    /// As the platform wants it.
    Platform(Box<PlatformSignIn>),
}

/// The credentials and the token that they got.
pub(crate) struct Tokens {
    grant: Grant,
    state: Mutex<TokenState>,
    /// Held by the one who asks for a token. Whoever is dropped while holding it leaves it to the
    /// next.
    flight: tokio::sync::Mutex<()>,
}

impl Tokens {
    pub(crate) fn new(grant: Grant) -> Self {
        Self { grant, state: Mutex::default(), flight: tokio::sync::Mutex::default() }
    }

    /// The token for a request that is made now.
    ///
    /// # Errors
    /// When there is none to be had; within the wait that follows, at once and without a request.
    pub(crate) async fn current(&self, http: &HttpClient) -> Result<Arc<Token>, ApiError> {
        let spare = match self.decide(http) {
            Decision::Use(token) => return Ok(token),
            Decision::Refuse(error) => return Err(error),
            Decision::Refresh(spare) => spare,
        };
        let _flight = match (self.flight.try_lock(), spare) {
            (Ok(flight), _) => flight,
            (Err(_), Some(spare)) => return Ok(spare),
            (Err(_), None) => self.flight.lock().await,
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
    /// When there is none to be had.
    pub(crate) async fn renew(&self, http: &HttpClient) -> Result<Arc<Token>, ApiError> {
        let _flight = self.flight.lock().await;
        match self.decide(http) {
            Decision::Refuse(error) => Err(error),
            Decision::Use(old) | Decision::Refresh(Some(old)) => {
                self.refresh(http, Some(&old)).await
            }
            Decision::Refresh(None) => self.refresh(http, None).await,
        }
    }

    /// Drops a token that was refused, so that the next request gets another one.
    fn forget(&self, refused: &Arc<Token>) {
        self.state().forget(refused);
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
            self.forget(token);
        }
        outcome
    }

    /// The way to a token.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
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
        match self.ask(http, old).await {
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

    async fn ask(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
    ) -> Result<(Token, Duration), ApiError> {
        let (base, id, secret) = match &self.grant {
            Grant::Client { base, id, secret } => (base, id, secret),
            Grant::Platform(sign_in) => return sign_in.ask(http, old).await,
        };
        let call = http.call(ApiEndpoint::Token, http.limits.max_answer_time, old).await;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret.expose_secret())
            .finish();
        let request = call.post(&base.join(TOKEN_PATH), FORM, None, Bytes::from(form))?;
        let answer = call.send(request).await?;
        let body = SecretString::from(call.text(answer).await?);
        decode(&call, body.expose_secret())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The token in an answer, none of which is ever shown.
fn decode(call: &ApiCall<'_>, body: &str) -> Result<(Token, Duration), ApiError> {
    let malformed = |what: &str| call.own_error(ErrorKind::Malformed, what);
    let members = json::members(body).ok_or_else(|| malformed("the answer is no JSON object"))?;
    let text = members.get("access_token").and_then(|raw| json::string(raw.get()));
    let text = text.ok_or_else(|| malformed("the answer has no access_token"))?;
    let token = Token::new(&text).ok_or_else(|| {
        malformed("the access_token in the answer is empty or cannot stand in a header")
    })?;
    Ok((token, life(members.get("expires_in").map(|raw| raw.get()))))
}
