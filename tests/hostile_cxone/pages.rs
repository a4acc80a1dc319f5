//! The other calls of the platform API, and pages that never end, lie or repeat.

use cxone_core::live::FeedRequest;
use cxone_core::plan::fetch::FailureReason;
use cxone_exporter::cxone::ApiError;
use cxone_exporter::cxone::platform::Progress;

use crate::{
    Answer, Dialect, Hostile, OK, PACKED, asks_token, assert_well_described, bomb, endless,
    history, platform, run, text, token,
};

/// All pages of the history of all agents: how many rows there are.
fn read(server: &Hostile) -> Result<usize, ApiError> {
    run(async {
        let client = platform(server);
        let mut paging = history(&client, None);
        while client.page(&mut paging).await? == Progress::More {}
        Ok(paging.take_rows().rows().len())
    })
}

/// The calls other than the history, by the key of their rows: each is called once.
const BESIDE: [&str; 3] = ["agentStates", "skillActivity", "unavailableCodes"];

fn ask_beside(member: &str, server: &Hostile) -> ApiError {
    let error = run(async {
        let client = platform(server);
        match member {
            "agentStates" => {
                client.live(&FeedRequest::States { since: None, skip: 0 }).await.map(drop)
            }
            "skillActivity" => client.live(&FeedRequest::Skills { skip: 0 }).await.map(drop),
            _ => client.codes().await.map(drop),
        }
    });
    error.expect_err("it is not a list")
}

#[test]
fn all_other_calls_have_the_limits_of_the_history() {
    for member in BESIDE {
        let filler = "n".repeat(40);
        let rows = move |place: u64| {
            format!(
                r#"{{"id":{place},"name":"c{place}{filler}","agentId":{place},"agentStateName":"s{place}{filler}","skillName":"k{place}{filler}"}},"#
            )
        };
        let begin: &'static str = format!(r#"{{"{member}":["#).leak();
        let cases: [(&str, Answer); 5] = [
            ("names", endless(OK, begin, rows)),
            ("spaces", endless(OK, begin, |_| " ".repeat(64 << 10))),
            ("one row", endless(OK, begin, |_| "[".repeat(64 << 10))),
            ("a bomb", bomb(PACKED, begin, "\0")),
            ("a bomb of rows", bomb(PACKED, begin, r#"{"agentId":1,"agentStateId":1},"#)),
        ];
        for (what, rest) in cases {
            let token = token();
            let server = Hostile::choosing(Box::new(move |head, to| {
                let is_asked = member != "agentStates" || !head.contains("/unavailable-codes");
                match (asks_token(head), is_asked) {
                    (true, _) => token(to),
                    (_, true) => rest(to),
                    _ => text(format!(r#"{OK}{{"unavailableCodes":[]}}"#))(to),
                }
            }));
            let error = ask_beside(member, &server);
            assert_eq!(
                error.kind.failure(),
                Some(FailureReason::TooLarge),
                "{member}: {what}: {error}"
            );
            assert_well_described(&error);
        }
    }
}

/// Rows of a page that begins at `skip`, as the request's head says.
fn page(head: &str, rows: u64, row: impl Fn(u64) -> String) -> String {
    let skip: u64 = head
        .split(['?', '&', ' '])
        .find_map(|part| part.strip_prefix("skip="))
        .map_or(0, |skip| skip.parse().unwrap());
    (skip..skip + rows).map(row).collect::<Vec<_>>().join(",")
}

#[test]
fn endless_pages_end_at_their_common_limit() {
    const NEXT: &str = r#""totalRecords":1e999,"_links":{"next":"more"}"#;
    let endless = Hostile::answering(|head| match head {
        _ if head.contains("/unavailable-codes") => {
            format!(
                r#"{OK}{{{NEXT},"unavailableCodes":[{}]}}"#,
                page(head, 4_000, |place| format!(r#"{{"id":{place}}}"#))
            )
        }
        _ => format!(
            r#"{OK}{{{NEXT},"agentStateHistory":[{}]}}"#,
            page(head, 999, |place| Dialect::Platform.row(place, ""))
        ),
    });
    assert_eq!(read(&endless).unwrap_err().kind.failure(), Some(FailureReason::TooLarge));
    assert_eq!(
        endless.requests(),
        1 + 4 + 11,
        "a token, 10,000 codes and what shows that there are more, 10,000 rows and one page"
    );

    let agents = |head: &str| match head {
        _ if head.contains("/agents/state-history") => {
            "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n".to_owned()
        }
        _ if head.contains("/unavailable-codes") => format!(r#"{OK}{{"unavailableCodes":[]}}"#),
        _ => {
            let row = |place: u64| format!(r#"{{"agentId":{place},"agentStateId":1}}"#);
            format!(r#"{OK}{{{NEXT},"agentStates":[{}]}}"#, page(head, 999, row))
        }
    };
    let listed = Hostile::answering(agents);
    assert_eq!(read(&listed).unwrap_err().kind.failure(), Some(FailureReason::TooLarge));
    assert_eq!(
        listed.requests(),
        2 + 1 + 11,
        "a token, the codes, the call that is not there, and the agents"
    );
    let now = Hostile::answering(agents);
    assert_eq!(
        run(async { platform(&now).agents_now().await }).unwrap_err().kind.failure(),
        Some(FailureReason::TooLarge)
    );
}

#[test]
fn wrong_totals_and_repeated_pages_end_and_lose_no_row() {
    let row = |place: u64| Dialect::Platform.row(place, "");
    for total in ["0", "-1", "5", "1e999", "\"many\"", "99999999999999999999"] {
        // The links say how many there are: 2,500 rows, a thousand at a time.
        let lying = Hostile::answering(move |head| {
            let rows =
                page(head, 1000, |place| if place < 2_500 { row(place) } else { String::new() });
            let rows = rows.trim_end_matches(',');
            let next = if rows.matches("agentId").count() == 1000 { r#""x""# } else { "null" };
            format!(
                r#"{OK}{{"totalRecords":{total},"_links":{{"next":{next}}},"unavailableCodes":[],"agentStateHistory":[{rows}]}}"#
            )
        });
        assert_eq!(read(&lying), Ok(2_500), "{total}");
    }
    let same = Hostile::answering(move |_| {
        let rows = format!("{},{}", row(1), row(2));
        format!(r#"{OK}{{"totalRecords":9000,"unavailableCodes":[],"agentStateHistory":[{rows}]}}"#)
    });
    let error = read(&same).unwrap_err();
    assert_eq!(error.kind.failure(), Some(FailureReason::Malformed), "{error}");
    assert_eq!(same.requests(), 4, "a token, the codes, and the page twice");
}
