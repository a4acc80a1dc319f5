//! The lists of the platform API. The input: which call, the size of the chunks, where to cut,
//! and the body.

use std::num::NonZeroU32;
use std::sync::Arc;

use cxone_core::live::FeedRequest;
use cxone_core::report::ReportFilter;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::platform::Credentials;
use cxone_exporter::cxone::{
    ApiError, HistoryRequest, Paging, PlatformClient, PlatformOptions, ResponseLimits, RowList,
};
use secrecy::SecretString;

use super::is_json;
use super::played::{EIGHT, Played, SECRET, play};

const TOKEN: &[u8] = br#"{"access_token":"token","expires_in":1200}"#;
const CODES: &[u8] = br#"{"unavailableCodes":[{"id":11,"name":"After call","isACW":true},{"id":"12","name":"Break"}]}"#;

#[derive(Clone, Copy, PartialEq)]
enum Call {
    History,
    AgentsHistory,
    States,
    Skills,
    Codes,
}

pub(crate) fn check(data: &[u8]) {
    let [call, chunk, cut, body @ ..] = data else { return };
    let call = [Call::History, Call::AgentsHistory, Call::States, Call::Skills, Call::Codes]
        [usize::from(*call) % 5];
    let whole = ask(call, body, usize::MAX);
    assert_eq!(whole, ask(call, body, usize::from(*chunk)), "however it is cut into pieces");
    if whole.is_err() {
        return;
    }
    assert!(is_json(body), "what is taken is JSON");
    let end = body.trim_ascii_end().len();
    let cut = end * usize::from(*cut) / 256;
    assert!(ask(call, &body[..cut], usize::MAX).is_err(), "an answer cut short counts for nothing");
}

/// The result of `call`, as text.
fn ask(call: Call, body: &[u8], chunk: usize) -> Result<String, ApiError> {
    let address = || "https://na1.niceincontact.com".parse().expect("an address");
    let options = PlatformOptions {
        issuer: address(),
        base_url: Some(address()),
        version: 30,
        access_key_id: "KEY".to_owned(),
        access_key_secret: SecretString::from(SECRET),
        credentials: Credentials::AccessKey(address()),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
        requests_per_minute: NonZeroU32::new(60_000).expect("some"),
    };
    let codes =
        (call != Call::Codes).then(|| (200, CODES.to_vec())).filter(|_| call != Call::Skills);
    let answers = [(200, TOKEN.to_vec())].into_iter().chain(codes).chain([(200, body.to_vec())]);
    play(async {
        let clock = Clock::starting_at(Timestamp::from_millis(EIGHT));
        let client =
            PlatformClient::new(Played::new(chunk, answers), clock, options, Arc::new(|_| {}));
        match call {
            Call::History => history(&client, "user").await,
            Call::AgentsHistory => history(&client, "all").await,
            Call::States => client
                .live(&FeedRequest::States { since: None, skip: 0 })
                .await
                .map(|page| format!("{page:?}")),
            Call::Skills => {
                client.live(&FeedRequest::Skills { skip: 0 }).await.map(|page| format!("{page:?}"))
            }
            Call::Codes => client.codes().await.map(|codes| format!("{codes:?}")),
        }
    })
}

async fn history(client: &PlatformClient, kind: &str) -> Result<String, ApiError> {
    let window =
        Window { from: Timestamp::from_millis(EIGHT - 600_000), to: Timestamp::from_millis(EIGHT) };
    let filter = ReportFilter { kind: kind.to_owned(), id: "7".to_owned() };
    let mut paging: Paging<RowList> = client.history(HistoryRequest { window, filter });
    let progress = client.page(&mut paging).await?;
    let count = paging.count();
    let list = paging.take_rows();
    assert!(
        list.rows
            .iter()
            .all(|row| !row.user_id.trim().is_empty() && !row.state_name.trim().is_empty()),
        "agent and state are known"
    );
    assert!(
        list.rows.iter().all(|row| row.to.is_none_or(|to| row.from <= to)),
        "nothing ends before it begins"
    );
    Ok(format!("{progress:?} {count} {list:?}"))
}
