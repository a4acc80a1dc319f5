//! The limit for a server: prepared bytes, written to a socket. It only looks for the end of each
//! request.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::Outcome;

pub(super) fn run(file: &str) -> Outcome {
    let body = std::fs::read(file)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer: Arc<[u8]> = [head.into_bytes(), body].concat().into();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for connection in listener.incoming() {
        let (connection, answer) = (connection?, Arc::clone(&answer));
        std::thread::spawn(move || {
            // A client that goes away ends its thread and nothing else.
            let _ended = converse(connection, &answer);
        });
    }
    Ok(())
}

fn converse(mut connection: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = connection.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            connection.write_all(answer)?;
        }
    }
}
