//! TLS: handshakes that end, that fail and that never end, client certificates, and HTTP/2.

use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::admission::{Admission, ConnectionHandle, Resource};
use super::*;
use crate::clock::Clock;
use crate::config::ConfigText;
use crate::config::web::WebConfig;

/// An authority, a server's certificate and a client's, each in PEM.
struct Papers {
    authority: String,
    server: (String, String),
    client: (String, String),
}

fn papers() -> Papers {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let issued = |names: Vec<SanType>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let server = issued(vec![SanType::DnsName("localhost".try_into().unwrap())]);
    let client = issued(vec![SanType::URI("spiffe://example.org/prometheus".try_into().unwrap())]);
    Papers { authority, server, client }
}

impl Papers {
    /// A access with the server's certificate, and `more` in its section.
    fn access(&self, more: &str) -> Arc<AccessControl> {
        let text =
            format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}");
        let read = |path: &Path| match path.to_str() {
            Some("server.crt") => Ok(self.server.0.clone().into_bytes()),
            Some("server.key") => Ok(self.server.1.clone().into_bytes()),
            Some("ca.crt") => Ok(self.authority.clone().into_bytes()),
            Some(_) | None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let (config, _) = WebConfig::parse(ConfigText { name: "web.yml", text: &text }, read)
            .unwrap_or_else(|errors| panic!("{errors}"));
        Arc::new(AccessControl::new(config, Clock::system()))
    }

    fn client(&self, with: Option<&(String, String)>, protocol: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match with {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                // Without a look whether the two fit each other.
                let certified = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(certified))
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

async fn connect(server: &TestServer, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

/// What a client with this configuration is answered over HTTP/1.1; nothing when it is not let in.
async fn ask(server: &TestServer, config: ClientConfig) -> Option<String> {
    ask_for(server, config, "/").await
}

async fn ask_for(server: &TestServer, config: ClientConfig, path: &str) -> Option<String> {
    let mut stream = connect(server, config).await.ok()?;
    stream.write_all(get(path).as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.expect("in time").ok()?;
    String::from_utf8(answer).ok()
}

#[tokio::test]
async fn every_client_auth_type_lets_in_whom_go_lets_in() {
    let (ours, others) = (papers(), papers());
    let (ours_is, foreign) = (Some(&ours.client), Some(&others.client));
    const SAN: &str = "  client_allowed_sans: ['spiffe://example.org/prometheus']\n";
    const OTHER_SAN: &str = "  client_allowed_sans: ['spiffe://example.org/grafana']\n";
    for (kind, authority, sans, nobody, vouched, unvouched) in [
        ("NoClientCert", "", "", true, true, true),
        ("RequestClientCert", "", "", true, true, true),
        ("RequireAnyClientCert", "", "", false, true, true),
        ("RequireClientCert", "", "", false, true, true),
        ("VerifyClientCertIfGiven", "  client_ca_file: ca.crt\n", "", true, true, false),
        ("RequireAndVerifyClientCert", "  client_ca_file: ca.crt\n", "", false, true, false),
        ("RequireAndVerifyClientCert", "  client_ca_file: ca.crt\n", SAN, false, true, false),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n",
            OTHER_SAN,
            false,
            false,
            false,
        ),
        ("RequireAnyClientCert", "", SAN, false, true, true),
    ] {
        let access = ours.access(&format!("  client_auth_type: {kind}\n{authority}{sans}"));
        let server = TestServer::start_with(Some(access), ServerLimits::default(), hello).await;
        for (who, expected) in [(None, nobody), (ours_is, vouched), (foreign, unvouched)] {
            let answer = ask(&server, ours.client(who, b"http/1.1")).await;
            assert_eq!(
                answer.is_some_and(|text| text.ends_with("hello")),
                expected,
                "{kind} {sans} {:?}",
                who.map(|_| "with certificate")
            );
        }
        server.end().await;
    }
}

/// A certificate that is its own authority, as `openssl req -x509` makes them, and its key.
fn of_its_own(until: i32, purpose: rcgen::ExtendedKeyUsagePurpose) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![purpose];
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn an_excluded_path_needs_no_certificate_every_other_does_and_a_wrong_one_gets_nowhere() {
    let (ours, others) = (papers(), papers());
    let sections = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\nauth_excluded_paths: [/-/healthy]\n";
    let server =
        TestServer::start_with(Some(ours.access(sections)), ServerLimits::default(), hello).await;
    for (who, path, expected) in [
        (None, "/-/healthy", Some("200")),
        (None, "/metrics", Some("403")),
        (None, "/-/healthy/", Some("403")),
        (Some(&ours.client), "/-/healthy", Some("200")),
        (Some(&ours.client), "/metrics", Some("200")),
        (Some(&others.client), "/-/healthy", None),
    ] {
        let answer = ask_for(&server, ours.client(who, b"http/1.1"), path)
            .await
            .filter(|text| !text.is_empty());
        assert_eq!(answer.as_deref().and_then(|text| text.split(' ').nth(1)), expected, "{path}");
    }
    let (mut stranger, _ended) = multiplexed(&server, ours.client(None, b"h2"), 1 << 20).await;
    let (answer, _) = stranger.send_request(page("/metrics"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), StatusCode::FORBIDDEN);
    server.end().await;
}

#[tokio::test]
async fn a_client_that_is_its_own_authority_is_let_in_while_its_certificate_is_the_one_named_and_fits()
 {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    for (client, expected) in [
        (of_its_own(2049, ClientAuth), true),
        (of_its_own(2001, ClientAuth), false),
        (of_its_own(2049, ServerAuth), false),
    ] {
        let ours = papers();
        // What the client knows the server by is another authority than the one that the server
        // knows the client by.
        let known = Papers {
            authority: client.0.clone(),
            server: ours.server.clone(),
            client: client.clone(),
        };
        let access = known
            .access("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n");
        let server = TestServer::start_with(Some(access), ServerLimits::default(), hello).await;
        let answer = ask(&server, ours.client(Some(&client), b"http/1.1")).await;
        assert_eq!(answer.is_some_and(|text| text.ends_with("hello")), expected);
        let other = of_its_own(2049, ClientAuth);
        assert_eq!(
            ask(&server, ours.client(Some(&other), b"http/1.1")).await,
            None,
            "another one of the same kind"
        );
        server.end().await;
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off_and_plain_http_gets_no_page() {
    let ours = papers();
    let limits = ServerLimits { head_time: Duration::from_millis(300), ..ServerLimits::default() };
    let server = TestServer::start_with(Some(ours.access("")), limits, hello).await;
    let mut silent = server.connect().await;
    let mut begun = server.connect().await;
    begun.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    assert!(!server.ask(&get("/")).await.contains("hello"));
    assert_eq!(
        (read_to_end(&mut silent).await, read_to_end(&mut begun).await),
        (String::new(), String::new())
    );
    // One that makes the handshake and says nothing more.
    let mut idle = connect(&server, ours.client(None, b"h2")).await.unwrap();
    let mut bytes = Vec::new();
    let _ended =
        tokio::time::timeout(LONG, idle.read_to_end(&mut bytes)).await.expect("it is cut off");
    assert!(ask(&server, ours.client(None, b"http/1.1")).await.unwrap().ends_with("hello"));
    server.end().await;
}

/// A client of HTTP/2 and the task that drives it.
async fn multiplexed(
    server: &TestServer,
    config: ClientConfig,
    window: u32,
) -> (h2::client::SendRequest<Bytes>, CancellationToken) {
    let stream = connect(server, config).await.unwrap();
    let (client, connection) =
        h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    let ended = CancellationToken::new();
    let at_end = ended.clone();
    server.tasks.spawn("client", async move {
        drop(connection.await);
        at_end.cancel();
    });
    (client.ready().await.unwrap(), ended)
}

fn page(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

#[tokio::test]
async fn http_2_gives_the_same_pages_and_a_silent_connection_is_ended() {
    let ours = papers();
    let limits = ServerLimits { idle_time: Duration::from_millis(400), ..ServerLimits::default() };
    let server = TestServer::start_with(Some(ours.access("")), limits, answers(pages(40))).await;
    let (mut client, ended) = multiplexed(&server, ours.client(None, b"h2"), 65_535).await;
    let (first, _) = client.send_request(page("/metrics"), true).unwrap();
    let (second, _) = client.send_request(page("/-/healthy"), true).unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(
        (first.status(), first.version(), second.status()),
        (StatusCode::OK, http::Version::HTTP_2, StatusCode::OK)
    );
    let mut body = second.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "cxone-exporter is healthy.\n");
    drop(first);
    tokio::time::timeout(LONG, ended.cancelled()).await.expect("it is ended");
    server.end().await;
}

#[tokio::test]
async fn a_client_of_http_2_that_grants_no_window_for_the_answer_is_dropped_and_its_slot_is_free_again()
 {
    let ours = papers();
    let limits =
        ServerLimits { answer_time: Duration::from_millis(400), ..ServerLimits::default() };
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    let scrapes = Admission::new(Resource::Scrapes, 1);
    let of_server = Arc::clone(&scrapes);
    let server =
        TestServer::start_with(Some(ours.access("")), limits, move |request: Request<Incoming>| {
            let connection = request.extensions().get::<ConnectionHandle>().cloned();
            let slot = connection.and_then(|connection| of_server.admit(connection)).ok_or(Abort);
            let body = ResponseBody::full(large.clone());
            std::future::ready(slot.map(|slot| Response::new(body.holding(slot))))
        })
        .await;
    let (mut client, ended) = multiplexed(&server, ours.client(None, b"h2"), 0).await;
    let (answer, _) = client.send_request(page("/"), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!((answer.status(), scrapes.taken()), (StatusCode::OK, 1));
    tokio::time::timeout(LONG, ended.cancelled()).await.expect("it is dropped");
    let freed = async {
        while scrapes.taken() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, freed).await.expect("the place is given back");
    server.end().await;
}

#[tokio::test]
async fn without_http_2_in_the_configuration_there_is_none() {
    let ours = papers();
    let server = TestServer::start_with(
        Some(ours.access("http_server_config: {http2: false}\n")),
        ServerLimits::default(),
        hello,
    )
    .await;
    assert!(connect(&server, ours.client(None, b"h2")).await.is_err(), "no protocol in common");
    assert!(ask(&server, ours.client(None, b"http/1.1")).await.is_some());
    server.end().await;
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_connection() {
    let (old, new) = (papers(), papers());
    let access = old.access("");
    let server =
        TestServer::start_with(Some(Arc::clone(&access)), ServerLimits::default(), hello).await;
    assert!(ask(&server, old.client(None, b"http/1.1")).await.is_some());
    access.replace(WebConfig::clone(&new.access("").current()));
    assert!(ask(&server, old.client(None, b"http/1.1")).await.is_none());
    assert!(ask(&server, new.client(None, b"http/1.1")).await.is_some());
    server.end().await;
}

/// A certificate of X.509 version 1 as `openssl x509 -req` without extensions makes it, and its
/// key, which guards nothing.
const VERSION_1: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\n\
     MIIBJjCBzQIUGfFNS1NO7FolGzgVNu5t19pMZTwwCgYIKoZIzj0EAwIwFTETMBEG\n\
     A1UEAwwKcHJvbWV0aGV1czAgFw0yNjExMjgwNDQ4NTFaGA8yMTI2MTEwNDA0NDg1\n\
     MVowFTETMBEGA1UEAwwKcHJvbWV0aGV1czBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
     A0IABN7rq6mElu3NRWEmgjSg5HaFCO6q+KF1NhKN3u4hao5X94ke5afVMi4frfHV\n\
     Ejp0cCBeqhXeRbG2T1/Yyr9Tl84wCgYIKoZIzj0EAwIDSAAwRQIhAJf2CihoY4Ef\n\
     76HoZublmU7O3NPmK0hghEBU1XB/S7gSAiAG3YbliuoZ1fjdMPTIQJjcCRzG75sC\n\
     jCZfQPQfXesSBw==\n\
     -----END CERTIFICATE-----\n\n",
    "-----BEGIN PRIVATE KEY-----\n\
     MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4JUO9jMP2U98LK0o\n\
     DZ26Ook/f03NeD9mt9KLpwvbU3KhRANCAATe66uphJbtzUVhJoI0oOR2hQjuqvih\n\
     dTYSjd7uIWqOV/eJHuWn1TIuH63x1RI6dHAgXqoV3kWxtk9f2Mq/U5fO\n\
     -----END PRIVATE KEY-----\n\n",
);

#[tokio::test]
async fn a_handshake_that_fails_on_a_certificate_says_why() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let expired = of_its_own(2001, ClientAuth);
    for (kind, authority, client, expected) in [
        ("RequireAndVerifyClientCert", None, None, "sent no certificate"),
        ("RequireAndVerifyClientCert", None, Some(papers().client), "certificate was rejected"),
        ("RequireAndVerifyClientCert", Some(expired.0.clone()), Some(expired), "has expired"),
        ("RequireAndVerifyClientCert", None, Some(of_its_own(2049, ServerAuth)), "rejected"),
        ("RequireAndVerifyClientCert", None, Some(version_1()), "X.509 version 1"),
        ("RequireAnyClientCert", None, Some(version_1()), "X.509 version 1"),
    ] {
        let ours = papers();
        let known = Papers {
            authority: authority.unwrap_or_else(|| ours.authority.clone()),
            server: ours.server.clone(),
            client: ours.client.clone(),
        };
        let access =
            known.access(&format!("  client_auth_type: {kind}\n  client_ca_file: ca.crt\n"));
        let server =
            TestServer::start_with(Some(Arc::clone(&access)), ServerLimits::default(), hello).await;
        for _ in 0..3 {
            let answer = ask(&server, ours.client(client.as_ref(), b"http/1.1")).await;
            assert!(answer.is_none_or(|text| text.is_empty()), "{expected}");
        }
        let failures = access.handshake_failures();
        assert!(failures.len() == 1 && failures[0].contains(expected), "{failures:?}");
        server.end().await;
    }
}

fn version_1() -> (String, String) {
    (VERSION_1.0.to_owned(), VERSION_1.1.to_owned())
}
