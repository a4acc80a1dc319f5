//! One report job driven to its end, for a person who waits for it.

use std::time::Duration;

use super::random;
use crate::app::timing;
use crate::clock::Clock;
use crate::config::{Config, Dialect};
use crate::cxone::platform;
use crate::cxone::{CxoneClient, HistoryRequest, JobStatus, Paging, RowSink};
use cxone_core::plan::fetch::{
    FailureReason, Fetch, JobError, JobOutcome, JobReply, JobStep, throttle_backoff,
};

/// How often a job that CXone answers with 429 is submitted again.
const MAX_SUBMITS: u32 = 5;

/// What happens meanwhile.
pub(super) enum Progress<'a> {
    /// The job is submitted.
    Submitting,
    /// It has this id; it is asked for until it is ready.
    Submitted(&'a str),
    /// So many rows have been read, and there are more.
    Read(u64),
    /// There were too many requests; it goes on after a wait.
    Throttled(Duration),
}

/// Fetches one report.
///
/// # Errors
/// When the job comes to nothing, or CXone keeps refusing to take it.
pub(super) async fn fetch<R: RowSink>(
    client: &CxoneClient,
    config: &Config,
    clock: &Clock,
    request: &HistoryRequest,
    mut tell: impl FnMut(Progress<'_>),
) -> Result<R, JobError> {
    let mut random = random();
    let mut throttles = throttle_backoff();
    let mut fetch = match client {
        CxoneClient::Reports(_) => Fetch::new(timing(config)),
        CxoneClient::Platform(_) => Fetch::paged(timing(config), clock.now().instant),
    };
    let mut paging: Option<Paging<R>> = None;
    let mut submits = 0;
    loop {
        let now = clock.now().instant;
        let mut rows = None;
        let reply = match fetch.step(now) {
            JobStep::Submit => {
                tell(Progress::Submitting);
                submits += 1;
                fetch.sent(now);
                let submitted = client.of_reports().submit(request).await;
                if let Ok(job) = &submitted {
                    tell(Progress::Submitted(job.as_str()));
                }
                submitted.map_or_else(JobReply::from, JobReply::Submitted)
            }
            JobStep::Poll(job) => {
                fetch.sent(now);
                match client.of_reports().poll::<R>(&job).await {
                    Ok(JobStatus::Pending | JobStatus::Running) => JobReply::Unfinished,
                    Ok(JobStatus::Completed(report)) => {
                        rows = Some(report);
                        JobReply::Completed
                    }
                    Ok(JobStatus::Failed(message)) => {
                        let message = format!("CXone could not make the report: {message}");
                        JobReply::Failed(JobError {
                            reason: FailureReason::Failed,
                            retry_after: None,
                            message,
                        })
                    }
                    Err(error) => error.into(),
                }
            }
            JobStep::Page => {
                fetch.sent(now);
                let client = client.of_platform();
                let mut read = paging.take().unwrap_or_else(|| client.history(request.clone()));
                match client.page(&mut read).await {
                    Ok(platform::Progress::Done) => {
                        rows = Some(read.into_rows());
                        JobReply::Completed
                    }
                    Ok(platform::Progress::More) => {
                        tell(Progress::Read(read.count()));
                        paging = Some(read);
                        JobReply::Unfinished
                    }
                    Err(error) => {
                        paging = Some(read);
                        error.into()
                    }
                }
            }
            JobStep::Wait(until) => {
                clock.sleep_until(until).await;
                continue;
            }
            JobStep::Busy => unreachable!("every request is waited for"),
        };
        let refusal = match &reply {
            JobReply::Throttled { message, .. } => message.clone(),
            JobReply::Submitted(_)
            | JobReply::Unfinished
            | JobReply::Completed
            | JobReply::Failed(_) => String::new(),
        };
        match (fetch.reply(clock.now().instant, reply, &mut random), rows) {
            (Some(JobOutcome::Completed), Some(rows)) => return Ok(rows),
            (Some(JobOutcome::Failed(trouble)), _) => return Err(trouble),
            (Some(JobOutcome::Throttled { retry_after }), _) => {
                if submits >= MAX_SUBMITS {
                    return Err(JobError {
                        reason: FailureReason::Timeout,
                        retry_after,
                        message: refusal,
                    });
                }
                let wait = retry_after.unwrap_or_else(|| throttles.at_least(&mut random));
                tell(Progress::Throttled(wait));
                tokio::time::sleep(wait).await;
            }
            (Some(JobOutcome::Completed) | None, _) => {}
        }
    }
}

/// The three causes of an empty report, and what to try.
pub(super) fn empty_causes(config: &Config, user: Option<&str>, asked: Duration) -> Vec<String> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let mut causes = vec!["There was no state change in that time, or".to_owned()];
    match &config.api.dialect {
        Dialect::Platform(_) => {
            causes.push("the agent's id is wrong: these calls want the agent's number, not a login name, or".to_owned());
            causes.push("the role of the access key's user hides the agents: CXone then tells of none, without an error.".to_owned());
        }
        Dialect::Reports(_) => {
            let doubt = user.filter(|user| crate::config::user_id_doubt(user).is_some());
            causes.push(match doubt {
                Some(user) => {
                    format!(
                        "the id `{user}` is wrong, which is likely: the internal ids begin with `user-`; an e-mail address is no id, or"
                    )
                }
                None => {
                    "the id is wrong: CXone wants the internal id, which begins with `user-`, and not an e-mail address or a login name, or"
                        .to_owned()
                }
            });
            causes.push("the agent was not active in that time.".to_owned());
        }
    }
    if asked < WEEK {
        causes.push(
            "To see whether there is any data at all, ask for 7 days: `history --last 7d`."
                .to_owned(),
        );
    }
    causes
}
