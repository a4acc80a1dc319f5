//! What flags and environment variables say beside the file.

use std::ffi::OsString;

use secrecy::SecretString;

use super::mistake::{Mistake, Notes, Origin};

/// The environment variables that are read, each long form followed by its short one; an empty one
/// counts as not set.
pub const ENVIRONMENT: [&str; 25] = [
    "CXONE_API_TENANT",
    "CXONE_TENANT",
    "CXONE_API_BASE_URL",
    "CXONE_BASE_URL",
    "CXONE_API_CA_FILE",
    "CXONE_CA_FILE",
    "CXONE_API_CLIENT_ID",
    "CXONE_CLIENT_ID",
    "CXONE_API_CLIENT_SECRET_FILE",
    "CXONE_CLIENT_SECRET_FILE",
    "CXONE_API_CLIENT_SECRET",
    "CXONE_CLIENT_SECRET",
    "CXONE_API_DIALECT",
    "CXONE_DIALECT",
    "CXONE_API_ISSUER",
    "CXONE_ISSUER",
    "CXONE_API_AREA",
    "CXONE_AREA",
    "CXONE_API_ACCESS_KEY_ID",
    "CXONE_ACCESS_KEY_ID",
    "CXONE_API_ACCESS_KEY_SECRET_FILE",
    "CXONE_ACCESS_KEY_SECRET_FILE",
    "CXONE_API_ACCESS_KEY_SECRET",
    "CXONE_ACCESS_KEY_SECRET",
    "CXONE_TARGET_USER",
];

/// Values given as flags; `None` and empty where there was none.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--api.tenant`.
    pub tenant: Option<String>,
    /// `--api.base-url`.
    pub base_url: Option<String>,
    /// `--api.ca-file`, relative to the working directory.
    pub ca_file: Option<String>,
    /// `--api.client-id`.
    pub client_id: Option<String>,
    /// `--api.client-secret-file`, relative to the working directory.
    pub client_secret_file: Option<String>,
    /// `--api.dialect`.
    pub dialect: Option<String>,
    /// `--api.issuer`.
    pub issuer: Option<String>,
    /// `--api.area`.
    pub area: Option<String>,
    /// `--api.access-key-id`.
    pub access_key_id: Option<String>,
    /// `--api.access-key-secret-file`, relative to the working directory.
    pub access_key_secret_file: Option<String>,
    /// `--target.user`, each time that it was given; several with commas between them.
    pub users: Vec<String>,
}

/// All that is said beside the file. Flags win over the file, the file wins over the environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub(super) flags: Level,
    pub(super) environment: Level,
    pub(super) mistakes: Vec<Mistake>,
}

/// The values of one source; each knows where it was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) tenant: Option<Given>,
    pub(super) base_url: Option<Given>,
    pub(super) ca_file: Option<Given>,
    pub(super) client_id: Option<Given>,
    pub(super) client_secret_file: Option<Given>,
    /// The secret is `None` when it is wrong and that was told already.
    pub(super) client_secret: Option<(Origin, Option<SecretString>)>,
    pub(super) dialect: Option<Given>,
    pub(super) issuer: Option<Given>,
    pub(super) area: Option<Given>,
    pub(super) access_key_id: Option<Given>,
    pub(super) access_key_secret_file: Option<Given>,
    /// As `client_secret`.
    pub(super) access_key_secret: Option<(Origin, Option<SecretString>)>,
    pub(super) users: Vec<Given>,
}

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) at: Origin,
    /// `None` when it is wrong and that was told already.
    pub(super) text: Option<String>,
}

impl Overrides {
    /// `flags`, and the environment as `variable` tells it by name.
    #[must_use]
    pub fn new(flags: &Flags, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut notes = Notes::default();
        let environment = from_environment(variable, &mut notes);
        Self { flags: from_flags(flags), environment, mistakes: notes.mistakes }
    }
}

fn from_flags(flags: &Flags) -> Level {
    let given = |flag: &str, text: &String| Given { at: outside(flag), text: Some(text.clone()) };
    Level {
        tenant: flags.tenant.as_ref().map(|text| given("--api.tenant", text)),
        base_url: flags.base_url.as_ref().map(|text| given("--api.base-url", text)),
        ca_file: flags.ca_file.as_ref().map(|text| given("--api.ca-file", text)),
        client_id: flags.client_id.as_ref().map(|text| given("--api.client-id", text)),
        client_secret_file: flags
            .client_secret_file
            .as_ref()
            .map(|text| given("--api.client-secret-file", text)),
        client_secret: None,
        dialect: flags.dialect.as_ref().map(|text| given("--api.dialect", text)),
        issuer: flags.issuer.as_ref().map(|text| given("--api.issuer", text)),
        area: flags.area.as_ref().map(|text| given("--api.area", text)),
        access_key_id: flags.access_key_id.as_ref().map(|text| given("--api.access-key-id", text)),
        access_key_secret_file: flags
            .access_key_secret_file
            .as_ref()
            .map(|text| given("--api.access-key-secret-file", text)),
        access_key_secret: None,
        users: flags
            .users
            .iter()
            .flat_map(|text| each_user(given("--target.user", text)))
            .collect(),
    }
}

fn from_environment(variable: impl Fn(&str) -> Option<OsString>, notes: &mut Notes) -> Level {
    let mut given = |names: &[&str]| {
        let (name, value) = names.iter().find_map(|name| {
            variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value))
        })?;
        let at = outside(name);
        let text =
            value.into_string().map_err(|_| notes.mistake(at.clone(), "is not UTF-8 text")).ok();
        Some(Given { at, text })
    };
    let tenant = given(&["CXONE_API_TENANT", "CXONE_TENANT"]);
    let base_url = given(&["CXONE_API_BASE_URL", "CXONE_BASE_URL"]);
    let ca_file = given(&["CXONE_API_CA_FILE", "CXONE_CA_FILE"]);
    let client_id = given(&["CXONE_API_CLIENT_ID", "CXONE_CLIENT_ID"]);
    let client_secret_file = given(&["CXONE_API_CLIENT_SECRET_FILE", "CXONE_CLIENT_SECRET_FILE"]);
    let client_secret = given(&["CXONE_API_CLIENT_SECRET", "CXONE_CLIENT_SECRET"]);
    let dialect = given(&["CXONE_API_DIALECT", "CXONE_DIALECT"]);
    let issuer = given(&["CXONE_API_ISSUER", "CXONE_ISSUER"]);
    let area = given(&["CXONE_API_AREA", "CXONE_AREA"]);
    let access_key_id = given(&["CXONE_API_ACCESS_KEY_ID", "CXONE_ACCESS_KEY_ID"]);
    let access_key_secret_file =
        given(&["CXONE_API_ACCESS_KEY_SECRET_FILE", "CXONE_ACCESS_KEY_SECRET_FILE"]);
    let access_key_secret = given(&["CXONE_API_ACCESS_KEY_SECRET", "CXONE_ACCESS_KEY_SECRET"]);
    let users = given(&["CXONE_TARGET_USER"]);
    let secret =
        |given: Option<Given>| given.map(|Given { at, text }| (at, text.map(SecretString::from)));
    Level {
        tenant,
        base_url,
        ca_file,
        client_id,
        client_secret_file,
        client_secret: secret(client_secret),
        dialect,
        issuer,
        area,
        access_key_id,
        access_key_secret_file,
        access_key_secret: secret(access_key_secret),
        users: users.map(each_user).unwrap_or_default(),
    }
}

/// The users of a list with commas.
fn each_user(list: Given) -> Vec<Given> {
    let Given { at, text } = list;
    let Some(text) = text else {
        return vec![Given { at, text: None }];
    };
    let given = |user: &str| Given { at: at.clone(), text: Some(user.to_owned()) };
    let users: Vec<Given> =
        text.split(',').map(str::trim).filter(|user| !user.is_empty()).map(given).collect();
    // That it names nobody is a mistake, and not another source's turn.
    if users.is_empty() { vec![given("")] } else { users }
}

/// The place of a flag or variable.
pub(super) fn outside(name: &str) -> Origin {
    Origin { line: None, key: name.to_owned() }
}
