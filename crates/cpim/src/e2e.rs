//! RFC 3923: protected objects inside XMPP stanzas.
//!
//! An `<e2e/>` element holds an S/MIME object as character data. XML parsers turn CR LF into LF there, so the gateway
//! restores the line ends when it takes the object out; otherwise every signature would fail.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memmem};
use strict_xml::{Element, SharedStr, is_xml_char};

use crate::mime::Entity;

/// The namespace of the element (RFC 3923 §3.1).
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-e2e";

/// Why an object cannot travel inside XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCarriable {
    /// Octets that are no UTF-8, or a character that XML 1.0 does not have; RFC 3923 §6.4 allows no re-encoding.
    #[error("octet {at} cannot stand in XML")]
    Character {
        /// Octets before it.
        at: usize,
    },
    /// Signed presence, which no message carries (RFC 3923 §4.1).
    #[error("the object is protected presence and no message")]
    Presence,
    /// A CMS object in binary form (RFC 8551 §3.3), which is no text whatever its octets.
    #[error("the object is in binary form")]
    Binary,
    /// A CR or LF of its own would come out as CR LF, and the signature would fail.
    #[error("the line end at octet {at} is not CR LF")]
    LineEnd {
        /// Octets before it.
        at: usize,
    },
}

/// The object inside an `<e2e/>` element, with its line ends restored.
///
/// ```
/// use cpim::e2e;
///
/// assert_eq!(e2e::restore_line_ends("Content-Type: message/cpim\n\nFrom: <im:a@example.com>\n").as_ref(),
///     b"Content-Type: message/cpim\r\n\r\nFrom: <im:a@example.com>\r\n");
/// ```
pub fn unwrap(element: &Element) -> Option<Bytes> {
    element.is("e2e", NAMESPACE).then(|| restore_line_ends(&element.text()))
}

/// Makes every LF that follows no CR a CR LF.
// RFC 3923 §6.4: the object in MIME's canonical form, which XML's line ends destroyed.
pub fn restore_line_ends(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + text.len() / 32);
    let mut rest = text.as_bytes();
    while let Some((line, after)) = memchr(b'\n', rest).and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) {
        out.put_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.put_slice(b"\r\n");
        rest = after;
    }
    out.put_slice(rest);
    out.freeze()
}

/// The `<e2e/>` element that holds the object; [`wrap`] writes it as RFC 3923 wants it.
///
/// # Errors
///
/// As for [`wrap`].
pub fn element(object: &[u8]) -> Result<Element, NotCarriable> {
    let text = carriable(object)?;
    Ok(Element::new("e2e", NAMESPACE).with_text(SharedStr::copy(text)))
}

/// The text of an object that comes out of XML as it went in.
fn carriable(object: &[u8]) -> Result<&str, NotCarriable> {
    if Entity::parse(object).is_ok_and(|entity| is_binary(&entity)) {
        return Err(NotCarriable::Binary);
    }
    let text = std::str::from_utf8(object).map_err(|error| NotCarriable::Character { at: error.valid_up_to() })?;
    if let Some((at, _)) = text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
        return Err(NotCarriable::Character { at });
    }
    if let Some(at) = lone_line_end(object) {
        return Err(NotCarriable::LineEnd { at });
    }
    Ok(text)
}

/// Appends an `<e2e/>` element that holds the object in a CDATA section (RFC 3923 §3.1).
///
/// # Errors
///
/// An object that could not be taken out again as it is; nothing is appended then.
pub fn wrap(out: &mut BytesMut, object: &[u8]) -> Result<(), NotCarriable> {
    let mut rest = carriable(object)?.as_bytes();
    out.put_slice(b"<e2e xmlns='");
    out.put_slice(NAMESPACE.as_bytes());
    out.put_slice(b"'><![CDATA[");
    // XML 1.0 §2.7: "]]>" ends a section, so it is split over two.
    while let Some((inside, after)) = memmem::find(rest, b"]]>").and_then(|at| rest.split_at_checked(at + 2)) {
        out.put_slice(inside);
        out.put_slice(b"]]><![CDATA[");
        rest = after;
    }
    out.put_slice(rest);
    out.put_slice(b"]]></e2e>");
    Ok(())
}

fn is_binary(entity: &Entity<'_>) -> bool {
    let cms = ["application/pkcs7-mime", "application/x-pkcs7-mime"].iter().any(|essence| entity.is(essence));
    cms && entity.value("Content-Transfer-Encoding").is_some_and(|it| it.trim().eq_ignore_ascii_case("binary"))
}

fn lone_line_end(octets: &[u8]) -> Option<usize> {
    let mut previous = b' ';
    for (at, &octet) in octets.iter().enumerate() {
        match (previous, octet) {
            (b'\r', b'\n') => {}
            (b'\r', _) => return Some(at - 1),
            (_, b'\n') => return Some(at),
            _ => {}
        }
        previous = octet;
    }
    (previous == b'\r').then(|| octets.len() - 1)
}

#[cfg(test)]
mod tests {
    use strict_xml::{Limits, Scope, parse_element};

    use super::*;

    fn carried(object: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        wrap(&mut out, object).unwrap();
        let element = parse_element(&out, &Scope::with_default("jabber:client"), &Limits::default()).unwrap();
        unwrap(&element).unwrap()
    }

    // checks: XE-01, XE-04, XE-05, XE-06
    #[test]
    fn rfc3923_s8_objects_come_out_as_they_went_in() {
        for object in
            ["", "a\r\n\r\nb\r\n", "]]>", "x]]]]>]]>y]]", "Content-Type: multipart/signed\r\n\r\n<&>\u{85}é\t", "\r\n"]
        {
            assert_eq!(carried(object.as_bytes()), object, "{object:?}");
        }
    }

    // checks: XE-06
    #[test]
    fn rfc3923_s6_4_what_xml_would_change_is_refused() {
        let refused = |object: &[u8]| wrap(&mut BytesMut::new(), object).unwrap_err();
        assert_eq!(refused(b"a\xff"), NotCarriable::Character { at: 1 });
        assert_eq!(refused(b"\0"), NotCarriable::Character { at: 0 });
        assert_eq!(refused("a\u{FFFE}".as_bytes()), NotCarriable::Character { at: 1 });
        assert_eq!(refused(b"a\nb"), NotCarriable::LineEnd { at: 1 });
        assert_eq!(refused(b"a\r\n\rb"), NotCarriable::LineEnd { at: 3 });
        assert_eq!(refused(b"a\r"), NotCarriable::LineEnd { at: 1 });
        assert_eq!(refused(b"\r\r\n"), NotCarriable::LineEnd { at: 0 });
        let cms = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: Binary\r\n\r\nMIIB";
        assert_eq!(refused(cms), NotCarriable::Binary);
    }

    // checks: XE-06
    #[test]
    fn rfc3923_s6_4_line_ends_are_restored() {
        assert_eq!(restore_line_ends("a\nb\r\n\n"), &b"a\r\nb\r\n\r\n"[..]);
        let other = Element::new("e2e", "urn:other").with_text("x");
        assert_eq!(unwrap(&other), None);
    }
}
