//! The key `api.ca_file`: authorities that are trusted beside those of the machine.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::credentials::{FILE_LEVEL, parse_given};
use super::mistake::Notes;
use super::outside::Level;

/// The certificates that the first source names; none where none does. `None` when something is
/// wrong, which is then told.
pub(super) fn read(
    levels: &[&Level; 3],
    folder: &Path,
    read_file: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<Vec<CertificateDer<'static>>> {
    let given =
        levels.iter().enumerate().find_map(|(level, given)| Some((level, given.ca_file.as_ref()?)));
    let Some((level, given)) = given else { return Some(Vec::new()) };
    parse_given(given, notes, |text| {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let path = PathBuf::from(text);
        let path = if level == FILE_LEVEL { folder.join(path) } else { path };
        // The path is not repeated: it may be a key, written into the wrong place.
        let pem = read_file(&path)
            .map_err(|error| format!("the file with the certificates cannot be read: {error}"))?;
        // Some editors put a byte order mark before the first line, which would not be known.
        certificates(pem.trim_start_matches('\u{feff}').as_bytes())
    })
}

/// The certificates in `pem`. The message repeats nothing of it.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| "holds PEM that cannot be read".to_owned())?;
    if found.is_empty() {
        let what = "holds no certificate in PEM: there is no `-----BEGIN CERTIFICATE-----`";
        return Err(what.to_owned());
    }
    let mut roots = RootCertStore::empty();
    for (place, certificate) in found.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| {
            format!("holds a certificate that cannot be read, number {}", place + 1)
        })?;
    }
    Ok(found)
}
