use std::sync::Arc;
use std::time::Duration;

use strict_xml::SharedStr;
use xmpp_proto::management::{ACK_TIMEOUT, ManagementConfig};
use xmpp_proto::server::{
    Flow, NotSent, OutgoingStream, Output, PeerIdentity, Proof, Security, ServerConfig, Session, Verdict,
};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

/// The numbers of the stanzas among events.
fn numbers(events: &[Output]) -> Vec<u64> {
    let number = |event: &Output| match event {
        Output::Stanza { number, .. } => *number,
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

fn settle(ends: &mut Ends, events: &[Output]) {
    numbers(events).into_iter().for_each(|number| ends.called.handle_settled(number, ends.now));
}

/// The connection is gone at both ends; returns their sessions.
fn broken(ends: &mut Ends) -> [Option<Session>; 2] {
    ends.caller.handle_eof();
    ends.called.handle_eof();
    let at_caller = drained(|| ends.caller.poll_output()).1;
    drained(|| ends.called.poll_output());
    assert!(!at_caller.iter().any(|event| matches!(event, Output::Lost(_))), "{at_caller:?}");
    [ends.caller.take_session(ends.now), ends.called.take_session(ends.now)]
}

/// Connects again, as far as the request to resume.
fn again(session: Session, called: ServerConfig, ends: &Ends) -> (Ends, [Vec<Output>; 2]) {
    let stream = OutgoingStream::resuming(Arc::new(server(CALLER)), session, Security::Plain, ends.now);
    let mut ends = Ends::with(stream, called, ends.now, [8; 32]);
    let events = ends.exchange();
    (ends, events)
}

// checks: SMG-001, SMG-002
#[test]
fn xep0198_s4_what_the_receiver_has_settled_is_acknowledged() {
    let mut ends = Ends::new(server(CALLER), server(CALLED));
    let [at_caller, at_called] = ends.exchange();
    for events in [&at_caller, &at_called] {
        assert!(events.contains(&Output::Managed { is_resumable: true }), "{events:?}");
    }
    assert!(ends.caller.is_managed() && ends.called.is_managed());
    let after_auth = &ends.caller_wrote[ends.caller_wrote.rfind("<?xml").unwrap()..];
    assert!(after_auth.contains("<enable xmlns='urn:xmpp:sm:3' resume='true' max='300'/>"), "{after_auth}");
    let [at_caller, at_called] = ends.say("one", 41);
    assert_eq!((at_caller.len(), bodies(&at_called)), (0, vec!["one".to_owned()]));
    assert_eq!(ends.called.unsettled(), 1);
    settle(&mut ends, &at_called);
    assert_eq!(ends.exchange(), [vec![Output::Acked(41)], vec![]]);
    assert!(ends.called_wrote.ends_with("<a xmlns='urn:xmpp:sm:3' h='1'/>"), "{}", ends.called_wrote);
}

// checks: SMG-002
#[test]
fn xep0198_s4_the_receiver_is_told_to_settle_and_answers_in_time() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let [_, at_called] = ends.say("slow", 1);
    assert_eq!(ends.wait(ManagementConfig::ACK_DELAY), [vec![], vec![Output::Settle]]);
    ends.wait(ManagementConfig::ACK_DELAY);
    assert!(ends.called_wrote.ends_with("<a xmlns='urn:xmpp:sm:3' h='0'/>"), "{}", ends.called_wrote);
    settle(&mut ends, &at_called);
    assert_eq!(ends.exchange()[0], [Output::Acked(1)]);
}

// checks: SMG-002
#[test]
fn several_stanzas_share_one_request() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let before = ends.caller_wrote.len();
    for token in 0..10 {
        let stanza = message("a@example.com", "b@example.net", "x");
        ends.caller.send(&stanza, Some(token), ends.now).unwrap();
    }
    let [_, at_called] = ends.exchange();
    assert_eq!(ends.caller_wrote[before..].matches("<r xmlns='urn:xmpp:sm:3'/>").count(), 1);
    settle(&mut ends, &at_called);
    assert_eq!(ends.exchange()[0], (0..10).map(Output::Acked).collect::<Vec<_>>());
}

// checks: SMG-001
#[test]
fn xep0198_s3_not_before_a_pair_is_proven_and_only_once() {
    let now = origin();
    let enable = b"<enable xmlns='urn:xmpp:sm:3'/>";
    let mut stream = incoming(server(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    for early in [&enable[..], b"<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"] {
        stream.handle_bytes(early, now);
        let failed =
            "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
        assert_eq!(drained(|| stream.poll_output()), (failed.to_owned(), vec![]));
    }
    let mut stream = authenticated(server(CALLED), now);
    stream.handle_bytes(enable, now);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(octets, "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(events, [Output::Managed { is_resumable: false }]);
    stream.handle_bytes(enable, now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::PolicyViolation));
}

// checks: SMG-002
#[test]
fn xep0198_s6_who_acknowledges_too_much_is_told_so() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let now = ends.now;
    ends.say("one", 1);
    ends.caller.handle_bytes(b"<a xmlns='urn:xmpp:sm:3' h='2'/>", now);
    let (octets, events) = drained(|| ends.caller.poll_output());
    assert!(
        octets.contains("<undefined-condition ")
            && octets.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>"),
        "{octets}"
    );
    assert_eq!(events[0], Output::Lost(1));
    assert_eq!(refusal(&events), Some(StreamCondition::UndefinedCondition));
    assert!(ends.caller.take_session(now).is_none());
}

// checks: SMG-002
#[test]
fn xep0198_s5_a_broken_stream_goes_on_and_nothing_is_lost_or_doubled() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let [_, at_called] = ends.say("settled", 1);
    // The acknowledgement of this one is lost with the connection.
    settle(&mut ends, &at_called);
    drained(|| ends.called.poll_output());
    let stanza = |body| message("juliet@example.com", "romeo@example.net", body);
    ends.caller.send(&stanza("on the way"), Some(2), ends.now).unwrap();
    drained(|| ends.caller.poll_output());
    let [Some(ours), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    assert_eq!((ours.id(), ours.pair()), (theirs.id(), &forth()));
    assert_eq!(ours.unacked().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ours.deadline(), ends.now + ManagementConfig::RESUME_FOR);

    let id = SharedStr::from(theirs.id().to_owned());
    let (mut ends, [at_caller, at_called]) = again(ours, server(CALLED), &ends);
    assert!(!at_caller.iter().any(|event| matches!(event, Output::Proven { flow: Flow::Sending, .. })));
    assert!(at_called.contains(&Output::Resume { id: id.clone() }), "{at_called:?}");
    ends.called.handle_session(Some(theirs), ends.now).unwrap();
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(
        at_caller,
        [Output::Resumed { id }, proven(Flow::Sending, forth(), Proof::Certificate), Output::Acked(1)]
    );
    assert_eq!(bodies(&at_called), ["on the way"]);
    assert_eq!(numbers(&at_called), [2]);
    settle(&mut ends, &at_called);
    ends.caller.send(&stanza("new"), Some(3), ends.now).unwrap();
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, [Output::Acked(2)]);
    settle(&mut ends, &at_called);
    assert_eq!(ends.exchange()[0], [Output::Acked(3)]);
}

// checks: SMG-002
#[test]
fn xep0198_s5_what_was_taken_before_the_break_is_not_handed_out_again() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let came: Vec<_> = (1..=3).flat_map(|token| numbers(&ends.say(&format!("{token}"), token)[1])).collect();
    // One is settled out of turn, one while nobody is connected, one later.
    ends.called.handle_settled(came[1], ends.now);
    let [Some(ours), Some(mut theirs)] = broken(&mut ends) else { panic!("no sessions") };
    theirs.handle_settled(came[0]);
    let (mut ends, _) = again(ours, server(CALLED), &ends);
    ends.called.handle_session(Some(theirs), ends.now).unwrap();
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller.last(), Some(&Output::Acked(2)));
    assert_eq!(bodies(&at_called), Vec::<String>::new());
    let [_, at_called] = ends.say("new", 4);
    assert_eq!((bodies(&at_called), numbers(&at_called)), (vec!["new".to_owned()], vec![4]));
    ends.called.handle_settled(came[2], ends.now);
    settle(&mut ends, &at_called);
    assert_eq!(ends.exchange()[0], [Output::Acked(3), Output::Acked(4)]);
}

// checks: SMG-002
#[test]
fn xep0198_s5_the_caller_knows_what_it_had_taken_too() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let reply = |body| message("romeo@example.net", "juliet@example.com", body);
    for (token, body) in [(1, "one"), (2, "two")] {
        ends.called.send(&reply(body), Some(token), ends.now).unwrap();
    }
    let [at_caller, _] = ends.exchange();
    assert_eq!(numbers(&at_caller), [1, 2]);
    let [Some(ours), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    let name = ours.id().to_owned();
    let stream = OutgoingStream::resuming(Arc::new(server(CALLER)), ours, Security::Plain, ends.now);
    let mut ends = Ends::with(stream, server(CALLED), ends.now, [8; 32]);
    // While the new stream is being negotiated the first is settled.
    assert_eq!(ends.caller.session_name(), Some(&*name));
    ends.caller.handle_settled(1, ends.now);
    ends.exchange();
    ends.called.handle_session(Some(theirs), ends.now).unwrap();
    let [at_caller, at_called] = ends.exchange();
    assert_eq!((bodies(&at_caller), ends.caller.session_name()), (vec![], Some(&*name)));
    assert!(at_called.contains(&Output::Acked(1)) && !at_called.contains(&Output::Acked(2)), "{at_called:?}");
    ends.caller.handle_settled(2, ends.now);
    let [_, at_called] = ends.wait(Duration::from_secs(2));
    assert!(at_called.contains(&Output::Acked(2)), "{at_called:?}");
}

// checks: SMG-002
#[test]
fn xep0198_s5_both_ways_and_again() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let reply = message("romeo@example.net", "juliet@example.com", "back");
    for round in 0..3 {
        ends.called.send(&reply, Some(round), ends.now).unwrap();
        drained(|| ends.called.poll_output());
        let [Some(ours), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
        assert_eq!(theirs.unacked().collect::<Vec<_>>(), [round]);
        ends = again(ours, server(CALLED), &ends).0;
        ends.called.handle_session(Some(theirs), ends.now).unwrap();
        let [at_caller, _] = ends.exchange();
        assert_eq!(bodies(&at_caller), ["back"]);
        numbers(&at_caller).into_iter().for_each(|number| ends.caller.handle_settled(number, ends.now));
        ends.wait(Duration::from_secs(2));
        assert!(ends.called_wrote.contains("<r xmlns='urn:xmpp:sm:3'/>"));
        assert_eq!(ends.caller.unsettled(), 0);
    }
}

// checks: SMG-002
#[test]
fn xep0198_s5_a_session_that_is_forgotten_is_told_as_lost_and_a_new_one_begins() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    ends.say("one", 1);
    let [Some(ours), Some(_)] = broken(&mut ends) else { panic!("no sessions") };
    let (mut ends, _) = again(ours, server(CALLED), &ends);
    ends.called.handle_session(None, ends.now).unwrap();
    let [at_caller, _] = ends.exchange();
    let expected =
        [Output::Lost(1), Output::Managed { is_resumable: true }, proven(Flow::Sending, forth(), Proof::Certificate)];
    assert_eq!(at_caller, expected);
    assert!(ends.called_wrote.contains("<item-not-found "), "{}", ends.called_wrote);
    // A receiver that manages nothing any more.
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    ends.say("two", 2);
    let [Some(ours), Some(_)] = broken(&mut ends) else { panic!("no sessions") };
    let (_, [at_caller, _]) = again(ours, plain(CALLED), &ends);
    assert!(at_caller.contains(&Output::Lost(2)), "{at_caller:?}");
}

// checks: SMG-002
#[test]
fn xep0198_s5_what_was_sent_to_who_had_a_certificate_is_not_sent_again_to_who_has_none() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    ends.say("secret", 1);
    let [Some(ours), Some(_)] = broken(&mut ends) else { panic!("no sessions") };
    let stream = OutgoingStream::resuming(Arc::new(server(CALLER)), ours, Security::Plain, ends.now);
    let mut ends = Ends::with(stream, server(CALLED), ends.now, [8; 32]);
    ends.called_is = PeerIdentity::default();
    let [at_caller, at_called] = ends.exchange();
    assert!(at_caller.contains(&Output::Lost(1)) && bodies(&at_called).is_empty(), "{at_caller:?} {at_called:?}");
    assert!(at_caller.contains(&proven(Flow::Sending, forth(), Proof::Discovery)), "{at_caller:?}");
    assert!(!ends.caller_wrote.contains("<resume "), "{}", ends.caller_wrote);
}

// checks: SMG-002
#[test]
fn xep0198_s5_who_had_a_certificate_resumes_nothing_by_dialback() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let reply = message("romeo@example.net", "juliet@example.com", "secret");
    ends.called.send(&reply, Some(1), ends.now).unwrap();
    drained(|| ends.called.poll_output());
    let [Some(ours), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    let stream = OutgoingStream::resuming(Arc::new(server(CALLER)), ours, Security::Plain, ends.now);
    let mut ends = Ends::with(stream, server(CALLED), ends.now, [8; 32]);
    ends.caller_is = PeerIdentity::default();
    ends.exchange();
    ends.called.handle_verdict(&forth(), Verdict::Valid, ends.now);
    let [_, at_called] = ends.exchange();
    assert!(at_called.iter().any(|event| matches!(event, Output::Resume { .. })), "{at_called:?}");
    let theirs = ends.called.handle_session(Some(theirs), ends.now).unwrap_err();
    assert_eq!(theirs.unacked().collect::<Vec<_>>(), [1]);
    assert!(bodies(&ends.exchange()[0]).is_empty() && ends.called_wrote.contains("<item-not-found "));
}

// checks: SMG-002
#[test]
fn xep0198_s5_a_session_belongs_to_who_proves_its_pair() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let [Some(_), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    let now = ends.now;
    // Another domain that has learnt the session's name.
    let header = HEADER.replace("from='example.com'", "from='evil.example'");
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{}' h='0'/>", theirs.id());
    let evil = |now| {
        let mut stream = incoming(server(CALLED), Security::Tls(certificate("evil.example")), now);
        stream.handle_bytes(header.as_bytes(), now);
        stream.handle_bytes(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", now);
        stream.handle_bytes(header.as_bytes(), now);
        drained(|| stream.poll_output());
        stream
    };
    let mut stream = evil(now);
    stream.handle_bytes(resume.as_bytes(), now);
    let theirs = stream.handle_session(Some(theirs), now).unwrap_err();
    assert!(drained(|| stream.poll_output()).0.contains("<item-not-found "));
    // Its owner, too late.
    let late = theirs.deadline();
    let mut stream = authenticated(server(CALLED), late);
    stream.handle_bytes(resume.as_bytes(), late);
    assert!(stream.handle_session(Some(*theirs), late).is_err());
    // Another session of the same pair than the one asked for.
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let [Some(_), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    let mut stream = authenticated(server(CALLED), ends.now);
    stream.handle_bytes(b"<resume xmlns='urn:xmpp:sm:3' previd='guessed' h='0'/>", ends.now);
    assert!(stream.handle_session(Some(theirs), ends.now).is_err());
    // And nobody who has not asked.
    let mut stream = authenticated(server(CALLED), now);
    assert!(stream.handle_session(None, now).is_ok());
    assert_eq!(stream.poll_output(), None);
}

// checks: SMG-002
#[test]
fn xep0198_s5_a_connection_that_is_replaced_is_told() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    let session = ends.called.take_session(ends.now).unwrap();
    let (octets, events) = drained(|| ends.called.poll_output());
    assert!(octets.contains("<conflict "), "{octets}");
    assert_eq!(refusal(&events), Some(StreamCondition::Conflict));
    assert!(ends.called.take_session(ends.now).is_none());
    assert_eq!(session.pair(), &forth());
}

// checks: SMG-002
#[test]
fn xep0198_s7_a_stream_that_was_closed_is_finished() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    ends.say("unsettled", 1);
    ends.called.close(ends.now);
    assert!(ends.called.take_session(ends.now).is_none());
    let [at_caller, at_called] = ends.exchange();
    assert_eq!((&at_caller[..], &at_called[..]), (&[Output::Lost(1), Output::Closed][..], &[Output::Closed][..]));
    assert!(ends.caller.take_session(ends.now).is_none() && ends.called.take_session(ends.now).is_none());
    // XEP-0198 §4: what is handled is said before the end.
    assert!(ends.called_wrote.ends_with("<a xmlns='urn:xmpp:sm:3' h='0'/></stream:stream>"), "{}", ends.called_wrote);
}

// checks: SMG-002, XST-032
#[test]
fn a_peer_that_acknowledges_nothing_is_dead_and_its_session_is_kept() {
    let mut ends = Ends::open(server(CALLER), server(CALLED));
    ends.caller.send(&message("a@example.com", "b@example.net", "x"), Some(5), ends.now).unwrap();
    drained(|| ends.caller.poll_output());
    let dead = ends.caller.poll_timeout().unwrap();
    assert_eq!(dead, ends.now + ACK_TIMEOUT);
    ends.caller.handle_timeout(dead);
    assert_eq!(refusal(&drained(|| ends.caller.poll_output()).1), Some(StreamCondition::ConnectionTimeout));
    assert_eq!(ends.caller.take_session(dead).unwrap().unacked().collect::<Vec<_>>(), [5]);
}

// checks: SMG-002
#[test]
fn the_unacknowledged_are_bounded() {
    let mut config = server(CALLER);
    config.management = Some(ManagementConfig { max_unacked: 2, ..ManagementConfig::default() });
    let mut ends = Ends::open(config, server(CALLED));
    ends.say("1", 1);
    let [_, at_called] = ends.say("2", 2);
    let third = message("a@example.com", "b@example.net", "3");
    assert!(!ends.caller.has_room());
    assert_eq!(ends.caller.send(&third, Some(3), ends.now), Err(NotSent::Full));
    ends.called.handle_settled(1, ends.now);
    settle(&mut ends, &at_called);
    ends.exchange();
    assert_eq!(ends.caller.send(&third, Some(3), ends.now), Ok(()));
}

// checks: SMG-001
#[test]
fn xep0198_by_dialback_too() {
    let mut ends = Ends::new(server(CALLER), server(CALLED));
    ends.caller_is = xmpp_proto::server::PeerIdentity::default();
    ends.exchange();
    ends.called.handle_verdict(&forth(), xmpp_proto::server::Verdict::Valid, ends.now);
    let [at_caller, at_called] = ends.exchange();
    assert!(at_called.contains(&Output::Managed { is_resumable: true }), "{at_called:?}");
    assert!(at_caller.contains(&proven(Flow::Sending, forth(), Proof::Certificate)), "{at_caller:?}");
}

// checks: SMG-002, DBK-004
#[test]
fn xep0198_s5_further_pairs_go_on_with_their_session() {
    let mut caller = server(CALLER);
    caller.hosts.insert(domain("rooms.example.com"));
    let mut ends = Ends::open(caller, server(CALLED));
    let further = pair("rooms.example.com", CALLED);
    ends.caller.authorize(further.clone(), ends.now).unwrap();
    ends.exchange();
    ends.called.handle_verdict(&further, xmpp_proto::server::Verdict::Valid, ends.now);
    ends.exchange();
    let stanza = message("r@rooms.example.com", "romeo@example.net", "room");
    ends.caller.send(&stanza, Some(1), ends.now).unwrap();
    drained(|| ends.caller.poll_output());
    let [Some(ours), Some(theirs)] = broken(&mut ends) else { panic!("no sessions") };
    let (mut ends, _) = again(ours, server(CALLED), &ends);
    ends.called.handle_session(Some(theirs), ends.now).unwrap();
    let [_, at_called] = ends.exchange();
    assert_eq!(bodies(&at_called), ["room"]);
    assert!(at_called.contains(&proven(Flow::Receiving, further, Proof::Dialback)), "{at_called:?}");
}
