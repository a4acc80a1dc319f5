//! Many clients, and misbehaving ones: the others are answered all the same.

use super::*;

/// Opens `count` connections and sends `start` on each.
async fn crowd(server: &TestServer, count: usize, start: &str) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = server.connect().await;
        // One that had to make room already does not take it.
        let _sent = stream.write_all(start.as_bytes()).await;
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn a_crowd_of_idle_and_slow_clients_keeps_nobody_out() {
    let server =
        TestServer::start(ServerLimits { max_connections: 8, ..ServerLimits::default() }, hello)
            .await;
    for start in ["", "G", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let _crowd = crowd(&server, 40, start).await;
        for _ in 0..3 {
            assert!(server.ask(&get("/")).await.ends_with("hello"), "with {start:?} in the way");
        }
    }
    server.end().await;
}

/// A page of 16 MiB: more than the sockets between take in.
fn large_pages(max_requests: usize) -> Arc<Pages> {
    pages_with(
        max_requests,
        format!("# HELP x {}\n# TYPE x gauge\nx 1\n# EOF\n", "x".repeat(16 << 20)),
    )
}

/// A connection from another of this machine's addresses: to the server, another client.
async fn from_elsewhere(server: &TestServer) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    socket.connect(server.address).await.unwrap()
}

#[tokio::test]
async fn readers_that_stall_hold_no_place_that_another_client_needs() {
    let server = TestServer::start(ServerLimits::default(), answers(large_pages(4))).await;
    let mut stalled = crowd(&server, 4, &get("/metrics")).await;
    for stream in &mut stalled {
        // Its answer has begun, so it has its place.
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
    }
    assert!(
        server.ask(&get("/metrics")).await.starts_with("HTTP/1.1 503"),
        "the crowd itself gets no more"
    );
    for _ in 0..2 {
        let mut other = from_elsewhere(&server).await;
        other.write_all(get("/metrics").as_bytes()).await.unwrap();
        let answer = read_to_end(&mut other).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("x 1\n"),
            "{} bytes",
            answer.len()
        );
    }
    assert!(read_to_end(&mut stalled[0]).await.len() < 16 << 20, "the first one was cut off");
    drop(stalled);
    server.end().await;
}

#[tokio::test]
async fn a_request_cut_anywhere_is_an_end_of_its_connection_and_of_nothing_else() {
    let limits = ServerLimits { head_time: Duration::from_millis(500), ..ServerLimits::default() };
    let server = TestServer::start(limits, answers(pages(40))).await;
    let whole = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.5,*/*\r\nContent-Length: 3\r\n\r\nabc";
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    for end in 0..whole.len() {
        let mut stream = server.connect().await;
        stream.write_all(&whole.as_bytes()[..end]).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400") || end >= head,
            "cut at {end}: {answer}"
        );
    }
    assert!(server.ask(&get("/-/healthy")).await.starts_with("HTTP/1.1 200"));
    server.end().await;
}

#[test]
fn absurd_accept_headers_get_the_plain_page() {
    let pages = pages(40);
    let long = "a/b;q=0.1,".repeat(1_500);
    let nested = format!("text/plain{}", ";x=\"\\\"".repeat(2_000));
    for accept in [
        "",
        ",",
        ";;;",
        "*/*;q=-1",
        "text/plain;q=9999999999999999999",
        "application/openmetrics-text;version=99",
        &long,
        &nested,
        "\u{fc}",
    ] {
        for coding in ["", "gzip;q=x", "identity;q=0", "*;q=0", &long] {
            let response = pages.answer(&request(
                "GET",
                "/metrics",
                &[("accept", accept), ("accept-encoding", coding)],
            ));
            assert_eq!(response.status(), StatusCode::OK, "{accept:.40} {coding:.40}");
            assert!(
                response.headers()[header::CONTENT_TYPE]
                    .to_str()
                    .unwrap()
                    .contains("version=0.0.4"),
                "{accept:.40}"
            );
        }
    }
}

#[tokio::test]
async fn the_bound_holds_over_several_listeners_and_a_unix_socket_is_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let (stop, limits) =
        (CancellationToken::new(), ServerLimits { max_connections: 4, ..ServerLimits::default() });
    let tasks = Tasks::new(stop.clone());
    let server = super::TestServer {
        address: (Ipv4Addr::LOCALHOST, 1).into(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let shared = crate::server::Server::new(limits, tasks.clone(), stop.clone());
    let tcp = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = tcp.address().tcp().unwrap();
    tasks.essential("server", shared.clone().serve(tcp, handler(hello)));
    tasks.essential("server", shared.serve(bind_unix(&path).unwrap(), handler(hello)));
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut local = tokio::net::UnixStream::connect(&path).await.unwrap();
    local.write_all(get("/").as_bytes()).await.unwrap();
    let mut answer = String::new();
    local.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(
        read_to_end(&mut idle[0]).await,
        "",
        "the one that was silent the longest made room"
    );
    server.end().await;
    assert!(!path.exists(), "the socket's file goes with the server");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_or_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let bound = bind_unix(&path).unwrap();
    let message = bind_unix(&path).unwrap_err().to_string();
    assert!(message.contains("unix:") && message.contains("in use"), "{message}");
    drop(bound);
    std::fs::write(&path, "mine").unwrap();
    assert!(bind_unix(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}
