//! The section `api`, merged with flags and environment.

use std::io;
use std::path::{Path, PathBuf};

use crate::base_url::BaseUrl;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::address::{address, area_url, tenant_url};
use super::credentials::{credentials, path_of};
use super::overrides::ValueSource;
use super::reader::Section;
use super::settings::{DialectName, SETTINGS};
use super::{ApiConfig, Dialect, FileContent, PlatformApi, ReportsApi, RowKind};

/// What other sections need to know: which dialect was chosen, and what the rows of a report are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) dialect: DialectName,
    pub(super) rows: RowKind,
}

impl Chosen {
    pub(super) fn is_platform(self) -> bool {
        self.dialect == DialectName::Platform
    }
}

/// Reads the section; `None` when something is wrong.
pub(super) fn read(
    top: &Section<'_>,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> (Option<ApiConfig>, Chosen) {
    let section = top.section("api");
    let rows = section.word("rows", [RowKind::Intervals, RowKind::Events, RowKind::Buckets]);
    let named = match section.given("dialect") {
        None => Some(DialectName::Reports),
        Some(given) => section.parse(&given, |text| {
            section.value_of_word("dialect", text, [DialectName::Reports, DialectName::Platform])
        }),
    };
    let name = named.unwrap_or_else(|| dialect_of_keys(&section));
    if named.is_some() {
        refuse_unused(top, name);
    }
    let authorities = authorities(&section, read_file);
    let dialect = match name {
        DialectName::Reports => {
            let base_url = base_url(&section);
            let client = credentials(&section, "client_id", "client_secret_file", read_file);
            base_url
                .zip(client)
                .map(|(base_url, client)| Dialect::Reports(ReportsApi { base_url, client }))
        }
        DialectName::Platform => {
            platform(&section, read_file).map(|api| Dialect::Platform(Box::new(api)))
        }
    };
    let rows = if name == DialectName::Platform { RowKind::States } else { rows };
    let api = dialect.zip(authorities).map(|(dialect, authorities)| ApiConfig {
        dialect,
        rows,
        authorities,
    });
    (api, Chosen { dialect: name, rows })
}

/// The dialect that a wrong word probably meant.
fn dialect_of_keys(section: &Section<'_>) -> DialectName {
    let is_of_platform = SETTINGS
        .iter()
        .filter(|setting| setting.dialect == Some(DialectName::Platform))
        .filter_map(|setting| setting.key.strip_prefix("api."))
        .any(|name| section.has(name));
    if is_of_platform { DialectName::Platform } else { DialectName::Reports }
}

/// A key that has no effect is a mistake: whoever wrote it expects that it has. Variables may be
/// there for another process.
fn refuse_unused(top: &Section<'_>, dialect: DialectName) {
    let message = format!(
        "is not used with `dialect: {}`: remove it, or change `api.dialect`",
        dialect.as_str()
    );
    for setting in SETTINGS.iter().filter(|setting| setting.dialect.is_some_and(|it| it != dialect))
    {
        let Some((section, name)) = setting.key.split_once('.') else { continue };
        let section = top.entries_of(section);
        if section.has(name) {
            section.mistake(name, &*message);
        }
        if let Some(flag) = section.given_by(ValueSource::Flags, name) {
            section.document.mistake(flag.at, &*message);
        }
    }
}

/// The address of the first source with a tenant or an address; there, the address replaces the
/// tenant.
fn base_url(section: &Section<'_>) -> Option<BaseUrl> {
    for level in ValueSource::ALL {
        let tenant = section.given_by(level, "tenant");
        let tenant = tenant.map(|given| section.parse(&given, tenant_url));
        match (section.given_by(level, "base_url"), tenant) {
            (Some(given), _) => return address(section, &given),
            (None, Some(tenant)) => return tenant,
            (None, None) => {}
        }
    }
    if !section.is_broken() {
        let message = "is missing: set `tenant` or `base_url` under `api`, --api.tenant, \
                       --api.base-url, CXONE_TENANT or CXONE_BASE_URL";
        section.mistake("tenant", message);
    }
    None
}

/// What the dialect `platform` needs; `None` when something is wrong.
fn platform(
    section: &Section<'_>,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> Option<PlatformApi> {
    let before = section.document.mistakes();
    let version = section.number("version");
    let access_key = credentials(section, "access_key_id", "access_key_secret_file", read_file);
    let url_of = |name| section.given(name).and_then(|given| address(section, &given));
    let (issuer, base_url) = (url_of("issuer"), url_of("base_url"));
    let area = section.given("area").map(|given| (section.parse(&given, area_url), given.at));
    let has_client = ["client_id", "client_secret_file", "client_secret"]
        .into_iter()
        .any(|name| section.given(name).is_some());
    let client = if has_client {
        credentials(section, "client_id", "client_secret_file", read_file)
    } else {
        None
    };
    if section.document.mistakes() > before {
        return None;
    }
    // Credentials go only where the user sent them: an address that is not CXone's own stands for
    // all of CXone.
    let foreign = base_url.clone().filter(|url| !url.is_cxone());
    let default_issuer = || section.setting("issuer")?.default.parse().ok();
    let issuer = issuer.or(foreign).or_else(default_issuer)?;
    if let Some(base_url) = &base_url
        && base_url.is_https() != issuer.is_https()
        && let Some(given) = section.given("base_url")
    {
        let message = "must be https or http like the address of the issuer";
        section.document.mistake(given.at, message);
        return None;
    }
    let access_key_base = match (&client, area) {
        (Some(_), Some((_, at))) => {
            let message = "is used without `client_id` only: remove one of the two";
            section.document.mistake(at, message);
            return None;
        }
        (Some(_), None) => None,
        (None, Some((area, _))) => area,
        (None, None) if !issuer.is_cxone() => Some(issuer.clone()),
        (None, None) => {
            let message = "is missing: without `client_id` the token comes from a host of the \
                           tenant's area, such as `na1`; set `area`, or `client_id` and \
                           `client_secret_file` of a registered application";
            section.mistake("area", message);
            return None;
        }
    };
    Some(PlatformApi {
        issuer,
        base_url,
        version,
        access_key_base,
        access_key: access_key?,
        client,
    })
}

/// The certificates in `ca_file`; none where it is not given, `None` when something is wrong.
fn authorities(
    section: &Section<'_>,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> Option<Vec<CertificateDer<'static>>> {
    let Some(given) = section.given("ca_file") else { return Some(Vec::new()) };
    section.parse(&given, |text| {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let path = path_of(section, &given, PathBuf::from(text));
        // The path is not repeated: it may be a key, written into the wrong place.
        let pem = read_file(&path, FileContent::Authorities)
            .map_err(|error| format!("the file with the certificates cannot be read: {error}"))?;
        // Some editors put a byte order mark before the first line, which hides it.
        certificates(pem.trim_start_matches('\u{feff}').as_bytes())
    })
}

/// The certificates in `pem`. The message repeats nothing of it.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| "is not valid PEM".to_owned())?;
    if found.is_empty() {
        return Err("contains no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        roots
            .add(certificate.clone())
            .map_err(|_| format!("certificate {} in it is not valid", index + 1))?;
    }
    Ok(found)
}
