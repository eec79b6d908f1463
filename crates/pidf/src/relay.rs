//! Documents that are passed on.

use crate::error::ParseError;
use crate::read::{Parsed, parse, parse_as};

/// A presence document on its way through: the octets that came, to be sent on as they are.
///
/// RFC 3863 §4 and RFC 3859 §3.3: who carries a document neither interprets nor changes it, for signatures and elements
/// he does not know depend on every octet. The view copies nothing and accepts everything; only who has to translate
/// reads.
///
/// ```
/// let octets = b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@example.com'><!-- hi --></presence>";
/// let view = pidf::RelayView::new(octets, Some("application/pidf+xml"));
/// assert_eq!(view.octets(), octets);
/// assert_eq!(view.read()?.presence.entity, "pres:a@example.com");
/// # Ok::<(), pidf::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayView<'a> {
    octets: &'a [u8],
    content_type: Option<&'a str>,
}

impl<'a> RelayView<'a> {
    /// Looks at a document, sound or not, and the Content-Type it came with.
    pub fn new(octets: &'a [u8], content_type: Option<&'a str>) -> Self {
        Self { octets, content_type }
    }

    /// The document, to be passed on.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The Content-Type, to be passed on; it may name the encoding.
    pub fn content_type(&self) -> Option<&'a str> {
        self.content_type
    }

    /// What the document says, for a translation.
    pub fn read(&self) -> Result<Parsed, ParseError> {
        match self.content_type {
            Some(media_type) => parse_as(self.octets, media_type),
            None => parse(self.octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-24, INV-01
    #[test]
    fn rfc3863_s4_octets_are_never_changed() {
        for octets in [&b""[..], b"\xFF\xFE<\0", b"<!DOCTYPE x><x>&bomb;</x>", b"<presence>\r\n<unclosed"] {
            let view = RelayView::new(octets, Some("text/html"));
            assert_eq!((view.octets(), view.content_type()), (octets, Some("text/html")));
            assert!(view.read().is_err());
        }
    }
}
