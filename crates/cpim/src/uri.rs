//! RFC 3862 §3.6: absolute URIs without fragment.

use crate::chars::is_uri_octet;

/// How text relates to the absolute URIs of RFC 2396.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UriShape {
    /// One of them.
    Rfc2396,
    /// One of RFC 3986, with brackets around an address.
    Rfc3986,
    /// An IRI: with characters beyond ASCII.
    Iri,
    /// None; the octet where it stops being one.
    Invalid(usize),
}

/// RFC 2396 §3: `scheme ":"` and at least one character of a URI; `%` before two hexadecimal digits.
pub(crate) fn shape(uri: &str) -> UriShape {
    let octets = uri.as_bytes();
    let Some(colon) = memchr::memchr(b':', octets) else { return UriShape::Invalid(0) };
    let (scheme, rest) = octets.split_at_checked(colon).unwrap_or((octets, &[]));
    if let Some(at) = bad_scheme(scheme) {
        return UriShape::Invalid(at);
    }
    if rest.len() < 2 {
        return UriShape::Invalid(octets.len());
    }
    let mut shape = UriShape::Rfc2396;
    for (at, &octet) in rest.iter().enumerate().skip(1) {
        if is_uri_octet(octet) {
            continue;
        }
        shape = match octet {
            b'%' if is_escape(rest.get(at + 1..at + 3)) => shape,
            b'[' | b']' if shape != UriShape::Iri => UriShape::Rfc3986,
            b'[' | b']' => UriShape::Iri,
            0x80.. => UriShape::Iri,
            _ => return UriShape::Invalid(colon + at),
        };
    }
    shape
}

fn bad_scheme(scheme: &[u8]) -> Option<usize> {
    let follows = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
    match scheme.split_first() {
        Some((first, rest)) if first.is_ascii_alphabetic() => {
            rest.iter().position(|&octet| !follows(octet)).map(|at| at + 1)
        }
        Some(_) | None => Some(0),
    }
}

fn is_escape(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-24
    #[test]
    fn rfc2396_s3_absolute_uris() {
        for good in ["im:a@example.com", "tel:+15550101", "urn:uuid:f81d", "im:tigger", "im:a%20b@example.com", "a:?"] {
            assert_eq!(shape(good), UriShape::Rfc2396, "{good}");
        }
        assert_eq!(shape("sip:a@[2001:db8::1]"), UriShape::Rfc3986);
        assert_eq!(shape("im:jürgen@example.com"), UriShape::Iri);
        for (bad, at) in [
            ("", 0),
            ("alice@example.com", 0),
            ("im:", 3),
            (":x", 0),
            ("1m:x", 0),
            ("i m:x", 1),
            ("im:a#x", 4),
            ("im:a b", 4),
            ("im:%4", 3),
            ("im:%zz", 3),
            ("im:<", 3),
        ] {
            assert_eq!(shape(bad), UriShape::Invalid(at), "{bad}");
        }
    }
}
