//! message/cpim as it is (RFC 3862): the body of `POST /v1/messages`.

use super::{MAX_ID_LEN, MAX_SUBJECT_LEN, Refusal, bounded, parse_to};
use cpim::mapping;
use impp_model::{Content, Endpoint, MessageOperation, TransId};

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

/// The operation that an object of the user `source` asks for.
pub fn from_cpim(source: Endpoint, octets: &[u8], trans_id: TransId) -> Result<MessageOperation, Refusal> {
    let refused = |error| Refusal::Cpim(error);
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

fn is_text(content: &Content) -> bool {
    let composite = |kind| content.media_type.starts_with(kind);
    !["multipart/", "message/", "image/", "audio/", "video/"].into_iter().any(composite)
}
