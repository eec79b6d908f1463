//! What a message carries beside its content: what it refers to, files, hints, and content that only the addressee can read.

use crate::message::{Content, MessageId};
use crate::{Address, Cause, Failure, Side};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a message refers to an earlier one of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Relation {
    /// XEP-0308: its content stands in place of that of the sender's message `id`.
    Replaces {
        /// The message corrected.
        id: MessageId,
    },
    /// XEP-0461: it answers message `id`.
    RepliesTo {
        /// The message answered.
        id: MessageId,
        /// Whose message that was, if named.
        author: Option<Address>,
        /// How many characters at the beginning of the content quote it, for those who can't show the reference.
        quoted: usize,
    },
    /// XEP-0444: its sender's reactions to message `id`, all of them.
    Reacts {
        /// The message reacted to.
        id: MessageId,
        /// The reactions; none takes earlier ones back.
        emojis: Vec<String>,
    },
    /// XEP-0424: its sender wants message `id` forgotten.
    Retracts {
        /// The message retracted.
        id: MessageId,
    },
}

impl Relation {
    /// The field's name in tables of capabilities and in counters.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Replaces { .. } => "correction",
            Self::RepliesTo { .. } => "reply",
            Self::Reacts { .. } => "reaction",
            Self::Retracts { .. } => "retraction",
        }
    }
}

/// XEP-0334: how a message wants to be treated on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// To be kept nowhere: it is sent at once or fails.
    pub no_store: bool,
    /// To be kept in no archive.
    pub no_permanent_store: bool,
    /// Not to be copied to the addressee's other devices.
    pub no_copy: bool,
    /// To be kept although it has no content to show.
    pub store: bool,
}

impl Hints {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// XEP-0066, RFC 4483: a file that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutOfBand {
    /// Where.
    pub url: String,
    /// A few words about it.
    pub description: Option<String>,
}

/// Content that only the addressee can read; what the message shows beside it is a stand-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The scheme: the namespace of an XMPP extension, or a media type.
    pub scheme: Arc<str>,
    /// The scheme's name for a person, if given (XEP-0380 §3).
    pub name: Option<String>,
    /// The payload, in the scheme's own form; octet for octet as it came.
    pub payload: Content,
}

impl Sealed {
    /// What its sender is told where the addressee's protocol does not carry it: a stand-in alone would say nothing.
    // CMP-070: ciphertext is never shown as text.
    pub fn refusal(&self) -> Failure {
        let scheme = self.name.as_deref().unwrap_or(&self.scheme);
        Failure::new(Side::Near, Cause::NotAcceptable)
            .with_text(format!("end-to-end encrypted content cannot be translated ({scheme})"))
    }
}
