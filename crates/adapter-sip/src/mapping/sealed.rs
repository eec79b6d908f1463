//! RFC 3261 §23, RFC 3862 §5: protected objects that requests carry as their body, whole in both directions.

use bytes::{Bytes, BytesMut};
use cpim::mapping::{seal, unseal};
use cpim::{Class, Entity, MediaType, Package};
use impp_model::Sealed;

/// The protected object in a body of this Content-Type; `None` for a body that may be read.
///
/// A signature over plain text is no such object: that text is shown without it (CMP-072).
pub fn from_body(content_type: &str, body: &[u8]) -> Option<Sealed> {
    let class = MediaType::parse(content_type).map(|media| Class::of(&media))?;
    let mut entity = BytesMut::with_capacity(content_type.len() + body.len() + 32);
    for part in [&b"Content-Type: "[..], content_type.as_bytes(), b"\r\n\r\n", body] {
        entity.extend_from_slice(part);
    }
    let entity = entity.freeze();
    let sealed = match class {
        Class::Plain => false,
        Class::Opaque => true,
        Class::Signed => {
            let package = Package::parse(&entity).ok()?;
            let part = package.signed_part().ok()?;
            Entity::parse(part.octets).is_ok_and(|part| part.is(cpim::MEDIA_TYPE))
        }
    };
    sealed.then(|| seal(entity)).flatten()
}

/// The Content-Type and the body that carry a protected object; `None` for content sealed otherwise.
///
/// A transfer encoding of the whole object is reversed: SIP carries octets (RFC 3261 §7.4).
pub fn to_body(sealed: &Sealed) -> Option<(String, Bytes)> {
    let octets = unseal(sealed)?;
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
            let sealed = from_body(media, body).unwrap();
            assert_eq!(to_body(&sealed), Some((media.to_owned(), Bytes::copy_from_slice(body))));
        }
        let text = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\r\n--b--\r\n";
        assert_eq!(from_body("multipart/signed; boundary=b", text), None, "the text may be shown");
        assert_eq!(from_body("text/plain", b"x"), None);
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
