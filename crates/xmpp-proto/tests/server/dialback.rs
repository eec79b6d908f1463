use std::time::Duration;

use xmpp_proto::dialback::{DialbackCondition, dialback_key};
use xmpp_proto::server::{
    AuthorizeError, Flow, IncomingStream, NotSent, OutgoingStream, Output, PeerIdentity, PeerPolicy, Proof, Purpose,
    Refusal, Secret, Security, ServerConfig, Times, Verdict, Verification,
};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

/// The question among events.
fn question(events: &[Output]) -> Option<Verification> {
    events.iter().find_map(|event| match event {
        Output::Verify(question) => Some(question.clone()),
        _ => None,
    })
}

/// Lets `asker` verify a key at a server with this configuration, octet by octet.
fn verdict_of(authority: ServerConfig, asker: ServerConfig, question: Verification) -> Verdict {
    let now = origin();
    let target = question.pair.inverse();
    let mut stream =
        OutgoingStream::new(std::sync::Arc::new(asker), target, Purpose::Verification, Security::Plain, now);
    stream.verify(question.clone(), now);
    let called_is = PeerIdentity::proving([question.pair.from.as_str()]);
    let mut ends = Ends::with(stream, authority, now, [9; 32]);
    ends.called_is = called_is;
    let [events, _] = ends.exchange();
    match &events[..] {
        [Output::Verified { question: answered, verdict }, Output::Closed] if *answered == question => *verdict,
        other => panic!("{other:?}"),
    }
}

/// Two servers without certificates that have come to the question, over TLS.
fn asked() -> (Ends, Verification) {
    let mut ends = Ends::new(plain(CALLER), plain(CALLED));
    (ends.caller_is, ends.called_is) = (PeerIdentity::default(), PeerIdentity::default());
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, []);
    let question = question(&at_called).unwrap();
    (ends, question)
}

fn unproven_stream(config: ServerConfig) -> IncomingStream {
    let now = origin();
    let mut stream = incoming(config, Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    stream
}

// checks: DBK-002, DBK-003
#[test]
fn xep0220_s1_4_a_domain_is_proven_by_its_own_server() {
    let (mut ends, question) = asked();
    assert_eq!(question.pair, forth());
    assert_eq!(question.id.as_str(), ends.called.id());
    let stanza = message("juliet@example.com", "romeo@example.net", "early");
    // XEP-0220 §2.1.1: nothing is sent before the verdict.
    assert_eq!(ends.caller.send(&stanza, None, ends.now), Err(NotSent::NotOpen));
    let verdict = verdict_of(plain(CALLER), plain(CALLED), question.clone());
    assert_eq!(verdict, Verdict::Valid);
    ends.called.handle_verdict(&question.pair, verdict, ends.now);
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_called, [proven(Flow::Receiving, forth(), Proof::Dialback)]);
    assert_eq!(at_caller, [proven(Flow::Sending, forth(), Proof::Discovery)]);
    assert!(ends.called_wrote.ends_with("<db:result from='example.net' to='example.com' type='valid'/>"));
    assert_eq!(bodies(&ends.say("now", 0)[1]), ["now"]);
}

// checks: DBK-002
#[test]
fn xep0220_s2_2_1_a_forged_key_ends_the_stream() {
    let (mut ends, mut question) = asked();
    question.key = "37c69b1cf07a3f67c04a5ef5902fa511".to_owned().into();
    let verdict = verdict_of(plain(CALLER), plain(CALLED), question.clone());
    assert_eq!(verdict, Verdict::Invalid);
    ends.called.handle_verdict(&question.pair, verdict, ends.now);
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, [Output::Refused { pair: forth(), reason: Refusal::Invalid }, Output::Closed]);
    assert_eq!(at_called, [Output::Closed]);
}

// checks: DBK-005
#[test]
fn xep0220_s2_5_errors_of_the_authoritative_server_become_remote_server_not_found() {
    let (mut ends, question) = asked();
    // A server that does not host the domain, though it is asked under its name.
    let mut authority = plain(CALLER);
    authority.hosts = [domain("other.example")].into();
    let now = ends.now;
    let mut stream = incoming(authority, Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.replace("to='example.net'", "to='other.example'").as_bytes(), now);
    drained(|| stream.poll_output());
    let verify = "<db:verify from='example.net' to='example.com' id='1'>k</db:verify>";
    stream.handle_bytes(verify.as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    let expected = "<db:verify from='example.com' to='example.net' id='1' type='error'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>";
    assert_eq!((octets.as_str(), events), (expected, vec![]));
    // The asker turns it into its verdict, and the caller hears of it; the stream survives at the receiver.
    ends.called.handle_verdict(&question.pair, Verdict::Failed(DialbackCondition::RemoteServerNotFound), now);
    let (octets, events) = drained(|| ends.called.poll_output());
    assert!(octets.contains("<remote-server-not-found ") && !octets.contains("stream:error"), "{octets}");
    assert_eq!(events, []);
    ends.caller.handle_bytes(octets.as_bytes(), now);
    let reason = Refusal::Dialback(DialbackCondition::RemoteServerNotFound);
    assert_eq!(drained(|| ends.caller.poll_output()).1, [Output::Refused { pair: forth(), reason }]);
}

// checks: DBK-003
#[test]
fn xep0220_s3_1_answers_that_nobody_asked_for_are_dropped() {
    let now = origin();
    let mut stream = unproven_stream(plain(CALLED));
    for unsolicited in [
        "<db:result from='example.com' to='example.net' type='valid'/>",
        "<db:verify from='example.com' to='example.net' id='1' type='valid'/>",
        "<db:result from='example.com' to='example.net' type='invalid'/>",
    ] {
        stream.handle_bytes(unsolicited.as_bytes(), now);
        assert_eq!(stream.poll_output(), None, "{unsolicited}");
    }
    assert_eq!(stream.pairs(Flow::Receiving).count() + stream.pairs(Flow::Sending).count(), 0);
    stream.handle_bytes(b"<message from='a@example.com' to='b@example.net'/>", now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::NotAuthorized));

    let (mut ends, question) = asked();
    for unsolicited in [
        "<db:result from='bank.example' to='example.com' type='valid'/>",
        "<db:result from='example.net' to='other.example' type='valid'/>",
        "<db:verify from='example.net' to='example.com' id='1' type='valid'/>",
    ] {
        ends.caller.handle_bytes(unsolicited.as_bytes(), now);
        assert_eq!(ends.caller.poll_output(), None, "{unsolicited}");
    }
    // A verdict about another pair, and one twice.
    ends.called.handle_verdict(&pair("other.example", CALLED), Verdict::Valid, now);
    assert_eq!(ends.called.poll_output(), None);
    ends.called.handle_verdict(&question.pair, Verdict::Valid, now);
    assert_eq!(ends.exchange()[1].len(), 1);
    ends.called.handle_verdict(&question.pair, Verdict::Valid, now);
    assert_eq!(ends.called.poll_output(), None);
}

// checks: DBK-003
#[test]
fn xep0220_s2_1_2_a_verdict_is_for_the_question_with_these_domains_and_this_id() {
    let now = origin();
    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    let pair = pair(CALLED, CALLER);
    let question = Verification { pair, id: "i1".to_owned().into(), key: "k".to_owned().into() };
    stream.verify(question.clone(), now);
    let header = HEADER.replace("from='example.com' to='example.net'", "from='example.net' id='s'");
    // An answer before the question is none.
    let answer = "<db:verify from='example.net' to='example.com' id='i1' type='valid'/>";
    stream.handle_bytes(format!("{header}{answer}").as_bytes(), now);
    assert_eq!(drained(|| stream.poll_output()).1, []);
    stream.handle_bytes(b"<stream:features/>", now);
    let (octets, _) = drained(|| stream.poll_output());
    assert!(octets.ends_with("<db:verify from='example.com' to='example.net' id='i1'>k</db:verify>"), "{octets}");
    for (from, id) in [("other.example", "i1"), ("example.net", "i2")] {
        let answer = format!("<db:verify from='{from}' to='example.com' id='{id}' type='valid'/>");
        stream.handle_bytes(answer.as_bytes(), now);
        assert_eq!(stream.poll_output(), None, "{answer}");
    }
    stream.handle_bytes(b"<db:verify from='example.net' to='example.com' id='i1' type='valid'/>", now);
    assert_eq!(drained(|| stream.poll_output()).1, [Output::Verified { question, verdict: Verdict::Valid }]);
}

// checks: DBK-004
#[test]
fn xep0220_s2_6_1_a_stream_carries_further_domains() {
    let mut called = plain(CALLED);
    called.hosts.insert(domain("rooms.example.net"));
    let mut caller = plain(CALLER);
    caller.hosts.insert(domain("rooms.example.com"));
    let mut ends = Ends::open(caller, called);
    let now = ends.now;
    for further in [pair("rooms.example.com", CALLED), pair(CALLER, "rooms.example.net")] {
        ends.caller.authorize(further.clone(), now).unwrap();
        ends.caller.authorize(further.clone(), now).unwrap();
        let [_, at_called] = ends.exchange();
        if further.from == domain(CALLER) {
            // XEP-0344: the certificate is proof enough.
            assert_eq!(at_called, [proven(Flow::Receiving, further.clone(), Proof::Certificate)]);
        } else {
            assert_eq!(question(&at_called).unwrap().pair, further);
            ends.called.handle_verdict(&further, Verdict::Valid, now);
            ends.exchange();
        }
        let stanza = message(further.from.as_str(), further.to.as_str(), "hi");
        ends.caller.send(&stanza, None, now).unwrap();
        assert_eq!(bodies(&ends.exchange()[1]), ["hi"]);
    }
    let stray = message("rooms.example.com", "rooms.example.net", "no");
    assert_eq!(ends.caller.send(&stray, None, now), Err(NotSent::Unproven));
    assert_eq!(ends.called.pairs(Flow::Receiving).count(), 3);
}

// checks: DBK-004
#[test]
fn xep0220_s2_6_2_other_targets_are_for_peers_that_know_dialback_errors() {
    let now = origin();
    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    let header = HEADER.replace("from='example.com' to='example.net'", "from='example.net' id='s'");
    stream.handle_bytes(format!("{header}<stream:features/>").as_bytes(), now);
    assert_eq!(stream.authorize(pair("b.example.com", CALLED), now), Err(AuthorizeError::NotOpen));
    stream.handle_bytes(b"<db:result from='example.net' to='example.com' type='valid'/>", now);
    assert_eq!(stream.authorize(pair(CALLER, "rooms.example.net"), now), Err(AuthorizeError::NoErrors));
    assert_eq!(stream.authorize(pair("b.example.com", CALLED), now), Ok(()));
    let mut strict = plain(CALLER);
    let certificate_only = PeerPolicy { require_tls: true, dialback: false };
    strict.peers.insert(domain("bank.example"), certificate_only);
    let mut ends = Ends::open(strict, plain(CALLED));
    assert_eq!(ends.caller.authorize(pair(CALLER, "bank.example"), ends.now), Err(AuthorizeError::Unproven));
    ends.exchange();
}

// checks: DBK-005
#[test]
fn xep0220_s2_5_what_is_refused_at_the_receiver_leaves_the_stream() {
    let strict = |host: &str| {
        let mut config = plain(host);
        config.policy.dialback = false;
        config
    };
    let long = "k".repeat(300);
    for (config, from, to, key, condition) in [
        (plain(CALLED), CALLER, "nothosted.example", "k", "item-not-found"),
        (plain(CALLED), "a b", CALLED, "k", "not-acceptable"),
        (plain(CALLED), CALLER, CALLED, "", "not-acceptable"),
        (plain(CALLED), CALLER, CALLED, long.as_str(), "not-acceptable"),
        (strict(CALLED), CALLER, CALLED, "k", "not-authorized"),
    ] {
        let now = origin();
        let mut stream = unproven_stream(config);
        let key = format!("<db:result from='{from}' to='{to}'>{key}</db:result>");
        stream.handle_bytes(key.as_bytes(), now);
        let (octets, events) = drained(|| stream.poll_output());
        assert!(octets.starts_with(&format!("<db:result from='{to}' to='{from}' type='error'>")), "{octets}");
        assert!(octets.contains(&format!("<{condition} xmlns=")), "{octets}");
        assert_eq!(events, []);
        assert!(!stream.is_closed());
    }
}

// checks: DBK-005, XST-006
#[test]
fn xep0220_s2_5_without_tls_where_tls_is_required() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    let (features, _) = drained(|| stream.poll_output());
    assert!(!features.contains("urn:xmpp:features:dialback"), "{features}");
    for packet in [
        "<db:result from='example.com' to='example.net'>k</db:result>",
        "<db:verify id='1' from='example.com' to='example.net'>k</db:verify>",
    ] {
        stream.handle_bytes(packet.as_bytes(), now);
        let (octets, events) = drained(|| stream.poll_output());
        assert!(octets.contains("type='error'") && octets.contains("<policy-violation "), "{octets}");
        assert_eq!(events, []);
    }
}

// checks: DBK-007
#[test]
fn xep0344_a_certificate_spares_the_call() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    stream.handle_bytes(b"<db:result from='example.com' to='example.net'>any</db:result>", now);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(octets, "<db:result from='example.net' to='example.com' type='valid'/>");
    assert_eq!(events, [proven(Flow::Receiving, forth(), Proof::Certificate)]);
}

// checks: DBK-005
#[test]
fn xep0220_s2_2_1_a_forged_key_among_proven_pairs_is_forbidden() {
    let now = origin();
    let mut stream = authenticated(plain(CALLED), now);
    stream.handle_bytes(b"<db:result from='bank.example' to='example.net'>k</db:result>", now);
    let asked = question(&drained(|| stream.poll_output()).1).unwrap();
    stream.handle_verdict(&asked.pair, Verdict::Invalid, now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<forbidden ") && events.is_empty(), "{octets}");
    stream.handle_bytes(b"<message from='ceo@bank.example' to='romeo@example.net'/>", now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::InvalidFrom));
}

// checks: DBK-002, DBK-005
#[test]
fn verdicts_are_awaited_for_a_time_at_both_ends() {
    let (mut ends, question) = asked();
    let [at_caller, at_called] = ends.wait(Times::DIALBACK);
    let told = Output::Refused { pair: forth(), reason: Refusal::Timeout };
    assert!(at_caller.contains(&told) && at_caller.contains(&Output::Closed), "{at_caller:?}");
    assert_eq!(at_called, [Output::Closed]);
    assert!(ends.called_wrote.contains("<remote-server-timeout "), "{}", ends.called_wrote);
    ends.called.handle_verdict(&question.pair, Verdict::Valid, ends.now);
    assert_eq!(ends.called.poll_output(), None);
}

// checks: DBK-003
#[test]
fn xep0220_s2_1_2_questions_fail_with_their_stream() {
    let now = origin();
    let question = Verification { pair: back(), id: "i".to_owned().into(), key: "k".to_owned().into() };
    let failed = Verdict::Failed(DialbackCondition::RemoteServerTimeout);
    let told = Output::Verified { question: question.clone(), verdict: failed };
    let mut stream = outgoing(plain(CALLER), Security::Plain, now);
    stream.verify(question.clone(), now);
    stream.handle_eof();
    let events = drained(|| stream.poll_output()).1;
    assert!(events.contains(&told) && events.last() == Some(&Output::Closed), "{events:?}");
    stream.verify(question.clone(), now);
    assert_eq!(stream.poll_output(), Some(told.clone()));

    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    stream.verify(question, now);
    stream.handle_timeout(now + Times::DIALBACK + Duration::from_millis(1));
    assert!(drained(|| stream.poll_output()).1.contains(&told));
}

// checks: DBK-001, DBK-003
#[test]
fn xep0220_s2_2_2_only_the_key_of_these_domains_and_this_stream_is_valid() {
    let secret = Secret::new("secret of example.com");
    let good = dialback_key(&secret, CALLED, CALLER, "id1");
    for (receiver, id, key, verdict) in [
        (CALLED, "id1", good.as_str(), "valid"),
        ("EXAMPLE.net", "id1", good.as_str(), "valid"),
        (CALLED, "id2", good.as_str(), "invalid"),
        ("evil.example", "id1", good.as_str(), "invalid"),
        (CALLED, "id1", "", "invalid"),
        (CALLED, "id1", &good.replace("0", "1"), "invalid"),
    ] {
        let now = origin();
        let mut stream = incoming(plain(CALLER), Security::Tls(PeerIdentity::default()), now);
        stream.handle_bytes(
            HEADER.replace("from='example.com' to='example.net'", "from='example.net' to='example.com'").as_bytes(),
            now,
        );
        drained(|| stream.poll_output());
        let verify = format!("<db:verify from='{receiver}' to='example.com' id='{id}'>{key}</db:verify>");
        stream.handle_bytes(verify.as_bytes(), now);
        let answer = format!("<db:verify from='example.com' to='{receiver}' id='{id}' type='{verdict}'/>");
        assert_eq!(drained(|| stream.poll_output()), (answer, vec![]));
    }
}

// checks: DBK-004, DBK-005
#[test]
fn a_stream_has_a_bounded_number_of_keys_verified() {
    let now = origin();
    let mut stream = authenticated(plain(CALLED), now);
    for number in 0..xmpp_proto::server::MAX_PENDING {
        let key = format!("<db:result from='d{number}.example' to='example.net'>k</db:result>");
        stream.handle_bytes(key.as_bytes(), now);
    }
    drained(|| stream.poll_output());
    stream.handle_bytes(b"<db:result from='last.example' to='example.net'>k</db:result>", now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<resource-constraint ") && events.is_empty(), "{octets}");
}

// checks: DBK-006
#[test]
fn xep0220_s2_a_peer_may_declare_another_prefix() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.replace("xmlns:db", "xmlns:d").as_bytes(), now);
    stream.handle_bytes(b"<d:result from='example.com' to='example.net'>k</d:result>", now);
    assert!(question(&drained(|| stream.poll_output()).1).is_some());
    let mut stream = unproven_stream(plain(CALLED));
    stream.handle_bytes(b"<db:result from='example.com'>k</db:result>", now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::ImproperAddressing));
}

// checks: DBK-003, XST-030
#[test]
fn xep0220_s2_1_2_a_stream_for_verification_proves_and_carries_nothing() {
    let now = origin();
    let config = std::sync::Arc::new(server(CALLER));
    let security = Security::Tls(certificate(CALLED));
    let mut stream = OutgoingStream::new(config, forth(), Purpose::Verification, security, now);
    let header = HEADER.replace("from='example.com' to='example.net'", "from='example.net' id='s'");
    let features = "<stream:features><bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/><mechanisms \
        xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
    stream.handle_bytes(format!("{header}{features}").as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.ends_with(" version='1.0'>") && events.is_empty(), "{octets}");
    let stanza = message("juliet@example.com", "romeo@example.net", "no");
    assert_eq!(stream.send(&stanza, None, now), Err(NotSent::Unproven));
    assert_eq!(stream.authorize(pair("b.example.com", CALLED), now), Err(AuthorizeError::NotOpen));
    stream.handle_bytes(format!("<message>{}", " ".repeat(10_000)).as_bytes(), now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::PolicyViolation));
}

// checks: DBK-003
#[test]
fn xep0220_s2_1_2_a_stream_takes_questions_until_its_end_begins() {
    let now = origin();
    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    assert!(stream.takes_questions());
    stream.close(now);
    assert!(!stream.takes_questions() && !stream.is_closed(), "the peer's end is awaited");
    let question = Verification { pair: back(), id: "i".to_owned().into(), key: "k".to_owned().into() };
    stream.verify(question.clone(), now);
    let verdict = Verdict::Failed(DialbackCondition::RemoteServerTimeout);
    assert_eq!(drained(|| stream.poll_output()).1, [Output::Verified { question, verdict }]);
}

// checks: DBK-002, DBK-003
#[test]
fn a_refused_stream_stays_for_its_questions() {
    let now = origin();
    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    let header = HEADER.replace("from='example.com' to='example.net'", "from='example.net' id='s'");
    stream.handle_bytes(format!("{header}<stream:features/>").as_bytes(), now);
    let question = Verification { pair: back(), id: "i".to_owned().into(), key: "k".to_owned().into() };
    stream.verify(question.clone(), now);
    stream.handle_bytes(b"<db:result from='example.net' to='example.com' type='error'><error/></db:result>", now);
    let reason = Refusal::Dialback(DialbackCondition::UndefinedCondition);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(events, [Output::Refused { pair: forth(), reason }]);
    assert!(!octets.contains("</stream:stream>"), "{octets}");
    stream.handle_bytes(b"<db:verify from='example.net' to='example.com' id='i' type='invalid'/>", now);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(events, [Output::Verified { question, verdict: Verdict::Invalid }]);
    assert_eq!(octets, "</stream:stream>");
}
