//! The cases, in the order in which they run.

mod content;
mod life;
mod messages;
mod nature;
mod presence;
mod trouble;

use super::stand::{Judged, Stand};
use std::future::Future;
use std::pin::Pin;

/// One thing that an adapter must do.
#[derive(Debug)]
pub struct Case {
    /// Its name in reports and for [`Kit::only`](super::Kit::only).
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where the rule stands.
    pub rule: &'static str,
    pub(super) run: Run,
}

pub(super) type Run = for<'s, 'n> fn(&'s mut Stand<'n>) -> Pin<Box<dyn Future<Output = Judged> + Send + 's>>;

macro_rules! cases {
    ($($name:literal, $rule:literal, $title:literal => $($run:ident)::+;)+) => {
        /// Every case.
        pub const CASES: &[Case] = &[
            $(Case { name: $name, title: $title, rule: $rule, run: |stand| Box::pin($($run)::+(stand)) },)+
        ];
    };
}

cases! {
    "capabilities", "adapter-api: Capabilities", "what it says of itself is consistent" => nature::capabilities;
    "kinds", "adapter-api: Operation", "kinds that are not listed are refused as not implemented" => nature::kinds;
    "examine", "adapter-api: Adapter::examine", "a dry run sends nothing and names what is lost" => nature::examine;
    "addresses", "RFC 3860 §3.4.1", "an address comes back as it went out" => messages::addresses;
    "delivered", "DESIGN A5: told", "a confirmed message is a success, with its proof" => messages::delivered;
    "refused", "DESIGN A5: retry", "each refusal has its cause" => messages::refused;
    "answers", "RFC 3860 §3.4.1", "the sender hears what became of a message" => messages::answers;
    "proven-source", "adapter-api: Provenance", "who sent a message is proven" => messages::provenance;
    "order-out", "DESIGN A5: order", "messages go out in their order" => messages::order_out;
    "order-in", "DESIGN A5: order", "messages come in in their order" => messages::order_in;
    "repeat-out", "DESIGN A5: once", "a repeat has the id of its first try" => messages::repeat_out;
    "repeat-in", "DESIGN A5: once", "a message that comes twice keeps its id" => messages::repeat_in;
    "unknown-type", "RFC 3860 §3.3", "content of an unknown type is carried untouched or refused" => content::unknown_type;
    "sealed", "DESIGN A9", "what only the addressee can read is carried untouched or refused" => content::sealed;
    "unicode", "RFC 3629", "text survives in every script" => content::unicode;
    "controls", "DESIGN A5: once", "control characters make no second message" => content::controls;
    "large", "RFC 3860 §3.3", "64 KB arrive whole or are refused as too large" => content::large;
    "empty", "RFC 3860 §3.3", "an empty message is carried or refused" => content::empty;
    "slow", "adapter-api: Adapter::deliver", "a slow network delays neither deliver nor the truth" => trouble::slow;
    "silent", "DESIGN A5: told", "what nobody confirms is settled in time, and not as delivered" => trouble::silent;
    "vanish", "DESIGN A5: retry", "a network that goes away costs no message" => trouble::vanish;
    "back-pressure", "DESIGN A5: backpressure", "a full queue says so" => trouble::back_pressure;
    "owed", "adapter-api: Hub::owe", "word of a failure that a broken link took along is the hub's, flagged" => trouble::owed;
    "crash", "DESIGN A5: once", "after a crash in mid-delivery nothing is called delivered" => trouble::crash;
    "subscribe", "RFC 3859 §3.1", "a watcher asks, and is allowed" => presence::subscribe;
    "deny", "RFC 3859 §3.1", "a watcher asks, and is refused" => presence::deny;
    "watch", "RFC 3859 §3.1", "a user watches, sees the state, and stops" => presence::watch;
    "expire", "RFC 6665 §4.1.3", "a subscription that is over is told as over" => presence::expire;
    "refresh", "RFC 3859 §3.1", "a refresh asks nobody again" => presence::refresh;
    "devices", "DESIGN A6", "devices come and go one by one" => presence::devices;
    "restart", "DESIGN A6", "after a restart it serves as before, under the same ids" => life::restart;
    "shutdown", "adapter-api: Adapter::run", "it stops in time and leaves nothing unsettled" => life::shutdown;
}
