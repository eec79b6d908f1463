use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256, Sha512};
use x509_parser::prelude::{FromDer, X509Certificate};

/// One TLSA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

impl fmt::Display for Tlsa {
    /// As a master file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// RFC 7218 §2.1: what an association says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usage {
    /// A trusted authority's is in the chain.
    PkixTa,
    /// It is this one, and a trusted authority has issued it.
    PkixEe,
    /// An authority of the domain's own choice has issued it.
    DaneTa,
    /// It is this one.
    DaneEe,
}

impl Usage {
    /// RFC 7218 §2.1: its acronym.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PkixTa => "PKIX-TA",
            Self::PkixEe => "PKIX-EE",
            Self::DaneTa => "DANE-TA",
            Self::DaneEe => "DANE-EE",
        }
    }
}

impl Tlsa {
    /// RFC 7671 §5.1: what names the key of a certificate, whoever issued it: `3 1 1`.
    pub(crate) fn of_key(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let data = Sha256::digest(certificate.public_key().raw).to_vec();
        Some(Self { usage: 3, selector: 1, matching: 1, data })
    }

    /// RFC 6698 §4.1: what it says, if all of it is understood.
    pub(crate) fn usable(&self) -> Option<Usage> {
        let length = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        let usage = match self.usage {
            0 => Usage::PkixTa,
            1 => Usage::PkixEe,
            2 => Usage::DaneTa,
            3 => Usage::DaneEe,
            _ => return None,
        };
        (length && self.selector <= 1).then_some(usage)
    }

    /// RFC 6698 §2.1.2, §2.1.3: whether this certificate, or its key, is meant.
    pub(crate) fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let parsed;
        let selected: &[u8] = match self.selector {
            0 => certificate,
            1 => {
                let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
                parsed = certificate;
                parsed.public_key().raw
            }
            _ => return false,
        };
        match self.matching {
            0 => self.data == selected,
            1 => self.data == Sha256::digest(selected).as_slice(),
            2 => self.data == Sha512::digest(selected).as_slice(),
            _ => false,
        }
    }

    /// RFC 7671 §5.2: the authorities in a chain that are meant, as the only ones to trust.
    pub(crate) fn anchors(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let meant = chain.iter().skip(1).filter(|certificate| self.matches(certificate));
        roots.add_parsable_certificates(meant.map(|certificate| certificate.clone().into_owned()));
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testkit::{Authority, San};

    #[test]
    fn rfc6698_s2_1_certificate_or_key_whole_or_as_a_hash() {
        let authority = Authority::new("CA");
        let issued = authority.issue(&[San::Dns("xmpp.example")]);
        let certificate = CertificateDer::from(issued.certificate().to_vec());
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        let key = parsed.public_key().raw;
        let whole = certificate.to_vec();
        for (selector, matching, data) in [
            (0, 0, whole.clone()),
            (0, 1, Sha256::digest(&whole).to_vec()),
            (0, 2, Sha512::digest(&whole).to_vec()),
            (1, 0, key.to_vec()),
            (1, 1, Sha256::digest(key).to_vec()),
            (1, 2, Sha512::digest(key).to_vec()),
        ] {
            let tlsa = Tlsa { usage: 3, selector, matching, data };
            assert!(tlsa.matches(&certificate) && tlsa.usable() == Some(Usage::DaneEe), "{selector} {matching}");
            let other = CertificateDer::from(authority.issue(&[San::Dns("xmpp.example")]).certificate().to_vec());
            assert!(!tlsa.matches(&other));
        }
    }

    #[test]
    fn rfc6698_s4_1_what_is_not_understood_is_not_usable() {
        let tlsa = |usage, selector, matching, length| Tlsa { usage, selector, matching, data: vec![0; length] };
        assert_eq!(tlsa(0, 0, 1, 32).usable(), Some(Usage::PkixTa));
        for odd in [
            tlsa(4, 0, 1, 32),
            tlsa(3, 2, 1, 32),
            tlsa(3, 1, 3, 32),
            tlsa(3, 1, 1, 31),
            tlsa(3, 1, 2, 32),
            tlsa(3, 0, 0, 0),
        ] {
            assert_eq!(odd.usable(), None, "{odd:?}");
        }
    }
}
