//! TLS with domain certificates: handshakes that judge nobody, and what a certificate proves, judged after them.
//!
//! A handshake here does not fail over the peer's certificate; it only proves that the peer holds the key. What the
//! certificate is worth is a [`PeerIdentity`]: one verdict on the chain and one comparison of names for each protocol.
//! So a receiver can fall back to another proof, and every refusal has a reason. A listener that knows its only client
//! demands more ([`TlsAcceptor::demanding`]).

mod demand; // listeners that take one client alone
mod files; // PEM files and their changes
mod handshake; // RFC 8446
mod identity; // what a peer is proven to be
mod names; // subjectAltName
mod store; // [tls]
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod verify; // certification paths

pub use files::{CertificateFiles, CertificateSource, TlsFileError, TlsSettings, Trust};
pub use handshake::{HANDSHAKE_TIMEOUT, Handshake, HandshakeError, TlsAcceptor};
pub use identity::{IdentityFault, PeerIdentity, Vouched};
pub use names::CertificateNames;
pub use rustls::pki_types::CertificateDer;
pub use store::{CertificateInfo, EXPIRY_WARNING, RELOAD_CHECK, Shown, Tls};
