//! From an agent who forgets to end Wrap-up to the supervisor's pager, through the shipped rules,
//! routes and inhibitions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cxone_exporter::clock::Clock;
use cxone_simulator::{AgentState, Floor, FloorOptions, Visit};
use jiff::Timestamp;
use serde_json::json;

use crate::alertmanager::{Alertmanager, Notified, PROGRAM};
use crate::prometheus::Prometheus;
use crate::tools::{are_here, repository, within};
use crate::{AGENTS, LIMIT, PACE, ready, start_exporter, start_simulator};

/// Labels of an alert, some or all.
type Labels<'a> = [(&'a str, &'a str)];

const STALE: &Labels<'_> = &[
    ("alertname", "CXoneDataStale"),
    ("job", "cxone"),
    ("tenant", "acme"),
    ("audience", "operators"),
];

#[test]
fn supervisors_are_notified_of_stuck_agents_and_their_recovery_and_of_nothing_while_data_are_stale()
{
    if !are_here(&["prometheus", PROGRAM]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (floor, leaves, stays) = floor_with_a_recovering_and_a_stuck_agent();
    let mut simulator = start_simulator(&floor, folder.path());
    let api = simulator.word_after("address:       http://");
    let mut exporter = start_exporter(&api, folder.path());
    let address = exporter.word_after("address=");
    within(Duration::from_secs(10), || ready(&address)).expect("the exporter is ready");
    let alertmanager = Alertmanager::start(folder.path());
    let rules = rules_with_short_durations(folder.path());
    let prometheus =
        Prometheus::with_two_replicas(folder.path(), &address, &rules, &alertmanager.address);

    let (leaving, staying) = (stuck(&leaves), stuck(&stays));
    for (visit, labels) in [(&leaves, leaving), (&stays, staying)] {
        let reported = notified(&alertmanager, 15, |one| one.is("supervisors", "firing", &labels));
        compare_with_the_visit(&reported, visit);
    }

    let over = notified(&alertmanager, 40, |one| one.is("supervisors", "resolved", &leaving));
    let ended: Timestamp =
        over.alert["endsAt"].as_str().and_then(|time| time.parse().ok()).expect("a time");
    assert!(
        ended.as_millisecond() >= leaves.end.millis(),
        "over at {ended}, but the agent left at {}",
        leaves.end
    );
    assert!(
        alertmanager.first(|one| one.is("supervisors", "resolved", &staying)).is_err(),
        "{:#?}",
        alertmanager.notified()
    );

    // No more data from now on. The stuck agent is over the limit at its last observed time.
    simulator.kill();
    notified(&alertmanager, 30, |one| one.is("operators", "firing", STALE));
    within(Duration::from_secs(5), || is_inhibited(&alertmanager, &staying))
        .unwrap_or_else(|alert| panic!("not inhibited: {alert}"));
    // Firing alerts are repeated every two seconds: to operators, but no longer to supervisors.
    let (to_supervisors, to_operators) = how_often(&alertmanager);
    let again = || if how_often(&alertmanager).1 > to_operators + 1 { Ok(()) } else { Err(()) };
    within(Duration::from_secs(15), again).expect("operators hear of it again");
    assert_eq!(how_often(&alertmanager).0, to_supervisors, "{:#?}", alertmanager.notified());
    is_inhibited(&alertmanager, &staying)
        .unwrap_or_else(|alert| panic!("no longer there: {alert}"));
    // Only the log reports a rule that cannot be evaluated.
    assert_eq!(prometheus.complaints(), Vec::<String>::new());
}

/// A floor on which two agents are already over the limit in Wrap-up: one leaves it half a minute
/// after the start of the test, the other after its end.
fn floor_with_a_recovering_and_a_stuck_agent() -> (Floor, Visit, Visit) {
    let now = Clock::system().now().utc;
    let within = |visit: &Visit, from: u64, to: u64| {
        visit.end > now.plus(Duration::from_secs(from))
            && visit.end < now.plus(Duration::from_secs(to))
    };
    let begun = now.minus(LIMIT + Duration::from_secs(5));
    let candidates = (1..).filter_map(|seed| {
        let floor = Floor::new(FloorOptions { seed, agents: AGENTS, pace: PACE });
        let over: Vec<Visit> = floor
            .at(now)
            .into_iter()
            .filter(|visit| visit.state == AgentState::WrapUp && visit.start < begun)
            .collect();
        let leaves = over.iter().find(|visit| within(visit, 22, 30))?.clone();
        let stays = over.iter().find(|visit| within(visit, 90, 3600))?.clone();
        Some((floor, leaves, stays))
    });
    candidates.into_iter().next().expect("there are many seeds")
}

/// The shipped rules, with data stale after 12 seconds and short evaluation intervals.
fn rules_with_short_durations(folder: &Path) -> PathBuf {
    let shipped = fs::read_to_string(repository().join("alerts/cxone-exporter.rules.yml"))
        .expect("it is part of the repository");
    let (before, rule) =
        shipped.split_once("- alert: CXoneDataStale\n").expect("the rule for stale data");
    let hasty = rule.replacen("> 600\n", "> 12\n", 1);
    let file = folder.join("rules.yml");
    let text =
        format!("{before}- alert: CXoneDataStale\n{hasty}").replace("interval: 1m", "interval: 1s");
    fs::write(&file, text).expect("the folder is ours");
    file
}

fn stuck(visit: &Visit) -> [(&str, &str); 2] {
    [("alertname", "CXoneAgentStuck"), ("agent", &visit.agent.id)]
}

/// Waits at most `seconds` for a notification that `wanted` accepts.
fn notified(
    alertmanager: &Alertmanager,
    seconds: u64,
    wanted: impl Fn(&Notified) -> bool,
) -> Notified {
    within(Duration::from_secs(seconds), || alertmanager.first(&wanted))
        .unwrap_or_else(|others| panic!("{others}"))
}

fn compare_with_the_visit(reported: &Notified, visit: &Visit) {
    let agent = &visit.agent;
    // Neither instance nor skill: one alert for two replicas and all skills.
    let labels = json!({
        "alertname": "CXoneAgentStuck", "agent": agent.id, "state": "Wrap-up", "job": "cxone", "tenant": "acme",
        "severity": "warning", "audience": "supervisors",
    });
    assert_eq!(reported.alert["labels"], labels);
    let annotations = &reported.alert["annotations"];
    assert_eq!(
        annotations["summary"],
        format!("Agent {} ({}) is stuck in Wrap-up", agent.id, agent.name)
    );
    assert_eq!(annotations["runbook_url"], "docs/runbooks/CXoneAgentStuck.md");
}

/// Whether Alertmanager has one alert with these labels, and another one that inhibits it.
fn is_inhibited(alertmanager: &Alertmanager, labels: &Labels<'_>) -> Result<(), String> {
    let alert = alertmanager.alert(labels)?;
    let by = alert["status"]["inhibitedBy"].as_array().map_or(0, Vec::len);
    if alert["status"]["state"] == "suppressed" && by == 1 {
        Ok(())
    } else {
        Err(alert.to_string())
    }
}

/// How often supervisors were notified of firing alerts, and operators of stale data.
fn how_often(alertmanager: &Alertmanager) -> (usize, usize) {
    let notified = alertmanager.notified();
    let count = |receiver: &str, labels: &Labels<'_>| {
        notified.iter().filter(|one| one.is(receiver, "firing", labels)).count()
    };
    (count("supervisors", &[]), count("operators", STALE))
}
