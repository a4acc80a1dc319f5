//! The floor as the platform's API tells it: its numbers and names, and its rows.
//!
//! Ids are numbers, Wrap-up is the state Unavailable with a code of its own, being available is on
//! no skill, and who does not work is logged out: see [`Floor::platform_visits`].

mod live;
mod past;
pub(super) mod wire;

use super::floor::{AgentProfile, AgentState, SKILLS};
pub(super) use live::{activities, live};
pub use past::{HistoryRows, UnknownHistoryRows};
pub(super) use past::{Past, past};
use wire::Code;

/// The tenant's id.
pub(super) const TENANT: &str = "11eb0d3f-8f7a-4a7c-9a51-0242ac110002";

/// The media type of calls.
pub(super) const PHONE: u32 = 4;

/// The codes of the state Unavailable: id, name, whether it is work after a call, after how many
/// minutes it logs the agent out, and whether it is in use.
const CODES: [(i64, &str, bool, u32, bool); 5] = [
    (701, "Break", false, 30, true),
    (702, "Lunch", false, 60, true),
    (703, "Training", false, 120, true),
    (704, "Follow-up", true, 90, true),
    (705, "Meeting", false, 120, false),
];

/// The codes, as the API tells them.
pub(super) fn codes() -> Vec<Code> {
    let code = |(id, name, is_acw, agent_timeout, is_active)| Code {
        id,
        name,
        is_active,
        is_acw,
        agent_timeout,
    };
    CODES.into_iter().map(code).collect()
}

impl AgentState {
    /// The id of it that the platform's API tells.
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

    /// The name that goes with [`AgentState::platform_id`].
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

    /// The state that it counts as: work after a call is `Wrap-up`, whatever its code is called.
    #[must_use]
    pub const fn platform_label(self) -> &'static str {
        if matches!(self, Self::WrapUp) { "Wrap-up" } else { self.platform_name() }
    }

    /// Id and name of the code that an agent in it is unavailable for.
    #[must_use]
    pub const fn unavailable_code(self) -> Option<(i64, &'static str)> {
        let (id, name, ..) = match self {
            Self::Break => CODES[0],
            Self::Lunch => CODES[1],
            Self::Training => CODES[2],
            Self::WrapUp => CODES[3],
            Self::Login | Self::Ready | Self::InboundCall | Self::OutboundCall | Self::Logout => {
                return None;
            }
        };
        Some((id, name))
    }
}

impl AgentProfile {
    /// The id that the platform's API tells.
    #[must_use]
    pub fn platform_id(&self) -> i64 {
        100_001 + i64::from(self.index)
    }

    /// The id of the team that the platform's API tells; its name is [`AgentProfile::team`].
    #[must_use]
    pub fn platform_team_id(&self) -> i64 {
        501 + i64::from(self.index % super::floor::TEAMS)
    }
}

/// The id of a skill.
pub(super) fn platform_skill_id(skill: &str) -> Option<i64> {
    let place = SKILLS.iter().position(|known| *known == skill)?;
    i64::try_from(place).ok().map(|place| 4001 + place)
}
