//! The process is killed, and another one resumes from its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cxone_core::counts::Record;
use cxone_core::store::{Store, StoreError};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;

use crate::direct::ReceivedSubmit;
use crate::strict::Series;
use crate::world::World;

/// So short that nothing else happens, but long enough for the commit that the killed process had
/// begun: a real store remains locked until then.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);

/// What a restart must not change: the counts of agents and states, and where counting began.
fn is_kept(series: &Series) -> bool {
    let prefixes = [
        "cxone_agent_state_entries",
        "cxone_agent_state_seconds",
        "cxone_state_",
        "cxone_target_epoch",
    ];
    prefixes.iter().any(|prefix| series.0.starts_with(prefix))
}

impl World {
    /// Kills the process and starts another one on the same store after `downtime`. Its page is
    /// read before its first request: no counter of agents and states may be lower or missing.
    pub(crate) async fn restart(&mut self, downtime: Duration) {
        self.kill(downtime).await;
        self.start_again(None);
        self.scrape().await;
    }

    /// As [`World::restart`], with another configuration.
    pub(crate) async fn restart_as(&mut self, config: &str) {
        self.kill(AT_ONCE).await;
        self.start_again(Some(config));
        self.scrape().await;
    }

    /// Kills the process and lets time pass.
    pub(crate) async fn kill(&mut self, downtime: Duration) {
        self.polling = Box::pin(std::future::pending());
        tokio::time::sleep(downtime.max(AT_ONCE)).await;
        self.clock = Clock::starting_at(self.clock.now().utc);
        self.last.samples.retain(|series, _| is_kept(series));
    }

    /// Lets time pass until no job is in progress and the page is up to date.
    pub(crate) async fn run_until_idle(&mut self) {
        let idle = |world: &Self| world.value("cxone_report_jobs_in_flight", &[]) == Some(0.0);
        self.run_for(Duration::from_secs(1)).await;
        self.run_until("no job under way", Duration::from_secs(120), idle).await;
        self.scrape().await;
    }

    /// The submits for `filter`, without the first `before` ones of all.
    pub(crate) fn submits_since(&self, before: usize, filter: &str) -> Vec<ReceivedSubmit> {
        self.direct
            .submits()
            .into_iter()
            .skip(before)
            .filter(|asked| asked.filter == filter)
            .collect()
    }

    /// The watermark of a target.
    pub(crate) fn watermark(&self, target: &str) -> Timestamp {
        self.target_time("cxone_target_watermark_timestamp_seconds", target).unwrap()
    }

    /// Compares the counters of all agents of a team with what really happened in these windows
    /// together.
    pub(crate) fn assert_exact_in(&self, team: &str, windows: &[Window]) {
        for agent in self.simulator.floor().agents().filter(|agent| agent.team == team) {
            let observed = self.observed().get(&agent.id).copied();
            let windows = windows.iter().map(|window| Window {
                to: observed.map_or(window.to, |observed| window.to.min(observed)),
                ..*window
            });
            let actual = crate::counted::actual(
                self.simulator.floor(),
                &agent.id,
                &windows.collect::<Vec<_>>(),
                true,
            );
            assert_eq!(
                crate::counted::counted(&self.last, Some(&agent.id)),
                actual,
                "{}",
                agent.id
            );
        }
    }

    /// Compares the entries of every agent with what really happened; time may be too high.
    pub(crate) fn assert_entries(&self) {
        for (agent, observed) in self.observed() {
            let profile =
                self.simulator.floor().agents().find(|profile| profile.id == agent).unwrap();
            let window = Window { from: self.epoch(profile), to: observed };
            let counted = crate::counted::counted(&self.last, Some(&agent));
            for (label, actual) in
                crate::counted::actual(self.simulator.floor(), &agent, &[window], true)
            {
                let reported = counted.get(&label).copied().unwrap_or_default();
                assert!(
                    reported.0 == actual.0 && reported.1 >= actual.1,
                    "{agent} {label:?}: {reported:?} instead of {actual:?}"
                );
            }
        }
    }

    /// No submitted window was in CXone's future.
    pub(crate) fn assert_no_window_in_the_future(&self) {
        let asked = self.direct.submits();
        assert!(!asked.is_empty());
        for asked in asked {
            assert!(
                asked.window.from < asked.window.to && asked.window.to <= asked.at,
                "{asked:?}"
            );
        }
    }
}

/// Reports a commit as failed, whether it was kept or not, and records that.
pub(crate) struct FailingStore {
    pub(crate) store: Box<dyn Store>,
    pub(crate) failure: Arc<CommitFailure>,
}

/// When commits fail.
#[derive(Debug, Default)]
pub(crate) struct CommitFailure {
    /// The number of commits until one fails; 0: none.
    pub(crate) after: AtomicU64,
    /// Whether that one is kept nevertheless.
    pub(crate) kept: AtomicBool,
    pub(crate) failed: AtomicBool,
}

impl Store for FailingStore {
    fn read(&mut self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.store.read(each)
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let left = self.failure.after.load(Ordering::Relaxed);
        self.failure.after.store(left.saturating_sub(1), Ordering::Relaxed);
        if left != 1 {
            return self.store.commit(records);
        }
        if self.failure.kept.load(Ordering::Relaxed) {
            self.store.commit(records)?;
        }
        self.failure.failed.store(true, Ordering::Relaxed);
        Err(StoreError::Unusable {
            path: "(failing)".into(),
            detail: "the power went".to_owned(),
            advice: "wait",
        })
    }

    fn size_bytes(&self) -> u64 {
        self.store.size_bytes()
    }

    fn format(&self) -> Option<u32> {
        self.store.format()
    }
}
