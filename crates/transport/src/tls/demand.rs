use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use impp_model::Domain;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, SignatureScheme};

use super::identity::IdentityFault;
use super::store::Tls;

/// Clients that prove one name under these authorities; nobody else passes the handshake.
pub(super) struct Demand {
    authorities: Arc<Tls>,
    name: Domain,
    keys: Arc<dyn ClientCertVerifier>,
}

impl Demand {
    /// `keys` checks that a client holds the key of what it shows.
    pub(super) fn new(authorities: Arc<Tls>, name: Domain, keys: Arc<dyn ClientCertVerifier>) -> Self {
        Self { authorities, name, keys }
    }
}

impl ClientCertVerifier for Demand {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end).chain(intermediates).cloned().collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        match self.authorities.judge(&chain, now).host(&self.name) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(fault) => Err(alert_of(fault)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.keys.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.keys.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.keys.supported_verify_schemes()
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demand").field("name", &self.name).finish_non_exhaustive()
    }
}

/// RFC 8446 §6.2: what the client is told, each fault by the alert that says it best.
fn alert_of(fault: IdentityFault) -> rustls::Error {
    let error = match fault {
        IdentityFault::NoCertificate => return rustls::Error::NoCertificatesPresented,
        IdentityFault::Malformed => CertificateError::BadEncoding,
        IdentityFault::Expired => CertificateError::Expired,
        IdentityFault::NotYetValid => CertificateError::NotValidYet,
        IdentityFault::SelfSigned | IdentityFault::Untrusted => CertificateError::UnknownIssuer,
        IdentityFault::Purpose => CertificateError::InvalidPurpose,
        IdentityFault::WrongName => CertificateError::NotValidForName,
    };
    rustls::Error::InvalidCertificate(error)
}

/// The fault for which a client was refused; none where the handshake failed over something else.
#[allow(clippy::wildcard_enum_match_arm, reason = "foreign enums of every way in which a handshake can fail")]
pub(super) fn fault_of(error: &io::Error) -> Option<IdentityFault> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => Some(IdentityFault::NoCertificate),
        rustls::Error::InvalidCertificate(error) => Some(match error {
            CertificateError::BadEncoding => IdentityFault::Malformed,
            CertificateError::Expired => IdentityFault::Expired,
            CertificateError::NotValidYet => IdentityFault::NotYetValid,
            CertificateError::InvalidPurpose => IdentityFault::Purpose,
            CertificateError::NotValidForName => IdentityFault::WrongName,
            _ => IdentityFault::Untrusted,
        }),
        _ => None,
    }
}
