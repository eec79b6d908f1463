use xmpp_proto::server::{
    Flow, IncomingStream, LinkError, Output, PeerIdentity, PeerPolicy, Proof, Security, StreamFailure,
};

use crate::support::*;

const FEATURES: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:db='jabber:server:dialback' from='example.net' id='1' version='1.0'><stream:features/>";

// checks: XST-006, XST-007
#[test]
fn rfc6120_s5_starttls_restarts_the_stream_before_anything_else() {
    let ends = Ends::open(server(CALLER), server(CALLED));
    let order = ["<starttls ", "<?xml", "<bidi ", "<auth ", "<?xml", "<enable "];
    let places: Vec<_> = order
        .iter()
        .scan(100, |from, word| {
            let at = *from + ends.caller_wrote[*from..].find(word)?;
            *from = at + 1;
            Some(at)
        })
        .collect();
    assert_eq!(places.len(), order.len(), "{}", ends.caller_wrote);
    let clear = &ends.called_wrote[..ends.called_wrote.find("<proceed").unwrap()];
    assert!(clear.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"), "{clear}");
    assert!(!clear.contains("EXTERNAL") && !clear.contains("urn:xmpp:sm:3"), "{clear}");
    let protected = &ends.called_wrote[clear.len()..];
    assert!(!protected.contains("<starttls") && ends.caller.is_encrypted() && ends.called.is_encrypted());
}

// checks: XST-006
#[test]
fn rfc7590_s3_1_tls_is_tried_even_where_it_is_not_offered() {
    let now = origin();
    let mut stream = outgoing(plain(CALLER), Security::Plain, now);
    drained(|| stream.poll_output());
    stream.handle_bytes(FEATURES.as_bytes(), now);
    assert_eq!(drained(|| stream.poll_output()).0, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    stream.handle_bytes(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>", now);
    assert_eq!(drained(|| stream.poll_output()).1, [Output::Failed(StreamFailure::NoTls), Output::Closed]);
    // A peer without features cannot be asked.
    let mut stream = outgoing(plain(CALLER), Security::Plain, now);
    stream.handle_bytes(FEATURES.replace(" version='1.0'", "").as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(events, [Output::Failed(StreamFailure::NoTls), Output::Closed]);
    assert!(!octets.contains("db:result"), "{octets}");
}

// checks: XST-006
#[test]
fn rfc6120_s5_4_3_3_octets_behind_the_last_in_clear_are_not_taken_for_protected_ones() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    let injected = format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{HEADER}");
    stream.handle_bytes(injected.as_bytes(), now);
    let events = drained(|| stream.poll_output()).1;
    assert_eq!(events, [Output::Failed(StreamFailure::Tls), Output::Closed]);

    let mut stream = outgoing(plain(CALLER), Security::Plain, now);
    stream.handle_bytes(FEATURES.as_bytes(), now);
    stream.handle_bytes(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:stream", now);
    let events = drained(|| stream.poll_output()).1;
    assert_eq!(events, [Output::Failed(StreamFailure::Tls), Output::Closed]);
}

// checks: XST-006
#[test]
fn between_the_request_for_tls_and_its_end_nothing_is_read_or_written() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.ends_with("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{octets}");
    assert_eq!(events, [Output::StartTls]);
    stream.handle_bytes(HEADER.as_bytes(), now);
    assert_eq!(stream.poll_output(), None);
    let due = stream.poll_timeout().unwrap();
    stream.handle_timeout(due);
    let timeout = Output::Failed(StreamFailure::Link(LinkError::Timeout));
    assert_eq!(drained(|| stream.poll_output()), (String::new(), vec![timeout, Output::Closed]));
}

#[test]
fn a_failed_handshake_ends_both_streams_without_a_word() {
    let mut ends = Ends::new(plain(CALLER), plain(CALLED));
    ends.called_is = PeerIdentity::default();
    let now = ends.now;
    ends.caller.handle_bytes(FEATURES.as_bytes(), now);
    ends.caller.handle_bytes(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", now);
    assert_eq!(drained(|| ends.caller.poll_output()).1, [Output::StartTls]);
    ends.caller.handle_tls_failed();
    let failed = vec![Output::Failed(StreamFailure::Tls), Output::Closed];
    assert_eq!(drained(|| ends.caller.poll_output()), (String::new(), failed));
}

// checks: XST-042
#[test]
fn xep0368_direct_tls_offers_no_starttls() {
    let now = origin();
    let mut stream = incoming(server(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    let (octets, _) = drained(|| stream.poll_output());
    assert!(octets.contains("<mechanism>EXTERNAL</mechanism>") && !octets.contains("starttls"), "{octets}");
    stream.handle_bytes(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", now);
    let (octets, _) = drained(|| stream.poll_output());
    assert_eq!(octets, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
}

// checks: XST-008, XST-009
#[test]
fn rfc6120_s13_7_2_1_a_receiver_with_another_certificate_is_left_unless_dialback_may_serve() {
    let mut config = plain(CALLER);
    config.policy.dialback = false;
    let mut ends = Ends::new(config, plain(CALLED));
    ends.called_is = certificate("other.example");
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, [Output::Failed(StreamFailure::Unproven), Output::Closed]);
    assert_eq!(at_called, [Output::Closed]);
    assert!(!ends.caller_wrote.contains("<auth"));

    let mut ends = Ends::new(plain(CALLER), plain(CALLED));
    ends.called_is = certificate("other.example");
    let [at_caller, _] = ends.exchange();
    assert_eq!(at_caller, [proven(Flow::Sending, forth(), Proof::Discovery)]);
}

#[test]
fn the_policy_is_the_peers_own() {
    let mut config = plain(CALLER);
    config.policy.dialback = false;
    config.peers.insert(domain(CALLED), PeerPolicy::default());
    let mut ends = Ends::new(config, plain(CALLED));
    ends.called_is = PeerIdentity::default();
    assert_eq!(ends.exchange()[0], [proven(Flow::Sending, forth(), Proof::Discovery)]);
}

/// A server that may hear of a vouched-for caller, called over TLS by one whose certificate is for somebody else.
fn called_by_a_stranger() -> IncomingStream {
    let mut config = plain(CALLED);
    config.vouching = true;
    config.policy.dialback = false;
    let now = origin();
    let mut stream = incoming(config, Security::Tls(certificate("other.example")), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream
}

const AUTH: &[u8] = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";

// checks: XST-008, EXT-001
#[test]
fn rfc7712_s5_1_a_caller_waits_until_it_is_known_who_vouches_for_it() {
    let (mut stream, now) = (called_by_a_stranger(), origin());
    // What comes meanwhile is not heeded.
    stream.handle_bytes(AUTH, now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<stream:stream") && !octets.contains("features"), "{octets}");
    assert_eq!(events, [Output::Vouch(domain(CALLER))]);
    stream.handle_vouched(certificate(CALLER), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<mechanism>EXTERNAL</mechanism>") && octets.contains("<success "), "{octets}");
    assert_eq!(events, []);
    stream.handle_bytes(HEADER.as_bytes(), now);
    assert_eq!(drained(|| stream.poll_output()).1, [proven(Flow::Receiving, forth(), Proof::External)]);
}

// checks: XST-008, EXT-001
#[test]
fn a_caller_that_nobody_vouches_for_is_offered_nothing_that_needs_a_certificate() {
    let (mut stream, now) = (called_by_a_stranger(), origin());
    stream.handle_vouched(certificate("other.example"), now);
    // A second answer, or one that nobody asked for, changes nothing.
    stream.handle_vouched(certificate(CALLER), now);
    let (octets, _) = drained(|| stream.poll_output());
    assert!(octets.contains("<stream:features") && !octets.contains("EXTERNAL"), "{octets}");
    stream.handle_bytes(AUTH, now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<failure ") && !octets.contains("<success"), "{octets}");
    assert_eq!(events, []);
}

#[test]
fn a_caller_is_not_waited_for_longer_because_the_name_system_is_slow() {
    let mut stream = called_by_a_stranger();
    drained(|| stream.poll_output());
    let due = stream.poll_timeout().unwrap();
    stream.handle_timeout(due);
    let (_, events) = drained(|| stream.poll_output());
    assert!(events.contains(&Output::Failed(StreamFailure::Link(LinkError::Timeout))), "{events:?}");
    stream.handle_vouched(certificate(CALLER), due);
    assert_eq!(drained(|| stream.poll_output()).0, "");
}

#[test]
fn a_caller_whose_certificate_proves_it_is_not_asked_about() {
    let mut config = plain(CALLED);
    config.vouching = true;
    let now = origin();
    for security in [Security::Plain, Security::Tls(certificate(CALLER))] {
        let mut stream = incoming(config.clone(), security, now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        assert_eq!(drained(|| stream.poll_output()).1, []);
    }
}
