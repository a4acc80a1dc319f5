//! The addresses of CXone's APIs.

use crate::base_url::{BaseUrl, BaseUrlError};

use super::credentials::refuse_placeholder;
use super::mistake::quote;
use super::overrides::Given;
use super::reader::Section;

/// An address that was given.
pub(super) fn address(section: &Section<'_>, given: &Given) -> Option<BaseUrl> {
    let url = section.parse(given, check_base_url)?;
    if !url.is_https() && !url.is_loopback() {
        section.document.warn(
            given.at.clone(),
            "is http to another machine: the client secret is sent unencrypted",
        );
    }
    Some(url)
}

pub(super) fn tenant_url(text: &str) -> Result<BaseUrl, String> {
    refuse_placeholder(text)?;
    let is_label = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    host_url(text, is_label, "api.cxone.com").ok_or_else(|| {
        format!(
            "{} is not a valid tenant: write its name alone, such as `acme` for \
             https://acme.api.cxone.com (1 to 63 letters, digits or `-`); for another address set \
             `base_url`",
            quote(text)
        )
    })
}

pub(super) fn area_url(text: &str) -> Result<BaseUrl, String> {
    let is_label =
        (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    host_url(text, is_label, "nice-incontact.com")
        .ok_or_else(|| format!("{} is not a valid area: write it like `na1`", quote(text)))
}

fn host_url(label: &str, is_label: bool, domain: &str) -> Option<BaseUrl> {
    format!("https://{label}.{domain}").parse().ok().filter(|_| is_label)
}

/// `text` as an address. The messages do not repeat it: it may contain a password.
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
