//! message/cpim as it is (RFC 3862): the body of `POST /v1/messages`.

use super::{MAX_ID_LEN, MAX_SUBJECT_LEN, ObjectError, Refusal, bounded, parse_to};
use ::cpim::mapping::{self, sealed};
use ::cpim::{Message, Profile};
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Sealed, TransId};

/// Why octets are not an object that can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpimError {
    /// It makes no message operation.
    #[error(transparent)]
    Object(mapping::Refusal),
    /// From is another's.
    #[error("From is not the user of this token")]
    From,
    /// Several recipients: this call sends one message.
    #[error("one To, and no cc")]
    Recipients,
    /// Content that JSON events could not hold.
    #[error("the content is no text in UTF-8 or US-ASCII")]
    Content,
}

/// The operation that an object of the user `source` asks for; what is protected in one goes with it, whole.
pub fn from_cpim(source: Endpoint, octets: &[u8], trans_id: TransId) -> Result<MessageOperation, Refusal> {
    let refused = |error| Refusal::Cpim(error);
    if let Some(sealed) = sealed::from_body(::cpim::MEDIA_TYPE, None, octets) {
        return from_sealed(source, octets, sealed, trans_id);
    }
    let address = |uri: &str| parse_to(uri).ok();
    let read = mapping::from_object(octets, address, trans_id).map_err(|error| refused(CpimError::Object(error)))?;
    if read.dropped.iter().any(|field| matches!(*field, "to" | "cc")) {
        return Err(refused(CpimError::Recipients));
    }
    let mut operation = read.value;
    // CPM-003: who sends is known by the token.
    if operation.source.address != source.address {
        return Err(refused(CpimError::From));
    }
    operation.source = source;
    let message = &operation.message;
    bounded("imdn.Message-ID", message.id.as_ref().map(ToString::to_string), MAX_ID_LEN)?;
    for subject in &message.subjects {
        bounded("Subject", Some(subject.text.clone()), MAX_SUBJECT_LEN)?;
    }
    if std::str::from_utf8(&message.content.octets).is_err() || !is_text(&message.content) {
        return Err(refused(CpimError::Content));
    }
    Ok(operation)
}

/// The headers around protected content name its ends; nothing else of it is read (RFC 3862 §6).
fn from_sealed(
    source: Endpoint,
    octets: &[u8],
    sealed: Sealed,
    trans_id: TransId,
) -> Result<MessageOperation, Refusal> {
    let refused = |error| Refusal::Cpim(error);
    let malformed = |error: mapping::Refusal| refused(CpimError::Object(error));
    let (message, _) = Message::interpret(octets, Profile::Gateway).map_err(|error| malformed(error.into()))?;
    let (from, destination) = mapping::ends(&message, |uri| parse_to(uri).ok()).map_err(malformed)?;
    if message.to().count() > 1 || message.cc().next().is_some() {
        return Err(refused(CpimError::Recipients));
    }
    if from.address != source.address {
        return Err(refused(CpimError::From));
    }
    if sealed::unseal(&sealed).is_some_and(|entity| sealed::signed_document(entity).is_some()) {
        return Err(Refusal::Object(ObjectError::Presence));
    }
    let message = InstantMessage { sealed: Some(sealed), ..InstantMessage::new(Content::text("")) };
    Ok(MessageOperation { source, destination, max_forwards: MaxForwards::INITIAL, trans_id, message })
}

fn is_text(content: &Content) -> bool {
    let composite = |kind| content.media_type.starts_with(kind);
    !["multipart/", "message/", "image/", "audio/", "video/"].into_iter().any(composite)
}
