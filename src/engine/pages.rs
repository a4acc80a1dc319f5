//! Windows that are read in pages.

use futures_util::future::FutureExt;

use super::{MINUTE, Reported, Running, trouble};
use crate::cxone::platform::Progress;
use crate::cxone::{ApiError, Paging, ReportRequest};
use cxone_core::counts::TargetId;
use cxone_core::plan::fetch::Reply;
use cxone_core::report::Report;
use cxone_core::time::{Now, Window};

impl Running {
    /// Asks for the next page of a window. What has been read is in memory only: a later process
    /// begins the window anew.
    pub(super) fn page(&mut self, now: Now, id: TargetId, window: Window) {
        let client = self.poller.client.of_platform();
        let mut paging = self.pagings[id.index()].take().unwrap_or_else(|| {
            let target = &self.poller.targets[id.index()];
            tracing::debug!(target = %target.name, %window, "asking for the state history");
            self.poller.telemetry.job_submitted();
            self.poller.submits.retain(|(submit, _)| now.instant.since(*submit) <= MINUTE);
            self.poller.submits.push_back((now.instant, now.utc));
            Box::new(client.history(ReportRequest { window, filter: target.filter.clone() }))
        });
        // Only CXone's own ids can be asked for; the others come back with the list.
        let is_first_list = paging.is_listing() && !self.remembered;
        if is_first_list && let Some(ledger) = &self.poller.ledger {
            self.remembered = true;
            let known = ledger.members(id).filter(|_| self.poller.privacy.ids.are_raw());
            client.remember(known.map(|(name, told, behind)| (name.to_string(), told, behind)));
        }
        let reading = async move {
            let result = client.page(&mut paging).await;
            Reported::Paged(id, paging, result)
        };
        self.requests.push(reading.boxed());
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
        self.pagings[id.index()] = Some(paging);
        self.reply(now, id, result.map_or_else(trouble, |_| Reply::Unfinished));
    }
}
