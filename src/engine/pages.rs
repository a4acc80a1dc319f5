//! Windows that are read in pages.

use super::{Completion, Engine, MINUTE};
use crate::cxone::platform::Progress;
use crate::cxone::{ApiError, HistoryRequest, Paging};
use cxone_core::counts::TargetId;
use cxone_core::plan::fetch::JobReply;
use cxone_core::report::Report;
use cxone_core::time::{Now, Window};

impl Engine {
    /// Asks for the next page of a window. What has been read is in memory only: a later process
    /// begins the window anew.
    pub(super) fn page(&mut self, now: Now, id: TargetId, window: Window) {
        let client = self.client.of_platform();
        let state = &mut self.targets[id.index()];
        let mut paging = state.paging.take().unwrap_or_else(|| {
            let target = &state.target;
            tracing::debug!(target = %target.name, %window, "state history requested");
            self.context.telemetry.job_submitted();
            self.submits.retain(|(submit, _)| now.instant.since(*submit) <= MINUTE);
            self.submits.push_back((now.instant, now.utc));
            Box::new(client.history(HistoryRequest { window, filter: target.filter.clone() }))
        });
        // Only CXone's own ids can be requested; pseudonyms cannot, their agents come with the list.
        let is_first_list = paging.is_listing() && !self.has_remembered_agents;
        if is_first_list && let Some(ledger) = self.ledger.idle() {
            self.has_remembered_agents = true;
            let known = ledger.members(id).filter(|_| self.privacy.ids.are_raw());
            client.remember(
                known.map(|(name, known_to, is_behind)| (name.to_string(), known_to, is_behind)),
            );
        }
        let reading = async move {
            let result = client.page(&mut paging).await;
            Completion::Paged(id, paging, result)
        };
        self.request(reading);
    }

    /// Takes what came of a request for a page.
    pub(super) fn paged(
        &mut self,
        now: Now,
        id: TargetId,
        paging: Box<Paging<Report>>,
        result: Result<Progress, ApiError>,
    ) {
        if result == Ok(Progress::Done) {
            return self.read(now, id, paging.into_rows());
        }
        self.targets[id.index()].paging = Some(paging);
        self.reply(now, id, result.map_or_else(JobReply::from, |_| JobReply::Unfinished));
    }
}
