//! One agent's shifts, and the visits of a shift.

use std::sync::Arc;

use cxone_core::time::{Timestamp, Window};

use super::{AgentProfile, AgentState, FloorOptions, Visit, VisitPosition};
use crate::random::RandomStream;

/// The first agents share the whole day between them and have no days off.
pub(super) const ROUND_THE_CLOCK: u32 = 3;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The most days from one shift of an agent to the next: two days off between them.
const MAX_SHIFT_INTERVAL: i64 = 3;

/// From login to logout, in milliseconds since 1970.
#[derive(Clone, Copy)]
struct Shift {
    login: i64,
    logout: i64,
}

/// The visits of `agent` that touch `window`, sorted by start. Between shifts the agent is in
/// Logout if `has_logout_state`, else in no state.
pub(super) fn visits(
    options: FloorOptions,
    agent: &Arc<AgentProfile>,
    window: Window,
    has_logout_state: bool,
) -> Vec<Visit> {
    let (from, to) = (window.from.millis(), window.to.millis());
    let mut visits = Vec::new();
    for day in from.div_euclid(DAY) - MAX_SHIFT_INTERVAL - 1..=to.div_euclid(DAY) {
        let Some(shift) = shift(options, agent, day) else { continue };
        if shift.login >= to {
            break;
        }
        if shift.logout >= from {
            visits.extend(
                at_work(options, agent, day, shift)
                    .into_iter()
                    .filter(|visit| visit.touches(window)),
            );
        }
        let off_duty = Visit {
            agent: Arc::clone(agent),
            state: AgentState::Logout,
            skill: None,
            start: Timestamp::from_millis(shift.logout),
            end: Timestamp::from_millis(if has_logout_state {
                next_login(options, agent, day)
            } else {
                shift.logout
            }),
            position: VisitPosition { session: 2 * day + 1, index: 0 },
        };
        if off_duty.touches(window) {
            visits.push(off_duty);
        }
    }
    visits
}

/// The shift that begins on `day` (counted from 1970); `None` on a day off.
fn shift(options: FloorOptions, agent: &AgentProfile, day: i64) -> Option<Shift> {
    let index = i64::from(agent.index);
    let usual_start = if agent.index < ROUND_THE_CLOCK {
        index * 8 * HOUR
    } else {
        if (day + index).rem_euclid(7) < 2 {
            return None;
        }
        // Steps of the golden ratio spread any number of agents evenly over the day.
        index * 618_034 % 1_000_000 * DAY / 1_000_000
    };
    let mut random = stream(options, agent, day, 2);
    let login = day * DAY + usual_start + millis(random.between(0, 15 * 60_000));
    let logout = login + 8 * HOUR + 20 * MINUTE + millis(random.between(0, 40 * 60_000));
    Some(Shift { login, logout })
}

/// The login after the shift of `day`.
fn next_login(options: FloorOptions, agent: &AgentProfile, day: i64) -> i64 {
    (day + 1..=day + MAX_SHIFT_INTERVAL)
        .find_map(|later| shift(options, agent, later))
        .expect("nobody has more than two days off in a row")
        .login
}

/// The random numbers of `day` for `purpose`.
fn stream(options: FloorOptions, agent: &AgentProfile, day: i64, purpose: u64) -> RandomStream {
    RandomStream::new(options.seed, &[u64::from(agent.index), day.cast_unsigned(), purpose])
}

/// The visits from login to logout.
fn at_work(options: FloorOptions, agent: &Arc<AgentProfile>, day: i64, shift: Shift) -> Vec<Visit> {
    let mut work = ShiftBuilder {
        agent,
        random: stream(options, agent, day, 3),
        pace: u64::from(options.pace.get()),
        at: shift.login,
        logout: shift.logout,
        position: VisitPosition { session: 2 * day, index: 0 },
        visits: Vec::new(),
    };
    work.log_in();
    let mut next_break = work.break_after(shift.login);
    let mut breaks =
        [AgentState::Break, AgentState::Lunch, AgentState::Break, AgentState::Training]
            .into_iter()
            .cycle();
    while work.at < shift.logout {
        if work.at >= next_break {
            let state = breaks.next().expect("a cycle has no end");
            work.take_break(state);
            next_break = work.break_after(work.at);
        }
        work.take_a_call();
    }
    work.visits
}

/// A shift, visit by visit.
struct ShiftBuilder<'a> {
    agent: &'a Arc<AgentProfile>,
    random: RandomStream,
    pace: u64,
    at: i64,
    logout: i64,
    /// Of the next visit.
    position: VisitPosition,
    visits: Vec<Visit>,
}

impl ShiftBuilder<'_> {
    fn log_in(&mut self) {
        let length = if self.random.chance(700) { 0 } else { self.seconds(2, 9) };
        self.visit(AgentState::Login, &[None], length);
    }

    /// When the next break is due. An agent who never ends Wrap-up in time takes none.
    fn break_after(&mut self, moment: i64) -> i64 {
        if self.agent.forgets_per_mille == 1000 {
            i64::MAX
        } else {
            moment + self.seconds(80 * 60, 140 * 60)
        }
    }

    fn take_break(&mut self, state: AgentState) {
        let length = if state == AgentState::Break {
            self.seconds(8 * 60, 16 * 60)
        } else {
            self.seconds(25 * 60, 40 * 60)
        };
        self.visit(state, &[None], length);
    }

    /// Ready, a call, and what follows it.
    fn take_a_call(&mut self) {
        let forgetful = self.agent.forgets_per_mille == 1000;
        let skills: Vec<_> = self.agent.skills.iter().copied().map(Some).collect();
        let ready = if forgetful { self.seconds(5, 50) } else { self.seconds(5, 150) };
        // Ready twice in a row: two visits to the same state, back to back.
        let first = if self.random.chance(80) { ready / 2 } else { ready };
        for length in [first, ready - first].into_iter().filter(|&length| length > 0) {
            self.visit(AgentState::Ready, &skills, length);
        }
        let skill = self.random.pick(&skills);
        let call = if self.random.chance(850) {
            AgentState::InboundCall
        } else {
            AgentState::OutboundCall
        };
        let length = if forgetful { self.seconds(30, 120) } else { self.seconds(45, 600) };
        self.visit(call, &[skill], length);
        if self.random.chance(self.agent.forgets_per_mille) {
            // Two minutes of it keep their length, so a limit of one minute is exceeded at any
            // pace.
            let length = 2 * MINUTE + self.seconds(6 * 60, 20 * 60);
            self.visit(AgentState::WrapUp, &[skill], length);
        } else if self.random.chance(930) {
            let length = self.seconds(8, 110);
            self.visit(AgentState::WrapUp, &[skill], length);
        }
    }

    /// Between `low` and `high` seconds of a real agent, in milliseconds at this pace.
    fn seconds(&mut self, low: u64, high: u64) -> i64 {
        millis(self.random.between(low * 1000, high * 1000) / self.pace).max(1)
    }

    /// Adds a visit for each of `skills` and moves on by `length`, but not past the shift's end.
    fn visit(&mut self, state: AgentState, skills: &[Option<&'static str>], length: i64) {
        if self.at >= self.logout {
            return;
        }
        let end = self.at.saturating_add(length).min(self.logout);
        for &skill in skills {
            let (start, end) = (Timestamp::from_millis(self.at), Timestamp::from_millis(end));
            self.visits.push(Visit {
                agent: Arc::clone(self.agent),
                state,
                skill,
                start,
                end,
                position: self.position,
            });
        }
        self.position.index += 1;
        self.at = end;
    }
}

fn millis(span: u64) -> i64 {
    i64::try_from(span).expect("spans are far below 2^63 milliseconds")
}
