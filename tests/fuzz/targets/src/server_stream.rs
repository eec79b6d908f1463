//! Streams between servers, both ends, and of components.

use std::time::Instant;

use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::fuzz::{Peer, component_stream, incoming_stream, outgoing_stream};
use xmpp_proto::server::Verdict;

/// The first octet says who the peer is and how its octets are cut; the rest is what it sends.
pub fn run(input: &[u8]) {
    let Some((first, octets)) = input.split_first() else { return };
    let verdict = match first & 6 {
        0 => Verdict::Valid,
        2 => Verdict::Invalid,
        _ => Verdict::Failed(DialbackCondition::RemoteConnectionFailed),
    };
    let portion = usize::from(first >> 3) * 7 + 1;
    let (now, peer) = (Instant::now(), Peer { is_certified: first & 1 == 1, portion, verdict });
    incoming_stream(octets, peer, now);
    outgoing_stream(octets, peer, now);
    component_stream(octets, portion, now);
}
