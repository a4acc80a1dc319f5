//! Programs that tests run, and the little HTTP that it takes to ask them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cxone_exporter::clock::Clock;

/// How long one read or write of a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether all of `programs` are on the PATH. If `CI` is set they must be; otherwise a test without
/// them is skipped with a message.
///
/// # Panics
/// If one is missing and `CI` is set.
pub(crate) fn are_here(programs: &[&str]) -> bool {
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !folders.iter().any(|f| f.join(program).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "not on the PATH: {}; scripts/test gets what the tests need",
        missing.join(", ")
    );
    // Not `eprintln!`, whose output a passing test hides.
    let _written = writeln!(
        io::stderr(),
        "LEFT OUT, for want of {} (scripts/test gets what the tests need)",
        missing.join(", ")
    );
    false
}

/// The repository's folder.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program with `input` on its stdin; returns whether it succeeded, and its output.
pub(crate) fn run(command: &mut Command, input: &str) -> (bool, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that ends without reading all of it reports why.
    let _written = child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program is waited for");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A program that runs until this is dropped, even by a panic.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it with its output in the file `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("the log can be created");
        let other = file.try_clone().expect("the log can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(other)
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    /// Its output so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// Waits for the word after `before` in its output.
    ///
    /// # Panics
    /// If it ends, or the word does not appear within ten seconds.
    pub(crate) fn word_after(&mut self, before: &str) -> String {
        let found = within(Duration::from_secs(10), || {
            let said = self.said();
            let word = said
                .split_once(before)
                .and_then(|(_, rest)| rest.split_once(char::is_whitespace))
                .map(|(word, _)| word.to_owned());
            let ended = self.child.try_wait().expect("the child is ours");
            assert!(word.is_some() || ended.is_none(), "it ended ({ended:?}):\n{said}");
            word.ok_or(())
        });
        found.unwrap_or_else(|()| panic!("no word after {before:?}:\n{}", self.said()))
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Retries until it succeeds, at most for `limit` and the last try; then returns the last error.
pub(crate) fn within<T, E>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    const PAUSE: Duration = Duration::from_millis(200);
    let clock = Clock::system();
    let end = clock.now().instant.plus(limit);
    loop {
        let result = attempt();
        if result.is_ok() || clock.now().instant >= end {
            return result;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Status and body of `path` at `address` (`HOST:PORT`).
pub(crate) fn get(address: &str, path: &str, accept: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer has no chunks and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, body.to_owned()))
}
