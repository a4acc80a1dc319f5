//! Who is let in: passwords, excluded paths, rate limits.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};

use super::super::access::{PasswordCheck, PasswordChecker};
use super::super::admission::Peer;
use super::*;
use crate::clock::Clock;
use crate::config::ConfigText;
use crate::config::web::{PasswordHash, WebConfig};

const PROMETHEUS: Peer = Peer::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: Peer = Peer::V4(Ipv4Addr::new(10, 0, 0, 2));

fn config(text: &str) -> WebConfig {
    let none = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    WebConfig::parse(ConfigText { name: "web.yml", text }, none).unwrap().0
}

/// `users` with these passwords, and whatever else.
fn access(users: &[(&str, &str)], more: &str) -> AccessControl {
    let users: String = users
        .iter()
        .map(|(user, password)| format!("  {user}: {}\n", bcrypt::hash(password, 4).unwrap()))
        .collect();
    AccessControl::new(config(&format!("basic_auth_users:\n{users}{more}")), Clock::system())
}

fn signed(user: &str, password: &str) -> HeaderMap {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    HeaderMap::from_iter([(
        header::AUTHORIZATION,
        HeaderValue::from_str(&format!("Basic {encoded}")).unwrap(),
    )])
}

async fn status(access: &AccessControl, client: Peer, path: &str, headers: &HeaderMap) -> u16 {
    access
        .authorize(client, false, path, headers)
        .await
        .map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
}

#[tokio::test]
async fn the_right_password_opens_and_nothing_else_does() {
    let access = access(&[("ann", "sesame:open"), ("bob", "")], "");
    assert_eq!(status(&access, PROMETHEUS, "/metrics", &signed("ann", "sesame:open")).await, 200);
    assert_eq!(
        status(&access, PROMETHEUS, "/metrics", &signed("ann", "sesame:open")).await,
        200,
        "from the cache, too"
    );
    assert_eq!(status(&access, PROMETHEUS, "/metrics", &signed("bob", "")).await, 200);
    for wrong in [
        signed("ann", "sesame"),
        signed("ann", ""),
        signed("eve", "sesame:open"),
        signed("", ""),
        signed("bob", "sesame:open"),
    ] {
        assert_eq!(status(&access, PROMETHEUS, "/metrics", &wrong).await, 401);
    }
    for text in [
        "",
        "Basic",
        "Basic !",
        "Basic YW5u",
        "Bearer YW5uOnNlc2FtZTpvcGVu",
        "basic\u{a0}x",
        "Basic /////w==",
    ] {
        let headers = HeaderMap::from_iter([(
            header::AUTHORIZATION,
            HeaderValue::from_bytes(text.as_bytes()).unwrap(),
        )]);
        assert_eq!(status(&access, PROMETHEUS, "/metrics", &headers).await, 401, "{text}");
    }
    let refusal = access.authorize(PROMETHEUS, false, "/", &HeaderMap::new()).await.unwrap_err();
    assert!(
        refusal.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm=")
    );
}

#[tokio::test]
async fn a_changed_or_removed_user_is_out_at_the_next_request() {
    let access = access(&[("ann", "old"), ("bob", "b")], "");
    for user in [signed("ann", "old"), signed("bob", "b")] {
        assert_eq!(status(&access, PROMETHEUS, "/", &user).await, 200);
    }
    access.replace(config(&format!(
        "basic_auth_users: {{ann: {}}}",
        bcrypt::hash("new", 4).unwrap()
    )));
    assert_eq!(status(&access, PROMETHEUS, "/", &signed("ann", "old")).await, 401);
    assert_eq!(status(&access, PROMETHEUS, "/", &signed("bob", "b")).await, 401);
    assert_eq!(status(&access, PROMETHEUS, "/", &signed("ann", "new")).await, 200);
}

#[tokio::test]
async fn excluded_paths_need_no_password_and_no_others_do() {
    let access = access(&[("ann", "a")], "auth_excluded_paths: [/-/healthy]\n");
    let nobody = HeaderMap::new();
    assert_eq!(status(&access, STRANGER, "/-/healthy", &nobody).await, 200);
    for path in [
        "/metrics",
        "/-/healthy/",
        "/-/ready",
        "/-/healthy/../metrics",
        "//-/healthy",
        "/-/HEALTHY",
    ] {
        assert_eq!(status(&access, STRANGER, path, &nobody).await, 401, "{path}");
    }
}

#[tokio::test]
async fn strangers_do_not_use_up_the_rate_limit_and_refusals_say_when_to_come_again() {
    let access = access(&[("ann", "a")], "rate_limit: {interval: 1h, burst: 2}\n");
    for _ in 0..5 {
        assert_eq!(status(&access, PROMETHEUS, "/metrics", &signed("ann", "wrong")).await, 401);
    }
    let ann = signed("ann", "a");
    assert_eq!(status(&access, PROMETHEUS, "/metrics", &ann).await, 200);
    assert_eq!(status(&access, PROMETHEUS, "/metrics", &ann).await, 200);
    let refusal = access.authorize(PROMETHEUS, false, "/metrics", &ann).await.unwrap_err();
    assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u32 = refusal.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(
        status(&access, STRANGER, "/metrics", &ann).await,
        200,
        "another machine has a limit of its own"
    );
}

#[tokio::test]
async fn one_clients_guesses_fill_its_own_queue_only() {
    let users = BTreeMap::from([("ann".to_owned(), slow_hash())]);
    let passwords = Arc::new(PasswordChecker::new());
    let (tasks, verdicts) =
        (Tasks::new(CancellationToken::new()), Arc::new(std::sync::Mutex::new(Vec::new())));
    for number in 0..20 {
        let (passwords, users, verdicts) =
            (Arc::clone(&passwords), users.clone(), Arc::clone(&verdicts));
        tasks.spawn("guess", async move {
            let verdict =
                passwords.check(&users, STRANGER, &signed("ann", &format!("guess {number}"))).await;
            verdicts.lock().unwrap().push(verdict);
        });
    }
    tokio::task::yield_now().await;
    assert_eq!(
        passwords.check(&users, PROMETHEUS, &signed("ann", "a")).await,
        PasswordCheck::Valid("ann".to_owned())
    );
    assert_eq!(tasks.drain(LONG).await, Vec::<&str>::new());
    let verdicts = verdicts.lock().unwrap();
    let busy = verdicts.iter().filter(|verdict| **verdict == PasswordCheck::Overloaded).count();
    assert!(
        (12..20).contains(&busy) && !verdicts.contains(&PasswordCheck::Valid("ann".to_owned())),
        "{verdicts:?}"
    );
}

/// A hash that takes long enough for a queue to form.
fn slow_hash() -> PasswordHash {
    let config = config(&format!("basic_auth_users: {{ann: {}}}", bcrypt::hash("a", 8).unwrap()));
    config.users["ann"].clone()
}

#[tokio::test]
async fn configured_headers_stand_on_every_answer_in_place_of_the_pages_own() {
    let text = "http_server_config: {headers: {Content-Security-Policy: \"default-src 'self'\", Strict-Transport-Security: max-age=1}}";
    let access = Arc::new(AccessControl::new(config(text), Clock::system()));
    let server =
        TestServer::start_with(Some(access), ServerLimits::default(), answers(pages(40))).await;
    for path in ["/", "/metrics", "/nothing"] {
        let answer = server.ask(&get(path)).await;
        assert!(
            answer.contains("content-security-policy: default-src 'self'\r\n"),
            "{path}: {answer}"
        );
        assert!(answer.contains("strict-transport-security: max-age=1\r\n"), "{path}: {answer}");
        assert_eq!(answer.matches("content-security-policy").count(), 1);
    }
    server.end().await;
}
