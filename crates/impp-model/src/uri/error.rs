use crate::address::TextError;
use crate::domain::DomainError;

/// Why text is not an `im:`, `pres:` or `xmpp:` URI; every position counts octets from the start of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// The text does not begin with the scheme and a colon.
    #[error("another scheme, or none")]
    Scheme,
    /// RFC 3986 §2: an octet that no URI holds, or a `%` without two hexadecimal digits.
    #[error("octet {at}: character not allowed in a URI")]
    Char {
        /// Where.
        at: usize,
    },
    /// RFC 3860 §A.2 has no fragment.
    #[error("octet {at}: fragment not allowed")]
    Fragment {
        /// Where the `#` stands.
        at: usize,
    },
    /// A header, or a key of an `xmpp:` query, without `=`.
    #[error("octet {at}: header without =")]
    Header {
        /// Where the header begins.
        at: usize,
    },
    /// No `@`, or more than one.
    #[error("octet {at}: not one local part and one domain")]
    Mailbox {
        /// Where the second `@` stands, else where the first is missing.
        at: usize,
    },
    /// The part before the `@` is neither dot-atom nor quoted string, or too long.
    #[error("octet {at}: local part not allowed")]
    Local {
        /// Where the part begins.
        at: usize,
    },
    /// The part after the `@`.
    #[error("octet {at}: {cause}")]
    Domain {
        /// Where the part begins.
        at: usize,
        /// What is wrong with it.
        cause: DomainError,
    },
    /// A control character after percent-decoding.
    #[error("octet {at}: part holds a control character")]
    Control {
        /// Where the part begins.
        at: usize,
    },
    /// Percent-decoding gives octets that are not UTF-8.
    #[error("octet {at}: part is not UTF-8")]
    Utf8 {
        /// Where the part begins.
        at: usize,
    },
}

impl UriError {
    /// The class of the error, the same word in the command line's output and in the test vectors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scheme => "E_SCHEME",
            Self::Char { .. } => "E_CHAR",
            Self::Fragment { .. } => "E_FRAGMENT",
            Self::Header { .. } => "E_HEADER",
            Self::Mailbox { .. } => "E_MAILBOX",
            Self::Local { .. } => "E_LOCAL",
            Self::Domain { .. } => "E_DOMAIN",
            Self::Control { .. } => "E_CONTROL",
            Self::Utf8 { .. } => "E_PCT_UTF8",
        }
    }

    /// Octets before the error.
    pub fn position(&self) -> usize {
        match *self {
            Self::Scheme => 0,
            Self::Char { at }
            | Self::Fragment { at }
            | Self::Header { at }
            | Self::Mailbox { at }
            | Self::Local { at }
            | Self::Domain { at, .. }
            | Self::Control { at }
            | Self::Utf8 { at } => at,
        }
    }

    pub(super) fn of_local(cause: TextError, at: usize) -> Self {
        match cause {
            TextError::Control { .. } => Self::Control { at },
            TextError::Empty | TextError::TooLong { .. } => Self::Local { at },
        }
    }
}
