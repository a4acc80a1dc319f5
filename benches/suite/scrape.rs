//! Scrapers: each requests a gzip page over one connection, reads it to its end, discards it, and
//! repeats.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Outcome;

/// An answer is read through a buffer of this size.
const BUFFER: usize = 1024 * 1024;

/// Scrapes of one kind are not made for longer than this, in seconds.
const LONGEST: u64 = 120;

/// When a scrape began, in nanoseconds since 1970, and how many it took.
type Taken = (u128, u128);

/// When to end.
struct Until {
    left: AtomicUsize,
    stopped: AtomicBool,
    began: Instant,
}

pub(super) fn run(address: &str, path: &str, scrapers: &str, count: &str) -> Outcome {
    let until_stopped = count == "until-stopped";
    let left = if until_stopped { usize::MAX } else { count.parse()? };
    let until = Until {
        left: AtomicUsize::new(left),
        stopped: AtomicBool::new(false),
        began: Instant::now(),
    };
    let scrapers: usize = scrapers.parse()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: gzip\r\n\r\n");
    let mut bytes = 0;
    let mut all: Vec<Taken> = Vec::new();
    std::thread::scope(|scope| -> Outcome {
        let work: Vec<_> = (0..scrapers)
            .map(|_| scope.spawn(|| scrape(address, &request, &until).map_err(|e| e.to_string())))
            .collect();
        if until_stopped {
            let mut nothing = Vec::new();
            std::io::stdin().read_to_end(&mut nothing)?;
            until.stopped.store(true, Ordering::Relaxed);
        }
        for scraper in work {
            let (taken, length) = scraper.join().map_err(|_| "a scraper died")??;
            all.extend(taken);
            bytes = bytes.max(length);
        }
        Ok(())
    })?;
    all.sort_unstable();
    let taken: Vec<String> = all.iter().map(|(began, took)| format!("[{began},{took}]")).collect();
    println!("{{\"bytes\":{bytes},\"scrapes\":[{}]}}", taken.join(","));
    Ok(())
}

impl Until {
    fn another(&self) -> bool {
        let left = || {
            self.left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
        };
        !self.stopped.load(Ordering::Relaxed) && self.began.elapsed().as_secs() < LONGEST && left()
    }
}

fn scrape(address: &str, request: &str, until: &Until) -> std::io::Result<(Vec<Taken>, usize)> {
    let mut open: Option<TcpStream> = None;
    let mut buffer = vec![0; BUFFER];
    let mut taken = Vec::new();
    let mut bytes = 0;
    while until.another() {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_err(std::io::Error::other)?;
        let began = Instant::now();
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => TcpStream::connect(address)?,
        };
        connection.set_nodelay(true)?;
        connection.write_all(request.as_bytes())?;
        let answer = read_answer(&mut connection, &mut buffer)?;
        bytes = answer.bytes;
        open = answer.keeps_open.then_some(connection);
        taken.push((wall.as_nanos(), began.elapsed().as_nanos()));
    }
    Ok((taken, bytes))
}

/// An answer that was read to its end.
struct Answer {
    bytes: usize,
    keeps_open: bool,
}

fn read_answer(connection: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<Answer> {
    let mut filled = 0;
    let head_end = loop {
        let read = connection.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(std::io::Error::other("the connection ended in the head of an answer"));
        }
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
    let keeps_open = head.starts_with("http/1.1 200");
    // Python's server is of the old kind, and ends each connection.
    if !keeps_open && !head.starts_with("http/1.0 200") || !head.contains("content-encoding: gzip")
    {
        return Err(std::io::Error::other(format!("this is not a gzip page: {head}")));
    }
    let rest = filled - head_end;
    match head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split('\r').next())
        .and_then(|length| length.parse::<usize>().ok())
    {
        Some(length) => {
            let mut left = length.saturating_sub(rest);
            while left > 0 {
                match connection.read(buffer)? {
                    0 => {
                        return Err(std::io::Error::other(
                            "the connection ended in the middle of an answer",
                        ));
                    }
                    read => left = left.saturating_sub(read),
                }
            }
            Ok(Answer { bytes: length, keeps_open })
        }
        None if head.contains("transfer-encoding: chunked") => {
            Ok(Answer { bytes: read_chunks(connection, buffer, head_end, filled)?, keeps_open })
        }
        None => Err(std::io::Error::other("this answer has neither a length nor chunks")),
    }
}

/// Reads to the last chunk: Go answers without a length. The chunk sizes are parsed, so that no bytes
/// of a body are taken for the end.
fn read_chunks(
    connection: &mut TcpStream,
    buffer: &mut [u8],
    from: usize,
    to: usize,
) -> std::io::Result<usize> {
    let mut input = buffer[from..to].to_vec();
    let mut bytes = 0;
    loop {
        let line_end = loop {
            match input.windows(2).position(|w| w == b"\r\n") {
                Some(end) => break end,
                None => more(connection, buffer, &mut input)?,
            }
        };
        let digits = std::str::from_utf8(&input[..line_end]).map_err(std::io::Error::other)?;
        let size = usize::from_str_radix(digits.trim(), 16).map_err(std::io::Error::other)?;
        while input.len() < line_end + 2 + size + 2 {
            more(connection, buffer, &mut input)?;
        }
        input.drain(..line_end + 2 + size + 2);
        bytes += size;
        if size == 0 {
            return Ok(bytes);
        }
    }
}

fn more(connection: &mut TcpStream, buffer: &mut [u8], input: &mut Vec<u8>) -> std::io::Result<()> {
    match connection.read(buffer)? {
        0 => Err(std::io::Error::other("the connection ended in the middle of a chunk")),
        read => {
            input.extend_from_slice(&buffer[..read]);
            Ok(())
        }
    }
}
