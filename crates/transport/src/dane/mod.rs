//! DANE: certificates that the name system vouches for, where DNSSEC vouches for the name system (RFC 6698, RFC 7671, RFC 7673).

mod association; // RFC 6698 §2.1
mod lookup; // RFC 7673 §3
mod resolver; // RFC 4035

use async_trait::async_trait;
use std::net::IpAddr;

pub use association::Tlsa;
pub(crate) use association::Usage;
pub use lookup::{Application, Discovery};
pub(crate) use lookup::{callers, discover, discover_sip};
pub use resolver::{DnssecDns, TrustAnchorError};

/// Answers of the name system with what DNSSEC says of them.
#[async_trait]
pub trait SecureDns: Send + Sync {
    /// Target host and port of each SRV record.
    async fn srv(&self, name: &str) -> Result<Secured<(String, u16)>, DaneError>;
    /// The addresses of a host.
    async fn addresses(&self, host: &str) -> Result<Secured<IpAddr>, DaneError>;
    /// The associations of a service at a host.
    async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError>;
}

/// Records, and whether DNSSEC proves that they are all there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured<T> {
    /// What there is; nothing where the name or the type does not exist.
    pub records: Vec<T>,
    /// Whether every one of them was proven, aliases on the way included.
    pub is_secure: bool,
}

impl<T> Secured<T> {
    /// Nothing, as far as anybody can tell.
    pub fn none() -> Self {
        Self { records: Vec::new(), is_secure: false }
    }
}

/// Why a server is not to be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DaneError {
    /// RFC 7673 §3.1: signed, and the signature is wrong.
    #[error("dnssec-bogus: the signatures of {0} are wrong")]
    Bogus(String),
    /// RFC 7673 §3.4: a failure is no proof that there is nothing.
    #[error("dns-failure: {0} cannot be looked up")]
    Failure(String),
    /// RFC 7673 §4.2: the name system vouches for other certificates.
    #[error("certificate-dane: the certificate is none of those that DNSSEC vouches for")]
    Mismatch,
}

impl DaneError {
    /// The reason code in logs, traces and metrics, with which the text begins, too.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bogus(_) => "dnssec-bogus",
            Self::Failure(_) => "dns-failure",
            Self::Mismatch => "certificate-dane",
        }
    }
}
