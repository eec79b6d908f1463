//! Hop count and gateways passed, which XMPP has no place for, as stanza headers (XEP-0131).

use bytes::BytesMut;
use impp_model::{MaxForwards, Passed};
use strict_xml::{Element, Limits, Scope, XmlWriter, parse_element};
use xmpp_proto::stanza::Message;

/// XEP-0131 §5.
const SHIM: &str = "http://jabber.org/protocol/shim";

/// RFC 3261 §20.22 gives the name and the meaning.
const MAX_FORWARDS: &str = "Max-Forwards";

/// Ours; the same name and value as in SIP.
const PASSED: &str = "Interlingua-Passed";

/// The two headers of a stanza, where it has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    max_forwards: Option<String>,
    passed: Option<String>,
}

/// Reads the headers of a stanza; of several with one name the first counts.
pub(crate) fn headers(message: &Message) -> Headers {
    let Some(list) = message.payload("headers", SHIM) else { return Headers::default() };
    let named = |name: &str| {
        let header = list.elements().find(|child| child.name == *"header" && child.attr("name") == Some(name));
        header.map(|header| header.text().into_owned())
    };
    Headers { max_forwards: named(MAX_FORWARDS), passed: named(PASSED) }
}

/// The hop count; without one, and never above, what a source without hop count begins with.
pub(crate) fn max_forwards(headers: &Headers) -> MaxForwards {
    let count = headers.max_forwards.as_deref().and_then(|text| text.trim().parse().ok());
    count.map_or(MaxForwards::INITIAL, |count| MaxForwards(count).min(MaxForwards::INITIAL))
}

/// The marks of the gateways passed.
pub(crate) fn passed(headers: &Headers) -> Passed {
    headers.passed.as_deref().map_or_else(Passed::default, Passed::parse)
}

/// Appends both headers.
pub(crate) fn write(xml: &mut XmlWriter<'_>, max_forwards: MaxForwards, passed: &Passed) {
    xml.start("headers").attr("xmlns", SHIM);
    xml.start("header").attr("name", MAX_FORWARDS).text(&max_forwards.0.to_string()).end("header");
    xml.start("header").attr("name", PASSED).text(&passed.to_string()).end("header");
    xml.end("headers");
}

/// Both headers for a stanza.
pub(crate) fn to_element(max_forwards: MaxForwards, passed: &Passed) -> Element {
    let mut octets = BytesMut::new();
    write(&mut XmlWriter::new(&mut octets), max_forwards, passed);
    parse_element(&octets, &Scope::new(), &Limits::default()).expect("constants and digits are sound XML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Address, Domain, Mark};
    use xmpp_proto::stanza::MessageType;

    fn message(headers: Element) -> Message {
        Message::new(MessageType::Normal).with_payload(headers)
    }

    // checks: IM-15
    #[test]
    fn xep0131_s5_hop_count_and_marks_come_back() {
        let mut marks = Passed::default();
        let address = |text: &str| Address::parse_bare(text).unwrap();
        let gateway = Domain::parse_host("gw.example").unwrap();
        marks.pass(Mark::of(&gateway, &address("a@one.example"), &address("b@two.example"))).unwrap();
        let read = headers(&message(to_element(MaxForwards(17), &marks)));
        assert_eq!((max_forwards(&read), passed(&read)), (MaxForwards(17), marks));
    }

    #[test]
    fn what_is_no_count_counts_as_none_and_nobody_gets_more_hops_than_the_first() {
        let count = |text: &str| {
            let header = Element::new("header", SHIM).with_attr("name", MAX_FORWARDS).with_text(text.to_owned());
            max_forwards(&headers(&message(Element::new("headers", SHIM).with_child(header))))
        };
        assert_eq!(count("0"), MaxForwards(0));
        for text in ["", "-1", "255", "70000", "x"] {
            assert_eq!(count(text), MaxForwards::INITIAL, "{text}");
        }
        assert_eq!(max_forwards(&headers(&Message::new(MessageType::Normal))), MaxForwards::INITIAL);
    }
}
