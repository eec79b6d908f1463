//! What a kit needs of the network behind an adapter: to make its users act, and to hear what they see.

use crate::{Adapter, Hop};
use async_trait::async_trait;
use bytes::Bytes;
use impp_model::{Address, Cause, Show};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The scripted network behind the adapter that is judged: written once for each protocol, on top of a fake server or fake
/// clients.
#[async_trait]
pub trait Network: Send + Sync {
    /// Who is there and what the network can do.
    fn profile(&self) -> Profile;

    /// Begins anew: nobody is connected, every message is confirmed at once; and makes an adapter for this network. What users
    /// have in their network for good (accounts) stays; so does what the adapter keeps by [`Hub::keep`](crate::Hub::keep).
    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable>;

    /// A listener of the adapter is open at `address`; called before anything else happens, if the profile says that it listens.
    fn listening(&mut self, address: SocketAddr) {
        let _ = address;
    }

    /// How the adapter reaches the users: the default is for links that stand already.
    fn hop(&self) -> Hop {
        Hop::Link
    }

    /// Makes something happen in the network. It has happened, or is on its way to the adapter, when this returns.
    async fn act(&mut self, act: Act) -> Result<(), Unable>;

    /// What a user in the network sees next, in the order in which it was seen. Cancel-safe.
    async fn seen(&mut self) -> Option<Seen>;
}

/// What a [`Network`] can do, as data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    /// A user of the network.
    pub user: Address,
    /// Another one.
    pub other: Address,
    /// Whether the adapter opens a listener, so that the network must hear its address.
    pub listens: bool,
    /// The causes with which the network can refuse a message, as the adapter must tell them.
    pub refusals: Vec<Cause>,
    /// Whether its users are asked before somebody watches them; else everybody may.
    #[serde(default = "asks")]
    pub asks: bool,
    /// Whether its users see the id that a message is carried under.
    pub shows_ids: bool,
    /// Whether it takes a second message of the same id for a repeat whatever came of the first, so that a new try needs a
    /// new id ([`Delivery::edition`](crate::Delivery::edition)).
    pub remembers_ids: bool,
}

fn asks() -> bool {
    true
}

/// Why a network can't do something: the case does not apply to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the network can't: {0}")]
pub struct Unable(pub String);

impl Unable {
    /// This, for this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Something that happens in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A user's device comes.
    Connect {
        /// Whose.
        user: Address,
        /// Its name.
        device: String,
    },
    /// It goes.
    Disconnect {
        /// Whose.
        user: Address,
        /// Its name.
        device: String,
    },
    /// A user sends a message; what becomes of it is [`Seen::Answer`].
    Send {
        /// Who.
        from: Address,
        /// To whom.
        to: Address,
        /// The sender's id for it.
        id: String,
        /// Its media type.
        content_type: String,
        /// What it says.
        body: Bytes,
    },
    /// From here on every message is received like this.
    Receive(Manner),
    /// A user answers a watcher.
    Authorize {
        /// Who.
        user: Address,
        /// Whom.
        watcher: Address,
        /// Whether it may watch.
        allow: bool,
    },
    /// A user subscribes to somebody elsewhere.
    Watch {
        /// Who.
        user: Address,
        /// To whom.
        presentity: Address,
    },
    /// A user ends that.
    Unwatch {
        /// Who.
        user: Address,
        /// To whom.
        presentity: Address,
    },
    /// A user's device tells its state.
    Publish {
        /// Who.
        user: Address,
        /// Its device.
        device: String,
        /// Whether it is there.
        open: bool,
        /// How.
        show: Option<Show>,
    },
}

/// How the network receives a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Confirms it at once.
    Confirm,
    /// Confirms it after so long.
    After(Duration),
    /// Takes it and never answers.
    Silent,
    /// Refuses it, in its own words for this cause.
    Refuse(Cause),
    /// Breaks the connection instead of answering.
    Vanish,
    /// Breaks the connection over which a user has heard that his message failed, before the adapter can know that he has.
    Cut,
}

/// Something that a user of the network sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// A message.
    Message {
        /// Whose.
        to: Address,
        /// From whom, as the network names it, read back by the network's own rules.
        from: Address,
        /// The id it is carried under.
        id: Option<String>,
        /// Its media type.
        content_type: String,
        /// What it says.
        body: Bytes,
    },
    /// What became of a message that this user sent.
    Answer {
        /// The sender's id.
        id: String,
        /// What.
        answer: Answer,
    },
    /// Somebody asks to watch.
    Asked {
        /// Whom.
        user: Address,
        /// Who.
        watcher: Address,
    },
    /// The state of somebody whom the user watches, as far as it is told by this.
    Presence {
        /// The watcher.
        user: Address,
        /// The one who is watched.
        presentity: Address,
        /// The open devices by their names, where the network shows devices; else one name for all.
        open: Vec<String>,
    },
    /// A subscription of this user is over.
    Ended {
        /// The watcher.
        user: Address,
        /// Who was watched.
        presentity: Address,
    },
}

/// What the sender of a message hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It arrived.
    Delivered,
    /// It is on its way.
    Accepted,
    /// It failed.
    Failed,
}
