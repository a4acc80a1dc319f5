//! Ids and names of the platform API.
//!
//! Ids are numbers, Wrap-up is the state Unavailable with a code of its own, Available is on no
//! skill, and an agent who does not work is logged out: see [`crate::Floor::platform_visits`].

use super::wire::WireUnavailableCode;
use crate::floor::{AgentProfile, AgentState, SKILLS, TEAMS};

/// The tenant's id.
pub(super) const TENANT: &str = "11eb0d3f-8f7a-4a7c-9a51-0242ac110002";

/// The media type of calls.
pub(super) const PHONE: u32 = 4;

/// The codes of the state Unavailable.
pub(super) const CODES: [WireUnavailableCode; 5] = [
    code(701, "Break", false, 30, true),
    code(702, "Lunch", false, 60, true),
    code(703, "Training", false, 120, true),
    code(704, "Follow-up", true, 90, true),
    code(705, "Meeting", false, 120, false),
];

const fn code(
    id: i64,
    name: &'static str,
    is_acw: bool,
    agent_timeout: u32,
    is_active: bool,
) -> WireUnavailableCode {
    WireUnavailableCode { id, name, is_active, is_acw, agent_timeout }
}

impl AgentState {
    /// Its id in the platform API.
    #[must_use]
    pub const fn platform_id(self) -> i64 {
        match self {
            Self::Logout => 0,
            Self::Ready => 1,
            Self::WrapUp | Self::Break | Self::Lunch | Self::Training => 2,
            Self::InboundCall => 3,
            Self::OutboundCall => 4,
            Self::Login => 8,
        }
    }

    /// Its name in the platform API.
    #[must_use]
    pub const fn platform_name(self) -> &'static str {
        match self {
            Self::Logout => "LoggedOut",
            Self::Ready => "Available",
            Self::WrapUp | Self::Break | Self::Lunch | Self::Training => "Unavailable",
            Self::InboundCall => "InboundContact",
            Self::OutboundCall => "OutboundContact",
            Self::Login => "LoggedIn",
        }
    }

    /// The state that it counts as: a code for after-call work is `Wrap-up`, whatever its name.
    #[must_use]
    pub const fn platform_label(self) -> &'static str {
        if matches!(self, Self::WrapUp) { "Wrap-up" } else { self.platform_name() }
    }

    /// Id and name of its unavailable code.
    #[must_use]
    pub const fn unavailable_code(self) -> Option<(i64, &'static str)> {
        let code = match self {
            Self::Break => CODES[0],
            Self::Lunch => CODES[1],
            Self::Training => CODES[2],
            Self::WrapUp => CODES[3],
            Self::Login | Self::Ready | Self::InboundCall | Self::OutboundCall | Self::Logout => {
                return None;
            }
        };
        Some((code.id, code.name))
    }
}

impl AgentProfile {
    /// Its id in the platform API.
    #[must_use]
    pub fn platform_id(&self) -> i64 {
        100_001 + i64::from(self.index)
    }

    /// Its team's id in the platform API; the team's name is [`AgentProfile::team`].
    #[must_use]
    pub fn platform_team_id(&self) -> i64 {
        501 + i64::from(self.index % TEAMS)
    }
}

pub(super) fn platform_skill_id(skill: &str) -> Option<i64> {
    let index = SKILLS.iter().position(|known| *known == skill)?;
    i64::try_from(index).ok().map(|index| 4001 + index)
}
