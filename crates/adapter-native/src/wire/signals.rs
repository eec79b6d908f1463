//! What is said about messages, and what stands beside a body.

use super::Receipt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message that this one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyTo {
    /// Its id.
    pub id: String,
    /// Who wrote it: `local@domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Reactions to a message: all of their sender's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reactions {
    /// The message's id.
    pub id: String,
    /// The reactions; none takes earlier ones back.
    pub emojis: Vec<String>,
}

/// A file that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileLink {
    /// Where.
    pub url: String,
    /// A few words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The body of `POST /v1/dispositions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendDisposition {
    /// The message's sender: `local@domain`, or an `im:` URI.
    pub to: String,
    /// The message's id, as its `message` event gave it.
    pub id: String,
    /// `delivery` or `display`: what has happened. Passed on once, and only if the sender asked for it.
    pub report: Receipt,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DispositionStatus {
    /// It reached the addressee's device.
    Delivered,
    /// It was shown.
    Displayed,
    /// It can't be delivered.
    Failed,
    /// It was not delivered in the time it had.
    Expired,
    /// A server on the way has handled it.
    Processed,
    /// A server on the way keeps it.
    Stored,
}

/// The data of a `disposition` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DispositionEvent {
    /// Whom the message was for: `local@domain`.
    pub from: String,
    /// That one's device, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_device: Option<String>,
    /// The message's id, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What became of it.
    pub disposition: DispositionStatus,
    /// For `failed` and `expired`: the reason code, as in logs and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For `failed` and `expired`: words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When the message was sent (RFC 3339).
    pub sent: String,
}

/// The body of `POST /v1/composing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetComposing {
    /// Who is told: `local@domain`, or an `im:` URI.
    pub to: String,
    /// The state.
    pub state: ComposingStatus,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Seconds after which `composing` ends unless it is said again; 120 if left out (RFC 3994).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u32>,
}

/// A state in a conversation (XEP-0085).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComposingStatus {
    /// Composing a message.
    Composing,
    /// Stopped composing for a while.
    Paused,
    /// Attending without composing.
    Active,
    /// Not attending.
    Inactive,
    /// The conversation is over.
    Gone,
}

/// The data of a `composing` event. Only devices that listen are told; it is worth nothing later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComposingEvent {
    /// Whose state it is: `local@domain`.
    pub from: String,
    /// That one's device, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_device: Option<String>,
    /// The state.
    pub state: ComposingStatus,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Seconds after which `composing` ends unless it comes again, where its source promises that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u64>,
}
