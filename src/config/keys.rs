//! The table of keys, and advice about keys that are not in it.

use super::mistake::quote;

/// Every key of the configuration file that holds a value. `[]` stands for each item of a list;
/// `states.limits` is a map whose keys are the states. What is not here is an unknown key.
pub const KEYS: [&str; 35] = [
    "api.dialect",
    "api.tenant",
    "api.base_url",
    "api.ca_file",
    "api.client_id",
    "api.client_secret_file",
    "api.rows",
    "api.issuer",
    "api.version",
    "api.area",
    "api.access_key_id",
    "api.access_key_secret_file",
    "targets[].user",
    "targets[].filter.type",
    "targets[].filter.id",
    "targets[].name",
    "poll.interval",
    "poll.lookback",
    "poll.overlap",
    "poll.settle_delay",
    "poll.retention",
    "poll.live_interval",
    "jobs.poll_every",
    "jobs.timeout",
    "quota.report_jobs_per_minute",
    "quota.reserve",
    "quota.requests_per_minute",
    "states.wrap_up",
    "states.limits",
    "metrics.detail",
    "metrics.max_series",
    "metrics.agent_info",
    "metrics.agent_ids",
    "metrics.hmac_key_file",
    "metrics.max_staleness",
];

/// Keys that are wrong for a reason worth telling.
const ADVICE: [(&str, &str); 3] = [
    (
        "api.client_secret",
        "a secret does not belong into the configuration: write it into a file of its own and name that file in `client_secret_file`, \
         or put it into the environment variable CXONE_CLIENT_SECRET",
    ),
    (
        "api.access_key_secret",
        "a secret does not belong into the configuration: write it into a file of its own and name that file in \
         `access_key_secret_file`, or put it into the environment variable CXONE_ACCESS_KEY_SECRET",
    ),
    ("targets[].team", "is not a key: write `filter: {type: team, id: …}`"),
];

/// Longer keys are not compared with known ones.
const MAX_COMPARED: usize = 40;

/// The keys of one kind of file.
#[derive(Debug)]
pub(super) struct Table {
    /// Every key that holds a value.
    pub(super) keys: &'static [&'static str],
    /// Keys that are wrong for a reason worth telling.
    pub(super) advice: &'static [(&'static str, &'static str)],
    /// Whether a key without a value means its default, as Go's YAML reader has it; else it is a
    /// mistake.
    pub(super) nothing_is_the_default: bool,
}

/// The keys of the configuration file.
pub(super) static MAIN: Table =
    Table { keys: &KEYS, advice: &ADVICE, nothing_is_the_default: false };

/// The names that may stand under `section` (`poll`, `targets[].filter`, empty for the top).
pub(super) fn children(table: &Table, section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in table.keys.iter().copied() {
        let rest = if section.is_empty() {
            Some(key)
        } else {
            key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(rest) = rest {
            let name = rest.split(['.', '[']).next().unwrap_or(rest);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// What to say of the unknown key `name` under `section`.
pub(super) fn unknown(table: &Table, section: &str, name: &str) -> String {
    let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    if let Some((_, advice)) = table.advice.iter().find(|(key, _)| *key == full) {
        return (*advice).to_owned();
    }
    let known = children(table, section);
    if name.len() <= MAX_COMPARED {
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), known), known))
            .min();
        if let Some((distance, near)) = near
            && distance <= (name.chars().count() / 3).max(1)
        {
            return format!("unknown key; did you mean {}?", quote(near));
        }
        let elsewhere = table.keys.iter().find(|key| key.rsplit('.').next() == Some(name));
        if let Some(elsewhere) = elsewhere {
            return format!("unknown key; did you mean {}?", quote(elsewhere));
        }
    }
    let known: Vec<String> = known.iter().map(|known| quote(known)).collect();
    format!("unknown key; known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_a_section_are_those_of_the_table() {
        assert_eq!(
            children(&MAIN, ""),
            ["api", "targets", "poll", "jobs", "quota", "states", "metrics"]
        );
        assert_eq!(children(&MAIN, "targets[]"), ["user", "filter", "name"]);
        assert_eq!(children(&MAIN, "targets[].filter"), ["type", "id"]);
        assert_eq!(
            children(&MAIN, "poll"),
            ["interval", "lookback", "overlap", "settle_delay", "retention", "live_interval"]
        );
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        assert_eq!(unknown(&MAIN, "poll", "overlpa"), "unknown key; did you mean `overlap`?");
        assert_eq!(
            unknown(&MAIN, "poll", "settleDelay"),
            "unknown key; did you mean `settle_delay`?"
        );
        assert_eq!(unknown(&MAIN, "", "interval"), "unknown key; did you mean `poll.interval`?");
        let known =
            "unknown key; known here: `report_jobs_per_minute`, `reserve`, `requests_per_minute`";
        assert_eq!(unknown(&MAIN, "quota", "xyzzy"), known);
    }
}
