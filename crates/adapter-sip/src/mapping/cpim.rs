//! message/cpim in MESSAGE (RFC 3862, RFC 5438): read into the fields of a message, and written around one that wants word.

use super::content::{self, Body, ContentRefusal};
use super::{Mapped, message::is_language_tag};
use bytes::Bytes;
use cpim::imdn::{self, Disposition, Dispositions, ImdnRequest};
use cpim::mapping::{dispositions, subject};
use cpim::{Draft, Entity, Mailbox, Message, Profile};
use impp_model::datetime::DateTime;
use impp_model::{Endpoint, LangText, LanguageTag, MessageId, MessageOperation, Receipts, ReturnPath};
use sip_proto::header::MediaType;

/// The media type as peers write it.
pub const MEDIA_TYPE: &str = "message/cpim";

/// What the sender's object says beside its content.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Envelope {
    pub(super) id: Option<MessageId>,
    pub(super) subjects: Vec<LangText>,
    pub(super) sent: Option<DateTime>,
    pub(super) receipts: Receipts,
    pub(super) return_path: Option<ReturnPath>,
    /// It asks for word in a way that leaves nothing to refer to.
    pub(super) unanswerable: bool,
}

/// The object in a body, if it is sound and asks for nothing that is not understood.
///
/// Its From is not looked at: the request's own is the one that was proven (CPM-003).
pub(super) fn read(body: &[u8]) -> Result<Message<'_>, ContentRefusal> {
    let (message, deviations) = Message::interpret(body, Profile::Gateway).map_err(|_| ContentRefusal::Malformed)?;
    if !deviations.is_empty() {
        tracing::debug!(count = deviations.len(), "a message/cpim object is not by the letter");
    }
    // RFC 3862 §3.5: what is required and not understood forbids to process the message.
    let understood = |required: &cpim::Requirement<'_>| required.namespace == imdn::NAMESPACE;
    match message.first_not_understood(understood) {
        Some(_) => Err(ContentRefusal::MediaType),
        None => Ok(message),
    }
}

/// The media type of the entity inside.
pub(super) fn content_type(content: &Entity<'_>) -> String {
    // RFC 2045 §5.2: without a type it is plain text.
    content.value("Content-Type").map_or_else(|| impp_model::Content::TEXT.to_owned(), |value| value.into_owned())
}

/// The content of an object as a body would have it; signed and enveloped content as outside of one.
pub(super) fn body(message: &Message<'_>, language: Option<LanguageTag>) -> Result<Mapped<Body>, ContentRefusal> {
    let entity = message.content();
    let octets = Bytes::from(entity.decoded_body().ok_or(ContentRefusal::MediaType)?.into_owned());
    let own = entity.value("Content-Language").filter(|tag| is_language_tag(tag));
    let language = own.map(|tag| LanguageTag::from(&*tag)).or(language);
    let text = content_type(entity);
    let media = MediaType::parse(&text).map_err(|_| ContentRefusal::Malformed)?;
    content::from_body(&media, octets, language)
}

/// What an object says beside its content.
pub(super) fn envelope(message: &Message<'_>) -> Envelope {
    let subject = |subject: cpim::Subject<'_>| LangText {
        language: subject.language.filter(|tag| is_language_tag(tag)).map(LanguageTag::from),
        text: subject.text.into_owned(),
    };
    let mut out = Envelope {
        subjects: message.subjects().map(subject).filter(|subject| !subject.text.is_empty()).collect(),
        sent: message.date_time(),
        ..Envelope::default()
    };
    let headers = imdn::ImdnHeaders::of(message);
    out.id = headers.as_ref().and_then(|headers| headers.message_id.as_deref()).map(to_message_id);
    match ImdnRequest::of(message) {
        Ok(request) => {
            out.receipts = receipts(request.wanted);
            out.return_path = return_path(&request);
        }
        Err(_) => out.unanswerable = headers.is_some_and(|headers| !headers.wanted.is_empty()),
    }
    out
}

fn receipts(wanted: Dispositions) -> Receipts {
    Receipts {
        delivery: wanted.contains(Disposition::PositiveDelivery),
        display: wanted.contains(Disposition::Display),
        failure: wanted.contains(Disposition::NegativeDelivery),
        processing: wanted.contains(Disposition::Processing),
    }
}

/// What is left with a message for the day of a report.
pub fn return_path(request: &ImdnRequest) -> Option<ReturnPath> {
    serde_json::to_vec(request).ok().map(|octets| ReturnPath(octets.into()))
}

/// What [`envelope`] left with a message for the day of a report.
pub(super) fn request_of(path: &ReturnPath) -> Option<ImdnRequest> {
    serde_json::from_slice(&path.0).ok()
}

/// The Message-ID for an id, by which a notification names the message: the id itself where it is a token, else one that
/// leads back to it (RFC 5438 §6.3, CMP-021).
pub fn to_imdn_id(id: &MessageId) -> String {
    let is_token = !id.as_str().is_empty() && id.as_str().bytes().all(is_token_octet) && !id.as_str().starts_with(MADE);
    if is_token { id.as_str().to_owned() } else { format!("{MADE}{}", impp_model::hex(id.as_str().as_bytes())) }
}

/// The id behind a Message-ID.
pub fn to_message_id(imdn_id: &str) -> MessageId {
    let made = imdn_id.strip_prefix(MADE).and_then(unhex).and_then(|octets| String::from_utf8(octets).ok());
    made.map_or_else(|| MessageId::from(imdn_id), MessageId::from)
}

/// What made Message-IDs begin with.
const MADE: &str = "x-il-";

// RFC 3261 §25.1, RFC 5438 §10: token.
fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None }).collect()
}

/// The object for a message whose sender wants word; `None` for one that nobody could be told about, or that this form
/// can't hold. `now` stands for the time of sending where the message has none.
// CMP-025.
pub fn write(operation: &MessageOperation, now: &DateTime) -> Option<Bytes> {
    let message = &operation.message;
    let id = message.id.as_ref().filter(|_| message.receipts.any())?;
    let (media, octets) = content::to_body(&message.content);
    let mut headers = Vec::new();
    let language = message.content.language.as_ref().map(LanguageTag::as_str).filter(|tag| is_language_tag(tag));
    if let Some(language) = language {
        headers.push(("Content-Language", language));
    }
    let mut draft = Draft::with_content(&media, &headers, &octets).ok()?;
    draft.from = Some(mailbox(&operation.source));
    draft.to = vec![mailbox(&operation.destination)];
    draft.subjects.extend(message.subjects.iter().filter_map(subject));
    let sent = message.sent.clone().unwrap_or_else(|| now.clone());
    draft.request_imdn(&to_imdn_id(id), dispositions(message.receipts), sent).ok()?;
    draft.encode().ok().map(|octets| octets.freeze())
}

/// RFC 3862 §4.1, RFC 3860 §3.1: an end without its device.
pub(super) fn mailbox(end: &Endpoint) -> Mailbox<'static> {
    Mailbox::new(end.address.to_im_uri())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5438_s6_3_every_id_has_a_token_that_leads_back() {
        for id in ["34jk324j", "a b", "", "é<>", "x-il-6162"] {
            let imdn_id = to_imdn_id(&MessageId::from(id));
            assert!(imdn_id.bytes().all(is_token_octet) && !imdn_id.is_empty(), "{imdn_id}");
            assert_eq!(to_message_id(&imdn_id).as_str(), id);
        }
        assert_eq!(to_imdn_id(&MessageId::from("34jk324j")), "34jk324j");
        assert_eq!(to_message_id("x-il-zz").as_str(), "x-il-zz");
    }
}
