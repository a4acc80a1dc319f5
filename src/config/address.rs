//! The addresses of CXone's APIs.

use crate::base_url::{BaseUrl, BaseUrlError};

use super::credentials::{parse_given, refuse_placeholder};
use super::mistake::{Notes, quote};
use super::outside::Given;

/// An address that was given.
pub(super) fn address(given: &Given, notes: &mut Notes) -> Option<BaseUrl> {
    let url = parse_given(given, notes, check_base_url)?;
    if !url.is_https() && !url.is_loopback() {
        notes.warning(
            given.at.clone(),
            "is http to another machine: the client secret travels unencrypted",
        );
    }
    Some(url)
}

pub(super) fn tenant_url(tenant: &Given, notes: &mut Notes) -> Option<BaseUrl> {
    parse_given(tenant, notes, |text| {
        refuse_placeholder(text)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = (1..=63).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        let wrong = || {
            format!(
                "{} is no tenant: write the name alone, such as `acme` for https://acme.api.cxone.com (1 to 63 letters, digits or `-`); \
                 for another address write `base_url`",
                quote(text)
            )
        };
        if !is_label {
            return Err(wrong());
        }
        format!("https://{text}.api.cxone.com").parse().map_err(|_| wrong())
    })
}

/// `text` as an address. The messages do not repeat it: it may hold a password.
fn check_base_url(text: &str) -> Result<BaseUrl, String> {
    refuse_placeholder(text)?;
    text.parse().map_err(|error| match error {
        BaseUrlError::Unreadable(_) => {
            format!("{error}: write it like `https://acme.api.cxone.com`")
        }
        BaseUrlError::Login => {
            format!("{error}; credentials are `client_id` and `client_secret_file`")
        }
        BaseUrlError::Scheme | BaseUrlError::Query => error.to_string(),
    })
}
