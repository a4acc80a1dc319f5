//! Tokens: handed out for the right client id and secret, good for a while.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use secrecy::ExposeSecret;

use cxone_core::time::Timestamp;

use super::super::random::hash;
use super::super::wire::{OauthRefusal, TokenAnswer};
use super::Simulator;
use super::answer::{Reply, unauthorized};

/// The one scope that there is.
const SCOPE: &str = "reports:read";

/// The tokens that are good, with the moments from which they are not.
#[derive(Default)]
pub(super) struct Tokens(HashMap<String, Timestamp>);

impl Tokens {
    pub(super) fn revoke_all(&mut self) {
        self.0.clear();
    }

    /// Makes the token of `request` worthless.
    pub(super) fn revoke(&mut self, request: &Request<Bytes>) {
        if let Some(token) = bearer(request) {
            self.0.remove(token);
        }
    }

    pub(super) fn add(&mut self, now: Timestamp, token: String, expiry: Timestamp) {
        self.0.retain(|_, expiry| *expiry > now);
        self.0.insert(token, expiry);
    }

    /// Whether `request` has a good token.
    pub(super) fn admit(&self, now: Timestamp, request: &Request<Bytes>) -> bool {
        bearer(request).is_some_and(|token| self.is_good(now, token))
    }

    fn is_good(&self, now: Timestamp, token: &str) -> bool {
        self.0.get(token).is_some_and(|expiry| now < *expiry)
    }
}

/// What a token request says; the last of several equal names counts.
#[derive(Default)]
struct Grant {
    kind: String,
    client_id: String,
    client_secret: String,
}

impl Grant {
    fn read(request: &Request<Bytes>) -> Option<Self> {
        let mut grant = Self::default();
        if media_type(request)? != "application/x-www-form-urlencoded" {
            return None;
        }
        for (name, value) in url::form_urlencoded::parse(request.body()) {
            match name.as_ref() {
                "grant_type" => grant.kind = value.into_owned(),
                "client_id" => grant.client_id = value.into_owned(),
                "client_secret" => grant.client_secret = value.into_owned(),
                _ => {}
            }
        }
        Some(grant)
    }
}

impl Simulator {
    pub(super) fn issue_token(&self, now: Timestamp, request: &Request<Bytes>) -> Reply {
        let Some(grant) = Grant::read(request) else {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The body must be form-encoded.",
            );
        };
        if grant.kind != "client_credentials" {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "grant_type must be client_credentials.",
            );
        }
        let right = grant.client_id == self.options.client_id
            && grant.client_secret == self.options.client_secret.expose_secret();
        if !right {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The client id or the client secret is wrong.",
            );
        }
        if !self.options.client_enabled {
            return refusal(
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "The client is disabled or lacks permission.",
            );
        }
        let mut desk = self.desk();
        desk.counters.tokens_issued += 1;
        let parts = [desk.counters.tokens_issued, now.millis().cast_unsigned()];
        let token = format!(
            "simulated-{:016x}{:016x}",
            hash(self.options.seed, &parts),
            hash(!self.options.seed, &parts)
        );
        desk.tokens.add(now, token.clone(), now.plus(self.options.token_life));
        drop(desk);
        let expires_in = self.options.token_life.as_secs();
        let scope = if self.options.scope_granted { SCOPE } else { "" };
        Reply::json(
            StatusCode::OK,
            &TokenAnswer { access_token: &token, token_type: "Bearer", expires_in, scope },
        )
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Whether `request` may ask for reports; else what it is answered.
    pub(super) fn authorize(&self, now: Timestamp, request: &Request<Bytes>) -> Result<(), Reply> {
        if !self.desk().tokens.admit(now, request) {
            return Err(unauthorized());
        }
        if !self.options.scope_granted {
            let message =
                "The scope reports:read is missing, or the Reporting module is not licensed.";
            return Err(Reply::refusal(StatusCode::FORBIDDEN, "forbidden", message));
        }
        Ok(())
    }
}

/// The media type of the body, without parameters.
pub(super) fn media_type(request: &Request<Bytes>) -> Option<String> {
    let value = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn refusal(status: StatusCode, error: &str, error_description: &str) -> Reply {
    Reply::json(status, &OauthRefusal { error, error_description })
}
