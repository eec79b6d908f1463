//! RFC 3923: protected objects that stanzas carry, whole in both directions.

use bytes::BytesMut;
use cpim::e2e::{self, NotCarriable};
use cpim::mapping::seal;
use cpim::mapping::sealed::signed_document;
use impp_model::{Cause, Failure, MessageOperation, Sealed, Side};
use strict_xml::{Element, Node, write_element};
use xmpp_proto::stanza;

use super::hops;
use super::message::Ends;

/// What the sender is told of an object that no stanza carries.
pub fn failure(error: NotCarriable) -> Failure {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text(error.to_string())
}

/// The object in a message, its line ends restored; `None` for a message without one, or whose object is none.
pub fn from_stanza(message: &stanza::Message) -> Option<Sealed> {
    message.payload("e2e", e2e::NAMESPACE).and_then(e2e::unwrap).and_then(seal)
}

/// Appends the stanza of a message around its protected object.
///
/// # Errors
///
/// As for [`envelop`].
pub(super) fn write(
    out: &mut BytesMut,
    ends: &Ends,
    id: &str,
    operation: &MessageOperation,
    object: &[u8],
) -> Result<(), NotCarriable> {
    // RFC 3923 §3.1: nothing stands beside the object but the marks of the gateways passed.
    let stanza = stanza::Message::new(stanza::MessageType::Normal);
    let stanza = stanza.with_from(ends.from.shared()).with_to(ends.to.shared()).with_id(id.to_owned());
    let passed = &operation.message.passed;
    let marks = (!passed.is_empty()).then(|| hops::to_element(operation.max_forwards, passed));
    let stanza = envelop(marks.into_iter().fold(stanza, stanza::Message::with_payload), object)?;
    encode(out, stanza.element(), &stanza.element().ns);
    Ok(())
}

/// The message with a protected object inside, whose own headers are in the object.
///
/// # Errors
///
/// Signed presence, and an object that XML would change: the signature would fail.
pub fn envelop(message: stanza::Message, object: &[u8]) -> Result<stanza::Message, NotCarriable> {
    if signed_document(object).is_some() {
        return Err(NotCarriable::Presence);
    }
    Ok(message.with_payload(e2e::element(object)?))
}

/// Appends a stanza where `default_ns` is the default namespace; a protected object inside stands in a CDATA section.
pub fn encode(out: &mut BytesMut, stanza: &Element, default_ns: &str) {
    let is_object = |child: &Node| matches!(child, Node::Element(child) if child.is("e2e", e2e::NAMESPACE));
    let Some(place) = stanza.children.iter().position(is_object) else {
        return write_element(out, stanza, default_ns);
    };
    let mut around = stanza.clone();
    let object = match around.children.remove(place) {
        Node::Element(child) => e2e::unwrap(&child),
        Node::Text(_) => None,
    };
    let mut inside = BytesMut::new();
    // RFC 3923 §3.1: in a CDATA section; what can't stand there is no object and goes as text.
    if object.is_none_or(|object| e2e::wrap(&mut inside, &object).is_err()) {
        return write_element(out, stanza, default_ns);
    }
    write_element(out, &around, default_ns);
    let end = format!("</{}>", stanza.name);
    let open = out.strip_suffix(end.as_bytes()).map(<[u8]>::len);
    match open {
        Some(open) => out.truncate(open),
        None => {
            out.truncate(out.len() - "/>".len());
            out.extend_from_slice(b">");
        }
    }
    out.extend_from_slice(&inside);
    out.extend_from_slice(end.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpim::mapping::unseal;
    use strict_xml::{Limits, Scope, parse_element};
    use xmpp_proto::ns;
    use xmpp_proto::stanza::{MessageType, Stanza};

    fn parse(text: &[u8]) -> stanza::Message {
        let element = parse_element(text, &Scope::with_default(ns::CLIENT), &Limits::default()).unwrap();
        let Ok(Stanza::Message(message)) = Stanza::from_element(element) else { panic!("no message") };
        message
    }

    // checks: XE-01, XE-04, XE-05, XE-06
    #[test]
    fn rfc3923_s3_1_an_object_travels_in_a_stanza_and_comes_out_octet_for_octet() {
        let object = "Content-Type: multipart/signed; boundary=b; micalg=sha-256;\r\n protocol=\"application/pkcs7-signature\"\
            \r\n\r\n--b\r\nContent-Type: Message/CPIM\r\n\r\nFrom: <im:a@example.com>\r\n\r\n]]>&<\r\n--b--\r\n";
        let sealed = seal(object.into()).unwrap();
        let message = stanza::Message::new(MessageType::Normal).with_from("a@example.com").with_to("b@example.net");
        let put = |message: &stanza::Message, sealed: &Sealed| {
            let mut out = BytesMut::new();
            encode(&mut out, envelop(message.clone(), unseal(sealed).unwrap()).unwrap().element(), ns::CLIENT);
            out
        };
        let out = put(&message, &sealed);
        let text = std::str::from_utf8(&out).unwrap();
        assert!(text.starts_with("<message from='a@example.com' to='b@example.net'><e2e xmlns="), "{text}");
        assert!(text.contains("<![CDATA[Content-Type"), "{text}");
        assert_eq!(from_stanza(&parse(&out)).as_ref(), Some(&sealed));
        let beside =
            message.clone().with_payload(strict_xml::Element::new("headers", "http://jabber.org/protocol/shim"));
        let read = parse(&put(&beside, &sealed));
        assert_eq!((from_stanza(&read), read.payloads().count()), (Some(sealed), 2));
        assert_eq!(
            from_stanza(&parse(b"<message><e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e></message>")),
            None
        );
        let binary = seal(b"Content-Type: application/pkcs7-mime\r\n\r\n\0"[..].into()).unwrap();
        assert!(matches!(envelop(message, unseal(&binary).unwrap()), Err(NotCarriable::Character { .. })));
    }

    // checks: XE-05
    #[test]
    fn rfc3923_s4_1_signed_presence_is_no_message() {
        let document = "Content-Type: application/pidf+xml\r\n\r\n<presence/>";
        let within = format!("Content-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\nTo: <im:c@d>\r\n\r\n{document}");
        for part in [document, &within] {
            let object =
                format!("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b\r\n\r\n--b--\r\n");
            let message = stanza::Message::new(MessageType::Normal);
            assert_eq!(envelop(message, object.as_bytes()), Err(NotCarriable::Presence));
        }
    }
}
