//! Native JSON to message operations and back: pure functions, used by the server and by `translate`.

pub mod cpim; // RFC 3862
mod object; // RFC 3862 §5
pub mod presence; // RFC 3863, RFC 6121 §4.7
mod refusal;
pub mod signals; // RFC 5438, RFC 3994

pub use object::ObjectError;
pub use refusal::{ContentTypeError, Refusal, TextProblem, ToError};

use crate::wire::{Alternative, DeliveryStatus, MessageEvent, Receipt, SendMessage, SendResult};
use adapter_api::{Carries, TraceId};
use impp_model::{
    Address, Cause, Content, Endpoint, Failure, InstantMessage, LangText, LanguageTag, MaxForwards, MessageOperation,
    Outcome, Receipts, Side, TransId,
};
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// Reads the body of `POST /v1/messages`.
pub fn parse(json: &[u8]) -> Result<SendMessage, Refusal> {
    parse_json(json)
}

pub(crate) fn parse_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let parsed = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Refusal::Json { path: error.path().to_string(), source: error.into_inner() });
    let request = parsed?;
    reader.end().map_err(|source| Refusal::Json { path: ".".to_owned(), source })?;
    Ok(request)
}

/// The operation that `request` of the user `source` asks for.
pub fn from_request(
    source: Endpoint,
    mut request: SendMessage,
    trans_id: TransId,
) -> Result<MessageOperation, Refusal> {
    let destination = Endpoint::bare(parse_to(&request.to).map_err(Refusal::To)?);
    let mut beside = InstantMessage::new(Content::text(""));
    signals::read_beside(&mut request, &mut beside)?;
    let sealed = request.object.take().map(|object| object::read(&object, &request.body)).transpose()?;
    let media_type = match sealed {
        Some(_) => Content::TEXT.to_owned(),
        None => parse_content_type(&request.content_type).map_err(Refusal::ContentType)?,
    };
    let language = request.lang.as_deref().map(parse_language).transpose()?;
    let id = bounded("id", request.id, MAX_ID_LEN)?;
    let thread = bounded("thread", request.thread, MAX_THREAD_LEN)?;
    let subject = bounded("subject", request.subject, MAX_SUBJECT_LEN)?;
    let receipts = read_receipts(&request.receipts);
    // A report names the message by an id; one without gets its transaction's.
    let id = id.or_else(|| receipts.any().then(|| trans_id.to_string()));
    let content =
        Content { media_type: media_type.into(), language: language.clone(), octets: request.body.into_bytes().into() };
    Ok(MessageOperation {
        source,
        destination,
        max_forwards: MaxForwards::INITIAL,
        trans_id,
        message: InstantMessage {
            id: id.map(Into::into),
            thread: thread.map(Into::into),
            subjects: subject.map(|text| LangText { language, text }).into_iter().collect(),
            receipts,
            content,
            sealed,
            ..beside
        },
    })
}

/// An event with what it could not carry whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The event.
    pub event: MessageEvent,
    /// Fields of the model, by the names of the capabilities, with how each fared.
    pub losses: Vec<(&'static str, Carries)>,
}

/// The `message` event that tells an addressee of `operation`.
pub fn to_event(operation: &MessageOperation, trace: Option<TraceId>) -> Result<Mapped, Failure> {
    let message = &operation.message;
    let body = json_text(&message.content).ok_or_else(binary)?;
    let mut losses = Vec::new();
    if operation.destination.device.is_some() {
        losses.push((field::DESTINATION_DEVICE, Carries::Degraded));
    }
    let subject = message.subjects.first();
    let same_language = subject.is_none_or(|subject| subject.language == message.content.language);
    if message.subjects.len() > 1 || !same_language {
        losses.push((field::SUBJECTS, Carries::Degraded));
    }
    let alternatives: Vec<_> = message.alternatives.iter().filter_map(alternative).collect();
    if alternatives.len() < message.alternatives.len() {
        losses.push((field::ALTERNATIVES, Carries::Degraded));
    }
    if message.hints.any() {
        losses.push((field::HINTS, Carries::Dropped));
    }
    let mut event = MessageEvent {
        from: operation.source.address.to_string(),
        from_device: operation.source.device.as_ref().map(ToString::to_string),
        to: operation.destination.address.to_string(),
        content_type: message.content.media_type.to_string(),
        body,
        subject: subject.map(|subject| subject.text.clone()),
        thread: message.thread.as_ref().map(ToString::to_string),
        lang: message.content.language.as_ref().map(ToString::to_string),
        id: message.id.as_ref().map(ToString::to_string),
        receipts: write_receipts(message.receipts),
        replaces: None,
        reply_to: None,
        reactions: None,
        retracts: None,
        files: Vec::new(),
        sent: message.sent.as_ref().map(ToString::to_string),
        alternatives,
        trans_id: operation.trans_id.to_string(),
        trace: trace.map(|trace| trace.to_string()),
        object: object::write(message)?,
    };
    if let Some(sealed) = &message.sealed {
        event.content_type = sealed.payload.media_type.to_string();
    }
    signals::write_beside(message, &mut event);
    Ok(Mapped { event, losses })
}

/// The answer to the sender of the operation `trans_id`.
pub fn to_result(trans_id: &TransId, trace: TraceId, outcome: &Outcome) -> SendResult {
    let (status, proof, failure) = match outcome {
        Outcome::Success(proof) => (DeliveryStatus::Success, Some(*proof), None),
        Outcome::HandedOver | Outcome::Indeterminant => (DeliveryStatus::Indeterminant, None, None),
        Outcome::Failure(failure) => (DeliveryStatus::Failure, None, Some(failure)),
    };
    SendResult {
        trans_id: trans_id.to_string(),
        status,
        proof: proof.map(|proof| proof.label().to_owned()),
        reason: failure.map(|failure| failure.cause.code().to_owned()),
        text: failure.and_then(|failure| failure.text.clone()),
        trace: trace.to_string(),
    }
}

/// The names of the model's fields as [`Mapped::losses`] and the capabilities use them.
pub mod field {
    /// The device of the sender.
    pub const SOURCE_DEVICE: &str = "source.device";
    /// The device the sender named.
    pub const DESTINATION_DEVICE: &str = "destination.device";
    /// The sender's own id.
    pub const ID: &str = "id";
    /// The conversation.
    pub const THREAD: &str = "thread";
    /// The subjects.
    pub const SUBJECTS: &str = "subjects";
    /// When it was sent.
    pub const SENT: &str = "sent";
    /// The reports wanted.
    pub const RECEIPTS: &str = "receipts";
    /// The content.
    pub const CONTENT: &str = "content";
    /// Its language.
    pub const LANGUAGE: &str = "content.language";
    /// Its further forms.
    pub const ALTERNATIVES: &str = "alternatives";
    /// That it replaces an earlier message.
    pub const CORRECTION: &str = "correction";
    /// That it answers one.
    pub const REPLY: &str = "reply";
    /// Reactions.
    pub const REACTION: &str = "reaction";
    /// That an earlier message is to be forgotten.
    pub const RETRACTION: &str = "retraction";
    /// How it is to be treated.
    pub const HINTS: &str = "hints";
    /// Files that lie elsewhere.
    pub const FILES: &str = "files";
    /// What only the addressee can read.
    pub const SEALED: &str = "sealed";
    /// Word about a message.
    pub const DISPOSITION: &str = "disposition";
    /// Whether somebody is composing.
    pub const COMPOSING: &str = "composing";
}

fn parse_to(text: &str) -> Result<Address, ToError> {
    match text.split_once(':') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("im") => Address::from_im_uri(text).map_err(ToError::Uri),
        Some((scheme, _)) if OTHER_SCHEMES.iter().any(|other| scheme.eq_ignore_ascii_case(other)) => {
            Err(ToError::Scheme)
        }
        Some(_) | None => Address::parse_bare(text).map_err(ToError::Address),
    }
}

/// What a plain address never begins with: it would be taken for a local part otherwise.
const OTHER_SCHEMES: [&str; 7] = ["pres", "sip", "sips", "xmpp", "tel", "mailto", "acct"];

/// `type/subtype` in lower case.
fn parse_content_type(text: &str) -> Result<String, ContentTypeError> {
    let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
    let media_type = media_type.trim().to_ascii_lowercase();
    let (kind, subtype) = media_type.split_once('/').ok_or(ContentTypeError::Syntax)?;
    if !is_token(kind) || !is_token(subtype) {
        return Err(ContentTypeError::Syntax);
    }
    if kind == "multipart" || kind == "message" {
        return Err(ContentTypeError::Composite);
    }
    let parameters = parameters.trim();
    if parameters.is_empty() || is_utf8_charset(parameters) { Ok(media_type) } else { Err(ContentTypeError::Parameter) }
}

/// RFC 2045 §5.1, within the length of RFC 6838 §4.2.
fn is_token(text: &str) -> bool {
    let is_token_char = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&octet);
    (1..=MAX_TYPE_NAME_LEN).contains(&text.len()) && text.bytes().all(is_token_char)
}

fn is_utf8_charset(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let value = value.trim().trim_matches('"');
        // RFC 2046 §4.1.2: US-ASCII text is UTF-8, too.
        name.trim().eq_ignore_ascii_case("charset")
            && ["utf-8", "us-ascii"].iter().any(|charset| value.eq_ignore_ascii_case(charset))
    })
}

fn parse_language(text: &str) -> Result<LanguageTag, Refusal> {
    let well_formed = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && text.split('-').all(|subtag| (1..=8).contains(&subtag.len()));
    if well_formed && text.len() <= MAX_LANG_LEN {
        Ok(text.into())
    } else {
        Err(Refusal::Text { field: "lang", problem: TextProblem::Language })
    }
}

fn bounded(field: &'static str, text: Option<String>, limit: usize) -> Result<Option<String>, Refusal> {
    match text.as_deref().and_then(|text| text_problem(text, limit)) {
        Some(problem) => Err(Refusal::Text { field, problem }),
        None => Ok(text),
    }
}

fn text_problem(text: &str, limit: usize) -> Option<TextProblem> {
    if text.is_empty() {
        return Some(TextProblem::Empty);
    }
    if text.len() > limit {
        return Some(TextProblem::TooLong { limit });
    }
    text.char_indices().find(|(_, c)| c.is_control()).map(|(at, _)| TextProblem::Control { at })
}

fn read_receipts(receipts: &[Receipt]) -> Receipts {
    Receipts {
        delivery: receipts.contains(&Receipt::Delivery),
        display: receipts.contains(&Receipt::Display),
        failure: receipts.contains(&Receipt::Failure),
        ..Receipts::default()
    }
}

fn write_receipts(receipts: Receipts) -> Vec<Receipt> {
    [(receipts.delivery, Receipt::Delivery), (receipts.display, Receipt::Display), (receipts.failure, Receipt::Failure)]
        .into_iter()
        .filter_map(|(wanted, receipt)| wanted.then_some(receipt))
        .collect()
}

fn alternative(content: &Content) -> Option<Alternative> {
    Some(Alternative {
        content_type: content.media_type.to_string(),
        lang: content.language.as_ref().map(ToString::to_string),
        body: json_text(content)?,
    })
}

/// The content as JSON text, lines ended by LF; `None` for octets that are not text.
fn json_text(content: &Content) -> Option<String> {
    let text = std::str::from_utf8(&content.octets).ok()?;
    let text = if content.media_type.starts_with("text/") { with_lf(text) } else { Cow::Borrowed(text) };
    Some(text.into_owned())
}

fn with_lf(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(text) }
}

fn binary() -> Failure {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text("the native protocol carries text only")
}

/// Longer than any UUID, URL-like or IMDN id in use; kept once for each message in the window.
const MAX_ID_LEN: usize = 255;

/// The bound of a JID's resourcepart, which threads resemble; also a Call-ID that still fits a datagram.
const MAX_THREAD_LEN: usize = 255;

/// RFC 5322 §2.1.1 allows lines of 998 octets; SIP's Subject goes into a request of 1300.
const MAX_SUBJECT_LEN: usize = 998;

/// RFC 5646 §4.4.1.
const MAX_LANG_LEN: usize = 35;

/// RFC 6838 §4.2.
const MAX_TYPE_NAME_LEN: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Device, Proof};

    fn carol() -> Endpoint {
        Endpoint {
            address: Address::parse_bare("carol@native.example").unwrap(),
            device: Some(Device::new("main").unwrap()),
        }
    }

    fn map(json: &str) -> Result<MessageOperation, Refusal> {
        from_request(carol(), parse(json.as_bytes())?, "t1".into())
    }

    fn fault(json: &str) -> (Option<String>, String) {
        let refusal = map(json).unwrap_err();
        (refusal.field().map(str::to_owned), refusal.problem())
    }

    const FULL: &str = r#"{"to":"im:o%27malley@example.org","content_type":"Text/Plain; charset=\"UTF-8\"","body":"a\r\nbü",
        "subject":"Zu Tisch","thread":"t/1","lang":"de","id":"m1","receipts":["delivery","display"]}"#;

    // checks: IM-01
    // checks: MOD-09
    #[test]
    fn rfc3860_s3_1_a_message_becomes_an_operation_and_an_event() {
        let operation = map(FULL).unwrap();
        assert_eq!(operation.destination.address.local(), "o'malley");
        assert_eq!(operation.message.content.as_text(), Some("a\r\nbü"));
        assert_eq!(operation.message.receipts, Receipts { delivery: true, display: true, ..Receipts::default() });
        let mapped = to_event(&operation, Some(TraceId(10))).unwrap();
        assert_eq!(mapped.losses, []);
        let expected = MessageEvent {
            from: "carol@native.example".to_owned(),
            from_device: Some("main".to_owned()),
            to: "o'malley@example.org".to_owned(),
            content_type: "text/plain".to_owned(),
            body: "a\nbü".to_owned(),
            subject: Some("Zu Tisch".to_owned()),
            thread: Some("t/1".to_owned()),
            lang: Some("de".to_owned()),
            id: Some("m1".to_owned()),
            receipts: vec![Receipt::Delivery, Receipt::Display],
            replaces: None,
            reply_to: None,
            reactions: None,
            retracts: None,
            files: vec![],
            sent: None,
            alternatives: vec![],
            trans_id: "t1".to_owned(),
            trace: Some("000000000000000a".to_owned()),
            object: None,
        };
        assert_eq!(mapped.event, expected);
    }

    #[test]
    fn a_minimal_message_has_no_optional_fields() {
        let operation = map(r#"{"to":"bob@example.com","content_type":"text/plain","body":""}"#).unwrap();
        let json = serde_json::to_value(to_event(&operation, None).unwrap().event).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        assert_eq!(keys, ["body", "content_type", "from", "from_device", "to", "trans_id"]);
    }

    #[test]
    fn each_refusal_names_its_field() {
        let with = |field: &str| format!(r#"{{"to":"b@example.com","content_type":"text/plain","body":"x",{field}}}"#);
        for (json, field) in [
            (with(r#""subject":"a\nb""#), "subject"),
            (with(r#""id":"""#), "id"),
            (with(r#""thread":"\u0000""#), "thread"),
            (with(r#""lang":"d e""#), "lang"),
            (with(r#""receipts":["never"]"#), "receipts[0]"),
            (with(&format!(r#""id":"{}""#, "x".repeat(256))), "id"),
            (r#"{"to":"b","content_type":"text/plain","body":"x"}"#.to_owned(), "to"),
            (r#"{"to":"sip:b@example.com","content_type":"text/plain","body":"x"}"#.to_owned(), "to"),
            (r#"{"to":"b\r\n@example.com","content_type":"text/plain","body":"x"}"#.to_owned(), "to"),
            (r#"{"to":"b@example.com","content_type":"text","body":"x"}"#.to_owned(), "content_type"),
            (r#"{"to":"b@example.com","content_type":"message/cpim","body":"x"}"#.to_owned(), "content_type"),
            (
                r#"{"to":"b@example.com","content_type":"text/plain; format=flowed","body":"x"}"#.to_owned(),
                "content_type",
            ),
            (r#"{"to":7,"content_type":"text/plain","body":"x"}"#.to_owned(), "to"),
        ] {
            assert_eq!(fault(&json).0.as_deref(), Some(field), "{json}");
        }
    }

    #[test]
    fn what_is_not_the_expected_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let deep_inside = format!(r#"{{"to":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let unknown = r#"{"to":"b@example.com","content_type":"text/plain","body":"x","from":"eve@example.com"}"#;
        let twice = r#"{"to":"b@example.com","to":"c@example.com","content_type":"text/plain","body":"x"}"#;
        let trailing = r#"{"to":"b@example.com","content_type":"text/plain","body":"x"}{}"#;
        let surrogate = r#"{"to":"b@example.com","content_type":"text/plain","body":"\ud800"}"#;
        for json in ["", "{", "[]", "null", "{}", &deep, &deep_inside, unknown, twice, trailing, surrogate] {
            assert!(matches!(map(json), Err(Refusal::Json { .. })), "{json:.60}");
        }
        assert!(matches!(parse(b"{\"to\":\"\xff\"}"), Err(Refusal::Json { .. })));
    }

    #[test]
    fn what_can_not_be_carried_whole_is_listed() {
        let mut operation = map(FULL).unwrap();
        operation.destination.device = Some(Device::new("phone").unwrap());
        operation.message.subjects.push(LangText { language: Some("en".into()), text: "Lunch".to_owned() });
        operation.message.alternatives = vec![
            Content { media_type: "text/html".into(), language: None, octets: "<p>a</p>".into() },
            Content { media_type: "image/png".into(), language: None, octets: vec![0x89, 0xff].into() },
        ];
        let mapped = to_event(&operation, None).unwrap();
        assert_eq!(mapped.event.alternatives.len(), 1);
        let losses =
            [field::DESTINATION_DEVICE, field::SUBJECTS, field::ALTERNATIVES].map(|name| (name, Carries::Degraded));
        assert_eq!(mapped.losses, losses);
    }

    #[test]
    fn octets_that_are_no_text_are_refused() {
        let mut operation = map(FULL).unwrap();
        operation.message.content.octets = vec![0xff].into();
        assert_eq!(to_event(&operation, None).unwrap_err().cause, Cause::UnsupportedMedia);
    }

    // checks: IM-03, IM-27
    #[test]
    fn rfc3860_s3_4_1_each_outcome_has_its_status() {
        let answer = |outcome: Outcome| {
            let result = to_result(&"t1".into(), TraceId(1), &outcome);
            assert_eq!((result.trans_id.as_str(), result.trace.as_str()), ("t1", "0000000000000001"));
            (result.status, result.proof, result.reason)
        };
        let recipient = Some("recipient".to_owned());
        assert_eq!(answer(Outcome::Success(Proof::Recipient)), (DeliveryStatus::Success, recipient, None));
        assert_eq!(answer(Outcome::Indeterminant), (DeliveryStatus::Indeterminant, None, None));
        assert_eq!(answer(Outcome::HandedOver), (DeliveryStatus::Indeterminant, None, None));
        let failure = Failure::new(Side::Far, Cause::NotFound).into();
        assert_eq!(answer(failure), (DeliveryStatus::Failure, None, Some("item-not-found".to_owned())));
    }
}
