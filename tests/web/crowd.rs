//! 2,000 slow and idle connections, and a scrape among them.

use std::io::Write;
use std::net::TcpStream;

use super::Exporter;
use super::process::get;

const CROWD: usize = 2_000;

/// Connections that send nothing, the beginning of a head, or a request whose answer they do not
/// read; some are closed by the exporter.
fn crowd(address: &str) -> Vec<TcpStream> {
    // 1,024 open files is a common soft limit.
    assert!(rlimit::increase_nofile_limit(4_000).unwrap() > 2_500);
    let starts = [
        "",
        "GET /metrics HTTP/1.1\r\nX: ",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
    ];
    let mut open = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        let mut stream = TcpStream::connect(address).unwrap();
        // A connection that was already evicted does not accept it.
        let _sent = stream.write_all(starts[number % starts.len()].as_bytes());
        open.push(stream);
    }
    open
}

fn gauge(address: &str, name: &str) -> f64 {
    let page = get(address, "/metrics", "").text();
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

#[test]
fn two_thousand_slow_and_idle_connections_block_no_scrape_and_the_limit_holds() {
    let exporter = Exporter::start(None, &[]);
    let alone = gauge(&exporter.address, "process_open_fds ");
    let crowd = crowd(&exporter.address);
    for _ in 0..20 {
        assert_eq!(get(&exporter.address, "/metrics", "").status, 200);
    }
    let more = gauge(&exporter.address, "process_open_fds ") - alone;
    assert!((100.0..=530.0).contains(&more), "{more} more file descriptors");
    drop(crowd);
}
