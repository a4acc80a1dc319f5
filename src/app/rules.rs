//! What a configuration means for each part.

use std::num::NonZeroU32;
use std::time::Duration;

use super::timing;
use crate::config::{Config, Dialect};
use crate::cxone::CxoneClient;
use crate::engine::LiveFeeds;
use crate::server::{QuotaStatus, QuotaUnit};
use crate::telemetry::QuotaFacts;
use cxone_core::counts::{self, LabelLimits};
use cxone_core::live::{Live, LivePlan, LiveRules};
use cxone_core::names::escape_other;
use cxone_core::page::SnapshotOptions;
use cxone_core::plan::backoff::Random;
use cxone_core::plan::planner::{PlannerRules, RetrievalMode};
use cxone_core::plan::window::WindowRules;
use cxone_core::privacy::Privacy;
use cxone_core::time::Monotonic;

/// What the configuration takes from the quota in a minute: report jobs, or the least number of
/// requests.
fn demand_per_minute(config: &Config) -> f64 {
    let targets = u32::try_from(config.targets.len()).unwrap_or(u32::MAX);
    let live = match config.api.dialect {
        Dialect::Reports(_) => 0.0,
        // One request for each of the two feeds.
        Dialect::Platform(_) => 2.0 * 60.0 / config.poll.live_interval.as_secs_f64(),
    };
    f64::from(targets) * 60.0 / config.poll.interval.as_secs_f64() + live
}

pub(super) fn quota_facts(config: &Config) -> QuotaFacts {
    let (limit, reserved) = match config.api.dialect {
        Dialect::Reports(_) => (config.quota.report_jobs_per_minute, config.quota.reserve),
        // A window costs at least one request.
        Dialect::Platform(_) => (config.quota.requests_per_minute, 0),
    };
    QuotaFacts { limit, reserved, demand_ratio: demand_per_minute(config) / f64::from(limit) }
}

/// What the quota is, and what is required of it.
#[must_use]
pub fn quota_status(config: &Config) -> QuotaStatus {
    let QuotaFacts { limit, reserved, demand_ratio } = quota_facts(config);
    let unit = match config.api.dialect {
        Dialect::Reports(_) => QuotaUnit::ReportJobs,
        Dialect::Platform(_) => QuotaUnit::Requests,
    };
    QuotaStatus { unit, limit, reserved, demand_ratio }
}

pub(super) fn planner_rules(config: &Config) -> PlannerRules {
    let QuotaFacts { limit, reserved, .. } = quota_facts(config);
    PlannerRules {
        interval: config.poll.interval,
        windows: WindowRules {
            lookback: config.poll.lookback,
            overlap: config.poll.overlap,
            settle_delay: config.poll.settle_delay,
            retention: config.poll.retention,
        },
        timing: timing(config),
        jobs_per_minute: NonZeroU32::new(limit.saturating_sub(reserved)).unwrap_or(NonZeroU32::MIN),
        mode: match config.api.dialect {
            Dialect::Reports(_) => RetrievalMode::Jobs,
            Dialect::Platform(_) => RetrievalMode::Pages,
        },
        max_staleness: config.metrics.max_staleness,
    }
}

/// How often the whole list of agents' states is requested, and not only what changed: an agent who
/// is gone is in no list of changes.
const FULL_LIST_INTERVAL: Duration = Duration::from_secs(300);

/// The live feeds, if CXone has them in this dialect.
pub(super) fn live_feeds(
    client: &CxoneClient,
    config: &Config,
    privacy: &Privacy,
    random: &Random,
    now: Monotonic,
) -> Option<LiveFeeds> {
    let source = client.live_source()?;
    let rules = LiveRules {
        interval: config.poll.live_interval,
        full_every: FULL_LIST_INTERVAL,
        max_staleness: config.metrics.max_staleness,
    };
    let live = Live::new(config.states.wrap_up.clone(), privacy.clone());
    let plan = LivePlan::new(rules, random.clone().split(), now);
    Some(LiveFeeds::new(source, plan, live, snapshot_options(config).limits))
}

pub(super) fn ledger_rules(config: &Config) -> counts::CountingRules {
    counts::CountingRules {
        rows: config.api.rows,
        lookback: config.poll.lookback,
        overlap: config.poll.overlap,
        wrap_up: config.states.wrap_up.clone(),
        detail: config.metrics.detail,
        labels: LabelLimits::of(config.metrics.max_series),
    }
}

pub(super) fn snapshot_options(config: &Config) -> SnapshotOptions {
    SnapshotOptions {
        targets: Vec::new(),
        limits: config
            .states
            .limits
            .iter()
            .map(|(state, limit)| (escape_other(state).into(), *limit))
            .collect(),
        max_series: config.metrics.max_series,
        agent_info: config.metrics.agent_info,
    }
}
