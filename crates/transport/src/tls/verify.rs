use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::IdentityFault;

/// Lets every handshake pass whose peer holds the key of the certificate it shows; the certificate is judged afterwards.
#[derive(Debug)]
pub(super) struct ShowsItsKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ShowsItsKey {
    pub(super) fn new(provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self { algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for ShowsItsKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for ShowsItsKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a chain leads to one of `roots` at `now`, for any purpose that a server may have.
///
/// Public authorities issue certificates for servers alone, and peers show the same one when they connect to us.
pub(super) fn verify_chain(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    now: SystemTime,
) -> Result<(), IdentityFault> {
    let (end, intermediates) = chain.split_first().ok_or(IdentityFault::NoCertificate)?;
    let certificate = EndEntityCert::try_from(end).map_err(|_| IdentityFault::Malformed)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| IdentityFault::NotYetValid)?;
    let mut fault = IdentityFault::Purpose;
    for usage in purposes() {
        let now = UnixTime::since_unix_epoch(now);
        match certificate.verify_for_usage(algorithms.all, &roots.roots, intermediates, now, usage, None, None) {
            Ok(_) => return Ok(()),
            Err(error) => fault = fault_of(&error, end),
        }
        if fault != IdentityFault::Purpose {
            break;
        }
    }
    Err(fault)
}

/// Servers, clients, SIP domains (RFC 5924), anything.
fn purposes() -> [KeyUsage; 4] {
    [
        KeyUsage::server_auth(),
        KeyUsage::client_auth(),
        KeyUsage::required(SIP_DOMAIN),
        KeyUsage::required(ANY_EXTENDED_KEY_USAGE),
    ]
}

/// id-kp-sipDomain, 1.3.6.1.5.5.7.3.20.
const SIP_DOMAIN: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 20];

/// anyExtendedKeyUsage, 2.5.29.37.0.
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];

#[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum of every way in which a chain can be wrong")]
fn fault_of(error: &webpki::Error, end: &CertificateDer<'_>) -> IdentityFault {
    use webpki::Error;
    match error {
        Error::CertExpired { .. } | Error::InvalidCertValidity => IdentityFault::Expired,
        Error::CertNotValidYet { .. } => IdentityFault::NotYetValid,
        Error::RequiredEkuNotFoundContext(_) => IdentityFault::Purpose,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => IdentityFault::Malformed,
        Error::UnknownIssuer | Error::CaUsedAsEndEntity if is_self_signed(end) => IdentityFault::SelfSigned,
        _ => IdentityFault::Untrusted,
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| certificate.issuer() == certificate.subject())
}
