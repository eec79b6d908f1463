//! RFC 7247 §6: SIP URIs as neutral addresses, and back.

use impp_model::{Address, Device, Domain, Endpoint, address::TextError};
use sip_proto::uri::{self, Scheme, SipUri, SipUriBuilder, Uri, UriError};

/// Why a URI names nobody that a message could go to or come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressRefusal {
    /// It is no URI, or not of the form its scheme demands.
    #[error("malformed URI")]
    BadUri,
    /// A scheme other than `sip`, `sips`, `im` and `pres`.
    #[error("unsupported URI scheme")]
    Scheme,
    /// Its escapes do not give UTF-8.
    #[error("escapes are not UTF-8")]
    Utf8,
    /// It names a host and no user.
    #[error("no user part")]
    NoUser,
    /// A part that no neutral address can hold.
    #[error("user part or gr: {0}")]
    Text(TextError),
}

impl AddressRefusal {
    /// The class as the command line names it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::BadUri | Self::NoUser => "bad-uri",
            Self::Scheme => "scheme",
            Self::Utf8 => "utf8",
            Self::Text(TextError::TooLong { .. }) => "length",
            Self::Text(_) => "precis",
        }
    }

    /// The status that tells a SIP sender (RFC 7247 §6.5, RFC 3261 §8.2.2.1).
    pub fn status(&self) -> u16 {
        match self {
            Self::BadUri => 400,
            Self::Scheme => 416,
            Self::Utf8 | Self::NoUser | Self::Text(_) => 404,
        }
    }
}

impl From<UriError> for AddressRefusal {
    fn from(error: UriError) -> Self {
        if error == UriError::Utf8 { Self::Utf8 } else { Self::BadUri }
    }
}

impl From<TextError> for AddressRefusal {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

/// Whom a `sip:`, `sips:`, `im:` or `pres:` URI names, with the device of its `gr` parameter.
///
/// Port, password, headers and all other parameters are left out (RFC 7247 §6.4).
pub fn from_sip_uri(text: &str) -> Result<Endpoint, AddressRefusal> {
    match Uri::parse(text)? {
        Uri::Sip(uri) => from_parsed(&uri),
        Uri::Other { scheme, .. } if scheme.eq_ignore_ascii_case("im") => {
            Address::from_im_uri(text).map(Endpoint::bare).map_err(|_| AddressRefusal::BadUri)
        }
        Uri::Other { scheme, .. } if scheme.eq_ignore_ascii_case("pres") => {
            Address::from_pres_uri(text).map(Endpoint::bare).map_err(|_| AddressRefusal::BadUri)
        }
        Uri::Other { .. } => Err(AddressRefusal::Scheme),
    }
}

fn from_parsed(uri: &SipUri<'_>) -> Result<Endpoint, AddressRefusal> {
    let user = uri.user_decoded().ok_or(AddressRefusal::NoUser)??;
    let domain = Domain::parse_host(uri.host.as_str()).map_err(|_| AddressRefusal::BadUri)?;
    // RFC 7247 §6.3: a gr without value is a temporary GRUU, which names no device for long.
    let device = match uri.gr().flatten() {
        Some(gr) => Some(Device::new(&uri::decode(gr)?)?),
        None => None,
    };
    Ok(Endpoint { address: Address::new(&user, domain)?, device })
}

/// The `sip:` URI of an end; its device becomes the `gr` parameter (RFC 7247 §6.5).
pub fn to_sip_uri(end: &Endpoint) -> String {
    let uri = SipUriBuilder::new(Scheme::Sip, Some(end.address.local()), end.address.domain().as_str());
    match &end.device {
        Some(device) => uri.param("gr", Some(device.as_str())).build(),
        None => uri.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> (String, Option<String>) {
        let end = from_sip_uri(uri).unwrap();
        (end.address.to_string(), end.device.map(|device| device.as_str().to_owned()))
    }

    // checks: ADR-010, ADR-015, ADR-016, ADR-017, URI-12, URI-13, REQ-5.4.4
    #[test]
    fn rfc7247_s6_3_a_gr_with_a_value_is_the_device() {
        assert_eq!(
            read("sip:foo@sip.example;transport=tcp;GR=a%2Fb%20c;lr"),
            ("foo@sip.example".into(), Some("a/b c".into()))
        );
        assert_eq!(read("sips:foo@sip.example:5061;gr"), ("foo@sip.example".into(), None));
        assert_eq!(read("sip:u:secret@Example.NET.?subject=x"), ("u@example.net".into(), None));
        assert_eq!(read("pres:juliet@example.com"), ("juliet@example.com".into(), None));
        let end = from_sip_uri("sip:f%C3%BC&x@xn--bcher-kva.example;gr=100%25").unwrap();
        assert_eq!(to_sip_uri(&end), "sip:f%C3%BC&x@xn--bcher-kva.example;gr=100%25");
    }

    // checks: ADR-036
    #[test]
    fn what_names_nobody_is_refused_by_class() {
        let class = |uri: &str| from_sip_uri(uri).unwrap_err().class();
        assert_eq!(class("http://example.net/u"), "scheme");
        assert_eq!(class("tel:+15551234567"), "scheme");
        assert_eq!(class("sip:a%2@example.net"), "bad-uri");
        assert_eq!(class("sip:example.net"), "bad-uri");
        assert_eq!(class("im:fred"), "bad-uri");
        assert_eq!(class("sip:a%FFb@example.net"), "utf8");
        assert_eq!(class("sip:a%00b@example.net"), "precis");
        assert_eq!(class(&format!("sip:{}@example.net", "a".repeat(1024))), "length");
        assert_eq!(class("sip:a@example.net;gr=%0A"), "precis");
    }
}
