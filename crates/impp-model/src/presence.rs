//! RFC 3859 §3: the operations of presence, and PRESENCE INFORMATION as they carry it.

use crate::{Device, Endpoint, LangText, Sealed, TransId};
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names a SUBSCRIPTION (RFC 3859 §3.1): unique over time, at least 40 octets are kept.
///
/// One of at most 22 octets takes no memory of its own: there may be hundreds of thousands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct SubscriptId(IdText);

/// The text of an id, in one form for each.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum IdText {
    /// Its length, and its octets with zeros behind them.
    Short(u8, [u8; SHORT]),
    Long(Arc<str>),
}

/// As many octets as fit beside the length where the pointer of a longer text would be.
const SHORT: usize = 22;

impl SubscriptId {
    /// The text as its maker gave it.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // They were taken from a text as a whole.
            IdText::Short(length, octets) => {
                std::str::from_utf8(octets.get(..usize::from(*length)).unwrap_or_default()).unwrap_or_default()
            }
            IdText::Long(text) => text,
        }
    }
}

impl From<&str> for SubscriptId {
    fn from(text: &str) -> Self {
        let mut octets = [0; SHORT];
        let place = octets.get_mut(..text.len());
        match (u8::try_from(text.len()), place) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(text.as_bytes());
                Self(IdText::Short(length, octets))
            }
            (Ok(_) | Err(_), _) => Self(IdText::Long(text.into())),
        }
    }
}

impl From<String> for SubscriptId {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Serialize for SubscriptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for SubscriptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SubscriptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubscriptId").field(&self.as_str()).finish()
    }
}

/// The subscribe operation (RFC 3859 §3.1): from a WATCHER to a PRESENTITY.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscribeOperation {
    /// The WATCHER.
    pub watcher: Endpoint,
    /// The PRESENTITY.
    pub target: Endpoint,
    /// What the watcher wants.
    pub wish: Wish,
    /// Names the subscription on the side it came from.
    pub subscript_id: SubscriptId,
    /// Correlates the answer with this operation.
    pub trans_id: TransId,
}

/// What a subscribe operation asks for. RFC 3859 has it all in one duration; the protocols keep these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Notifications for so long, from the side that makes the subscription (SIP).
    Watch(Duration),
    /// The same subscription for so long from now on: a refresh.
    Extend(Duration),
    /// Notifications until withdrawn (XMPP, native).
    Standing,
    /// One notification and no subscription: a FETCHER (RFC 2778 §2.3).
    Fetch,
    /// No more notifications; the authorization stays.
    Pause,
    /// No more notifications, and the authorization is given back.
    Cancel,
    /// Whether the PRESENTITY is there and its server answers (RFC 8048 §8.1); no notification follows.
    Check,
}

impl Wish {
    /// The label used in traces and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Watch(_) => "watch",
            Self::Extend(_) => "extend",
            Self::Standing => "standing",
            Self::Fetch => "fetch",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
            Self::Check => "check",
        }
    }
}

/// The notify operation (RFC 3859 §3.1): from a PRESENTITY to one WATCHER, and to nobody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotifyOperation {
    /// The PRESENTITY.
    pub target: Endpoint,
    /// The WATCHER.
    pub watcher: Endpoint,
    /// Which subscription it belongs to, where the side it goes to or comes from knows several.
    pub subscript_id: Option<SubscriptId>,
    /// Unique for each notify (RFC 3859 §3.4.2).
    pub trans_id: TransId,
    /// How the subscription stands.
    pub standing: Standing,
    /// What the PRESENTITY's state is, or how it differs from the one before.
    pub news: News,
}

/// How a subscription stands, as its PRESENTITY's side tells (RFC 6665 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The PRESENTITY has not decided.
    Pending {
        /// How long it lasts from now, where that is bounded.
        expires: Option<Duration>,
    },
    /// Notifications flow.
    Active {
        /// How long it lasts from now, where that is bounded.
        expires: Option<Duration>,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// Not to be tried again before so long.
        retry_after: Option<Duration>,
    },
}

/// Why a subscription ended (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// To be made again at once, elsewhere.
    Deactivated,
    /// To be made again later.
    Probation,
    /// Refused by the PRESENTITY or its policy: the authorization is over.
    Rejected,
    /// It was not refreshed, or was ended by its watcher.
    Timeout,
    /// The PRESENTITY did not decide in time.
    GiveUp,
    /// There is no such PRESENTITY: the authorization is over.
    NoResource,
    /// The state will never change: the last one stays true.
    Invariant,
    /// The dialog broke, or the reason is not known: it may be made again.
    Unknown,
}

impl EndReason {
    /// The reason as RFC 6665 §4.1.3 writes it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::GiveUp => "giveup",
            Self::NoResource => "noresource",
            Self::Invariant => "invariant",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the authorization is over with the subscription (RFC 8048 §5.2.2).
    pub fn ends_authorization(self) -> bool {
        matches!(self, Self::Rejected | Self::NoResource)
    }
}

/// The state that a notify carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// None: the last one stays true (RFC 3856 §6.8).
    Nothing,
    /// All of it.
    Whole(Arc<PresenceInfo>),
    /// That of one device; the others stay as they were.
    Device(Box<PresenceTuple>),
}

/// A PRESENTITY's answer to a WATCHER: RFC 2778's access rules, as far as one watcher is concerned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthorizeOperation {
    /// The PRESENTITY.
    pub target: Endpoint,
    /// The WATCHER.
    pub watcher: Endpoint,
    /// Whether it may watch: `false` refuses, and takes back what was allowed before.
    pub allow: bool,
    /// Unique for each.
    pub trans_id: TransId,
}

/// A PRESENTITY tells its own state to the gateway, which notifies those who may watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishOperation {
    /// The PRESENTITY, and its device.
    pub source: Endpoint,
    /// That device's state; none when it takes it back.
    pub state: Option<Arc<PresenceInfo>>,
    /// Correlates the answer with this operation.
    pub trans_id: TransId,
}

/// PRESENCE INFORMATION (RFC 2778 §2.4): the complete state of one PRESENTITY as one WATCHER may see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PresenceInfo {
    /// The PRESENCE TUPLES, one for each device, in the order of the source.
    pub tuples: Vec<PresenceTuple>,
    /// Comments on the PRESENTITY as a whole.
    pub notes: Vec<LangText>,
    /// The PIDF document it was read from: relayed octet for octet to who reads PIDF (RFC 3859 §3.3).
    pub pidf: Option<Bytes>,
}

impl PresenceInfo {
    /// Whether any device is open.
    pub fn is_open(&self) -> bool {
        self.tuples.iter().any(|tuple| tuple.basic == Basic::Open)
    }

    /// The tuple to show where there is room for one: the most available, and of equals the one of highest priority.
    pub fn most_available(&self) -> Option<&PresenceTuple> {
        let rank = |tuple: &PresenceTuple| {
            let show = match tuple.show {
                Some(Show::Chat) => 4,
                None => 3,
                Some(Show::Away) => 2,
                Some(Show::Xa) => 1,
                Some(Show::Dnd) => 0,
            };
            (tuple.basic == Basic::Open, show, tuple.priority.unwrap_or_default())
        };
        // Of equal ones the first.
        self.tuples.iter().rev().max_by_key(|tuple| rank(tuple))
    }

    /// The tuples whose devices `after` no longer names: what it tells is the complete state (RFC 3856 §6.8).
    pub fn vanished<'a>(&'a self, after: &'a Self) -> impl Iterator<Item = &'a PresenceTuple> {
        let still = |tuple: &PresenceTuple| after.tuples.iter().any(|other| other.device == tuple.device);
        self.tuples.iter().filter(move |tuple| !still(tuple))
    }

    /// The tuples that may be shown to others than the WATCHER's own client.
    pub fn readable(&self) -> impl Iterator<Item = &PresenceTuple> {
        self.tuples.iter().filter(|tuple| tuple.sealed.is_none())
    }

    /// The latest protected document, when there is nothing that may be read beside such.
    pub fn sealed(&self) -> Option<&Sealed> {
        let readable = self.readable().next().is_some();
        self.tuples.iter().rev().find_map(|tuple| tuple.sealed.as_deref()).filter(|_| !readable)
    }

    /// Sets the state of one device; the document it was read from no longer says the same and goes.
    pub fn set_device(&mut self, tuple: PresenceTuple) {
        self.pidf = None;
        match self.tuples.iter_mut().find(|known| known.device == tuple.device) {
            Some(known) => *known = tuple,
            None => self.tuples.push(tuple),
        }
    }
}

/// A PRESENCE TUPLE: the state of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresenceTuple {
    /// The device: an XMPP resource, what PIDF's tuple id names; none where the source names no device.
    pub device: Option<Device>,
    /// Whether it is there.
    pub basic: Basic,
    /// How it is there.
    pub show: Option<Show>,
    /// From -128 to 127, the highest first to be asked; negative ones take no messages (RFC 6121 §4.7.2.3).
    pub priority: Option<i8>,
    /// Comments, at most one a language.
    pub notes: Vec<LangText>,
    /// Where it is reached: a URI.
    pub contact: Option<Arc<str>>,
    /// When this state began.
    pub since: Option<crate::DateTime>,
    /// The document that only the WATCHER can read or check; the rest is what its envelope shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Box<Sealed>>,
}

impl PresenceTuple {
    /// A device's state and nothing more about it.
    pub fn new(device: Option<Device>, basic: Basic) -> Self {
        Self { device, basic, show: None, priority: None, notes: Vec::new(), contact: None, since: None, sealed: None }
    }
}

/// STATUS (RFC 2778 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basic {
    /// Messages are taken.
    Open,
    /// They are not.
    Closed,
}

impl Basic {
    /// The value as RFC 3863 §4.1.4 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// The value of this exact text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Closed].into_iter().find(|basic| basic.as_str() == text)
    }
}

/// How a device is there (RFC 6121 §4.7.2.1), from most to least available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Wants to talk.
    Chat,
    /// Away for a while.
    Away,
    /// Away for long.
    Xa,
    /// Does not want to be disturbed.
    Dnd,
}

impl Show {
    /// The value as RFC 6121 §4.7.2.1 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Away => "away",
            Self::Xa => "xa",
            Self::Dnd => "dnd",
        }
    }

    /// The value of this exact text; there are no others (RFC 6121 §4.7.2.1).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Away, Self::Xa, Self::Dnd].into_iter().find(|show| show.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Operation};

    fn end(address: &str) -> Endpoint {
        Endpoint::bare(address.parse().unwrap())
    }

    #[test]
    fn an_id_is_the_same_text_however_long_it_is() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 40] {
            let text = "\u{fc}".repeat(length / 2) + &"x".repeat(length % 2);
            let id = SubscriptId::from(text.clone());
            assert_eq!((id.as_str(), matches!(id.0, IdText::Short(..))), (&*text, length <= SHORT));
            assert_eq!(serde_json::from_str::<SubscriptId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }
        assert_eq!(std::mem::size_of::<Option<SubscriptId>>(), 24);
    }

    #[test]
    fn operations_survive_json_with_both_ends() {
        let info = PresenceInfo { tuples: vec![PresenceTuple::new(None, Basic::Open)], ..PresenceInfo::default() };
        let notify = Operation::Notify(Box::new(NotifyOperation {
            target: end("t@a.example"),
            watcher: end("w@b.example"),
            subscript_id: Some("s".repeat(40).into()),
            trans_id: "n".into(),
            standing: Standing::Active { expires: Some(Duration::from_secs(60)) },
            news: News::Whole(Arc::new(info)),
        }));
        let json = serde_json::to_string(&notify).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&json).unwrap(), notify);
        assert_eq!(
            (notify.kind(), notify.source(), notify.destination()),
            (Kind::Notify, &end("t@a.example"), &end("w@b.example"))
        );
        assert!(notify.kind().is_presence() && !Kind::Disposition.is_presence());
    }

    // checks: PRS-047, MOD-05
    #[test]
    fn a_device_that_changes_is_replaced_and_a_new_one_added() {
        let tuple = |device: &str, basic| PresenceTuple::new(Some(Device::new(device).unwrap()), basic);
        let mut info = PresenceInfo { pidf: Some(Bytes::from_static(b"<presence/>")), ..PresenceInfo::default() };
        info.set_device(tuple("a", Basic::Open));
        info.set_device(tuple("b", Basic::Closed));
        info.set_device(tuple("a", Basic::Closed));
        assert_eq!(info.tuples, [tuple("a", Basic::Closed), tuple("b", Basic::Closed)]);
        assert!(!info.is_open() && info.pidf.is_none());
    }

    // checks: PRS-047, PRS-049
    #[test]
    fn the_most_available_device_is_shown_and_those_that_vanished_are_found() {
        let tuple = |device: &str, basic, show, priority| PresenceTuple {
            show,
            priority: Some(priority),
            ..PresenceTuple::new(Some(Device::new(device).unwrap()), basic)
        };
        let mut info = PresenceInfo::default();
        assert_eq!(info.most_available(), None);
        info.tuples = vec![
            tuple("closed", Basic::Closed, None, 127),
            tuple("dnd", Basic::Open, Some(Show::Dnd), 9),
            tuple("away", Basic::Open, Some(Show::Away), 0),
            tuple("same", Basic::Open, Some(Show::Away), 0),
        ];
        assert_eq!(info.most_available(), Some(&info.tuples[2]));
        let after = PresenceInfo { tuples: info.tuples[1..3].to_vec(), ..PresenceInfo::default() };
        assert_eq!(info.vanished(&after).collect::<Vec<_>>(), [&info.tuples[0], &info.tuples[3]]);
        assert_eq!((Show::parse("online"), Basic::parse("OPEN")), (None, None));
    }

    #[test]
    fn reasons_that_end_the_authorization() {
        let ends = [EndReason::Rejected, EndReason::NoResource];
        for reason in
            [EndReason::Deactivated, EndReason::Probation, EndReason::Timeout, EndReason::GiveUp, EndReason::Unknown]
        {
            assert!(!reason.ends_authorization(), "{}", reason.label());
        }
        assert!(ends.iter().all(|reason| reason.ends_authorization()));
    }
}
