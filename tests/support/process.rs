//! The real binary: started, read line by line, scraped over a bare socket, and ended whatever
//! happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary with these arguments, without the environment variables that it would read.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxone-exporter"));
    for (name, _) in std::env::vars_os() {
        let name_of_it = name.to_string_lossy().to_ascii_uppercase();
        if name_of_it.starts_with("CXONE_") || name_of_it.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// The result of a command.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A process that runs until it is signalled; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits for the first line of either output that contains `before`; returns what follows up to
    /// a space.
    pub(crate) fn output_after(&self, before: &str) -> String {
        let found = wait_for(before, || {
            let text = self.stdout() + &self.stderr();
            let line = text.lines().find_map(|line| line.split_once(before))?.1.to_owned();
            text.ends_with('\n').then_some(line)
        });
        found.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the first line of the process's own code has run: it blocks SIGXFSZ permanently.
    /// What runs before, the loader and Rust's runtime, no program controls.
    pub(crate) fn at_its_first_line(&self) {
        const SIGXFSZ: u64 = 1 << 24;
        let path = format!("/proc/{}/status", self.child.id());
        let blocks = || {
            let status = std::fs::read_to_string(&path).unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            u64::from_str_radix(blocked.trim(), 16).unwrap() & SIGXFSZ != 0
        };
        // Without sleeping: an early event is due within milliseconds.
        #[allow(clippy::disallowed_methods, reason = "a real process starts in real time")]
        let began = Instant::now();
        while !blocks() {
            assert!(began.elapsed() < PATIENCE, "not in time: its first line");
        }
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends it at once, with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end; returns how long it took.
    #[allow(clippy::disallowed_methods, reason = "a real process ends in real time")]
    pub(crate) fn ended(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let status = wait_for("the end", || self.child.try_wait().unwrap());
        (status, began.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
        }
    }
}

/// Retries until there is a result.
pub(crate) fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_for_at_most(PATIENCE, what, ask)
}

/// Retries until there is a result, at most for `limit`.
#[allow(clippy::disallowed_methods, reason = "a real process answers in real time")]
pub(crate) fn wait_for_at_most<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < limit, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[allow(clippy::disallowed_methods, reason = "a pipe that nobody reads stops the process")]
fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    drop(thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }));
    text
}

/// An answer from the socket, chunks joined.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Begins a request and reads nothing of the answer.
pub(crate) fn request(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
    stream
}

/// Requests a page over a new connection. `headers` each end in a line break.
pub(crate) fn get(address: &str, path: &str, headers: &str) -> Answer {
    let mut bytes = Vec::new();
    request(address, path, &format!("Connection: close\r\n{headers}"))
        .read_to_end(&mut bytes)
        .unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let body = bytes[end + 4..].to_vec();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map(|length| length.parse::<usize>().unwrap());
    assert_eq!(length, Some(body.len()), "{head}");
    Answer { status, head, body }
}
