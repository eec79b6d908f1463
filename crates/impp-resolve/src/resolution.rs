use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use impp_model::Domain;
use serde::{Deserialize, Serialize, Serializer};

use crate::dns::Name;
use crate::protocol::Protocol;

/// The decision about one domain, with all that led to it.
///
/// Serialised it has the field names of the command line's `resolve --json`; absent fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// What to do.
    pub outcome: Outcome,
    /// Why not, if it cannot be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How the targets were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// The protocol that serves the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Where to connect, in order; a target without address is to be skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// The name a certificate must prove: the domain asked about, never a result of DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_reference_identity: Option<Domain>,
    /// Every query in order, as name and type.
    pub queries: Vec<String>,
    /// Every query and decision in order, with its reason.
    pub steps: Vec<Step>,
    /// How long the decision may be kept.
    #[serde(skip)]
    pub ttl: Duration,
}

impl Resolution {
    /// All addresses in the order in which they are to be tried.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.targets.iter().flat_map(Target::socket_addrs)
    }
}

/// What is to be done with an operation for the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Connect to the targets in order.
    Deliver,
    /// The domain is served here.
    Local,
    /// There is no way; asking again before the records change is useless.
    Failure,
    /// Whether there is a way is not known; ask again later.
    TemporaryFailure,
}

/// How the targets were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// RFC 3861 §4: the SRV records of the service.
    Rfc3861Srv,
    /// The protocol's own discovery (RFC 3263 §4, RFC 6120 §3.2).
    NativeSrv,
    /// No SRV record anywhere: the domain's own address records.
    ImplicitSrv,
    /// The URI itself gave address or port, so that no service was looked up.
    Direct,
}

/// Why there is no way to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// RFC 3861 §3: only fully qualified names are looked up.
    #[error("domain is not an FQDN")]
    NotFullyQualified,
    /// RFC 3861 §4: neither service nor address records.
    #[error("domain does not resolve")]
    NotFound,
    /// RFC 2782: the domain says that it does not offer the service.
    #[error("SRV present but service not available / not usable; A/AAAA of the domain MUST NOT be used")]
    NotOffered,
    /// RFC 3861 §4: the service's hosts have no addresses.
    #[error("no SRV target resolves; A/AAAA of the domain MUST NOT be used")]
    NoTargetAddress,
    /// RFC 6120 §3.2.1: the domain says that it does not speak the protocol.
    #[error("native SRV says not available")]
    NativeNotOffered,
    /// Every target found is this gateway: what is sent there comes back.
    #[error("every target is a listener of this gateway")]
    OwnListener,
    /// RFC 3861 says nothing of it: whether there are records is not known.
    #[error("DNS error; do not fall back to A/AAAA")]
    Dns,
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One host to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The host's name, or its address as text.
    pub target: Name,
    /// The port.
    pub port: u16,
    /// Of the SRV record, or 0.
    pub priority: u16,
    /// Of the SRV record, or 0.
    pub weight: u16,
    /// The transport, where discovery tells; else the adapter's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// XEP-0368: whether TLS begins at once; absent where the question does not arise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_tls: Option<bool>,
    /// The host's addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

impl Target {
    /// Addresses with the port.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port))
    }
}

/// One query, or one decision without a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Name and type asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What came of it.
    pub result: String,
    /// Why it was done.
    pub why: Cow<'static, str>,
}

/// What carries a protocol between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in clear.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket (RFC 7118, RFC 7395).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// The name in lower case, as in configuration and SIP's `transport` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether it is encrypted and the peer's certificate proves its name.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it delivers in order without loss, so that nothing is retransmitted over it.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

/// The text names no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of udp, tcp, tls, ws, wss")]
pub struct TransportError;

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| text.eq_ignore_ascii_case(transport.as_str()))
            .ok_or(TransportError)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
