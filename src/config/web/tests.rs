//! Right and wrong web configurations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::*;

mod toolkit;

const HASH: &str = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";

/// A certificate for `localhost`, valid until 2049, and its key.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// The outcome for `text` in the folder `/etc/x`, where these files are.
fn read(text: &str, files: &[(&str, &str)]) -> Result<(WebConfig, Vec<String>), ConfigErrors> {
    let files: BTreeMap<PathBuf, Vec<u8>> = files
        .iter()
        .map(|(name, text)| (Path::new("/etc/x").join(name), text.as_bytes().to_vec()))
        .collect();
    let read = |path: &Path| {
        files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    WebConfig::parse(ConfigText { name: "/etc/x/web.yml", text }, read)
}

/// The outcome for `text` where `server.crt` and `server.key` belong together.
fn with_certificate(text: &str) -> Result<(WebConfig, Vec<String>), ConfigErrors> {
    let (certificate, key) = certificate();
    read(text, &[("server.crt", &certificate), ("server.key", &key), ("ca.crt", &certificate)])
}

fn mistakes(text: &str) -> Vec<String> {
    let errors = with_certificate(text).expect_err(text);
    errors
        .to_string()
        .lines()
        .map(|line| line.trim_start_matches("/etc/x/web.yml:").to_owned())
        .collect()
}

#[test]
fn the_exporter_toolkits_own_sample_works_unchanged() {
    // docs/web-config.yml of github.com/prometheus/exporter-toolkit.
    let text = "# TLS and basic authentication configuration example.\ntls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n\
                basic_auth_users:\n  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n  \
                bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m\n";
    let (config, warnings) = with_certificate(text).unwrap();
    assert_eq!((config.users.len(), config.http2, warnings), (2, true, Vec::new()));
    let tls = config.tls.unwrap();
    assert_eq!(tls.expiry.to_string(), "2049-01-01T00:00:00.000Z");
    assert_eq!(tls.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(tls.server.ignore_client_order);
}

#[test]
fn every_key_of_the_schema_is_read() {
    let (certificate, key) = certificate();
    let inline = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let text = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}  client_ca: |\n{}  client_auth_type: RequireAndVerifyClientCert\n  \
         client_allowed_sans: [prometheus.example.org, 10.0.0.1]\n  min_version: TLS12\n  max_version: TLS13\n  \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  prefer_server_cipher_suites: false\n  curve_preferences: [CurveP384, X25519]\n\
         http_server_config:\n  http2: false\n  headers:\n    Content-Security-Policy: default-src 'none'\n    X-Frame-Options: deny\n    \
         X-Content-Type-Options: nosniff\n    X-XSS-Protection: '0'\n    Strict-Transport-Security: max-age=31536000\n\
         basic_auth_users: {{ann: {HASH}}}\nrate_limit: {{interval: 500ms, burst: 20}}\nauth_excluded_paths: [/-/healthy, /-/ready]\n",
        inline(&certificate),
        inline(&key),
        inline(&certificate)
    );
    let (config, warnings) = read(&text, &[]).unwrap();
    // The server's certificate stands in for an authority.
    assert!(warnings.iter().all(|warning| warning.contains("without the CA flag")), "{warnings:?}");
    let server = config.tls.unwrap().server;
    assert_eq!(server.alpn_protocols, [b"http/1.1".to_vec()]);
    let suites: Vec<_> = server
        .crypto_provider()
        .cipher_suites
        .iter()
        .filter(|suite| suite.tls13().is_none())
        .map(|s| s.suite())
        .collect();
    assert_eq!(suites, [rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]);
    let curves: Vec<_> =
        server.crypto_provider().kx_groups.iter().map(|group| group.name()).collect();
    assert_eq!(curves, [rustls::NamedGroup::secp384r1, rustls::NamedGroup::X25519]);
    assert!(!server.ignore_client_order && !config.http2);
    assert_eq!(config.headers.len(), 5);
    assert_eq!(
        config.rate_limit,
        Some(RateLimit {
            interval: Duration::from_millis(500),
            burst: NonZeroU32::new(20).unwrap()
        })
    );
    assert_eq!(config.auth_excluded_paths.len(), 2);
}

#[test]
fn an_empty_file_and_empty_sections_change_nothing() {
    for text in [
        "",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {cert_file: '', key_file: }\n",
    ] {
        let (config, warnings) = read(text, &[]).unwrap();
        assert!(
            config.tls.is_none()
                && config.users.is_empty()
                && config.rate_limit.is_none()
                && config.http2,
            "{text}"
        );
        assert_eq!(warnings, Vec::<String>::new());
    }
    assert_eq!(read("rate_limit: {interval: 0}", &[]).unwrap().0.rate_limit, None);
}

#[test]
fn all_mistakes_are_reported_at_once_with_line_and_key_and_no_secret() {
    let text = "tls_server_config:\n  cert_file: absent.crt\n  key: hunter2\n  min_version: SSL3\n  cipher_suites: [TLS_INVENTED]\n  \
                client_auth_type: Maybe\n  client_ca_fiel: x\nhttp_server_config:\n  http2: perhaps\n  headers: {Server: x, X-Frame-Options: all}\n\
                basic_auth_users:\n  ann: hunter2\nrate_limit: {interval: 1s}\nauth_excluded_paths: [healthy]\nbasic_auth_excluded_paths: [ready]\n";
    let found = mistakes(text);
    for (start, part) in [
        ("2: tls_server_config.cert_file:", "cannot be read"),
        ("3: tls_server_config.key:", "no private key"),
        ("4: tls_server_config.min_version:", "`TLS12`"),
        ("5: tls_server_config.cipher_suites[0]:", "not a valid cipher suite"),
        ("6: tls_server_config.client_auth_type:", "`RequireAndVerifyClientCert`"),
        ("7: tls_server_config.client_ca_fiel:", "did you mean `client_ca_file`?"),
        ("9: http_server_config.http2:", "`true` or `false`"),
        ("10: http_server_config.headers.Server:", "not a header that can be set"),
        ("10: http_server_config.headers.X-Frame-Options:", "`sameorigin`"),
        ("12: basic_auth_users.ann:", "not a valid bcrypt hash"),
        ("13: rate_limit.burst:", "at least 1"),
        ("14: auth_excluded_paths[0]:", "must begin with `/`"),
        ("15: basic_auth_excluded_paths[0]:", "must begin with `/`"),
    ] {
        assert!(
            found.iter().any(|line| line.starts_with(start) && line.contains(part)),
            "{start} {part} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 13, "{found:#?}");
    assert!(!found.concat().contains("hunter2"));
}

#[test]
fn combinations_that_admit_nobody_or_too_many_are_mistakes() {
    const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
    for (more, part) in [
        ("  client_ca_file: ca.crt\n", "no effect without `client_auth_type`"),
        ("  client_allowed_sans: [x]\n", "requires `client_auth_type`"),
        (
            "  client_ca_file: ca.crt\n  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [x]\n",
            "requires `client_auth_type`",
        ),
        (
            "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: []\n",
            "must not be empty",
        ),
        ("  max_version: TLS11\n", "must be `TLS12` or `TLS13`"),
        ("  min_version: TLS13\n  max_version: TLS12\n", "must not be higher than"),
        (
            "  max_version: TLS12\n  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n",
            "nobody could connect",
        ),
        (
            "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.key\n",
            "no certificate",
        ),
    ] {
        let found = mistakes(&format!("{TLS}{more}"));
        assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:#?}");
    }
    assert!(
        mistakes("tls_server_config: {cert_file: server.crt}")[0].contains("key_file: is missing")
    );
    assert!(mistakes("tls_server_config: {client_auth_type: NoClientCert}").len() == 2);
    let (other, _) = certificate();
    let (_, key) = certificate();
    let errors =
        read(TLS, &[("server.crt", &other), ("server.key", &key)]).unwrap_err().to_string();
    assert!(
        errors.contains(":3: tls_server_config.key_file: does not match the certificate"),
        "{errors}"
    );
}

#[test]
fn what_go_offers_and_rustls_does_not_is_skipped_with_a_warning() {
    // web/testdata/web_config_noAuth_allCiphers.good.yml of the exporter-toolkit, shortened, with
    // an old version and all curves.
    let text = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  min_version: TLS10\n  cipher_suites:\n  \
                - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n  - TLS_AES_128_GCM_SHA256\n  - TLS_RSA_WITH_AES_128_CBC_SHA\n  \
                curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n";
    let (config, warnings) = with_certificate(text).unwrap();
    assert_eq!(config.tls.unwrap().server.crypto_provider().kx_groups.len(), 3);
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(
        warnings[0].contains("min_version")
            && warnings[1].contains("TLS_RSA_WITH_AES_128_CBC_SHA")
            && warnings[2].contains("CurveP521")
    );
}

#[test]
fn passwords_without_tls_a_slow_hash_and_the_machines_authorities_get_a_warning() {
    let (_, warnings) = read(&format!("basic_auth_users: {{ann: {HASH}}}"), &[]).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("unencrypted"), "{warnings:?}");
    let slow = HASH.replace("$10$", "$18$");
    let text = format!(
        "tls_server_config: {{cert_file: server.crt, key_file: server.key, client_auth_type: RequestClientCert}}\nbasic_auth_users: {{bob: {slow}}}"
    );
    let (_, warnings) = with_certificate(&text).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("cost of 18"), "{warnings:?}");
}

#[test]
fn a_hash_is_in_no_debug_output() {
    let (config, _) = read(&format!("basic_auth_users: {{ann: {HASH}}}"), &[]).unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("ann") && !shown.contains("mDwo"), "{shown}");
}

#[test]
fn certificates_that_are_not_valid_are_reported_with_line_and_key() {
    let at = |year| Timestamp::from_millis((i64::from(year) - 1970) * 31_556_952_000);
    let text = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
                client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let (config, warnings) = with_certificate(text).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("without the CA flag")), "{warnings:?}");
    assert!(config.is_valid_at("web.yml", at(2030)).is_ok());
    let late = config.is_valid_at("web.yml", at(2050)).unwrap_err().to_string();
    assert!(
        late.starts_with("web.yml:2: tls_server_config.cert_file: contains an expired cert"),
        "{late}"
    );
    assert!(
        late.contains("\nweb.yml:4: tls_server_config.client_ca_file: contains an expired auth"),
        "{late}"
    );
    let early = config.is_valid_at("web.yml", at(1970)).unwrap_err().to_string();
    assert!(early.contains("certificate that is not valid before"), "{early}");
}

/// The letters of a text, and as a list of numbers: how an error of a parser may show it.
fn shows(message: &str, text: &str) -> bool {
    let numbers = format!("{:?}", text.as_bytes());
    message.contains(text) || message.contains(numbers.trim_matches(['[', ']']))
}

#[test]
fn no_message_about_pem_repeats_any_of_it() {
    let (certificate, key) = certificate();
    let secret = key.lines().nth(1).unwrap();
    let (one_line, spaces) =
        (|pem: &str| pem.replace('\n', ""), |pem: &str| pem.replace('\n', " "));
    let broken = |pem: &str| pem.replace("-----END", "-----FIN");
    let bundle = format!("{certificate}{key}");
    let files = [
        one_line(&bundle),
        spaces(&bundle),
        broken(&bundle),
        bundle.replace(secret, &format!("{secret}%")),
    ];
    for bundle in files.iter().chain([&one_line(&key), &spaces(&key), &broken(&key)]) {
        for (name, other) in [("server.crt", "server.key"), ("server.key", "server.crt")] {
            let right = if other == "server.crt" { &certificate } else { &key };
            let text = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
            let message = read(text, &[(name, bundle), (other, right)]).unwrap_err().to_string();
            assert!(!shows(&message, &secret[..20]), "{message}");
            assert!(message.contains("PEM"), "{message}");
        }
        let text = format!(
            "tls_server_config:\n  cert: \"{0}\"\n  key: \"{0}\"\n",
            bundle.replace('\n', "\\n")
        );
        let message = read(&text, &[]).unwrap_err().to_string();
        assert!(!shows(&message, &secret[..20]), "{message}");
    }
    let text = "http_server_config: {headers: {X-Frame-Options: hunter2, hunter: x}}\n";
    let message = read(text, &[]).unwrap_err().to_string();
    assert!(
        message.contains("must be one of `deny`, `sameorigin`") && !message.contains("hunter2"),
        "{message}"
    );
}

proptest::proptest! {
    #[test]
    fn no_web_configuration_is_a_panic(key in proptest::sample::select(&crate::config::WEB_SETTINGS), value in "\\PC*|[-a-z0-9:{}$/.\\[\\]\"'%#, \n]{0,80}") {
        let text = match key.key.split_once('.') {
            Some((section, name)) => format!("{section}: {{cert_file: server.crt, {name}: {value}}}\n"),
            None => format!("{}: {value}\n", key.key),
        };
        let _outcome = read(&text, &[("server.crt", &value)]);
    }
}
