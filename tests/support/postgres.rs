//! A real PostgreSQL from the PATH, on loopback and on a Unix socket in a folder of its own, with TLS
//! for `localhost`; and a proxy in front of it that cuts connections.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;

use crate::tools::{Running, run, within};

/// The password of the user `cxone`.
pub(crate) const PASSWORD: &str = "correct-horse";

/// A server that runs until this is dropped.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    settings: Vec<String>,
    process: Running,
    pub(crate) port: u16,
    databases: AtomicU32,
}

/// The server that the tests of this process share; it ends with the last of them.
pub(crate) fn shared() -> Arc<Postgres> {
    static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().expect("no test panics here");
    server.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Postgres::start(&[]));
        *server = Arc::downgrade(&started);
        started
    })
}

/// PostgreSQL refuses to run as root. In a user namespace root is somebody else, and still the owner
/// of its files.
fn program(name: &str) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        return Command::new(name);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=65534", "--map-group=65534", name]);
    command
}

impl Postgres {
    /// Starts a server with these settings beside the usual ones.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let (made, said) = run(
            program("initdb")
                .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
                .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"])
                .arg("-D")
                .arg(&data),
            "",
        );
        assert!(made, "{said}");
        make_certificates(folder.path());
        let server = Self::on(folder, settings);
        server.psql("postgres", &format!("CREATE ROLE cxone LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    /// Starts a server on what is in `folder`.
    fn on(folder: tempfile::TempDir, settings: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let usual = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.path().display()),
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "jit=off".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "max_connections=60".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", path("server.pem")),
            format!("ssl_key_file={}", path("server.key")),
        ];
        let settings: Vec<String> =
            usual.into_iter().chain(settings.iter().map(|it| (*it).to_owned())).collect();
        let process = launch(folder.path(), &settings);
        Self { folder, settings, process, port, databases: AtomicU32::new(0) }
    }

    /// A standby of this server, which is stopped for a moment.
    pub(crate) fn new_standby(&mut self) -> Self {
        self.stop();
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["data", "server.pem", "server.key"] {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(self.folder.path().join(name))
                .arg(folder.path())
                .status();
            assert!(copied.expect("cp runs").success());
        }
        fs::write(folder.path().join("data/standby.signal"), "").expect("the folder is ours");
        self.start_again();
        let (host, port) = (self.folder.path().display(), self.port);
        let upstream = format!("primary_conninfo=host={host} port={port} user=postgres");
        Self::on(folder, &[&upstream])
    }

    /// Ends the server; connections are cut.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGINT);
        self.wait_for_end();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = launch(self.folder.path(), &self.settings);
    }

    fn wait_for_end(&mut self) {
        let file = self.folder.path().join("data/postmaster.pid");
        let wait = || if file.exists() { Err(()) } else { Ok(()) };
        // One that does not end by itself is killed.
        let _ended = within(Duration::from_secs(10), wait);
        self.process.kill();
    }

    /// Runs SQL as the superuser, in one transaction unless it has its own.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let (good, said) = run(
            Command::new("psql")
                .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
                .args(["-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", &folder, "-p"])
                .args([&self.port.to_string(), "-d", database]),
            sql,
        );
        assert!(good, "{sql}: {said}");
        said.trim().to_owned()
    }

    /// A connection as the superuser, for what has to stay open.
    pub(crate) async fn admin(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(self.folder.path())
            .port(self.port)
            .user("postgres")
            .dbname(database)
            .connect(NoTls)
            .await
            .expect("the server accepts connections");
        tokio::spawn(connection);
        client
    }

    /// A new database that belongs to `cxone`, without tables.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} OWNER cxone"));
        name
    }

    /// Its URL over the Unix socket, where no password is asked for.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://cxone@/{database}?host={folder}&port={}", self.port)
    }

    /// Its URL in plain text on loopback, by another port.
    pub(crate) fn plain_url(&self, port: u16, database: &str) -> String {
        format!("postgres://cxone@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// The certificate of the authority of the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the server runs");
    }

    /// Stops or continues the server and every process of it.
    pub(crate) fn signal_all(&self, signal: Signal) {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .expect("the system lists children");
        self.signal(signal);
        for child in children.split_whitespace() {
            let child = child.parse().expect("a number");
            // It may have ended meanwhile.
            let _sent = kill(Pid::from_raw(child), signal);
        }
    }

    fn pid(&self) -> Pid {
        let file = self.folder.path().join("data/postmaster.pid");
        let text = fs::read_to_string(file).expect("the server runs");
        Pid::from_raw(text.lines().next().and_then(|line| line.parse().ok()).expect("a number"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !self.folder.path().join("data/postmaster.pid").exists() {
            return;
        }
        self.signal_all(Signal::SIGCONT);
        // Immediate shutdown: no process of it is left.
        self.signal(Signal::SIGQUIT);
        self.wait_for_end();
    }
}

fn launch(folder: &Path, settings: &[String]) -> Running {
    let mut command = program("postgres");
    command.arg("-D").arg(folder.join("data"));
    for setting in settings {
        command.args(["-c", setting]);
    }
    let mut process = Running::start(&mut command, folder.join("postgres.log"));
    process.word_after("database system is ready to accept ");
    process
}

fn make_certificates(folder: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("a name")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    fs::write(folder.join("authority.pem"), authority.pem()).expect("the folder is ours");
    fs::write(folder.join("server.pem"), server.pem()).expect("the folder is ours");
    let file = folder.join("server.key");
    fs::write(&file, key.serialize_pem()).expect("the folder is ours");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// What a proxy does with what the client sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Passes it on.
    Never,
    /// Cuts the connection instead of passing it on.
    Before,
    /// Passes it on, waits for the answer, and cuts the connection instead of passing that on.
    After,
    /// Cuts the connection as with [`Cut::Before`], and every new one.
    Always,
    /// Cuts the connection as with [`Cut::After`], and then every new one.
    AfterThenAlways,
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cut: Arc<Mutex<Cut>>,
    /// How many connections there were.
    connections: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (cut, connections) = (Arc::new(Mutex::new(Cut::Never)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { port, cut: Arc::clone(&cut), connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(relay(client, upstream, Arc::clone(&cut)));
            }
        });
        proxy
    }

    /// Has the next thing that the client sends cut.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.cut.lock().expect("no thread panics with it") = cut;
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn relay(mut client: TcpStream, upstream: u16, cut: Arc<Mutex<Cut>>) {
    let read_cut = || *cut.lock().expect("no thread panics with it");
    if read_cut() == Cut::Always {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await.expect("the server listens");
    let mut is_sent = false;
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(length @ 1..) = read else { return };
                match read_cut() {
                    Cut::Before => {
                        *cut.lock().expect("no thread panics with it") = Cut::Never;
                        return;
                    }
                    Cut::Always => return,
                    Cut::After | Cut::AfterThenAlways => is_sent = true,
                    Cut::Never => {}
                }
                if server.write_all(&from_client[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(length @ 1..) = read else { return };
                if is_sent {
                    let mut cut = cut.lock().expect("no thread panics with it");
                    *cut = if *cut == Cut::AfterThenAlways { Cut::Always } else { Cut::Never };
                    return;
                }
                if client.write_all(&from_server[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
