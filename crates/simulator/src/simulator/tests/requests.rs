use super::*;

#[test]
fn a_report_goes_from_token_to_data() {
    let simulator = simulator();
    let answer = simulator.handle(at(0), &token_request("simulated-secret"));
    assert_eq!(
        (status(&answer), header(&answer, DATE)),
        (200, Some("Fri, 27 Oct 2023 08:00:00 GMT"))
    );
    assert_eq!(body(&answer)["expires_in"], json!(1200));
    let token = body(&answer)["access_token"].as_str().expect("a token").to_owned();
    let answer = simulator.handle(at(0), &submit_request(&token, &report()));
    assert_eq!(status(&answer), 202);
    let id = body(&answer)["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        body(&answer)["statusUrl"],
        json!(format!("http://127.0.0.1:8080/api/v2/reports/{id}"))
    );
    for (millis, expected) in [
        (0, "PENDING"),
        (999, "PENDING"),
        (1000, "RUNNING"),
        (3999, "RUNNING"),
        (4000, "COMPLETED"),
    ] {
        let answer = poll(&simulator, at(millis), &token, &id);
        assert_eq!(body(&answer)["status"], json!(expected));
        assert_eq!(body(&answer).get("data").is_some(), expected == "COMPLETED");
    }
    let first = poll(&simulator, at(5_000), &token, &id);
    assert!(!body(&first)["data"].as_array().expect("rows").is_empty());
    assert_eq!(
        poll(&simulator, at(60_000), &token, &id).response.body(),
        first.response.body(),
        "a report is as of its submit"
    );
    let length = first.response.body().len().to_string();
    assert_eq!(header(&first, http::header::CONTENT_LENGTH), Some(length.as_str()));
}

#[test]
fn the_same_requests_get_the_same_answers() {
    let run = || {
        let simulator = Simulator::new(SimulatorOptions { faults: Faults::many(), ..small() });
        let mut answers = Vec::new();
        for second in 0..200 {
            let token = token_request("simulated-secret");
            answers.push(format!("{:?}", simulator.handle(at(second * 1000), &token)));
        }
        answers
    };
    assert_eq!(run(), run());
}

#[test]
fn data_comes_before_or_after_the_status() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let data_first = |_: &i32| {
        let id = submit(&simulator, at(0), &token);
        poll(&simulator, at(4000), &token, &id).response.body().starts_with(b"{\"data\"")
    };
    let firsts = (0..10).filter(data_first).count();
    assert!((1..10).contains(&firsts), "{firsts} of 10");
}

#[test]
fn invalid_token_requests_get_no_token() {
    let simulator = simulator();
    let answer = simulator.handle(at(0), &token_request("guess"));
    assert_eq!((status(&answer), &body(&answer)["error"]), (401, &json!("invalid_client")));
    let form = |text: &'static str| {
        let request =
            Request::post("/oauth/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(Bytes::from_static(text.as_bytes())).expect("a request")
    };
    let answer = simulator.handle(
        at(0),
        &form("grant_type=password&client_id=simulated-client&client_secret=simulated-secret"),
    );
    assert_eq!((status(&answer), &body(&answer)["error"]), (400, &json!("unsupported_grant_type")));
    let json = Request::post("/oauth/token")
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from_static(b"{}"))
        .expect("a request");
    assert_eq!(status(&simulator.handle(at(0), &json)), 400);
    assert_eq!(simulator.counters().tokens_issued, 0);
    let disabled = Simulator::new(SimulatorOptions { client_enabled: false, ..small() });
    assert_eq!(status(&disabled.handle(at(0), &token_request("simulated-secret"))), 403);
}

#[test]
fn a_token_is_valid_for_its_lifetime_only() {
    let simulator = Simulator::new(SimulatorOptions { token_life: 20 * SECOND, ..small() });
    let token = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &token);
    assert_eq!(status(&poll(&simulator, at(19_999), &token, &id)), 200);
    assert_eq!(status(&poll(&simulator, at(20_000), &token, &id)), 401);
    assert_eq!(status(&simulator.handle(at(20_000), &submit_request(&token, &report()))), 401);
    assert_eq!(status(&poll(&simulator, at(1), "guess", &id)), 401);
    let without =
        Request::get(format!("/api/v2/reports/{id}")).body(Bytes::new()).expect("a request");
    assert_eq!(status(&simulator.handle(at(1), &without)), 401);
    simulator.revoke_tokens();
    assert_eq!(status(&poll(&simulator, at(1), &token, &id)), 401);
}

#[test]
fn without_the_scope_every_report_is_forbidden() {
    let simulator = Simulator::new(SimulatorOptions { scope_granted: false, ..small() });
    let token = token(&simulator, at(0));
    assert_eq!(status(&simulator.handle(at(0), &submit_request(&token, &report()))), 403);
    assert_eq!(status(&poll(&simulator, at(0), &token, "job-1")), 403);
}

#[test]
fn no_rolling_minute_accepts_more_than_the_quota() {
    let simulator = Simulator::new(SimulatorOptions { report_jobs_per_minute: 3, ..small() });
    let token = token(&simulator, at(0));
    for millis in [0, 10_000, 20_500] {
        submit(&simulator, at(millis), &token);
    }
    let rejected = simulator.handle(at(59_999), &submit_request(&token, &report()));
    assert_eq!((status(&rejected), header(&rejected, RETRY_AFTER)), (429, Some("1")));
    submit(&simulator, at(60_000), &token);
    let rejected = simulator.handle(at(60_000), &submit_request(&token, &report()));
    assert_eq!((status(&rejected), header(&rejected, RETRY_AFTER)), (429, Some("10")));
    submit(&simulator, at(70_000), &token);
    let counters = simulator.counters();
    assert_eq!((counters.accepted, counters.rejected, counters.over_quota), (5, 2, 2));
    assert_eq!((counters.max_accepted_per_minute, counters.max_submits_per_minute), (3, 5));
    let times: Vec<_> =
        counters.submits.iter().map(|submit| (submit.at, submit.accepted)).collect();
    assert_eq!(times[3..5], [(at(59_999), false), (at(60_000), true)]);
    assert_eq!(
        (
            counters.requests_to(SimulatedEndpoint::Submit),
            counters.requests_to(SimulatedEndpoint::Token)
        ),
        (7, 1)
    );
}

#[test]
fn an_invalid_submit_is_unprocessable_and_uses_no_quota() {
    let simulator = Simulator::new(SimulatorOptions { report_jobs_per_minute: 1, ..small() });
    let token = token(&simulator, at(0));
    let changes = [
        ("reportType", json!("agent-performance")),
        ("dateFrom", json!("2023-10-27T07:00:00Z")),
        ("dateFrom", json!("2023-10-27T07:00:00.000+00:00")),
        ("dateTo", json!("2023-10-27T08:00:00.0000Z")),
        ("dateTo", json!("2023-10-27T07:00:00.000Z")),
        ("dateTo", json!("2023-12-27T07:00:00.000Z")),
        ("dateTo", json!(1_698_393_600)),
        ("groupBy", json!(["userId", "stateName"])),
        ("groupBy", json!(["userId", "stateName", "stateName"])),
        ("metrics", json!(["count", "duration"])),
        ("filter", json!({"type": "campaign", "id": "1"})),
        ("filter", json!({"type": "user"})),
        ("filter", json!("user-001")),
        ("timezone", json!("UTC")),
        ("filter", Value::Null),
    ];
    for (field, wrong) in changes {
        let mut report = report();
        report[field] = wrong;
        let answer = simulator.handle(at(0), &submit_request(&token, &report));
        assert_eq!(status(&answer), 422, "{report}");
        assert!(body(&answer)["message"].is_string());
    }
    let mut no_json = submit_request(&token, &report());
    *no_json.body_mut() = Bytes::from_static(b"{\"reportType\": ");
    assert_eq!(status(&simulator.handle(at(0), &no_json)), 400);
    let mut form = submit_request(&token, &report());
    form.headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-www-form-urlencoded"));
    assert_eq!(status(&simulator.handle(at(0), &form)), 415);
    assert_eq!((simulator.counters().accepted, simulator.counters().rejected), (0, 17));
    submit(&simulator, at(0), &token);
}

#[test]
fn unknown_agents_and_email_addresses_have_no_rows() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    for id in ["user-999", "agent@example.com"] {
        let mut report = report();
        report["filter"] = json!({"type": "user", "id": id});
        let answer = simulator.handle(at(0), &submit_request(&token, &report));
        let id = body(&answer)["id"].as_str().expect("an id").to_owned();
        let answer = poll(&simulator, at(4000), &token, &id);
        assert_eq!((status(&answer), &body(&answer)["data"]), (200, &json!([])));
    }
}

#[test]
fn history_is_kept_for_the_retention_and_jobs_for_their_life() {
    let simulator =
        Simulator::new(SimulatorOptions { retention: Some(2 * 3600 * SECOND), ..small() });
    let fresh = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &fresh);
    let late = at(3_600_001);
    let fresh = token(&simulator, late);
    assert_eq!(status(&simulator.handle(late, &submit_request(&fresh, &report()))), 422);
    assert_eq!(status(&poll(&simulator, at(3_599_999), &fresh, &id)), 200);
    assert_eq!(status(&poll(&simulator, late, &fresh, &id)), 404);
}

#[test]
fn a_report_with_too_many_rows_fails() {
    let simulator = Simulator::new(SimulatorOptions { max_rows: 1, ..small() });
    let token = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &token);
    let answer = body(&poll(&simulator, at(4000), &token, &id));
    assert_eq!(answer["status"], json!("FAILED"));
    assert!(
        answer["errorMessage"].as_str().is_some_and(|message| message.contains("too many rows"))
    );
}

#[test]
fn unknown_paths_and_methods_are_rejected_in_json() {
    let simulator = simulator();
    for (method, path, expected) in [
        ("GET", "/oauth/token", 405),
        ("GET", "/api/v2/reports", 405),
        ("DELETE", "/api/v2/reports/job-1", 405),
        ("GET", "/", 404),
        ("GET", "/api/v2/reports/", 404),
        ("GET", "/api/v2/reports/a/b", 404),
        ("GET", "/api/v2/reports/job-1", 401),
    ] {
        let request =
            Request::builder().method(method).uri(path).body(Bytes::new()).expect("a request");
        let answer = simulator.handle(at(0), &request);
        assert_eq!(status(&answer), expected, "{method} {path}");
        assert!(body(&answer)["message"].is_string() && header(&answer, DATE).is_some());
    }
}

#[test]
fn the_status_url_can_have_another_origin() {
    let simulator = Simulator::new(SimulatorOptions {
        status_url_origin: Some("https://elsewhere.example".to_owned()),
        ..small()
    });
    let token = token(&simulator, at(0));
    let answer = simulator.handle(at(0), &submit_request(&token, &report()));
    assert!(
        body(&answer)["statusUrl"]
            .as_str()
            .is_some_and(|url| url.starts_with("https://elsewhere.example/api/v2/reports/job-"))
    );
}

#[test]
fn the_secret_and_the_tokens_are_in_no_debug_output() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let text = format!("{simulator:?} {:?} {:?}", simulator.options(), simulator.counters());
    assert!(!text.contains("simulated-secret") && !text.contains(&token), "{text}");
}
