//! Reports as they arrive: whole, in pieces, cut, too large.

use assert_matches::assert_matches;
use futures_util::StreamExt;

use super::*;
use crate::cxone::{ErrorKind, JobStatus, RowList};
use cxone_core::report::{Report, RowRejection};

const ROW: &str = r#"{"userId":"u","userName":"Ann","stateName":"Ready","count":2,"dateFrom":"2023-10-27T07:00:00.000Z"}"#;

async fn polled(
    limits: ResponseLimits,
    answer: ScriptedAnswer,
) -> Result<JobStatus<RowList>, crate::cxone::ApiError> {
    let stage = Stage::with(limits);
    stage.script.next(ScriptedAnswer::token(TOKEN, 1200));
    stage.script.next(answer);
    stage.client.poll(&job()).await
}

#[tokio::test(start_paused = true)]
async fn a_report_cut_at_any_byte_is_never_taken_for_a_whole_one() {
    let body = format!(r#"{{"id":"j","data":[{ROW},7,{ROW}],"status":"COMPLETED","more":[1,2]}}"#);
    assert_matches!(polled(ResponseLimits::default(), ScriptedAnswer::ok(body.as_str())).await, Ok(JobStatus::Completed(list)) => {
        assert_eq!((list.rows.len(), list.oddities.rejected(RowRejection::NotAnObject)), (2, 1));
    });
    for end in 0..body.len() {
        let part = &body.as_bytes()[..end];
        let error = polled(ResponseLimits::default(), ScriptedAnswer::ok(part)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "cut at {end}");
        let error = polled(
            ResponseLimits::default(),
            ScriptedAnswer::ok(part).then_breaks(TransportFault::Cut),
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "broken at {end}");
    }
    let error = polled(
        ResponseLimits::default(),
        ScriptedAnswer::ok(body).then_breaks(TransportFault::Cut),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed, "broken after the last byte");
}

#[tokio::test(start_paused = true)]
async fn bad_rows_are_counted_and_the_rest_counts() {
    let stage = Stage::logged_in();
    let odd = r#"{"userId":"u","stateName":"s","dateFrom":"27/10/2023"},{"userId":{}},null,{"userId":"u","stateName":[]}"#;
    stage
        .script
        .next(ScriptedAnswer::ok(format!(r#"{{"data":[{odd},{ROW}],"status":"COMPLETED"}}"#)));
    assert_matches!(stage.client.poll::<Report>(&job()).await, Ok(JobStatus::Completed(report)) => {
        assert_eq!(report.rows().len(), 1);
        let rejected = [RowRejection::BadTime, RowRejection::NoAgent, RowRejection::NotAnObject, RowRejection::NoState];
        assert!(rejected.iter().all(|reason| report.rejected(*reason) == 1));
    });
}

#[tokio::test(start_paused = true)]
async fn size_and_number_of_rows_are_limited() {
    let body = format!(r#"{{"status":"COMPLETED","data":[{ROW},null]}}"#);
    let size = u64::try_from(body.len()).unwrap();
    for (max_report_bytes, max_rows, fits) in
        [(size, 2, true), (size - 1, 2, false), (size, 1, false)]
    {
        let limits = ResponseLimits { max_report_bytes, max_rows, ..ResponseLimits::default() };
        let outcome = polled(limits, ScriptedAnswer::ok(body.as_str())).await;
        assert_eq!(
            outcome.map_err(|error| error.kind).map(drop),
            if fits { Ok(()) } else { Err(ErrorKind::TooLarge) }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_documents_are_errors_or_rejections_and_never_more() {
    let deep = "[".repeat(1_000_000);
    let closed = format!("{deep}{}", "]".repeat(1_000_000));
    for (data, kind) in [
        (deep.clone(), Some(ErrorKind::Malformed)),
        (format!("[{closed}]"), None),
        (format!("[{{\"userId\":{closed}}}]"), None),
        (format!("[\"{}\"]", "x".repeat(20_000_000)), Some(ErrorKind::TooLarge)),
        (r#"{"0":{}}"#.to_owned(), Some(ErrorKind::Malformed)),
        (r#""rows""#.to_owned(), Some(ErrorKind::Malformed)),
        ("[1}".to_owned(), Some(ErrorKind::Malformed)),
        ("[{]]".to_owned(), Some(ErrorKind::Malformed)),
        ("[tru]".to_owned(), Some(ErrorKind::Malformed)),
        ("[1e999,-0,1e-999]".to_owned(), None),
        (r#"["\ud800",{"\ud800":"\udc00"}]"#.to_owned(), None),
    ] {
        let shown = &data[..data.len().min(40)];
        let outcome = polled(
            ResponseLimits::default(),
            ScriptedAnswer::ok(format!(r#"{{"status":"COMPLETED","data":{data}}}"#)),
        )
        .await;
        match kind {
            Some(kind) => assert_eq!(outcome.unwrap_err().kind, kind, "{shown}"),
            None => {
                assert_matches!(outcome, Ok(JobStatus::Completed(list)) if list.rows.is_empty() && list.oddities.all_rejected() > 0, "{shown}")
            }
        }
    }
    let outcome = polled(
        ResponseLimits::default(),
        ScriptedAnswer::ok(
            b"{\"status\":\"COMPLETED\",\"data\":[\"\xff\xfe\"],\"\xff\":1}".as_slice(),
        ),
    )
    .await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn of_members_with_one_name_the_last_one_counts() {
    let body = format!(
        r#"{{"status":"RUNNING","data":[{ROW},{ROW},{ROW}],"data":[1,{ROW}],"status":"COMPLETED"}}"#
    );
    assert_matches!(polled(ResponseLimits { max_rows: 3, ..ResponseLimits::default() }, ScriptedAnswer::ok(body)).await, Ok(JobStatus::Completed(list)) => {
        assert_eq!((list.rows.len(), list.oddities.all_rejected()), (1, 1));
    });
    let body = format!(r#"{{"status":"COMPLETED","data":[{ROW}],"data":null}}"#);
    let error = polled(ResponseLimits::default(), ScriptedAnswer::ok(body)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn a_completed_job_without_a_list_of_rows_is_not_an_empty_report() {
    for (members, words) in [
        ("", "has no `data`"),
        (r#","results":[]"#, "has no `data`"),
        (r#","data":null"#, "`data` is null"),
        (r#","data":{}"#, "`data` is an object"),
        (r#","data":{"rows":[]}"#, "`data` is an object"),
        (r#","Data":null"#, "`data` is null"),
        (r#","data":"""#, "`data` is a string"),
        (r#","data":0"#, "`data` is a number"),
        (r#","data":false"#, "`data` is a boolean"),
    ] {
        let body = format!(r#"{{"id":"j","status":"COMPLETED"{members}}}"#);
        let error = polled(ResponseLimits::default(), ScriptedAnswer::ok(body)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{members}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = polled(ResponseLimits::default(), ScriptedAnswer::ok("")).await.unwrap_err();
    assert!(error.to_string().contains("the answer is empty"), "{error}");
    let empty = ScriptedAnswer::ok(r#"{"status":"COMPLETED","data":[]}"#);
    assert_eq!(
        polled(ResponseLimits::default(), empty).await,
        Ok(JobStatus::Completed(RowList::default()))
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_differ_where_it_cannot_be_misunderstood_count() {
    let body = r#"{"Status":"COMPLETED","Data":[
        {"UserId":"u","StateName":"Ready","DateFrom":"2023-10-27T08:00:00+00:00","DateTo":"0001-01-01T00:00:00"},
        {"userId":"u","stateName":"Ready","dateFrom":"2023-10-27T08:00:00","count":"2"}]}"#;
    let poll = polled(ResponseLimits::default(), ScriptedAnswer::ok(body)).await;
    let Ok(JobStatus::Completed(list)) = poll else { panic!("{poll:?}") };
    let rows: Vec<_> = list.rows.iter().map(|row| (row.from, row.to, row.count)).collect();
    assert_eq!(rows, [(EIGHT, None, 1), (EIGHT, None, 2)]);
    assert_eq!(
        list.oddities.lenient_forms(),
        "1 offset, 1 no_zone, 1 end_placeholder, 1 text_count, 1 key_case"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_read_in_virtual_time() {
    struct Slow(Vec<u8>);
    impl Transport for Slow {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
            let is_token = request.uri().path().ends_with("/token");
            let body = if is_token { br#"{"access_token":"t"}"#.to_vec() } else { self.0.clone() };
            let pieces = stream::iter(body.into_iter().enumerate()).then(|(at, byte)| async move {
                if at % 100 == 99 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(Bytes::from(vec![byte]))
            });
            Box::pin(async move {
                Ok(Response {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    body: pieces.boxed(),
                })
            })
        }
    }
    let body = format!(r#"{{"status":"COMPLETED","data":[{}]}}"#, vec![ROW; 100].join(","));
    let options = ReportsOptions {
        base_url: "http://cxone.test".parse().unwrap(),
        client_id: String::new(),
        client_secret: SecretString::default(),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    let seconds = u64::try_from(body.len() / 100).unwrap();
    let client = ReportsClient::new(
        Arc::new(Slow(body.into_bytes())),
        Clock::starting_at(EIGHT),
        options,
        Arc::new(|_| ()),
    );
    let clock = Clock::starting_at(EIGHT);
    assert_matches!(client.poll::<RowList>(&job()).await, Ok(JobStatus::Completed(list)) if list.rows.len() == 100);
    assert_eq!(clock.now().instant.elapsed().as_secs(), seconds);
}
