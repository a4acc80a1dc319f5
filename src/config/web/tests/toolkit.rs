//! Files as the exporter-toolkit's documentation and its own tests have them: what it takes is
//! taken, what it refuses is refused with a message that helps.
//!
//! Source of what is right and wrong: `docs/web-config.yml` (0089e78 and 36bcfdb), and
//! `TestYAMLFiles`, `TestServerBehaviour` and `TestUsers` in `web/tls_config_test.go` (01a6720)
//! with the files of `web/testdata`, of github.com/prometheus/exporter-toolkit.

use super::*;

/// What every file begins with that is about something else in TLS.
const PAIR: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// The suites that Go names, the weak ones too.
const ALL_SUITES: &str = "  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n  \
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  \
    - TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\n  - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\n  - TLS_AES_128_GCM_SHA256\n  \
    - TLS_AES_256_GCM_SHA384\n  - TLS_CHACHA20_POLY1305_SHA256\n  - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA\n  \
    - TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA\n  - TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\n  - TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA\n  \
    - TLS_RSA_WITH_AES_128_CBC_SHA\n  - TLS_RSA_WITH_AES_256_CBC_SHA\n  - TLS_RSA_WITH_AES_128_GCM_SHA256\n  \
    - TLS_RSA_WITH_AES_256_GCM_SHA384\n";

/// Every file that the toolkit takes, without its `tls_server_config` where that is only the pair;
/// and how many suites of TLS 1.2 and curves are offered then.
#[rustfmt::skip]
const GOOD: [(&str, &str, usize, usize); 14] = [
    ("the pair alone", "", 6, 3),
    ("any certificate", "  client_auth_type: RequireAnyClientCert\n", 6, 3),
    ("one that is vouched for", "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n", 6, 3),
    ("one with a name", "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [one, two]\n", 6, 3),
    ("all suites", ALL_SUITES, 6, 3),
    ("some suites", "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  min_version: TLS12\n  max_version: TLS12\n", 2, 3),
    ("the client's order", "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  prefer_server_cipher_suites: false\n  max_version: TLS12\n", 1, 3),
    ("all curves", "  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n", 6, 3),
    ("P-521 alone", "  min_version: TLS13\n  curve_preferences:\n  - CurveP521\n", 6, 3),
    ("no HTTP/2", "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n  max_version: TLS12\nhttp_server_config: {http2: false}\n", 1, 3),
    ("no HTTP/2 and CBC", "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n  max_version: TLS12\nhttp_server_config:\n  http2: false\n", 6, 3),
    ("keys without a value", "  min_version:\n  client_auth_type:\n  cipher_suites:\n  client_allowed_sans: ~\nhttp_server_config: {http2: , headers: {X-Frame-Options: }}\n", 6, 3),
    ("old versions", "  min_version: TLS10\n", 6, 3),
    ("no client's certificate", "  client_auth_type: NoClientCert\n", 6, 3),
];

#[test]
fn every_tls_configuration_that_the_toolkit_accepts_is_accepted() {
    for (name, more, suites, curves) in GOOD {
        let (config, _) = with_certificate(&format!("{PAIR}{more}"))
            .unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let provider = config.tls.expect(name).server.crypto_provider().as_ref().clone();
        let of_12 = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).count();
        assert_eq!((of_12, provider.kx_groups.len()), (suites, curves), "{name}");
    }
}

#[test]
fn the_samples_of_the_documentation_work_with_either_name_of_the_excluded_paths() {
    for key in ["auth_excluded_paths", "basic_auth_excluded_paths"] {
        let text = format!(
            "# A comment.\n{PAIR}\n# Another.\nbasic_auth_users:\n  alice: {HASH}\n  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m\n\n\
             {key}:\n- /-/healthy\n- \"/-/ready\"\n"
        );
        let (config, warnings) = with_certificate(&text).unwrap();
        assert_eq!(
            (config.users.len(), config.auth_excluded_paths.len(), warnings),
            (2, 2, Vec::new())
        );
    }
    let both = read("auth_excluded_paths: [/a]\nbasic_auth_excluded_paths: [/b]\n", &[]).unwrap().0;
    assert_eq!(both.auth_excluded_paths, BTreeSet::from(["/a".to_owned(), "/b".to_owned()]));
}

#[test]
fn headers_users_and_limits_that_the_toolkit_accepts_are_accepted() {
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    \
                   X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    Content-Security-Policy: \"default-src 'self' *.test.example.net\"\n";
    assert_eq!(read(headers, &[]).unwrap().0.headers.len(), 5);
    assert!(
        read(
            "http_server_config:\n  headers:\n    X-Frame-Options: ''\n    X-XSS-Protection:\n",
            &[]
        )
        .unwrap()
        .0
        .headers
        .is_empty()
    );
    let slow = HASH.replace("$10$", "$18$").replace("$2y$", "$2b$");
    assert_eq!(
        read(&format!("basic_auth_users:\n  alice: {HASH}\n  bob: \"{slow}\"\n"), &[])
            .unwrap()
            .0
            .users
            .len(),
        2
    );
    assert_eq!(read("rate_limit:\n  interval: 0\n  burst: 0\n", &[]).unwrap().0.rate_limit, None);
    let limited =
        read("rate_limit:\n  interval: 1h\n  burst: 1\n", &[]).unwrap().0.rate_limit.unwrap();
    assert_eq!((limited.interval, limited.burst.get()), (Duration::from_secs(3_600), 1));
}

/// Every file that the toolkit refuses, and a part of what is said of it.
#[rustfmt::skip]
const BAD: [(&str, &str, &str); 21] = [
    ("no YAML", "tls_server_config:\n  cert_file: 'server.crt\n", "2: not YAML"),
    ("no map", "just text\n", "must be a map"),
    ("a key that is none", "tls_server_config:\n  cert_filse: server.crt\n", "did you mean `cert_file`?"),
    ("no path of the certificate", "tls_server_config:\n  cert_file: ''\n  key_file: server.key\n", "cert_file: is missing"),
    ("no certificate", "tls_server_config:\n  cert: ''\n  key_file: server.key\n", "cert_file: is missing"),
    ("no path of the key", "tls_server_config:\n  cert_file: server.crt\n  key_file: ''\n", "key_file: is missing"),
    ("no key", "tls_server_config:\n  cert_file: server.crt\n  key: ''\n", "key_file: is missing"),
    ("neither", "tls_server_config:\n  cert_file: ''\n  key_file: ''\n  client_auth_type: NoClientCert\n", "cert_file: is missing"),
    ("a certificate that is not there", "tls_server_config:\n  cert_file: somefile\n  key_file: server.key\n", "cert_file: cannot be read"),
    ("a key that is not there", "tls_server_config:\n  cert_file: server.crt\n  key_file: somefile\n", "key_file: cannot be read"),
    ("authorities and no policy", "TLS  client_ca_file: ca.crt\n", "no effect without `client_auth_type`"),
    ("authorities that are not there", "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: somefile\n", "client_ca_file: cannot be read"),
    ("authorities that are none", "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca: no certificate\n", "contains no certificate in PEM"),
    ("names and no certificate", "TLS  client_allowed_sans: [one]\n", "requires `client_auth_type`"),
    ("names and a certificate if there is one", "TLS  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n  client_allowed_sans: [one]\n", "requires `client_auth_type`"),
    ("a password in clear", "TLSbasic_auth_users:\n  john: doe\n", "is not a valid bcrypt hash"),
    ("an invented suite", "TLS  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]\n", "is not a valid cipher suite"),
    ("an invented curve", "TLS  curve_preferences: [CurveP257]\n", "`CurveP256`"),
    ("an invented version", "TLS  min_version: TLS111\n", "`TLS12`"),
    ("CBC and HTTP/2", "TLS  cipher_suites:\n    - TLS_RSA_WITH_AES_128_CBC_SHA\n  max_version: TLS12\n", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("another header", "http_server_config:\n  headers:\n    X-Test: 1\n", "not a header that can be set"),
];

#[test]
fn every_file_that_the_toolkit_rejects_is_rejected_with_a_helpful_message() {
    for (name, text, part) in BAD {
        let found = mistakes(
            &text
                .replace("TLS  ", &format!("{PAIR}  "))
                .replace("TLSbasic", &format!("{PAIR}basic")),
        );
        assert!(found.iter().any(|line| line.contains(part)), "{name}: {found:#?}");
    }
    for (header, value, part) in [
        ("X-Content-Type-Options", "none", "`nosniff`"),
        ("X-Frame-Options", "forbid", "`deny`, `sameorigin`"),
    ] {
        let found = mistakes(&format!("http_server_config: {{headers: {{{header}: {value}}}}}"));
        assert!(found[0].contains(part), "{found:#?}");
    }
}
