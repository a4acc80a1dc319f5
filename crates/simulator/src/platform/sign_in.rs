//! Discovery, and signing in with access key and client or with the access key alone.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::names::TENANT;
use super::{PlatformRequest, denied, with_description};
use crate::oauth::{OauthError, TokenForm, credentials, media_type};
use crate::response::ApiReply;
use crate::tenant::SimulatedTenant;

/// The tenant's region.
const AREA: &str = "na1";

impl SimulatedTenant {
    pub(super) fn open_id_configuration(&self, request: PlatformRequest<'_>) -> ApiReply {
        let origin = request.origin();
        let body = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/auth/authorize"),
            "token_endpoint": format!("{origin}/auth/token"),
            "grant_types_supported": ["password", "refresh_token", "authorization_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        });
        ApiReply::json(StatusCode::OK, &body)
    }

    pub(super) fn tenant_configuration(&self, request: PlatformRequest<'_>) -> ApiReply {
        let query = request.http.uri().query().unwrap_or_default();
        if !url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "tenantId" && value == TENANT)
        {
            return denied(StatusCode::NOT_FOUND, "There is no such tenant.", request.chance);
        }
        let origin = request.origin();
        let api = self.options().api_endpoint.as_deref().unwrap_or(&origin);
        let body = json!({
            "tenantId": TENANT,
            "area": AREA,
            "domain": "niceincontact.com",
            "api_endpoint": api,
            "auth_endpoint": origin,
        });
        ApiReply::json(StatusCode::OK, &body)
    }

    pub(super) fn password_token(&self, request: PlatformRequest<'_>) -> ApiReply {
        answer(self.sign_in_with_password(request))
    }

    fn sign_in_with_password(&self, request: PlatformRequest<'_>) -> Result<ApiReply, OauthError> {
        let form = TokenForm::read(request.http)?;
        if form.grant_type != "password" {
            return Err(OauthError::unsupported_grant_type("grant_type must be password."));
        }
        // The client is in the body or in the header; the body takes precedence.
        let (id, secret) = basic_credentials(request.http).unwrap_or_default();
        let or = |field: &str, header: String| {
            if field.is_empty() { header } else { field.to_owned() }
        };
        self.options().check_client(&or(&form.client_id, id), &or(&form.client_secret, secret))?;
        self.access_key_token(request, &form.username, &form.password)
    }

    pub(super) fn token_for_access_key(&self, request: PlatformRequest<'_>) -> ApiReply {
        let is_json = media_type(request.http).as_deref() == Some("application/json");
        let body = serde_json::from_slice::<Value>(request.http.body()).ok().filter(|_| is_json);
        let Some(body) = body else {
            return answer(Err(OauthError::invalid_request("The body must be JSON.")));
        };
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        answer(self.access_key_token(request, text("accessKeyId"), text("accessKeySecret")))
    }

    fn access_key_token(
        &self,
        request: PlatformRequest<'_>,
        id: &str,
        secret: &str,
    ) -> Result<ApiReply, OauthError> {
        let options = self.options();
        if id != options.access_key_id || secret != options.access_key_secret.expose_secret() {
            return Err(OauthError::invalid_grant("The access key id or its secret is wrong."));
        }
        self.options().check_enabled()?;
        let now = request.now;
        let expiry = now.plus(options.token_life);
        let (first, second) = self.token_numbers(now, 9);
        let token = format!("platform-{first:016x}{second:016x}");
        self.state().platform_tokens.add(now, token.clone(), expiry);
        let claims = json!({
            "iss": request.origin(),
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
            "id_token": unsigned_jwt(&claims),
            "refresh_token": format!("refresh-{second:016x}"),
        });
        Ok(ApiReply::json(StatusCode::OK, &body))
    }
}

fn answer(result: Result<ApiReply, OauthError>) -> ApiReply {
    result.unwrap_or_else(|error| {
        with_description(ApiReply::json(error.status, &error), error.description)
    })
}

/// Name and password of the header `Authorization: Basic`.
fn basic_credentials(request: &Request<Bytes>) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(credentials(request, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

fn unsigned_jwt(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}
