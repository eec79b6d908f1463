//! S/MIME objects as JSON has them (RFC 3862 §5, RFC 8551): nothing of them is read here, and nothing shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cpim::mapping::sealed;
use cpim::{Class, Entity, MediaType};
use impp_model::{Failure, InstantMessage, Sealed};

use super::Refusal;
use crate::wire::WholeObject;

/// Why an object of a request can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Nothing stands beside what only the addressee is to read.
    #[error("body must be empty beside it")]
    Body,
    /// RFC 2045 §6.8, without line ends.
    #[error("base64 of the standard alphabet, padded, is expected")]
    Base64,
    /// RFC 2045 §5.1.
    #[error("content_type is no media type")]
    ContentType,
    /// It hides nothing: its content goes as `body`, or it goes as message/cpim as it is.
    #[error("neither signed nor enveloped: send its content as body")]
    Readable,
    /// RFC 3923 §4.1.
    #[error("a presence document is no message")]
    Presence,
}

/// The protected object of a request, as a MIME entity.
pub(super) fn read(object: &WholeObject, body: &str) -> Result<Sealed, Refusal> {
    let refused = |error| Err(Refusal::Object(error));
    if !body.is_empty() {
        return refused(ObjectError::Body);
    }
    let Ok(octets) = STANDARD.decode(&object.base64) else { return refused(ObjectError::Base64) };
    // What becomes a header holds no line end.
    let media = Some(object.content_type.trim()).filter(|text| !text.chars().any(char::is_control));
    let Some((text, media)) = media.and_then(|text| Some((text, MediaType::parse(text)?))) else {
        return refused(ObjectError::ContentType);
    };
    // RFC 3923 §6.4: networks of text carry CMS only in the encoding that its sender gave it, and that was base64.
    let entity = match Class::of(&media) {
        Class::Opaque if !media.is("multipart/encrypted") => {
            sealed::entity(text, Some("base64"), lines(&STANDARD.encode(octets)).as_bytes())
        }
        Class::Opaque | Class::Signed | Class::Plain => sealed::entity(text, None, &octets),
    };
    if sealed::signed_document(&entity).is_some() {
        return refused(ObjectError::Presence);
    }
    sealed::seal(entity).ok_or(Refusal::Object(ObjectError::Readable))
}

/// RFC 2045 §6.8: lines of at most 76 characters.
fn lines(base64: &str) -> String {
    let mut out = String::with_capacity(base64.len() + base64.len() / 38 + 2);
    for (at, character) in base64.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            out.push_str("\r\n");
        }
        out.push(character);
    }
    out
}

/// The object that a message came as, or that only its addressee can read.
pub(super) fn write(message: &InstantMessage) -> Result<Option<WholeObject>, Failure> {
    let entity = match &message.sealed {
        Some(sealed) => Some(sealed::unseal(sealed).ok_or_else(|| sealed.refusal())?),
        None => message.object.as_ref(),
    };
    Ok(entity.and_then(|entity| {
        let entity = Entity::parse(entity).ok()?;
        Some(WholeObject {
            content_type: entity.value("Content-Type")?.into_owned(),
            base64: STANDARD.encode(entity.decoded_body()?),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{from_request, parse, to_event};
    use impp_model::{Cause, Endpoint, MessageOperation};

    const SIGNED: &str = "--b\r\nContent-Type: Message/CPIM\r\n\r\nFrom: <im:a@b>\r\n--b\r\n\
        Content-Type: application/pkcs7-signature\r\n\r\nsig\r\n--b--\r\n";

    fn send(content_type: &str, octets: &[u8], body: &str) -> Result<MessageOperation, Refusal> {
        let object = WholeObject { content_type: content_type.to_owned(), base64: STANDARD.encode(octets) };
        let json = serde_json::json!({"to": "b@example.com", "content_type": "x/y", "body": body, "object": object});
        let carol = Endpoint::bare("carol@native.example".parse().unwrap());
        from_request(carol, parse(json.to_string().as_bytes())?, "t1".into())
    }

    // checks: XE-04, XE-05, SM-01, SM-03, CMP-073, REQ-2.5.4, REQ-5.4.9
    #[test]
    fn rfc3862_s5_protected_objects_of_native_users_come_out_octet_for_octet() {
        let media = "multipart/signed; boundary=b; protocol=\"application/pkcs7-signature\"";
        let operation = send(media, SIGNED.as_bytes(), "").unwrap();
        let sealed = operation.message.sealed.as_ref().unwrap();
        assert_eq!(sealed::to_body(sealed), Some((media.to_owned(), SIGNED.into())));
        let cms: Vec<u8> = (0..=255).collect();
        let operation = send("application/pkcs7-mime; smime-type=enveloped-data", &cms, "").unwrap();
        let sealed = operation.message.sealed.as_ref().unwrap();
        assert_eq!(sealed::to_body(sealed).map(|(_, octets)| octets.to_vec()), Some(cms.clone()));
        assert!(
            cpim::e2e::wrap(&mut bytes::BytesMut::new(), sealed::unseal(sealed).unwrap()).is_ok(),
            "XML carries it"
        );
        let event = to_event(&operation, None).unwrap().event;
        assert_eq!(event.object.map(|object| STANDARD.decode(object.base64).unwrap()), Some(cms));
        assert_eq!((event.body.as_str(), event.content_type.as_str()), ("", "application/pkcs7-mime"));
    }

    // checks: XE-02, SM-04
    #[test]
    fn what_is_no_protected_message_is_refused() {
        let cause = |content_type: &str, octets: &str, body: &str| {
            let refusal = send(content_type, octets.as_bytes(), body).unwrap_err();
            (refusal.field().map(str::to_owned), refusal.to_failure().cause)
        };
        let object = Some("object".to_owned());
        assert_eq!(cause("multipart/signed; boundary=b", SIGNED, "hi"), (object.clone(), Cause::BadRequest));
        for bad in ["text", "", "a/b\r\nX: y", "multipart/signed\u{0}"] {
            assert_eq!(cause(bad, SIGNED, ""), (object.clone(), Cause::BadRequest), "{bad}");
        }
        assert_eq!(cause("text/plain", "hi", ""), (object.clone(), Cause::UnsupportedMedia));
        let presence = SIGNED.replace("Message/CPIM", "application/pidf+xml");
        assert_eq!(cause("multipart/signed; boundary=b", &presence, ""), (object, Cause::UnsupportedMedia));
        let json =
            r#"{"to":"b@c.example","content_type":"x/y","body":"","object":{"content_type":"x/y","base64":"*"}}"#;
        let carol = Endpoint::bare("carol@native.example".parse().unwrap());
        let refusal = from_request(carol, parse(json.as_bytes()).unwrap(), "t1".into()).unwrap_err();
        assert!(matches!(refusal, Refusal::Object(ObjectError::Base64)));
    }
}
