//! The `api` section, merged with flags and environment.

use std::io;
use std::path::Path;

use crate::base_url::BaseUrl;

use super::address::{address, tenant_url};
use super::credentials::{client, parse_given};
use super::mistake::{Notes, Origin, quote};
use super::outside::{Given, Level, Overrides};
use super::section::{Found, Section};
use super::{Api, Content, Dialect, ReportsApi, RowKind, authorities, platform};

/// Keys that only the dialect `reports` uses.
const REPORTS_KEYS: [&str; 2] = ["tenant", "rows"];

/// Keys that only the dialect `platform` uses.
const PLATFORM_KEYS: [&str; 5] =
    ["issuer", "version", "area", "access_key_id", "access_key_secret_file"];

/// The word in `dialect`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Reports,
    Platform,
}

/// Reads the section; `None` when something is wrong, which is then told. Also returns what the
/// rows are, as far as is known.
pub(super) fn read(
    section: &Section<'_>,
    overrides: &Overrides,
    folder: &Path,
    read_file: impl Fn(&Path, Content) -> io::Result<String>,
    notes: &mut Notes,
) -> (Option<Api>, RowKind) {
    let choices = [
        ("intervals", RowKind::Intervals),
        ("events", RowKind::Events),
        ("buckets", RowKind::Buckets),
    ];
    let rows = section.choice("rows", RowKind::Intervals, &choices, notes);
    let version = section.number("version", platform::DEFAULT_VERSION, platform::VERSIONS, notes);
    let file = from_file(section, notes);
    let levels = [&overrides.flags, &file, &overrides.environment];
    let given = levels.iter().find_map(|level| level.dialect.as_ref());
    let told = match given {
        None => Some(Word::Reports),
        Some(given) => parse_given(given, notes, |text| match &*text.to_ascii_lowercase() {
            "reports" => Ok(Word::Reports),
            "platform" => Ok(Word::Platform),
            _ => Err(format!("{} is none of `reports`, `platform`", quote(text))),
        }),
    };
    if let Some(told) = told {
        tell_unused_of(told, section, &overrides.flags, notes);
    }
    // Whatever was meant by a wrong word, the other keys show.
    let seems_platform = PLATFORM_KEYS.iter().any(|key| section.has(key));
    let read_secret = |path: &Path| read_file(path, Content::Secret);
    let read_pem = |path: &Path| read_file(path, Content::Authorities);
    let authorities = authorities::read(&levels, folder, read_pem, notes);
    let api_of = |dialect: Option<Dialect>, rows: Option<RowKind>| {
        told.and(dialect).zip(rows).zip(authorities).map(|((dialect, rows), authorities)| Api {
            dialect,
            rows,
            authorities,
        })
    };
    match told.unwrap_or(if seems_platform { Word::Platform } else { Word::Reports }) {
        Word::Reports => {
            let base_url = base_url(&levels, &section.at("tenant"), notes);
            let client = client(&levels, section, folder, read_secret, notes);
            let api = base_url
                .zip(client)
                .map(|(base_url, client)| Dialect::Reports(ReportsApi { base_url, client }));
            (api_of(api, rows), rows.unwrap_or_default())
        }
        Word::Platform => {
            let api = platform::read(section, &levels, version, folder, read_secret, notes)
                .map(|api| Dialect::Platform(Box::new(api)));
            (api_of(api, Some(RowKind::States)), RowKind::States)
        }
    }
}

fn tell_unused_of(dialect: Word, section: &Section<'_>, flags: &Level, notes: &mut Notes) {
    let (name, unused) = match dialect {
        Word::Reports => {
            section.refuse_unused(&PLATFORM_KEYS, "reports", notes);
            (
                "reports",
                vec![
                    &flags.issuer,
                    &flags.area,
                    &flags.access_key_id,
                    &flags.access_key_secret_file,
                ],
            )
        }
        Word::Platform => {
            section.refuse_unused(&REPORTS_KEYS, "platform", notes);
            ("platform", vec![&flags.tenant])
        }
    };
    for given in unused.into_iter().flatten() {
        notes.mistake(given.at.clone(), format!("is not used with `dialect: {name}`"));
    }
}

fn from_file(section: &Section<'_>, notes: &mut Notes) -> Level {
    let mut given = |key: &str| {
        let text = match section.text(key, notes) {
            Found::Absent => return None,
            Found::Wrong => None,
            Found::Text(text) => Some(text.to_owned()),
        };
        Some(Given { at: section.at(key), text })
    };
    let tenant = given("tenant");
    let base_url = given("base_url");
    let client_id = given("client_id");
    let mut client_secret_file = given("client_secret_file");
    if client_secret_file.is_none() && section.has("client_secret") {
        client_secret_file = Some(Given { at: section.at("client_secret"), text: None });
    }
    let dialect = given("dialect");
    let issuer = given("issuer");
    let area = given("area");
    let access_key_id = given("access_key_id");
    let mut access_key_secret_file = given("access_key_secret_file");
    if access_key_secret_file.is_none() && section.has("access_key_secret") {
        access_key_secret_file = Some(Given { at: section.at("access_key_secret"), text: None });
    }
    let ca_file = given("ca_file");
    Level {
        tenant,
        base_url,
        ca_file,
        client_id,
        client_secret_file,
        dialect,
        issuer,
        area,
        access_key_id,
        access_key_secret_file,
        ..Level::default()
    }
}

/// The address of the first source that gives a tenant or an address; there, the address replaces
/// the tenant.
fn base_url(levels: &[&Level; 3], missing: &Origin, notes: &mut Notes) -> Option<BaseUrl> {
    let Some(level) =
        levels.iter().find(|level| level.tenant.is_some() || level.base_url.is_some())
    else {
        let message = "is missing: write `tenant` or `base_url` under `api`, or give --api.tenant, --api.base-url, \
                       CXONE_TENANT or CXONE_BASE_URL";
        notes.mistake(missing.clone(), message);
        return None;
    };
    let from_tenant = level.tenant.as_ref().map(|tenant| tenant_url(tenant, notes));
    match &level.base_url {
        Some(given) => address(given, notes),
        None => from_tenant?,
    }
}
