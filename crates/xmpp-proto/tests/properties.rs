//! The fuzz entry points over generated input.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xmpp_proto::fuzz;

const PIECES: &[&str] = &[
    "<?xml version='1.0'?>",
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
    "<handshake/>",
    "<message id='1' from='a' to='b'>",
    "<message type='error'/>",
    "</message>",
    "<body xml:lang='de'>",
    "</body>",
    "<iq id='1' type='get'>",
    "</iq>",
    "<iq type='result' id='2'/>",
    "<presence/>",
    "<presence type='x'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<stream:error/>",
    "</stream:stream>",
    "<stream:features/>",
    "text \u{1F600}\r\n",
    "&#13;&lt;&#x1;",
    "<!--",
    " ",
    "\u{0}",
];

#[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..12);
    (any::<bool>(), pieces).prop_map(|(open, pieces)| {
        let start = if open { PIECES[..3].concat() } else { String::new() };
        start + &pieces.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, rng_seed: RngSeed::Fixed(114), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_stream_breaks_a_promise(input in soup(), portion in 1usize..64) {
        fuzz::component_stream(input.as_bytes(), portion, origin());
    }

    #[test]
    fn no_stanza_breaks_a_promise(input in soup()) {
        fuzz::stanza(input.as_bytes());
        fuzz::stanza(format!("<message>{input}</message>").as_bytes());
    }

    #[test]
    fn no_octets_break_a_promise(octets in prop::collection::vec(any::<u8>(), 0..100), portion in 1usize..9) {
        fuzz::component_stream(&octets, portion, origin());
        fuzz::stanza(&octets);
    }
}
