//! The live feeds in the loop: their requests, and what their answers change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;

use super::{Completion, Engine};
use crate::cxone::platform::{LivePage, UnavailableCodes};
use crate::cxone::{ApiError, ErrorKind, PlatformClient};
use cxone_core::live::{
    CodeTimeout, Feed, FeedRequest, FeedUpdate, ListError, Live, LivePlan, Skills, tenant_limits,
};
use cxone_core::page::SnapshotOptions;
use cxone_core::page::snapshot::{FeedSeries, LiveSeries};
use cxone_core::plan::fetch::FailureReason;
use cxone_core::time::{Now, Timestamp};

/// The live feeds, and what they have reported.
#[derive(Debug)]
pub struct LiveFeeds {
    source: Arc<PlatformClient>,
    pub(super) plan: LivePlan,
    pub(super) live: Live,
    skills: Skills,
    /// The unavailable codes whose limits and names are in use.
    codes: Option<Arc<UnavailableCodes>>,
    /// The limits of the configuration.
    limits: BTreeMap<Arc<str>, Duration>,
    /// The error of each feed's newest list; changes are logged, repetitions are not.
    errors: BTreeMap<Feed, Option<ErrorKind>>,
}

impl LiveFeeds {
    /// Feeds of which nothing is known yet; `limits` are those of the configuration.
    #[must_use]
    pub fn new(
        source: Arc<PlatformClient>,
        plan: LivePlan,
        live: Live,
        limits: BTreeMap<Arc<str>, Duration>,
    ) -> Self {
        Self {
            source,
            plan,
            live,
            skills: Skills::default(),
            codes: None,
            limits,
            errors: BTreeMap::new(),
        }
    }

    /// Continues with what the feeds reported before a reload, and with their failures.
    pub(super) fn restore(&mut self, before: Self, keeps_waits: bool, view: &mut SnapshotOptions) {
        self.plan.restore(&before.plan, keeps_waits);
        self.errors = before.errors;
        if self.live.reads_as(&before.live) {
            self.live = before.live;
            self.skills = before.skills;
        }
        if let Some(codes) = before.codes {
            self.use_codes(codes, view);
        }
    }

    /// What is shown beside the agents.
    pub(super) fn series(&self, now: Now) -> LiveSeries {
        let feeds = Feed::ALL.map(|feed| {
            let status = self.plan.status(feed, now.instant);
            FeedSeries {
                feed,
                up: status.up == Some(true),
                last_success: status.last_success.map(|success| success.utc),
            }
        });
        LiveSeries {
            feeds: feeds.into(),
            unavailable: self.live.unavailable(),
            teams: self.live.teams(),
            skills: self.skills.series(),
            label_sets: self
                .live
                .label_sets()
                .into_iter()
                .chain([self.skills.label_sets()])
                .collect(),
        }
    }

    /// The tenant's limits apply where the configuration sets none.
    fn use_codes(&mut self, codes: Arc<UnavailableCodes>, view: &mut SnapshotOptions) {
        if self.codes.as_ref().is_some_and(|known| Arc::ptr_eq(known, &codes)) {
            return;
        }
        let active = || codes.iter().map(|(_, code)| code).filter(|code| code.is_active);
        let timeouts = active().filter_map(|code| {
            Some(CodeTimeout { is_acw: code.is_acw, timeout: code.agent_timeout? })
        });
        view.limits = tenant_limits(timeouts);
        view.limits.extend(self.limits.iter().map(|(state, limit)| (Arc::clone(state), *limit)));
        self.live.add_reasons(
            active()
                .filter(|code| !code.is_acw && !code.name.trim().is_empty())
                .map(|code| code.name.trim()),
        );
        self.codes = Some(codes);
    }

    /// Takes a page in. Returns whether it was the last one of its list.
    fn take(&mut self, now: Now, cxone_utc: Timestamp, page: LivePage) -> Result<bool, ListError> {
        match page {
            LivePage::States(page) => match self.plan.states(now, cxone_utc, page)? {
                None => return Ok(false),
                Some(FeedUpdate::Full(rows, observed)) => self.live.replace(rows, observed),
                Some(FeedUpdate::Changes(rows, observed)) => self.live.update(rows, observed),
            },
            LivePage::Skills(page) => match self.plan.skills(now, cxone_utc, page)? {
                None => return Ok(false),
                Some(FeedUpdate::Full(rows, _)) => self.skills.replace(rows),
                Some(FeedUpdate::Changes(..)) => {}
            },
        }
        Ok(true)
    }
}

impl Engine {
    /// Makes the requests of the live feeds that are due.
    pub(super) fn request_live(&mut self, now: Now, cxone_utc: Timestamp) {
        let Some(feeds) = &mut self.feeds else { return };
        while let Some(request) = feeds.plan.next(now.instant, cxone_utc) {
            let source = Arc::clone(&feeds.source);
            let response = async move {
                let result = source.live(&request).await;
                Completion::Live(request, result)
            };
            self.requests.push(response.boxed());
        }
    }

    /// Takes the answer to a request of a live feed in.
    pub(super) fn live_finished(
        &mut self,
        now: Now,
        request: &FeedRequest,
        result: Result<LivePage, ApiError>,
    ) {
        let cxone_utc = self.context.server_clock.read().now(now).unwrap_or(now.utc);
        let Some(feeds) = &mut self.feeds else { return };
        let feed = match request {
            FeedRequest::States { .. } => Feed::AgentStates,
            FeedRequest::Skills { .. } => Feed::SkillActivity,
        };
        if let Some(codes) = feeds.source.known_codes() {
            feeds.use_codes(codes, &mut self.view);
        }
        let (kind, message) = match result.map(|page| feeds.take(now, cxone_utc, page)) {
            Ok(Ok(false)) => return,
            Ok(Ok(true)) => (None, String::new()),
            Ok(Err(fault)) => {
                let kind = match fault {
                    ListError::TooLong => ErrorKind::TooLarge,
                    ListError::Repeats | ListError::NoValidRow(_) => ErrorKind::Malformed,
                };
                (Some(kind), fault.to_string())
            }
            Err(error) => {
                feeds.plan.failed(feed, now.instant, error.retry_after);
                (Some(error.kind), error.to_string())
            }
        };
        self.has_changes = true;
        let feed_name = feed.as_str();
        if let Some(kind) = kind {
            let whom = Arc::from(format!("live feed {feed_name}"));
            Arc::make_mut(&mut self.errors).note(now.utc, &whom, kind.failure(), &message);
        }
        let before = feeds.errors.insert(feed, kind);
        let feed = feed_name;
        match (before, kind) {
            (None, None) => tracing::info!(feed, "first live list read"),
            (Some(None), None) => tracing::debug!(feed, "live list read"),
            (Some(Some(_)), None) => tracing::info!(feed, "live feed recovered"),
            (before, Some(_)) if before == Some(kind) => {
                tracing::debug!(feed, error = message, "live feed failed")
            }
            (_, Some(kind)) if kind.failure().is_some_and(FailureReason::is_of_credentials) => {
                tracing::error!(feed, error = message, "live feed failed")
            }
            (_, Some(_)) => tracing::warn!(feed, error = message, "live feed failed"),
        }
    }

    /// A feed that turns stale changes what is shown, though nothing was read.
    pub(super) fn note_live_stale(&mut self, now: Now) {
        let Some(feeds) = &mut self.feeds else { return };
        let stale = |feed| feeds.plan.status(feed, now.instant).stale;
        let (states, skills) = (stale(Feed::AgentStates), stale(Feed::SkillActivity));
        let news = [feeds.live.set_stale(states), feeds.skills.set_stale(skills)];
        for ((feed, is_news), stale) in Feed::ALL.into_iter().zip(news).zip([states, skills]) {
            self.has_changes |= is_news;
            if is_news && stale {
                tracing::warn!(feed = feed.as_str(), "live feed stale: its gauges withdrawn");
            }
        }
    }
}
