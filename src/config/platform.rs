//! The `api` section of the dialect `platform`.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::base_url::BaseUrl;

use super::PlatformApi;
use super::address::address;
use super::credentials::{SecretIn, Wanted, client, id, parse_given, secret};
use super::mistake::{Notes, quote};
use super::outside::Level;
use super::section::Section;

/// Versions 21 to 35 of the calls have been seen; this one is what most clients use.
pub(super) const DEFAULT_VERSION: u16 = 30;

/// The versions that may be configured.
pub(super) const VERSIONS: RangeInclusive<u16> = 1..=999;

/// Where tokens come from outside of the government's cloud.
const DEFAULT_ISSUER: &str = "https://cxone.niceincontact.com";

const KEY_ID: Wanted = Wanted {
    key: "access_key_id",
    missing: "is missing: write `access_key_id` under `api`, or give --api.access-key-id or CXONE_ACCESS_KEY_ID",
};

const KEY_SECRET: Wanted = Wanted {
    key: "access_key_secret_file",
    missing: "is missing: write the access key's secret into a file and name it in `access_key_secret_file` under `api` or \
              --api.access-key-secret-file, or put it into CXONE_ACCESS_KEY_SECRET",
};

/// Reads what the dialect needs; `None` when something is wrong, which is then told.
pub(super) fn read(
    section: &Section<'_>,
    levels: &[&Level; 3],
    version: Option<u16>,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<PlatformApi> {
    let before = notes.mistakes.len();
    let access_key_id = id(levels, |level| level.access_key_id.as_ref(), &KEY_ID, section, notes);
    let secret_in: SecretIn =
        |level| (level.access_key_secret_file.as_ref(), level.access_key_secret.as_ref());
    let access_key_secret =
        secret(levels, secret_in, &KEY_SECRET, section, folder, &read_secret, notes);
    let given_issuer = levels.iter().find_map(|level| level.issuer.as_ref());
    let given_base = levels.iter().find_map(|level| level.base_url.as_ref());
    let given_area = levels.iter().find_map(|level| level.area.as_ref());
    let issuer = given_issuer.and_then(|given| address(given, notes));
    let base_url = given_base.and_then(|given| address(given, notes));
    let area_base = given_area.and_then(|given| parse_given(given, notes, area_url));
    let has_client = levels.iter().any(|level| {
        level.client_id.is_some()
            || level.client_secret_file.is_some()
            || level.client_secret.is_some()
    });
    let client =
        if has_client { Some(client(levels, section, folder, &read_secret, notes)?) } else { None };
    if notes.mistakes.len() > before {
        return None;
    }
    // Credentials go only where the user sent them: an address that is not CXone's own stands for
    // all of CXone.
    let foreign = base_url.as_ref().filter(|url| !url.is_cxone());
    let issuer = issuer.or_else(|| foreign.cloned()).or_else(|| DEFAULT_ISSUER.parse().ok())?;
    if let (Some(base_url), Some(at)) =
        (&base_url, given_base.or(given_issuer).map(|given| given.at.clone()))
        && base_url.is_https() != issuer.is_https()
    {
        notes.mistake(at, "must be https or http like the issuer's address");
        return None;
    }
    let access_key_base =
        area_base.or_else(|| Some(&issuer).filter(|issuer| !issuer.is_cxone()).cloned());
    match (&client, &access_key_base, given_area) {
        (Some(_), _, Some(area)) => {
            notes.mistake(
                area.at.clone(),
                "is used without `client_id` only: remove one of the two",
            );
            None
        }
        (None, None, _) => {
            let message = "is missing: without `client_id` the token comes from a host of the tenant's area, such as `na1`; write `area`, \
                           or the `client_id` and `client_secret_file` of a registered application";
            notes.mistake(section.at("area"), message);
            None
        }
        (Some(_) | None, _, _) => {
            let access_key_base = if client.is_some() { None } else { access_key_base };
            let (access_key_id, access_key_secret) = (access_key_id?, access_key_secret?);
            Some(PlatformApi {
                issuer,
                base_url,
                version: version?,
                access_key_base,
                access_key_id,
                access_key_secret,
                client,
            })
        }
    }
}

fn area_url(text: &str) -> Result<BaseUrl, String> {
    let wrong = || format!("{} is no area: write it like `na1`", quote(text));
    let is_label =
        (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_label {
        return Err(wrong());
    }
    format!("https://{text}.nice-incontact.com").parse().map_err(|_| wrong())
}
