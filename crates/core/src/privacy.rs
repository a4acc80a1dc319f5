//! How agents are identified: by CXone's id or a keyed hash; with their names, or without.

use std::borrow::Cow;
use std::fmt;

use ring::hmac;

use crate::names::label_value;
use crate::report::{Report, ReportFilter};

/// Bytes of the hash that an id becomes: 128 bits, so that no two agents of any contact centre
/// share one.
const ID_BYTES: usize = 16;

/// What [`AgentIds::fingerprint`] hashes. No agent has this id: label values hold no such
/// character.
const FINGERPRINT_OF: &[u8] = b"\0fingerprint";

/// How agents are identified in metrics, in the store and in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AgentIds {
    /// By CXone's id.
    #[default]
    Raw,
    /// By its HMAC-SHA-256 with this key, in 32 hex digits: the same in every process that has the
    /// key.
    Hmac(IdKey),
}

/// The key of the hashes. With it, a pseudonym can be traced to one of the known ids.
#[derive(Clone)]
pub struct IdKey(hmac::Key);

impl IdKey {
    /// Minimum length of a key, in bytes: shorter ones can be guessed.
    pub const MIN_BYTES: usize = 16;

    /// The key made of `secret`; `None` when that is shorter than [`IdKey::MIN_BYTES`].
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= Self::MIN_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    fn digits(&self, text: &[u8]) -> String {
        let hash = hmac::sign(&self.0, text);
        hash.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Keys are equal when their hashes are.
impl PartialEq for IdKey {
    fn eq(&self, other: &Self) -> bool {
        self.digits(FINGERPRINT_OF) == other.digits(FINGERPRINT_OF)
    }
}

impl Eq for IdKey {}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(***)")
    }
}

impl AgentIds {
    /// The id under which the agent with CXone's `id` appears.
    #[must_use]
    pub fn of<'a>(&self, id: &'a str) -> Cow<'a, str> {
        let id = label_value(id);
        match self {
            Self::Raw => id,
            Self::Hmac(key) => key.digits(id.as_bytes()).into(),
        }
    }

    /// Whether agents appear under CXone's ids.
    #[must_use]
    pub const fn are_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    /// A filter as it appears: the id of one for a single agent is pseudonymised too.
    #[must_use]
    pub fn of_filter(&self, filter: &ReportFilter) -> ReportFilter {
        let id = filter.agent().map_or_else(|| filter.id.as_str().into(), |agent| self.of(agent));
        ReportFilter { kind: filter.kind.clone(), id: id.into_owned() }
    }

    /// Identifies the key without revealing it; `None` for [`AgentIds::Raw`].
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Raw => None,
            Self::Hmac(key) => Some(key.digits(FINGERPRINT_OF)),
        }
    }

    /// The agents' ids among `filters` that must not appear anywhere.
    pub fn hidden<'a>(&self, filters: impl Iterator<Item = &'a ReportFilter>) -> Vec<&'a str> {
        match self {
            Self::Raw => Vec::new(),
            Self::Hmac(_) => filters.filter_map(ReportFilter::agent).collect(),
        }
    }
}

/// What is stored and shown of agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// How they are identified.
    pub ids: AgentIds,
    /// Whether their names are stored.
    pub names: bool,
}

impl Privacy {
    /// The report without what must not be stored.
    #[must_use]
    pub fn pseudonymise(&self, report: Report) -> Report {
        let report = if self.names { report } else { report.without_display_names() };
        match self.ids {
            AgentIds::Raw => report,
            AgentIds::Hmac(_) => report.with_agents(|id| self.ids.of(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RawRow;
    use crate::time::Timestamp;

    fn hmac() -> AgentIds {
        AgentIds::Hmac(IdKey::new(b"0123456789abcdef").expect("long enough"))
    }

    fn report() -> Report {
        let mut report = Report::default();
        for (agent, state) in [("user-1", "Ready"), ("user-2", "user-1"), ("user-1", "Lunch")] {
            report.push(&RawRow {
                user_id: agent.into(),
                user_name: "Ada".into(),
                state_name: state.into(),
                count: 1,
                from: Timestamp::from_millis(5),
                to: None,
                ..RawRow::default()
            });
        }
        report
    }

    /// RFC 4231 has no case with this key; `printf user-1 | openssl dgst -sha256 -hmac
    /// 0123456789abcdef` says the same.
    #[test]
    fn an_id_becomes_the_beginning_of_its_hmac() {
        assert_eq!(hmac().of("user-1"), "9671a70114c638eedd26dab7f09610ba");
        assert_ne!(hmac().of("user-1"), hmac().of("user-2"));
        let other = AgentIds::Hmac(IdKey::new(b"another key of ours").expect("long enough"));
        assert_ne!(hmac().of("user-1"), other.of("user-1"));
        assert_ne!(hmac().fingerprint(), other.fingerprint());
        assert_ne!(hmac(), other);
        assert_eq!(AgentIds::Raw.of("user-1"), "user-1");
    }

    #[test]
    fn a_short_key_is_none_and_no_key_is_printed() {
        assert_eq!(IdKey::new(b"0123456789abcde"), None);
        assert_eq!(format!("{:?}", hmac()), "Hmac(IdKey(***))");
    }

    #[test]
    fn agents_of_a_report_are_hashed_and_nothing_else() {
        let original = report();
        let hashed = Privacy { ids: hmac(), names: false }.pseudonymise(original.clone());
        assert!(hashed.display_names().is_empty());
        for (row, original_row) in hashed.rows().iter().zip(original.rows().iter()) {
            let agent = original.names().value(original_row.agent);
            assert_eq!(&**hashed.names().value(row.agent), hmac().of(agent));
            assert_eq!(hashed.names().value(row.state), original.names().value(original_row.state));
            assert_eq!(
                (row.from, row.to, row.count),
                (original_row.from, original_row.to, original_row.count)
            );
        }
    }

    #[test]
    fn names_stay_only_where_they_are_wanted() {
        let named = Privacy { ids: AgentIds::Raw, names: true }.pseudonymise(report());
        assert_eq!(named.display_names(), report().display_names());
        assert!(Privacy::default().pseudonymise(report()).display_names().is_empty());
    }

    #[test]
    fn only_filters_for_one_agent_are_hashed() {
        let filter =
            |kind: &str, id: &str| ReportFilter { kind: kind.to_owned(), id: id.to_owned() };
        let (user, team) = (filter("user", "user-1"), filter("team", "user-1"));
        assert_eq!(hmac().of_filter(&team), team);
        assert_eq!(hmac().of_filter(&user).id, hmac().of("user-1"));
        assert_eq!(hmac().hidden([&user, &team].into_iter()), ["user-1"]);
        assert!(AgentIds::Raw.hidden([&user].into_iter()).is_empty());
    }
}
