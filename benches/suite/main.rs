//! The parts of `scripts/bench` that have to be fast themselves: it builds this program and calls
//! it, once for each sample.
//!
//! | call | does |
//! |---|---|
//! | `blast FILE` | a server that answers every request with these bytes; prints its address |
//! | `scrape ADDRESS PATH SCRAPERS COUNT` | this number of scrapes, over one connection per scraper; prints the start and duration of each |
//! | `scrape ADDRESS PATH SCRAPERS until-stopped` | as many as come, until its input ends |
//! | `ingest READER FILE` | reads a report once as a warm-up, and prints the cost after that. READER: `report`, `sonic-dom`, `serde-json` or `read` |
//! | `ingest-memory FILE` | reads a report that arrives in chunks; prints the memory before, after and at most |
//! | `fetch URL FILE` | writes a page that `reqwest` requested with gzip |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock that it measures with")]

mod blast;
mod ingest;
mod scrape;

use std::error::Error;
use std::process::ExitCode;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] => {
            println!("These are parts of scripts/bench: run that.");
            Ok(())
        }
        ["blast", file] => blast::run(file),
        ["scrape", address, path, scrapers, count] => scrape::run(address, path, scrapers, count),
        ["ingest", reader, file] => ingest::speed(reader, file),
        ["ingest-memory", file] => ingest::memory(file),
        ["fetch", url, file] => fetch(url, file),
        _ => Err(format!("wrong arguments: {words:?}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("suite: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn fetch(url: &str, file: &str) -> Outcome {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a provider of TLS is there already")?;
    let answer = reqwest::get(url).await?.error_for_status()?;
    std::fs::write(file, answer.bytes().await?)?;
    Ok(())
}
