//! Entry points for fuzzers: any octets in, broken promises panic.

use crate::mapping::{Names, Seen, message_content, read_event};
use adapter_api::model::{Address, Domain, Endpoint, MaxForwards, MessageOperation, PresenceInfo, TransId};

/// Reads one event: the message that it says, to somebody elsewhere, and whose state it tells.
///
/// Checks that only users of the homeserver say anything, and that what was said can be said again.
pub fn event(input: &[u8]) -> (Option<MessageOperation>, Option<(Endpoint, PresenceInfo)>) {
    let Ok(event) = serde_json::from_slice(input) else { return (None, None) };
    let domain = Domain::parse("example.com").expect("a constant domain");
    let names = Names { domain: domain.clone(), ghosts: "il_".to_owned() };
    match read_event(&names, &event) {
        Some(Seen::Said { sender, message, .. }) => {
            assert_eq!(*sender.domain(), domain, "a user of another server: {sender}");
            let operation = MessageOperation {
                source: Endpoint::bare(sender),
                destination: Endpoint::bare(Address::parse_bare("b@example.net").expect("a constant address")),
                max_forwards: MaxForwards::INITIAL,
                trans_id: TransId::from("t"),
                message: *message,
            };
            let _ = message_content(&operation);
            (Some(operation), None)
        }
        Some(Seen::Presence { user, state }) => {
            assert_eq!(*user.domain(), domain, "a user of another server: {user}");
            (None, Some((Endpoint::bare(user), state)))
        }
        Some(Seen::Unreadable { .. } | Seen::Member { .. } | Seen::Typing { .. }) | None => (None, None),
    }
}
