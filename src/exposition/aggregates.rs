//! The families that are not of single agents.

use cxone_core::live::Activity;
use cxone_core::names::LabelSets;
use cxone_core::page::snapshot::{LiveSeries, Snapshot};

use super::families::*;
use super::writer::{PageWriter, seconds, unix_time};

/// Current states, and totals over all agents.
pub(super) fn states(page: &mut PageWriter, snapshot: &Snapshot) {
    page.series(&AGENTS, &snapshot.state_agents, |(state, agents)| ([state], *agents));
    page.series(&AGENTS_SEEN, [snapshot.agents_seen], |agents| ([], agents));
    page.series(&AGENTS_OVER_LIMIT, &snapshot.over_limit, |(state, agents)| ([state], *agents));
    page.series(&SKILL_AGENTS, &snapshot.skill_agents, |of| ([&of.skill, &of.state], of.agents));
    let all = &snapshot.states;
    page.series(&STATE_ENTRIES, all, |of| ([&of.state, &of.skill], of.entries));
    page.series(&STATE_SECONDS, all, |of| ([&of.state, &of.skill], seconds(of.millis)));
    page.family(&STATE_VISIT_DURATION);
    for of in all {
        page.histogram(&[&of.state, &of.skill], &of.visits);
    }
    page.series(&STATE_AGENT_SECONDS, &snapshot.state_millis, |(state, millis)| {
        ([state], seconds(*millis))
    });
    page.series(&STATE_DURATION_LIMIT, &snapshot.limits, |(state, limit)| {
        ([state], seconds(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
    });
}

/// The live feeds.
pub(super) fn live(page: &mut PageWriter, live: &LiveSeries) {
    page.series(&UNAVAILABLE_AGENTS, &live.unavailable, |(reason, agents)| ([reason], *agents));
    page.series(&TEAM_AGENTS, &live.teams, |of| ([&of.team, &of.state], of.agents));
    let skills = &live.skills;
    page.series(&SKILL_QUEUE_CONTACTS, skills, |of| ([&of.skill], of.queue));
    page.series(&SKILL_QUEUE_OLDEST, skills, |of| ([&of.skill], of.oldest.map(unix_time)));
    page.family(&SKILL_ACTIVITY_AGENTS);
    for of in skills {
        for (activity, agents) in Activity::ALL.iter().zip(of.agents) {
            page.sample(&[&of.skill, activity.as_str()], agents);
        }
    }
    page.family(&SKILL_SERVICE_LEVEL_CONTACTS);
    for of in skills {
        page.sample(&[&of.skill, "inside"], of.inside);
        page.sample(&[&of.skill, "outside"], of.outside);
    }
    // Service levels are in thousandths, which are written as milliseconds are.
    page.series(&SKILL_SERVICE_LEVEL, skills, |of| ([&of.skill], of.level.map(seconds)));
    page.series(&SKILL_SERVICE_LEVEL_GOAL, skills, |of| ([&of.skill], of.goal.map(seconds)));
    page.series(&LIVE_UP, &live.feeds, |of| ([of.feed.as_str()], u64::from(of.up)));
    page.series(&LIVE_LAST_SUCCESS, &live.feeds, |of| {
        ([of.feed.as_str()], of.last_success.map(unix_time))
    });
}

/// Targets and freshness.
pub(super) fn targets(page: &mut PageWriter, snapshot: &Snapshot) {
    let all = &snapshot.targets;
    page.series(&TARGET_UP, all, |of| ([&of.target], u64::from(of.up)));
    page.series(&TARGET_LAST_SUCCESS, all, |of| ([&of.target], of.last_success.map(unix_time)));
    page.series(&TARGET_WATERMARK, all, |of| ([&of.target], of.watermark.map(unix_time)));
    page.series(&TARGET_EPOCH, all, |of| ([&of.target], of.epoch.map(unix_time)));
    page.series(&DATA_WATERMARK, snapshot.data_watermark, |time| ([], unix_time(time)));
}

/// The limits, which do not count as series about the contact centre.
pub(super) fn limits(page: &mut PageWriter, snapshot: &Snapshot) {
    page.series(&EXPORTER_SERIES, [page.samples], |samples| ([], samples));
    page.series(&EXPORTER_SERIES_LIMIT, [snapshot.series_limit], |limit| ([], limit));
    page.series(&EXPORTER_SERIES_DROPPED, [snapshot.series_dropped], |dropped| ([], dropped));
    let mut label_sets = |family, value: fn(&LabelSets) -> u64| {
        page.series(family, &snapshot.label_sets, |sets| ([sets.kind], value(sets)));
    };
    label_sets(&EXPORTER_LABEL_SETS, |sets| sets.own);
    label_sets(&EXPORTER_LABEL_SETS_LIMIT, |sets| sets.limit);
    label_sets(&EXPORTER_LABEL_SETS_OVER_LIMIT, |sets| sets.over);
}
