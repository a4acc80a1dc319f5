//! Current states, and the activity of the skills that follows from them.

use std::time::Duration;

use cxone_core::time::{Timestamp, Window};

use super::names::{PHONE, platform_skill_id};
use super::wire::{AgentRow, AgentStateRow, SkillActivityRow};
use crate::floor::{AgentProfile, AgentState, Floor, SKILLS, Visit};
use crate::random::hash;

/// Longer than any shift: how far back a session may have begun.
const MAX_SESSION: Duration = Duration::from_hours(10);

/// A skill's queue changes after this many milliseconds.
const QUEUE_CHANGES: i64 = 15_000;

/// The row of the agent at `index` at `now`, and since when it has been so.
pub(super) fn live_state<'a>(
    floor: &Floor,
    index: usize,
    agent: &'a AgentProfile,
    now: Timestamp,
) -> Option<(Timestamp, AgentStateRow<'a>)> {
    let (visit, session_start) = current_visit(floor, index, now)?;
    let on_phone = matches!(visit.state, AgentState::InboundCall | AgentState::OutboundCall);
    let with_contact = on_phone || visit.state == AgentState::WrapUp;
    let code = visit.state.unavailable_code();
    let row = AgentStateRow {
        agent_id: agent.platform_id(),
        agent_state_id: visit.state.platform_id(),
        agent_state_name: visit.state.platform_name(),
        is_acw: visit.state == AgentState::WrapUp,
        is_active: true,
        is_outbound: visit.state == AgentState::OutboundCall,
        contact_id: with_contact.then(|| contact_id(&visit)),
        open_contacts: u32::from(on_phone),
        out_state_id: code.map(|(id, _)| id),
        out_state_description: code.map(|(_, name)| name),
        start_date: visit.start.to_string(),
        session_start_time: session_start.to_string(),
        last_update_time: visit.start.to_string(),
        skill_id: visit.skill.and_then(platform_skill_id),
        skill_name: visit.skill,
        team_id: agent.platform_team_id(),
        team_name: &agent.team,
        media_type_id: with_contact.then_some(PHONE),
        media_type_name: with_contact.then_some("Phone Call"),
        user_name: user_name(agent),
        first_name: FIRST_NAME,
        last_name: last_name(agent),
    };
    Some((visit.start, row))
}

/// The visit that contains `now`, and when its session began.
fn current_visit(floor: &Floor, index: usize, now: Timestamp) -> Option<(Visit, Timestamp)> {
    let window = Window { from: now.minus(MAX_SESSION), to: now.plus(Duration::from_millis(1)) };
    let visits = floor.platform_visits(index, window);
    let current = visits.iter().find(|visit| visit.end > now)?;
    let session = visits.iter().find(|it| it.position.session == current.position.session)?;
    Some((current.clone(), session.start))
}

/// The id of the contact of a visit.
pub(super) fn contact_id(visit: &Visit) -> i64 {
    let position = [visit.position.session.cast_unsigned(), u64::from(visit.position.index)];
    let number = hash(u64::from(visit.agent.index), &position);
    i64::try_from(number % 1_000_000_000_000).expect("below 10^12")
}

const FIRST_NAME: &str = "Agent";

fn last_name(agent: &AgentProfile) -> String {
    format!("{:03}", agent.index + 1)
}

fn user_name(agent: &AgentProfile) -> String {
    format!("agent.{:03}@example.com", agent.index + 1)
}

impl<'a> AgentRow<'a> {
    pub(super) fn new(agent: &'a AgentProfile) -> Self {
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

/// The activity of each skill at `now`, as far as `visible` agents take part.
pub(super) fn skill_activity(
    floor: &Floor,
    now: Timestamp,
    visible: impl Fn(&AgentProfile) -> bool,
) -> Vec<SkillActivityRow> {
    let agents = floor.agents().enumerate().filter(|(_, agent)| visible(agent));
    let visits: Vec<Visit> = agents
        .filter_map(|(index, _)| current_visit(floor, index, now))
        .map(|(visit, _)| visit)
        .collect();
    SKILLS.into_iter().map(|skill| activity_of(floor, now, skill, &visits)).collect()
}

fn activity_of(
    floor: &Floor,
    now: Timestamp,
    skill: &'static str,
    visits: &[Visit],
) -> SkillActivityRow {
    let count = |states: &[AgentState]| {
        let counted = visits.iter().filter(|visit| {
            states.contains(&visit.state)
                && visit.agent.skills.contains(&skill)
                && visit.skill.is_none_or(|on| on == skill)
        });
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    };
    let acw = count(&[AgentState::WrapUp]);
    let available = count(&[AgentState::Ready]);
    let working = count(&[AgentState::InboundCall, AgentState::OutboundCall]);
    let away = count(&[AgentState::Break, AgentState::Lunch, AgentState::Training]);
    let id = platform_skill_id(skill);
    let queue = now.millis().div_euclid(QUEUE_CHANGES).cast_unsigned();
    let chance = hash(floor.options().seed, &[id.unwrap_or_default().cast_unsigned(), queue]);
    let (queue_count, in_sla, out_sla) = (chance % 7, chance % 191, chance % 23);
    let waiting = Duration::from_secs(chance % 240);
    SkillActivityRow {
        server_time: now.to_string(),
        skill_id: id,
        skill_name: skill,
        agents_acw: acw,
        agents_available: available,
        agents_idle: available,
        agents_logged_in: acw + available + working + away + count(&[AgentState::Login]),
        agents_unavailable: away,
        agents_working: working,
        queue_count,
        earliest_queue_time: (queue_count > 0).then(|| now.minus(waiting).to_string()),
        in_sla,
        out_sla,
        service_level: (100 * in_sla).checked_div(in_sla + out_sla).unwrap_or(100),
        service_level_goal: 80,
        is_active: true,
        is_outbound: false,
        media_type_id: PHONE,
    }
}
