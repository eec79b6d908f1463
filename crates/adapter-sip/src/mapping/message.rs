//! RFC 7572 §4, §5, RFC 3428: MESSAGE requests as message operations, and back.

use super::address::{AddressRefusal, from_sip_uri, to_sip_uri};
use super::content::{self, ContentRefusal};
use super::cpim::Envelope;
use super::thread::ThreadTable;
use super::{Mapped, content::Body, cpim, sealed, signal};
use crate::ids::{CSEQ, RequestIds};
use adapter_api::{Carries, FieldSupport};
use bytes::Bytes;
use impp_model::datetime::DateTime;
use impp_model::{
    Content, Endpoint, InstantMessage, LangText, LanguageTag, MaxForwards, MessageOperation, Passed, Relation, Sealed,
    TransId,
};
use sip_proto::build::RequestBuilder;
use sip_proto::header::{Date, HeaderError, MediaType, delta_seconds};
use sip_proto::header_id::HeaderId;
use sip_proto::message::{KeyHeaders, Message};
use sip_proto::method::Method;
use sip_proto::uri::{Scheme, scheme_of};

/// What becomes of each field on its way into a MESSAGE; the table of this crate's README.
pub const FIELDS: &[FieldSupport] = &[
    FieldSupport::new("source.device", Carries::Carried, "`gr` of the From URI"),
    FieldSupport::new("destination.device", Carries::Carried, "`gr` of the Request-URI and the To URI"),
    FieldSupport::new("max_forwards", Carries::Carried, "Max-Forwards"),
    FieldSupport::new("id", Carries::Carried, "decides Call-ID, From tag and Via branch, not readable in them"),
    FieldSupport::new("thread", Carries::Carried, "Call-ID; what is no Call-ID gets a made one that leads back"),
    FieldSupport::new(
        "subjects",
        Carries::Degraded,
        "Subject: the first one, without its language; all in message/cpim",
    ),
    FieldSupport::new("sent", Carries::Degraded, "Date, to the second"),
    FieldSupport::new("receipts", Carries::Carried, "message/cpim with IMDN; not to a peer that refuses it with 415"),
    FieldSupport::new("content", Carries::Carried, "the body, line ends as CRLF"),
    FieldSupport::new("content.language", Carries::Carried, "Content-Language"),
    FieldSupport::new("alternatives", Carries::Dropped, ""),
    FieldSupport::new("correction", Carries::Degraded, "a further message with the whole new text"),
    FieldSupport::new("reply", Carries::Degraded, "the text with its quotation"),
    FieldSupport::new("reaction", Carries::Degraded, "its text; without one nothing"),
    FieldSupport::new("retraction", Carries::Degraded, "its text; without one nothing"),
    FieldSupport::new("hints", Carries::Dropped, "they bind this gateway alone"),
    FieldSupport::new("files", Carries::Degraded, "the URL within the text"),
    FieldSupport::new(
        "sealed",
        Carries::Carried,
        "S/MIME objects (RFC 3923) as the body, octet for octet; others are refused",
    ),
    FieldSupport::new("disposition", Carries::Carried, "IMDN, to who asked for it"),
    FieldSupport::new("composing", Carries::Carried, "isComposing, until a peer refuses it"),
];

/// Why a MESSAGE goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A header is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// RFC 7247 §8: TLS on every hop can't be promised beyond this gateway.
    #[error("sips: is not carried into other networks")]
    Sips,
    /// The From URI names no sender.
    #[error("From: {0}")]
    Source(AddressRefusal),
    /// The Request-URI names no addressee.
    #[error("Request-URI: {0}")]
    Destination(AddressRefusal),
    /// RFC 3261 §8.2.3: an encoding that is not understood.
    #[error("Content-Encoding is not supported")]
    Encoding,
    /// The body can't be taken.
    #[error(transparent)]
    Content(ContentRefusal),
    /// RFC 3428 §7: its time is over. The sender is answered 202 and nothing is delivered.
    #[error("expired before it arrived")]
    Expired,
    /// IM-045: nothing to show. The sender is answered 202 and nothing is delivered.
    #[error("no content")]
    Empty,
}

impl Refusal {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Header(_) => 400,
            Self::Sips => 480,
            // RFC 3261 §8.2.2.1: 416 speaks of the Request-URI only.
            Self::Source(_) => 400,
            Self::Destination(refusal) => refusal.status(),
            Self::Encoding => 415,
            Self::Content(refusal) => refusal.status(),
            Self::Expired | Self::Empty => 202,
        }
    }

    /// The header that goes with the status (ERR-011).
    pub fn header(&self) -> Option<(HeaderId, &'static str)> {
        match self {
            // RFC 3261 §21.4.13: what would have been taken.
            Self::Content(ContentRefusal::MediaType) => Some((HeaderId::Accept, content::ACCEPT)),
            Self::Encoding => Some((HeaderId::AcceptEncoding, "identity")),
            Self::Header(_)
            | Self::Sips
            | Self::Source(_)
            | Self::Destination(_)
            | Self::Content(_)
            | Self::Expired
            | Self::Empty => None,
        }
    }
}

/// The operation that a verified MESSAGE asks for; `now` in seconds since 1970 decides about Date and Expires.
pub fn from_request(request: &Message, now: i64, threads: &ThreadTable) -> Result<Mapped<MessageOperation>, Refusal> {
    let (key, uri) = (request.key_headers()?, request.request_uri().ok_or(HeaderError::RequestUri)?);
    addressed(request, &key, uri, now, threads)
}

/// The same with another URI in place of the Request-URI; `key` is the request's own.
pub(crate) fn addressed(
    request: &Message,
    key: &KeyHeaders<'_>,
    uri: &str,
    now: i64,
    threads: &ThreadTable,
) -> Result<Mapped<MessageOperation>, Refusal> {
    // RFC 7247 §8: neither Request-URI nor To may demand it.
    if is_sips(uri) || is_sips(key.to.uri) {
        return Err(Refusal::Sips);
    }
    let source = from_sip_uri(key.from.uri).map_err(Refusal::Source)?;
    let destination = from_sip_uri(uri).map_err(Refusal::Destination)?;
    let date = date(request);
    if is_expired(request, date, now)? {
        return Err(Refusal::Expired);
    }
    let Taken { body, envelope, sealed, object } = body(request)?;
    let late = date.filter(|date| now.saturating_sub(*date) > OLD).and_then(|date| DateTime::from_epoch(date, 0));
    let mut dropped = body.dropped;
    if envelope.unanswerable {
        dropped.push("receipts");
    }
    let message = InstantMessage {
        id: envelope.id,
        thread: Some(threads.thread(key.call_id.as_str(), &source.address, &destination.address)),
        subjects: if envelope.subjects.is_empty() { subject(request) } else { envelope.subjects },
        sealed,
        object,
        sent: envelope.sent.or(late),
        receipts: envelope.receipts,
        return_path: envelope.return_path,
        alternatives: body.value.alternatives,
        files: body.value.files,
        passed: passed(request),
        ..InstantMessage::new(body.value.content)
    };
    let operation = MessageOperation {
        source,
        destination,
        max_forwards: key.max_forwards.map_or(MaxForwards::INITIAL, MaxForwards),
        trans_id: trans_id(key),
        message,
    };
    Ok(Mapped { value: operation, degraded: body.degraded, dropped })
}

/// What tells one request of a sender from all others, and is the same in every copy of it.
fn trans_id(key: &KeyHeaders<'_>) -> TransId {
    match key.via.unique_branch() {
        Some(branch) => TransId::from(branch),
        // RFC 3261 §17.2.3: without the magic cookie a branch may be used again.
        None => {
            let (call_id, number) = (key.call_id.as_str(), key.cseq.number);
            TransId::from(format!("{call_id} {number} {}", key.from.tag().unwrap_or_default()))
        }
    }
}

/// CMP-050: seconds after which a message counts as delayed.
const OLD: i64 = 60;

fn is_sips(uri: &str) -> bool {
    scheme_of(uri).is_some_and(|scheme| scheme.eq_ignore_ascii_case(Scheme::Sips.as_str()))
}

/// Date in seconds since 1970; one that is malformed is as good as none (CMP-051).
fn date(request: &Message) -> Option<i64> {
    Date::parse(request.header(HeaderId::Date)?.text().ok()?).ok().map(Date::unix)
}

/// RFC 3428 §7: counted from Date, else from now on. Zero sets no time: the message is to be delivered at once or not.
fn is_expired(request: &Message, date: Option<i64>, now: i64) -> Result<bool, HeaderError> {
    let Some(text) = request.only(HeaderId::Expires)? else { return Ok(false) };
    let seconds = i64::from(delta_seconds(HeaderId::Expires, text)?);
    Ok(seconds > 0 && date.is_some_and(|date| date.saturating_add(seconds) <= now))
}

/// What is taken from a body.
struct Taken {
    body: Mapped<Body>,
    envelope: Envelope,
    sealed: Option<Sealed>,
    object: Option<Bytes>,
}

fn body(request: &Message) -> Result<Taken, Refusal> {
    let encodings = request.values(HeaderId::ContentEncoding);
    for encoding in encodings {
        if !encoding?.eq_ignore_ascii_case("identity") {
            return Err(Refusal::Encoding);
        }
    }
    let octets = request.body_bytes();
    if octets.is_empty() {
        return Err(Refusal::Empty);
    }
    let content_type = request.only(HeaderId::ContentType)?.ok_or(HeaderError::Missing(HeaderId::ContentType))?;
    let media = MediaType::parse(content_type)?;
    let encoding = request.headers_named("Content-Transfer-Encoding").next().and_then(|header| header.text().ok());
    // Text is no object.
    if !media.kind.eq_ignore_ascii_case("text")
        && let Some(sealed) = sealed::from_body(content_type, encoding, &octets)
    {
        // RFC 3862 §6: it is passed on whole, and nothing of it is shown.
        let shown = Body { content: Content::text(""), alternatives: Vec::new(), files: Vec::new() };
        let (body, envelope) = (Mapped::whole(shown), Envelope::default());
        return Ok(Taken { body, envelope, sealed: Some(sealed), object: None });
    }
    let language = language(request);
    let whole = signal::is(&media, cpim::MEDIA_TYPE) || signal::is(&media, "multipart/signed");
    let object = whole.then(|| sealed::entity(content_type, None, &octets));
    let (body, envelope) = if signal::is(&media, cpim::MEDIA_TYPE) {
        let message = cpim::read(&octets).map_err(Refusal::Content)?;
        (cpim::body(&message, language), cpim::envelope(&message))
    } else {
        (content::from_body(&media, octets, language), Envelope::default())
    };
    let body = body.map_err(Refusal::Content)?;
    if body.value.content.octets.is_empty() {
        return Err(Refusal::Empty);
    }
    Ok(Taken { body, envelope, sealed: None, object })
}

/// IM-035: the first of several tags.
fn language(request: &Message) -> Option<LanguageTag> {
    let tag = request.values(HeaderId::ContentLanguage).next()?.ok()?;
    is_language_tag(tag).then(|| LanguageTag::from(tag))
}

/// RFC 5646 §2.1, as far as it keeps a header or an attribute sound.
pub(super) fn is_language_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn subject(request: &Message) -> Vec<LangText> {
    let Some(header) = request.header(HeaderId::Subject) else { return Vec::new() };
    let text = header.display();
    let text = text.trim();
    if text.is_empty() { Vec::new() } else { vec![LangText { language: None, text: text.to_owned() }] }
}

/// What every request of this gateway begins with, but for its Via; CSeq is the caller's. `to` is the addressee's URI.
pub(super) fn head(
    target: &str,
    source: &Endpoint,
    to: &str,
    hops: MaxForwards,
    ids: &RequestIds,
    call_id: &str,
) -> RequestBuilder {
    RequestBuilder::new(Method::Message, target)
        .header(HeaderId::MaxForwards, &hops.0.to_string())
        .header_of(HeaderId::From, &["<", &to_sip_uri(source), ">;tag=", &ids.from_tag()])
        .header_of(HeaderId::To, &["<", to, ">"])
        .header(HeaderId::CallId, call_id)
}

/// In which form a message goes out.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// As itself.
    Plain,
    /// As the entity it came as, else within message/cpim, asking for the reports that its sender wants; sent now if the message says no other time.
    Wrapped(&'a DateTime),
    /// As itself, after the form before was refused (RFC 3261 §8.1.3.5).
    Unwrapped,
}

/// The MESSAGE that carries out an operation, but for its Via.
///
/// `call_id` comes from [`ThreadTable::call_id`], or from `ids` for a message outside any conversation.
pub fn to_request(
    operation: &MessageOperation,
    ids: &RequestIds,
    call_id: &str,
    form: Form<'_>,
) -> Mapped<RequestBuilder> {
    let (message, mut degraded, mut dropped) = (&operation.message, Vec::new(), Vec::new());
    let (object, cseq) = match form {
        Form::Plain => (None, CSEQ),
        Form::Wrapped(now) => (whole(message).or_else(|| written(operation, now)), CSEQ),
        Form::Unwrapped => (None, CSEQ + 1),
    };
    let object = message.sealed.as_ref().and_then(sealed::to_body).or(object);
    let target = to_sip_uri(&operation.destination);
    let mut request = head(&target, &operation.source, &target, operation.max_forwards, ids, call_id).cseq(cseq);
    if let Some(subject) = message.subjects.first() {
        request = request.header(HeaderId::Subject, &one_line(&subject.text));
    }
    if object.is_none() && (message.subjects.len() > 1 || message.subjects.iter().any(|it| it.language.is_some())) {
        degraded.push("subjects");
    }
    match &message.content.language {
        Some(language) if is_language_tag(language.as_str()) => {
            request = request.header(HeaderId::ContentLanguage, language.as_str());
        }
        Some(_) => dropped.push("content.language"),
        None => {}
    }
    if let Some(sent) = &message.sent {
        request = request.header(HeaderId::Date, &Date::from_unix(sent.epoch_seconds()).to_string());
    }
    if object.is_none() && (message.receipts.delivery || message.receipts.display || message.receipts.processing) {
        dropped.push("receipts");
    }
    degraded.extend(message.relations.iter().map(Relation::field));
    if !message.files.is_empty() {
        degraded.push("files");
    }
    if message.hints.any() {
        dropped.push("hints");
    }
    if !message.alternatives.is_empty() {
        dropped.push("alternatives");
    }
    if !message.passed.is_empty() {
        request = request.header_named(PASSED, &message.passed.to_string());
    }
    let request = match object {
        Some((media, octets)) => request.body(&media, octets),
        None => {
            let (media, octets) = content::to_body(&message.content);
            request.body(&media, octets)
        }
    };
    Mapped { value: request, degraded, dropped }
}

/// The entity that a message came as, to be passed on as it is (RFC 3862 §2.2).
fn whole(message: &InstantMessage) -> Option<(String, Bytes)> {
    message.object.as_deref().and_then(sealed::of_entity).filter(|(media, _)| MediaType::parse(media).is_ok())
}

fn written(operation: &MessageOperation, now: &DateTime) -> Option<(String, Bytes)> {
    Some((cpim::MEDIA_TYPE.to_owned(), cpim::write(operation, now)?))
}

/// What a message says that has no form as MESSAGE: it is dropped without text beside it (CMP-062, CMP-065).
pub fn unsayable(operation: &MessageOperation) -> Option<&'static str> {
    let message = &operation.message;
    message.relations.first().filter(|_| message.content.octets.is_empty()).map(Relation::field)
}

/// The header with the marks of the gateways passed: other elements leave alone what they do not know (RFC 3261 §16.6).
const PASSED: &str = "Interlingua-Passed";

fn passed(request: &Message) -> Passed {
    let text = request.headers_named(PASSED).next().and_then(|header| header.text().ok());
    text.map_or_else(Passed::default, Passed::parse)
}

/// SEC-003, IM-003: each run of line breaks becomes one space.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for piece in text.split(['\r', '\n']).filter(|piece| !piece.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(piece);
    }
    line
}

/// Whether the type of what is carried can stand in a header: adapters in other processes may write anything.
pub fn is_carried(message: &InstantMessage) -> bool {
    match message.sealed.as_ref().and_then(sealed::to_body) {
        Some((media, _)) => MediaType::parse(&media).is_ok(),
        None => MediaType::parse(&message.content.media_type).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use impp_model::{Endpoint, Thread};

    /// 2026-11-22T12:00:00Z
    const NOW: i64 = 1_795_348_800;

    fn parse(headers: &str, body: &str) -> Message {
        let text = format!(
            "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP proxy.example.net;branch=z9hG4bKm1\r\n\
             Max-Forwards: 70\r\nTo: sip:juliet@example.com\r\nFrom: <sip:romeo@example.net;gr=dr4>;tag=v\r\n\
             Call-ID: c1\r\nCSeq: 1 MESSAGE\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn read(headers: &str, body: &str) -> Result<MessageOperation, Refusal> {
        from_request(&parse(headers, body), NOW, &ThreadTable::default()).map(|mapped| mapped.value)
    }

    const TEXT: &str = "Content-Type: text/plain\r\n";

    // checks: IM-030, IM-032, IM-034, IM-037, IM-038, AMB-18
    #[test]
    fn rfc7572_s5_the_fields_of_a_message() {
        let operation = read(TEXT, "hi").unwrap();
        assert_eq!(operation.source.address.to_string(), "romeo@example.net");
        assert_eq!(operation.source.device.unwrap().as_str(), "dr4");
        assert_eq!(operation.destination, Endpoint::bare("juliet@example.com".parse().unwrap()));
        assert_eq!((operation.max_forwards, operation.trans_id.as_str()), (MaxForwards(70), "z9hG4bKm1"));
        assert_eq!(operation.message.thread.unwrap().as_str(), "c1");
        assert_eq!((operation.message.content.as_text(), operation.message.sent), (Some("hi"), None));
    }

    // checks: IM-035, IM-036, SIP-010
    #[test]
    fn rfc7572_s5_subject_and_language() {
        let message =
            read(&format!("{TEXT}Content-Language: cs, en\r\ns:\r\n  Two\r\n  lines\r\n"), "hi").unwrap().message;
        assert_eq!(message.subjects, [LangText { language: None, text: "Two lines".into() }]);
        assert_eq!(message.content.language.unwrap().as_str(), "cs");
    }

    // checks: MSG-008, CMP-050, CMP-051
    #[test]
    fn rfc3428_s7_date_and_expires() {
        let date = |date: &str, more: &str| read(&format!("{TEXT}Date: {date}\r\n{more}"), "hi");
        assert_eq!(date("Sun, 22 Nov 2020 10:00:00 GMT", "Expires: 60\r\n"), Err(Refusal::Expired));
        assert!(date("Sun, 22 Nov 2026 11:59:30 GMT", "Expires: 60\r\n").is_ok());
        assert!(date("Sun, 22 Nov 2020 10:00:00 GMT", "Expires: 0\r\n").is_ok());
        let sent = |text| date(text, "").unwrap().message.sent.map(|sent| sent.as_str().to_owned());
        assert_eq!(sent("Sun, 22 Nov 2020 10:00:00 GMT").as_deref(), Some("2020-11-22T10:00:00Z"));
        assert_eq!(sent("Sun, 22 Nov 2026 11:59:01 GMT"), None);
        assert_eq!(sent("Sun, 22 Nov 2037 11:59:01 GMT"), None);
        assert_eq!(sent("Sun, 22 Nov 2020 10:00:00 EST"), None);
    }

    // checks: ARC-010, IM-042, IM-045, ERR-011
    #[test]
    fn refusals_have_the_status_and_header_of_their_reason() {
        let refused = |headers: &str, body: &str| {
            let refusal = read(headers, body).unwrap_err();
            (refusal.status(), refusal.header().map(|(id, _)| id))
        };
        assert_eq!(refused("Content-Type: application/x-unknown\r\n", "?"), (415, Some(HeaderId::Accept)));
        assert_eq!(refused(&format!("{TEXT}Content-Encoding: gzip\r\n"), "?"), (415, Some(HeaderId::AcceptEncoding)));
        assert_eq!(refused("", "?"), (400, None));
        assert_eq!(refused(TEXT, ""), (202, None));
        let sips = String::from_utf8(parse(TEXT, "hi").octets().to_vec()).unwrap();
        for part in ["MESSAGE sip:", "To: sip:"] {
            let request = Message::parse(sips.replace(part, &part.replace("sip:", "sips:")).into()).unwrap();
            assert_eq!(from_request(&request, NOW, &ThreadTable::default()), Err(Refusal::Sips), "{part}");
        }
    }

    fn written(change: impl FnOnce(&mut MessageOperation)) -> (Message, Mapped<()>) {
        let mut operation = read(TEXT, "Art thou not Romeo?").unwrap();
        change(&mut operation);
        let ids = RequestIds::of_message(&operation, 0);
        let Mapped { value, degraded, dropped } = to_request(&operation, &ids, "c1", Form::Plain);
        let via = sip_proto::build::TopVia {
            transport: "UDP",
            sent_by: "gw.example.com",
            branch: &ids.branch(0),
            rport: true,
            alias: false,
        };
        (Message::parse(value.encode(&via)).unwrap(), Mapped { value: (), degraded, dropped })
    }

    // checks: IM-001, IM-002, IM-005, IM-007, IM-015, IM-017, MSG-002, SIP-008
    #[test]
    fn rfc7572_s4_what_goes_out_is_a_sound_request() {
        let (request, loss) = written(|operation| operation.message.content = Content::text("Proč?\nTak."));
        let key = request.verify().unwrap();
        assert_eq!(
            (request.request_uri(), key.to.uri, key.to.tag()),
            (Some("sip:juliet@example.com"), "sip:juliet@example.com", None)
        );
        assert_eq!((key.from.uri, key.from.tag().map(str::len)), ("sip:romeo@example.net;gr=dr4", Some(16)));
        assert_eq!((key.call_id.as_str(), key.cseq.number, key.max_forwards), ("c1", 1, Some(70)));
        assert_eq!(request.header(HeaderId::ContentType).unwrap().text(), Ok("text/plain;charset=UTF-8"));
        assert_eq!(request.body(), "Proč?\r\nTak.".as_bytes());
        assert!(request.header(HeaderId::Contact).is_none() && loss.degraded.is_empty() && loss.dropped.is_empty());
    }

    // checks: IM-003, IM-006, SEC-003
    #[test]
    fn what_a_sender_writes_can_not_become_a_header() {
        let (request, loss) = written(|operation| {
            operation.message.subjects =
                vec![LangText { language: None, text: "Hi\r\nRoute: <sip:evil.example>".into() }; 2];
            operation.message.content.language = Some(LanguageTag::from("en\r\nRoute: x"));
            operation.message.receipts.delivery = true;
            operation.message.thread = Some(Thread::from("unused"));
        });
        assert_eq!(request.header(HeaderId::Subject).unwrap().text(), Ok("Hi Route: <sip:evil.example>"));
        assert!(request.header(HeaderId::Route).is_none() && request.header(HeaderId::ContentLanguage).is_none());
        assert_eq!(
            (loss.degraded.as_slice(), loss.dropped.as_slice()),
            (["subjects"].as_slice(), ["content.language", "receipts"].as_slice())
        );
    }

    // checks: CMP-050
    #[test]
    fn a_delayed_message_says_when_it_was_sent() {
        let (request, _) =
            written(|operation| operation.message.sent = DateTime::parse("2010-11-14T00:29:00.5+01:00").ok());
        assert_eq!(request.header(HeaderId::Date).unwrap().text(), Ok("Sat, 13 Nov 2010 23:29:00 GMT"));
    }
}
