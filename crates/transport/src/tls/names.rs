use impp_model::Domain;
use x509_parser::der_parser::asn1_rs::{Any, FromDer, Oid, oid};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

/// The names in a certificate that can stand for a domain; the common name never does.
///
/// What is malformed is left out: a name that cannot be read proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// `dNSName`, wildcards among them.
    dns: Vec<DnsName>,
    /// RFC 4985: service and domain of each SRVName, as `xmpp-server`.
    srv: Vec<(Box<str>, Domain)>,
    /// RFC 6120 §13.7.1.4: `id-on-xmppAddr` without local part.
    xmpp: Vec<Domain>,
    /// RFC 5922 §7.1: hosts of `sip:` URIs without user.
    sip: Vec<Domain>,
}

/// A `dNSName`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum DnsName {
    Exact(Domain),
    /// One label stands before this.
    Under(Domain),
}

/// id-on-dnsSRV (RFC 4985).
const SRV_NAME: Oid<'static> = oid!(1.3.6.1.5.5.7.8.7);

/// RFC 6120 §13.7.1.4.
const XMPP_ADDR: Oid<'static> = oid!(1.3.6.1.5.5.7.8.5);

/// RFC 6120 §13.7.1.2: the service of XMPP servers.
const XMPP_SERVER: &str = "xmpp-server";

impl CertificateNames {
    /// Reads the names out of a certificate in DER; none when it is no certificate.
    pub fn read(certificate: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Self::default() };
        Self::of(&certificate)
    }

    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let extensions = certificate.extensions().iter();
        for extension in extensions {
            if let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() {
                alternative.general_names.iter().for_each(|name| names.add(name));
            }
        }
        names
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum; the other names stand for no domain")]
    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns.extend(DnsName::parse(name)),
            GeneralName::URI(uri) => self.sip.extend(sip_domain(uri)),
            GeneralName::OtherName(oid, value) if *oid == SRV_NAME => {
                self.srv.extend(explicit_text(value).and_then(srv_name));
            }
            GeneralName::OtherName(oid, value) if *oid == XMPP_ADDR => {
                self.xmpp.extend(explicit_text(value).and_then(|address| Domain::parse_host(address).ok()));
            }
            _ => {}
        }
    }

    /// RFC 6120 §13.7.2: whether one of the names is `domain` as an XMPP server.
    pub fn prove_xmpp(&self, domain: &Domain) -> bool {
        self.xmpp.contains(domain)
            || self.srv.iter().any(|(service, name)| &**service == XMPP_SERVER && name == domain)
            || self.prove_host(domain)
    }

    /// RFC 5922 §7.1, §7.2: whether one of the names is `domain` as a SIP domain.
    pub fn prove_sip(&self, domain: &Domain) -> bool {
        if self.sip.is_empty() {
            // RFC 5922 §7.2: no wildcards.
            self.dns.iter().any(|name| matches!(name, DnsName::Exact(name) if name == domain))
        } else {
            self.sip.contains(domain)
        }
    }

    /// RFC 6125 §6.4: whether one of the DNS names is `domain`, wildcards included.
    pub fn prove_host(&self, domain: &Domain) -> bool {
        self.dns.iter().any(|name| name.covers(domain))
    }

    /// Whether any protocol takes one of the names for `domain`.
    pub fn contain(&self, domain: &Domain) -> bool {
        self.prove_xmpp(domain) || self.sip.contains(domain)
    }

    /// The domains that an XMPP server with this certificate may speak for, wildcards as `*.example.com`.
    pub fn xmpp_domains(&self) -> impl Iterator<Item = String> {
        let srv = self.srv.iter().filter(|(service, _)| &**service == XMPP_SERVER).map(|(_, name)| name);
        let exact = self.xmpp.iter().chain(srv).map(|name| name.as_str().to_owned());
        exact.chain(self.dns.iter().map(DnsName::to_text))
    }

    /// Every name, for people; each once.
    pub fn all(&self) -> Vec<String> {
        let others = self.srv.iter().map(|(service, name)| format!("_{service}.{name}"));
        let uris = self.sip.iter().map(|name| format!("sip:{name}"));
        let mut all: Vec<_> = self.dns.iter().map(DnsName::to_text).chain(uris).chain(others).collect();
        all.extend(self.xmpp.iter().map(|name| format!("xmpp:{name}")));
        all.dedup();
        all
    }
}

impl DnsName {
    fn parse(name: &str) -> Option<Self> {
        // RFC 6125 §6.4.3: a wildcard is the whole leftmost label.
        match name.strip_prefix("*.") {
            // Nobody holds all of a top-level domain.
            Some(parent) => Domain::parse(parent).ok().map(Self::Under),
            None => Domain::parse_host(name).ok().map(Self::Exact),
        }
    }

    fn covers(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(name) => name == domain,
            Self::Under(parent) => domain.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str()),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Exact(name) => name.as_str().to_owned(),
            Self::Under(parent) => format!("*.{parent}"),
        }
    }
}

/// RFC 5922 §7.1: of scheme `sip`, without user; port and parameters say nothing about the domain.
fn sip_domain(uri: &str) -> Option<Domain> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([';', '?']).next()?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit()) => host,
        Some(_) | None => host,
    };
    Domain::parse_host(host).ok()
}

/// The text in `[0] EXPLICIT`, of whichever string type.
fn explicit_text(value: &[u8]) -> Option<&str> {
    let (_, outer) = Any::from_der(value).ok()?;
    let (_, inner) = Any::from_der(outer.data).ok()?;
    std::str::from_utf8(inner.data).ok()
}

/// `_Service.Name`, as RFC 4985 has it.
fn srv_name(name: &str) -> Option<(Box<str>, Domain)> {
    let (service, name) = name.strip_prefix('_')?.split_once('.')?;
    Some((service.to_ascii_lowercase().into(), Domain::parse_host(name).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testkit::{Authority, San};

    fn names(sans: &[San<'_>]) -> CertificateNames {
        CertificateNames::read(Authority::new("CA").issue(sans).certificate())
    }

    fn domain(name: &str) -> Domain {
        Domain::parse_host(name).unwrap()
    }

    // checks: XST-009
    #[test]
    fn rfc6120_s13_7_1_srv_names_xmpp_addresses_and_dns_names_count() {
        let names = names(&[
            San::Dns("a.example"),
            San::Dns("*.wild.example"),
            San::Dns("*.example"),
            San::Srv("_xmpp-server.b.example"),
            San::Srv("_xmpp-client.client.example"),
            San::Xmpp("straße.example"),
            San::Xmpp("user@c.example"),
            San::Uri("xmpp:d.example"),
        ]);
        for proven in ["a.example", "A.EXAMPLE", "x.wild.example", "b.example", "xn--strae-oqa.example"] {
            assert!(names.prove_xmpp(&domain(proven)), "{proven}");
        }
        for other in
            ["wild.example", "x.y.wild.example", "other.example", "client.example", "c.example", "d.example", "example"]
        {
            assert!(!names.prove_xmpp(&domain(other)), "{other}");
        }
        let domains: Vec<_> = names.xmpp_domains().collect();
        assert_eq!(domains, ["xn--strae-oqa.example", "b.example", "a.example", "*.wild.example"]);
    }

    // checks: TLS-001, TLS-002, TLS-003
    #[test]
    fn rfc5922_s7_1_uris_of_sip_go_before_dns_names() {
        let both = names(&[San::Uri("sip:A.example:5061;transport=tls"), San::Dns("dns.example")]);
        assert!(both.prove_sip(&domain("a.example")));
        assert!(!both.prove_sip(&domain("dns.example")));
        let others = [San::Uri("sips:s.example"), San::Uri("sip:alice@u.example"), San::Uri("http://w.example/")];
        let mut sans = others.to_vec();
        sans.extend([San::Dns("dns.example"), San::Dns("*.wild.example")]);
        let dns = names(&sans);
        assert!(dns.prove_sip(&domain("dns.example")));
        for other in ["s.example", "u.example", "w.example", "x.wild.example", "sub.dns.example", "*.wild.example"] {
            assert!(Domain::parse_host(other).is_err() || !dns.prove_sip(&domain(other)), "{other}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert_eq!(CertificateNames::read(b"no certificate"), CertificateNames::default());
        assert_eq!(names(&[San::Dns("a b"), San::Srv("xmpp-server.a.example")]), CertificateNames::default());
    }
}
