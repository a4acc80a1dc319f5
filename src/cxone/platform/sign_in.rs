//! How a token is got, and where it is good for.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::hosts::AllowedHosts;
use super::object::JsonObject;
use crate::base_url::BaseUrl;
use crate::cxone::error::{ApiEndpoint, ApiError, ErrorKind};
use crate::cxone::http::client::{ApiCall, HttpClient};
use crate::cxone::token::Token;
use crate::cxone::tokens::{TokenSource, token_of};

/// Where a document about tokens is, below the issuer. Source: NICE's developer documentation, as
/// for all paths here.
const OPENID_PATH: &str = "/.well-known/openid-configuration";

/// Where a token is asked for, where that document is not there.
const USUAL_TOKEN_PATH: &str = "/auth/token";

/// Where a document about a tenant is, below the issuer.
const TENANT_PATH: &str = "/.well-known/cxone-configuration";

/// Where an access key alone gets a token, below its base.
const ACCESS_KEY_PATH: &str = "/authentication/v1/token/access-key";

/// What tokens are got with.
pub(crate) struct PlatformSignIn {
    pub(crate) issuer: BaseUrl,
    pub(crate) base_url: Option<BaseUrl>,
    pub(crate) version: u16,
    pub(crate) key_id: String,
    pub(crate) key_secret: SecretString,
    pub(crate) grant_type: GrantType,
    pub(crate) hosts: AllowedHosts,
    pub(crate) found: Mutex<Discovered>,
}

/// Which call a token comes from.
pub(crate) enum GrantType {
    /// The password grant, with an OAuth client.
    Password { client_id: String, client_secret: SecretString },
    /// The call that takes an access key alone, below this base.
    AccessKey(BaseUrl),
}

/// What was discovered. It is kept: a tenant that moves makes a restart necessary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovered {
    token_url: Option<String>,
    /// What the calls' paths follow.
    api: Option<String>,
}

/// What a sign-in answer says beside the token.
struct SignInResponse {
    token: Token,
    life: Duration,
    tenant: Option<String>,
}

impl PlatformSignIn {
    /// What the calls' paths follow, once there was a token.
    pub(crate) fn api(&self) -> Option<String> {
        self.found().api
    }

    async fn by_password(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
        client_id: &str,
        client_secret: &SecretString,
    ) -> Result<SignInResponse, ApiError> {
        let url = match self.found().token_url {
            Some(url) => url,
            None => self.find_token_url(http).await?,
        };
        let call = http.call(ApiEndpoint::Token, http.limits.max_answer_time, old).await;
        let fields = [
            ("grant_type", "password"),
            ("username", &self.key_id),
            ("password", self.key_secret.expose_secret()),
            ("client_id", client_id),
            ("client_secret", client_secret.expose_secret()),
        ];
        let request = call.post_form(&url, &fields)?;
        self.send(call, request).await
    }

    async fn by_access_key(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
        base: &BaseUrl,
    ) -> Result<SignInResponse, ApiError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct AccessKeyBody<'a> {
            access_key_id: &'a str,
            access_key_secret: &'a str,
        }
        let body = AccessKeyBody {
            access_key_id: &self.key_id,
            access_key_secret: self.key_secret.expose_secret(),
        };
        let body = Bytes::from(serde_json::to_vec(&body).expect("strings are JSON"));
        let call = http.call(ApiEndpoint::Token, http.limits.max_answer_time, old).await;
        let request = call.post(&base.join(ACCESS_KEY_PATH), "application/json", None, body)?;
        self.send(call, request).await
    }

    async fn send(
        &self,
        call: ApiCall<'_>,
        request: Request<Bytes>,
    ) -> Result<SignInResponse, ApiError> {
        let body = SecretString::from(call.text(call.send(request).await?).await?);
        decode(&call, body.expose_secret())
    }

    /// Where tokens come from, by the issuer's own word.
    async fn find_token_url(&self, http: &HttpClient) -> Result<String, ApiError> {
        let url = match self.document(http, &self.issuer.join(OPENID_PATH), "token_endpoint").await
        {
            Ok(url) => url.to_string(),
            Err(error) if error.status == Some(StatusCode::NOT_FOUND) => {
                self.issuer.join(USUAL_TOKEN_PATH)
            }
            Err(error) => return Err(error),
        };
        self.note(|found| found.token_url = Some(url.clone()));
        Ok(url)
    }

    /// Where the tenant's API is, by the issuer's word.
    async fn find_api(&self, http: &HttpClient, tenant: Option<&str>) -> Result<BaseUrl, ApiError> {
        let Some(tenant) = tenant else {
            let call = http.call(ApiEndpoint::Discovery, http.limits.max_answer_time, None).await;
            let detail = "the token does not name its tenant, so the API's address cannot be found: set api.base_url";
            return Err(call.error(ErrorKind::Malformed, detail));
        };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("tenantId", tenant)
            .finish();
        self.document(http, &self.issuer.join(&format!("{TENANT_PATH}?{query}")), "api_endpoint")
            .await
    }

    /// The allowed address that the member `name` of the document at `url` is. No credentials are
    /// needed for it.
    async fn document(
        &self,
        http: &HttpClient,
        url: &str,
        name: &str,
    ) -> Result<BaseUrl, ApiError> {
        let call = http.call(ApiEndpoint::Discovery, http.limits.max_answer_time, None).await;
        let answer = call.send(call.get(url, None)?).await?;
        let body = call.text(answer).await?;
        let malformed = |what: String| call.error(ErrorKind::Malformed, &what);
        let object = object(&body).map_err(|what| malformed(what.to_owned()))?;
        let address =
            object.text(name).ok_or_else(|| malformed(format!("the answer has no {name}")))?;
        self.hosts
            .allow(&address)
            .map_err(|why| malformed(format!("the {name} in the answer {why}")))
    }

    fn found(&self) -> Discovered {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Discovered)) {
        change(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl TokenSource for PlatformSignIn {
    /// Gets a token, and finds the tenant's API with it.
    async fn request(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
    ) -> Result<(Token, Duration), ApiError> {
        let granted = match &self.grant_type {
            GrantType::Password { client_id, client_secret } => {
                self.by_password(http, old, client_id, client_secret).await?
            }
            GrantType::AccessKey(base) => self.by_access_key(http, old, base).await?,
        };
        if self.found().api.is_none() {
            let base = match &self.base_url {
                Some(base) => base.clone(),
                None => self.find_api(http, granted.tenant.as_deref()).await?,
            };
            let api = base.join(&format!("/incontactapi/services/v{}.0", self.version));
            self.note(|found| found.api = Some(api));
        }
        Ok((granted.token, granted.life))
    }
}

impl fmt::Debug for PlatformSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformSignIn")
            .field("issuer", &self.issuer)
            .field("found", &self.found())
            .finish_non_exhaustive()
    }
}

/// The object that an answer is, or what the answer is instead.
fn object(body: &str) -> Result<JsonObject<'_>, &'static str> {
    if body.trim().is_empty() {
        return Err("the answer is empty");
    }
    JsonObject::parse(body).ok().flatten().ok_or("the answer is not a JSON object")
}

/// The token in an answer, none of which is ever shown.
fn decode(call: &ApiCall<'_>, body: &str) -> Result<SignInResponse, ApiError> {
    let malformed = |what: &str| call.own_error(ErrorKind::Malformed, what);
    let object = object(body).map_err(malformed)?;
    let text = object.text("access_token").or_else(|| object.text("accessToken"));
    let expires_in = object.raw("expires_in").or_else(|| object.raw("expiresIn"));
    let (token, life) = token_of(call, text.as_deref(), expires_in)?;
    let id_token = object.text("id_token").or_else(|| object.text("idToken"));
    let tenant = id_token.as_deref().and_then(tenant_of).or_else(|| tenant_of(text.as_deref()?));
    Ok(SignInResponse { token, life, tenant })
}

/// The tenant that a JWT names. It is only read, not verified: it came from the issuer, and says no
/// more than whom to ask about.
fn tenant_of(jwt: &str) -> Option<String> {
    let payload = jwt.split('.').nth(1)?;
    let payload =
        String::from_utf8(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()?;
    let claims = JsonObject::parse(&payload).ok().flatten()?;
    claims.text("tenantId").filter(|tenant| tenant.len() <= 256).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_read_from_the_middle_of_a_jwt() {
        let jwt = |payload: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(
            tenant_of(&jwt(r#"{"tenantId":"11ec-77","area":"na1"}"#)).as_deref(),
            Some("11ec-77")
        );
        assert_eq!(tenant_of(&jwt(r#"{"TenantID":7}"#)).as_deref(), Some("7"));
        for odd in [
            jwt("{}"),
            jwt("[]"),
            jwt(r#"{"tenantId":null}"#),
            "a.b".to_owned(),
            "a.!!.c".to_owned(),
            String::new(),
            jwt("{"),
        ] {
            assert_eq!(tenant_of(&odd), None, "{odd}");
        }
    }
}
