//! Protected objects: whole MIME entities for the model, and the bodies that carry them (RFC 3862 §5, RFC 3261 §23).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use impp_model::{Content, Sealed};

use crate::media::MediaType;
use crate::message::Message;
use crate::mime::{CONTENT_TYPE, Entity};
use crate::object::{Class, Package};
use crate::profile::Profile;

/// The scheme of protected MIME objects in the model: that of RFC 3923, whose elements hold the same octets.
pub const SEAL: &str = crate::e2e::NAMESPACE;

/// A protected object for the model: the whole entity with its MIME headers, octet for octet; `None` for a readable one.
///
/// A message/cpim around protected content is protected, too.
pub fn seal(entity: Bytes) -> Option<Sealed> {
    let parsed = Entity::parse(&entity).ok().filter(|parsed| class_within(parsed) != Class::Plain)?;
    let value = parsed.value(CONTENT_TYPE)?;
    let media_type: Arc<str> = MediaType::parse(&value)?.essence().to_ascii_lowercase().into();
    Some(Sealed { scheme: SEAL.into(), name: None, payload: Content { media_type, language: None, octets: entity } })
}

/// The entity with its MIME headers that was sealed; `None` for content of another scheme or form.
pub fn unseal(sealed: &Sealed) -> Option<&Bytes> {
    let object = &*sealed.scheme == SEAL && &*sealed.payload.media_type != XML;
    object.then_some(&sealed.payload.octets)
}

/// The class of an entity, or of what a message/cpim holds.
fn class_within(entity: &Entity<'_>) -> Class {
    if !entity.is(crate::MEDIA_TYPE) {
        return entity.class();
    }
    with_content(entity, |content| Some(content.class())).unwrap_or(Class::Plain)
}

/// The form of an `<e2e/>` element that holds no MIME object, and goes between XMPP networks as it is.
const XML: &str = "application/xml";

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
    let media = MediaType::parse(content_type)?;
    let class = Class::of(&media);
    if class == Class::Plain && !media.is(crate::MEDIA_TYPE) {
        return None;
    }
    // RFC 3261 §7.4: SIP carries octets, which MIME elsewhere has to be told.
    let opaque = class == Class::Opaque;
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
            part.and_then(|part| Entity::parse(part.octets).ok()).is_some_and(|part| part.is(crate::MEDIA_TYPE))
        }
        Class::Plain if entity.is(crate::MEDIA_TYPE) => {
            with_content(entity, |content| Some(content.class() != Class::Plain && is_closed(content))) == Some(true)
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

/// The presence document that is signed in an object, with its Content-Type: to look at, not to be taken for signed.
///
/// It stands there alone, or in a message/cpim (RFC 3923 §4.1, RFC 3922 §5.1).
pub fn signed_document(object: &[u8]) -> Option<(String, Bytes)> {
    let entity = Entity::parse(object).ok()?;
    if entity.class() == Class::Signed {
        return Package::parse(object).ok().and_then(|package| document_in(package.signed_part().ok()?.octets));
    }
    with_content(&entity, |content| (content.class() == Class::Signed).then(|| signed_document(content.octets())))?
}

fn document_in(part: &[u8]) -> Option<(String, Bytes)> {
    let entity = Entity::parse(part).ok()?;
    if entity.is(PRESENCE) {
        return of_entity(part);
    }
    with_content(&entity, |content| content.is(PRESENCE).then(|| of_entity(content.octets())))?
}

/// What a message/cpim entity holds; `None` for any other.
fn with_content<T>(entity: &Entity<'_>, read: impl FnOnce(&Entity<'_>) -> Option<T>) -> Option<T> {
    let object = entity.decoded_body().filter(|_| entity.is(crate::MEDIA_TYPE))?;
    let (message, _) = Message::interpret(&object, Profile::Gateway).ok()?;
    read(message.content())
}

/// RFC 3863 §5.1.
const PRESENCE: &str = "application/pidf+xml";

/// The Content-Type and the body of an entity, its transfer encoding reversed.
pub fn of_entity(octets: &[u8]) -> Option<(String, Bytes)> {
    let entity = Entity::parse(octets).ok()?;
    let content_type = entity.value(CONTENT_TYPE)?.into_owned();
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

    // checks: XE-02, XE-05
    #[test]
    fn rfc3923_s4_1_a_signed_presence_document_is_seen_alone_and_in_an_object() {
        let document = "Content-Type: application/pidf+xml\r\n\r\n<presence/>";
        let within = format!("Content-Type: message/cpim\r\n\r\nFrom: <im:a@b>\r\nTo: <im:c@d>\r\n\r\n{document}");
        let signed = |part: &str| {
            format!("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b\r\n\r\n--b--\r\n")
        };
        let around = within.replace(document, &signed(document));
        let found = Some(("application/pidf+xml".to_owned(), Bytes::from_static(b"<presence/>")));
        for object in [signed(document), signed(&within), around] {
            assert_eq!(signed_document(object.as_bytes()), found, "{object}");
        }
        let text = "Content-Type: text/plain\r\n\r\nhi";
        for object in [document, &within, text, &signed(text)] {
            assert_eq!(signed_document(object.as_bytes()), None, "{object}");
        }
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

    // checks: SM-01, SM-02, XE-04, XE-05, IM-20, REQ-2.5.1, REQ-2.5.3, REQ-5.4.7, REQ-5.4.9
    #[test]
    fn rfc3923_s8_protected_objects_are_kept_whole() {
        let signed = Bytes::from_static(b"content-TYPE: Multipart/Signed; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n");
        let sealed = seal(signed.clone()).unwrap();
        assert_eq!((&*sealed.payload.media_type, unseal(&sealed)), ("multipart/signed", Some(&signed)));
        assert_eq!(seal(Bytes::from_static(b"Content-Type: message/cpim\r\n\r\n")), None);
        assert_eq!(unseal(&Sealed { scheme: "urn:xmpp:omemo:2".into(), ..sealed }), None);
    }
}
