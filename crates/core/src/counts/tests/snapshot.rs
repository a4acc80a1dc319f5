//! What a page sums up over all agents follows from what it says of each, and both from the records
//! alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::{CountingRules, Detail, Ledger, LedgerLoader};
use super::show;
use crate::counts::RecordKey;
use crate::page::snapshot::{AgentSeries, Snapshot};
use crate::report::ReportFilter;

/// Compares what `ledger` shows, with and without stale targets, with what its agents and its
/// records say.
pub(super) fn check(ledger: &Ledger, filters: &[ReportFilter]) {
    let by_state = from_records(ledger, filters, Detail::Agent);
    let scratch = from_records(ledger, filters, ledger.catalog.rules.detail);
    for stale in [[false, false], [true, false], [false, true], [true, true]] {
        let mut show = show(2);
        show.limits = [("Ready", 7), ("Wrap-up", 20), ("Lunch", 1)]
            .map(|(state, limit)| (Arc::from(state), Duration::from_millis(limit)))
            .into();
        show.targets.iter_mut().zip(stale).for_each(|(target, stale)| target.stale = stale);
        let shown = Snapshot::of(ledger, &show);
        assert_eq!(
            without_fingerprints(shown.clone()),
            without_fingerprints(Snapshot::of(&scratch, &show))
        );
        sums_follow(&shown);
        let by_state = Snapshot::of(&by_state, &show);
        assert_eq!(
            (&by_state.state_agents, &by_state.over_limit),
            (&shown.state_agents, &shown.over_limit)
        );
        for snapshot in [&shown, &by_state] {
            for shard in &snapshot.shards {
                let agents = shard.agents.as_ref().expect("nobody knows it").series();
                assert_eq!(
                    shard.series,
                    agents.iter().map(AgentSeries::series).sum::<u64>(),
                    "{agents:?}"
                );
            }
        }
    }
}

fn from_records(ledger: &Ledger, filters: &[ReportFilter], detail: Detail) -> Ledger {
    let mut restored = LedgerLoader::default();
    let mut records = ledger.all_records(filters, &[None, None]);
    records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    for record in records {
        let value = record.value.expect("a record of something");
        restored.take(RecordKey::from_bytes(&record.key).expect("a key"), &value).expect("sound");
    }
    restored
        .into_ledger(CountingRules { detail, ..(*ledger.catalog.rules).clone() }, filters)
        .expect("sound")
}

/// Fingerprints mean nothing to another ledger, and how many labels the newest reports had over the
/// limits is not kept.
fn without_fingerprints(mut snapshot: Snapshot) -> (Snapshot, Vec<AgentSeries>) {
    let agents = snapshot.agents().collect();
    snapshot.shards.clear();
    snapshot.label_sets.clear();
    (snapshot, agents)
}

fn sums_follow(snapshot: &Snapshot) {
    let mut states: BTreeMap<Arc<str>, u64> =
        snapshot.state_agents.iter().map(|(state, _)| (Arc::clone(state), 0)).collect();
    let mut skills: BTreeMap<(Arc<str>, Arc<str>), u64> = BTreeMap::new();
    let mut over: BTreeMap<Arc<str>, u64> =
        snapshot.limits.iter().map(|(state, _)| (Arc::clone(state), 0)).collect();
    for agent in snapshot.agents() {
        let here: Vec<_> =
            agent.labels.iter().filter_map(|label| Some((label, label.start?))).collect();
        for (label, _) in &here {
            *skills.entry((Arc::clone(&label.skill), Arc::clone(&label.state))).or_default() += 1;
        }
        let Some((first, start)) = here.first() else { continue };
        assert!(
            here.iter().all(|(label, began)| label.state == first.state && began == start),
            "{agent:?} is in one state since one moment"
        );
        *states.get_mut(&first.state).expect("a known state") += 1;
        let limit = snapshot.limits.iter().find(|(state, _)| *state == first.state);
        if limit.is_some_and(|(_, limit)| agent.observed.expect("not stale").since(*start) > *limit)
        {
            *over.get_mut(&first.state).expect("it has a limit") += 1;
        }
    }
    assert_eq!(snapshot.state_agents, Vec::from_iter(states));
    assert_eq!(snapshot.over_limit, Vec::from_iter(over));
    let present = snapshot.skill_agents.iter().filter(|skill| skill.agents > 0);
    assert!(
        present
            .map(|skill| ((Arc::clone(&skill.skill), Arc::clone(&skill.state)), skill.agents))
            .eq(skills),
        "{snapshot:?}"
    );
}
