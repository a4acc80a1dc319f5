//! The way to a host: proxies, certificates of a private authority, and what is reported when it
//! leads nowhere.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::base_url::BaseUrl;
use crate::cxone::{ApiError, ErrorKind, HttpLimits, HttpTransport, Network, Proxies};
use crate::tasks::Tasks;

/// A name that only a proxy knows: nobody looks it up on this machine.
const HOST: &str = "acme.test";

/// An authority of one's own.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A server with a certificate for `host` that expires in `year`.
    fn acceptor(&self, host: &str, year: i32) -> TlsAcceptor {
        self.acceptor_of(host, year, &[])
    }

    /// The same, which speaks these protocols.
    fn acceptor_of(&self, host: &str, year: i32, protocols: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The head of what comes in.
async fn head(connection: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn answer_with_a_token(connection: &mut (impl AsyncWrite + Unpin)) {
    let body = r#"{"access_token":"tok-1","expires_in":1200}"#;
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    connection.write_all(answer.as_bytes()).await.unwrap();
    let _ended = connection.shutdown().await;
}

/// Gives one token over TLS, if the client wants to.
async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor) {
    let (connection, _) = listener.accept().await.unwrap();
    if let Ok(mut connection) = acceptor.accept(connection).await
        && !head(&mut connection).await.is_empty()
    {
        answer_with_a_token(&mut connection).await;
    }
}

/// A proxy that leads one connection to `port` of this machine, or answers `refusal`; what it was
/// asked comes back.
async fn proxy(listener: TcpListener, port: u16, refusal: Option<&str>) -> String {
    let (mut client, _) = listener.accept().await.unwrap();
    let asked = head(&mut client).await;
    match refusal {
        Some(answer) => client.write_all(answer.as_bytes()).await.unwrap(),
        None => {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    }
    asked
}

fn network(authority: Option<&Authority>, proxy: &str, no_proxy: &str) -> Network {
    let variable = |name: &str| match name {
        "HTTPS_PROXY" => Some(proxy.to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    };
    Network {
        proxies: Proxies::of(variable).unwrap(),
        authorities: authority.map(|authority| authority.certificate.clone()).into_iter().collect(),
    }
}

fn client(base: &str, network: &Network) -> ReportsClient {
    let base: BaseUrl = base.parse().unwrap();
    let transport = HttpTransport::new(&base, network, HttpLimits::default()).unwrap();
    let options = ReportsOptions {
        base_url: base,
        client_id: "my-client".to_owned(),
        client_secret: SecretString::from(SECRET),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    ReportsClient::new(Arc::new(transport), Clock::system(), options, Arc::new(|_| ()))
}

/// Asks for a token at `base`.
async fn sign_in(base: &str, network: &Network) -> Result<(), ApiError> {
    client(base, network).sign_in().await
}

#[track_caller]
fn assert_unreachable(outcome: Result<(), ApiError>, words: &[&str]) {
    let error = outcome.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{message}");
    for word in words {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    for raw in ["InvalidContentType", "UnknownIssuer", "hunter2", "tunnel error", "os error 0"] {
        assert!(!message.contains(raw), "{raw} is in: {message}");
    }
}

#[tokio::test]
async fn a_proxy_leads_to_a_host_with_a_certificate_of_a_private_authority() {
    let authority = Authority::new("ours");
    let ((server, port), (listener, proxy_port)) = (listener().await, listener().await);
    let network =
        network(Some(&authority), &format!("http://me:hunter%402@127.0.0.1:{proxy_port}"), "");
    let base = format!("https://{HOST}:{port}");
    let (outcome, asked, ()) = tokio::join!(
        sign_in(&base, &network),
        proxy(listener, port, None),
        serve_tls(server, authority.acceptor(HOST, 2999)),
    );
    assert_eq!(outcome, Ok(()));
    assert!(asked.starts_with(&format!("CONNECT {HOST}:{port} HTTP/1.1\r\n")), "{asked}");
    // `me:hunter@2` in Base64.
    assert!(
        asked.to_lowercase().contains("proxy-authorization: basic bwu6ahvudgvyqdi="),
        "{asked}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_says_why_and_its_password_appears_nowhere() {
    for (refusal, login, words) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "",
            &["asks for a name", "NAME:PASSWORD@"],
        ),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "me:hunter2@",
            &["refused the name and password", "HTTPS_PROXY"],
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "me:hunter2@", &["refused to connect", "allow CONNECT"]),
        (
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "me:hunter2@",
            &["refused to connect", "NO_PROXY"],
        ),
        ("", "me:hunter2@", &["broke the connection off", "HTTPS_PROXY"]),
    ] {
        let (listener, port) = listener().await;
        let network = network(None, &format!("{login}127.0.0.1:{port}"), "");
        let base = format!("https://{HOST}:8443");
        let (outcome, _) =
            tokio::join!(sign_in(&base, &network), proxy(listener, 0, Some(refusal)));
        assert_unreachable(outcome, words);
    }
    let (listener, port) = listener().await;
    drop(listener);
    let network = network(None, &format!("me:hunter2@127.0.0.1:{port}"), "");
    let outcome = sign_in(&format!("https://{HOST}:8443"), &network).await;
    let proxy = format!("the proxy http://127.0.0.1:{port} cannot be reached");
    assert_unreachable(
        outcome,
        &["no answer from acme.test:8443: ", &proxy, "refused", "HTTPS_PROXY"],
    );
}

#[tokio::test]
async fn this_machine_is_reached_without_a_proxy() {
    let authority = Authority::new("ours");
    let (server, port) = listener().await;
    let network = network(Some(&authority), "http://127.0.0.1:1", "");
    let base = format!("https://localhost:{port}");
    let (outcome, ()) = tokio::join!(
        sign_in(&base, &network),
        serve_tls(server, authority.acceptor("localhost", 2999))
    );
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn an_unknown_host_name_is_reported() {
    // Too long for a name, so that nobody is asked for it.
    let label = "a".repeat(64);
    let outcome = sign_in(&format!("http://{label}.test"), &Network::default()).await;
    assert_unreachable(
        outcome,
        &["no answer from aaaa", ".test:80: ", "the name is not known", "DNS"],
    );
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_reported_with_what_to_do() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for (trusted, host, year, words) in [
        (&other, "localhost", 2999, &["does not trust", "api.ca_file"]),
        (&ours, "localhost", 2002, &["expired at 2002-01-01", "clock"]),
        (&ours, HOST, 2999, &["for other hosts", HOST]),
    ] {
        let (server, port) = listener().await;
        let network = network(Some(trusted), "", "");
        let base = format!("https://localhost:{port}");
        let acceptor = ours.acceptor(host, year);
        let (outcome, ()) = tokio::join!(sign_in(&base, &network), serve_tls(server, acceptor));
        assert_unreachable(outcome, words);
    }
}

#[tokio::test]
async fn https_against_http_and_the_other_way_round_are_distinguished() {
    let plain = async |listener: TcpListener| {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut begin = [0; 5];
        connection.read_exact(&mut begin).await.unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let authority = Authority::new("ours");
    let network = network(Some(&authority), "", "");
    let (server, port) = listener().await;
    let base = format!("https://localhost:{port}");
    let (outcome, ()) = tokio::join!(sign_in(&base, &network), plain(server));
    let place = format!("no answer from localhost:{port}: ");
    assert_unreachable(outcome, &[&place, "does not speak TLS", "api.base_url, also its port"]);

    let (server, port) = listener().await;
    let base = format!("http://127.0.0.1:{port}");
    let acceptor = authority.acceptor("localhost", 2999);
    let (outcome, ()) = tokio::join!(sign_in(&base, &network), serve_tls(server, acceptor));
    assert_unreachable(outcome, &["is not valid HTTP", "want https instead of http"]);
}

/// A SETTINGS frame of HTTP/2 without settings, and a GOAWAY that says: no stream was looked at,
/// and nothing is wrong.
const GO_AWAY: [u8; 26] = [
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // GOAWAY
];

#[tokio::test]
async fn a_submit_that_the_server_goes_away_from_is_sent_again_and_costs_nothing() {
    let authority = Authority::new("ours");
    let (server, port) = listener().await;
    let acceptor = authority.acceptor_of("localhost", 2999, &[b"h2"]);
    let network = network(Some(&authority), "", "");
    let client = client(&format!("https://localhost:{port}"), &network);
    let submitting = async {
        client.sign_in().await.unwrap();
        client.submit(&request()).await
    };
    let tasks = Tasks::new(CancellationToken::new());
    let serving = async {
        let mut looked_at = Vec::new();
        for goes_away in [false, true, false] {
            let (connection, _) = server.accept().await.unwrap();
            let mut connection = acceptor.accept(connection).await.unwrap();
            if goes_away {
                // The request has come, and is not looked at.
                let mut request = [0; 4096];
                let _size = connection.read(&mut request).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
                connection.write_all(&GO_AWAY).await.unwrap();
                connection.shutdown().await.unwrap();
                continue;
            }
            let mut connection = h2::server::handshake(connection).await.unwrap();
            let (asked, mut answer) = connection.accept().await.unwrap().unwrap();
            looked_at.push(asked.uri().path().to_owned());
            let mut body = answer.send_response(http::Response::new(()), false).unwrap();
            let text = r#"{"access_token":"tok-1","id":"job-7"}"#;
            body.send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
            // Sends the answer while the next request comes.
            tasks.spawn("answer", async move { while connection.accept().await.is_some() {} });
        }
        looked_at
    };
    let serving = tokio::time::timeout(Duration::from_secs(20), serving);
    let (job, looked_at) = tokio::join!(submitting, serving);
    assert_eq!(job.unwrap().as_str(), "job-7");
    assert_eq!(looked_at.unwrap(), ["/oauth/token", "/api/v2/reports"]);
}
