//! The client of the platform's calls: sign-in, discovery, and where nothing may go.

use std::num::NonZeroU32;

use assert_matches::assert_matches;

use super::*;
use crate::cxone::platform::{Credentials, Progress};
use crate::cxone::{ApiEndpoint, ErrorKind, Paging, PlatformClient, PlatformOptions, RowList};

const KEY_SECRET: &str = "key/s3cret=";

// {"tenantId":"t 1"}
const ID_TOKEN: &str = "e30.eyJ0ZW5hbnRJZCI6InQgMSJ9.sig";

struct Platform {
    client: PlatformClient,
    script: Arc<Script>,
}

impl Platform {
    fn with(issuer: &str, base_url: Option<&str>, credentials: Credentials) -> Self {
        let script = Arc::new(Script::default());
        let options = PlatformOptions {
            issuer: issuer.parse().unwrap(),
            base_url: base_url.map(|url| url.parse().unwrap()),
            version: 30,
            access_key_id: "KEY".to_owned(),
            access_key_secret: SecretString::from(KEY_SECRET),
            credentials,
            limits: ResponseLimits::default(),
            hidden: Vec::new(),
            requests_per_minute: NonZeroU32::new(6000).unwrap(),
        };
        let client = PlatformClient::new(
            script.clone(),
            Clock::starting_at(EIGHT),
            options,
            Arc::new(|_| {}),
        );
        Self { client, script }
    }

    fn new() -> Self {
        Self::with("https://cxone.niceincontact.com", None, oauth())
    }

    /// One whose script begins with all of the sign-in.
    fn signed_in() -> Self {
        let platform = Self::new();
        platform.script.next(endpoint("https://cxone.niceincontact.com/auth/token"));
        platform.script.next(granted());
        platform.script.next(ScriptedAnswer::ok(
            r#"{"API_Endpoint":"https://api-na1.niceincontact.com/","area":"na1"}"#,
        ));
        platform
    }

    async fn all(&self, paging: &mut Paging<RowList>) -> Result<(), crate::cxone::ApiError> {
        while self.client.page(paging).await? == Progress::More {}
        Ok(())
    }
}

fn oauth() -> Credentials {
    Credentials::Client { id: "my-client".to_owned(), secret: SecretString::from(SECRET) }
}

fn endpoint(url: &str) -> ScriptedAnswer {
    ScriptedAnswer::ok(format!(r#"{{"issuer":"x","token_endpoint":"{url}"}}"#))
}

fn granted() -> ScriptedAnswer {
    ScriptedAnswer::ok(format!(
        r#"{{"access_token":"{TOKEN}","expires_in":"3600","id_token":"{ID_TOKEN}","refresh_token":"r"}}"#
    ))
}

fn agents() -> HistoryRequest {
    let window = Window { from: EIGHT.minus(Duration::from_secs(600)), to: EIGHT };
    HistoryRequest { window, filter: ReportFilter { kind: "all".to_owned(), id: String::new() } }
}

#[tokio::test(start_paused = true)]
async fn the_password_grant_finds_the_token_and_the_api() {
    let platform = Platform::signed_in();
    platform.client.sign_in().await.unwrap();
    assert_eq!(
        platform.client.api().as_deref(),
        Some("https://api-na1.niceincontact.com/incontactapi/services/v30.0")
    );
    assert_eq!(
        platform.script.requests(),
        [
            "GET https://cxone.niceincontact.com/.well-known/openid-configuration",
            "POST https://cxone.niceincontact.com/auth/token",
            "GET https://cxone.niceincontact.com/.well-known/cxone-configuration?tenantId=t+1",
        ]
    );
    assert_eq!(
        platform.script.request_body(1),
        "grant_type=password&username=KEY&password=key%2Fs3cret%3D&client_id=my-client&client_secret=s3cret%2Fwith%2Bodd+chars"
    );
    assert_eq!(platform.script.request_header(1, "accept"), "application/json");
}

#[tokio::test(start_paused = true)]
async fn an_access_key_alone_gets_a_token_of_its_area() {
    let credentials = Credentials::AccessKey("https://na1.nice-incontact.com".parse().unwrap());
    let platform = Platform::with(
        "https://cxone.niceincontact.com",
        Some("https://api-na1.niceincontact.com"),
        credentials,
    );
    platform
        .script
        .next(ScriptedAnswer::ok(format!(r#"{{"access_token":"{TOKEN}","expires_in":3600}}"#)));
    platform.client.sign_in().await.unwrap();
    assert_eq!(
        platform.script.requests(),
        ["POST https://na1.nice-incontact.com/authentication/v1/token/access-key"]
    );
    assert_eq!(
        platform.script.request_body(0),
        r#"{"accessKeyId":"KEY","accessKeySecret":"key/s3cret="}"#
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_and_tokens_go_to_no_other_host_whatever_is_discovered() {
    for url in [
        "https://evil.example/auth/token",
        "http://cxone.niceincontact.com/auth/token",
        "https://niceincontact.com.evil.example",
    ] {
        let platform = Platform::new();
        platform.script.next(endpoint(url));
        let error = platform.client.sign_in().await.unwrap_err();
        assert_eq!((error.kind, error.endpoint), (ErrorKind::Malformed, ApiEndpoint::Discovery));
        assert!(error.to_string().contains(url), "{error}");
        assert_eq!(platform.script.requests().len(), 1, "{url}");
    }
    let platform = Platform::new();
    platform.script.next(endpoint("https://cxone.niceincontact.com/auth/token"));
    platform.script.next(granted());
    platform.script.next(ScriptedAnswer::ok(r#"{"api_endpoint":"https://evil.example"}"#));
    let error = platform.client.sign_in().await.unwrap_err();
    assert!(error.to_string().contains("none of CXone's hosts"), "{error}");
    assert!(platform.script.requests().iter().all(|request| !request.contains("evil")));
}

#[tokio::test(start_paused = true)]
async fn every_step_of_the_discovery_can_be_replaced() {
    let platform =
        Platform::with("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/x"), oauth());
    platform.script.next(ScriptedAnswer::new(404, "no such document"));
    platform.script.next(granted());
    platform.client.sign_in().await.unwrap();
    assert_eq!(platform.script.requests()[1], "POST http://127.0.0.1:8080/auth/token");
    assert_eq!(
        platform.client.api().as_deref(),
        Some("http://127.0.0.1:8080/x/incontactapi/services/v30.0")
    );
    let nameless = Platform::new();
    nameless.script.next(endpoint("https://cxone.niceincontact.com/auth/token"));
    nameless.script.next(ScriptedAnswer::token(TOKEN, 3600));
    let error = nameless.client.sign_in().await.unwrap_err();
    assert!(error.to_string().contains("api.base_url"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_a_message_and_the_status_description_is() {
    let platform = Platform::new();
    platform.script.next(endpoint("https://cxone.niceincontact.com/auth/token"));
    let said = format!("{KEY_SECRET} {SECRET} wrong");
    platform.script.next(
        ScriptedAnswer::new(401, said).header("icStatusDescription", "Key key/s3cret= is inactive"),
    );
    let error = platform.client.sign_in().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials);
    let text = format!("{error} {error:?} {:?}", platform.client);
    assert!(
        text.contains("*** *** wrong") && text.contains("icStatusDescription: Key *** is inactive"),
        "{text}"
    );
    assert!(!text.contains(KEY_SECRET) && !text.contains(SECRET), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_history_is_read_page_by_page_and_its_links_are_not_followed() {
    let platform = Platform::signed_in();
    platform.script.next(ScriptedAnswer::ok(r#"{"unavailableCodes":[{"id":11,"isACW":true}]}"#));
    platform.script.next(ScriptedAnswer::ok(
        r#"{"_links":{"next":"https://evil.example/2"},"agentStateHistory":[
            {"agentId":7,"agentStateId":2,"outStateId":11,"startDate":"2023-10-27T07:55:00Z","duration":"PT1M"}, 7]}"#,
    ));
    platform.script.next(ScriptedAnswer::new(204, ""));
    let mut paging: Paging<RowList> = platform.client.history(agents());
    platform.all(&mut paging).await.unwrap();
    let list = paging.take_rows();
    assert_eq!(
        (list.rows.len(), list.oddities.all_rejected(), &*list.rows[0].state_name),
        (1, 1, "Wrap-up")
    );
    let base = "https://api-na1.niceincontact.com/incontactapi/services/v30.0";
    let history = format!(
        "GET {base}/agents/state-history?startDate=2023-10-27T07%3A50%3A00.000Z&endDate=2023-10-27T08%3A00%3A00.000Z&top=10000&skip="
    );
    let requests = platform.script.requests();
    assert_eq!(requests[3], format!("GET {base}/unavailable-codes [Bearer {TOKEN}]"));
    assert_eq!(
        requests[4..],
        [format!("{history}0 [Bearer {TOKEN}]"), format!("{history}2 [Bearer {TOKEN}]")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_that_breaks_off_counts_for_nothing_and_comes_again() {
    let row = |agent: u32| {
        format!(
            r#"{{"agentId":{agent},"agentStateId":1,"startDate":"2023-10-27T07:55:00Z","duration":60}}"#
        )
    };
    let platform = Platform::signed_in();
    platform.script.next(ScriptedAnswer::ok(r#"{"unavailableCodes":[]}"#));
    platform.script.next(ScriptedAnswer::ok(format!(
        r#"{{"_links":{{"next":"x"}},"agentStateHistory":[{}]}}"#,
        row(1)
    )));
    platform.script.next(ScriptedAnswer::ok(format!(r#"{{"agentStateHistory":[{}"#, row(2))));
    let mut paging: Paging<RowList> = platform.client.history(agents());
    assert_matches!(platform.client.page(&mut paging).await, Ok(Progress::More));
    assert_eq!(platform.client.page(&mut paging).await.unwrap_err().kind, ErrorKind::Malformed);
    platform
        .script
        .next(ScriptedAnswer::ok(format!(r#"{{"_links":{{}},"agentStateHistory":[{}]}}"#, row(3))));
    assert_matches!(platform.client.page(&mut paging).await, Ok(Progress::Done));
    let ids: Vec<String> =
        paging.take_rows().rows.iter().map(|row| row.user_id.to_string()).collect();
    assert_eq!(ids, ["1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn codes_are_read_as_long_as_answers_announce_more_and_no_longer() {
    let code = |id: u32| format!(r#"{{"id":{id},"isACW":true}}"#);
    for (second, known) in [(code(12), true), (code(11), false), (String::new(), false)] {
        let platform = Platform::signed_in();
        platform.script.next(ScriptedAnswer::ok(format!(
            r#"{{"totalRecords":2,"unavailableCodes":[{}]}}"#,
            code(11)
        )));
        platform.script.next(ScriptedAnswer::ok(format!(
            r#"{{"_links":{{"next":"x"}},"unavailableCodes":[{second}]}}"#
        )));
        platform.script.next(ScriptedAnswer::ok(format!(
            r#"{{"totalRecords":2,"unavailableCodes":[{second}]}}"#
        )));
        let codes = platform.client.codes().await.unwrap();
        assert_eq!((codes.is_acw("11"), codes.is_acw("12")), (true, known), "{second}");
        let requests = platform.script.requests();
        assert!(
            requests[3].contains("/unavailable-codes [")
                && requests[4].contains("/unavailable-codes?skip=1 ["),
            "{requests:?}"
        );
        assert_eq!(requests.len(), if known { 6 } else { 5 }, "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_needs_the_codes_at_once_waits_for_one_answer_or_one_failure() {
    for (answer, works) in [
        (ScriptedAnswer::ok(r#"{"unavailableCodes":[{"id":11}]}"#), true),
        (ScriptedAnswer::new(500, ""), false),
    ] {
        let platform = Platform::signed_in();
        platform.script.next(answer);
        let all = futures_util::future::join_all((0..50).map(|_| platform.client.codes())).await;
        assert!(all.iter().all(|codes| codes.is_ok() == works));
        assert_eq!(platform.script.requests().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn codes_serve_an_hour_and_old_ones_while_new_ones_cannot_be_loaded() {
    let platform = Platform::signed_in();
    platform.script.next(ScriptedAnswer::ok(r#"{"unavailableCodes":[{"id":11,"isACW":true}]}"#));
    assert!(platform.client.codes().await.unwrap().is_acw("11"));
    tokio::time::sleep(Duration::from_secs(3300)).await;
    assert!(platform.client.codes().await.unwrap().is_acw("11"));
    tokio::time::sleep(Duration::from_secs(301)).await;
    platform.script.next(granted());
    platform.script.next(ScriptedAnswer::new(500, ""));
    assert!(platform.client.codes().await.unwrap().is_acw("11"));
    let asked = |end: &str| {
        platform.script.requests().iter().filter(|request| request.contains(end)).count()
    };
    assert_eq!((asked("/unavailable-codes"), asked("/auth/token")), (2, 2));
}
