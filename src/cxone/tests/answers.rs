//! Every line of the table of answers.

use std::time::Duration;

use assert_matches::assert_matches;

use super::*;
use crate::cxone::{ApiEndpoint, ErrorKind, JobStatus, RowList};
use cxone_core::report::Report;

async fn submitted(answer: ScriptedAnswer) -> Result<JobId, crate::cxone::ApiError> {
    let stage = Stage::logged_in();
    stage.script.next(answer);
    stage.client.submit(&request()).await
}

async fn polled(answer: ScriptedAnswer) -> Result<JobStatus<RowList>, crate::cxone::ApiError> {
    let stage = Stage::logged_in();
    stage.script.next(answer);
    stage.client.poll(&job()).await
}

#[tokio::test(start_paused = true)]
async fn a_job_is_submitted_as_the_table_says_and_asked_for_by_its_id() {
    let stage = Stage::logged_in();
    stage.script.next(ScriptedAnswer::new(
        202,
        r#"{"id":"job/1","statusUrl":"https://elsewhere.test/steal"}"#,
    ));
    stage.script.next(ScriptedAnswer::ok(r#"{"status":"PENDING"}"#));
    let job = stage.client.submit(&request()).await.unwrap();
    assert_eq!(
        stage.client.poll::<Report>(&job).await.map(|poll| matches!(poll, JobStatus::Pending)),
        Ok(true)
    );
    assert_eq!(
        stage.script.requests(),
        [
            "POST http://cxone.test/eu/oauth/token",
            "POST http://cxone.test/eu/api/v2/reports [Bearer tok-1]",
            "GET http://cxone.test/eu/api/v2/reports/job%2F1 [Bearer tok-1]",
        ]
    );
    assert_eq!(
        stage.script.request_body(0),
        "grant_type=client_credentials&client_id=my-client&client_secret=s3cret%2Fwith%2Bodd+chars"
    );
    assert_eq!(stage.script.request_header(0, "content-type"), "application/x-www-form-urlencoded");
    assert_eq!(stage.script.request_header(1, "content-type"), "application/json");
    assert_eq!(
        stage.script.request_body(1),
        concat!(
            r#"{"reportType":"agent-state-history","dateFrom":"2023-10-26T08:00:00.000Z","dateTo":"2023-10-27T08:00:00.000Z","#,
            r#""filter":{"type":"user","id":"user-abc-123"},"groupBy":["userId","stateName","skillName"],"metrics":["count"]}"#
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_submit_without_a_usable_id_is_malformed() {
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(257));
    for body in [
        "",
        "{}",
        "[]",
        "<html>",
        r#"{"id":null}"#,
        r#"{"id":""}"#,
        r#"{"id":"."}"#,
        r#"{"id":".."}"#,
        r#"{"id":["a"]}"#,
        r#"{"id":"a"#,
        r#"{"id":"a\u0000"}"#,
        &long,
    ] {
        assert_eq!(
            submitted(ScriptedAnswer::ok(body)).await.unwrap_err().kind,
            ErrorKind::Malformed,
            "{body}"
        );
    }
    assert_eq!(submitted(ScriptedAnswer::ok("\u{feff}{\"id\":7}")).await.unwrap().as_str(), "7");
    assert_eq!(submitted(ScriptedAnswer::ok(r#"{"Id":"j-7"}"#)).await.unwrap().as_str(), "j-7");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_is_dropped_and_the_next_request_gets_another() {
    for polls in [false, true] {
        let stage = Stage::logged_in();
        stage.script.next(ScriptedAnswer::new(401, "token expired"));
        stage.script.next(ScriptedAnswer::token("tok-2", 1200));
        stage.script.next(ScriptedAnswer::ok(r#"{"id":"j","status":"RUNNING"}"#));
        let error = if polls {
            stage.client.poll::<RowList>(&job()).await.map(drop).unwrap_err()
        } else {
            stage.client.submit(&request()).await.map(drop).unwrap_err()
        };
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        assert_matches!(stage.client.poll::<RowList>(&job()).await, Ok(JobStatus::Running));
        assert!(stage.script.requests()[3].ends_with("[Bearer tok-2]"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_says_where_to_look_and_the_mended_client_gets_a_new_token() {
    let stage = Stage::logged_in();
    stage.script.next(ScriptedAnswer::new(403, r#"{"message":"insufficient scope"}"#));
    stage.script.next(ScriptedAnswer::token("tok-2", 1200));
    stage.script.next(ScriptedAnswer::ok(r#"{"id":"j"}"#));
    let error = stage.client.submit(&request()).await.unwrap_err();
    assert_eq!((error.kind, error.endpoint), (ErrorKind::Forbidden, ApiEndpoint::Submit));
    let message = error.to_string();
    for words in [
        "insufficient scope",
        "Admin > Security > OAuth Clients",
        "Capabilities",
        "reports:read",
        "Reporting module",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert!(stage.client.submit(&request()).await.is_ok());
    assert_eq!(stage.script.tokens_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_gone_is_lost() {
    assert_eq!(
        polled(ScriptedAnswer::new(404, "no such job")).await.unwrap_err().kind,
        ErrorKind::Lost
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_submit_shows_the_dates_and_the_filter() {
    let error = submitted(ScriptedAnswer::new(422, r#"{"error":"dateFrom is invalid"}"#))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert_eq!(
        error.to_string(),
        "submitting a report job: CXone answered 422 Unprocessable Entity and said: {\"error\":\"dateFrom is invalid\"}; sent was \
         dateFrom 2023-10-26T08:00:00.000Z, dateTo 2023-10-27T08:00:00.000Z, filter type \"user\", id \"user-abc-123\". CXone's \
         answer says what it does not accept: the dates, which may reach further back than its data (poll.lookback), or the filter, \
         of which the API's documentation shows the type `user` only."
    );
}

#[tokio::test(start_paused = true)]
async fn throttling_says_how_long_to_wait_in_both_forms() {
    for (headers, wait) in [
        (vec![], None),
        (vec![("retry-after", "7")], Some(7)),
        (vec![("retry-after", "Fri, 27 Oct 2023 08:00:30 GMT")], Some(30)),
        (
            vec![
                ("retry-after", "Fri, 27 Oct 2023 09:00:30 GMT"),
                ("date", "Fri, 27 Oct 2023 09:00:20 GMT"),
            ],
            Some(10),
        ),
    ] {
        let answer = || {
            headers.iter().fold(ScriptedAnswer::new(429, "slow down"), |answer, (name, value)| {
                answer.header(name, value)
            })
        };
        for error in [submitted(answer()).await.unwrap_err(), polled(answer()).await.unwrap_err()] {
            assert_eq!(
                (error.kind, error.retry_after),
                (ErrorKind::Throttled, wait.map(Duration::from_secs))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_implausible_wait_is_ignored_at_every_endpoint_and_reported() {
    for status in [429, 503] {
        for asked in ["1698393660", "5000", "soon"] {
            let answer = || ScriptedAnswer::new(status, "busy").header("retry-after", asked);
            let stage = Stage::with(ResponseLimits::default());
            stage.script.next(answer());
            let token = stage.client.sign_in().await.unwrap_err();
            for error in
                [submitted(answer()).await.unwrap_err(), polled(answer()).await.unwrap_err(), token]
            {
                let message = error.to_string();
                assert!(
                    message
                        .contains(&format!("its Retry-After is not valid and is ignored: {asked}")),
                    "{message}"
                );
                assert!(error.retry_after.is_none_or(|wait| wait < Duration::from_secs(10)));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn temporary_failures_are_distinguished_from_refusals() {
    for code in [500, 502, 503, 504, 408] {
        assert_eq!(
            polled(ScriptedAnswer::new(code, "<html>bad gateway</html>")).await.unwrap_err().kind,
            ErrorKind::Server
        );
    }
    for fault in [TransportFault::Connect, TransportFault::Timeout, TransportFault::Cut] {
        assert_eq!(
            submitted(ScriptedAnswer::none(fault)).await.unwrap_err().kind,
            ErrorKind::Unreachable
        );
    }
    let cut = polled(ScriptedAnswer::ok(r#"{"status":"#).then_breaks(TransportFault::Cut))
        .await
        .unwrap_err();
    assert_eq!(cut.kind, ErrorKind::Malformed);
    let stalled = polled(ScriptedAnswer::ok(r#"{"status":"#).then_breaks(TransportFault::Timeout))
        .await
        .unwrap_err();
    assert_eq!(stalled.kind, ErrorKind::Unreachable);
    assert_eq!(polled(ScriptedAnswer::ok("<html>")).await.unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(polled(ScriptedAnswer::new(204, "")).await.unwrap_err().kind, ErrorKind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_reported_and_not_followed() {
    for code in [301, 302, 303, 307, 308] {
        let stage = Stage::logged_in();
        stage
            .script
            .next(ScriptedAnswer::new(code, "").header("location", "https://elsewhere.test/login"));
        let error = stage.client.submit(&request()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Redirected);
        assert!(error.to_string().contains("https://elsewhere.test/login"), "{error}");
        assert_eq!(stage.script.requests().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn every_status_of_a_job_is_known_and_any_other_is_named() {
    assert_matches!(
        polled(ScriptedAnswer::ok(r#"{"status":"PENDING"}"#)).await,
        Ok(JobStatus::Pending)
    );
    assert_matches!(
        polled(ScriptedAnswer::ok(r#"{"status":"RUNNING","data":null}"#)).await,
        Ok(JobStatus::Running)
    );
    assert_matches!(
        polled(ScriptedAnswer::ok(r#"{"status":"Pending"}"#)).await,
        Ok(JobStatus::Pending)
    );
    assert_matches!(
        polled(ScriptedAnswer::ok(r#"{"status":"running "}"#)).await,
        Ok(JobStatus::Running)
    );
    assert_matches!(
        polled(ScriptedAnswer::ok(r#"{"status":"completed","data":[]}"#)).await,
        Ok(JobStatus::Completed(_))
    );
    assert_matches!(polled(ScriptedAnswer::ok(r#"{"status":"FAILED"}"#)).await, Ok(JobStatus::Failed(message)) if message == "Unknown error");
    let failed =
        ScriptedAnswer::ok(r#"{"status":"FAILED","errorMessage":"out of\u001b[31m\nmemory"}"#);
    assert_matches!(polled(failed).await, Ok(JobStatus::Failed(message)) if message == "out of [31m memory");
    for (body, words) in [
        (r#"{"status":"EXPLODED\n"}"#, "unknown status: EXPLODED."),
        (r#"{"status":7}"#, "unknown status: 7."),
        (r#"{"status":"complete"}"#, "unknown status: complete."),
        (r#"{"status":null}"#, "no status."),
        ("{}", "no status."),
    ] {
        let error = polled(ScriptedAnswer::ok(body)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_ends_is_given_up() {
    let clock = Clock::starting_at(EIGHT);
    let error = polled(ScriptedAnswer::ok(r#"{"status":"COMPLETED","data":["#).then_hangs())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, clock.now().instant.elapsed().as_secs()),
        (ErrorKind::Unreachable, 600)
    );
    let error =
        submitted(ScriptedAnswer::ok("").after(Duration::from_secs(3600))).await.unwrap_err();
    assert_eq!(
        (error.kind, clock.now().instant.elapsed().as_secs()),
        (ErrorKind::Unreachable, 660)
    );
    // The status of a refusal is enough; its body is not waited for.
    let error = submitted(ScriptedAnswer::new(422, "bad").then_hangs()).await.unwrap_err();
    assert_eq!((error.kind, clock.now().instant.elapsed().as_secs()), (ErrorKind::Rejected, 665));
}

#[tokio::test(start_paused = true)]
async fn every_exchange_is_reported_with_its_times_and_the_servers_date() {
    let stage = Stage::logged_in();
    let date = "Fri, 27 Oct 2023 08:00:09 GMT";
    stage
        .script
        .next(ScriptedAnswer::new(429, "").header("date", date).after(Duration::from_secs(3)));
    stage.script.next(ScriptedAnswer::none(TransportFault::Connect));
    stage.client.submit(&request()).await.unwrap_err();
    stage.client.poll::<RowList>(&job()).await.unwrap_err();
    let events = stage.events.lock().unwrap().clone();
    let exchanges: Vec<_> = events
        .iter()
        .filter_map(
            |event| if let ClientEvent::Exchange(exchange) = event { Some(exchange) } else { None },
        )
        .collect();
    assert_eq!(
        exchanges.iter().map(|exchange| exchange.endpoint.as_str()).collect::<Vec<_>>(),
        ["token", "submit", "poll"]
    );
    assert_eq!(
        exchanges.iter().map(|exchange| exchange.code).collect::<Vec<_>>(),
        [Some(200), Some(429), None]
    );
    let submit = exchanges[1];
    assert_eq!((submit.sent.utc, submit.answered.utc), (EIGHT, EIGHT.plus(Duration::from_secs(3))));
    assert_eq!(submit.date, Some(EIGHT.plus(Duration::from_secs(9))));
    assert_eq!(
        events[1],
        ClientEvent::TokenRefreshed { expires: EIGHT.plus(Duration::from_secs(1200)) }
    );
}
