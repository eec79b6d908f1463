use xmpp_proto::server::{Flow, NotSent, Output, PeerIdentity, Proof, Security, ServerConfig};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

fn both_ways(host: &str) -> ServerConfig {
    let mut config = server(host);
    config.management = None;
    config
}

fn reply() -> strict_xml::Element {
    message("romeo@example.net/orchard", "juliet@example.com", "back")
}

// checks: BID-001, BID-002
#[test]
fn xep0288_s2_2_stanzas_flow_back_over_the_same_stream() {
    let mut ends = Ends::new(both_ways(CALLER), both_ways(CALLED));
    assert_eq!(ends.called.send(&reply(), None, ends.now), Err(NotSent::NotOpen));
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(
        at_caller,
        [proven(Flow::Receiving, back(), Proof::Certificate), proven(Flow::Sending, forth(), Proof::Certificate)]
    );
    assert_eq!(
        at_called,
        [proven(Flow::Receiving, forth(), Proof::External), proven(Flow::Sending, back(), Proof::External)]
    );
    let (before, after) = ends.caller_wrote.split_once("<bidi xmlns='urn:xmpp:bidi'/>").unwrap();
    assert!(before.contains("<starttls") && after.contains("<auth"), "{}", ends.caller_wrote);
    ends.called.send(&reply(), None, ends.now).unwrap();
    assert_eq!(bodies(&ends.exchange()[0]), ["back"]);
    let other = message("x@other.example", "juliet@example.com", "no");
    assert_eq!(ends.called.send(&other, None, ends.now), Err(NotSent::Unproven));
}

// checks: BID-002
#[test]
fn xep0288_s2_1_without_the_request_the_stream_goes_one_way() {
    for (caller, called) in [(plain(CALLER), both_ways(CALLED)), (both_ways(CALLER), plain(CALLED))] {
        let mut ends = Ends::open(caller, called);
        assert_eq!(ends.called.send(&reply(), None, ends.now), Err(NotSent::Unproven));
        let now = ends.now;
        ends.caller.handle_bytes(b"<message from='romeo@example.net' to='juliet@example.com'/>", now);
        assert_eq!(refusal(&drained(|| ends.caller.poll_output()).1), Some(StreamCondition::NotAuthorized));
    }
}

// checks: BID-002
#[test]
fn xep0288_s2_2_a_caller_accepts_the_proven_pair_alone() {
    for (from, to, condition) in [
        ("x@other.example", "juliet@example.com", StreamCondition::InvalidFrom),
        ("romeo@example.net", "juliet@other.example", StreamCondition::HostUnknown),
    ] {
        let mut ends = Ends::open(both_ways(CALLER), both_ways(CALLED));
        let now = ends.now;
        ends.caller.handle_bytes(format!("<message from='{from}' to='{to}'/>").as_bytes(), now);
        assert_eq!(refusal(&drained(|| ends.caller.poll_output()).1), Some(condition));
    }
}

// checks: BID-001, BID-002
#[test]
fn xep0288_s2_2_by_dialback_the_inverse_of_each_pair() {
    let mut ends = Ends::new(both_ways(CALLER), both_ways(CALLED));
    (ends.caller_is, ends.called_is) = (PeerIdentity::default(), PeerIdentity::default());
    ends.exchange();
    assert_eq!(ends.called.send(&reply(), None, ends.now), Err(NotSent::NotOpen));
    ends.called.handle_verdict(&forth(), xmpp_proto::server::Verdict::Valid, ends.now);
    let [at_caller, at_called] = ends.exchange();
    assert!(at_called.contains(&proven(Flow::Sending, back(), Proof::Dialback)), "{at_called:?}");
    assert!(at_caller.contains(&proven(Flow::Receiving, back(), Proof::Discovery)), "{at_caller:?}");
    ends.called.send(&reply(), None, ends.now).unwrap();
    assert_eq!(bodies(&ends.exchange()[0]), ["back"]);
}

// checks: BID-001
#[test]
fn xep0288_s2_1_asked_before_tls_it_is_forgotten_and_after_proof_it_is_refused() {
    let now = origin();
    let bidi = b"<bidi xmlns='urn:xmpp:bidi'/>";
    let mut stream = incoming(both_ways(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(bidi, now);
    stream.handle_bytes(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", now);
    assert_eq!(drained(|| stream.poll_output()).1, [Output::StartTls]);
    stream.handle_tls(certificate(CALLER), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(b"<db:result from='example.com' to='example.net'>k</db:result>", now);
    let events = drained(|| stream.poll_output()).1;
    assert_eq!(events, [proven(Flow::Receiving, forth(), Proof::Certificate)]);
    stream.handle_bytes(bidi, now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::PolicyViolation));
}

// checks: DBK-008
#[test]
fn xep0288_s2_2_no_key_is_verified_on_the_stream_that_carried_it() {
    let mut ends = Ends::open(both_ways(CALLER), both_ways(CALLED));
    ends.called_is = certificate(CALLED);
    let now = ends.now;
    // The receiver wants to send for a further domain: its certificate does not name it, so it is to call itself.
    ends.caller.handle_bytes(b"<db:result from='rooms.example.net' to='example.com'>k</db:result>", now);
    let (octets, events) = drained(|| ends.caller.poll_output());
    assert!(octets.contains("<resource-constraint ") && !octets.contains("db:verify"), "{octets}");
    assert_eq!(events, []);

    let mut stream = incoming(both_ways(CALLED), Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(
        b"<bidi xmlns='urn:xmpp:bidi'/><db:result from='example.com' to='example.net'>k</db:result>",
        now,
    );
    let (octets, events) = drained(|| stream.poll_output());
    assert!(!octets.contains("db:verify") && matches!(events[..], [Output::Verify(_)]), "{octets}");
    // Nor is an answer to one believed there.
    let id = stream.id().to_owned();
    stream.handle_bytes(
        format!("<db:verify from='example.com' to='example.net' id='{id}' type='valid'/>").as_bytes(),
        now,
    );
    assert_eq!(stream.poll_output(), None);
}

// checks: DBK-007, DBK-008
#[test]
fn xep0288_s2_2_a_certificate_proves_further_domains_of_the_receiver() {
    let mut caller = both_ways(CALLER);
    caller.policy.dialback = true;
    let mut ends = Ends::new(caller, both_ways(CALLED));
    ends.called_is = PeerIdentity::proving([CALLED, "*.example.net"]);
    ends.exchange();
    let now = ends.now;
    ends.caller.handle_bytes(b"<db:result from='rooms.example.net' to='example.com'>k</db:result>", now);
    let (octets, events) = drained(|| ends.caller.poll_output());
    assert_eq!(octets, "<db:result from='example.com' to='rooms.example.net' type='valid'/>");
    assert_eq!(events, [proven(Flow::Receiving, pair("rooms.example.net", CALLER), Proof::Certificate)]);
    ends.caller
        .handle_bytes(b"<message from='r@rooms.example.net' to='juliet@example.com'><body>x</body></message>", now);
    assert_eq!(bodies(&drained(|| ends.caller.poll_output()).1), ["x"]);
}

// checks: BID-002, DBK-007
#[test]
fn xep0288_s2_2_over_a_stream_that_goes_one_way_the_receiver_proves_nothing() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    let now = ends.now;
    ends.caller.handle_bytes(b"<db:result from='example.net' to='example.com'>k</db:result>", now);
    let (octets, events) = drained(|| ends.caller.poll_output());
    assert!(octets.contains("<resource-constraint ") && events.is_empty(), "{octets}");
}
