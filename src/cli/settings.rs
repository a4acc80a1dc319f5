//! The configuration's flags, made of the table of settings.

use std::path::PathBuf;

use clap::{Arg, ArgGroup, ArgMatches, Args, Command, FromArgMatches};

use super::CheckArgs;
use crate::config::{Flags, SETTINGS, Setting, environment_variables};

/// The configuration: a file, flags, or both.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// Configuration file (YAML); the flags below or environment variables are enough without one
    #[arg(long = "config.file", value_name = "FILE")]
    pub file: Option<PathBuf>,

    #[command(flatten)]
    settings: SettingArgs,
}

/// Agents to poll.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct TargetArgs {
    /// Agent to poll, instead of the targets of the file; repeatable, or several with commas between
    /// them [env: CXONE_TARGET_USER]
    #[arg(long = "target.user", value_name = "ID")]
    pub users: Vec<String>,
}

impl ConfigArgs {
    /// The values given as flags.
    #[must_use]
    pub fn flags(&self, targets: &TargetArgs) -> Flags {
        self.settings.0.clone().with_users(targets.users.clone())
    }
}

impl CheckArgs {
    /// Whether neither flags nor the environment configure anything of CXone, so that there is no
    /// configuration to check.
    #[must_use]
    pub fn has_no_configuration(&self) -> bool {
        let is_set = |name: &String| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        !self.live
            && self.config.file.is_none()
            && self.config.flags(&self.targets).is_empty()
            && !environment_variables().any(|name| is_set(&name))
    }
}

/// The settings that have flags.
#[derive(Clone, Debug, Default)]
struct SettingArgs(Flags);

impl SettingArgs {
    /// The group of all of them.
    const GROUP: &str = "settings";

    fn arg(setting: &Setting) -> Option<Arg> {
        let ((flag, value_name), [_, variable]) = (setting.flag?, setting.variables()?);
        let only = setting.dialect.map(|dialect| format!(" (dialect {})", dialect.as_str()));
        let variables = match setting.secret_variables() {
            None => variable,
            Some([_, secret]) => format!("{variable}, or the secret itself in {secret}"),
        };
        let help = format!("{}{} [env: {variables}]", setting.help, only.unwrap_or_default());
        Some(Arg::new(setting.key).long(flag).value_name(value_name).help(help))
    }
}

impl Args for SettingArgs {
    fn group_id() -> Option<clap::Id> {
        Some(Self::GROUP.into())
    }

    fn augment_args(command: Command) -> Command {
        let args: Vec<Arg> = SETTINGS.iter().filter_map(Self::arg).collect();
        let group = ArgGroup::new(Self::GROUP).multiple(true).args(args.iter().map(Arg::get_id));
        command.args(&args).group(group)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        for Setting { key, .. } in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            if let Some(value) = matches.get_one::<String>(key) {
                flags = flags.with(key, value);
            }
        }
        Ok(Self(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
