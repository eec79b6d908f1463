//! Request methods.

use std::fmt;

use crate::grammar;

/// A request method; case-sensitive (RFC 3261 §7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3428 §4.
    Message,
    /// RFC 6665 §3.1.
    Subscribe,
    /// RFC 6665 §3.2.
    Notify,
    /// RFC 3903 §4.
    Publish,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// RFC 6086.
    Info,
    /// Any other token, as spelled.
    Other(Box<str>),
}

impl Method {
    /// Every method this crate has a name for: what 405 rather than 501 is answered to (RFC 3261 §8.2.1).
    pub const KNOWN: [Self; 14] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::Register,
        Self::Message,
        Self::Subscribe,
        Self::Notify,
        Self::Publish,
        Self::Prack,
        Self::Update,
        Self::Refer,
        Self::Info,
    ];

    /// Reads a method; `None` when it is not a token.
    pub fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "MESSAGE" => Self::Message,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "PUBLISH" => Self::Publish,
            "PRACK" => Self::Prack,
            "UPDATE" => Self::Update,
            "REFER" => Self::Refer,
            "INFO" => Self::Info,
            other if grammar::is_token(other) => Self::Other(other.into()),
            _ => return None,
        })
    }

    /// The method as it is written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Message => "MESSAGE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Publish => "PUBLISH",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Info => "INFO",
            Self::Other(token) => token,
        }
    }

    /// Whether this crate has a name for the method.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn every_known_method_reads_back() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str()), Some(method.clone()));
            assert!(method.is_known());
        }
    }

    // checks: SIP-021
    #[test]
    fn rfc3261_s7_1_methods_are_case_sensitive_and_whole() {
        assert_eq!(Method::parse("message"), Some(Method::Other("message".into())));
        assert_eq!(Method::parse("MESSAGEX"), Some(Method::Other("MESSAGEX".into())));
        assert_eq!(Method::parse("MESS AGE"), None);
        assert_eq!(Method::parse(""), None);
    }
}
