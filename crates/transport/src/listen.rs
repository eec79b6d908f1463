use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;

use impp_resolve::Transport;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where to listen and how, written `udp:127.0.0.1:5060` or `tls:[::1]:5061`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddr {
    /// What is spoken on the socket.
    pub transport: Transport,
    /// Address and port; a wildcard address means every interface of its family.
    pub addr: SocketAddr,
}

/// Why text says not where to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// No word and colon before the address.
    #[error("{text:?} does not begin with a transport")]
    NoTransport {
        /// What was written.
        text: String,
    },
    /// Another word there.
    #[error("unknown transport {found:?}")]
    Transport {
        /// The word.
        found: String,
    },
    /// No address with port after it.
    #[error("{found:?} is no IP address with port")]
    Address {
        /// What stands there.
        found: String,
        /// Why it is none.
        source: AddrParseError,
    },
}

impl ListenError {
    /// What to write instead.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoTransport { .. } => "write TRANSPORT:ADDRESS:PORT, for example \"udp:127.0.0.1:5060\"",
            Self::Transport { .. } => "use one of udp, tcp, tls, ws, wss",
            Self::Address { .. } => {
                "write an IP address, not a name, and a port; IPv6 in brackets: \"tcp:[::1]:5060\"; \"0.0.0.0\" for all"
            }
        }
    }
}

impl ListenAddr {
    /// Whether it listens on every interface, so that peers cannot be told this address.
    pub fn is_wildcard(&self) -> bool {
        self.addr.ip().is_unspecified()
    }
}

impl FromStr for ListenAddr {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let no_transport = || ListenError::NoTransport { text: text.into() };
        let (word, addr) = text.split_once(':').ok_or_else(no_transport)?;
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(no_transport());
        }
        let transport = word.parse().map_err(|_| ListenError::Transport { found: word.into() })?;
        let addr = addr.parse().map_err(|source| ListenError::Address { found: addr.into(), source })?;
        Ok(Self { transport, addr })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.addr)
    }
}

impl Serialize for ListenAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    /// The error's text carries the remedy, since a deserializer keeps nothing but text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: ListenError| serde::de::Error::custom(format!("{error}; {}", error.remedy())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_and_address_are_read_and_written() {
        for (text, transport) in [("udp:127.0.0.1:5060", Transport::Udp), ("wss:[::1]:443", Transport::Wss)] {
            let listen: ListenAddr = text.parse().unwrap();
            assert_eq!((listen.transport, listen.to_string().as_str()), (transport, text));
        }
        assert!("tcp:0.0.0.0:5060".parse::<ListenAddr>().unwrap().is_wildcard());
    }

    #[test]
    fn every_mistake_has_its_error_and_remedy() {
        let refused = |text: &str| text.parse::<ListenAddr>().unwrap_err();
        assert_eq!(refused("127.0.0.1:5060"), ListenError::NoTransport { text: "127.0.0.1:5060".into() });
        assert_eq!(refused("5060"), ListenError::NoTransport { text: "5060".into() });
        assert_eq!(refused("sctp:127.0.0.1:5060"), ListenError::Transport { found: "sctp".into() });
        for text in ["udp:localhost:5060", "udp:127.0.0.1", "tcp:::1:5060", "tcp:127.0.0.1:65536"] {
            assert!(matches!(refused(text), ListenError::Address { .. }), "{text}");
        }
        assert!(!refused("").remedy().is_empty());
    }
}
