//! One token for all, asked for by one at a time.

use std::time::Duration;

use assert_matches::assert_matches;
use futures_util::future::join_all;

use super::*;
use crate::cxone::{ApiEndpoint, ErrorKind, JobStatus, RowList};

fn running() -> ScriptedAnswer {
    ScriptedAnswer::ok(r#"{"status":"RUNNING"}"#)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_token_request() {
    let stage = Stage::with(ResponseLimits::default());
    stage.script.next(ScriptedAnswer::token(TOKEN, 1200).after(Duration::from_secs(2)));
    (0..100).for_each(|_| stage.script.next(running()));
    let job = job();
    let polls = join_all((0..100).map(|_| stage.client.poll::<RowList>(&job))).await;
    assert!(polls.iter().all(|poll| *poll == Ok(JobStatus::Running)));
    assert_eq!((stage.script.tokens_asked(), stage.script.requests().len()), (1, 101));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_failure() {
    let stage = Stage::with(ResponseLimits::default());
    stage.script.next(ScriptedAnswer::new(401, "bad client").after(Duration::from_secs(2)));
    let job = job();
    let polls = join_all((0..100).map(|_| stage.client.poll::<RowList>(&job))).await;
    for error in polls.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.kind, error.endpoint), (ErrorKind::Credentials, ApiEndpoint::Token));
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    }
    assert_eq!(stage.script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_the_asking_to_the_next() {
    let stage = Stage::with(ResponseLimits::default());
    stage.script.next(ScriptedAnswer::token("never seen", 1200).after(Duration::from_secs(30)));
    stage.script.next(ScriptedAnswer::token(TOKEN, 1200));
    stage.script.next(running());
    let (first, second) = (job(), job());
    let gives_up =
        tokio::time::timeout(Duration::from_secs(1), stage.client.poll::<RowList>(&first));
    let waits = async {
        tokio::task::yield_now().await;
        stage.client.poll::<RowList>(&second).await
    };
    let (gave_up, waited) = tokio::join!(gives_up, waits);
    assert!(gave_up.is_err());
    assert_matches!(waited, Ok(JobStatus::Running));
    assert_eq!(stage.script.tokens_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_not_hammered() {
    let stage = Stage::with(ResponseLimits::default());
    for _ in 0..12 {
        stage.script.next(ScriptedAnswer::new(401, "invalid_client"));
    }
    let clock = Clock::starting_at(EIGHT);
    let mut asked = Vec::new();
    while asked.len() < 12 {
        let before = stage.script.tokens_asked();
        let error = stage.client.submit(&request()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Credentials);
        assert!(error.to_string().contains("client secret"), "{error}");
        if stage.script.tokens_asked() > before {
            asked.push(clock.now().instant.elapsed().as_secs());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]);
    let failures = stage
        .events
        .lock()
        .unwrap()
        .iter()
        .filter(|event| matches!(event, ClientEvent::TokenRefreshFailed(_)))
        .count();
    assert_eq!(failures, 12);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_token_are_reported_by_their_cause() {
    for (answer, kind, words) in [
        (ScriptedAnswer::new(403, "disabled"), ErrorKind::TokenForbidden, "OAuth Clients"),
        (
            ScriptedAnswer::new(400, r#"{"error":"invalid_grant"}"#),
            ErrorKind::Token,
            "400 Bad Request and said: {\"error\":\"invalid_grant\"}",
        ),
        (ScriptedAnswer::new(429, ""), ErrorKind::Throttled, "429 Too Many Requests"),
        (ScriptedAnswer::new(404, ""), ErrorKind::Token, "check api.base_url or api.tenant"),
        (ScriptedAnswer::new(502, ""), ErrorKind::Server, "502 Bad Gateway"),
        (ScriptedAnswer::none(TransportFault::Cut), ErrorKind::Unreachable, "it broke"),
        (ScriptedAnswer::ok("hello"), ErrorKind::Malformed, "not a JSON object"),
        (ScriptedAnswer::ok("{}"), ErrorKind::Malformed, "no access_token"),
        (ScriptedAnswer::ok(r#"{"access_token":""}"#), ErrorKind::Malformed, "empty"),
        (
            ScriptedAnswer::ok(r#"{"access_token":"a\nb"}"#),
            ErrorKind::Malformed,
            "not valid in a header",
        ),
        (ScriptedAnswer::ok(" ".repeat(2_000_000)), ErrorKind::TooLarge, "more than 1048576 bytes"),
    ] {
        let stage = Stage::with(ResponseLimits::default());
        stage.script.next(answer);
        let error = stage.client.submit(&request()).await.unwrap_err();
        assert_eq!((error.kind, error.endpoint), (kind, ApiEndpoint::Token));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_no_token_is_asked_for_is_in_the_error_and_not_in_its_words() {
    for (answer, seconds) in [
        (ScriptedAnswer::new(429, ""), 5),
        (ScriptedAnswer::new(429, "").header("retry-after", "77"), 77),
        (ScriptedAnswer::new(502, ""), 1),
    ] {
        let stage = Stage::with(ResponseLimits::default());
        stage.script.next(answer);
        let error = stage.client.submit(&request()).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(seconds)));
        assert!(!error.to_string().contains("again in"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_twenty_seconds_never_expires_in_use() {
    let stage = Stage::with(ResponseLimits::default());
    for round in 0..6 {
        stage.script.next(ScriptedAnswer::token(&format!("tok-{round}"), 20));
        (0..5).for_each(|_| stage.script.next(running()));
    }
    for _ in 0..30 {
        assert_matches!(stage.client.poll::<RowList>(&job()).await, Ok(JobStatus::Running));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(stage.script.tokens_asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_while_the_new_one_is_late_or_not_granted() {
    let stage = Stage::logged_in();
    stage.script.next(running());
    stage.client.poll::<RowList>(&job()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1145)).await;
    stage.script.next(ScriptedAnswer::new(503, "").after(Duration::from_secs(9)));
    (0..3).for_each(|_| stage.script.next(running()));
    let job = job();
    let polls = join_all((0..3).map(|_| stage.client.poll::<RowList>(&job))).await;
    assert!(polls.iter().all(|poll| *poll == Ok(JobStatus::Running)), "{polls:?}");
    assert!(stage.script.requests()[3..].iter().all(|request| request.ends_with("[Bearer tok-1]")));
    assert_eq!(stage.script.tokens_asked(), 2);
}
