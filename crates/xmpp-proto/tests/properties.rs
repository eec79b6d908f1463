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
use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::fuzz;
use xmpp_proto::server::Verdict;

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

/// What a server may write to another, in about this order.
const SERVER_PIECES: &[&str] = &[
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     xmlns:db='jabber:server:dialback' from='a.example' to='b.example' id='1' version='1.0'>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><bidi xmlns='urn:xmpp:features:bidi'/>\
     <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
     <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<bidi xmlns='urn:xmpp:bidi'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<db:result from='a.example' to='b.example'>k</db:result>",
    "<db:result from='c.example' to='b.example'>k</db:result>",
    "<db:result from='a.example' to='b.example' type='valid'/>",
    "<db:result from='a.example' to='b.example' type='error'><error/></db:result>",
    "<db:verify from='a.example' to='b.example' id='1'>k</db:verify>",
    "<db:verify from='a.example' to='b.example' id='1' type='valid'/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    "<enabled xmlns='urn:xmpp:sm:3' resume='true' id='x'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='x' h='1'/>",
    "<failed xmlns='urn:xmpp:sm:3'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<message from='j@a.example' to='r@b.example'><body>x</body></message>",
    "<message from='j@c.example' to='r@b.example'/>",
    "<iq from='a.example' to='b.example' id='keepalive-1' type='result'/>",
    "<stream:error/>",
    "</stream:stream>",
    " ",
    "<",
];

/// Pieces that tend to follow each other, with an old order kept more often than not.
fn dialogue() -> impl Strategy<Value = String> {
    let places = prop::collection::vec((0..SERVER_PIECES.len(), any::<bool>()), 0..16);
    places.prop_map(|places| {
        let mut pieces = vec![SERVER_PIECES[0]];
        for (place, restarts) in places {
            pieces.push(SERVER_PIECES[place]);
            let renews = ["<starttls", "<proceed", "<auth", "<success"]
                .iter()
                .any(|name| pieces.last().unwrap().starts_with(name));
            if renews && restarts {
                pieces.push(SERVER_PIECES[0]);
            }
        }
        pieces.concat()
    })
}

fn peer() -> impl Strategy<Value = fuzz::Peer> {
    let verdicts = [Verdict::Valid, Verdict::Invalid, Verdict::Failed(DialbackCondition::RemoteServerTimeout)];
    (any::<bool>(), 1usize..200, prop::sample::select(verdicts.to_vec()))
        .prop_map(|(is_certified, portion, verdict)| fuzz::Peer { is_certified, portion, verdict })
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

    // checks: XST-005, XST-012, XST-013
    #[test]
    fn no_server_breaks_a_promise(input in dialogue(), peer in peer()) {
        fuzz::incoming_stream(input.as_bytes(), peer, origin());
        fuzz::outgoing_stream(input.as_bytes(), peer, origin());
    }

    #[test]
    fn no_octets_break_a_promise(octets in prop::collection::vec(any::<u8>(), 0..100), portion in 1usize..9) {
        fuzz::component_stream(&octets, portion, origin());
        fuzz::stanza(&octets);
        let peer = fuzz::Peer { is_certified: true, portion, verdict: Verdict::Valid };
        fuzz::incoming_stream(&octets, peer, origin());
        fuzz::outgoing_stream(&octets, peer, origin());
    }
}
