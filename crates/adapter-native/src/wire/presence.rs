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
