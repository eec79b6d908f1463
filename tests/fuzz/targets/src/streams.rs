//! Streams between servers (STARTTLS, SASL EXTERNAL, dialback, bidi, stream management), from both ends, and of components.

use std::time::Instant;

use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::fuzz::{Peer, component_stream, incoming_stream, outgoing_stream};
use xmpp_proto::server::Verdict;

/// The first octet says what the peer is; the rest is what it sends.
pub fn run(input: &[u8]) {
    let Some((kind, octets)) = input.split_first() else { return };
    let verdict = match kind >> 1 & 3 {
        0 => Verdict::Valid,
        1 => Verdict::Invalid,
        _ => Verdict::Failed(DialbackCondition::RemoteServerTimeout),
    };
    let portion = if kind & 8 == 0 { octets.len().max(1) } else { PORTION };
    let peer = Peer { is_certified: kind & 1 == 1, portion, verdict };
    let now = Instant::now();
    incoming_stream(octets, peer, now);
    outgoing_stream(octets, peer, now);
    component_stream(octets, portion, now);
}

/// Odd, so that tags are cut anywhere.
const PORTION: usize = 13;
