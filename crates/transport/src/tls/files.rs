use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::CertificateNames;

/// The files of `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Our own certificates, in the order of the configuration.
    pub certificates: Vec<CertificateFiles>,
    /// A certificate that is ordered by ACME: its file holds chain and key, and may not be there yet.
    pub ordered: Option<PathBuf>,
    /// Whose signatures count.
    pub trust: Vec<Trust>,
}

/// Where one certificate is kept, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those of its chain.
    pub certificate: PathBuf,
    /// Its key: PKCS #8, PKCS #1 or SEC 1.
    pub private_key: PathBuf,
}

/// Authorities that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the operating system.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// Which file of [`TlsSettings`] something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateSource {
    /// The certificate of this number.
    Certificate(usize),
    /// The key of this number.
    PrivateKey(usize),
    /// The trust entry of this number.
    Trust(usize),
}

/// Why the files of [`TlsSettings`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// Not there, or not for us to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which entry.
        entry: CertificateSource,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No PEM block of the kind that belongs there.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// Which entry.
        entry: CertificateSource,
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// A key of a kind that is not supported, or another certificate's.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which entry.
        entry: CertificateSource,
        /// The key's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

impl TlsFileError {
    /// Which entry of the settings is wrong.
    pub fn entry(&self) -> CertificateSource {
        match self {
            Self::Read { entry, .. } | Self::Pem { entry, .. } | Self::Key { entry, .. } => *entry,
        }
    }

    /// What an operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } => "give a file in PEM that this process may read",
            Self::Pem { what: "certificate", .. } => "give the certificate in PEM, its chain behind it",
            Self::Pem { .. } => "give the unencrypted private key in PEM",
            Self::Key { .. } => {
                "give the private key of this very certificate: ECDSA, Ed25519 or RSA of 2048 bits or more"
            }
        }
    }
}

/// A certificate of ours, ready for handshakes.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) file: PathBuf,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) names: CertificateNames,
    pub(super) not_after: SystemTime,
}

impl CertificateFiles {
    pub(super) fn load(&self, number: usize, provider: &CryptoProvider) -> Result<Loaded, TlsFileError> {
        let entry = CertificateSource::Certificate(number);
        let chain = certificates(&self.certificate, entry)?;
        let key = self.load_key(number)?;
        let wrong_key = |source| TlsFileError::Key {
            entry: CertificateSource::PrivateKey(number),
            path: self.private_key.clone(),
            source,
        };
        let key = Arc::new(CertifiedKey::from_der(chain, key, provider).map_err(wrong_key)?);
        let end = key.end_entity_cert().map_err(wrong_key)?;
        let malformed = || TlsFileError::Pem { entry, path: self.certificate.clone(), what: "certificate" };
        let (_, parsed) = X509Certificate::from_der(end).map_err(|_| malformed())?;
        let (names, not_after) = (CertificateNames::of(&parsed), not_after(&parsed));
        Ok(Loaded { file: self.certificate.clone(), key, names, not_after })
    }

    fn load_key(&self, number: usize) -> Result<PrivateKeyDer<'static>, TlsFileError> {
        let (entry, path) = (CertificateSource::PrivateKey(number), &self.private_key);
        let text = read(path, entry)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsFileError::Pem {
            entry,
            path: path.clone(),
            what: "private key",
        })
    }
}

impl Trust {
    pub(super) fn load(&self, number: usize, roots: &mut RootCertStore) -> Result<(), TlsFileError> {
        let entry = CertificateSource::Trust(number);
        let certificates = match self {
            // A system without authorities trusts nobody; `Tls::trusts_nobody` tells.
            Self::System => rustls_native_certs::load_native_certs().certs,
            Self::File(path) => certificates(path, entry)?,
        };
        // Authorities whose certificates are beyond what the verifier knows cannot have issued what it accepts.
        let (added, _) = roots.add_parsable_certificates(certificates);
        match self {
            Self::File(path) if added == 0 => Err(TlsFileError::Pem { entry, path: path.clone(), what: "certificate" }),
            Self::File(_) | Self::System => Ok(()),
        }
    }
}

fn certificates(path: &Path, entry: CertificateSource) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let text = read(path, entry)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| TlsFileError::Pem {
        entry,
        path: path.to_owned(),
        what: "certificate",
    })
}

fn read(path: &Path, entry: CertificateSource) -> Result<Vec<u8>, TlsFileError> {
    fs::read(path).map_err(|source| TlsFileError::Read { entry, path: path.to_owned(), source })
}

fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

/// The end of a certificate in DER.
pub(super) fn end_of(certificate: &[u8]) -> Option<SystemTime> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| not_after(&certificate))
}

/// By the extended key usage of X.509: whether a certificate in DER may be shown by servers, and by clients.
pub(super) fn purposes_of(certificate: &[u8]) -> (bool, bool) {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return (false, false) };
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => (usage.value.any || usage.value.server_auth, usage.value.any || usage.value.client_auth),
        Ok(None) | Err(_) => (true, true),
    }
}

/// What shows that files were changed: for each its size and the time of its last change, of what links point to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<(u64, SystemTime)>>);

impl Stamps {
    pub(super) fn of(settings: &TlsSettings) -> Self {
        let own = settings.certificates.iter().flat_map(|files| [&files.certificate, &files.private_key]);
        let trusted = settings.trust.iter().filter_map(|trust| match trust {
            Trust::System => None,
            Trust::File(path) => Some(path),
        });
        Self(own.chain(&settings.ordered).chain(trusted).map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
