//! Certificates for tests: an authority, a server on this machine, and a client.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// Writes `ca.crt`, `server.crt`, `server.key`, `client.crt` and `client.key` into `folder`.
pub(crate) fn write(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are invalid");
    // Distinct names: OpenSSL treats a certificate issued by its own name as self-signed.
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there are random numbers");
    let authority = params.self_signed(&key).expect("it can sign itself").pem();
    let issuer = Issuer::new(params, key);
    fs::write(folder.join("ca.crt"), authority).expect("the folder is ours");
    for (name, sans, purpose) in [
        (
            "server",
            vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()],
            ExtendedKeyUsagePurpose::ServerAuth,
        ),
        ("client", vec!["prometheus.example.org".to_owned()], ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let key = KeyPair::generate().expect("there are random numbers");
        let mut params = CertificateParams::new(sans).expect("these are names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(2049, 1, 1);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &issuer).expect("the authority signs");
        fs::write(folder.join(format!("{name}.crt")), certificate.pem())
            .expect("the folder is ours");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())
            .expect("the folder is ours");
    }
}
