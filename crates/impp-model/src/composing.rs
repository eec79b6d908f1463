//! RFC 3994, XEP-0085: whether somebody is composing a message.

use crate::message::{Endpoint, MaxForwards, Thread, TransId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Somebody's state in a conversation changed.
///
/// Worth nothing later: it is never kept, never tried again and never answered with a failure. Where a protocol lets a
/// state lapse (RFC 3994 §3.3), the adapter it came by hands in the state that follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComposingOperation {
    /// Whose state it is.
    pub source: Endpoint,
    /// Who is told.
    pub destination: Endpoint,
    /// How many gateways and relays it may still pass.
    pub max_forwards: MaxForwards,
    /// Correlates the answer with this operation on the side it came from.
    pub trans_id: TransId,
    /// The conversation, if named.
    pub thread: Option<Thread>,
    /// The state.
    pub state: ComposingState,
    /// While composing: how soon its source says so again, where it promises to.
    pub refresh: Option<Duration>,
    /// While composing: what, as a media type or the first half of one.
    pub content_type: Option<Arc<str>>,
}

/// The states of XEP-0085 §4; RFC 3994 knows the first ("active") and one for all others ("idle").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComposingState {
    /// Composing a message.
    Composing,
    /// Was composing and stopped for a while.
    Paused,
    /// Attends to the conversation without composing.
    Active,
    /// Does not attend to the conversation.
    Inactive,
    /// Has ended the conversation.
    Gone,
}

impl ComposingState {
    /// The name used in metrics and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Composing => "composing",
            Self::Paused => "paused",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Gone => "gone",
        }
    }

    /// Whether a message is being composed.
    pub fn is_composing(self) -> bool {
        self == Self::Composing
    }
}
