//! The answers to a sign-in. The input: how the client signs in, the status of the token's
//! answer, and the answers, cut at 0xFF.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use cxone_core::plan::fetch::JobId;
use cxone_core::time::Timestamp;
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::platform::Credentials;
use cxone_exporter::cxone::{
    ApiError, JobStatus, PlatformClient, PlatformOptions, ReportsClient, ReportsOptions,
    ResponseLimits, RowList,
};
use http::Request;
use secrecy::SecretString;

use super::parts;
use super::played::{EIGHT, Played, SECRET, play};

/// In the seeds, a token.
const MARK: &str = "token-0123456789abcdef";

/// An origin that the configuration allows.
const CONFIGURED: &str = "http://127.0.0.1:8080";

pub(crate) fn check(data: &[u8]) {
    let [way, status, answers @ ..] = data else { return };
    let status = [200, 200, 200, 201, 204, 301, 400, 401, 403, 429, 500][usize::from(*status) % 11];
    let answers: Vec<&[u8]> = parts(answers, 3).collect();
    match way % 4 {
        0 => reports(status, answers[0]),
        1 => platform("https://cxone.niceincontact.com", true, status, &answers),
        2 => platform(CONFIGURED, true, status, &answers),
        _ => platform(CONFIGURED, false, status, &answers),
    }
}

fn reports(status: u16, answer: &[u8]) {
    let options = ReportsOptions {
        base_url: CONFIGURED.parse().expect("an address"),
        client_id: "client".to_owned(),
        client_secret: SecretString::from(SECRET),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    let played = Played::new(
        usize::MAX,
        [(status, answer.to_vec()), (200, br#"{"status":"RUNNING"}"#.to_vec())],
    );
    let outcome = play(async {
        let clock = Clock::starting_at(Timestamp::from_millis(EIGHT));
        let client = ReportsClient::new(played.clone(), clock, options, Arc::new(|_| {}));
        client.poll::<RowList>(&JobId::parse("job").expect("an id")).await
    });
    let requests = played.requests();
    match outcome {
        Ok(message) => {
            assert_eq!(message, JobStatus::Running);
            let header = requests[1].headers().get("authorization").expect("a token");
            let token =
                header.to_str().expect("ASCII").strip_prefix("Bearer ").expect("a bearer token");
            assert!(
                !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
                "it cannot break out of its header"
            );
            assert!(header.is_sensitive(), "nobody shows it");
        }
        Err(error) => silent(&error, status < 300),
    }
    safe(&requests);
}

fn platform(issuer: &str, with_client: bool, status: u16, answers: &[&[u8]]) {
    let credentials = if with_client {
        Credentials::Client { id: "client".to_owned(), secret: SecretString::from(SECRET) }
    } else {
        Credentials::AccessKey(issuer.parse().expect("an address"))
    };
    let options = PlatformOptions {
        issuer: issuer.parse().expect("an address"),
        base_url: None,
        version: 30,
        access_key_id: "KEY".to_owned(),
        access_key_secret: SecretString::from(SECRET),
        credentials,
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
        requests_per_minute: NonZeroU32::new(60_000).expect("some"),
    };
    let token = usize::from(with_client);
    let answers = answers
        .iter()
        .enumerate()
        .map(|(place, body)| (if place == token { status } else { 200 }, body.to_vec()));
    let played = Played::new(usize::MAX, answers.chain([(200, b"{}".to_vec())]));
    let outcome = play(async {
        let clock = Clock::starting_at(Timestamp::from_millis(EIGHT));
        let client = PlatformClient::new(played.clone(), clock, options, Arc::new(|_| {}));
        client.codes().await
    });
    if let Err(error) = outcome {
        silent(&error, false);
    }
    safe(&played.requests());
}

/// No message contains the secret or the token.
fn silent(error: &ApiError, granted: bool) {
    let message = format!("{error} {error:?}");
    assert!(!message.contains(SECRET), "the secret: {message}");
    assert!(!granted || !message.contains(MARK), "a token: {message}");
}

/// No request goes to other hosts than the configured origin and, encrypted, CXone's own.
fn safe(requests: &[Request<Bytes>]) {
    for uri in requests.iter().map(Request::uri) {
        let host = uri.host().expect("an absolute address").to_ascii_lowercase();
        let is_cxone = ["niceincontact.com", "nice-incontact.com"]
            .iter()
            .any(|own| host == *own || host.ends_with(&format!(".{own}")));
        let is_configured = uri.scheme_str() == Some("http")
            && uri.authority().is_some_and(|authority| authority == "127.0.0.1:8080");
        assert!(
            is_configured || (is_cxone && uri.scheme_str() == Some("https")),
            "nothing goes to {uri}"
        );
    }
}
