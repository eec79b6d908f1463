use std::{fmt, net::IpAddr};

use memchr::memchr_iter;

use crate::grammar::{self, Cursor};

/// A host name, an IPv4 address or a bracketed IPv6 address, as spelled (RFC 3261 §25.1 `host`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    /// Parses a whole text as host.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        Self::take(&mut cursor).filter(|_| cursor.is_done())
    }

    /// Takes the host at the cursor.
    ///
    /// Inside brackets only the characters are checked: RFC 5118 §4.10 asks to tolerate a colon too many. What is no
    /// address has no [`Host::ip`].
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        let start = *cursor;
        if cursor.eat(b'[') {
            let inside = cursor.take_while(|octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.'));
            return (inside.contains(':') && cursor.eat(b']')).then(|| Self(cursor.since(&start)));
        }
        let name = cursor.take_while(grammar::host_octet);
        let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && memchr_iter(b'.', name.as_bytes()).all(|at| name.as_bytes().get(at + 1) != Some(&b'.'));
        valid.then_some(Self(name))
    }

    /// As spelled, brackets of an IPv6 address included.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')) {
            Some(inside) => inside.parse().ok().map(IpAddr::V6),
            None => self.0.parse().ok().map(IpAddr::V4),
        }
    }

    /// Same name without regard to case, or same address.
    pub fn matches(&self, other: &Host<'_>) -> bool {
        self.0.eq_ignore_ascii_case(other.0) || (self.ip().is_some() && self.ip() == other.ip())
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: ADR-032, TOR-102, TOR-103, TOR-111
    #[test]
    fn names_and_addresses() {
        assert_eq!(Host::parse("192.0.2.1").unwrap().ip(), "192.0.2.1".parse().ok());
        assert_eq!(Host::parse("[2001:db8::10:5070]").unwrap().ip(), "2001:db8::10:5070".parse().ok());
        assert_eq!(Host::parse("[2001:db8:::192.0.2.1]").unwrap().ip(), None);
        assert!(Host::parse("[2001:DB8::0:1]").unwrap().matches(&Host::parse("[2001:db8::1]").unwrap()));
        for text in ["", ".a", "a..b", "-a", "2001:db8::10", "[]", "[192.0.2.1]", "[::1", "a b", "ä.example"] {
            assert!(Host::parse(text).is_none(), "{text}");
        }
    }
}
