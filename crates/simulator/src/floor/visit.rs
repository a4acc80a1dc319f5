//! An agent's stay in one state.

use std::sync::Arc;

use cxone_core::time::{Timestamp, Window};

use super::super::random::{hash, hash_text};
use super::AgentProfile;

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentState {
    /// A shift begins.
    Login,
    /// Waits for a call, on one or several skills.
    Ready,
    /// Was called.
    InboundCall,
    /// Calls.
    OutboundCall,
    /// Writes up the last call.
    WrapUp,
    /// A short pause.
    Break,
    /// The long pause.
    Lunch,
    /// Learns.
    Training,
    /// A shift ended.
    Logout,
}

impl AgentState {
    /// The name that the API tells.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "Login",
            Self::Ready => "Ready",
            Self::InboundCall => "Inbound Call",
            Self::OutboundCall => "Outbound Call",
            Self::WrapUp => "Wrap-up",
            Self::Break => "Break",
            Self::Lunch => "Lunch",
            Self::Training => "Training",
            Self::Logout => "Logout",
        }
    }

    /// The id that the API tells.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Login => "state-login-001",
            Self::Ready => "state-ready-001",
            Self::InboundCall => "state-inbound-001",
            Self::OutboundCall => "state-outbound-001",
            Self::WrapUp => "state-wrap-001",
            Self::Break => "state-break-001",
            Self::Lunch => "state-break-002",
            Self::Training => "state-training-001",
            Self::Logout => "state-logout-001",
        }
    }
}

/// Which of an agent's stays it is. To be in one state on several skills at once is one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitPosition {
    /// The shift, or the rest after it: later ones have higher numbers.
    pub session: i64,
    /// The place within it, from 0.
    pub index: u32,
}

/// An agent's stay in one state, on one skill: `[start, end)`. Being ready on several skills at
/// once is one visit a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who.
    pub agent: Arc<AgentProfile>,
    /// In which state.
    pub state: AgentState,
    /// On which skill.
    pub skill: Option<&'static str>,
    /// The first millisecond of it.
    pub start: Timestamp,
    /// The first millisecond after it; the start, for a visit of no length.
    pub end: Timestamp,
    /// Which of the agent's stays it belongs to.
    pub position: VisitPosition,
}

impl Visit {
    /// Whether a part of it lies in `window`, or its start when it has no length.
    #[must_use]
    pub fn touches(&self, window: Window) -> bool {
        self.start < window.to && (self.end > window.from || self.start >= window.from)
    }

    /// A number that tells it from all other visits, for what follows from `seed`.
    pub(in super::super) fn key(&self, seed: u64) -> u64 {
        let skill = self.skill.map_or(0, hash_text);
        hash(
            seed,
            &[
                u64::from(self.agent.index),
                hash_text(self.state.name()),
                skill,
                self.start.millis().cast_unsigned(),
            ],
        )
    }
}
