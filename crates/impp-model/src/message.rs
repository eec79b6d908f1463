//! RFC 3860 §3.1: the message operation and what it carries.

use crate::annotation::{Hints, OutOfBand, Relation, Sealed};
use crate::composing::ComposingOperation;
use crate::disposition::{DispositionOperation, Receipts, ReturnPath};
use crate::presence::{AuthorizeOperation, NotifyOperation, PublishOperation, SubscribeOperation};
use crate::{Address, DateTime, Device, Passed};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One operation of the abstract services of RFC 3859 and RFC 3860.
///
/// An open set: an adapter answers a kind that its capabilities do not list with `feature-not-implemented`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// RFC 3860 §3.1.
    Message(Box<MessageOperation>),
    /// RFC 5438: word to the sender of an accepted message about what became of it later.
    Disposition(Box<DispositionOperation>),
    /// RFC 3994: whether somebody is composing.
    Composing(Box<ComposingOperation>),
    /// RFC 3859 §3.1: a WATCHER asks.
    Subscribe(Box<SubscribeOperation>),
    /// RFC 3859 §3.1: a PRESENTITY tells one WATCHER.
    Notify(Box<NotifyOperation>),
    /// A PRESENTITY allows or refuses a WATCHER.
    Authorize(Box<AuthorizeOperation>),
    /// A PRESENTITY tells the gateway.
    Publish(Box<PublishOperation>),
}

impl Operation {
    /// The kind, as metrics and capabilities name it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Message(_) => Kind::Message,
            Self::Disposition(_) => Kind::Disposition,
            Self::Composing(_) => Kind::Composing,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::Notify(_) => Kind::Notify,
            Self::Authorize(_) => Kind::Authorize,
            Self::Publish(_) => Kind::Publish,
        }
    }

    /// The end it comes from.
    pub fn source(&self) -> &Endpoint {
        match self {
            Self::Message(operation) => &operation.source,
            Self::Disposition(operation) => &operation.source,
            Self::Composing(operation) => &operation.source,
            Self::Subscribe(operation) => &operation.watcher,
            Self::Notify(operation) => &operation.target,
            Self::Authorize(operation) => &operation.target,
            Self::Publish(operation) => &operation.source,
        }
    }

    /// Whether it may wait in a store for a later try: what is worth nothing later and what forbids it (XEP-0334 §4.2) may not.
    pub fn may_be_stored(&self) -> bool {
        match self {
            Self::Message(operation) => !operation.message.hints.no_store,
            Self::Disposition(_) => true,
            Self::Composing(_) => false,
            // Presence is state, and kept as such.
            Self::Subscribe(_) | Self::Notify(_) | Self::Authorize(_) | Self::Publish(_) => false,
        }
    }

    /// The end it comes from, to be named anew.
    pub fn source_mut(&mut self) -> &mut Endpoint {
        match self {
            Self::Message(operation) => &mut operation.source,
            Self::Disposition(operation) => &mut operation.source,
            Self::Composing(operation) => &mut operation.source,
            Self::Subscribe(operation) => &mut operation.watcher,
            Self::Notify(operation) => &mut operation.target,
            Self::Authorize(operation) => &mut operation.target,
            Self::Publish(operation) => &mut operation.source,
        }
    }

    /// The end it goes to, to be named anew.
    pub fn destination_mut(&mut self) -> &mut Endpoint {
        match self {
            Self::Message(operation) => &mut operation.destination,
            Self::Disposition(operation) => &mut operation.destination,
            Self::Composing(operation) => &mut operation.destination,
            Self::Subscribe(operation) => &mut operation.target,
            Self::Notify(operation) => &mut operation.watcher,
            Self::Authorize(operation) => &mut operation.watcher,
            // What is published goes to nobody by name.
            Self::Publish(operation) => &mut operation.source,
        }
    }

    /// Gives up the entity that a message came as: what names its ends otherwise is written anew.
    // RFC 3862 §2.2: what is changed is a new object; the old one's From and To would name others.
    pub fn forget_object(&mut self) {
        if let Self::Message(operation) = self {
            operation.message.object = None;
        }
    }

    /// How many gateways and relays it may still pass (RFC 3860 §3.4.2); the operations of presence count none.
    pub fn max_forwards_mut(&mut self) -> Option<&mut MaxForwards> {
        match self {
            Self::Message(operation) => Some(&mut operation.max_forwards),
            Self::Disposition(operation) => Some(&mut operation.max_forwards),
            Self::Composing(operation) => Some(&mut operation.max_forwards),
            Self::Subscribe(_) | Self::Notify(_) | Self::Authorize(_) | Self::Publish(_) => None,
        }
    }

    /// The end it goes to.
    pub fn destination(&self) -> &Endpoint {
        match self {
            Self::Message(operation) => &operation.destination,
            Self::Disposition(operation) => &operation.destination,
            Self::Composing(operation) => &operation.destination,
            Self::Subscribe(operation) => &operation.target,
            Self::Notify(operation) => &operation.watcher,
            Self::Authorize(operation) => &operation.watcher,
            // What is published goes to nobody by name.
            Self::Publish(operation) => &operation.source,
        }
    }
}

/// A kind of [`Operation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// An INSTANT MESSAGE.
    Message,
    /// Word about one.
    Disposition,
    /// Whether one is being composed.
    Composing,
    /// A WATCHER asks.
    Subscribe,
    /// A PRESENTITY tells a WATCHER.
    Notify,
    /// A PRESENTITY allows or refuses a WATCHER.
    Authorize,
    /// A PRESENTITY tells the gateway.
    Publish,
}

impl Kind {
    /// Whether it belongs to presence (RFC 3859) rather than to messages: never in the ledger, kept as state.
    pub fn is_presence(self) -> bool {
        matches!(self, Self::Subscribe | Self::Notify | Self::Authorize | Self::Publish)
    }

    /// The label used in metrics and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Disposition => "disposition",
            Self::Composing => "composing",
            Self::Subscribe => "subscribe",
            Self::Notify => "notify",
            Self::Authorize => "authorize",
            Self::Publish => "publish",
        }
    }
}

/// The attributes of the message operation (RFC 3860 §3.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageOperation {
    /// The SENDER.
    pub source: Endpoint,
    /// The INSTANT INBOX.
    pub destination: Endpoint,
    /// How many gateways and relays it may still pass.
    pub max_forwards: MaxForwards,
    /// Correlates the answer with this operation on the side it came from.
    pub trans_id: TransId,
    /// What the message says.
    pub message: InstantMessage,
}

/// One end of an operation: an address, and the device there when it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The INSTANT INBOX ADDRESS or PRESENTITY.
    pub address: Address,
    /// The XMPP resource, the `gr` of a SIP URI, a native device.
    pub device: Option<Device>,
}

impl Endpoint {
    /// An end without a known device.
    pub fn bare(address: Address) -> Self {
        Self { address, device: None }
    }
}

/// RFC 3860 §3.4.2: how many relays may still pass an operation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MaxForwards(pub u8);

impl MaxForwards {
    /// For sources without a hop count of their own.
    // DEVIATES RFC 3860 §3.4.2: it recommends more than one hundred; one above SIP's 70 (RFC 3261 §8.1.1.6)
    // lets the far side of this gateway start with the value that SIP elements expect.
    pub const INITIAL: Self = Self(71);

    pub(crate) fn initial() -> Self {
        Self::INITIAL
    }

    /// One hop less, or `None` when it was used up.
    pub fn decremented(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as the source gave it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_newtype! {
    /// Correlates an operation with its answer on one side (RFC 3860 §3.1); unique there, at least 40 octets are kept.
    TransId
}
text_newtype! {
    /// The message's identity as its sender gave it: stanza id, IMDN Message-ID, native id.
    MessageId
}
text_newtype! {
    /// The conversation a message belongs to: XMPP thread, SIP Call-ID. Any text.
    Thread
}
text_newtype! {
    /// A language tag as the source gave it (RFC 5646).
    LanguageTag
}

/// An INSTANT MESSAGE (RFC 2778 §2.2) with everything that the direct SIP-XMPP mappings carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstantMessage {
    /// The sender's own id, if it gave one.
    pub id: Option<MessageId>,
    /// The conversation, if named.
    pub thread: Option<Thread>,
    /// Subjects, at most one a language; the first is the one to show when only one can be.
    pub subjects: Vec<LangText>,
    /// When it was first sent, if it was delayed on its way or its protocol stamps messages.
    pub sent: Option<DateTime>,
    /// Which reports the sender wants.
    pub receipts: Receipts,
    /// The content to show.
    pub content: Content,
    /// The same in other languages or richer types, best last.
    pub alternatives: Vec<Content>,
    /// How it refers to earlier messages.
    #[serde(default)]
    pub relations: Vec<Relation>,
    /// How it wants to be treated on its way.
    #[serde(default)]
    pub hints: Hints,
    /// Files that lie elsewhere; their URLs stand in the content, too.
    #[serde(default)]
    pub files: Vec<OutOfBand>,
    /// What only the addressee can read; `content` is a stand-in then.
    #[serde(default)]
    pub sealed: Option<Sealed>,
    /// The MIME entity it came as, octet for octet, where a relay between networks of the same formats passes that on:
    /// message/cpim, multipart/signed. `content` says the same to everybody else.
    #[serde(default)]
    pub object: Option<Bytes>,
    /// What the adapter it came by wants back with every word about it.
    #[serde(default)]
    pub return_path: Option<ReturnPath>,
    /// Which gateways it has passed.
    #[serde(default)]
    pub passed: Passed,
}

impl InstantMessage {
    /// A message that carries `content` and nothing else.
    pub fn new(content: Content) -> Self {
        Self {
            id: None,
            thread: None,
            subjects: Vec::new(),
            sent: None,
            receipts: Receipts::default(),
            content,
            alternatives: Vec::new(),
            relations: Vec::new(),
            hints: Hints::default(),
            files: Vec::new(),
            sealed: None,
            object: None,
            return_path: None,
            passed: Passed::default(),
        }
    }
}

/// Text in a language, where one is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LangText {
    /// The language, if marked.
    pub language: Option<LanguageTag>,
    /// The text.
    pub text: String,
}

/// One MIME entity. Text is always UTF-8: adapters recode on the way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The media type in lower case without parameters, as `text/plain`.
    pub media_type: Arc<str>,
    /// The language, if marked.
    pub language: Option<LanguageTag>,
    /// The octets; line ends as the source had them.
    pub octets: Bytes,
}

impl Content {
    /// The media type every adapter carries (RFC 3428 §7, RFC 7572 §7).
    pub const TEXT: &'static str = "text/plain";

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { media_type: Self::TEXT.into(), language: None, octets: Bytes::from(text.into()) }
    }

    /// The text, when this is plain text in UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        (&*self.media_type == Self::TEXT).then(|| std::str::from_utf8(&self.octets).ok()).flatten()
    }
}
