use std::borrow::Cow;
use std::fmt;

use impp_model::uri::Scheme;
use serde::{Serialize, Serializer};

use crate::{sip, xmpp};

/// Which of the two abstract services is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// RFC 3860: instant messages.
    Im,
    /// RFC 3859: presence.
    Pres,
}

impl Service {
    /// The service's label in DNS (RFC 3861 §3).
    pub fn label(self) -> &'static str {
        match self {
            Self::Im => "_im",
            Self::Pres => "_pres",
        }
    }
}

impl From<Scheme> for Service {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Im => Self::Im,
            Scheme::Pres => Self::Pres,
        }
    }
}

/// A protocol by its label in DNS, such as `_sip` (RFC 3861 §8).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(Cow<'static, str>);

/// The text is no protocol label: an underscore, then letters, digits and hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protocol label such as _sip")]
pub struct ProtocolError;

impl Protocol {
    /// RFC 5509 §3.
    pub const SIP: Self = Self(Cow::Borrowed("_sip"));
    /// RFC 3921 §15.2, §15.3.
    pub const XMPP: Self = Self(Cow::Borrowed("_xmpp"));

    /// Parses a label in any case.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let name = text.strip_prefix('_').ok_or(ProtocolError)?;
        let good =
            (1..MAX_LABEL_LEN).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if good { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(ProtocolError) }
    }

    /// The label with its underscore.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where servers listen when no record says otherwise; RFC 3861 leaves this to configuration.
    pub(crate) fn default_port(&self) -> Option<u16> {
        match self.as_str() {
            "_sip" => Some(sip::DEFAULT_PORT),
            "_xmpp" => Some(xmpp::DEFAULT_PORT),
            _ => None,
        }
    }
}

/// RFC 1035 §2.3.4.
const MAX_LABEL_LEN: usize = 63;

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
