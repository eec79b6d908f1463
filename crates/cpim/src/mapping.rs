//! Between message/cpim objects and the message operation (RFC 3860 §3.1, RFC 3922 §4), as pure functions.
//!
//! Protected objects are carried whole: [`seal`] and [`unseal`] take them into the model and out of it.
//!
//! ```
//! use cpim::mapping;
//! use impp_model::{Address, TransId};
//!
//! let octets = b"From: Romeo <im:romeo@example.net>\r\nTo: <im:juliet@example.com>\r\nSubject: Hi!\r\n\r\n\
//!     Content-Type: text/plain; charset=utf-8\r\n\r\nhello";
//! let im = |uri: &str| Address::from_im_uri(uri).ok();
//! let read = mapping::from_object(octets, im, TransId::from("t1")).unwrap();
//! assert_eq!(read.value.message.content.as_text(), Some("hello"));
//!
//! let written = mapping::to_object(&read.value, None).unwrap();
//! assert!(written.value.starts_with(b"From: <im:romeo@example.net>\r\n"));
//! ```

pub mod sealed; // RFC 3862 §5, RFC 3923 §8
mod word; // RFC 5438, RFC 3994

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use impp_model::{
    Address, Cause, Content, DateTime, Endpoint, Failure, InstantMessage, LangText, LanguageTag, Mapped, MaxForwards,
    MessageId, MessageOperation, OutOfBand, Receipts, Relation, Side, TransId,
};

use crate::chars::is_language_tag;
use crate::draft::Draft;
use crate::error::ParseError;
use crate::header::CoreHeader;
use crate::imdn::{self, Disposition, Dispositions, ImdnHeaders};
use crate::mailbox::Mailbox;
use crate::media::MediaType;
use crate::message::{Message, Requirement};
use crate::mime::{CONTENT_TYPE, Entity};
use crate::object::{Class, Package, SignedPolicy, Untranslatable};
use crate::profile::Profile;
use crate::write::{WriteError, representable};
pub use sealed::{SEAL, seal, unseal};
pub use word::{from_imdn, from_status, to_notification, to_status};

/// Why an object makes no message operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no defensible reading.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// It is signed or enveloped: only [`seal`] takes it.
    #[error(transparent)]
    Protected(Untranslatable),
    /// RFC 3862 §3.5: the recipient must understand it.
    #[error("the message requires {name}, which is not understood here")]
    Required {
        /// The name as the URN of RFC 3862 §7.2.
        name: String,
    },
    /// From or To holds a URI that names nobody here.
    #[error("{header}: the URI names nobody")]
    Address {
        /// `From` or `To`.
        header: &'static str,
    },
    /// RFC 3922 §4.2.9: text in another character set.
    #[error("the text is neither UTF-8 nor US-ASCII")]
    Charset,
    /// RFC 2046 §5.1: parts, which are nothing without the boundary in their Content-Type.
    #[error("content of several parts can't be translated: send one part")]
    Multipart,
    /// RFC 2045 §6: an encoding that is not known, or content that is not in it.
    #[error("the transfer encoding of the content can't be reversed")]
    Encoding,
}

impl Refusal {
    /// What the sender is told.
    pub fn failure(&self) -> Failure {
        let cause = match self {
            Self::Malformed(_) | Self::Protected(Untranslatable::Malformed(_)) => Cause::BadRequest,
            // SM-04: a translation would destroy the signature.
            Self::Protected(Untranslatable::Signed) | Self::Required { .. } => Cause::NotAcceptable,
            Self::Protected(Untranslatable::Opaque) | Self::Charset | Self::Encoding | Self::Multipart => {
                Cause::UnsupportedMedia
            }
            Self::Address { .. } => Cause::AddressMalformed,
        };
        Failure::new(Side::Near, cause).with_text(self.to_string())
    }
}

/// The object in `octets`, with or without MIME headers around it, when a translation may read it.
pub fn open(octets: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if !Package::begins(octets) {
        return Ok(Cow::Borrowed(octets));
    }
    match Package::parse(octets)?.translatable(SignedPolicy::Refuse) {
        Ok(object) => Ok(object),
        Err(Untranslatable::Malformed(error)) => Err(Refusal::Malformed(error)),
        Err(protected) => Err(Refusal::Protected(protected)),
    }
}

/// The operation that an object asks for. `address` reads a URI of From and To.
pub fn from_object(
    octets: &[u8],
    address: impl Fn(&str) -> Option<Address>,
    trans_id: TransId,
) -> Result<Mapped<MessageOperation>, Refusal> {
    let object = open(octets)?;
    let (message, _) = Message::interpret(&object, Profile::Gateway)?;
    check(&message)?;
    let (source, destination) = ends(&message, address)?;
    let imdn = ImdnHeaders::of(&message);
    let entity = message.content();
    let id = imdn.as_ref().and_then(|imdn| imdn.message_id.as_deref().map(MessageId::from));
    let read = InstantMessage {
        id: id.or_else(|| content_id(entity)),
        subjects: subjects(&message),
        sent: message.date_time(),
        receipts: imdn.as_ref().map(|imdn| receipts(imdn.wanted)).unwrap_or_default(),
        ..InstantMessage::new(content(entity)?)
    };
    let max_forwards = MaxForwards::INITIAL;
    let operation = MessageOperation { source, destination, max_forwards, trans_id, message: read };
    Ok(Mapped { dropped: lost(&message).collect(), ..Mapped::whole(operation) })
}

/// The fields of an object that no operation has a place for; who passes the object itself on loses none of them.
pub fn lost(message: &Message<'_>) -> impl Iterator<Item = &'static str> + use<> {
    let known = |header: &crate::Header<'_>| header.core().is_some() || header.namespace() == Some(imdn::NAMESPACE);
    let ignored = |core| message.headers().iter().any(|header| header.is_ignored() && header.core() == Some(core));
    let fields = [
        ("to", message.to().count() > 1),
        ("cc", message.cc().next().is_some()),
        ("formal_name", message.froms().chain(message.to()).any(|mailbox| mailbox.formal_name.is_some())),
        ("extensions", message.headers().iter().any(|header| !known(header))),
        ("subjects", ignored(CoreHeader::Subject)),
        ("sent", ignored(CoreHeader::DateTime)),
    ];
    fields.into_iter().filter_map(|(field, is_lost)| is_lost.then_some(field))
}

/// The two ends that From and the first To name.
pub fn ends(message: &Message<'_>, address: impl Fn(&str) -> Option<Address>) -> Result<(Endpoint, Endpoint), Refusal> {
    let end = |mailbox: Option<Mailbox<'_>>, header| {
        let named = mailbox.and_then(|mailbox| address(&mailbox.uri));
        named.map(Endpoint::bare).ok_or(Refusal::Address { header })
    };
    Ok((end(message.from(), "From")?, end(message.to().next(), "To")?))
}

/// Refuses what only the recipient itself could read: a gateway that translates is the recipient (RFC 3922 §4.2.7).
pub fn check(message: &Message<'_>) -> Result<(), Refusal> {
    let understood = |required: &Requirement<'_>| required.namespace == imdn::NAMESPACE;
    if let Some(required) = message.first_not_understood(understood) {
        let core = required.namespace == crate::namespace::CPIM;
        let name = if core { required.name.to_owned() } else { format!("{}#{}", required.namespace, required.name) };
        return Err(Refusal::Required { name });
    }
    match message.content().class() {
        Class::Plain => Ok(()),
        Class::Signed => Err(Refusal::Protected(Untranslatable::Signed)),
        Class::Opaque => Err(Refusal::Protected(Untranslatable::Opaque)),
    }
}

fn subjects(message: &Message<'_>) -> Vec<LangText> {
    let subjects = message.subjects().filter(|subject| !subject.text.is_empty());
    subjects
        .map(|subject| LangText { language: subject.language.map(LanguageTag::from), text: subject.text.into_owned() })
        .collect()
}

/// RFC 3922 §4.2.8: optional; the angle brackets are not part of it.
fn content_id(entity: &Entity<'_>) -> Option<MessageId> {
    let value = entity.value("Content-ID")?;
    let id = value.strip_prefix('<')?.strip_suffix('>')?;
    (!id.is_empty()).then(|| MessageId::from(id))
}

fn receipts(wanted: Dispositions) -> Receipts {
    Receipts {
        delivery: wanted.contains(Disposition::PositiveDelivery),
        display: wanted.contains(Disposition::Display),
        failure: wanted.contains(Disposition::NegativeDelivery),
        processing: wanted.contains(Disposition::Processing),
    }
}

fn content(entity: &Entity<'_>) -> Result<Content, Refusal> {
    let language = entity.value("Content-Language");
    let language = language.as_deref().and_then(|tags| tags.split(',').next()).map(str::trim);
    let language = language.filter(|tag| is_language_tag(tag)).map(LanguageTag::from);
    let value = entity.value(CONTENT_TYPE).unwrap_or_default();
    let media_type = MediaType::parse(&value).map(|media| media.essence().to_ascii_lowercase()).unwrap_or_default();
    if media_type.starts_with("multipart/") {
        return Err(Refusal::Multipart);
    }
    let octets = entity.decoded_body().ok_or(Refusal::Encoding)?;
    let octets = match media_type.starts_with("text/") {
        true => Bytes::from(entity.characters().ok_or(Refusal::Charset)?.into_owned()),
        false => Bytes::from(octets.into_owned()),
    };
    Ok(Content { media_type: media_type.into(), language, octets })
}

/// The object that carries a message operation; `now` stamps a message that asks for reports and has no time of its own.
///
/// # Errors
///
/// What RFC 3862 cannot express, such as a media type that is none.
pub fn to_object(operation: &MessageOperation, now: Option<&DateTime>) -> Result<Mapped<BytesMut>, WriteError> {
    let message = &operation.message;
    let text = message.content.media_type.starts_with("text/");
    let media: Cow<'_, str> = match text {
        true => format!("{}; charset=utf-8", message.content.media_type).into(),
        false => (&*message.content.media_type).into(),
    };
    let language = message.content.language.as_ref().map(LanguageTag::as_str);
    let language = language.filter(|tag| is_language_tag(tag)).map(|tag| ("Content-Language", tag));
    let body = if text { with_crlf(&message.content.octets) } else { Cow::Borrowed(&*message.content.octets) };
    let mut draft = Draft::with_content(&media, language.as_slice(), &body)?;
    draft.from = Some(Mailbox::new(operation.source.address.to_im_uri()));
    draft.to.push(Mailbox::new(operation.destination.address.to_im_uri()));
    draft.date_time.clone_from(&message.sent);
    draft.subjects = message.subjects.iter().filter_map(subject).collect();
    let asks = message.receipts.any();
    let id = message.id.as_ref().filter(|_| asks).map(MessageId::as_str);
    let asked = match (id, message.sent.as_ref().or(now)) {
        (Some(id), Some(sent)) => draft.request_imdn(id, dispositions(message.receipts), sent.clone()).is_ok(),
        (_, _) => false,
    };
    let text = message.content.as_text().unwrap_or_default();
    let named = |file: &OutOfBand| text.contains(&file.url);
    let lost = [
        ("source.device", operation.source.device.is_some()),
        ("destination.device", operation.destination.device.is_some()),
        ("thread", message.thread.is_some()),
        ("id", message.id.is_some() && !asked),
        ("receipts", asks && !asked),
        ("alternatives", !message.alternatives.is_empty()),
        ("hints", message.hints.any()),
        ("files", !message.files.iter().all(named)),
    ];
    let mut mapped = Mapped::without(draft.encode()?, lost);
    // The text says in words what they say in fields.
    mapped.degraded.extend(message.relations.iter().map(Relation::field));
    let odd = |subject: &LangText| subject.language.as_ref().is_some_and(|tag| !is_language_tag(tag.as_str()));
    mapped.degraded.extend(message.subjects.iter().any(odd).then_some("subjects"));
    mapped.degraded.extend((!message.files.is_empty() && message.files.iter().all(named)).then_some("files"));
    Ok(mapped)
}

/// A subject as its header holds it, with its language; `None` for one of spaces, which no header can hold.
pub fn subject(subject: &LangText) -> Option<(Option<String>, String)> {
    let language = subject.language.as_ref().map(LanguageTag::as_str).filter(|tag| is_language_tag(tag));
    let text = representable(&subject.text);
    (!text.is_empty()).then(|| (language.map(str::to_owned), text.to_owned()))
}

/// The reports that a sender who wants these receipts asks for (RFC 5438 §6.3).
pub fn dispositions(receipts: Receipts) -> Dispositions {
    let all = [
        (receipts.delivery, Disposition::PositiveDelivery),
        (receipts.failure, Disposition::NegativeDelivery),
        (receipts.processing, Disposition::Processing),
        (receipts.display, Disposition::Display),
    ];
    all.into_iter().filter_map(|(wanted, disposition)| wanted.then_some(disposition)).collect()
}

/// RFC 2046 §4.1.1: lines of text end with CR LF.
fn with_crlf(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    for (at, octet) in text.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let next = text.get(at + 1);
        let lone = match octet {
            b'\n' => before != Some(&b'\r'),
            b'\r' => next != Some(&b'\n'),
            _ => false,
        };
        if lone {
            out.extend_from_slice(text.get(copied..at).unwrap_or_default());
            out.extend_from_slice(b"\r\n");
            copied = at + 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(object: &str) -> Result<Mapped<MessageOperation>, Refusal> {
        from_object(object.as_bytes(), |uri| Address::from_im_uri(uri).ok(), TransId::from("t"))
    }

    fn with(headers: &str, content: &str) -> String {
        format!("From: Romeo <im:romeo@example.net>\r\nTo: <im:juliet@example.com>\r\n{headers}\r\n{content}")
    }

    const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\nhello";

    #[test]
    fn headers_that_say_nothing_are_listed() {
        let dropped = |headers: &str| {
            let mut dropped = read(&with(headers, TEXT)).unwrap().dropped;
            dropped.retain(|field| *field != "formal_name");
            dropped
        };
        assert_eq!(dropped("Subject:;lang=f_r x\r\n"), ["subjects"]);
        assert_eq!(dropped("DateTime: yesterday\r\n"), ["sent"]);
        let mut operation = read(&with("Subject: x\r\n", TEXT)).unwrap().value;
        operation.message.subjects[0].language = Some("f_r".into());
        assert_eq!(to_object(&operation, None).unwrap().degraded, ["subjects"]);
    }

    // checks: XM-05, XM-06, XM-07, CPX-001, CPX-002, CPX-003, CPX-004, CPX-005, CPM-001
    // checks: MF-52, REQ-4.1.1, REQ-4.1.2, REQ-4.1.6, REQ-4.1.10
    #[test]
    fn rfc3922_s4_1_a_message_makes_an_object() {
        let mut operation = read(&with("", TEXT)).unwrap().value;
        operation.source.device = impp_model::Device::new("balcony").ok();
        operation.message.id = Some("q1".into());
        operation.message.thread = Some("t1".into());
        let text = |language: Option<&str>, text: &str| LangText {
            language: language.map(LanguageTag::from),
            text: text.to_owned(),
        };
        operation.message.subjects = vec![text(None, "a\nb"), text(Some("cs"), "Ahoj!"), text(Some("x_y"), " ")];
        operation.message.content = Content::text("one\ntwo\r\n");
        let written = to_object(&operation, None).unwrap();
        assert_eq!(
            std::str::from_utf8(&written.value).unwrap(),
            "From: <im:romeo@example.net>\r\nTo: <im:juliet@example.com>\r\nSubject: a\\nb\r\nSubject:;lang=cs Ahoj!\r\n\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n"
        );
        assert_eq!(written.dropped, ["source.device", "thread", "id"]);
    }

    // checks: XM-08, XM-09, CPX-006, CPX-007, CPX-008, CPM-005, CPM-007, CPM-009
    #[test]
    fn rfc3922_s4_2_an_object_makes_a_message() {
        let headers = "To: <im:b@example.org>\r\ncc: <im:x@example.org>\r\nDateTime: 2004-08-13T13:40:00Z\r\n\
            Subject: Hi!\r\nSubject:;lang=cs Ahoj!\r\nNS: f <urn:f>\r\nf.x: y\r\n";
        let mapped =
            read(&with(headers, &TEXT.replace("\r\n\r\n", "\r\nContent-ID: <1@example.net>\r\n\r\n"))).unwrap();
        let message = mapped.value.message;
        assert_eq!(mapped.value.destination.address.to_string(), "juliet@example.com");
        assert_eq!(message.id.as_ref().map(MessageId::as_str), Some("1@example.net"));
        assert_eq!((message.subjects.len(), message.sent.is_some()), (2, true));
        assert_eq!(mapped.dropped, ["to", "cc", "formal_name", "extensions"]);
    }

    // checks: IMDN-001, MP-06, CPM-005, REQ-4.1.9
    #[test]
    fn rfc5438_s7_1_1_wishes_for_reports_come_and_go_with_the_id() {
        let headers = "NS: d <urn:ietf:params:imdn>\r\nd.Message-ID: m1\r\nDateTime: 2004-08-13T13:40:00Z\r\n\
            d.Disposition-Notification: positive-delivery, display\r\nRequire: d.Message-ID\r\n";
        let operation = read(&with(headers, TEXT)).unwrap().value;
        let wanted = Receipts { delivery: true, display: true, ..Receipts::default() };
        assert_eq!(
            (operation.message.id.as_ref().map(MessageId::as_str), operation.message.receipts),
            (Some("m1"), wanted)
        );
        let written = to_object(&operation, None).unwrap();
        assert_eq!(written.dropped, [""; 0]);
        let again = read(std::str::from_utf8(&written.value).unwrap()).unwrap().value;
        assert_eq!(again.message, operation.message);
        let unstamped =
            MessageOperation { message: InstantMessage { sent: None, ..operation.message.clone() }, ..operation };
        assert_eq!(to_object(&unstamped, None).unwrap().dropped, ["id", "receipts"], "a report names the time");
    }

    // checks: MF-47, MF-51, SM-03, SM-04, CPM-006, XM-08, XM-09, REQ-4.1.5, REQ-5.4.8
    #[test]
    fn rfc3922_s4_2_what_can_not_be_translated_is_refused() {
        let cause = |object: &str| read(object).unwrap_err().failure().cause;
        assert_eq!(cause(&with("NS: f <urn:f>\r\nRequire: f.a\r\n", TEXT)), Cause::NotAcceptable);
        assert_eq!(cause(&with("Require: Kanji\r\n", TEXT)), Cause::NotAcceptable);
        assert_eq!(cause(&with("", &TEXT.replace("utf-8", "iso-8859-1"))), Cause::UnsupportedMedia);
        let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\n--b--\r\n";
        assert_eq!(cause(&with("", signed)), Cause::NotAcceptable);
        assert_eq!(cause(signed), Cause::NotAcceptable);
        assert_eq!(cause("Content-Type: application/pkcs7-mime\r\n\r\nx"), Cause::UnsupportedMedia);
        assert_eq!(cause(&with("", TEXT).replace("im:juliet@", "tel:+1")), Cause::AddressMalformed);
        assert_eq!(cause("From: x\n"), Cause::BadRequest);
        let html = with("", &TEXT.replace("text/plain; charset=utf-8", "text/html; charset=iso-8859-1"));
        assert_eq!(cause(&html), Cause::UnsupportedMedia, "it would go on as what it is not");
        let parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b--\r\n";
        assert_eq!(read(&with("", parts)), Err(Refusal::Multipart));
        let image =
            read(&with("", "Content-Type: Image/PNG\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw==")).unwrap();
        assert_eq!(&*image.value.message.content.media_type, "image/png");
    }

    #[test]
    fn what_an_object_has_no_place_for_is_named() {
        let mut operation = read(&with("", TEXT)).unwrap().value;
        let file = |url: &str| OutOfBand { url: url.to_owned(), description: None };
        operation.message.files = vec![file("https://example.net/1")];
        operation.message.hints.no_store = true;
        operation.message.relations = vec![Relation::Retracts { id: MessageId::from("1") }];
        let written = to_object(&operation, None).unwrap();
        assert_eq!((written.dropped.as_slice(), written.degraded.len()), (&["hints", "files"][..], 1));
        operation.message.content = Content::text("see https://example.net/1");
        let written = to_object(&operation, None).unwrap();
        assert_eq!((written.dropped.as_slice(), written.degraded.last()), (&["hints"][..], Some(&"files")));
    }
}
