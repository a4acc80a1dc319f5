use super::*;

fn inject(simulator: &Simulator, fault: RequestFault, endpoint: SimulatedEndpoint) {
    simulator.inject(Injection { fault, endpoint: Some(endpoint), times: 1 });
}

#[test]
fn throttled_answers_have_retry_after_in_each_form_or_none() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let expected = [
        (RequestFault::Throttle, Some("5")),
        (RequestFault::ThrottleDate, Some("Fri, 27 Oct 2023 08:00:06 GMT")),
        (RequestFault::ThrottleBare, None),
    ];
    for (fault, retry_after) in expected {
        inject(&simulator, fault, SimulatedEndpoint::Submit);
        let answer = simulator.handle(at(300), &submit_request(&token, &report()));
        assert_eq!((status(&answer), header(&answer, RETRY_AFTER)), (429, retry_after));
        assert_eq!(simulator.counters().fault_count(fault), 1);
    }
    assert_eq!(
        (
            simulator.counters().accepted,
            simulator.counters().rejected,
            simulator.counters().over_quota
        ),
        (0, 3, 0)
    );
}

#[test]
fn every_endpoint_can_fail_for_a_moment() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &token);
    let requests = [
        (SimulatedEndpoint::Token, token_request("simulated-secret")),
        (SimulatedEndpoint::Submit, submit_request(&token, &report())),
        (SimulatedEndpoint::Poll, poll_request(&token, &id)),
    ];
    for (endpoint, request) in requests {
        inject(&simulator, RequestFault::ServerError, endpoint);
        assert!([500, 502, 503, 504].contains(&status(&simulator.handle(at(0), &request))));
        inject(&simulator, RequestFault::Throttle, endpoint);
        assert_eq!(status(&simulator.handle(at(0), &request)), 429);
        inject(&simulator, RequestFault::NotJson, endpoint);
        let answer = simulator.handle(at(0), &request);
        assert_eq!(status(&answer), 200);
        assert!(serde_json::from_slice::<Value>(answer.response.body()).is_err());
        inject(&simulator, RequestFault::Slow, endpoint);
        let answer = simulator.handle(at(0), &request);
        assert_eq!((answer.delay, answer.delivery), (5 * SECOND, Delivery::Whole));
        inject(&simulator, RequestFault::Drop, endpoint);
        assert_eq!(simulator.handle(at(0), &request).delivery, Delivery::Dropped);
        let answer = simulator.handle(at(0), &request);
        assert!(answer.response.status().is_success());
        assert_eq!((answer.delay, answer.delivery), (Duration::ZERO, Delivery::Whole));
    }
}

#[test]
fn a_cut_body_is_shorter_than_announced() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &token);
    for _ in 0..50 {
        inject(&simulator, RequestFault::Cut, SimulatedEndpoint::Poll);
        let answer = poll(&simulator, at(4000), &token, &id);
        let length = answer.response.body().len();
        assert_eq!(
            header(&answer, http::header::CONTENT_LENGTH),
            Some(length.to_string().as_str())
        );
        let Delivery::CutAfter(bytes) = answer.delivery else { panic!("{:?}", answer.delivery) };
        assert!(bytes < length);
        assert!(serde_json::from_slice::<Value>(&answer.response.body()[..bytes]).is_err());
    }
}

#[test]
fn a_submit_with_a_lost_answer_uses_quota() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    for fault in [RequestFault::Drop, RequestFault::Cut, RequestFault::NotJson, RequestFault::Slow]
    {
        inject(&simulator, fault, SimulatedEndpoint::Submit);
        let _lost = simulator.handle(at(0), &submit_request(&token, &report()));
    }
    assert_eq!(simulator.counters().accepted, 4);
}

#[test]
fn a_revoked_token_is_rejected_and_a_new_one_accepted() {
    let simulator = simulator();
    let old = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &old);
    inject(&simulator, RequestFault::Revoke, SimulatedEndpoint::Poll);
    assert_eq!(status(&poll(&simulator, at(1), &old, &id)), 401);
    assert_eq!(status(&poll(&simulator, at(2), &old, &id)), 401);
    let new = token(&simulator, at(3));
    assert_ne!(new, old);
    assert_eq!(status(&poll(&simulator, at(4), &new, &id)), 200);
}

#[test]
fn a_submit_can_be_answered_without_an_id() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    inject(&simulator, RequestFault::NoId, SimulatedEndpoint::Submit);
    let answer = simulator.handle(at(0), &submit_request(&token, &report()));
    assert!(answer.response.status().is_success() && body(&answer).get("id").is_none());
}

#[test]
fn jobs_fail_never_end_or_are_lost() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    inject(&simulator, RequestFault::Fail, SimulatedEndpoint::Submit);
    let failing = submit(&simulator, at(0), &token);
    let answer = body(&poll(&simulator, at(4000), &token, &failing));
    assert_eq!(answer["status"], json!("FAILED"));
    assert!(answer["errorMessage"].is_string() && answer.get("data").is_none());
    inject(&simulator, RequestFault::Endless, SimulatedEndpoint::Submit);
    let endless = submit(&simulator, at(0), &token);
    assert_eq!(
        body(&poll(&simulator, at(1_000_000), &token, &endless))["status"],
        json!("RUNNING")
    );
    let lost = submit(&simulator, at(0), &token);
    inject(&simulator, RequestFault::Lose, SimulatedEndpoint::Poll);
    assert_eq!(status(&poll(&simulator, at(0), &token, &lost)), 404);
    assert_eq!(status(&poll(&simulator, at(4000), &token, &lost)), 404);
}

#[test]
fn an_unknown_status_is_reported_once() {
    let simulator = simulator();
    let token = token(&simulator, at(0));
    let id = submit(&simulator, at(0), &token);
    inject(&simulator, RequestFault::UnknownStatus, SimulatedEndpoint::Poll);
    assert_eq!(body(&poll(&simulator, at(4000), &token, &id))["status"], json!("ARCHIVED"));
    assert_eq!(body(&poll(&simulator, at(4000), &token, &id))["status"], json!("COMPLETED"));
}

#[test]
fn chance_brings_every_fault_and_the_floor_does_not_change() {
    let many = Simulator::new(SimulatorOptions {
        faults: Faults::many(),
        report_jobs_per_minute: 1_000_000,
        ..small()
    });
    for second in 0..600 {
        let now = at(second * 1000);
        let answer = many.handle(now, &token_request("simulated-secret"));
        let token = serde_json::from_slice::<Value>(answer.response.body()).unwrap_or_default()["access_token"].clone();
        let token = token.as_str().unwrap_or("none");
        let answer = many.handle(now, &submit_request(token, &report()));
        let id = serde_json::from_slice::<Value>(answer.response.body()).unwrap_or_default()["id"]
            .clone();
        let _any = poll(&many, now, token, id.as_str().unwrap_or("none"));
    }
    for fault in RequestFault::ALL {
        assert!(many.counters().fault_count(fault) > 0, "{fault:?}");
    }
    let window = Window { from: at(0), to: at(3_600_000) };
    assert_eq!(many.floor().actual_totals(window), simulator().floor().actual_totals(window));
    many.set_faults(Faults::default());
    assert_eq!(status(&many.handle(at(700_000), &token_request("simulated-secret"))), 200);
}
