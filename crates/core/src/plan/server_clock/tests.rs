//! Answers of one simulated day, right ones and wrong ones.

use proptest::prelude::*;

use super::*;

/// True time when the process began.
const BEGAN: i64 = 1_000_000_000;
const HOUR: i64 = 3_600_000;

/// `instant` milliseconds after the process began, with our clock so far ahead of the true time.
fn now(instant: u64, ahead: i64) -> Now {
    let utc = BEGAN + i64::try_from(instant).expect("small") + ahead;
    Now {
        instant: Monotonic::from_elapsed(Duration::from_millis(instant)),
        utc: Timestamp::from_millis(utc),
    }
}

/// What a server whose clock is so far ahead of the true time writes at `instant`.
fn date(instant: u64, ahead: i64) -> Timestamp {
    let millis = BEGAN + i64::try_from(instant).expect("small") + ahead;
    Timestamp::from_millis(millis - millis.rem_euclid(1_000))
}

fn at_true(instant: u64, ahead: i64) -> Timestamp {
    now(instant, ahead).utc
}

/// A clock, and the time since the process began.
#[derive(Default)]
struct ClockRun {
    clock: ServerClock,
    instant: u64,
    own_ahead: i64,
    rejected: usize,
    steps: usize,
}

impl ClockRun {
    fn with_our_clock_ahead(millis: i64) -> Self {
        Self { own_ahead: millis, ..Self::default() }
    }

    fn now(&self) -> Now {
        now(self.instant, self.own_ahead)
    }

    /// An answer after 130 ms, 4 s after the one before.
    fn answer_with(&mut self, date: Timestamp, age: Duration) {
        let sent = now(self.instant.saturating_sub(130), self.own_ahead);
        let noted = self.clock.observe(sent, self.now(), date, age);
        self.rejected += usize::from(noted.fault.is_some());
        self.steps += usize::from(noted.step_millis.is_some());
        self.instant += 4_070;
    }

    fn answer(&mut self, ahead: i64) {
        self.answer_with(date(self.instant - 60.min(self.instant), ahead), Duration::ZERO);
    }

    /// How far what the clock says is ahead of the true time; `None` while it says nothing.
    fn error(&self) -> Option<i64> {
        let estimate = self.clock.now(self.now())?;
        Some(estimate.millis() - at_true(self.instant, 0).millis())
    }
}

fn is_right(run: &ClockRun, cxone_ahead: i64) {
    let error = run.error().expect("settled") - cxone_ahead;
    assert!((-2_500..=200).contains(&error), "{error} ms off");
}

#[test]
fn our_clock_is_good_enough_when_the_dates_agree() {
    let mut run = ClockRun::with_our_clock_ahead(-700);
    (0..20).for_each(|_| run.answer(0));
    assert_eq!(run.error(), Some(-700));
    let skew = run.clock.skew_seconds(run.now()).expect("there was a date");
    assert!((skew - 0.7).abs() < 0.3, "{skew}");
    let mut run = ClockRun::with_our_clock_ahead(1_900);
    (0..20).for_each(|_| run.answer(0));
    let error = run.error().expect("settled");
    assert!((0..=400).contains(&error), "the votes are more precise than one of them: {error}");
}

#[test]
fn cxones_clock_is_not_behind_a_reported_visit_if_our_clock_agrees() {
    let mut run = ClockRun::default();
    (0..20).for_each(|_| run.answer(0));
    run.clock.reported(run.now(), at_true(run.instant, -20_000));
    run.clock.reported(run.now(), at_true(run.instant, -HOUR));
    (0..20).for_each(|_| run.answer(-HOUR));
    let error = run.error().expect("settled");
    assert!((-20_100..=-20_000).contains(&error), "{error}");
    run.own_ahead = -HOUR;
    is_right(&run, -HOUR);
    run.own_ahead = 0;
    (0..20).for_each(|_| run.answer(0));
    is_right(&run, 0);
}

#[test]
fn one_wrong_date_moves_nothing_whenever_it_comes() {
    for wrong in [12_000, HOUR, -HOUR, 10_000 * HOUR, -BEGAN] {
        for index in 0..20 {
            let mut run = ClockRun::default();
            for number in 0..20 {
                run.answer(if number == index { wrong } else { 0 });
                let error = run.error();
                assert!(error.is_none_or(|error| error <= 0), "{wrong} at {index}: {error:?}");
                assert!(number == 0 || error == Some(0), "{wrong} at {index}: {error:?}");
            }
            assert_eq!((run.steps, run.rejected), (0, usize::from(index > 0)), "{wrong} {index}");
        }
    }
}

#[test]
fn the_dates_of_one_bad_machine_behind_a_load_balancer_are_rejected() {
    for wrong in [12_000, HOUR, -HOUR] {
        for first in [0, 1] {
            let mut run = ClockRun::default();
            for number in 0..200 {
                run.answer(if number % 2 == first { wrong } else { 0 });
                assert!(run.error().expect("settled") <= 0, "{wrong}, answer {number}");
            }
            is_right(&run, 0);
            assert!(run.rejected >= 99 && run.steps == 0, "{} {}", run.rejected, run.steps);
            assert_eq!(run.clock.doubted(), 8);
        }
    }
}

#[test]
fn cxones_clock_is_used_where_it_really_differs_and_never_runs_ahead_of_itself() {
    for ahead in [-10_000 * HOUR, -HOUR, -420_000, 45_000, HOUR, 10_000 * HOUR] {
        let mut run = ClockRun::default();
        for number in 0..8 {
            run.answer(ahead);
            assert!(run.error().is_none_or(|error| error <= ahead.max(0)), "{ahead}: {number}");
        }
        assert!(run.clock.is_settled() && run.rejected == 0);
        is_right(&run, ahead);
        let skew = run.clock.skew_seconds(run.now()).expect("there was a date");
        assert!(
            (skew
                - Duration::from_millis(ahead.unsigned_abs())
                    .as_secs_f64()
                    .copysign(if ahead < 0 { -1.0 } else { 1.0 }))
            .abs()
                < 0.6,
            "{skew}"
        );
    }
}

#[test]
fn our_clock_in_1970_is_not_gone_by_once_the_answers_agree() {
    let mut run = ClockRun::with_our_clock_ahead(-BEGAN);
    run.answer(0);
    assert_eq!(run.error(), None, "nothing is requested in 1970");
    (0..4).for_each(|_| run.answer(0));
    is_right(&run, 0);
}

#[test]
fn a_clock_that_really_steps_is_followed_once_nearly_all_answers_agree() {
    let mut run = ClockRun::default();
    (0..30).for_each(|_| run.answer(0));
    (0..14).for_each(|_| run.answer(HOUR));
    assert_eq!((run.error(), run.steps, run.rejected), (Some(0), 0, 14));
    (0..2).for_each(|_| run.answer(HOUR));
    is_right(&run, HOUR);
    assert_eq!(run.steps, 1);
    (0..7).for_each(|_| run.answer(0));
    is_right(&run, 0);
    assert_eq!(run.steps, 2, "back to where our clock is it is believed sooner");
}

#[test]
fn a_step_of_our_clock_does_not_move_windows() {
    for step in [HOUR, -HOUR] {
        let mut run = ClockRun::default();
        (0..20).for_each(|_| run.answer(0));
        run.own_ahead = step;
        is_right(&run, 0);
        (0..20).for_each(|_| run.answer(0));
        is_right(&run, 0);
        assert_eq!((run.steps, run.rejected), (0, 0));
    }
}

#[test]
fn a_machine_that_was_suspended_learns_the_time_again() {
    let mut run = ClockRun::default();
    (0..20).for_each(|_| run.answer(0));
    // Its clock that never steps stood still meanwhile, so that all others are an hour ahead.
    run.own_ahead = HOUR;
    (0..7).for_each(|_| run.answer(HOUR));
    is_right(&run, HOUR);
}

#[test]
fn a_date_that_stands_still_is_not_a_vote_and_the_estimate_advances() {
    let mut run = ClockRun::default();
    (0..10).for_each(|_| run.answer(0));
    let frozen = date(run.instant, 0);
    for _ in 0..2_000 {
        run.answer_with(frozen, Duration::ZERO);
        assert_eq!(run.error(), Some(0));
    }
    assert!(run.rejected >= 1_999 && run.clock.doubted() == 16);
    run.answer(0);
    assert!(run.clock.doubted() == 15, "one that moves is believed at once");
}

#[test]
fn a_cache_that_was_frozen_before_the_start_does_not_hold_the_time_forever() {
    for ahead in [-HOUR, -10_000 * HOUR, HOUR] {
        let mut run = ClockRun::default();
        let frozen = date(0, ahead);
        for _ in 0..20 {
            run.answer_with(frozen, Duration::ZERO);
            assert!(run.error().is_none_or(|error| error <= 0));
        }
        assert_eq!(run.error(), Some(0), "our clock is gone by");
    }
}

#[test]
fn the_age_of_a_cached_answer_is_added_to_its_date() {
    let mut run = ClockRun::with_our_clock_ahead(HOUR);
    for number in 0..100 {
        let age = Duration::from_millis(run.instant);
        run.answer_with(date(0, 0), Duration::from_secs(age.as_secs()));
        assert!(run.error().is_none_or(|error| error <= 0), "{number}");
    }
    is_right(&run, 0);
    assert_eq!(run.rejected, 0);
}

#[test]
fn a_slow_answer_is_not_a_vote() {
    let mut clock = ServerClock::default();
    let noted = clock.observe(now(0, 0), now(20_000, 0), date(0, 0), Duration::ZERO);
    assert_eq!(noted, DateNoted::default());
    assert_eq!(clock.skew_seconds(now(20_000, 0)), None);
    assert_eq!(clock.now(now(20_000, 0)), Some(at_true(20_000, 0)));
}

#[test]
fn a_slow_drift_is_followed_and_is_not_a_step() {
    let mut run = ClockRun::default();
    // 150 millionths: half a second in an hour.
    for _ in 0..10_000_u32 {
        let drift = i64::try_from(run.instant).expect("small") * 150 / 1_000_000;
        run.answer(drift);
    }
    assert_eq!((run.rejected, run.steps), (0, 0));
    let drift = i64::try_from(run.instant).expect("small") * 150 / 1_000_000;
    assert!(drift > 5_000);
    is_right(&run, drift);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Of any sixteen answers in a row, seven may say anything: what is gone by is never further
    /// ahead than our clock or a `Date` can be right, and never stays behind.
    #[test]
    fn a_minority_of_wrong_dates_never_moves_time_ahead_nor_holds_it(
        wrong in prop::collection::vec((0_usize..16, prop_oneof![
            Just(HOUR), Just(-HOUR), Just(12_000), Just(-BEGAN), -10_000 * HOUR..10_000 * HOUR,
        ]), 0..8),
        ours in -1_500_i64..1_500,
    ) {
        let mut run = ClockRun::with_our_clock_ahead(ours);
        for number in 0..160 {
            let ahead = wrong.iter().find(|(index, _)| *index == number % 16);
            run.answer(ahead.map_or(0, |(_, ahead)| *ahead));
            let error = run.error();
            prop_assert!(error.is_none_or(|error| error <= 1_500), "answer {number}: {error:?}");
            if number >= 16 {
                prop_assert!(error.expect("settled") >= -2_500, "answer {number}: {error:?}");
            }
        }
        prop_assert_eq!(run.steps, 0);
    }

    /// The same where CXone's clock and ours really differ, for one in eight.
    #[test]
    fn a_few_wrong_dates_do_not_hide_a_real_difference(
        real in prop_oneof![-20 * HOUR..-5_000, 5_000_i64..20 * HOUR],
        places in prop::collection::hash_set(1_usize..16, 0..3), wrong in -30 * HOUR..30 * HOUR,
    ) {
        let mut run = ClockRun::default();
        for number in 0..160 {
            run.answer(if places.contains(&(number % 16)) { wrong } else { real });
            prop_assert!(run.error().is_none_or(|error| error <= real.max(0) + 1_200));
        }
        let error = run.error().expect("settled") - real;
        prop_assert!((-2_500..=200).contains(&error), "{error}");
    }
}
