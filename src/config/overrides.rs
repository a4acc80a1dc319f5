//! Values from flags and environment variables.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::mistake::{Findings, Mistake, Origin};
use super::settings::{SETTINGS, Setting, variables_of};

/// The flag of agents to poll, and its variable.
pub(super) const USERS: (&str, &str) = ("--target.user", "CXONE_TARGET_USER");

/// Values given as flags.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
    users: Vec<String>,
}

impl Flags {
    /// The flags with one for the setting of this key, whose paths are relative to the working
    /// directory.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.values.insert(key, value.into());
        self
    }

    /// The flags with these values of `--target.user`, each of which may be several with commas
    /// between them.
    #[must_use]
    pub fn with_users(self, users: Vec<String>) -> Self {
        Self { users, ..self }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.users.is_empty()
    }
}

/// A source of values, the first takes precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueSource {
    Flags,
    File,
    Environment,
}

impl ValueSource {
    pub(super) const ALL: [Self; 3] = [Self::Flags, Self::File, Self::Environment];
}

/// A value and where it was given. It may be a secret.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) level: ValueSource,
    pub(super) at: Origin,
    /// `None` when it is wrong and that is a mistake already.
    pub(super) text: Option<String>,
}

/// The values that are given outside the file.
#[derive(Clone, Default)]
pub struct Overrides {
    flags: BTreeMap<&'static str, Given>,
    environment: BTreeMap<&'static str, Given>,
    pub(super) users_of_flags: Vec<Given>,
    pub(super) users_of_environment: Vec<Given>,
    pub(super) mistakes: Vec<Mistake>,
}

/// The environment variables that are read; the first of a pair takes precedence, and an empty one
/// counts as not set.
pub fn environment_variables() -> impl Iterator<Item = String> {
    let of_settings = SETTINGS.iter().flat_map(|setting| {
        [setting.variables(), setting.secret_variables()].into_iter().flatten().flatten()
    });
    of_settings.chain([USERS.1.to_owned()])
}

impl Overrides {
    /// The values of `flags`, and of the environment whose variables `variable` looks up.
    #[must_use]
    pub fn new(flags: &Flags, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut findings = Findings::default();
        let mut given = |names: &[&str]| {
            let (name, value) = names.iter().find_map(|name| {
                variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value))
            })?;
            let at = Origin::outside(name);
            let text = value.into_string().ok();
            if text.is_none() {
                findings.mistake(at.clone(), "is not UTF-8 text");
            }
            Some(Given { level: ValueSource::Environment, at, text })
        };
        let with_flag = SETTINGS.iter().filter(|setting| setting.flag.is_some());
        let environment = with_flag
            .flat_map(|setting| [Some(setting.key), setting.secret_key()].into_iter().flatten())
            .filter_map(|key| {
                let [long, short] = variables_of(key);
                Some((key, given(&[&long, &short])?))
            })
            .collect();
        let users_of_environment = given(&[USERS.1]).map(each_user).unwrap_or_default();
        let flag = |name: &str, text: &str| Given {
            level: ValueSource::Flags,
            at: Origin::outside(name),
            text: Some(text.to_owned()),
        };
        let flag_of = |setting: &Setting| {
            let text = flags.values.get(setting.key)?;
            Some((setting.key, flag(&format!("--{}", setting.flag?.0), text)))
        };
        let users = flags.users.iter().flat_map(|text| each_user(flag(USERS.0, text)));
        Self {
            flags: SETTINGS.iter().filter_map(flag_of).collect(),
            environment,
            users_of_flags: users.collect(),
            users_of_environment,
            mistakes: findings.mistakes,
        }
    }

    pub(super) fn get(&self, level: ValueSource, key: &str) -> Option<&Given> {
        match level {
            ValueSource::Flags => self.flags.get(key),
            ValueSource::Environment => self.environment.get(key),
            ValueSource::File => None,
        }
    }
}

/// The users of a list with commas.
fn each_user(list: Given) -> Vec<Given> {
    let Some(text) = &list.text else { return vec![list] };
    let given = |user: &str| Given { text: Some(user.to_owned()), ..list.clone() };
    let users: Vec<Given> =
        text.split(',').map(str::trim).filter(|user| !user.is_empty()).map(given).collect();
    // That it names nobody is a mistake, and not another source's turn.
    if users.is_empty() { vec![given("")] } else { users }
}
