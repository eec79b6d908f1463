//! What is kept: the account, and the certificate with its key.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use impp_model::Domain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::AcmeError;
use crate::tls::CertificateNames;

/// The certificate that is there.
#[derive(Debug)]
pub(super) struct Held {
    names: CertificateNames,
    from: SystemTime,
    until: SystemTime,
}

impl Held {
    /// None if there is none that can be read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let end = CertificateDer::from_pem_slice(&fs::read(path).ok()?).ok()?;
        let (_, certificate) = X509Certificate::from_der(&end).ok()?;
        let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
        Some(Self { names: CertificateNames::of(&certificate), from: time(from), until: time(until) })
    }

    /// When to order the next: when a third of its time is left, or at once if a name is missing.
    pub(super) fn due(&self, domains: &[Domain]) -> SystemTime {
        let life = self.until.duration_since(self.from).unwrap_or_default();
        if domains.iter().all(|domain| self.names.contain(domain)) { self.from + life * 2 / 3 } else { self.from }
    }
}

fn time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

/// Replaces a file whole, for the eyes of this user alone; after a crash it is the old one or the new one.
pub(super) fn replace(path: &Path, octets: &[u8]) -> Result<(), AcmeError> {
    let failed = |source: io::Error| AcmeError::File { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh).map_err(failed)?;
    file.write_all(octets).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testkit::{Authority, San, Variant};

    #[test]
    fn a_third_before_its_end_or_for_a_missing_name_it_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/certificate.pem");
        assert!(Held::read(&path).is_none());
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let until = from + Duration::from_secs(90 * 86_400);
        let variant = Variant { validity: (from, until), ..Variant::default() };
        let issued =
            Authority::new("CA").issue_variant(&[San::Dns("gw.example.net"), San::Dns("example.com")], &variant);
        replace(&path, format!("{}{}", issued.certificate_pem, issued.key_pem).as_bytes()).unwrap();
        let held = Held::read(&path).unwrap();
        let domain = |name: &str| Domain::parse(name).unwrap();
        assert_eq!(held.due(&[domain("example.com")]), from + Duration::from_secs(60 * 86_400));
        assert_eq!(held.due(&[domain("example.com"), domain("other.example")]), from);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
