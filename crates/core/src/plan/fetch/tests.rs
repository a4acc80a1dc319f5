//! One job against a CXone that answers as a test says.

use assert_matches::assert_matches;

use super::*;

const TIMING: JobTiming =
    JobTiming { poll_every: Duration::from_secs(2), timeout: Duration::from_secs(60) };

fn second(seconds: u64) -> Monotonic {
    Monotonic::from_elapsed(Duration::from_secs(seconds))
}

fn trouble(failure: FailureReason) -> JobReply {
    JobReply::Failed(JobError { reason: failure, retry_after: None, message: "trouble".to_owned() })
}

fn submitted() -> (Fetch, Random) {
    let (mut fetch, mut random) = (Fetch::new(TIMING), Random::from_seed(1));
    assert_eq!(fetch.step(second(0)), JobStep::Submit);
    fetch.sent(second(0));
    assert_eq!(fetch.step(second(0)), JobStep::Busy);
    let id = JobId::parse("job-1").expect("an id");
    assert_eq!(fetch.reply(second(0), JobReply::Submitted(id), &mut random), None);
    (fetch, random)
}

#[test]
fn a_job_is_polled_thirty_times_and_then_times_out() {
    let (mut fetch, mut random) = submitted();
    let mut now = second(0);
    let mut polls = 0;
    let outcome = loop {
        match fetch.step(now) {
            JobStep::Wait(until) => now = until,
            JobStep::Advance => {
                polls += 1;
                fetch.sent(now);
                if let Some(outcome) = fetch.reply(now, JobReply::Unfinished, &mut random) {
                    break outcome;
                }
            }
            step @ (JobStep::Submit | JobStep::Busy) => panic!("{step:?}"),
        }
    };
    assert_matches!(outcome, JobOutcome::Failed(JobError { reason: FailureReason::Timeout, .. }));
    assert_eq!((polls, now), (30, second(60)));
}

#[test]
fn waits_that_429_asks_for_are_not_the_jobs_fault() {
    let (mut fetch, mut random) = submitted();
    let wait =
        JobReply::Throttled { retry_after: Some(Duration::from_secs(300)), message: String::new() };
    assert_eq!(fetch.reply(second(2), wait.clone(), &mut random), None);
    assert_eq!(fetch.step(second(3)), JobStep::Wait(second(302)));
    assert_eq!(fetch.reply(second(302), wait, &mut random), None);
    assert_eq!(fetch.reply(second(602), JobReply::Unfinished, &mut random), None);
    assert_matches!(
        fetch.reply(second(661), JobReply::Unfinished, &mut random),
        Some(JobOutcome::Failed(_))
    );
}

#[test]
fn a_429_without_a_time_is_waited_out_for_at_least_five_seconds() {
    let (mut fetch, mut random) = submitted();
    fetch.reply(
        second(2),
        JobReply::Throttled { retry_after: None, message: String::new() },
        &mut random,
    );
    assert_matches!(fetch.step(second(2)), JobStep::Wait(until) if until >= second(7));
}

#[test]
fn a_throttled_submit_ends_without_a_failure() {
    let mut fetch = Fetch::new(TIMING);
    let reply = JobReply::Throttled { retry_after: None, message: String::new() };
    assert_eq!(
        fetch.reply(second(0), reply, &mut Random::from_seed(1)),
        Some(JobOutcome::Throttled { retry_after: None })
    );
}

#[test]
fn a_rejected_token_is_renewed_once_and_then_an_error() {
    let (mut fetch, mut random) = submitted();
    assert_eq!(fetch.reply(second(2), trouble(FailureReason::Unauthorized), &mut random), None);
    assert_matches!(fetch.step(second(2)), JobStep::Advance);
    assert_matches!(
        fetch.reply(second(2), trouble(FailureReason::Unauthorized), &mut random),
        Some(JobOutcome::Failed(_))
    );
    let mut unsubmitted = Fetch::new(TIMING);
    assert_eq!(
        unsubmitted.reply(second(0), trouble(FailureReason::Unauthorized), &mut random),
        None
    );
    assert_eq!(unsubmitted.step(second(0)), JobStep::Submit);
}

#[test]
fn a_transient_fault_costs_a_poll_and_not_the_job_until_it_times_out() {
    let (mut fetch, mut random) = submitted();
    assert_eq!(fetch.reply(second(2), trouble(FailureReason::Server), &mut random), None);
    assert_eq!(fetch.reply(second(10), trouble(FailureReason::Unreachable), &mut random), None);
    let outcome = fetch.reply(second(61), trouble(FailureReason::Server), &mut random);
    assert_matches!(
        outcome,
        Some(JobOutcome::Failed(JobError { reason: FailureReason::Server, .. }))
    );
}

#[test]
fn a_permanent_fault_ends_the_job_at_once() {
    for failure in [
        FailureReason::Lost,
        FailureReason::Failed,
        FailureReason::TooLarge,
        FailureReason::Forbidden,
        FailureReason::Rejected,
    ] {
        let (mut fetch, mut random) = submitted();
        let outcome = fetch.reply(second(2), trouble(failure), &mut random);
        assert_matches!(outcome, Some(JobOutcome::Failed(trouble)) if trouble.reason == failure);
    }
}

#[test]
fn a_finished_job_whose_answer_is_cut_is_polled_again_and_not_resubmitted() {
    let (mut fetch, mut random) = submitted();
    // The time for the job is long over: the answer was large, and the way slow.
    for second_now in [70, 140, 210] {
        assert_eq!(
            fetch.reply(second(second_now), trouble(FailureReason::Malformed), &mut random),
            None
        );
        assert_eq!(fetch.step(second(second_now + 69)), JobStep::Advance);
    }
    let outcome = fetch.reply(second(280), trouble(FailureReason::Malformed), &mut random);
    assert_matches!(
        outcome,
        Some(JobOutcome::Failed(JobError { reason: FailureReason::Malformed, .. }))
    );
    let (mut whole, mut random) = submitted();
    assert_eq!(whole.reply(second(2), trouble(FailureReason::Malformed), &mut random), None);
    let outcome = whole.reply(second(4), JobReply::Completed, &mut random);
    assert_eq!(outcome, Some(JobOutcome::Completed));
}

fn unavailable(seconds: u64) -> JobReply {
    JobReply::Failed(JobError {
        reason: FailureReason::Server,
        retry_after: Some(Duration::from_secs(seconds)),
        message: "503".to_owned(),
    })
}

#[test]
fn a_503_to_a_poll_is_waited_out_for_as_long_as_it_asks_up_to_five_minutes() {
    let (mut fetch, mut random) = submitted();
    assert_eq!(fetch.reply(second(2), unavailable(40), &mut random), None);
    assert_eq!(fetch.step(second(3)), JobStep::Wait(second(42)));
    assert_eq!(fetch.reply(second(42), JobReply::Unfinished, &mut random), None, "2 s are spent");
    assert_eq!(fetch.reply(second(44), unavailable(3600), &mut random), None);
    assert_eq!(fetch.step(second(45)), JobStep::Wait(second(344)));
    let outcome = fetch.reply(second(344), unavailable(3600), &mut random);
    assert_matches!(outcome, Some(JobOutcome::Failed(_)), "no job is left alone for ever");
}

#[test]
fn an_id_that_would_change_the_path_is_invalid() {
    for id in ["", ".", "..", "a\nb", &"x".repeat(257)] {
        assert_eq!(JobId::parse(id), None, "{id:?}");
    }
}
