//! Typed views of messages, presence and iq (RFC 6120 §8), over the tree that was parsed.
//!
//! Addresses are text here. The namespace of a stanza is that of the stream it came by; stanzas made here are in
//! `jabber:client`. [`encode`] writes either for any stream: the content namespaces are equivalent (RFC 6120 §4.8.3).

mod common;
mod error; // RFC 6120 §8.3
mod iq; // RFC 6120 §8.2.3
mod message; // RFC 6121 §5.2
mod presence; // RFC 6121 §4.7

use bytes::BytesMut;
use strict_xml::{Element, write_element};

pub use common::{Delay, LangText};
pub use error::{Condition, ErrorType, StanzaError, error_reply};
pub use iq::{Iq, IqType};
pub use message::{Message, MessageType, Thread};
pub use presence::{Presence, PresenceType, Show};

/// One of the three kinds of stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stanza {
    /// `<message/>`
    Message(Message),
    /// `<presence/>`
    Presence(Presence),
    /// `<iq/>`
    Iq(Iq),
}

/// An element that is no valid stanza, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Rejected {
    /// The element as it came.
    pub element: Box<Element>,
    /// What is wrong with it.
    pub fault: StanzaFault,
}

/// What is wrong with a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StanzaFault {
    /// Neither message nor presence nor iq.
    #[error("not a stanza")]
    Kind,
    /// RFC 6120 §8.1.3.
    #[error("iq without id")]
    IqId,
    /// RFC 6120 §8.2.3.
    #[error("iq without one of the four types")]
    IqType,
    /// RFC 6120 §8.2.3.
    #[error("iq request without exactly one payload")]
    IqPayload,
    /// RFC 6121 §4.7.1.
    #[error("presence of unknown type")]
    PresenceType,
}

impl Rejected {
    /// The error stanza to send, if one may be sent.
    pub fn reply(&self) -> Option<Element> {
        error_reply(&self.element, &Condition::BadRequest.into())
    }
}

impl Stanza {
    /// Views an element as the stanza it is.
    pub fn from_element(element: Element) -> Result<Self, Rejected> {
        let reject = |element, fault| Err(Rejected { element: Box::new(element), fault });
        match element.name.as_str() {
            "message" => Ok(Self::Message(Message { element })),
            "presence" => match element.attr("type") {
                Some(kind) if PresenceType::parse(kind).is_none() => reject(element, StanzaFault::PresenceType),
                Some(_) | None => Ok(Self::Presence(Presence { element })),
            },
            "iq" => match check_iq(&element) {
                Ok(kind) => Ok(Self::Iq(Iq { element, kind })),
                Err(fault) => reject(element, fault),
            },
            _ => reject(element, StanzaFault::Kind),
        }
    }

    /// The element.
    pub fn element(&self) -> &Element {
        match self {
            Self::Message(message) => message.element(),
            Self::Presence(presence) => presence.element(),
            Self::Iq(iq) => iq.element(),
        }
    }
}

/// Appends a stanza as it stands inside a stream, whatever that stream's content namespace.
pub fn encode(out: &mut BytesMut, stanza: &Element) {
    // RFC 6120 §4.8.3: a stanza takes on the content namespace of the stream it is sent over.
    write_element(out, stanza, &stanza.ns);
}

fn check_iq(element: &Element) -> Result<IqType, StanzaFault> {
    if element.attr("id").is_none() {
        return Err(StanzaFault::IqId);
    }
    let kind = element.attr("type").and_then(IqType::parse).ok_or(StanzaFault::IqType)?;
    match kind {
        IqType::Get | IqType::Set if element.elements().count() != 1 => Err(StanzaFault::IqPayload),
        IqType::Get | IqType::Set | IqType::Result | IqType::Error => Ok(kind),
    }
}
