//! States, and visits to them.

use std::sync::Arc;

use cxone_core::time::{Timestamp, Window};

use super::AgentProfile;
use crate::random::{hash, hash_text};

/// The state of an agent, in the terms of the Reporting API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentState {
    /// A shift begins.
    Login,
    /// Waits for a call on one or several skills.
    Ready,
    /// On an inbound call.
    InboundCall,
    /// On an outbound call.
    OutboundCall,
    /// After-call work.
    WrapUp,
    /// A short break.
    Break,
    /// The long break.
    Lunch,
    /// In a training.
    Training,
    /// A shift ended.
    Logout,
}

impl AgentState {
    /// Its name in the Reporting API.
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

    /// Its id in the Reporting API.
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

/// The position of a visit in its agent's history. Visits to one state on several skills at once
/// share theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitPosition {
    /// The shift, or the time after it: later ones have higher numbers.
    pub session: i64,
    /// The index within it, from 0.
    pub index: u32,
}

/// An agent's time in one state on one skill: `[start, end)`. Being ready on several skills is one
/// visit per skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who.
    pub agent: Arc<AgentProfile>,
    /// In which state.
    pub state: AgentState,
    /// On which skill.
    pub skill: Option<&'static str>,
    /// Its first millisecond.
    pub start: Timestamp,
    /// The first millisecond after it; the start, if it has no length.
    pub end: Timestamp,
    /// Where it is in the agent's history.
    pub position: VisitPosition,
}

impl Visit {
    /// Whether a part of it lies in `window`, or its start if it has no length.
    #[must_use]
    pub fn touches(&self, window: Window) -> bool {
        self.start < window.to && (self.end > window.from || self.start >= window.from)
    }

    /// A number that identifies it, for what follows from `seed`.
    pub(crate) fn key(&self, seed: u64) -> u64 {
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
