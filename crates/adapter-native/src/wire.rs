//! The JSON documents of the native protocol, as the server reads and the client writes them, and the other way.

mod presence;
mod signals;

pub use presence::{
    Authorize, BasicStatus, DevicePresence, NoteText, PresenceEvent, PresenceResult, SetPresence, ShowValue, Subscribe,
    SubscriptionEvent,
};
use serde::{Deserialize, Serialize};
pub use signals::{
    ComposingEvent, ComposingStatus, DispositionEvent, DispositionStatus, FileLink, Reactions, ReplyTo,
    SendDisposition, SetComposing,
};
use std::fmt;
use utoipa::ToSchema;

/// The body of `POST /v1/messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The addressee: `local@domain`, or an `im:` URI.
    pub to: String,
    /// The media type, as `text/plain`; the only parameter allowed is `charset=utf-8`.
    pub content_type: String,
    /// The content.
    pub body: String,
    /// The subject, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The conversation this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The language of subject and body (RFC 5646).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The sender's own id. The same id again gives the first result and sends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which reports the sender wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// The id of an earlier message of the sender that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// Reactions to a message; `body` may be empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactions: Option<Reactions>,
    /// The id of an earlier message that its sender wants forgotten; `body` may be empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracts: Option<String>,
    /// Files that lie elsewhere; their URLs stand in `body`, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileLink>,
    /// An S/MIME object, for the addressee's eyes alone; `body` is empty then, and `content_type` that of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<WholeObject>,
    /// To be kept nowhere on the way: it is sent at once or fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_store: bool,
}

/// A report a sender can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// When the message reaches the addressee.
    Delivery,
    /// When it is shown.
    Display,
    /// When it can't be delivered after it was accepted.
    Failure,
}

/// The answer to `POST /v1/messages` (RFC 3860 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SendResult {
    /// Identifies this operation.
    pub trans_id: String,
    /// What became of it.
    pub status: DeliveryStatus,
    /// For `success`: who confirmed it, `recipient` or `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// For `failure`: the reason code, as in logs and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For `failure`: words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The message's trace through the gateway.
    pub trace: String,
}

/// RFC 3860 §3.4.1: what became of a message, in that document's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Delivered.
    Success,
    /// Not delivered.
    Failure,
    /// Accepted, without a final word.
    Indeterminant,
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Indeterminant => "indeterminant",
        })
    }
}

/// The data of a `message` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageEvent {
    /// The sender: `local@domain`.
    pub from: String,
    /// The sender's device, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_device: Option<String>,
    /// The addressee: `local@domain`.
    pub to: String,
    /// The media type of `body`.
    pub content_type: String,
    /// The content; lines of text end with LF.
    pub body: String,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The conversation this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The language of `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The sender's own id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which reports the sender wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// The id of an earlier message of the sender that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// Reactions to a message; `body` may be empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactions: Option<Reactions>,
    /// The id of an earlier message that its sender wants forgotten; `body` may be empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracts: Option<String>,
    /// Files that lie elsewhere; their URLs stand in `body`, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileLink>,
    /// When it was first sent, if it was delayed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// The same content in other languages or richer types, best last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The MIME object that the message came as, octet for octet; of one that is end-to-end protected nothing else is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<WholeObject>,
    /// Identifies this operation.
    pub trans_id: String,
    /// The message's trace through the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A MIME object: message/cpim, multipart/signed, application/pkcs7-mime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WholeObject {
    /// The media type with its parameters.
    pub content_type: String,
    /// The octets in base64, padded, of the standard alphabet.
    pub base64: String,
}

/// One further form of a message's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alternative {
    /// The media type.
    pub content_type: String,
    /// The language, if marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The content; lines of text end with LF.
    pub body: String,
}

/// The body of `POST /v1/events/ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The id of the last event the device has processed.
    pub id: EventId,
}

/// The answer to an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AckResult {
    /// Up to where this device has acknowledged.
    pub id: EventId,
}

/// An event's place in the order of all events of one user: decimal digits, as text in JSON (a number is read, too).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "1792679160000001")]
pub struct EventId(pub u64);

impl EventId {
    /// Parses decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Number(number)) => Ok(Self(number)),
            Ok(Either::Text(text)) => Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no event id")),
            Err(_) => Err(serde::de::Error::custom("an event id is decimal digits, as text")),
        }
    }
}

/// Why a call was refused: the body of every answer that is neither a success nor a message's failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// A short code, as `bad-request`.
    pub error: String,
    /// The field or header at fault, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, for a person.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_text_and_a_number_is_read() {
        assert_eq!(serde_json::to_string(&Ack { id: EventId(7) }).unwrap(), r#"{"id":"7"}"#);
        for json in [r#"{"id":"7"}"#, r#"{"id":7}"#] {
            assert_eq!(serde_json::from_str::<Ack>(json).unwrap().id, EventId(7));
        }
        for json in
            [r#"{"id":"+7"}"#, r#"{"id":-7}"#, r#"{"id":""}"#, r#"{"id":"99999999999999999999"}"#, r#"{"id":[]}"#]
        {
            assert!(serde_json::from_str::<Ack>(json).is_err(), "{json}");
        }
    }
}
