//! What TLS told about a peer, as facts.

use crate::jid::Domain;

/// The domains that a peer's certificate proves, judged by the caller after the handshake.
///
/// RFC 6120 §13.7.1: only names of a certificate that is valid as a whole, by its chain, by DANE or by configuration, belong
/// here. An empty identity is that of a peer without certificate, or with one that proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    names: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Exact(Domain),
    /// One label stands before this.
    Under(Domain),
}

impl PeerIdentity {
    /// An identity that proves these names, such as `example.com` and `*.example.com`; what is no domain is left out.
    pub fn proving<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { names: names.into_iter().filter_map(Name::parse).collect() }
    }

    /// Whether the peer speaks for the domain.
    pub fn proves(&self, domain: &Domain) -> bool {
        self.names.iter().any(|name| name.covers(domain))
    }
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        // RFC 6125 §6.4.3: a wildcard is the whole leftmost label.
        match name.strip_prefix("*.") {
            // Nobody holds all of a top-level domain.
            Some(parent) if parent.contains('.') => Domain::parse(parent).ok().map(Self::Under),
            Some(_) => None,
            None => Domain::parse(name).ok().map(Self::Exact),
        }
    }

    fn covers(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(name) => name == domain,
            // RFC 6125 §6.4.3: it stands for exactly one label.
            Self::Under(parent) => domain.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: XST-009
    #[test]
    fn rfc6125_s6_4_3_a_wildcard_is_one_label() {
        let identity =
            PeerIdentity::proving(["Example.com", "*.example.org", "*.net", "f*o.example.net", "xn--strae-oqa.de"]);
        let proves = |domain| identity.proves(&Domain::parse(domain).unwrap());
        for domain in ["example.com", "a.example.org", "straße.de"] {
            assert!(proves(domain), "{domain}");
        }
        for domain in ["a.example.com", "example.org", "a.b.example.org", "a.net", "foo.example.net", "com"] {
            assert!(!proves(domain), "{domain}");
        }
        assert!(!PeerIdentity::default().proves(&Domain::parse("example.com").unwrap()));
    }
}
