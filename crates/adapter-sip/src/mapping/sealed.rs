//! RFC 3261 §23, RFC 3862 §5: protected objects that requests carry as their body, whole in both directions.

use bytes::{Bytes, BytesMut};
use cpim::mapping::{seal, unseal};
use cpim::{Class, Entity, MediaType, Message, Package, Profile};
use impp_model::Sealed;

/// The MIME entity that a body of this Content-Type is, octet for octet.
pub fn entity(content_type: &str, encoding: Option<&str>, body: &[u8]) -> Bytes {
    let mut entity = BytesMut::with_capacity(content_type.len() + body.len() + 64);
    let encoding = encoding.map(|encoding| ["\r\nContent-Transfer-Encoding: ", encoding]);
    for part in ["Content-Type: ", content_type].into_iter().chain(encoding.into_iter().flatten()) {
        entity.extend_from_slice(part.as_bytes());
    }
    entity.extend_from_slice(b"\r\n\r\n");
    entity.extend_from_slice(body);
    entity.freeze()
}

/// The protected object in a body of this Content-Type; `None` for a body that may be read.
///
/// A signature over plain text is no such object: that text is shown without it (CMP-072).
pub fn from_body(content_type: &str, encoding: Option<&str>, body: &[u8]) -> Option<Sealed> {
    // RFC 3261 §7.4: SIP carries octets, which MIME elsewhere has to be told.
    let opaque = MediaType::parse(content_type).map(|media| Class::of(&media) == Class::Opaque)?;
    let entity = entity(content_type, encoding.or(opaque.then_some("binary")), body);
    let sealed = is_closed(&Entity::parse(&entity).ok()?);
    sealed.then(|| seal(entity)).flatten()
}

/// Whether nothing of an entity may be shown: it is enveloped, or a signed message/cpim, perhaps within message/cpim.
fn is_closed(entity: &Entity<'_>) -> bool {
    match entity.class() {
        Class::Opaque => true,
        Class::Signed => {
            let part = Package::parse(entity.octets()).ok().and_then(|package| package.signed_part().ok());
            part.and_then(|part| Entity::parse(part.octets).ok()).is_some_and(|part| part.is(cpim::MEDIA_TYPE))
        }
        Class::Plain if entity.is(cpim::MEDIA_TYPE) => {
            let object = entity.decoded_body();
            let message = object.as_deref().and_then(|object| Message::interpret(object, Profile::Gateway).ok());
            message.is_some_and(|(message, _)| {
                let content = message.content();
                content.class() != Class::Plain && is_closed(content)
            })
        }
        Class::Plain => false,
    }
}

/// The Content-Type and the body that carry a protected object; `None` for content sealed otherwise.
///
/// A transfer encoding of the whole object is reversed: SIP carries octets (RFC 3261 §7.4).
pub fn to_body(sealed: &Sealed) -> Option<(String, Bytes)> {
    of_entity(unseal(sealed)?)
}

/// The Content-Type and the body of an entity, its transfer encoding reversed.
pub fn of_entity(octets: &[u8]) -> Option<(String, Bytes)> {
    let entity = Entity::parse(octets).ok()?;
    let content_type = entity.value("Content-Type")?.into_owned();
    Some((content_type, Bytes::from(entity.decoded_body()?.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = b"--b\r\nContent-Type: Message/CPIM\r\n\r\nFrom: <im:a@b>\r\n--b\r\n\
        Content-Type: application/pkcs7-signature\r\n\r\nsig\r\n--b--\r\n";

    // checks: SM-01, SM-03, CMP-071, CMP-072, XE-04, XE-05, IM-18, XE-10, IM-21, REQ-2.5.4, REQ-5.4.6
    #[test]
    fn rfc3862_s5_protected_objects_pass_octet_for_octet() {
        for (media, body) in [("multipart/signed; boundary=b", SIGNED), ("application/pkcs7-mime", b"\0\xff")] {
            let sealed = from_body(media, None, body).unwrap();
            assert_eq!(to_body(&sealed), Some((media.to_owned(), Bytes::copy_from_slice(body))));
        }
        let text = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\r\n--b--\r\n";
        assert_eq!(from_body("multipart/signed; boundary=b", None, text), None, "the text may be shown");
        for (content, sealed) in [("application/pkcs7-mime", true), ("text/plain", false)] {
            let object = format!("From: <im:a@b>\r\nTo: <im:c@d>\r\n\r\nContent-Type: {content}\r\n\r\nMIIB");
            let found = from_body("message/cpim", None, object.as_bytes());
            assert_eq!(found.as_ref().and_then(to_body), sealed.then(|| ("message/cpim".to_owned(), object.into())));
        }
        assert_eq!(from_body("text/plain", None, b"x"), None);
    }

    // checks: MF-04
    #[test]
    fn rfc3862_s7_1_an_encoding_of_the_whole_is_reversed() {
        let entity =
            b"Content-Type: application/pkcs7-mime;\r\n smime-type=x\r\nContent-Transfer-Encoding: base64\r\n\r\nAP8=";
        let sealed = seal(Bytes::from_static(entity)).unwrap();
        let (media, body) = to_body(&sealed).unwrap();
        assert_eq!((media.as_str(), &*body), ("application/pkcs7-mime; smime-type=x", &b"\0\xff"[..]));
    }
}
