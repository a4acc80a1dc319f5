//! The state history of some agents in a window, on its way from CXone.
//!
//! A [`Retrieval`] advances one request at a time, whatever the dialect: a report job that is
//! submitted and then polled, or one page after another. When its next request is due is for
//! [`Fetch`] to say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ApiEndpoint, ApiError, ErrorKind};
use super::platform::{Paging, PlatformClient, Progress};
use super::reports::{JobStatus, ReportsClient};
use super::rows::RowSink;
use super::{CxoneClient, DialectClient, HistoryRequest};
use crate::clock::Clock;
use cxone_core::plan::backoff::Random;
use cxone_core::plan::fetch::{
    FailureReason, Fetch, JobError, JobId, JobOutcome, JobReply, JobStep, JobTiming,
    throttle_backoff,
};
use cxone_core::time::Timestamp;

/// How often a request that begins a retrieval is retried after a 429, for a person who waits.
const MAX_STARTS: u32 = 5;

/// A window of state history that is being retrieved.
pub struct Retrieval<R> {
    state: RetrievalState<R>,
}

enum RetrievalState<R> {
    Job { client: Arc<ReportsClient>, request: HistoryRequest, job: Option<JobId> },
    Pages { client: Arc<PlatformClient>, paging: Box<Paging<R>> },
}

/// What one request of a retrieval brought.
#[derive(Debug)]
pub enum Advance<R> {
    /// The report job was accepted.
    Submitted(JobId),
    /// There is more to come.
    Unfinished,
    /// The report was read whole.
    Completed(R),
}

/// An agent that is known from before: its id, when it was last reported, and from when on its
/// history is still to be read, if that is before the window.
pub type KnownMember = (String, Timestamp, Option<Timestamp>);

impl<R: RowSink> Retrieval<R> {
    /// Makes the next request, once. After an error the same request is the next one, and what was
    /// read before is kept.
    ///
    /// # Errors
    /// When the request failed, or the job that it asked about did.
    pub async fn advance(&mut self) -> Result<Advance<R>, ApiError> {
        match &mut self.state {
            RetrievalState::Job { client, request, job } => match job {
                None => {
                    let id = client.submit(request).await?;
                    *job = Some(id.clone());
                    Ok(Advance::Submitted(id))
                }
                Some(id) => match client.poll(id).await? {
                    JobStatus::Pending | JobStatus::Running => Ok(Advance::Unfinished),
                    JobStatus::Completed(report) => Ok(Advance::Completed(report)),
                    JobStatus::Failed(message) => {
                        let detail = format!("CXone could not make the report: {message}");
                        Err(ApiError::new(ErrorKind::JobFailed, ApiEndpoint::Poll, detail))
                    }
                },
            },
            RetrievalState::Pages { client, paging } => Ok(match client.page(paging).await? {
                Progress::More => Advance::Unfinished,
                Progress::Done => Advance::Completed(paging.take_rows()),
            }),
        }
    }

    /// Whether the next request depends on which agents are known from before: see
    /// [`Retrieval::remember`].
    #[must_use]
    pub fn needs_known_members(&self) -> bool {
        match &self.state {
            RetrievalState::Job { .. } => false,
            RetrievalState::Pages { paging, .. } => paging.is_listing(),
        }
    }

    /// Agents to ask about where each is asked about alone, even if they are no longer listed.
    pub fn remember(&self, members: impl IntoIterator<Item = KnownMember>) {
        match &self.state {
            RetrievalState::Job { .. } => {}
            RetrievalState::Pages { client, .. } => client.remember(members),
        }
    }

    /// How many rows of an unfinished report have been read, where it arrives in parts.
    #[must_use]
    pub fn rows_so_far(&self) -> Option<u64> {
        match &self.state {
            RetrievalState::Job { .. } => None,
            RetrievalState::Pages { paging, .. } => Some(paging.count()),
        }
    }
}

impl<R> fmt::Debug for Retrieval<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrieval").finish_non_exhaustive()
    }
}

/// What happens during [`CxoneClient::fetch`], for a person who waits.
#[derive(Debug)]
pub enum FetchEvent {
    /// A report job is being submitted.
    Submitting,
    /// It has this id.
    Submitted(JobId),
    /// This many rows have been read, and there are more.
    RowsRead(u64),
    /// CXone throttled a request; the next one follows after this wait.
    Throttled(Duration),
}

impl CxoneClient {
    /// A retrieval of which nothing has been requested yet.
    #[must_use]
    pub fn retrieve<R: RowSink>(&self, request: HistoryRequest) -> Retrieval<R> {
        let state = match &self.dialect {
            DialectClient::Reports(client) => {
                RetrievalState::Job { client: Arc::clone(client), request, job: None }
            }
            DialectClient::Platform(client) => RetrievalState::Pages {
                paging: Box::new(client.history(request)),
                client: Arc::clone(client),
            },
        };
        Retrieval { state }
    }

    /// The retrieval of a job that an earlier process submitted. Pages are not resumed: what was
    /// read of them was in memory only.
    #[must_use]
    pub fn resume<R: RowSink>(&self, request: HistoryRequest, id: JobId) -> Retrieval<R> {
        let mut retrieval = self.retrieve(request);
        if let RetrievalState::Job { job, .. } = &mut retrieval.state {
            *job = Some(id);
        }
        retrieval
    }

    /// Retrieves one report from beginning to end, and reports its progress to `observe`.
    ///
    /// # Errors
    /// When it failed for good, or CXone kept throttling its first request.
    pub async fn fetch<R: RowSink>(
        &self,
        request: HistoryRequest,
        timing: JobTiming,
        clock: &Clock,
        mut random: Random,
        mut observe: impl FnMut(FetchEvent),
    ) -> Result<R, JobError> {
        let mut throttles = throttle_backoff();
        let mut fetch = match &self.dialect {
            DialectClient::Reports(_) => Fetch::new(timing),
            DialectClient::Platform(_) => Fetch::paged(timing, clock.now().instant),
        };
        let mut retrieval = self.retrieve(request);
        let mut starts = 0;
        loop {
            let now = clock.now().instant;
            match fetch.step(now) {
                JobStep::Wait(until) => {
                    clock.sleep_until(until).await;
                    continue;
                }
                JobStep::Submit => {
                    observe(FetchEvent::Submitting);
                    starts += 1;
                }
                // Never busy, since every request is awaited here.
                JobStep::Advance | JobStep::Busy => {}
            }
            fetch.sent(now);
            let mut report = None;
            let reply = match retrieval.advance().await {
                Ok(Advance::Submitted(id)) => {
                    observe(FetchEvent::Submitted(id.clone()));
                    JobReply::Submitted(id)
                }
                Ok(Advance::Unfinished) => {
                    retrieval
                        .rows_so_far()
                        .map(FetchEvent::RowsRead)
                        .into_iter()
                        .for_each(&mut observe);
                    JobReply::Unfinished
                }
                Ok(Advance::Completed(rows)) => {
                    report = Some(rows);
                    JobReply::Completed
                }
                Err(error) => error.into(),
            };
            let throttled = match &reply {
                JobReply::Throttled { message, .. } => Some(message.clone()),
                JobReply::Submitted(_)
                | JobReply::Unfinished
                | JobReply::Completed
                | JobReply::Failed(_) => None,
            };
            match fetch.reply(clock.now().instant, reply, &mut random) {
                None => {}
                Some(JobOutcome::Failed(error)) => return Err(error),
                Some(JobOutcome::Completed) => {
                    if let Some(report) = report {
                        return Ok(report);
                    }
                }
                Some(JobOutcome::Throttled { retry_after }) => {
                    if starts >= MAX_STARTS {
                        let message = throttled.unwrap_or_default();
                        let reason = FailureReason::Timeout;
                        return Err(JobError { reason, retry_after, message });
                    }
                    let wait = retry_after.unwrap_or_else(|| throttles.at_least(&mut random));
                    observe(FetchEvent::Throttled(wait));
                    clock.sleep_until(clock.now().instant.plus(wait)).await;
                }
            }
        }
    }
}
