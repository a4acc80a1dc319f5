//! Who is where now, and what that makes of the skills.

use std::time::Duration;

use cxone_core::time::{Timestamp, Window};

use super::super::floor::{AgentProfile, AgentState, Floor, SKILLS, Visit};
use super::super::random::hash;
use super::wire::{Activity, LiveRow, Person};
use super::{PHONE, platform_skill_id};

/// Longer than any shift: so far back lies the begin of a session.
const SESSION: Duration = Duration::from_hours(10);

/// A skill's queue is another one after this time.
const QUEUE: i64 = 15_000;

/// An agent's row, and since when it is so.
pub(in super::super) struct Live<'a> {
    pub(in super::super) since: Timestamp,
    pub(in super::super) row: LiveRow<'a>,
}

/// Where the agent at `index` is at `now`.
pub(in super::super) fn live<'a>(
    floor: &Floor,
    index: usize,
    agent: &'a AgentProfile,
    now: Timestamp,
) -> Option<Live<'a>> {
    let (stay, session_start) = stay(floor, index, now)?;
    let on_phone = matches!(stay.state, AgentState::InboundCall | AgentState::OutboundCall);
    let with_contact = on_phone || stay.state == AgentState::WrapUp;
    let code = stay.state.unavailable_code();
    let row = LiveRow {
        agent_id: agent.platform_id(),
        agent_state_id: stay.state.platform_id(),
        agent_state_name: stay.state.platform_name(),
        is_acw: stay.state == AgentState::WrapUp,
        is_active: true,
        is_outbound: stay.state == AgentState::OutboundCall,
        contact_id: with_contact.then(|| contact(&stay)),
        open_contacts: u32::from(on_phone),
        out_state_id: code.map(|(id, _)| id),
        out_state_description: code.map(|(_, name)| name),
        start_date: stay.start.to_string(),
        session_start_time: session_start.to_string(),
        last_update_time: stay.start.to_string(),
        skill_id: stay.skill.and_then(platform_skill_id),
        skill_name: stay.skill,
        team_id: agent.platform_team_id(),
        team_name: &agent.team,
        media_type_id: with_contact.then_some(PHONE),
        media_type_name: with_contact.then_some("Phone Call"),
        user_name: user_name(agent),
        first_name: FIRST_NAME,
        last_name: last_name(agent),
    };
    Some(Live { since: stay.start, row })
}

/// The stay that holds `now`, and when its session began.
fn stay(floor: &Floor, index: usize, now: Timestamp) -> Option<(Visit, Timestamp)> {
    let stays = floor.platform_visits(
        index,
        Window { from: now.minus(SESSION), to: now.plus(Duration::from_millis(1)) },
    );
    let stay = stays.iter().find(|stay| stay.end > now)?.clone();
    let session = stays.iter().find(|first| first.position.session == stay.position.session)?;
    Some((stay, session.start))
}

/// The id of the contact that a stay is about.
pub(super) fn contact(stay: &Visit) -> i64 {
    let number = hash(
        u64::from(stay.agent.index),
        &[stay.position.session.cast_unsigned(), u64::from(stay.position.index)],
    );
    i64::try_from(number % 1_000_000_000_000).expect("below 10^12")
}

const FIRST_NAME: &str = "Agent";

fn last_name(agent: &AgentProfile) -> String {
    format!("{:03}", agent.index + 1)
}

fn user_name(agent: &AgentProfile) -> String {
    format!("agent.{:03}@example.com", agent.index + 1)
}

impl<'a> Person<'a> {
    /// Who `agent` is.
    pub(in super::super) fn new(agent: &'a AgentProfile) -> Self {
        Self {
            agent_id: agent.platform_id(),
            user_id: &agent.id,
            user_name: user_name(agent),
            first_name: FIRST_NAME,
            last_name: last_name(agent),
            email_address: user_name(agent),
            team_id: agent.platform_team_id(),
            team_name: &agent.team,
            is_active: true,
        }
    }
}

/// What goes on in each skill at `now`, as far as `shown` agents take part.
pub(in super::super) fn activities(
    floor: &Floor,
    now: Timestamp,
    shown: &dyn Fn(&AgentProfile) -> bool,
) -> Vec<Activity> {
    let agents = floor.agents().enumerate().filter(|(_, agent)| shown(agent));
    let stays: Vec<Visit> =
        agents.filter_map(|(index, _)| stay(floor, index, now)).map(|(stay, _)| stay).collect();
    SKILLS.into_iter().map(|skill| activity(floor, now, skill, &stays)).collect()
}

fn activity(floor: &Floor, now: Timestamp, skill: &'static str, stays: &[Visit]) -> Activity {
    let of = |states: &[AgentState]| {
        let here = stays
            .iter()
            .filter(|stay| states.contains(&stay.state) && stay.agent.skills.contains(&skill));
        u32::try_from(here.filter(|stay| stay.skill.is_none_or(|on| on == skill)).count())
            .unwrap_or(u32::MAX)
    };
    let (acw, available, working) = (
        of(&[AgentState::WrapUp]),
        of(&[AgentState::Ready]),
        of(&[AgentState::InboundCall, AgentState::OutboundCall]),
    );
    let away = of(&[AgentState::Break, AgentState::Lunch, AgentState::Training]);
    let id = platform_skill_id(skill);
    let chance = hash(
        floor.options().seed,
        &[id.unwrap_or_default().cast_unsigned(), now.millis().div_euclid(QUEUE).cast_unsigned()],
    );
    let (queue, in_sla, out_sla) = (chance % 7, chance % 191, chance % 23);
    Activity {
        server_time: now.to_string(),
        skill_id: id,
        skill_name: skill,
        agents_acw: acw,
        agents_available: available,
        agents_idle: available,
        agents_logged_in: acw + available + working + away + of(&[AgentState::Login]),
        agents_unavailable: away,
        agents_working: working,
        queue_count: queue,
        earliest_queue_time: (queue > 0)
            .then(|| now.minus(Duration::from_secs(chance % 240)).to_string()),
        in_sla,
        out_sla,
        service_level: (100 * in_sla).checked_div(in_sla + out_sla).unwrap_or(100),
        service_level_goal: 80,
        is_active: true,
        is_outbound: false,
        media_type_id: PHONE,
    }
}
