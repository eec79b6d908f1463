use std::time::SystemTime;

use impp_model::Domain;

use super::names::CertificateNames;

/// Who a peer is proven to be by the certificate that it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    chain: Result<(), IdentityFault>,
    names: CertificateNames,
    /// RFC 7673: the one domain that the name system vouches for, and how.
    vouched: Option<(Domain, Vouched)>,
    not_after: Option<SystemTime>,
}

/// How the name system, proven by DNSSEC, vouches for a server (RFC 7673 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// For its certificate, by TLSA.
    Certificate,
    /// For its name, which the certificate has.
    Host,
}

impl Vouched {
    /// The name of this proof in logs, metrics and for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "dane",
            Self::Host => "dnssec-host",
        }
    }
}

/// Why a certificate does not prove a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFault {
    /// The peer showed none.
    #[error("peer showed no certificate")]
    NoCertificate,
    /// It cannot be read.
    #[error("certificate is malformed")]
    Malformed,
    /// It, or one it depends on, is past its time.
    #[error("certificate has expired")]
    Expired,
    /// It, or one it depends on, is ahead of its time.
    #[error("certificate is not valid yet")]
    NotYetValid,
    /// It was issued by itself, and is not listed as trusted.
    #[error("certificate is self-signed")]
    SelfSigned,
    /// Its chain leads to no trusted authority, or breaks a rule of the authority.
    #[error("no trusted authority has issued the certificate")]
    Untrusted,
    /// It was issued for something else than servers.
    #[error("certificate was not issued for servers")]
    Purpose,
    /// It is valid, for other names.
    #[error("certificate is for other names")]
    WrongName,
}

impl IdentityFault {
    /// The reason code in logs, traces and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCertificate => "certificate-missing",
            Self::Malformed => "certificate-malformed",
            Self::Expired => "certificate-expired",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::SelfSigned => "certificate-self-signed",
            Self::Untrusted => "certificate-untrusted",
            Self::Purpose => "certificate-purpose",
            Self::WrongName => "certificate-wrong-name",
        }
    }
}

impl IdentityFault {
    /// What the certificate's owner can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoCertificate => "configure a certificate",
            Self::Malformed => "replace the certificate",
            Self::Expired => "renew the certificate, and those of its chain",
            Self::NotYetValid => "set the clock, or wait until it begins",
            Self::SelfSigned | Self::Untrusted => {
                "send the whole chain of a public authority, or have each side name the other's authority in [tls] trust"
            }
            Self::Purpose => "order a certificate for servers",
            Self::WrongName => "order a certificate with the domain among its names",
        }
    }
}

impl PeerIdentity {
    pub(super) fn new(
        chain: Result<(), IdentityFault>,
        names: CertificateNames,
        not_after: Option<SystemTime>,
    ) -> Self {
        Self { chain, names, vouched: None, not_after }
    }

    /// A peer that showed no certificate.
    pub fn none() -> Self {
        Self::new(Err(IdentityFault::NoCertificate), CertificateNames::default(), None)
    }

    /// The same peer, for which the name system vouches as a server of `domain`.
    pub(super) fn vouched_for(self, domain: Domain, how: Vouched) -> Self {
        Self { vouched: Some((domain, how)), ..self }
    }

    /// How the name system vouches for the peer as a server of `domain`.
    pub fn vouched(&self, domain: &Domain) -> Option<Vouched> {
        self.vouched.as_ref().filter(|(known, _)| known == domain).map(|(_, how)| *how)
    }

    /// The end of the certificate's validity, if it can be read.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// Whether the certificate is valid, whatever its names.
    pub fn chain(&self) -> Result<(), IdentityFault> {
        self.chain
    }

    /// What the certificate says, proven or not.
    pub fn names(&self) -> &CertificateNames {
        &self.names
    }

    /// RFC 6120 §13.7.2: whether the peer is the XMPP server of `domain`.
    pub fn xmpp(&self, domain: &Domain) -> Result<(), IdentityFault> {
        if self.vouched(domain).is_some() { Ok(()) } else { self.judge(self.names.prove_xmpp(domain)) }
    }

    /// RFC 5922 §7.3, §7.4: whether the peer is the SIP domain `domain`.
    pub fn sip(&self, domain: &Domain) -> Result<(), IdentityFault> {
        match self.vouched(domain) {
            Some(Vouched::Certificate) => Ok(()),
            Some(Vouched::Host) | None => self.judge(self.names.prove_sip(domain)),
        }
    }

    /// RFC 6125 §6.4: whether the peer is the host `domain`.
    pub fn host(&self, domain: &Domain) -> Result<(), IdentityFault> {
        self.judge(self.names.prove_host(domain))
    }

    /// The domains that the peer is proven to be as an XMPP server, wildcards as `*.example.com`.
    pub fn xmpp_domains(&self) -> Vec<String> {
        let vouched = self.vouched.iter().map(|(domain, _)| domain.as_str().to_owned());
        let named = self.chain.is_ok().then(|| self.names.xmpp_domains());
        named.into_iter().flatten().chain(vouched).collect()
    }

    fn judge(&self, named: bool) -> Result<(), IdentityFault> {
        self.chain?;
        if named { Ok(()) } else { Err(IdentityFault::WrongName) }
    }
}
