//! RFC 3860 §3.1: what became of an operation, with cause and whose fault.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What became of one operation, as told to the side it came from (RFC 3860 §3.4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Delivered; the proof says who confirmed it.
    Success(Proof),
    /// Given to a peer that an operator has exempted from confirming; never counted as delivered.
    HandedOver,
    /// Accepted, with no authoritative word yet (the spelling is that of RFC 3860).
    Indeterminant,
    /// Not delivered.
    Failure(Box<Failure>),
}

impl Outcome {
    /// The label used in logs, metrics and JSON.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Success(_) => "delivered",
            Self::HandedOver => "handed_over",
            Self::Indeterminant => "indeterminant",
            Self::Failure(_) => "failed",
        }
    }

    /// The reason code beside the label: the cause of a failure, the proof of a success, else empty.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Success(proof) => proof.label(),
            Self::HandedOver | Self::Indeterminant => "",
            Self::Failure(failure) => failure.cause.code(),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// Who confirmed a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The last hop or the addressee's device itself.
    Recipient,
    /// The addressee's server (stream management or a barrier).
    Server,
}

impl Proof {
    /// The label used in logs, metrics and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Server => "server",
        }
    }
}

/// Why an operation failed, whose fault that is, and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it is.
    pub side: Side,
    /// What went wrong, in the hub's terms.
    pub cause: Cause,
    /// Whether and when the same operation may be tried again.
    pub retry: Retry,
    /// The far side's own words, if it gave any; a person may read them, no code does.
    pub text: Option<String>,
    /// For [`Cause::Gone`] and [`Cause::Redirect`]: where the addressee is to be found.
    pub redirect: Option<crate::Address>,
    /// The far protocol's own code, for an adapter of the same protocol only.
    pub native: Option<Box<NativeCode>>,
    /// Whether the far side may have taken the operation though it says that it failed; see
    /// [`may_have_arrived`](Self::may_have_arrived).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
}

impl Failure {
    /// A failure with the retry class that is usual for its cause, and no details.
    pub fn new(side: Side, cause: Cause) -> Self {
        Self { side, cause, retry: cause.usual_retry(), text: None, redirect: None, native: None, uncertain: false }
    }

    /// The same failure of a far side that may have taken the operation all the same.
    #[must_use]
    pub fn with_doubt(mut self) -> Self {
        self.uncertain = true;
        self
    }

    /// Whether the far side may have taken what failed so: tried again, it must be known for a repeat.
    pub fn may_have_arrived(&self) -> bool {
        self.uncertain || matches!(self.cause, Cause::Unconfirmed | Cause::RemoteTimeout)
    }

    /// The same failure with words for a person.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same failure with another retry class.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same failure with the far protocol's own code.
    #[must_use]
    pub fn with_native(mut self, protocol: &'static str, code: impl Into<String>) -> Self {
        self.native = Some(Box::new(NativeCode { protocol: protocol.into(), code: code.into() }));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.code())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

/// A code as the far protocol spells it, with that protocol's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeCode {
    /// The protocol, as in `Capabilities`.
    pub protocol: std::borrow::Cow<'static, str>,
    /// The code, meaningful to that protocol's adapter only.
    pub code: String,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The side the operation came from.
    Near,
    /// The side it was to go to.
    Far,
    /// This gateway or its configuration.
    Ours,
}

/// Whether the same operation may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After at least this long, at the same hop.
    After(Duration),
    /// At once at the next target, if there is one.
    NextTarget,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $retry:expr;)+) => {
        /// What went wrong, in terms that every protocol's error table covers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Cause { $($(#[$doc])* $name,)+ }

        impl Cause {
            /// Every cause, for total tables and their tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The reason code used in traces, logs and metrics.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The retry class that goes with the cause unless the far side says otherwise (DESIGN A5).
            pub fn usual_retry(self) -> Retry {
                match self { $(Self::$name => $retry,)+ }
            }
        }
    };
}

/// How long to wait before the next try when the far side names no time: short against any expiry, long against a restart.
const PAUSE: Duration = Duration::from_secs(5);

causes! {
    /// The far side found the request malformed.
    BadRequest = "bad-request", Retry::Never;
    /// The far side already has something of that name.
    Conflict = "conflict", Retry::Never;
    /// The far side does not implement what was asked.
    NotImplemented = "feature-not-implemented", Retry::Never;
    /// The sender may not do this.
    Forbidden = "forbidden", Retry::Never;
    /// The addressee has left, perhaps for a new address.
    Gone = "gone", Retry::Never;
    /// The far side failed inside.
    InternalError = "internal-server-error", Retry::After(PAUSE);
    /// No such addressee.
    NotFound = "item-not-found", Retry::Never;
    /// An address cannot be expressed in the far protocol.
    AddressMalformed = "address-malformed", Retry::Never;
    /// The far side can't take this form of content.
    NotAcceptable = "not-acceptable", Retry::Never;
    /// Nobody may do this.
    NotAllowed = "not-allowed", Retry::Never;
    /// The far side wants proof of who asks.
    NotAuthorized = "not-authorized", Retry::Never;
    /// A rule of the far side forbids it.
    PolicyViolation = "policy-violation", Retry::Never;
    /// The addressee can't be reached at the moment.
    RecipientUnavailable = "recipient-unavailable", Retry::Never;
    /// The addressee is elsewhere for a while.
    Redirect = "redirect", Retry::Never;
    /// The sender must register first.
    RegistrationRequired = "registration-required", Retry::Never;
    /// The addressee's domain does not exist, or serves nothing we speak.
    RemoteNotFound = "remote-server-not-found", Retry::Never;
    /// The addressee's domain exists and does not answer.
    RemoteTimeout = "remote-server-timeout", Retry::NextTarget;
    /// The far side is short of something.
    ResourceConstraint = "resource-constraint", Retry::After(PAUSE);
    /// The far side does not offer this to the sender; an account may or may not exist.
    ServiceUnavailable = "service-unavailable", Retry::Never;
    /// The sender must subscribe first.
    SubscriptionRequired = "subscription-required", Retry::Never;
    /// The far side gave no standard reason.
    Undefined = "undefined-condition", Retry::Never;
    /// The far side did not expect the request at this point.
    UnexpectedRequest = "unexpected-request", Retry::Never;
    /// RFC 3860 §3.4.2: MaxForwards was used up.
    HopsExhausted = "hops-exhausted", Retry::Never;
    /// The operation has come back to where it was.
    Loop = "loop-detected", Retry::Never;
    /// The content type can't be carried there.
    UnsupportedMedia = "unsupported-media", Retry::Never;
    /// The content is larger than the far side or its path takes.
    TooLarge = "too-large", Retry::Never;
    /// The source's domain was not proven for the peer it came from.
    SourceNotProven = "source-not-proven", Retry::Never;
    /// Neither end is served here: there is no open relay.
    RelayDenied = "relay-denied", Retry::Never;
    /// A policy rule of this gateway refuses it.
    PolicyDenied = "policy-denied", Retry::Never;
    /// An operator took it out of the queue.
    Withdrawn = "withdrawn", Retry::Never;
    /// No adapter serves the addressee's domain for this source.
    NoRoute = "no-route", Retry::Never;
    /// A name server failed; the domain may well exist.
    DnsFailure = "dns-failure", Retry::After(PAUSE);
    /// A queue of this gateway is full.
    Overload = "overload", Retry::After(PAUSE);
    /// So much waits for the next hop as the ledger has room left for all others.
    HopBacklog = "hop-backlog", Retry::After(PAUSE);
    /// The link to the next hop is down.
    LinkDown = "link-down", Retry::After(PAUSE);
    /// The next hop's confirmation did not come in time.
    Unconfirmed = "unconfirmed", Retry::After(PAUSE);
    /// The gateway is shutting down.
    ShuttingDown = "shutting-down", Retry::After(PAUSE);
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_survive_json() {
        let mut codes: Vec<_> = Cause::ALL.iter().map(|c| c.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Cause::ALL.len());
        let failure = Failure::new(Side::Far, Cause::Gone).with_text("moved").with_native("sip", "301");
        let json = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&json).unwrap(), failure);
    }
}
