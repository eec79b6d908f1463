//! RFC 3923: protected objects that stanzas carry, whole in both directions.

use bytes::BytesMut;
use cpim::e2e::{self, NotCarriable};
use cpim::mapping::{seal, unseal};
use cpim::{Entity, Package, Profile};
use impp_model::{Cause, Failure, MessageOperation, Sealed, Side};
use xmpp_proto::stanza;

use super::hops;

/// What the sender is told of an object that no stanza carries.
pub fn failure(error: NotCarriable) -> Failure {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text(error.to_string())
}

/// The object in a message, its line ends restored; `None` for a message without one, or whose object is none.
pub fn from_stanza(message: &stanza::Message) -> Option<Sealed> {
    message.payload("e2e", e2e::NAMESPACE).and_then(e2e::unwrap).and_then(seal)
}

/// Appends the stanza of a message as it goes over a link: as it was mapped, or around its protected object alone.
///
/// # Errors
///
/// As for [`encode`].
pub fn write(out: &mut BytesMut, mapped: &stanza::Message, operation: &MessageOperation) -> Result<(), NotCarriable> {
    match operation.message.sealed.as_ref().and_then(unseal) {
        // RFC 3923 §3.1: nothing stands beside the object.
        Some(object) => encode(out, &envelope(mapped, operation), object),
        None => {
            stanza::encode(out, mapped.element());
            Ok(())
        }
    }
}

/// The stanza around a protected object: its ends, its id and the marks of the gateways passed.
fn envelope(mapped: &stanza::Message, operation: &MessageOperation) -> stanza::Message {
    let attr = |name| mapped.element().attr(name).unwrap_or_default().to_owned();
    let out = stanza::Message::new(stanza::MessageType::Normal);
    let out = out.with_from(attr("from")).with_to(attr("to")).with_id(attr("id"));
    let passed = &operation.message.passed;
    if passed.is_empty() { out } else { out.with_payload(hops::to_element(operation.max_forwards, passed)) }
}

/// Appends a message with a protected object inside, whose own headers are in the object.
///
/// # Errors
///
/// Signed presence, and an object that XML would change: the signature would fail. Nothing is appended then.
pub fn encode(out: &mut BytesMut, message: &stanza::Message, object: &[u8]) -> Result<(), NotCarriable> {
    if holds_presence(object) {
        return Err(NotCarriable::Presence);
    }
    let mut inside = BytesMut::new();
    // RFC 3923 §3.1: in a CDATA section.
    e2e::wrap(&mut inside, object)?;
    stanza::encode(out, message.element());
    match out.strip_suffix(END).map(<[u8]>::len) {
        Some(open) => out.truncate(open),
        None => {
            out.truncate(out.strip_suffix(b"/>").map_or(out.len(), <[u8]>::len));
            out.extend_from_slice(b">");
        }
    }
    out.extend_from_slice(&inside);
    out.extend_from_slice(END);
    Ok(())
}

/// Whether what is signed is a presence document, alone or in a message/cpim (RFC 3923 §4.1, RFC 3922 §5.1).
fn holds_presence(object: &[u8]) -> bool {
    let Ok(package) = Package::parse(object) else { return false };
    let Ok(part) = package.signed_part() else { return false };
    let Ok(entity) = Entity::parse(part.octets) else { return false };
    let is_document = |entity: &Entity<'_>| entity.is("application/pidf+xml");
    is_document(&entity) || {
        let object = entity.decoded_body().filter(|_| entity.is(cpim::MEDIA_TYPE));
        let read = object.as_deref().and_then(|object| cpim::Message::interpret(object, Profile::Gateway).ok());
        read.is_some_and(|(read, _)| is_document(read.content()))
    }
}

const END: &[u8] = b"</message>";

#[cfg(test)]
mod tests {
    use super::*;
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
        let mut out = BytesMut::new();
        encode(&mut out, &message, unseal(&sealed).unwrap()).unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        assert!(text.starts_with("<message from='a@example.com' to='b@example.net'><e2e xmlns="), "{text}");
        assert!(text.contains("<![CDATA[Content-Type"), "{text}");
        assert_eq!(from_stanza(&parse(&out)).as_ref(), Some(&sealed));
        let beside =
            message.clone().with_payload(strict_xml::Element::new("headers", "http://jabber.org/protocol/shim"));
        let mut out = BytesMut::new();
        encode(&mut out, &beside, unseal(&sealed).unwrap()).unwrap();
        let read = parse(&out);
        assert_eq!((from_stanza(&read), read.payloads().count()), (Some(sealed), 2));
        assert_eq!(
            from_stanza(&parse(b"<message><e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e></message>")),
            None
        );
        let binary = seal(b"Content-Type: application/pkcs7-mime\r\n\r\n\0"[..].into()).unwrap();
        assert!(matches!(encode(&mut out, &message, unseal(&binary).unwrap()), Err(NotCarriable::Character { .. })));
    }

    // checks: XE-05
    #[test]
    fn rfc3923_s4_1_signed_presence_is_no_message() {
        let document = "Content-Type: application/pidf+xml\r\n\r\n<presence/>";
        let within = format!("Content-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\nTo: <im:c@d>\r\n\r\n{document}");
        for part in [document, &within] {
            let object =
                format!("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b\r\n\r\n--b--\r\n");
            let mut out = BytesMut::new();
            let message = stanza::Message::new(MessageType::Normal);
            assert_eq!(encode(&mut out, &message, object.as_bytes()), Err(NotCarriable::Presence));
            assert!(out.is_empty());
        }
    }
}
