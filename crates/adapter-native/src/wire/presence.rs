//! The JSON documents of presence.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The JSON body of `PUT /v1/presence`: the state of the user's device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPresence {
    /// Whether the device takes messages.
    pub basic: BasicStatus,
    /// How it is available; nothing when it just is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<ShowValue>,
    /// A comment for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The language of the note (RFC 5646).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// -128 to 127, as in XMPP: where messages go when several devices are available. Other networks see no negative one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
}

/// The data of a `presence` event: the complete state of a presentity.
///
/// `basic`, `show`, `note`, `lang` and `priority` are those of the most available device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresenceEvent {
    /// The presentity: `local@domain`.
    pub from: String,
    /// The watcher: `local@domain`.
    pub to: String,
    /// Whether any device takes messages.
    pub basic: BasicStatus,
    /// How it is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<ShowValue>,
    /// A comment for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The language of the note, if marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// -128 to 127, as in XMPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
    /// Every device of which a state is known; one that was listed before and is not any more is no longer available.
    #[serde(default)]
    pub devices: Vec<DevicePresence>,
}

/// The JSON body of `POST /v1/subscriptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The presentity: `local@domain` or a `pres:` URI.
    pub target: String,
    /// Seconds; left out, the subscription lasts until it is ended. 0 asks for the state once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
}

/// The JSON body of `POST /v1/authorizations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// The watcher: `local@domain` or a `pres:` URI.
    pub watcher: String,
    /// Whether it may watch; `false` also takes back what was allowed before.
    pub allow: bool,
}

/// The answer to a call about presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresenceResult {
    /// The subscription's id, for `DELETE /v1/subscriptions/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Names the operation.
    pub trans_id: String,
    /// `success` or `failure`.
    pub status: String,
    /// Why it failed, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For `trace`.
    pub trace: String,
}

/// The data of a `subscription` event: a request for the user's presence, or how a subscription of the user stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionEvent {
    /// Who watches: `local@domain`.
    pub watcher: String,
    /// Who is watched.
    pub target: String,
    /// `requested` and `withdrawn` by another watcher; `pending`, `active`, `refused`, `terminated` of one's own.
    pub state: String,
    /// Why it is over (RFC 6665 §4.1.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DevicePresence {
    /// Its name; empty when it has none.
    pub device: String,
    /// Whether it takes messages.
    pub basic: BasicStatus,
    /// How it is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<ShowValue>,
    /// Comments, at most one for each language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteText>,
    /// -128 to 127, as in XMPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
}

/// A comment in a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteText {
    /// The text.
    pub text: String,
    /// The language, if marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
}

/// RFC 3863 §4.1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BasicStatus {
    /// Takes messages.
    Open,
    /// Takes none.
    Closed,
}

/// RFC 6121 §4.7.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShowValue {
    /// For the moment.
    Away,
    /// Wants to talk.
    Chat,
    /// Busy.
    Dnd,
    /// For longer.
    Xa,
}
