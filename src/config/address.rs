//! The addresses of CXone's APIs.

use url::{Host, Url};

use super::credentials::{parse_given, refuse_placeholder};
use super::mistake::{Notes, quote};
use super::outside::Given;

/// An address that was given.
pub(super) fn address(given: &Given, notes: &mut Notes) -> Option<Url> {
    let url = parse_given(given, notes, check_base_url)?;
    if is_unencrypted(&url) {
        notes.warning(
            given.at.clone(),
            "is http to another machine: the client secret travels unencrypted",
        );
    }
    Some(url)
}

pub(super) fn tenant_url(tenant: &Given, notes: &mut Notes) -> Option<Url> {
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
        Url::parse(&format!("https://{text}.api.cxone.com")).map_err(|_| wrong())
    })
}

/// `text` as an address. The messages do not repeat it: it may hold a password.
fn check_base_url(text: &str) -> Result<Url, String> {
    refuse_placeholder(text)?;
    let url = Url::parse(text).map_err(|error| {
        format!("is no URL ({error}): write it like `https://acme.api.cxone.com`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with `https://` or `http://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password; credentials are `client_id` and `client_secret_file`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end before any `?` or `#`".to_owned());
    }
    Ok(url)
}

fn is_unencrypted(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !loopback
}
