//! The tenant's unavailable codes: which of them are work after a contact, and when each logs an
//! agent out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::list::Element;

/// Where they are asked for. Source: NICE's developer documentation.
pub(crate) const PATH: &str = "/unavailable-codes";

/// The member with the codes.
pub(crate) const LIST: &str = "unavailableCodes";

/// More codes than any tenant has; those past it are left out.
pub(crate) const MOST: usize = 10_000;

/// One code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailableCode {
    /// Its name, which is the tenant's.
    pub name: String,
    /// Whether agents can choose it.
    pub is_active: bool,
    /// Whether it is work after a contact.
    pub is_acw: bool,
    /// When it logs an agent out: `agentTimeout`, in minutes.
    pub agent_timeout: Option<Duration>,
}

/// All codes by id, as the rows' `outStateId` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnavailableCodes(BTreeMap<String, UnavailableCode>);

impl UnavailableCodes {
    /// The code with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&UnavailableCode> {
        self.0.get(id)
    }

    /// Whether the code with this id is work after a contact.
    #[must_use]
    pub fn is_acw(&self, id: &str) -> bool {
        self.find(id).is_some_and(|code| code.is_acw)
    }

    /// Every code with its id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &UnavailableCode)> {
        self.0.iter().map(|(id, code)| (id.as_str(), code))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes in a row; one without an id is none, nor is one past [`MOST`].
    pub(crate) fn take(&mut self, row: Element<'_>) {
        let Some(row) = row.filter(|_| self.0.len() < MOST) else { return };
        let Some(id) = row.text("id").or_else(|| row.text("outStateId")) else { return };
        let minutes = row
            .whole("agentTimeout")
            .and_then(|minutes| u64::try_from(minutes).ok())
            .filter(|minutes| *minutes > 0);
        let code = UnavailableCode {
            name: row.text("name").unwrap_or_default().into_owned(),
            is_active: row.flag("isActive").unwrap_or(true),
            is_acw: row.flag("isACW").unwrap_or(false),
            agent_timeout: minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        };
        self.0.insert(id.trim().to_owned(), code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cxone::platform::object::JsonObject;

    #[test]
    fn codes_are_read_whatever_form_their_fields_have() {
        let mut codes = UnavailableCodes::default();
        for row in [
            r#"{"id":11,"name":"After call","isActive":true,"isACW":true,"agentTimeout":120}"#,
            r#"{"ID":"12","Name":"Break","IsActive":"False","IsAcw":"false","AgentTimeout":"30"}"#,
            r#"{"id":13,"name":null,"isACW":null,"agentTimeout":0}"#,
            r#"{"name":"nobody"}"#,
            "7",
        ] {
            codes.take(JsonObject::parse(row).unwrap());
        }
        assert_eq!(
            codes.iter().map(|(id, code)| (id, code.name.as_str())).collect::<Vec<_>>(),
            [("11", "After call"), ("12", "Break"), ("13", "")]
        );
        assert!(
            codes.is_acw("11") && !codes.is_acw("12") && !codes.is_acw("13") && !codes.is_acw("14")
        );
        assert_eq!(
            codes.find("12").map(|code| (code.is_active, code.agent_timeout)),
            Some((false, Some(Duration::from_secs(1800))))
        );
        assert_eq!(
            codes.find("13").map(|code| (code.is_active, code.agent_timeout)),
            Some((true, None))
        );
    }
}
