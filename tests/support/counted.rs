//! The counts of a page, and what really happened.

use std::collections::BTreeMap;

use cxone_core::time::{Timestamp, Window};
use cxone_simulator::Floor;

use crate::strict::Page;

/// The label `state` and the label `skill`.
pub(crate) type Label = (String, String);

/// Entries and milliseconds by label, without labels that have neither.
pub(crate) type Sums = BTreeMap<Label, (u64, u64)>;

/// The value of a sample.
pub(crate) fn number(value: &str) -> f64 {
    value.parse().unwrap()
}

/// Seconds with up to three decimals, exactly.
pub(crate) fn time(seconds: &str) -> Timestamp {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    assert!(part.len() <= 3, "{seconds} is finer than a millisecond");
    Timestamp::from_millis(
        whole.parse::<i64>().unwrap() * 1000 + format!("{part:0<3}").parse::<i64>().unwrap(),
    )
}

/// The values of all series with this name, by their labels.
pub(crate) fn all<'a>(
    page: &'a Page,
    name: &str,
) -> BTreeMap<&'a BTreeMap<String, String>, &'a str> {
    page.samples
        .iter()
        .filter(|(series, _)| series.0 == name)
        .map(|(series, value)| (&series.1, value.as_str()))
        .collect()
}

/// The observed time of each agent on the page.
pub(crate) fn observed(page: &Page) -> BTreeMap<String, Timestamp> {
    let observed = all(page, "cxone_agent_observed_timestamp_seconds");
    observed.into_iter().map(|(labels, value)| (labels["agent"].clone(), time(value))).collect()
}

/// The time gauge of a target.
pub(crate) fn target_time(page: &Page, name: &str, target: &str) -> Option<Timestamp> {
    let labels = BTreeMap::from([("target".to_owned(), target.to_owned())]);
    page.samples.get(&(name.to_owned(), labels)).map(|value| time(value))
}

/// The page's counters of one agent, or of all together.
pub(crate) fn counted(page: &Page, agent: Option<&str>) -> Sums {
    let prefix = if agent.is_some() { "cxone_agent_state" } else { "cxone_state" };
    let mine =
        |labels: &&BTreeMap<String, String>| labels.get("agent").map(String::as_str) == agent;
    let seconds = all(page, &format!("{prefix}_seconds_total"));
    let entries = all(page, &format!("{prefix}_entries_total"));
    let sums = entries.into_iter().filter(|(labels, _)| mine(labels)).map(|(labels, entries)| {
        let label = (labels["state"].clone(), labels["skill"].clone());
        let millis = u64::try_from(time(seconds[labels]).millis()).unwrap();
        (label, (entries.parse().unwrap(), millis))
    });
    sums.filter(|(_, sums)| *sums != (0, 0)).collect()
}

/// What really happened to an agent in these windows together.
pub(crate) fn actual(floor: &Floor, agent: &str, windows: &[Window], millis_too: bool) -> Sums {
    let index = floor.agents().position(|profile| profile.id == agent).unwrap();
    let mut sums = Sums::new();
    for window in windows {
        for visit in floor.visits(index, *window) {
            let label = (visit.state.name().to_owned(), visit.skill.unwrap_or("").to_owned());
            let inside = visit.end.min(window.to).since(visit.start.max(window.from)).as_millis();
            let sum = sums.entry(label).or_default();
            sum.0 += u64::from(window.contains(visit.start));
            sum.1 += if millis_too { u64::try_from(inside).unwrap() } else { 0 };
        }
    }
    sums.retain(|_, sums| *sums != (0, 0));
    sums
}

/// Milliseconds by state, each counted once however many skills there are.
pub(crate) type Once = BTreeMap<String, u64>;

/// The page's time by state of one agent, or of all together.
pub(crate) fn counted_once(page: &Page, agent: Option<&str>) -> Once {
    let name = if agent.is_some() {
        "cxone_agent_seconds_total"
    } else {
        "cxone_state_agent_seconds_total"
    };
    let seconds = all(page, name).into_iter();
    let mine = seconds.filter(|(labels, _)| labels.get("agent").map(String::as_str) == agent);
    let millis = mine.map(|(labels, seconds)| {
        (labels["state"].clone(), u64::try_from(time(seconds).millis()).unwrap())
    });
    millis.filter(|(_, millis)| *millis > 0).collect()
}

/// How long an agent really was in each state in `window`: each millisecond counts once, on however
/// many skills.
pub(crate) fn actual_once(floor: &Floor, agent: &str, window: Window) -> Once {
    let index = floor.agents().position(|profile| profile.id == agent).unwrap();
    let mut visits = floor.visits(index, window);
    visits.sort_by_key(|visit| visit.start);
    let mut reach: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut once = Once::new();
    for visit in visits {
        let state = visit.state.name().to_owned();
        let reach = reach.entry(state.clone()).or_insert(window.from);
        let until = visit.end.min(window.to);
        let inside = until.since(visit.start.max(*reach)).as_millis();
        *once.entry(state).or_default() += u64::try_from(inside).unwrap();
        *reach = until.max(*reach);
    }
    once.retain(|_, millis| *millis > 0);
    once
}

/// Adds `more` to `once`.
pub(crate) fn add_once(once: &mut Once, more: &Once) {
    for (state, millis) in more {
        *once.entry(state.clone()).or_default() += millis;
    }
}

/// Adds `more` to `sums`.
pub(crate) fn add(sums: &mut Sums, more: &Sums) {
    for (label, more) in more {
        let sum = sums.entry(label.clone()).or_default();
        *sum = (sum.0 + more.0, sum.1 + more.1);
    }
}
