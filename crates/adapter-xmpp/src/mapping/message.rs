//! Message stanzas and the message operation (RFC 7572, RFC 3922).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use cpim::e2e::NotCarriable;
use cpim::mapping::sealed::{signed_document, unseal};
use impp_model::{
    Cause, Content, DateTime, Failure, InstantMessage, LangText, LanguageTag, MessageId, MessageOperation, OutOfBand,
    Receipts, Relation, Side, Thread, TransId,
};
use strict_xml::{Element, Limits, Scope, XmlWriter, is_xml_text, parse_element};
use xmpp_proto::jid::{Jid, JidError};
use xmpp_proto::{ns, stanza};

use super::address::{AddressError, from_jid, to_jid};
use super::annotation::{self, Encryption};
use super::{Mapped, e2e, hops, signal, xhtml};

/// Why a message stanza is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// XEP-0114 §3: both addresses are on every stanza.
    #[error("no {attribute} on the stanza")]
    NoAddress {
        /// `from` or `to`.
        attribute: &'static str,
    },
    /// An address that is none.
    #[error("{attribute}: {error}")]
    Malformed {
        /// `from` or `to`.
        attribute: &'static str,
        /// What is wrong.
        error: JidError,
    },
    /// A valid address that no other network can name.
    #[error("{attribute}: {error}")]
    Unmappable {
        /// `from` or `to`.
        attribute: &'static str,
        /// What is wrong.
        error: AddressError,
    },
    /// A room's message, to somebody who is in no room.
    #[error("groupchat messages are for rooms")]
    Groupchat,
    /// RFC 3923 §3.1: a message holds message/cpim.
    #[error("the protected object is presence and no message")]
    Presence,
}

impl Refusal {
    /// What the sender is told.
    pub fn failure(&self) -> Failure {
        let cause = match self {
            Self::NoAddress { .. } | Self::Presence => Cause::BadRequest,
            Self::Malformed { .. } | Self::Unmappable { .. } => Cause::AddressMalformed,
            // RFC 6121 §8.5.2.1.1.
            Self::Groupchat => Cause::ServiceUnavailable,
        };
        Failure::new(Side::Near, cause).with_text(self.to_string())
    }
}

/// The sender and addressee of a stanza.
pub fn addresses(message: &stanza::Message) -> Result<(Jid, Jid), Refusal> {
    let parse = |attribute, value: Option<&str>| {
        let text = value.ok_or(Refusal::NoAddress { attribute })?;
        Jid::parse(text).map_err(|error| Refusal::Malformed { attribute, error })
    };
    Ok((parse("from", message.from())?, parse("to", message.to())?))
}

/// The operation that a message stanza asks for; `None` when there is nothing to deliver.
///
/// Errors and stanzas that say nothing of their own deliver nothing: wrappers of forwarded messages, and what is no message
/// but about messages (`signal`).
pub fn from_stanza(
    message: &stanza::Message,
    from: &Jid,
    to: &Jid,
    trans_id: TransId,
) -> Result<Option<Mapped<MessageOperation>>, Refusal> {
    match message.kind() {
        // RFC 6120 §8.3.1: an error is no message and gets no answer.
        stanza::MessageType::Error => return Ok(None),
        stanza::MessageType::Groupchat => return Err(Refusal::Groupchat),
        stanza::MessageType::Chat | stanza::MessageType::Headline | stanza::MessageType::Normal => {}
    }
    let sealed = match annotation::encryption(message) {
        Some(Encryption::Content(sealed)) => Some(sealed),
        Some(Encryption::KeysOnly) => return Ok(None),
        None => None,
    };
    if sealed.as_ref().and_then(unseal).is_some_and(|object| signed_document(object).is_some()) {
        return Err(Refusal::Presence);
    }
    let (relations, files) = (annotation::relations(message), annotation::files(message));
    let (content, others) = match contents(message) {
        Some(contents) => contents,
        // CMP-060: a link without a body says the same.
        None if !files.is_empty() => (Content::text(links(&files)), Vec::new()),
        None if speaks_without_body(&relations) || sealed.is_some() => (Content::text(""), Vec::new()),
        None => return Ok(None),
    };
    let source = from_jid(from).map_err(|error| Refusal::Unmappable { attribute: "from", error })?;
    let destination = from_jid(to).map_err(|error| Refusal::Unmappable { attribute: "to", error })?;
    let headers = hops::headers(message);
    let lost = lost(message, &others);
    let message = InstantMessage {
        id: message.id().filter(|id| !id.is_empty()).map(MessageId::from),
        thread: message.thread().map(|thread| Thread::from(thread.id.as_str())),
        subjects: subjects(message),
        sent: message.delay().and_then(|delay| DateTime::parse(delay.stamp).ok()),
        receipts: signal::receipts(message),
        alternatives: others,
        relations,
        hints: annotation::hints(message),
        files,
        sealed,
        passed: hops::passed(&headers),
        ..InstantMessage::new(content)
    };
    let max_forwards = hops::max_forwards(&headers);
    let operation = MessageOperation { source, destination, max_forwards, trans_id, message };
    Ok(Some(Mapped::without(operation, lost)))
}

/// What a stanza with text says that the operation does not.
fn lost(message: &stanza::Message, others: &[Content]) -> [(&'static str, bool); 6] {
    let bodies = message.bodies().filter(|body| !body.text.is_empty()).count();
    let told = others.iter().filter(|other| *other.media_type == *Content::TEXT).count() + usize::from(bodies > 0);
    let unread = |payload: &Element| !annotation::is_read(payload);
    [
        ("alternatives", told < bodies),
        ("composing", message.payloads().any(|payload| payload.ns == *ns::CHAT_STATES)),
        ("extensions", message.payloads().any(unread)),
        ("thread.parent", message.thread().is_some_and(|thread| thread.parent.is_some())),
        ("sent", message.delay().is_some_and(|delay| DateTime::parse(delay.stamp).is_err())),
        ("type", message.kind() == stanza::MessageType::Headline),
    ]
}

/// What a stanza needs beside the operation.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The stanza's id, as [`stanza_id`] gives it.
    pub id: &'a str,
    /// The gateway's domain, which delayed the message if anybody did.
    pub gateway: &'a str,
    /// The wall clock, against which a delay is told.
    pub now: SystemTime,
}

/// Why an operation can't be written as a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritable {
    /// The sender has no JID.
    #[error("sender: {0}")]
    Source(AddressError),
    /// The addressee has no JID.
    #[error("addressee: {0}")]
    Destination(AddressError),
    /// No part of the content is text.
    #[error("no text in the message")]
    NoText,
    /// It is sealed by a scheme that has no stanza.
    #[error("end-to-end encrypted content of this scheme cannot be carried")]
    Sealed,
    /// Its protected object goes into no stanza.
    #[error(transparent)]
    Object(NotCarriable),
    /// Its stanza is beyond what a stanza may be for the reader of this gateway.
    #[error("the stanza cannot be read")]
    Unreadable,
}

impl Unwritable {
    /// What the sender is told.
    pub fn failure(&self) -> Failure {
        let cause = match self {
            Self::Source(_) | Self::Destination(_) => Cause::AddressMalformed,
            Self::NoText => Cause::UnsupportedMedia,
            Self::Object(error) => return e2e::failure(*error),
            Self::Sealed | Self::Unreadable => Cause::NotAcceptable,
        };
        Failure::new(Side::Near, cause).with_text(self.to_string())
    }
}

/// The id of the stanza for an operation: the sender's own, else one that a repeat of the operation gets again.
pub fn stanza_id(operation: &MessageOperation) -> Cow<'_, str> {
    // RFC 5438 §6.3: reports name a message by its sender's id.
    operation.carried_id()
}

/// Who a written stanza is from and to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The sender.
    pub from: Jid,
    /// The addressee.
    pub to: Jid,
}

/// Appends the stanza for an operation as it goes over a link; `None`, and nothing, when it says nothing that a stanza would
/// show. A protected object (RFC 3923) stands in it alone.
pub fn write(
    out: &mut BytesMut,
    operation: &MessageOperation,
    stamp: Stamp<'_>,
) -> Result<Option<Mapped<Ends>>, Unwritable> {
    let from = to_jid(&operation.source).map_err(Unwritable::Source)?;
    let to = to_jid(&operation.destination).map_err(Unwritable::Destination)?;
    let message = &operation.message;
    // CMP-070: the stand-in alone would say nothing.
    if message.sealed.as_ref().is_some_and(|sealed| !annotation::SEALS.contains(&&*sealed.scheme)) {
        return Err(Unwritable::Sealed);
    }
    let bodies = bodies(message)?;
    let empty = bodies.texts.iter().all(|body| body.text.is_empty());
    // RFC 3428 §9: an empty MESSAGE is no instant message.
    if empty && !speaks_without_body(&message.relations) && message.sealed.is_none() {
        return Ok(None);
    }
    let language = message.content.language.as_ref().map(LanguageTag::as_str);
    let (subjects, poorer) = one_per_language(&message.subjects, language);
    // CMP-021: what reports name must be the id that the sender gave.
    let named = message.id.as_ref().is_some_and(|id| id.as_str() == stamp.id);
    let changed = |text: &str| !is_xml_text(text);
    let subjects_differ = poorer || message.subjects.iter().any(|it| changed(&it.text));
    let mut degraded = bodies.degraded.clone();
    degraded.extend(subjects_differ.then_some("subjects"));
    degraded.extend(message.content.as_text().is_some_and(changed).then_some("content"));
    let dropped = losses(message, named, bodies.dropped.clone());
    let ends = Ends { from, to };
    match message.sealed.as_ref().and_then(unseal) {
        Some(object) => e2e::write(out, &ends, stamp.id, operation, object).map_err(Unwritable::Object)?,
        None => write_plain(out, &ends, operation, stamp, named, (&subjects, &bodies)),
    }
    Ok(Some(Mapped { value: ends, degraded, dropped }))
}

/// Appends the stanza of a message without a protected object.
fn write_plain(
    out: &mut BytesMut,
    ends: &Ends,
    operation: &MessageOperation,
    stamp: Stamp<'_>,
    named: bool,
    (subjects, bodies): (&[&LangText], &Bodies<'_>),
) {
    let message = &operation.message;
    let language = message.content.language.as_ref().map(LanguageTag::as_str);
    let mut xml = XmlWriter::new(out);
    // RFC 7572 §5: no type, which means normal.
    xml.start("message").attr("from", ends.from.as_str()).attr("to", ends.to.as_str()).attr("id", stamp.id);
    xml.attr_opt("xml:lang", language);
    // A child says its language only where it differs from the stanza's.
    let mut text = |name: &str, own: Option<&str>, text: &str| {
        xml.start(name).attr_opt("xml:lang", own.filter(|tag| Some(*tag) != language)).text(text).end(name);
    };
    for subject in subjects {
        text("subject", subject.language.as_ref().map(LanguageTag::as_str), &line_feeds(&subject.text));
    }
    for body in bodies.texts.iter().filter(|body| !body.text.is_empty()) {
        text("body", body.language, &line_feeds(&body.text));
    }
    if let Some(thread) = &message.thread {
        text("thread", None, thread.as_str());
    }
    if let Some(html) = &bodies.html {
        xml.element(html, ns::CLIENT);
    }
    if !message.passed.is_empty() {
        hops::write(&mut xml, operation.max_forwards, &message.passed);
    }
    if let Some(sent) = message.sent.as_ref().and_then(|sent| delay(sent, stamp.now)) {
        xml.start("delay")
            .attr("xmlns", ns::DELAY)
            .attr("from", stamp.gateway)
            .attr("stamp", sent.as_str())
            .end("delay");
    }
    let beside = stanza::Message::new(stanza::MessageType::Normal);
    let beside = signal::ask(beside, if named { message.receipts } else { Receipts::default() });
    for payload in annotation::write(beside, message).element().elements() {
        xml.element(payload, ns::CLIENT);
    }
    xml.end("message");
}

/// The stanza that [`write()`] writes, as it would be read.
pub fn to_stanza(
    operation: &MessageOperation,
    stamp: Stamp<'_>,
) -> Result<Option<Mapped<stanza::Message>>, Unwritable> {
    let mut out = BytesMut::new();
    let Some(Mapped { degraded, dropped, .. }) = write(&mut out, operation, stamp)? else { return Ok(None) };
    let roomy = Limits::default().with_bytes(usize::MAX).with_depth(usize::MAX).with_attributes(usize::MAX);
    let element = parse_element(&out, &Scope::with_default(ns::CLIENT), &roomy);
    match element.map(stanza::Stanza::from_element) {
        Ok(Ok(stanza::Stanza::Message(value))) => Ok(Some(Mapped { value, degraded, dropped })),
        Ok(_) | Err(_) => Err(Unwritable::Unreadable),
    }
}

/// RFC 6121 §5.2.4: the first subject of each language, and whether there are more; one without has the `stanza`'s.
fn one_per_language<'a>(subjects: &'a [LangText], stanza: Option<&str>) -> (Vec<&'a LangText>, bool) {
    let mut kept: Vec<&LangText> = Vec::new();
    let key = |subject: &LangText| {
        let own = subject.language.as_ref().map(LanguageTag::as_str);
        own.or(stanza).map(str::to_ascii_lowercase)
    };
    for subject in subjects {
        if kept.iter().all(|known| key(known) != key(subject)) {
            kept.push(subject);
        }
    }
    let poorer = kept.len() < subjects.len();
    (kept, poorer)
}

/// Whether a message is complete without text: reactions and retractions are.
fn speaks_without_body(relations: &[Relation]) -> bool {
    relations.iter().any(|relation| matches!(relation, Relation::Reacts { .. } | Relation::Retracts { .. }))
}

fn links(files: &[OutOfBand]) -> String {
    files.iter().map(|file| file.url.as_str()).collect::<Vec<_>>().join("\n")
}

/// XEP-0203: only what was really delayed is stamped; half a minute is what clocks and slow links differ by.
const MIN_DELAY: Duration = Duration::from_secs(60);

struct Body<'a> {
    language: Option<&'a str>,
    text: Cow<'a, str>,
}

struct Bodies<'a> {
    texts: Vec<Body<'a>>,
    html: Option<Element>,
    degraded: Vec<&'static str>,
    dropped: Vec<&'static str>,
}

/// HTML's media type.
const HTML: &str = "text/html";

fn bodies(message: &InstantMessage) -> Result<Bodies<'_>, Unwritable> {
    let mut out = Bodies { texts: Vec::new(), html: None, degraded: Vec::new(), dropped: Vec::new() };
    for content in std::iter::once(&message.content).chain(&message.alternatives) {
        let language = content.language.as_ref().map(LanguageTag::as_str);
        let utf8 = std::str::from_utf8(&content.octets);
        match (&*content.media_type, utf8) {
            (Content::TEXT, Ok(text)) if out.texts.iter().all(|body| body.language != language) => {
                out.texts.push(Body { language, text: text.into() });
            }
            (HTML, Ok(html)) if out.html.is_none() => {
                let content = xhtml::sanitize(&xhtml::parse(html));
                if out.texts.is_empty() {
                    // XEP-0071: formatted content never stands without a plain body.
                    out.texts.push(Body { language, text: xhtml::to_text(&content).into() });
                }
                out.html = Some(xhtml::wrap(content));
                out.degraded.push("alternatives");
            }
            _ => out.dropped.push("alternatives"),
        }
    }
    out.dropped.dedup();
    if out.texts.is_empty() { Err(Unwritable::NoText) } else { Ok(out) }
}

fn losses(message: &InstantMessage, named: bool, mut dropped: Vec<&'static str>) -> Vec<&'static str> {
    // An error stanza tells of a failure unasked; XMPP knows no reports of servers on the way.
    let Receipts { delivery, display, processing, .. } = message.receipts;
    if processing || (!named && (delivery || display)) {
        dropped.push("receipts");
    }
    dropped
}

/// When the message was first sent, if that is long ago; a time in the future is a wrong clock's.
fn delay(sent: &DateTime, now: SystemTime) -> Option<DateTime> {
    let age = now.duration_since(sent.to_system_time()?).ok()?;
    // XEP-0082 §3.2: in UTC.
    if age > MIN_DELAY { sent.to_utc() } else { None }
}

/// XML 1.0 §2.11: a parser makes line feeds of CR LF and CR, so they are written as such.
fn line_feeds(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    text.replace("\r\n", "\n").replace('\r', "\n").into()
}

/// The content and its other forms; `None` without text.
fn contents(message: &stanza::Message) -> Option<(Content, Vec<Content>)> {
    let mut texts: Vec<stanza::LangText<'_>> = Vec::new();
    for body in message.bodies().filter(|body| !body.text.is_empty()) {
        // RFC 6121 §5.2.3: one body a language.
        if texts.iter().all(|known| known.lang != body.lang) {
            texts.push(body);
        }
    }
    let main = texts.iter().position(|body| body.lang == message.lang()).unwrap_or(0);
    if texts.is_empty() {
        return None;
    }
    let content = content_of(&texts.remove(main));
    let html = message.payload("html", xhtml::XHTML_IM).and_then(xhtml::unwrap);
    let html = html.map(|html| Content { media_type: HTML.into(), language: None, octets: Bytes::from(html) });
    Some((content, texts.iter().map(content_of).chain(html).collect()))
}

fn content_of(body: &stanza::LangText<'_>) -> Content {
    Content {
        media_type: Content::TEXT.into(),
        language: body.lang.filter(|tag| !tag.is_empty()).map(LanguageTag::from),
        octets: Bytes::copy_from_slice(body.text.as_bytes()),
    }
}

/// The subjects, that of the stanza's language first.
fn subjects(message: &stanza::Message) -> Vec<LangText> {
    let mut subjects: Vec<_> = message.subjects().filter(|subject| !subject.text.is_empty()).collect();
    subjects.sort_by_key(|subject| subject.lang != message.lang());
    subjects
        .into_iter()
        .map(|subject| LangText {
            language: subject.lang.filter(|tag| !tag.is_empty()).map(LanguageTag::from),
            text: subject.text.into_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
