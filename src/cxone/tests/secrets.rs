//! Neither the secret nor a token is ever shown.

use super::*;
use crate::cxone::{ApiError, JobStatus, RowList};

const LONG_TOKEN: &str = "eyJhbGciOi.payload-payload.signature_signature";

fn assert_silent(text: &str) {
    for secret in [SECRET, "s3cret", "odd chars", "odd+chars", LONG_TOKEN, "payload-payload"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

fn rendered(error: &ApiError) -> String {
    format!("{error} {error:?}")
}

/// A body that says all that must not be repeated, in every form and often.
fn echo(token: &str) -> String {
    let form = "client_secret=s3cret%2Fwith%2Bodd+chars&x=s3cret%2Fwith%2Bodd%20chars";
    let json = format!(
        r#"{{"secret":"{SECRET}","escaped":"s3cret\/with+odd chars","sent":"Bearer {token}"}}"#
    );
    format!("wrong: {form} {json} ").repeat(200)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_echoes_a_secret_is_shown_without_it() {
    for code in [400, 401, 403, 422, 429, 500, 302] {
        let stage = Stage::with(ResponseLimits::default());
        stage.script.next(
            ScriptedAnswer::new(code, echo(""))
                .header("location", &format!("https://x.test/?{SECRET}")),
        );
        let error = stage.client.submit(&request()).await.unwrap_err();
        assert_silent(&rendered(&error));
        assert!(rendered(&error).contains("wrong: client_secret=***"), "{error}");
        for polls in [false, true] {
            let stage = Stage::with(ResponseLimits::default());
            stage.script.next(ScriptedAnswer::token(LONG_TOKEN, 1200));
            stage.script.next(
                ScriptedAnswer::new(code, echo(LONG_TOKEN))
                    .header("location", &format!("https://x.test/?{LONG_TOKEN}&{SECRET}")),
            );
            let error = if polls {
                stage.client.poll::<RowList>(&job()).await.map(drop).unwrap_err()
            } else {
                stage.client.submit(&request()).await.map(drop).unwrap_err()
            };
            assert_silent(&rendered(&error));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_job_says_of_itself_is_shown_without_secrets() {
    for (field, status) in [("errorMessage", "FAILED"), ("note", LONG_TOKEN)] {
        let stage = Stage::with(ResponseLimits::default());
        stage.script.next(ScriptedAnswer::token(LONG_TOKEN, 1200));
        stage.script.next(ScriptedAnswer::ok(format!(
            r#"{{"status":"{status}","{field}":"{LONG_TOKEN} {SECRET}"}}"#
        )));
        match stage.client.poll::<RowList>(&job()).await {
            Ok(JobStatus::Failed(message)) => assert_eq!(message, "*** ***"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert_silent(&rendered(&error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_token_answer_is_not_shown_at_all() {
    for body in [
        format!(r#"{{"access_token":"{LONG_TOKEN}","#),
        format!(r#"{{"access_token":["{LONG_TOKEN}"]}}"#),
        format!(r#"{{"access_token":"{LONG_TOKEN} "}}"#),
        format!(r#""{LONG_TOKEN}""#),
    ] {
        let stage = Stage::with(ResponseLimits::default());
        stage.script.next(ScriptedAnswer::ok(body));
        assert_silent(&rendered(&stage.client.submit(&request()).await.unwrap_err()));
    }
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_secret() {
    let stage = Stage::with(ResponseLimits::default());
    stage.script.next(ScriptedAnswer::token(LONG_TOKEN, 1200));
    stage.script.next(ScriptedAnswer::ok(r#"{"id":"j"}"#));
    stage.client.submit(&request()).await.unwrap();
    let options = ReportsOptions {
        base_url: "http://cxone.test".parse().unwrap(),
        client_id: "my-client".to_owned(),
        client_secret: SecretString::from(SECRET),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    assert_silent(&format!("{:?} {options:?} {:?}", stage.client, stage.events.lock().unwrap()));
    let requests = stage.script.requests.lock().unwrap();
    assert_silent(&format!("{:?}", requests[1]));
    assert!(requests[1].headers()["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_hidden_agent_is_in_no_message() {
    let stage = Stage::logged_in();
    stage.script.next(ScriptedAnswer::new(422, format!("no such user {HIDDEN}")));
    let asked = HistoryRequest {
        filter: ReportFilter { kind: "user".to_owned(), id: HIDDEN.to_owned() },
        ..request()
    };
    let error = stage.client.submit(&asked).await.unwrap_err().to_string();
    assert!(
        error.contains("no such user ***")
            && error.contains("id \"***\"")
            && !error.contains(HIDDEN),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_shown_piece_of_an_answer_is_short_and_on_one_line() {
    let stage = Stage::with(ResponseLimits::default());
    stage.script.next(ScriptedAnswer::new(400, "line\r\n\u{1b}[2J\u{7}".repeat(10_000)));
    let error = stage.client.submit(&request()).await.unwrap_err().to_string();
    assert!(error.len() < 600 && !error.contains(char::is_control), "{error:?}");
}
