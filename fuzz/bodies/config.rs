//! The configuration. The input: its text.

use std::collections::HashSet;
use std::time::Duration;

use cxone_exporter::config::{Config, ConfigText, Detail, Overrides, RowKind, TargetsNeeded};

/// More than all reported errors need.
pub(crate) const LONGEST_MESSAGE: usize = 200_000;

pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let file = ConfigText { name: "folder/cxone-exporter.yml", text: &text };
    let parse = |needed| {
        Config::parse(Some(file), &Overrides::default(), needed, |_, _| {
            Ok("secret-from-a-file".to_owned())
        })
    };
    let strict = parse(TargetsNeeded::Yes);
    match &strict {
        Ok((config, _)) => {
            assert!(
                parse(TargetsNeeded::No).is_ok(),
                "what will do where targets are needed, will do where they are not"
            );
            sensible(config);
            assert!(!config.targets.is_empty());
            let shown = format!("{config:?}");
            assert!(!shown.contains("secret-from-a-file"), "{shown}");
        }
        Err(errors) => {
            assert!(!errors.mistakes().is_empty(), "no is said with a reason");
            message(&errors.to_string());
        }
    }
}

/// The promises about every valid configuration.
fn sensible(config: &Config) {
    let seconds = Duration::from_secs;
    let (poll, jobs, quota) = (&config.poll, &config.jobs, &config.quota);
    assert!(
        poll.interval >= seconds(1)
            && (seconds(60)..=seconds(30 * 86_400)).contains(&poll.lookback)
            && poll.retention >= poll.lookback
    );
    if config.api.rows == RowKind::Buckets {
        assert_eq!(poll.overlap, Duration::ZERO);
    } else {
        assert!(poll.overlap >= seconds(1) && poll.overlap < poll.lookback);
    }
    assert!(
        (Duration::from_millis(100)..=seconds(60)).contains(&jobs.poll_every)
            && jobs.timeout >= jobs.poll_every
    );
    assert!(
        (1..=60_000).contains(&quota.requests_per_minute)
            && (1..=60_000).contains(&quota.report_jobs_per_minute)
    );
    assert!(quota.reserve < quota.report_jobs_per_minute);
    assert!(config.metrics.max_series >= 1);
    assert!(matches!(
        config.metrics.detail,
        Detail::AgentSkill | Detail::Agent | Detail::Aggregate
    ));
    let names: HashSet<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
    assert!(
        names.len() == config.targets.len()
            && names.iter().all(|name| !name.is_empty() && name.len() <= 256)
    );
    let filters: HashSet<_> = config.targets.iter().map(|target| &target.filter).collect();
    assert_eq!(filters.len(), config.targets.len());
}

/// A message is bounded and has no control characters.
pub(crate) fn message(text: &str) {
    assert!(!text.is_empty() && text.len() < LONGEST_MESSAGE, "{} bytes", text.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}
