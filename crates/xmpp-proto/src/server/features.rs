//! Stream features between servers (RFC 6120 §4.3.2).

use bytes::BytesMut;
use strict_xml::{Element, XmlWriter};

use crate::ns;
use crate::sasl::EXTERNAL;

/// What the receiver offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// RFC 6120 §5.4.1; and whether it is required.
    pub(super) starttls: Option<Required>,
    /// RFC 6120 §6.4.1: the mechanism EXTERNAL.
    pub(super) external: bool,
    /// XEP-0220 §2.4.2: dialback, errors included.
    pub(super) dialback_errors: bool,
    /// XEP-0288 §2.1.
    pub(super) bidi: bool,
    /// XEP-0198 §3.
    pub(super) management: bool,
}

/// Whether a feature must be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Required(pub(super) bool);

impl Features {
    /// What is not known is left out.
    pub(super) fn read(element: &Element) -> Self {
        let mechanisms = element.child("mechanisms", ns::SASL);
        let mut names = mechanisms.into_iter().flat_map(|offer| offer.children_named("mechanism", ns::SASL));
        let dialback = element.child("dialback", ns::DIALBACK_FEATURE);
        Self {
            starttls: element.child("starttls", ns::TLS).map(|tls| Required(tls.child("required", ns::TLS).is_some())),
            external: names.any(|name| name.text().trim() == EXTERNAL),
            dialback_errors: dialback.is_some_and(|offer| offer.child("errors", ns::DIALBACK_FEATURE).is_some()),
            bidi: element.child("bidi", ns::BIDI_FEATURE).is_some(),
            management: element.child("sm", ns::MANAGEMENT).is_some(),
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        let mut xml = XmlWriter::new(out);
        xml.start("stream:features");
        if let Some(Required(required)) = self.starttls {
            xml.start("starttls").attr("xmlns", ns::TLS);
            if required {
                xml.start("required").end("required");
            }
            xml.end("starttls");
        }
        if self.external {
            xml.start("mechanisms").attr("xmlns", ns::SASL).start("mechanism").text(EXTERNAL).end("mechanism");
            xml.end("mechanisms");
        }
        if self.dialback_errors {
            xml.start("dialback").attr("xmlns", ns::DIALBACK_FEATURE).start("errors").end("errors").end("dialback");
        }
        if self.bidi {
            xml.start("bidi").attr("xmlns", ns::BIDI_FEATURE).end("bidi");
        }
        if self.management {
            xml.start("sm").attr("xmlns", ns::MANAGEMENT).end("sm");
        }
        xml.end("stream:features");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, Scope, parse_element};

    fn read(text: &[u8]) -> Features {
        let mut scope = Scope::with_default(ns::SERVER);
        scope.declare("stream", ns::STREAMS);
        let element = parse_element(text, &scope, &Limits::default()).unwrap();
        assert!(element.is("features", ns::STREAMS));
        Features::read(&element)
    }

    // checks: XST-003, BID-001, DBK-004
    #[test]
    fn rfc6120_s4_3_2_features_are_read_as_written() {
        let all = Features {
            starttls: Some(Required(true)),
            external: true,
            dialback_errors: true,
            bidi: true,
            management: true,
        };
        for features in [all, Features::default(), Features { starttls: Some(Required(false)), ..Features::default() }]
        {
            let mut out = BytesMut::new();
            features.write(&mut out);
            assert_eq!(read(&out), features);
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let features = read(
            b"<stream:features><x xmlns='y'/><dialback xmlns='urn:xmpp:features:dialback'/>\
              <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
              <sm xmlns='urn:xmpp:sm:2'/></stream:features>",
        );
        assert_eq!(features, Features::default());
    }
}
