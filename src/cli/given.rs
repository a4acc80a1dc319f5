//! What a command line says of the configuration.

use super::{CheckArgs, ConfigArgs, TargetArgs};
use crate::config::{Config, ConfigErrors, ENVIRONMENT, Flags, TargetsNeeded, load};

impl CheckArgs {
    /// Whether neither flags nor the environment say anything of CXone, so that there is no configuration to check.
    #[must_use]
    pub fn says_nothing_of_cxone(&self) -> bool {
        let ConfigArgs { file, tenant, base_url, client_id, client_secret_file, .. } = &self.config;
        let ConfigArgs { dialect, issuer, area, access_key_id, access_key_secret_file, .. } = &self.config;
        let texts = [tenant, base_url, client_id, client_secret_file, dialect, issuer, area, access_key_id, access_key_secret_file];
        let flags = self.live || file.is_some() || texts.iter().any(|text| text.is_some()) || !self.targets.users.is_empty();
        !flags && ENVIRONMENT.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
    }
}

impl ConfigArgs {
    /// Reads the configuration that these flags, their file and the environment describe; also returns warnings.
    ///
    /// # Errors
    /// Every mistake in it; the process then ends with [`EXIT_CONFIG`].
    pub fn load(&self, targets: &TargetArgs, needed: TargetsNeeded) -> Result<(Config, Vec<String>), ConfigErrors> {
        let flags = Flags {
            tenant: self.tenant.clone(),
            base_url: self.base_url.clone(),
            client_id: self.client_id.clone(),
            client_secret_file: self.client_secret_file.clone(),
            dialect: self.dialect.clone(),
            issuer: self.issuer.clone(),
            area: self.area.clone(),
            access_key_id: self.access_key_id.clone(),
            access_key_secret_file: self.access_key_secret_file.clone(),
            users: targets.users.clone(),
        };
        load(self.file.as_deref(), &flags, needed)
    }
}
