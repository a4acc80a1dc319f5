//! The platform's API: the shape of each answer.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::*;
use crate::faults::Quirk;

mod exact;

const BASE: &str = "/incontactapi/services/v30.0";
const PASSWORD: &str =
    "grant_type=password&username=simulated-key&password=simulated-key-secret%3D%3D";
const CLIENT: &str = "&client_id=simulated-client&client_secret=simulated-secret";
const STATUS_DESCRIPTION: http::HeaderName = http::HeaderName::from_static("icstatusdescription");

fn form() -> http::request::Builder {
    Request::post("/auth/token")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(HOST, "cxone.test")
}

fn sign_in(body: &str) -> Request<Bytes> {
    form().body(Bytes::from(body.to_owned())).expect("a request")
}

fn access_key(id: &str, secret: &str) -> Request<Bytes> {
    let body = json!({"accessKeyId": id, "accessKeySecret": secret}).to_string();
    let request = Request::post("/authentication/v1/token/access-key")
        .header(CONTENT_TYPE, "application/json");
    request.body(Bytes::from(body)).expect("a request")
}

fn platform_token(simulator: &Simulator, now: Timestamp) -> String {
    let answer = simulator.handle(now, &access_key("simulated-key", "simulated-key-secret=="));
    body(&answer)["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn call_request(token: &str, call: &str) -> Request<Bytes> {
    let path = if call.starts_with("http") { call.to_owned() } else { format!("{BASE}/{call}") };
    let request = Request::get(path)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(HOST, "api.test");
    request.body(Bytes::new()).expect("a request")
}

/// Signs in and calls.
fn call(simulator: &Simulator, now: Timestamp, path: &str) -> SimulatedResponse {
    simulator.handle(now, &call_request(&platform_token(simulator, now), path))
}

/// All rows of a list, page by page, as a reader goes on by what it received; and how many pages
/// that were.
fn all_pages(simulator: &Simulator, now: Timestamp, path: &str, list: &str) -> (Vec<Value>, usize) {
    let token = platform_token(simulator, now);
    let (mut rows, mut pages) = (Vec::new(), 0);
    loop {
        let answer =
            simulator.handle(now, &call_request(&token, &format!("{path}&skip={}", rows.len())));
        pages += 1;
        if status(&answer) == 204 {
            return (rows, pages);
        }
        let body = body(&answer);
        let page = body[list].as_array().unwrap_or_else(|| panic!("{body}")).clone();
        let (empty, last) = (page.is_empty(), body["_links"]["next"].is_null());
        rows.extend(page);
        assert!(empty || last == (body["totalRecords"] == json!(rows.len())), "{body}");
        if empty || last {
            return (rows, pages);
        }
    }
}

fn history(from: Timestamp, to: Timestamp) -> String {
    format!("agents/state-history?startDate={from}&endDate={to}")
}

fn time(value: &Value) -> Timestamp {
    let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time");
    Timestamp::from_millis(time.as_millisecond())
}

fn names(row: &Value) -> Vec<&str> {
    row.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn discovery_leads_from_the_issuer_to_token_tenant_and_api() {
    let simulator = simulator();
    let get = |path: &str| {
        let request =
            Request::get(path).header(HOST, "cxone.test").header("x-forwarded-proto", "https");
        simulator.handle(at(0), &request.body(Bytes::new()).expect("a request"))
    };
    assert_eq!(
        body(&get("/.well-known/openid-configuration"))["token_endpoint"],
        json!("https://cxone.test/auth/token")
    );
    let answer = body(&simulator.handle(at(0), &sign_in(&format!("{PASSWORD}{CLIENT}"))));
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(1200), &json!("Bearer")));
    assert!(answer["refresh_token"].is_string());
    let id_token: Vec<&str> = answer["id_token"].as_str().expect("a token").split('.').collect();
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(id_token[1]).expect("base64"))
            .expect("JSON");
    assert_eq!(claims["area"], json!("na1"));
    let tenant = claims["tenantId"].as_str().expect("a tenant");
    let found = body(&get(&format!("/.well-known/cxone-configuration?tenantId={tenant}")));
    assert_eq!(
        (&found["api_endpoint"], &found["area"]),
        (&json!("https://cxone.test"), &json!("na1"))
    );
    assert_eq!(status(&get("/.well-known/cxone-configuration?tenantId=another")), 404);
    let unit = body(&call(&simulator, at(0), "business-unit"));
    assert_eq!(unit["businessUnits"][0]["tenantId"], json!(tenant));
    let elsewhere =
        SimulatorOptions { api_endpoint: Some("https://elsewhere.example".to_owned()), ..small() };
    let request = Request::get(format!("/.well-known/cxone-configuration?tenantId={tenant}"))
        .body(Bytes::new())
        .expect("a request");
    assert_eq!(
        body(&Simulator::new(elsewhere).handle(at(0), &request))["api_endpoint"],
        json!("https://elsewhere.example")
    );
}

#[test]
fn the_client_may_be_in_the_body_or_in_the_header_and_the_access_key_may_be_alone() {
    let simulator = simulator();
    let basic = format!("Basic {}", BASE64_STANDARD.encode("simulated-client:simulated-secret"));
    let in_header =
        form().header(AUTHORIZATION, basic).body(Bytes::from(PASSWORD)).expect("a request");
    for request in [
        sign_in(&format!("{PASSWORD}{CLIENT}")),
        in_header,
        access_key("simulated-key", "simulated-key-secret=="),
    ] {
        let answer = simulator.handle(at(0), &request);
        assert_eq!(status(&answer), 200, "{answer:?}");
        let token = body(&answer)["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(status(&simulator.handle(at(1), &call_request(&token, "agents/states"))), 200);
    }
    assert_eq!(simulator.counters().tokens_issued, 3);
}

#[test]
fn wrong_keys_get_no_token_and_an_error_in_body_and_header() {
    let simulator = simulator();
    let wrong_basic =
        form().header(AUTHORIZATION, "Basic guess").body(Bytes::from(PASSWORD)).expect("a request");
    for (request, expected, error) in [
        (sign_in(PASSWORD), 401, "invalid_client"),
        (wrong_basic, 401, "invalid_client"),
        (sign_in(&format!("{}{CLIENT}", PASSWORD.replace("%3D", ""))), 401, "invalid_grant"),
        (
            sign_in(&format!("{}{CLIENT}", PASSWORD.replace("=password", "=client_credentials"))),
            400,
            "unsupported_grant_type",
        ),
        (access_key("simulated-key", "guess"), 401, "invalid_grant"),
        (access_key("", ""), 401, "invalid_grant"),
    ] {
        let answer = simulator.handle(at(0), &request);
        assert_eq!((status(&answer), &body(&answer)["error"]), (expected, &json!(error)));
        assert!(
            body(&answer)["error_description"].is_string()
                && header(&answer, STATUS_DESCRIPTION).is_some()
        );
    }
    let mut no_form = sign_in(&format!("{PASSWORD}{CLIENT}"));
    no_form.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    assert_eq!(status(&simulator.handle(at(0), &no_form)), 400);
    assert_eq!(simulator.counters().tokens_issued, 0);
    let disabled = Simulator::new(SimulatorOptions { client_enabled: false, ..small() });
    assert_eq!(status(&disabled.handle(at(0), &sign_in(&format!("{PASSWORD}{CLIENT}")))), 403);
}

#[test]
fn calls_need_a_valid_token_of_their_own_api() {
    let simulator = simulator();
    let reports = token(&simulator, at(0));
    let valid = platform_token(&simulator, at(0));
    for call in [
        "agents/states",
        "agents/state-history",
        "agents/100001/state-history",
        "unavailable-codes",
        "skills/activity",
        "agents",
    ] {
        for wrong in ["", "guess", &reports] {
            let answer = simulator.handle(at(0), &call_request(wrong, call));
            assert_eq!(status(&answer), 401, "{call}");
            assert!(header(&answer, STATUS_DESCRIPTION).is_some());
        }
        assert_ne!(
            status(&simulator.handle(at(1_199_999), &call_request(&valid, call))),
            401,
            "{call}"
        );
        assert_eq!(
            status(&simulator.handle(at(1_200_000), &call_request(&valid, call))),
            401,
            "{call}"
        );
    }
    assert_eq!(status(&poll(&simulator, at(0), &valid, "job-1")), 401);
    simulator.revoke_tokens();
    assert_eq!(status(&simulator.handle(at(1), &call_request(&valid, "agents"))), 401);
    let narrow = Simulator::new(SimulatorOptions { scope_granted: false, ..small() });
    assert_eq!(status(&call(&narrow, at(0), "agents/states")), 403);
}

#[test]
fn a_live_row_has_the_state_and_its_start() {
    let simulator = simulator();
    let answer = body(&call(&simulator, at(0), "agents/states"));
    assert_eq!(
        (&answer["totalRecords"], &answer["lastPollTime"]),
        (&json!(4), &json!("2023-10-27T08:00:00.000Z"))
    );
    let rows = answer["agentStates"].as_array().expect("rows");
    let expected = "agentId agentStateId agentStateName contactId firstName isACW isActive isOutbound lastName lastUpdateTime mediaTypeId \
                    mediaTypeName openContacts outStateDescription outStateId sessionStartTime skillId skillName startDate teamId teamName \
                    userName";
    assert_eq!(names(&rows[0]), expected.split_whitespace().collect::<Vec<_>>());
    for (index, row) in rows.iter().enumerate() {
        let window = Window { from: at(0), to: at(1) };
        let visit = simulator
            .floor()
            .platform_visits(index, window)
            .into_iter()
            .find(|visit| visit.end > at(0))
            .expect("everybody has a state");
        assert_eq!(row["agentId"], json!(visit.agent.platform_id()));
        assert_eq!(
            (&row["agentStateId"], &row["agentStateName"]),
            (&json!(visit.state.platform_id()), &json!(visit.state.platform_name()))
        );
        assert_eq!(
            (&row["startDate"], &row["skillName"]),
            (&json!(visit.start.to_string()), &json!(visit.skill))
        );
        assert_eq!(row["isACW"], json!(visit.state.platform_label() == "Wrap-up"));
        assert!(row["sessionStartTime"].as_str() <= row["startDate"].as_str());
    }
}

#[test]
fn updated_since_limits_states_to_those_that_began_since_then() {
    let simulator = Simulator::new(SimulatorOptions { agents: 40, ..small() });
    let rows = |path: &str| {
        body(&call(&simulator, at(0), path))["agentStates"].as_array().expect("rows").clone()
    };
    let (all, since) = (rows("agents/states"), at(-120_000));
    let changed = rows(&format!("agents/states?updatedSince={since}"));
    let expected: Vec<_> = all
        .iter()
        .filter(|row| row["startDate"].as_str() >= Some(since.to_string().as_str()))
        .cloned()
        .collect();
    assert_eq!(changed, expected);
    assert!(!changed.is_empty() && changed.len() < all.len());
    assert_eq!(rows(&format!("agents/states?updatedSince={}", at(1))), Vec::<Value>::new());
}

#[test]
fn a_history_row_has_the_state_its_start_and_its_duration() {
    let simulator = simulator();
    let answer = body(&call(&simulator, at(0), &history(at(-3_600_000), at(0))));
    let rows = answer["agentStateHistory"].as_array().expect("rows");
    let expected = "agentId agentSessionId agentStateId agentStateName contactId duration isOutbound mediaTypeId mediaTypeName \
                    outStateDescription outStateId skillId skillName startDate stateIndex teamId";
    let by_name = |row: &Value| names(row).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert!(rows.iter().all(|row| by_name(row) == expected.split_whitespace().collect::<Vec<_>>()));
    let wrap_up = rows
        .iter()
        .find(|row| row["outStateId"] == json!(704))
        .expect("somebody forgets to end Wrap-up");
    assert_eq!(
        (&wrap_up["agentStateId"], &wrap_up["agentStateName"]),
        (&json!(2), &json!("Unavailable"))
    );
    let ended = rows.iter().find(|row| row["duration"].is_string()).expect("a visit ended");
    assert!(
        ended["duration"].as_str().is_some_and(|duration| duration.starts_with("PT")),
        "{ended}"
    );
    let identity =
        |row: &Value| format!("{} {} {}", row["agentId"], row["agentSessionId"], row["stateIndex"]);
    assert_eq!(rows.iter().map(identity).collect::<BTreeSet<_>>().len(), rows.len());
    let of_one = body(&call(
        &simulator,
        at(0),
        &history(at(-3_600_000), at(0)).replace("agents/", "agents/100001/"),
    ));
    let expected: Vec<_> =
        rows.iter().filter(|row| row["agentId"] == json!(100_001)).cloned().collect();
    assert_eq!(of_one["agentStateHistory"], json!(expected));
    let unknown =
        call(&simulator, at(0), &history(at(-3_600_000), at(0)).replace("agents/", "agents/7/"));
    assert_eq!(status(&unknown), 404);
}

#[test]
fn updated_since_limits_history_to_visits_that_began_or_ended_since_then() {
    let simulator = Simulator::new(SimulatorOptions { agents: 40, ..small() });
    let rows = |path: &str| {
        body(&call(&simulator, at(0), path))["agentStateHistory"].as_array().expect("rows").clone()
    };
    let all = rows(&history(at(-3_600_000), at(0)));
    let since = at(-600_000);
    let since_rows = rows(&format!("{}&updatedSince={since}", history(at(-3_600_000), at(0))));
    let changed = |row: &&Value| {
        let start = time(&row["startDate"]);
        let length = row["duration"]
            .as_str()
            .map(|length| length.parse::<jiff::SignedDuration>().expect("ISO 8601"));
        let millis =
            length.map_or(0, |length| i64::try_from(length.as_millis()).expect("a length"));
        start.millis() + millis >= since.millis()
    };
    assert_eq!(since_rows, all.iter().filter(changed).cloned().collect::<Vec<_>>());
    assert!(!since_rows.is_empty() && since_rows.len() < all.len());
}

#[test]
fn an_invalid_history_query_is_rejected_with_a_reason_in_the_header() {
    let simulator = simulator();
    for query in [
        "",
        "?startDate=yesterday",
        "?startDate=2023-10-27T08:00:00Z&endDate=2023-10-27T08:00:00Z",
        "?startDate=2023-10-27T08:00:00Z&top=x",
    ] {
        let answer = call(&simulator, at(0), &format!("agents/state-history{query}"));
        assert_eq!(status(&answer), 400, "{query}");
        assert!(header(&answer, STATUS_DESCRIPTION).is_some());
    }
    let old = Request::get("/incontactapi/services/v20.0/agents/states")
        .header(AUTHORIZATION, format!("Bearer {}", platform_token(&simulator, at(0))));
    assert_eq!(status(&simulator.handle(at(0), &old.body(Bytes::new()).expect("a request"))), 404);
    let posted =
        Request::post(format!("{BASE}/agents/states")).body(Bytes::new()).expect("a request");
    assert_eq!(status(&simulator.handle(at(0), &posted)), 405);
}

#[test]
fn codes_skills_and_agents_are_listed() {
    let simulator = Simulator::new(SimulatorOptions { agents: 40, ..small() });
    let codes = body(&call(&simulator, at(0), "unavailable-codes"))["unavailableCodes"].clone();
    let acw: Vec<_> = codes
        .as_array()
        .expect("codes")
        .iter()
        .filter(|code| code["isACW"] == json!(true))
        .collect();
    assert_eq!(
        acw,
        [
            &json!({"id": 704, "name": "Follow-up", "isActive": true, "isACW": true, "agentTimeout": 90})
        ]
    );
    let skills = body(&call(&simulator, at(0), "skills/activity"))["skillActivity"].clone();
    let live = body(&call(&simulator, at(0), "agents/states"))["agentStates"].clone();
    for skill in skills.as_array().expect("skills") {
        let on = |field: &str, value: Value| {
            let here = |row: &&Value| row[field] == value && row["skillName"] == skill["skillName"];
            live.as_array().expect("rows").iter().filter(here).count()
        };
        assert_eq!(skill["agentsACW"], json!(on("isACW", json!(true))));
        assert_eq!(skill["agentsWorking"], json!(on("openContacts", json!(1))));
        assert!(
            skill["queueCount"].is_u64()
                && skill["serviceLevel"].as_u64().is_some_and(|level| level <= 100)
        );
        assert!(skill["agentsLoggedIn"].as_u64() >= skill["agentsAvailable"].as_u64());
    }
    let agents =
        body(&call(&simulator, at(0), "agents?fields=agentId,teamName&top=1"))["agents"].clone();
    assert_eq!(agents, json!([{"agentId": 100_001, "teamName": "team-1"}]));
}

#[test]
fn pages_are_linked_and_have_no_more_rows_than_allowed() {
    let simulator = Simulator::new(SimulatorOptions { agents: 23, page_rows: 10, ..small() });
    let (all, pages) = all_pages(&simulator, at(0), "agents/states?top=100", "agentStates");
    assert_eq!((all.len(), pages), (23, 3));
    let token = platform_token(&simulator, at(0));
    let mut next = format!("http://api.test{BASE}/agents/states?fields=agentId&top=4");
    let mut followed = Vec::new();
    while !next.is_empty() {
        let page = body(&simulator.handle(at(0), &call_request(&token, &next)));
        followed.extend(page["agentStates"].as_array().expect("rows").clone());
        assert!(followed.len() <= 4 || page["_links"]["previous"].is_string());
        next = page["_links"]["next"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!(
        followed,
        all.iter().map(|row| json!({"agentId": row["agentId"]})).collect::<Vec<_>>()
    );
}

#[test]
fn each_quirk_has_its_effect() {
    let with = |quirk| {
        Simulator::new(SimulatorOptions {
            faults: Faults::default().with_quirk(quirk, 1.0),
            ..small()
        })
    };
    let plain = simulator();
    let hour = history(at(-3_600_000), at(0));
    let first = |simulator: &Simulator, call_: &str, list: &str| {
        body(&call(simulator, at(0), call_))[list][0].clone()
    };
    let row = first(&with(Quirk::Seconds), &hour, "agentStateHistory");
    assert!(row["duration"].is_f64() || row["duration"].is_null(), "{row}");
    let row = first(&with(Quirk::Strings), "agents/states", "agentStates");
    assert_eq!((&row["agentId"], &row["isActive"]), (&json!("100001"), &json!("True")));
    let rows = |simulator: &Simulator, path: &str, list: &str| {
        body(&call(simulator, at(0), path))[list].as_array().expect("rows").clone()
    };
    let spare = |row: &Value| {
        names(row)
            .into_iter()
            .filter(|name| ["agentStateName", "userName", "skillId"].contains(name))
            .count()
    };
    assert!(
        rows(&with(Quirk::Missing), "agents/states", "agentStates")
            .iter()
            .all(|row| spare(row) == 0 && row["agentStateId"].is_u64())
    );
    assert!(
        rows(&with(Quirk::Nulls), "agents/states", "agentStates")
            .iter()
            .all(|row| spare(row) == 3 && row["userName"].is_null())
    );
    let (times, other_times) = (
        rows(&plain, &hour, "agentStateHistory"),
        rows(&with(Quirk::TimeFormat), &hour, "agentStateHistory"),
    );
    assert!(
        times.iter().zip(&other_times).any(|(time, other)| time["startDate"] != other["startDate"])
    );
    let nothing = format!("agents/states?updatedSince={}", at(1));
    assert_eq!(status(&call(&with(Quirk::NoContent), at(0), &nothing)), 204);
    assert_eq!(status(&call(&with(Quirk::NotModified), at(0), &nothing)), 304);
    assert!([404, 405].contains(&status(&call(&with(Quirk::NoAllHistory), at(0), &hour))));
    assert_eq!(
        status(&call(
            &with(Quirk::NoAllHistory),
            at(0),
            &hour.replace("agents/", "agents/100001/")
        )),
        200
    );
    let open = |rows: &[Value]| rows.iter().filter(|row| row["duration"].is_null()).count();
    assert_eq!(open(&times), 4);
    let omitted = rows(&with(Quirk::OpenOmitted), &hour, "agentStateHistory");
    assert_eq!((open(&omitted), omitted.len()), (0, times.len() - 4));
    let so_far = rows(&with(Quirk::OpenSoFar), &hour, "agentStateHistory");
    assert_eq!((open(&so_far), so_far.len()), (0, times.len()));
    for list in ["agents", "agents/states?top=9", hour.as_str()] {
        assert_eq!(body(&call(&with(Quirk::HiddenAgents), at(0), list))["totalRecords"], json!(0));
    }
}

#[test]
fn keys_come_in_every_case() {
    let simulator = Simulator::new(SimulatorOptions {
        faults: Faults::default().with_quirk(Quirk::KeyCase, 1.0),
        ..small()
    });
    let mut seen = BTreeSet::new();
    for second in 0..30 {
        let answer = body(&call(&simulator, at(second), "agents/states"));
        seen.extend(
            names(&answer)
                .into_iter()
                .filter(|name| name.eq_ignore_ascii_case("agentStates"))
                .map(str::to_owned),
        );
        let list = seen.iter().find_map(|name| answer.get(name)).expect("the list");
        assert!(names(&list[0]).into_iter().any(|name| name.eq_ignore_ascii_case("startDate")));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["AGENTSTATES", "AgentStates", "agentstates"]);
}

#[test]
fn too_many_calls_in_a_minute_are_throttled_without_retry_after() {
    let simulator =
        Simulator::new(SimulatorOptions { calls_per_minute: NonZeroU32::new(3), ..small() });
    let token = platform_token(&simulator, at(0));
    let answers: Vec<_> = (0..5)
        .map(|second| simulator.handle(at(second * 1000), &call_request(&token, "agents/states")))
        .collect();
    assert_eq!(answers.iter().map(status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    assert_eq!(header(&answers[3], RETRY_AFTER), None);
    assert_eq!(status(&simulator.handle(at(62_001), &call_request(&token, "agents/states"))), 200);
    let counters = simulator.counters();
    assert_eq!(
        (counters.max_calls_per_minute, counters.calls_over_quota, counters.calls.len()),
        (5, 2, 6)
    );
    assert_eq!(counters.requests_to(SimulatedEndpoint::States), 6);
}

#[test]
fn request_faults_apply_to_calls_too() {
    let simulator = simulator();
    let token = platform_token(&simulator, at(0));
    for (fault, expected) in [(RequestFault::ThrottleBare, 429), (RequestFault::Revoke, 401)] {
        simulator.inject(Injection { fault, endpoint: Some(SimulatedEndpoint::States), times: 1 });
        assert_eq!(
            status(&simulator.handle(at(0), &call_request(&token, "agents/states"))),
            expected
        );
    }
    assert_eq!(
        status(&simulator.handle(at(0), &call_request(&token, "agents/states"))),
        401,
        "the token is gone"
    );
    simulator.inject(Injection {
        fault: RequestFault::NotJson,
        endpoint: Some(SimulatedEndpoint::SignIn),
        times: 1,
    });
    let answer = simulator.handle(at(0), &access_key("simulated-key", "simulated-key-secret=="));
    assert!(serde_json::from_slice::<Value>(answer.response.body()).is_err());
}
