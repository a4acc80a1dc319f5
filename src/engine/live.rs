//! The live feeds in the loop: what is asked when, and what becomes of the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;

use super::{Completion, Engine};
use crate::cxone::platform::{LivePage, UnavailableCodes};
use crate::cxone::{ApiError, CxoneClient, ErrorKind};
use cxone_core::live::{
    CodeTimeout, Feed, FeedRequest, FeedUpdate, ListError, Live, LivePlan, Skills, tenant_limits,
};
use cxone_core::page::SnapshotOptions;
use cxone_core::page::snapshot::{FeedSeries, LiveSeries};
use cxone_core::plan::fetch::FailureReason;
use cxone_core::time::{Now, Timestamp};

/// The live feeds, and what they have told.
#[derive(Debug)]
pub struct LiveFeeds {
    plan: LivePlan,
    live: Live,
    skills: Skills,
    /// The unavailable codes whose limits and names are taken over.
    codes: Option<Arc<UnavailableCodes>>,
    /// The limits of the configuration.
    limits: BTreeMap<Arc<str>, Duration>,
    /// Of each feed, what its newest failure was; to log changes and not repetitions.
    troubles: BTreeMap<Feed, Option<ErrorKind>>,
}

impl LiveFeeds {
    /// Feeds of which nothing is known yet; `limits` are those of the configuration.
    #[must_use]
    pub fn new(plan: LivePlan, live: Live, limits: BTreeMap<Arc<str>, Duration>) -> Self {
        Self {
            plan,
            live,
            skills: Skills::default(),
            codes: None,
            limits,
            troubles: BTreeMap::new(),
        }
    }

    /// Continues with what the feeds before a reload told, and with their failures.
    pub(super) fn carry_on(&mut self, before: Self, waits: bool, show: &mut SnapshotOptions) {
        self.plan.carry_on(&before.plan, waits);
        self.troubles = before.troubles;
        if self.live.reads_as(&before.live) {
            self.live = before.live;
            self.skills = before.skills;
        }
        if let Some(codes) = before.codes {
            self.take_codes(codes, show);
        }
    }

    /// When the feeds are asked for.
    #[must_use]
    pub fn plan(&self) -> &LivePlan {
        &self.plan
    }

    /// The agents' states.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// What is shown beside the agents.
    #[must_use]
    pub fn series(&self, now: Now) -> LiveSeries {
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

    /// The tenant's limits hold where the configuration sets none.
    fn take_codes(&mut self, codes: Arc<UnavailableCodes>, show: &mut SnapshotOptions) {
        if self.codes.as_ref().is_some_and(|known| Arc::ptr_eq(known, &codes)) {
            return;
        }
        let active = || codes.iter().map(|(_, code)| code).filter(|code| code.is_active);
        let timeouts = active().filter_map(|code| {
            Some(CodeTimeout { is_acw: code.is_acw, timeout: code.agent_timeout? })
        });
        show.limits = tenant_limits(timeouts);
        show.limits.extend(self.limits.iter().map(|(state, limit)| (Arc::clone(state), *limit)));
        self.live.add_reasons(
            active()
                .filter(|code| !code.is_acw && !code.name.trim().is_empty())
                .map(|code| code.name.trim()),
        );
        self.codes = Some(codes);
    }

    fn take(&mut self, now: Now, cxone_utc: Timestamp, page: LivePage) -> Result<bool, ListError> {
        match page {
            LivePage::States(page) => {
                let Some(told) = self.plan.states(now, cxone_utc, page)? else { return Ok(false) };
                match told {
                    FeedUpdate::Full(rows, observed) => self.live.replace(rows, observed),
                    FeedUpdate::Changes(rows, observed) => self.live.update(rows, observed),
                }
            }
            LivePage::Skills(page) => {
                let Some(told) = self.plan.skills(now, cxone_utc, page)? else { return Ok(false) };
                match told {
                    FeedUpdate::Full(rows, _) => self.skills.replace(rows),
                    FeedUpdate::Changes(..) => {}
                }
            }
        }
        Ok(true)
    }

    /// Takes note of a feed's failure, or of none; answers with the one before, if anything was.
    fn note(&mut self, feed: Feed, trouble: Option<ErrorKind>) -> Option<Option<ErrorKind>> {
        self.troubles.insert(feed, trouble)
    }
}

impl Engine {
    /// Makes the requests of the live feeds that are due.
    pub(super) fn request_live(&mut self, now: Now, cxone_utc: Timestamp) {
        let (CxoneClient::Platform(client), Some(feeds)) = (&self.client, &mut self.feeds) else {
            return;
        };
        while let Some(ask) = feeds.plan.next(now.instant, cxone_utc) {
            let client = Arc::clone(client);
            let request = async move {
                let result = client.live(&ask).await;
                Completion::Live(ask, result)
            };
            self.requests.push(request.boxed());
        }
    }

    /// Takes an answer of a live feed in.
    pub(super) fn live_finished(
        &mut self,
        now: Now,
        ask: &FeedRequest,
        result: Result<LivePage, ApiError>,
    ) {
        let cxone_utc = self.context.server_clock.read().now(now).unwrap_or(now.utc);
        let Some(feeds) = &mut self.feeds else { return };
        let feed = match ask {
            FeedRequest::States { .. } => Feed::AgentStates,
            FeedRequest::Skills { .. } => Feed::SkillActivity,
        };
        if let CxoneClient::Platform(client) = &self.client
            && let Some(codes) = client.known_codes()
        {
            feeds.take_codes(codes, &mut self.view);
        }
        let (trouble, message) = match result.map(|page| feeds.take(now, cxone_utc, page)) {
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
        if let Some(kind) = trouble {
            let whom = Arc::from(format!("live feed {feed_name}"));
            Arc::make_mut(&mut self.errors).note(now.utc, &whom, kind.failure(), &message);
        }
        let before = feeds.note(feed, trouble);
        let feed = feed_name;
        match (before, trouble) {
            (None, None) => tracing::info!(feed, "first live list read"),
            (Some(None), None) => tracing::debug!(feed, "live list read"),
            (Some(Some(_)), None) => tracing::info!(feed, "live feed recovered"),
            (before, Some(_)) if before == Some(trouble) => {
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
