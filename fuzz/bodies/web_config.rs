//! The web configuration. The input: its text, and what is in every file that it names, cut at
//! 0xFF.

use cxone_exporter::config::ConfigText;
use cxone_exporter::config::web::WebConfig;

use super::config::message;
use super::parts;

pub(crate) fn check(data: &[u8]) {
    let mut parts = parts(data, 2);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let papers = parts.next().unwrap_or_default();
    let parsed = WebConfig::parse(ConfigText { name: "folder/web.yml", text: &text }, |_| {
        Ok(papers.to_vec())
    });
    match parsed {
        Ok((config, _)) => {
            assert!(
                config.users.values().all(|hash| hash.as_str().starts_with("$2")),
                "a hash by bcrypt"
            );
            assert!(config.auth_excluded_paths.iter().all(|path| path.starts_with('/')), "paths");
            assert!(
                config.rate_limit.is_none_or(|limit| !limit.interval.is_zero()),
                "no limit is none"
            );
            let shown = format!("{config:?}");
            assert!(
                config.users.values().all(|hash| !shown.contains(hash.as_str())),
                "no hash is shown"
            );
        }
        Err(errors) => {
            assert!(!errors.mistakes().is_empty(), "no is said with a reason");
            message(&errors.to_string());
        }
    }
}
