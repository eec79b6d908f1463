//! JID and neutral address (RFC 7247 §6): here the localpart is escaped and enforced, there it is decoded text.

use std::borrow::Cow;

use impp_model::address::TextError;
use impp_model::domain::DomainError;
use impp_model::uri::percent_encode;
use impp_model::{Address, Cause, Device, Domain, Endpoint, Failure, Side};
use xmpp_proto::jid::{EdgeSpace, Jid, JidError, PartError, escape, unescape};

/// Why an address has no counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A space at an edge of the localpart, which XEP-0106 cannot express.
    #[error(transparent)]
    EdgeSpace(#[from] EdgeSpace),
    /// The parts make no valid JID.
    #[error(transparent)]
    Jid(#[from] JidError),
    /// A JID without localpart names a server, not an INSTANT INBOX or PRESENTITY.
    #[error("no localpart")]
    NoLocal,
    /// The localpart or resource holds what the model takes in no address.
    #[error("address part: {0}")]
    Text(#[from] TextError),
    /// The domainpart is no domain of the model.
    #[error("domain: {0}")]
    Domain(#[from] DomainError),
}

impl AddressError {
    /// What the sender of an operation to or from such an address is told.
    pub fn failure(&self) -> Failure {
        Failure::new(Side::Far, Cause::AddressMalformed).with_text(self.to_string())
    }

    /// The class that `address` reports when a foreign address does not map to a JID.
    pub fn class(&self) -> &'static str {
        match self {
            Self::EdgeSpace(_) => "edge-space",
            Self::Jid(JidError::Local(part) | JidError::Domain(part) | JidError::Resource(part)) => match part {
                PartError::TooLong { .. } => "length",
                PartError::Empty
                | PartError::Character { .. }
                | PartError::Bidi
                | PartError::Unstable
                | PartError::Label
                | _ => "precis",
            },
            Self::Text(TextError::TooLong { .. }) | Self::Domain(DomainError::TooLong) => "length",
            Self::Jid(_) | Self::NoLocal | Self::Text(_) | Self::Domain(_) => "precis",
        }
    }
}

/// The JID of an endpoint; its device becomes the resource.
pub fn to_jid(endpoint: &Endpoint) -> Result<Jid, AddressError> {
    let address = &endpoint.address;
    join(Some(address.local()), address.domain(), endpoint.device.as_ref().map(Device::as_str))
}

/// The JID of decoded parts; without a local part it is that of a domain.
pub fn join(local: Option<&str>, domain: &Domain, resource: Option<&str>) -> Result<Jid, AddressError> {
    // RFC 7247 §6.4: escape first, then enforce.
    let local = local.map(escape).transpose()?;
    Ok(Jid::from_parts(local.as_deref(), &domain.to_unicode(), resource)?)
}

/// The endpoint that a JID names; its resource becomes the device.
pub fn from_jid(jid: &Jid) -> Result<Endpoint, AddressError> {
    let (local, domain) = split(jid)?;
    let address = Address::new(&local.ok_or(AddressError::NoLocal)?, domain)?;
    let device = jid.resource().map(Device::new).transpose()?;
    Ok(Endpoint { address, device })
}

/// The decoded local part, if there is one, and the domain of a JID.
pub fn split(jid: &Jid) -> Result<(Option<Cow<'_, str>>, Domain), AddressError> {
    let local = jid.local().map(unescape).transpose()?;
    Ok((local, Domain::parse_host(jid.domain())?))
}

/// The `xmpp:` URI of an address (RFC 5122 §2.7.1), as `gone` and `redirect` carry it.
pub fn to_xmpp_uri(address: &Address) -> Result<String, AddressError> {
    let jid = join(Some(address.local()), address.domain(), None)?;
    let mut uri = String::with_capacity(jid.as_str().len() + 5);
    uri.push_str("xmpp:");
    if let Some(local) = jid.local() {
        percent_encode(local, is_nodeid, &mut uri);
        uri.push('@');
    }
    uri.push_str(address.domain().as_str());
    Ok(uri)
}

/// RFC 5122 §2.2: what stands in a `nodeid` as it is.
fn is_nodeid(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(local: &str, domain: &str, device: Option<&str>) -> Endpoint {
        let address = Address::new(local, Domain::parse_host(domain).unwrap()).unwrap();
        Endpoint { address, device: device.map(|d| Device::new(d).unwrap()) }
    }

    // checks: ADR-011, ADR-021, ADR-030
    #[test]
    fn rfc7247_s6_escapes_and_u_labels_stay_on_the_xmpp_side() {
        let cases = [
            ("o\\27malley\\40home@example.com/x y", endpoint("o'malley@home", "example.com", Some("x y"))),
            ("u@b\u{fc}cher.example", endpoint("u", "xn--bcher-kva.example", None)),
            ("u@[2001:db8::1]", endpoint("u", "[2001:db8::1]", None)),
            ("a\\5c27b@example.net", endpoint("a\\27b", "example.net", None)),
        ];
        for (text, endpoint) in cases {
            assert_eq!(to_jid(&endpoint).unwrap().as_str(), text);
            assert_eq!(from_jid(&Jid::parse(text).unwrap()).unwrap(), endpoint);
        }
    }

    // checks: ADR-012, ADR-033, ADR-036
    #[test]
    fn what_does_not_map_says_why() {
        let class = |e: Endpoint| to_jid(&e).unwrap_err().class();
        assert_eq!(class(endpoint("bob ", "example.net", None)), "edge-space");
        assert_eq!(class(endpoint("henry\u{2163}", "example.com", None)), "precis");
        assert_eq!(class(endpoint(&"\"".repeat(400), "example.com", None)), "length");
        let from = |text: &str| from_jid(&Jid::parse(text).unwrap());
        assert_eq!(from("example.com"), Err(AddressError::NoLocal));
        assert_eq!(from("\\20bob@example.com"), Err(AddressError::EdgeSpace(EdgeSpace)));
    }

    #[test]
    fn rfc5122_s2_7_1_a_uri_holds_escaped_octets() {
        let uri = |local| to_xmpp_uri(&endpoint(local, "other.example.net", None).address).unwrap();
        assert_eq!(uri("romeo"), "xmpp:romeo@other.example.net");
        assert_eq!(uri("o'malley"), "xmpp:o%5C27malley@other.example.net");
        assert_eq!(uri("\u{fc}"), "xmpp:%C3%BC@other.example.net");
    }
}
