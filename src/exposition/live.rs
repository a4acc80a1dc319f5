//! The families of the live feeds, but for single agents.

use cxone_core::live::Activity;
use cxone_core::live::SkillSeries;
use cxone_core::page::snapshot::LiveSeries;

use super::families::{self, Family};
use super::rows::Value;
use super::writer::{Writer, point, span};

pub(super) fn families(page: &mut Writer, live: &LiveSeries) {
    page.family(&families::UNAVAILABLE_AGENTS);
    for (reason, agents) in &live.unavailable {
        page.sample(&[reason], Value::Whole(*agents));
    }
    page.family(&families::TEAM_AGENTS);
    for series in &live.teams {
        page.sample(&[&series.team, &series.state], Value::Whole(series.agents));
    }
    skills(page, &live.skills);
    page.family(&families::LIVE_UP);
    for series in &live.feeds {
        page.sample(&[series.feed.as_str()], Value::Whole(u64::from(series.up)));
    }
    page.family(&families::LIVE_LAST_SUCCESS);
    for series in &live.feeds {
        page.sample_if([series.feed.as_str()], series.last_success.map(point));
    }
}

fn skills(page: &mut Writer, skills: &[SkillSeries]) {
    by_skill(page, &families::SKILL_QUEUE_CONTACTS, skills, |skill| skill.queue.map(Value::Whole));
    by_skill(page, &families::SKILL_QUEUE_OLDEST, skills, |skill| skill.oldest.map(point));
    page.family(&families::SKILL_ACTIVITY_AGENTS);
    for skill in skills {
        for (activity, agents) in Activity::ALL.iter().zip(skill.agents) {
            page.sample_if([&*skill.skill, activity.as_str()], agents.map(Value::Whole));
        }
    }
    page.family(&families::SKILL_SERVICE_LEVEL_CONTACTS);
    for skill in skills {
        page.sample_if([&*skill.skill, "inside"], skill.inside.map(Value::Whole));
        page.sample_if([&*skill.skill, "outside"], skill.outside.map(Value::Whole));
    }
    // A span of milliseconds is told in seconds: a number of thousandths as a ratio.
    by_skill(page, &families::SKILL_SERVICE_LEVEL, skills, |skill| skill.level.map(span));
    by_skill(page, &families::SKILL_SERVICE_LEVEL_GOAL, skills, |skill| skill.goal.map(span));
}

fn by_skill(
    page: &mut Writer,
    family: &Family,
    skills: &[SkillSeries],
    value: impl Fn(&SkillSeries) -> Option<Value>,
) {
    page.family(family);
    for skill in skills {
        page.sample_if([&*skill.skill], value(skill));
    }
}
