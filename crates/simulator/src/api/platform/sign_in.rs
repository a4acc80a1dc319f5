//! Where to sign in, and signing in: with access key and client, or with the access key alone.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::super::platform::TENANT;
use super::super::super::random::hash;
use super::super::Simulator;
use super::super::answer::Reply;
use super::super::oauth::media_type;
use super::{Asked, STATUS_DESCRIPTION, denied};

/// The region that the tenant is in.
const AREA: &str = "na1";

/// What a request for a token by password says; the last of several equal names counts.
#[derive(Default)]
struct Grant {
    kind: String,
    username: String,
    password: String,
    client_id: String,
    client_secret: String,
}

impl Grant {
    /// The client stands in the body or in the header.
    fn read(asked: Asked<'_>) -> Option<Self> {
        if media_type(asked.request)? != "application/x-www-form-urlencoded" {
            return None;
        }
        let mut grant = Self::default();
        if let Some((id, secret)) = basic(asked) {
            (grant.client_id, grant.client_secret) = (id, secret);
        }
        for (name, value) in url::form_urlencoded::parse(asked.request.body()) {
            match name.as_ref() {
                "grant_type" => grant.kind = value.into_owned(),
                "username" => grant.username = value.into_owned(),
                "password" => grant.password = value.into_owned(),
                "client_id" => grant.client_id = value.into_owned(),
                "client_secret" => grant.client_secret = value.into_owned(),
                _ => {}
            }
        }
        Some(grant)
    }
}

/// Name and password of the header `Authorization: Basic`.
fn basic(asked: Asked<'_>) -> Option<(String, String)> {
    let (scheme, encoded) =
        asked.request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| BASE64_STANDARD.decode(encoded.trim()).ok())??;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

impl Simulator {
    pub(super) fn open_id_configuration(&self, asked: Asked<'_>) -> Reply {
        let origin = asked.origin();
        let body = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/auth/authorize"),
            "token_endpoint": format!("{origin}/auth/token"),
            "grant_types_supported": ["password", "refresh_token", "authorization_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        });
        Reply::json(StatusCode::OK, &body)
    }

    pub(super) fn tenant_configuration(&self, asked: Asked<'_>) -> Reply {
        let query = asked.request.uri().query().unwrap_or_default();
        if !url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "tenantId" && value == TENANT)
        {
            return denied(StatusCode::NOT_FOUND, "There is no such tenant.", asked.chance);
        }
        let origin = asked.origin();
        let api = self.options.api_endpoint.as_deref().unwrap_or(&origin);
        let body = json!({"tenantId": TENANT, "area": AREA, "domain": "niceincontact.com", "api_endpoint": api, "auth_endpoint": origin});
        Reply::json(StatusCode::OK, &body)
    }

    pub(super) fn platform_token(&self, asked: Asked<'_>) -> Reply {
        let Some(grant) = Grant::read(asked) else {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The body must be form-encoded.",
            );
        };
        if grant.kind != "password" {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "grant_type must be password.",
            );
        }
        if grant.client_id != self.options.client_id
            || grant.client_secret != self.options.client_secret.expose_secret()
        {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The client id or the client secret is wrong.",
            );
        }
        self.with_access_key(asked, &grant.username, &grant.password)
    }

    pub(super) fn access_key_token(&self, asked: Asked<'_>) -> Reply {
        let body: Value = match serde_json::from_slice(asked.request.body()) {
            Ok(body) if media_type(asked.request).as_deref() == Some("application/json") => body,
            _ => {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    "The body must be JSON.",
                );
            }
        };
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        self.with_access_key(asked, text("accessKeyId"), text("accessKeySecret"))
    }

    /// A token, if the access key is right.
    fn with_access_key(&self, asked: Asked<'_>, id: &str, secret: &str) -> Reply {
        let options = &self.options;
        if id != options.access_key_id || secret != options.access_key_secret.expose_secret() {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_grant",
                "The access key id or its secret is wrong.",
            );
        }
        if !options.client_enabled {
            return refusal(
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "The client is disabled or lacks permission.",
            );
        }
        let now = asked.now;
        let expiry = now.plus(options.token_life);
        let mut desk = self.desk();
        desk.counters.tokens_issued += 1;
        let parts = [desk.counters.tokens_issued, now.millis().cast_unsigned(), 9];
        let (first, second) = (hash(options.seed, &parts), hash(!options.seed, &parts));
        let token = format!("platform-{first:016x}{second:016x}");
        desk.platform_tokens.add(now, token.clone(), expiry);
        drop(desk);
        let claims = json!({
            "iss": asked.origin(),
            "sub": "user:simulated",
            "tenantId": TENANT,
            "area": AREA,
            "iat": now.millis() / 1000,
            "exp": expiry.millis() / 1000,
        });
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": options.token_life.as_secs(),
            "id_token": unsigned(&claims),
            "refresh_token": format!("refresh-{second:016x}"),
        });
        Reply::json(StatusCode::OK, &body)
    }
}

/// A JWT that nobody signed.
fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

fn refusal(status: StatusCode, error: &str, error_description: &str) -> Reply {
    let reply =
        Reply::json(status, &json!({"error": error, "error_description": error_description}));
    match http::HeaderValue::from_str(error_description) {
        Ok(why) => reply.with(STATUS_DESCRIPTION, why),
        Err(_) => reply,
    }
}
