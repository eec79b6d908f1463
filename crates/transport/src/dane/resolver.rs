use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};

use super::{DaneError, SecureDns, Secured, Tlsa};
use crate::dns::{DnsSettings, DnsSetupError, builder};

/// A validating stub resolver: it asks for signatures and checks them itself, from the root or from anchors of its own.
#[derive(Clone)]
pub struct DnssecDns {
    resolver: TokioResolver,
}

/// Why there is no validating resolver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustAnchorError {
    /// As without DNSSEC.
    #[error(transparent)]
    Setup(#[from] DnsSetupError),
    /// No DNSKEY records in the form of a master file.
    #[error("{}: {source}", path.display())]
    Anchors {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DnssecDns {
    /// Trusts the keys in `anchors`, else those of the root. To be called within a tokio runtime.
    pub fn new(settings: &DnsSettings, anchors: Option<&Path>) -> Result<Self, TrustAnchorError> {
        let mut builder = builder(settings)?;
        builder.options_mut().validate = true;
        if let Some(path) = anchors {
            builder = builder.with_trust_anchor(Arc::new(anchors_of(path)?));
        }
        let resolver = builder.build().map_err(|error| TrustAnchorError::Setup(DnsSetupError::Resolver(error)))?;
        Ok(Self { resolver })
    }

    /// Whether a file holds anchors.
    pub fn read_anchors(path: &Path) -> Result<(), TrustAnchorError> {
        anchors_of(path).map(drop)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "foreign enums; what they may grow into is no proof of absence")]
    async fn lookup<T>(
        &self,
        text: &str,
        record_type: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Secured<T>, DaneError> {
        let failed = || DaneError::Failure(text.to_owned());
        let mut name = Name::from_ascii(text).map_err(|_| failed())?;
        name.set_fqdn(true);
        let lookup = match self.resolver.lookup(name, record_type).await {
            Ok(lookup) => lookup,
            Err(NetError::Dns(DnsError::DnssecBogus)) => return Err(DaneError::Bogus(text.to_owned())),
            Err(NetError::Dns(DnsError::Nsec { proof: Proof::Bogus, .. })) => {
                return Err(DaneError::Bogus(text.to_owned()));
            }
            Err(NetError::Dns(DnsError::Nsec { .. })) => return Ok(Secured::none()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                return Ok(Secured::none());
            }
            Err(_) => return Err(failed()),
        };
        let answers = || lookup.answers().iter().filter(|answer| answer.record_type() != RecordType::RRSIG);
        let is_secure = answers().all(|answer| answer.proof == Proof::Secure);
        let records: Vec<T> = answers().filter_map(|answer| read(&answer.data)).collect();
        Ok(Secured { is_secure: is_secure && !records.is_empty(), records })
    }
}

fn anchors_of(path: &Path) -> Result<TrustAnchors, TrustAnchorError> {
    let failed = |why: String| TrustAnchorError::Anchors { path: path.to_owned(), source: io::Error::other(why) };
    TrustAnchors::from_file(path).map_err(|error| failed(error.to_string()))
}

#[async_trait]
#[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum of every record type there is")]
impl SecureDns for DnssecDns {
    async fn srv(&self, name: &str) -> Result<Secured<(String, u16)>, DaneError> {
        let read = |data: &RData| match data {
            RData::SRV(srv) => Some((srv.target.to_ascii(), srv.port)),
            _ => None,
        };
        self.lookup(name, RecordType::SRV, read).await
    }

    async fn addresses(&self, host: &str) -> Result<Secured<IpAddr>, DaneError> {
        let read = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let (four, six) =
            tokio::join!(self.lookup(host, RecordType::A, read), self.lookup(host, RecordType::AAAA, read));
        // RFC 7673 §3.2: one of the two is enough.
        match (four, six) {
            (Ok(mut four), Ok(six)) if four.is_secure && six.is_secure => {
                four.records.extend(six.records);
                Ok(four)
            }
            (Ok(one), _) | (_, Ok(one)) if one.is_secure => Ok(one),
            (Ok(four), Ok(_)) => Ok(four),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError> {
        let read = |data: &RData| {
            let RData::TLSA(tlsa) = data else { return None };
            let (usage, selector, matching) = (tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into());
            Some(Tlsa { usage, selector, matching, data: tlsa.cert_data.clone() })
        };
        self.lookup(name, RecordType::TLSA, read).await
    }
}
