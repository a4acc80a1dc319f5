//! Tokens of both APIs: who gets one, and how long it is valid.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;

use cxone_core::time::Timestamp;

use crate::options::SimulatorOptions;

/// The valid tokens of one API, with their expiry.
#[derive(Default)]
pub(crate) struct IssuedTokens(HashMap<String, Timestamp>);

impl IssuedTokens {
    pub(crate) fn revoke_all(&mut self) {
        self.0.clear();
    }

    /// Revokes the token of `request`.
    pub(crate) fn revoke(&mut self, request: &Request<Bytes>) {
        if let Some(token) = credentials(request, "bearer") {
            self.0.remove(token);
        }
    }

    pub(crate) fn add(&mut self, now: Timestamp, token: String, expiry: Timestamp) {
        self.0.retain(|_, expiry| *expiry > now);
        self.0.insert(token, expiry);
    }

    /// Whether `request` has a valid token.
    pub(crate) fn admits(&self, now: Timestamp, request: &Request<Bytes>) -> bool {
        credentials(request, "bearer")
            .and_then(|token| self.0.get(token))
            .is_some_and(|expiry| now < *expiry)
    }
}

/// Why there is no token, in OAuth's form.
#[derive(Serialize)]
pub(crate) struct OauthError {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    error: &'static str,
    #[serde(rename = "error_description")]
    pub(crate) description: &'static str,
}

impl OauthError {
    pub(crate) const fn invalid_request(description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: "invalid_request", description }
    }

    pub(crate) const fn unsupported_grant_type(description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: "unsupported_grant_type", description }
    }

    pub(crate) const fn invalid_grant(description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error: "invalid_grant", description }
    }
}

/// A form-encoded token request; of several fields with one name the last counts.
#[derive(Default)]
pub(crate) struct TokenForm {
    pub(crate) grant_type: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

impl TokenForm {
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, OauthError> {
        if media_type(request).as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(OauthError::invalid_request("The body must be form-encoded."));
        }
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(request.body()) {
            let field = match name.as_ref() {
                "grant_type" => &mut form.grant_type,
                "username" => &mut form.username,
                "password" => &mut form.password,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                _ => continue,
            };
            *field = value.into_owned();
        }
        Ok(form)
    }
}

impl SimulatorOptions {
    pub(crate) fn check_client(&self, id: &str, secret: &str) -> Result<(), OauthError> {
        if id == self.client_id && secret == self.client_secret.expose_secret() {
            return Ok(());
        }
        Err(OauthError {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: "The client id or the client secret is wrong.",
        })
    }

    pub(crate) fn check_enabled(&self) -> Result<(), OauthError> {
        if self.client_enabled {
            return Ok(());
        }
        Err(OauthError {
            status: StatusCode::FORBIDDEN,
            error: "unauthorized_client",
            description: "The client is disabled or lacks permission.",
        })
    }
}

/// The media type of the body, without parameters.
pub(crate) fn media_type(request: &Request<Bytes>) -> Option<String> {
    let value = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The header `Authorization` if it has this scheme.
pub(crate) fn credentials<'a>(request: &'a Request<Bytes>, scheme: &str) -> Option<&'a str> {
    let (given, rest) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest.trim())
}
