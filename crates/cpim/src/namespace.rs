//! RFC 3862 §3.4: namespaces of headers.

use std::fmt::Write as _;

use crate::chars;
use crate::error::{ErrorKind, Remedy};
use crate::uri::{self, UriShape};

/// The namespace of the core headers, and the default one of message/cpim.
// RFC 3862 §6 misprints it with a hyphen; §4, §7.1 and IANA have this.
pub const CPIM: &str = "urn:ietf:params:cpim-headers:";

/// One NS header: a prefix, or the default for names without one, and the URI it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceDeclaration<'a> {
    /// `None` changes the default namespace of the headers that follow.
    pub prefix: Option<&'a str>,
    /// Compared as a string.
    pub uri: &'a str,
}

/// What an NS value says, and where it is odd.
pub(crate) type Declared<'a> = (NamespaceDeclaration<'a>, Option<(ErrorKind, usize, Remedy)>);

/// Reads the value of an NS header.
pub(crate) fn parse_declaration(value: &str) -> Result<Declared<'_>, (ErrorKind, usize)> {
    let open = value.find('<').ok_or((ErrorKind::Namespace, value.len()))?;
    let (before, rest) = value.split_at_checked(open).ok_or((ErrorKind::Namespace, 0))?;
    let uri = rest.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let uri = uri.ok_or((ErrorKind::Namespace, value.len()))?;
    let (prefix, mut oddity) = match before.strip_suffix(' ') {
        _ if before.is_empty() => (None, None),
        Some(prefix) => (Some(prefix), None),
        // RFC 3862 §4.6: the grammar has no space there, every example has one; this is the grammar's form.
        None => (Some(before), Some((ErrorKind::Namespace, open, Remedy::AssumePrefix))),
    };
    if prefix.is_some_and(|prefix| !chars::is_name(prefix)) {
        return Err((ErrorKind::Namespace, 0));
    }
    match uri::shape(uri) {
        UriShape::Rfc2396 => {}
        UriShape::Rfc3986 => oddity = oddity.or(Some((ErrorKind::Uri, open + 1, Remedy::Rfc3986))),
        UriShape::Iri => return Err((ErrorKind::Uri, open + 1)),
        UriShape::Invalid(at) => return Err((ErrorKind::Uri, open + 1 + at)),
    }
    Ok((NamespaceDeclaration { prefix, uri }, oddity))
}

/// The namespace that a prefix stands for after these declarations; the last one of a prefix holds.
pub(crate) fn resolve<'a>(declared: &[NamespaceDeclaration<'a>], prefix: Option<&str>) -> Option<&'a str> {
    let found = declared.iter().rev().find(|declaration| declaration.prefix == prefix);
    match (found, prefix) {
        (Some(declaration), _) => Some(declaration.uri),
        (None, None) => Some(CPIM),
        (None, Some(_)) => None,
    }
}

/// RFC 3862 §7.2: the URN of a core header; characters that a URN cannot hold are percent-encoded.
pub fn header_urn(name: &str) -> String {
    let mut urn = CPIM.to_owned();
    for octet in name.bytes() {
        match octet {
            b'!' | b'$' | b'\'' | b'*' | b'+' | b'-' | b'_' => urn.push(char::from(octet)),
            _ if octet.is_ascii_alphanumeric() => urn.push(char::from(octet)),
            _ => write!(urn, "%{octet:02x}").unwrap_or_default(),
        }
    }
    urn
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-41, MF-42, MF-43, X-08
    #[test]
    fn rfc3862_s4_6_declarations() {
        let plain = parse_declaration("imdn <urn:ietf:params:imdn>").unwrap();
        assert_eq!(plain, (NamespaceDeclaration { prefix: Some("imdn"), uri: "urn:ietf:params:imdn" }, None));
        assert_eq!(parse_declaration("<urn:x:y>").unwrap().0.prefix, None);
        let (tight, oddity) = parse_declaration("imdn<urn:ietf:params:imdn>").unwrap();
        assert_eq!((tight, oddity), (plain.0, Some((ErrorKind::Namespace, 4, Remedy::AssumePrefix))));
        for (bad, error) in [
            ("p", (ErrorKind::Namespace, 1)),
            ("p <urn:x:y", (ErrorKind::Namespace, 10)),
            ("p <urn:x:y> z", (ErrorKind::Namespace, 13)),
            ("a.b <urn:x:y>", (ErrorKind::Namespace, 0)),
            ("p  <urn:x:y>", (ErrorKind::Namespace, 0)),
            ("p <headers/>", (ErrorKind::Uri, 3)),
            ("p <urn:x#y>", (ErrorKind::Uri, 8)),
        ] {
            assert_eq!(parse_declaration(bad).err(), Some(error), "{bad}");
        }
    }

    // checks: MF-40, MF-46, MF-47
    #[test]
    fn rfc3862_s3_4_the_last_declaration_of_a_prefix_holds() {
        let p = |prefix, uri| NamespaceDeclaration { prefix, uri };
        let declared = [p(Some("a"), "u:1"), p(None, "u:2"), p(Some("a"), "u:3")];
        assert_eq!(resolve(&declared, Some("a")), Some("u:3"));
        assert_eq!(resolve(&declared, None), Some("u:2"));
        assert_eq!(resolve(&declared, Some("b")), None);
        assert_eq!(resolve(&[], None), Some(CPIM));
    }

    // checks: MF-53, X-20, REQ-4.1.8
    #[test]
    fn rfc3862_s7_2_urns_of_headers() {
        assert_eq!(header_urn("From"), "urn:ietf:params:cpim-headers:From");
        assert_eq!(header_urn("a#&b"), "urn:ietf:params:cpim-headers:a%23%26b");
    }
}
