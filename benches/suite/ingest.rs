//! Readers of a report, side by side. CPU time is that of the one thread that reads.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cxone_core::plan::fetch::JobId;
use cxone_core::report::Report;
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::{
    JobStatus, ReportsClient, ReportsOptions, Response, ResponseLimits, Transport, TransportError,
    TransportFault,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;

use super::Outcome;

/// How much of a report arrives at once.
const CHUNK: usize = 64 * 1024;

/// The shortest sample; what is read faster is read repeatedly.
const LEAST: Duration = Duration::from_millis(100);

/// Where the bytes of a report come from.
#[derive(Clone)]
enum Source {
    Memory(Bytes),
    File(String),
}

/// Answers a request for a token with one, and every other with the report.
struct Canned(Source);

impl Canned {
    fn chunks(&self) -> std::io::Result<BoxStream<'static, Result<Bytes, TransportError>>> {
        Ok(match &self.0 {
            Source::Memory(whole) => {
                let whole = whole.clone();
                let chunks = (0..whole.len().div_ceil(CHUNK))
                    .map(move |n| whole.slice(n * CHUNK..whole.len().min((n + 1) * CHUNK)));
                stream::iter(chunks.map(Ok)).boxed()
            }
            Source::File(path) => {
                let mut file = File::open(path)?;
                let chunk = move || {
                    let mut chunk = vec![0; CHUNK];
                    match file.read(&mut chunk) {
                        Ok(0) => None,
                        Ok(read) => {
                            chunk.truncate(read);
                            Some(Ok(chunk.into()))
                        }
                        Err(error) => Some(Err(cut(&error))),
                    }
                };
                stream::iter(std::iter::from_fn(chunk)).boxed()
            }
        })
    }
}

fn cut(error: &std::io::Error) -> TransportError {
    TransportError::new(TransportFault::Cut, error.to_string())
}

impl Transport for Canned {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        let body = if request.uri().path().ends_with("/token") {
            let token = Bytes::from_static(br#"{"access_token":"t","expires_in":1200}"#);
            Ok(stream::iter([Ok(token)]).boxed())
        } else {
            self.chunks().map_err(|error| cut(&error))
        };
        async { Ok(Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body? }) }
            .boxed()
    }
}

/// The row of the other readers, with owned strings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "they are read to be measured")]
struct OwnedRow {
    user_id: String,
    user_name: Option<String>,
    state_name: String,
    state_id: Option<String>,
    skill_name: Option<String>,
    count: Option<u32>,
    date_from: String,
    date_to: Option<String>,
}

#[derive(Deserialize)]
struct OwnedDocument {
    data: Vec<OwnedRow>,
}

/// Reads the file once as a warm-up, and then measures.
pub(super) fn speed(reader: &str, path: &str) -> Outcome {
    if reader == "read" {
        let mut chunk = vec![0; CHUNK];
        let read = || -> Result<usize, Box<dyn std::error::Error>> {
            let mut file = File::open(path)?;
            let mut bytes = 0;
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(bytes),
                    read => bytes += read,
                }
            }
        };
        return measured(read);
    }
    let whole = Bytes::from(std::fs::read(path)?);
    match reader {
        "report" => {
            let (client, runtime) = client(Source::Memory(whole.clone()))?;
            measured(|| runtime.block_on(read_report(&client)).map(|report| report.rows().len()))
        }
        "sonic-dom" => measured(|| {
            let document: sonic_rs::Value = sonic_rs::from_slice(&whole)?;
            let rows = sonic_rs::JsonValueTrait::get(&document, "data")
                .and_then(|data| sonic_rs::JsonContainerTrait::as_array(data).map(|d| d.len()));
            Ok(rows.ok_or("no data")?)
        }),
        "serde-json" => {
            measured(|| Ok(serde_json::from_slice::<OwnedDocument>(&whole)?.data.len()))
        }
        _ => Err(format!("there is no reader {reader}").into()),
    }
}

fn measured(mut read: impl FnMut() -> Result<usize, Box<dyn std::error::Error>>) -> Outcome {
    read()?;
    let began = cpu()?;
    let (mut rows, mut times) = (0, 0);
    let taken = loop {
        rows = read()?.max(rows);
        times += 1;
        let taken = cpu()? - began;
        if taken >= LEAST {
            break taken;
        }
    };
    println!("{{\"cpu_ns\":{},\"rows\":{rows}}}", (taken / times).as_nanos());
    Ok(())
}

/// Kilobytes of memory in use: before a report is read, afterwards, and the maximum.
pub(super) fn memory(path: &str) -> Outcome {
    let (client, runtime) = client(Source::File(path.to_owned()))?;
    let before = status("VmRSS:")?;
    let report = runtime.block_on(read_report(&client))?;
    let (after, highest) = (status("VmRSS:")?, status("VmHWM:")?);
    println!(
        "{{\"rows\":{},\"before_kb\":{before},\"after_kb\":{after},\"highest_kb\":{highest}}}",
        report.rows().len()
    );
    Ok(())
}

fn client(
    source: Source,
) -> Result<(ReportsClient, tokio::runtime::Runtime), Box<dyn std::error::Error>> {
    let options = ReportsOptions {
        base_url: "http://127.0.0.1:1".parse()?,
        client_id: "bench".to_owned(),
        client_secret: SecretString::from("bench"),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let within = runtime.enter();
    let client =
        ReportsClient::new(Arc::new(Canned(source)), Clock::system(), options, Arc::new(|_| {}));
    drop(within);
    Ok((client, runtime))
}

async fn read_report(client: &ReportsClient) -> Result<Report, Box<dyn std::error::Error>> {
    let job = JobId::parse("job").ok_or("a job id")?;
    match client.poll::<Report>(&job).await? {
        JobStatus::Completed(report) => Ok(report),
        JobStatus::Pending | JobStatus::Running | JobStatus::Failed(_) => {
            Err("the report is not that of a completed job".into())
        }
    }
}

/// The CPU time of this thread.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    // Linux adds it up when the thread yields the CPU.
    std::thread::yield_now();
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(schedstat.split(' ').next().ok_or("no time")?.parse()?))
}

fn status(field: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
