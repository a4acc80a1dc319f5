//! The plan in virtual time, against a CXone that answers as a test says.

use std::collections::HashMap;
use std::num::NonZeroU32;

use assert_matches::assert_matches;
use proptest::prelude::*;

use super::*;
use crate::plan::fetch::JobTiming;
use crate::plan::window::WindowRules;

const MINUTE: Duration = Duration::from_secs(60);

fn rules() -> PlannerRules {
    PlannerRules {
        interval: MINUTE,
        windows: WindowRules {
            lookback: 24 * 60 * MINUTE,
            overlap: 15 * MINUTE,
            settle_delay: Duration::ZERO,
            retention: 30 * 24 * 60 * MINUTE,
        },
        timing: JobTiming { poll_every: Duration::from_secs(2), timeout: MINUTE },
        jobs_per_minute: NonZeroU32::new(10).expect("ten"),
        mode: RetrievalMode::Jobs,
        max_staleness: 15 * MINUTE,
    }
}

fn utc(now: Monotonic) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus(now.elapsed())
}

fn second(seconds: u64) -> Monotonic {
    Monotonic::from_elapsed(Duration::from_secs(seconds))
}

/// Runs the plan for a while. `answer` says what comes of a submit; polls of accepted jobs complete
/// at once.
struct PlannerRun {
    planner: Planner,
    watermarks: HashMap<TargetId, Timestamp>,
    submits: Vec<(Monotonic, TargetId, Window)>,
    ended: Vec<EndedJob>,
}

impl PlannerRun {
    fn new(rules: PlannerRules, targets: usize) -> Self {
        let planner = Planner::new(rules, targets, Monotonic::default(), Random::from_seed(3));
        Self { planner, watermarks: HashMap::new(), submits: Vec::new(), ended: Vec::new() }
    }

    fn until(&mut self, end: Monotonic, mut answer: impl FnMut(Monotonic, TargetId) -> JobReply) {
        self.until_answering(end, |now, id, _| answer(now, id));
    }

    /// Submits are accepted, and `report` says what comes of the window.
    fn until_polling(&mut self, end: Monotonic, report: impl Fn(Window) -> JobReply) {
        self.run(end, |_, _, _| accepted(), report);
    }

    fn until_answering(
        &mut self,
        end: Monotonic,
        answer: impl FnMut(Monotonic, TargetId, Window) -> JobReply,
    ) {
        self.run(end, answer, |_| JobReply::Completed);
    }

    fn run(
        &mut self,
        end: Monotonic,
        mut answer: impl FnMut(Monotonic, TargetId, Window) -> JobReply,
        report: impl Fn(Window) -> JobReply,
    ) {
        let mut now = Monotonic::default();
        while now < end {
            let watermarks = &self.watermarks;
            while let Some(action) =
                self.planner.next(now, Some(utc(now)), |id| watermarks.get(&id).copied())
            {
                let (id, reply) = match action {
                    PlannerAction::Submit(id, window) => {
                        self.submits.push((now, id, window));
                        (id, answer(now, id, window))
                    }
                    PlannerAction::Advance(id, _) => {
                        let window = self.planner.origin(id).expect("it is in progress").window;
                        (id, report(window))
                    }
                };
                if let Some(ended) =
                    self.planner.reply(Now { instant: now, utc: utc(now) }, id, reply)
                {
                    if ended.gives_up || ended.outcome == JobOutcome::Completed && !ended.probes {
                        self.watermarks.insert(id, ended.origin.window.to);
                    }
                    self.ended.push(ended);
                    break;
                }
            }
            now = self
                .planner
                .wake_at(now)
                .map_or(end, |due| due.max(now.plus(Duration::from_millis(1))));
        }
    }

    fn submits_of(&self, index: usize) -> usize {
        self.submits.iter().filter(|(_, id, _)| id.index() == index).count()
    }
}

fn accepted() -> JobReply {
    JobReply::Submitted(JobId::parse("job").expect("an id"))
}

fn failed(failure: FailureReason) -> JobReply {
    JobReply::Failed(JobError { reason: failure, retry_after: None, message: String::new() })
}

#[test]
fn each_target_is_polled_once_an_interval_from_its_watermark_on() {
    let mut run = PlannerRun::new(rules(), 3);
    run.until(second(600), |_, _| accepted());
    for index in 0..3 {
        assert!((9..=11).contains(&run.submits_of(index)), "{}", run.submits_of(index));
    }
    let windows: Vec<Window> = run
        .submits
        .iter()
        .filter(|(_, id, _)| id.index() == 0)
        .map(|(_, _, window)| *window)
        .collect();
    assert!(windows.windows(2).all(|pair| pair[1].from == pair[0].to.minus(15 * MINUTE)));
}

#[test]
fn too_many_targets_take_turns_fairly() {
    let mut run = PlannerRun::new(rules(), 30);
    run.until(second(3_600), |_, _| accepted());
    let submits: Vec<usize> = (0..30).map(|index| run.submits_of(index)).collect();
    let (least, most) = (submits.iter().min().expect("some"), submits.iter().max().expect("some"));
    assert!(most - least <= 1, "{submits:?}");
    assert!(run.planner.quota_wait() > MINUTE);
    assert_eq!(run.planner.cycle(), Duration::from_millis(6_100) * 30);
}

#[test]
fn a_target_that_fails_does_not_hold_up_the_others() {
    let mut run = PlannerRun::new(rules(), 3);
    run.until(second(600), |_, id| {
        if id.index() == 1 { failed(FailureReason::Failed) } else { accepted() }
    });
    assert!(
        run.submits_of(0) >= 9 && run.submits_of(2) >= 9,
        "{} {}",
        run.submits_of(0),
        run.submits_of(2)
    );
    assert!(run.planner.status(TargetId::new(0), second(600)).up);
    let failing = run.planner.status(TargetId::new(1), second(600));
    assert!(!failing.up && failing.last_error.is_some());
}

#[test]
fn a_429_to_a_submit_holds_all_submits_for_as_long_as_it_says() {
    let mut run = PlannerRun::new(rules(), 3);
    let mut throttled = false;
    run.until(second(200), |_, _| {
        if std::mem::replace(&mut throttled, true) {
            accepted()
        } else {
            JobReply::Throttled {
                retry_after: Some(Duration::from_secs(90)),
                message: String::new(),
            }
        }
    });
    assert_eq!(run.submits[0].0, second(0));
    assert!(run.submits[1].0 >= second(90) && run.submits[1].0 < second(97));
    assert_eq!(run.submits[1].1, run.submits[0].1, "it keeps its turn");
    assert_eq!(run.submits[1].2.to, utc(run.submits[1].0), "with a window up to now");
}

#[test]
fn wrong_credentials_and_missing_rights_are_retried_slowly() {
    for failure in [FailureReason::Credentials, FailureReason::Forbidden] {
        let mut run = PlannerRun::new(rules(), 1);
        run.until(second(3_600), |_, _| failed(failure));
        assert!((8..=16).contains(&run.submits.len()), "{failure:?}: {}", run.submits.len());
    }
}

#[test]
fn a_rejected_body_is_never_sent_again() {
    let mut run = PlannerRun::new(rules(), 1);
    run.until(second(600), |_, _| failed(FailureReason::Rejected));
    assert!(
        run.submits
            .windows(2)
            .all(|pair| pair[0].2 != pair[1].2 && pair[1].0.since(pair[0].0) >= MINUTE)
    );
}

#[test]
fn a_long_absence_is_caught_up_with_slices_within_the_quota() {
    let mut run = PlannerRun::new(rules(), 1);
    run.watermarks.insert(TargetId::new(0), utc(second(0)).minus(4 * 24 * 60 * MINUTE));
    run.until(second(120), |_, _| accepted());
    let to: Vec<Timestamp> = run.submits.iter().map(|(_, _, window)| window.to).collect();
    assert!(to[4] >= utc(second(0)), "{to:?}");
    assert!(run.submits[4].0 < second(35));
}

#[test]
fn a_target_without_a_success_turns_stale_after_the_longer_of_staleness_and_three_cycles() {
    let mut run = PlannerRun::new(rules(), 200);
    run.until(second(300), |_, _| accepted());
    let id = TargetId::new(0);
    let cycles = run.planner.cycle() * 3;
    assert!(cycles > 15 * MINUTE);
    let success = run.planner.status(id, second(300)).last_success.expect("a success").instant;
    assert!(!run.planner.status(id, success.plus(cycles - Duration::from_secs(1))).stale);
    assert!(run.planner.status(id, success.plus(cycles)).stale);
    let due = run.planner.wake_at(success).expect("something to do");
    assert!(due <= success.plus(cycles));
}

#[test]
fn a_repeated_submit_takes_from_the_quota_like_any_other() {
    let mut planner = Planner::new(rules(), 1, Monotonic::default(), Random::from_seed(1));
    assert_matches!(
        planner.next(second(0), Some(utc(second(0))), |_| None),
        Some(PlannerAction::Submit(..))
    );
    let now = Now { instant: second(0), utc: utc(second(0)) };
    assert_eq!(planner.reply(now, TargetId::new(0), failed(FailureReason::Unauthorized)), None);
    assert_eq!(planner.next(second(1), Some(utc(second(1))), |_| None), None);
    assert_eq!(
        planner.wake_at(second(1)),
        Some(Monotonic::from_elapsed(Duration::from_millis(6_100)))
    );
    assert_matches!(
        planner.next(second(7), Some(utc(second(7))), |_| None),
        Some(PlannerAction::Submit(..))
    );
}

#[test]
fn a_clock_that_stepped_back_waits_instead_of_requesting_the_future() {
    let mut planner = Planner::new(rules(), 1, Monotonic::default(), Random::from_seed(1));
    let ahead = utc(second(3_600));
    assert_eq!(planner.next(second(0), Some(utc(second(0))), |_| Some(ahead)), None);
    assert_matches!(planner.next(second(3_601), Some(utc(second(3_601))), |_| Some(ahead)), Some(PlannerAction::Submit(_, window)) if window.to > ahead);
}

/// A target a week behind, whose submits are answered by when they are made and for what.
fn behind(
    rules: PlannerRules,
    end: Monotonic,
    answer: impl Fn(Monotonic, Window) -> JobReply,
) -> PlannerRun {
    let mut run = PlannerRun::new(rules, 1);
    run.watermarks.insert(TargetId::new(0), utc(second(0)).minus(7 * 24 * 60 * MINUTE));
    run.until_answering(end, |now, _, window| answer(now, window));
    run
}

#[test]
fn a_slice_is_given_up_only_when_it_is_rejected_for_long_and_the_newest_window_is_accepted() {
    let is_old = |window: Window| window.to < utc(second(0)).minus(24 * 60 * MINUTE);
    let rejected = |_: Monotonic, window: Window| {
        if is_old(window) { failed(FailureReason::Rejected) } else { accepted() }
    };
    let run = behind(rules(), second(1_200), rejected);
    let given_up: Vec<&EndedJob> = run.ended.iter().filter(|ended| ended.gives_up).collect();
    let first = run.ended.iter().position(|ended| ended.gives_up).expect("given up");
    assert!(run.ended[..first].iter().any(|ended| ended.probes));
    assert!(run.submits.iter().filter(|(now, ..)| *now < second(300)).count() >= 5);
    assert!(given_up.iter().all(|ended| is_old(ended.origin.window)));
    assert!(run.ended.iter().all(|ended| !ended.probes || ended.outcome == JobOutcome::Completed));
    let lengths: Vec<u64> = run.ended[..first]
        .iter()
        .filter(|ended| !ended.probes)
        .map(|ended| ended.origin.window.length().as_secs() / 3600)
        .collect();
    assert_eq!(lengths[..3], [24, 12, 6], "it may be too long only: {lengths:?}");
    for (refuses, why) in [
        (None, "everything is rejected: the filter is wrong, or a gateway answers"),
        (Some(second(240)), "it passes"),
    ] {
        let run = behind(rules(), second(3_600), |now, window| match refuses {
            None => failed(FailureReason::Rejected),
            Some(until) if now < until => rejected(now, window),
            Some(_) => accepted(),
        });
        assert!(run.ended.iter().all(|ended| !ended.gives_up), "{why}");
    }
    for failure in
        FailureReason::ALL.into_iter().filter(|failure| *failure != FailureReason::Rejected)
    {
        let run = behind(rules(), second(1_200), |_, window| {
            if is_old(window) { failed(failure) } else { accepted() }
        });
        assert!(run.ended.iter().all(|ended| !ended.gives_up), "{failure:?}");
    }
}

#[test]
fn a_window_that_is_too_large_is_halved_until_it_fits_and_no_history_is_left_out() {
    let fits = Duration::from_secs(5 * 3600);
    let mut run = PlannerRun::new(rules(), 1);
    let start = utc(second(0)).minus(7 * 24 * 60 * MINUTE);
    run.watermarks.insert(TargetId::new(0), start);
    run.until_polling(second(3_600), |window| {
        if window.length() > fits { failed(FailureReason::TooLarge) } else { JobReply::Completed }
    });
    let read: Vec<Window> = run
        .ended
        .iter()
        .filter(|ended| ended.outcome == JobOutcome::Completed)
        .map(|ended| ended.origin.window)
        .collect();
    assert!(read[0].from <= start && read.windows(2).all(|pair| pair[1].from <= pair[0].to));
    assert!(read.last().expect("some").to >= utc(second(3_400)), "it has caught up");
    let failures = run.ended.len() - read.len();
    assert!(failures < read.len() / 2, "{failures} of {} failed", run.ended.len());
}

#[test]
fn no_window_is_halved_below_what_makes_progress() {
    let mut run = PlannerRun::new(rules(), 1);
    run.watermarks.insert(TargetId::new(0), utc(second(0)).minus(7 * 24 * 60 * MINUTE));
    run.until_polling(second(3_600), |_| failed(FailureReason::Timeout));
    let shortest = run.submits.iter().map(|(_, _, window)| window.length()).min();
    assert_eq!(shortest, Some(15 * MINUTE + MINUTE / 4));
    let status = run.planner.status(TargetId::new(0), second(3_600));
    assert_eq!(status.longest_window, shortest);
}

#[test]
fn without_knowing_the_time_at_cxone_nothing_is_requested_and_the_clock_is_checked() {
    let mut planner = Planner::new(rules(), 2, Monotonic::default(), Random::from_seed(1));
    let (mut now, mut checks) = (second(0), 0);
    while now < second(600) {
        assert_eq!(planner.next(now, None, |_| None), None);
        checks += u32::from(planner.take_clock_doubt());
        assert!(!planner.take_clock_doubt());
        now = planner.wake_at(now).expect("it tries again").max(now.plus(Duration::from_millis(1)));
    }
    assert!((20..40).contains(&checks), "{checks} in ten minutes");
    assert_matches!(
        planner.next(second(700), Some(utc(second(700))), |_| None),
        Some(PlannerAction::Submit(..))
    );
    assert!(!planner.take_clock_doubt());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_back_no_minute_holds_more_submits_than_the_quota(
        answers in prop::collection::vec(0..6_usize, 50), targets in 1..40_usize, limit in 1..20_u32,
    ) {
        let rules = PlannerRules { jobs_per_minute: NonZeroU32::new(limit).expect("at least one"), interval: Duration::from_secs(1), ..rules() };
        let mut run = PlannerRun::new(rules, targets);
        let mut index = 0;
        run.until(second(900), |_, _| {
            index += 1;
            match answers[index % answers.len()] {
                0 => failed(FailureReason::Server),
                1 => failed(FailureReason::Unauthorized),
                2 => JobReply::Throttled { retry_after: Some(Duration::ZERO), message: String::new() },
                _ => accepted(),
            }
        });
        for (index, (first, _, _)) in run.submits.iter().enumerate() {
            let within = run.submits[index..].iter().filter(|(at, _, _)| at.since(*first) <= MINUTE).count();
            prop_assert!(within <= usize::try_from(limit).expect("small"));
        }
    }
}

/// Answers every page as `answer` says, for a while; returns when each page was requested.
fn pages(
    targets: usize,
    minutes: u64,
    mut answer: impl FnMut(usize) -> JobReply,
) -> (Planner, Vec<Monotonic>) {
    let mut planner = Planner::new(
        PlannerRules { mode: RetrievalMode::Pages, ..rules() },
        targets,
        Monotonic::default(),
        Random::from_seed(5),
    );
    let (mut watermarks, mut asked, mut now) = (HashMap::new(), Vec::new(), Monotonic::default());
    while now < second(60 * minutes) {
        while let Some(action) =
            planner.next(now, Some(utc(now)), |id| watermarks.get(&id).copied())
        {
            let PlannerAction::Advance(id, window) = action else { panic!("{action:?}") };
            asked.push(now);
            let reply = Now { instant: now, utc: utc(now) };
            if let Some(ended) = planner.reply(reply, id, answer(asked.len()))
                && ended.outcome == JobOutcome::Completed
            {
                watermarks.insert(id, window.to);
            }
        }
        now = planner
            .wake_at(now)
            .expect("there is always a next time")
            .max(now.plus(Duration::from_millis(1)));
    }
    (planner, asked)
}

fn throttled() -> JobReply {
    JobReply::Throttled { retry_after: None, message: String::new() }
}

#[test]
fn pages_follow_each_other_at_once_and_windows_after_the_interval_but_not_in_step() {
    let (planner, asked) = pages(1, 60, |number| {
        if number.is_multiple_of(3) { JobReply::Completed } else { JobReply::Unfinished }
    });
    let apart: Vec<u64> = asked
        .chunks_exact(3)
        .collect::<Vec<_>>()
        .windows(2)
        .map(|pair| pair[1][0].since(pair[0][0]).as_secs())
        .collect();
    assert!(
        asked.chunks_exact(3).all(|window| window[2].since(window[0]) < Duration::from_millis(10)),
        "{asked:?}"
    );
    assert!(apart.iter().all(|apart| (54..=66).contains(apart)), "{apart:?}");
    assert!(apart.iter().max() > apart.iter().min(), "{apart:?}");
    assert_eq!(planner.status(TargetId::new(0), second(3600)).last_error, None);
}

#[test]
fn a_429_to_a_page_holds_all_windows_and_loses_none() {
    let (_, asked) =
        pages(5, 10, |number| if number == 4 { throttled() } else { JobReply::Completed });
    let after = asked[4].since(asked[3]);
    assert!(after >= Duration::from_secs(5) && after <= Duration::from_secs(8), "{after:?}");
    let (planner, asked) = pages(1, 30, |_| throttled());
    assert!(asked.len() < 45, "{} requests in half an hour of 429", asked.len());
    assert!(
        planner.status(TargetId::new(0), second(1800)).job_age.is_some(),
        "no page is given up for waits"
    );
}

#[test]
fn a_page_that_fails_is_retried_until_the_timeout_and_only_then_the_window_fails() {
    let down = || {
        JobReply::Failed(JobError {
            reason: FailureReason::Server,
            retry_after: None,
            message: String::new(),
        })
    };
    let (planner, asked) =
        pages(1, 5, |number| if number == 1 { JobReply::Unfinished } else { down() });
    assert!(asked.len() > 5, "{asked:?}");
    assert_matches!(
        planner.status(TargetId::new(0), second(300)).last_error,
        Some(JobError { reason: FailureReason::Server, .. })
    );
    let (planner, _) =
        pages(1, 5, |number| if number.is_multiple_of(2) { down() } else { JobReply::Unfinished });
    let age =
        planner.status(TargetId::new(0), second(300)).job_age.expect("every second page comes");
    assert!(age > Duration::from_secs(240), "{age:?}");
}

#[test]
fn a_page_that_is_sometimes_invalid_is_retried_and_one_that_always_is_fails_the_window() {
    let invalid_answers = |failure| {
        JobReply::Failed(JobError { reason: failure, retry_after: None, message: String::new() })
    };
    for failure in [FailureReason::Malformed, FailureReason::Redirected, FailureReason::Token] {
        let (planner, _) = pages(1, 5, |number| {
            if number % 4 == 0 { JobReply::Unfinished } else { invalid_answers(failure) }
        });
        let age =
            planner.status(TargetId::new(0), second(300)).job_age.expect("every fourth page comes");
        assert!(age > Duration::from_secs(240), "{failure:?}: {age:?}");
        let (planner, asked) = pages(1, 1, |_| invalid_answers(failure));
        let status = planner.status(TargetId::new(0), second(60));
        assert_eq!(
            (status.last_error.map(|trouble| trouble.reason), status.up),
            (Some(failure), false)
        );
        assert!(asked[3].since(asked[0]) < Duration::from_secs(20), "it fails soon: {asked:?}");
    }
    let (planner, asked) = pages(1, 1, |number| {
        if number == 1 { JobReply::Unfinished } else { invalid_answers(FailureReason::Rejected) }
    });
    assert_eq!(
        planner.status(TargetId::new(0), second(60)).last_error.map(|trouble| trouble.reason),
        Some(FailureReason::Rejected)
    );
    assert!(asked[1].since(asked[0]) < Duration::from_millis(10));
}
