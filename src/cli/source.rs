//! Where the configuration comes from.

use std::path::PathBuf;

use clap::Args;

use super::{CheckArgs, TargetArgs};
use crate::config::{Config, ConfigErrors, ENVIRONMENT, Flags, Loaded, Source, TargetsNeeded};

/// The configuration: a file, flags, or both.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// The configuration file (YAML); without one, the flags below or their CXONE_… environment
    /// variables are enough
    #[arg(long = "config.file", value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The tenant's name: the API is at TENANT.api.cxone.com [env: CXONE_TENANT]
    #[arg(long = "api.tenant", value_name = "TENANT")]
    pub tenant: Option<String>,

    /// The API's address, instead of the one made from the tenant [env: CXONE_BASE_URL]
    #[arg(long = "api.base-url", value_name = "URL")]
    pub base_url: Option<String>,

    /// Certificates of authorities to trust beside those of the machine, in PEM [env:
    /// CXONE_CA_FILE]
    #[arg(long = "api.ca-file", value_name = "FILE")]
    pub ca_file: Option<String>,

    /// The OAuth client's id [env: CXONE_CLIENT_ID]
    #[arg(long = "api.client-id", value_name = "ID")]
    pub client_id: Option<String>,

    /// The file that holds the OAuth client's secret [env: CXONE_CLIENT_SECRET_FILE, or the secret
    /// itself in CXONE_CLIENT_SECRET]
    #[arg(long = "api.client-secret-file", value_name = "FILE")]
    pub client_secret_file: Option<String>,

    /// Which of CXone's APIs is spoken: reports or platform [env: CXONE_DIALECT]
    #[arg(long = "api.dialect", value_name = "DIALECT")]
    pub dialect: Option<String>,

    /// Platform: where tokens come from [env: CXONE_ISSUER]
    #[arg(long = "api.issuer", value_name = "URL")]
    pub issuer: Option<String>,

    /// Platform, without an OAuth client: the tenant's area, such as na1 [env: CXONE_AREA]
    #[arg(long = "api.area", value_name = "AREA")]
    pub area: Option<String>,

    /// Platform: the access key's id [env: CXONE_ACCESS_KEY_ID]
    #[arg(long = "api.access-key-id", value_name = "ID")]
    pub access_key_id: Option<String>,

    /// Platform: the file that holds the access key's secret [env: CXONE_ACCESS_KEY_SECRET_FILE, or
    /// the secret itself in CXONE_ACCESS_KEY_SECRET]
    #[arg(long = "api.access-key-secret-file", value_name = "FILE")]
    pub access_key_secret_file: Option<String>,
}

impl ConfigArgs {
    /// Reads the configuration that these flags, their file and the environment describe; also
    /// returns warnings, and how to read it again.
    ///
    /// # Errors
    /// Every mistake in it; the process then ends with [`EXIT_CONFIG`](super::EXIT_CONFIG).
    pub fn read(
        &self,
        targets: &TargetArgs,
        needed: TargetsNeeded,
    ) -> Result<Loaded, ConfigErrors> {
        let flags = Flags {
            tenant: self.tenant.clone(),
            base_url: self.base_url.clone(),
            ca_file: self.ca_file.clone(),
            client_id: self.client_id.clone(),
            client_secret_file: self.client_secret_file.clone(),
            dialect: self.dialect.clone(),
            issuer: self.issuer.clone(),
            area: self.area.clone(),
            access_key_id: self.access_key_id.clone(),
            access_key_secret_file: self.access_key_secret_file.clone(),
            users: targets.users.clone(),
        };
        Source::read(self.file.as_deref(), &flags, needed)
    }

    /// [`ConfigArgs::read`] for a configuration that is read once.
    ///
    /// # Errors
    /// As [`ConfigArgs::read`].
    pub fn load(
        &self,
        targets: &TargetArgs,
        needed: TargetsNeeded,
    ) -> Result<(Config, Vec<String>), ConfigErrors> {
        self.read(targets, needed).map(|(config, warnings, _)| (config, warnings))
    }
}

impl CheckArgs {
    /// Whether neither flags nor the environment say anything of CXone, so that there is no
    /// configuration to check.
    #[must_use]
    pub fn says_nothing_of_cxone(&self) -> bool {
        let given = &self.config;
        let reports = [
            &given.tenant,
            &given.base_url,
            &given.ca_file,
            &given.client_id,
            &given.client_secret_file,
        ];
        let platform = [
            &given.dialect,
            &given.issuer,
            &given.area,
            &given.access_key_id,
            &given.access_key_secret_file,
        ];
        let flags = self.live
            || given.file.is_some()
            || reports.iter().chain(&platform).any(|text| text.is_some())
            || !self.targets.users.is_empty();
        !flags
            && ENVIRONMENT
                .iter()
                .all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
    }
}
