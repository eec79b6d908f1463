//! The adapter against a server of components, over loopback TCP.

#[cfg(test)]
mod support;

use std::time::Duration;

use adapter_api::{Carries, PeerState, SourceProof, SpeaksFor};
use impp_model::{
    Cause, ComposingState, Disposition, DispositionOperation, Failure, MaxForwards, Operation, Outcome, Proof, Side,
};
use serde_json::json;
use support::{Gateway, PATIENCE, Peer, Server, config, operation, outcome, start};

/// A hold that does not run out.
const LONG: Duration = Duration::from_secs(30);

/// A hold that no test waits for.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A hold that runs out while a test waits.
const SHORT: Duration = Duration::from_millis(150);

fn cause(outcome: Outcome) -> Cause {
    match outcome {
        Outcome::Failure(failure) => failure.cause,
        other @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant) => panic!("{other:?}"),
    }
}

async fn up() -> (Server, Gateway, Peer) {
    let server = Server::bind().await;
    let mut gateway = start(config(server.port(), json!({})));
    let peer = server.accept().await;
    while gateway.peer().await != PeerState::Up {}
    (server, gateway, peer)
}

// checks: IM-030, IM-033, CMPN-001, CMPN-002, CMPN-003
#[tokio::test]
async fn a_message_is_delivered_when_the_barrier_behind_it_is_answered() {
    let (_server, gateway, mut peer) = up().await;
    let outcome_to_come = gateway.deliver("hi", LONG);
    let message = peer.next().await;
    assert_eq!((message.attr("from"), message.attr("to")), (Some("romeo@sip.example.com"), Some("juliet@example.com")));
    assert_eq!(message.child("body", &message.ns).unwrap().text(), "hi");
    let ping = peer.next().await;
    assert_eq!((ping.attr("from"), ping.attr("to")), (Some("sip.example.com"), Some("example.com")));
    peer.answer(&ping).await;
    assert_eq!(outcome(outcome_to_come).await, Outcome::Success(Proof::Server));
}

// checks: ERR-008, IM-013
#[tokio::test]
async fn word_of_a_late_failure_is_an_error_stanza_with_the_id_of_the_message() {
    let (_server, gateway, mut peer) = up().await;
    let message = support::operation("hi");
    let word = DispositionOperation {
        source: message.source,
        destination: message.destination,
        message_id: Some("m1".into()),
        trans_id: message.trans_id,
        accepted: "2026-11-22T12:00:00Z".parse().unwrap(),
        max_forwards: MaxForwards::INITIAL,
        and_earlier: false,
        return_path: None,
        disposition: Disposition::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound))),
    };
    let outcome_to_come = gateway.deliver_any(Operation::Disposition(Box::new(word)), LONG);
    let stanza = peer.next().await;
    assert_eq!((stanza.attr("type"), stanza.attr("id")), (Some("error"), Some("m1")));
    assert_eq!((stanza.attr("from"), stanza.attr("to")), (Some("romeo@sip.example.com"), Some("juliet@example.com")));
    let error = stanza.child("error", &stanza.ns).unwrap();
    assert!(error.child("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas").is_some(), "{error:?}");
    let ping = peer.next().await;
    peer.answer(&ping).await;
    assert_eq!(outcome(outcome_to_come).await, Outcome::Success(Proof::Server));
}

// checks: XST-016
#[tokio::test]
async fn many_messages_keep_their_order_and_share_barriers() {
    let (_server, gateway, mut peer) = up().await;
    let outcomes: Vec<_> = (0..1000).map(|number| gateway.deliver(&number.to_string(), LONG)).collect();
    let (mut bodies, mut pings) = (Vec::new(), 0);
    while bodies.len() < 1000 {
        let stanza = peer.next().await;
        match stanza.child("body", &stanza.ns) {
            Some(body) => bodies.push(body.text().into_owned()),
            None => {
                pings += 1;
                peer.answer(&stanza).await;
            }
        }
    }
    assert_eq!(bodies, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(pings < 100, "{pings} pings");
    for outcome_to_come in outcomes {
        assert_eq!(peer.prove(outcome_to_come).await, Outcome::Success(Proof::Server));
    }
}

// checks: ERR-007, IM-013
#[tokio::test]
async fn an_error_stanza_settles_the_message_it_is_about() {
    let (_server, mut gateway, mut peer) = up().await;
    let (first, second) = (gateway.deliver("one", LONG), gateway.deliver("two", LONG));
    let id = peer.next_named("message").await.attr("id").unwrap().to_owned();
    peer.send(&format!(
        "<message type='error' from='mallory@evil.example' to='romeo@sip.example.com' id='{id}'><error type='cancel'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ))
    .await;
    peer.send(&format!(
        "<message type='error' from='juliet@example.com' to='romeo@sip.example.com' id='{id}'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no such user</text></error></message>"
    ))
    .await;
    let Outcome::Failure(failure) = outcome(first).await else { panic!("no failure") };
    assert_eq!(
        (failure.cause, failure.side, failure.text.as_deref()),
        (Cause::NotFound, Side::Far, Some("no such user"))
    );
    assert_eq!(peer.prove(second).await, Outcome::Success(Proof::Server));
    assert!(gateway.submitted.try_recv().is_err(), "the error was passed on");
    // What is not about an open message is the hub's to judge: it knows whose word counts.
    let words = std::mem::take(&mut *gateway.hub.words.lock().unwrap());
    let [word] = words.as_slice() else { panic!("{words:?}") };
    assert_eq!(
        (word.source.address.to_string(), word.message_id.as_ref().map(|id| id.as_str())),
        ("mallory@evil.example".into(), Some(id.as_str()))
    );
    assert_eq!(word.disposition.failure().map(|failure| failure.cause), Some(Cause::Gone));
}

#[tokio::test]
async fn only_the_domain_itself_answers_its_barrier() {
    let (_server, gateway, mut peer) = up().await;
    let outcome_to_come = gateway.deliver("hi", Duration::from_millis(500));
    let ping = peer.next_named("iq").await;
    let id = ping.attr("id").unwrap();
    peer.send(&format!("<iq type='result' from='evil.example' to='sip.example.com' id='{id}'/>")).await;
    peer.send(&format!("<iq type='result' from='mallory@example.com' to='sip.example.com' id='{id}'/>")).await;
    peer.send("<iq type='result' from='example.com' to='sip.example.com' id='ilb-00000000-0'/>").await;
    assert_eq!(cause(outcome(outcome_to_come).await), Cause::Unconfirmed);
}

#[tokio::test]
async fn silence_is_told_as_unconfirmed_at_the_deadline() {
    let (_server, gateway, mut peer) = up().await;
    let outcome_to_come = gateway.deliver("hi", SHORT);
    peer.next_named("message").await;
    assert_eq!(cause(outcome(outcome_to_come).await), Cause::Unconfirmed);
}

// checks: IM-13
#[tokio::test]
async fn what_is_on_its_way_over_a_link_that_lives_is_not_written_twice() {
    let (_server, gateway, mut peer) = up().await;
    let again = |hold| gateway.try_again(Operation::Message(Box::new(operation("hi"))), hold, true);
    assert_eq!(cause(outcome(gateway.deliver("hi", SHORT)).await), Cause::Unconfirmed);
    peer.next_named("message").await;
    let ping = peer.next_named("iq").await;
    // Tried again, it waits for the same proof, also past that deadline.
    assert_eq!(cause(outcome(again(SHORT)).await), Cause::Unconfirmed);
    let waits = again(LONG);
    let behind = gateway.deliver("behind", LONG);
    // Nothing was written but what is new.
    let next = peer.next_named("message").await;
    assert_eq!(next.child("body", &next.ns).unwrap().text(), "behind");
    peer.answer(&ping).await;
    assert_eq!(outcome(waits).await, Outcome::Success(Proof::Server));
    let ping = peer.next_named("iq").await;
    peer.answer(&ping).await;
    assert_eq!(outcome(behind).await, Outcome::Success(Proof::Server));
}

// checks: IM-13
#[tokio::test]
async fn a_proof_that_comes_too_late_counts_for_the_next_try_and_a_broken_link_for_none() {
    let (server, mut gateway, mut peer) = up().await;
    let again = |gateway: &Gateway| gateway.try_again(Operation::Message(Box::new(operation("hi"))), LONG, true);
    assert_eq!(cause(outcome(gateway.deliver("hi", SHORT)).await), Cause::Unconfirmed);
    let ping = peer.next_named("iq").await;
    peer.answer(&ping).await;
    // What comes back after it shows that the proof was read.
    let next = gateway.deliver("next", LONG);
    assert_eq!(peer.prove(next).await, Outcome::Success(Proof::Server));
    assert_eq!(outcome(again(&gateway)).await, Outcome::Success(Proof::Server));
    // A link that breaks takes along what it knew.
    assert_eq!(cause(outcome(gateway.deliver("hi", SHORT)).await), Cause::Unconfirmed);
    peer.next_named("iq").await;
    peer.abort();
    while gateway.peer().await != PeerState::Down {}
    let mut peer = server.accept().await;
    while gateway.peer().await != PeerState::Up {}
    let written = again(&gateway);
    let message = peer.next_named("message").await;
    assert_eq!(message.child("body", &message.ns).unwrap().text(), "hi");
    assert_eq!(peer.prove(written).await, Outcome::Success(Proof::Server));
}

// checks: IM-09
#[tokio::test]
async fn without_acknowledgement_messages_end_as_handed_over() {
    let server = Server::bind().await;
    let gateway = start(config(server.port(), json!({"acknowledge": "none"})));
    let mut peer = server.accept().await;
    let outcome_to_come = gateway.deliver("hi", LONG);
    peer.next_named("message").await;
    assert_eq!(outcome(outcome_to_come).await, Outcome::HandedOver);
}

// checks: XST-034
#[tokio::test]
async fn while_the_link_is_made_messages_wait_in_order_until_their_deadline() {
    let server = Server::bind().await;
    let mut gateway = start(config(server.port(), json!({})));
    assert_eq!(gateway.peer().await, PeerState::Down);
    let (expiring, first, second) =
        (gateway.deliver("0", SHORT), gateway.deliver("1", LONG), gateway.deliver("2", LONG));
    assert_eq!(cause(outcome(expiring).await), Cause::LinkDown);
    let mut peer = server.accept().await;
    for text in ["1", "2"] {
        let message = peer.next_named("message").await;
        assert_eq!(message.child("body", &message.ns).unwrap().text(), text);
    }
    assert_eq!(peer.prove(first).await, Outcome::Success(Proof::Server));
    assert_eq!(peer.prove(second).await, Outcome::Success(Proof::Server));
}

#[tokio::test]
async fn without_a_link_in_sight_messages_do_not_wait_for_it() {
    let server = Server::bind().await;
    let port = server.port();
    drop(server);
    let mut gateway = start(config(port, json!({})));
    for text in ["before the first try has failed", "after it"] {
        assert_eq!(cause(outcome(gateway.deliver(text, FOR_EVER)).await), Cause::LinkDown);
    }
    let server = Server::bind_to(port).await;
    let mut peer = server.accept().await;
    while gateway.peer().await != PeerState::Up {}
    let next = gateway.deliver("again", LONG);
    assert_eq!(peer.prove(next).await, Outcome::Success(Proof::Server));
}

#[tokio::test]
async fn what_was_sent_on_a_broken_link_is_unconfirmed_and_the_link_comes_back() {
    let (server, mut gateway, mut peer) = up().await;
    let doubtful = gateway.deliver("hi", LONG);
    peer.next_named("iq").await;
    peer.abort();
    assert_eq!(cause(outcome(doubtful).await), Cause::Unconfirmed);
    assert_eq!(gateway.peer().await, PeerState::Down);
    let mut peer = server.accept().await;
    assert_eq!(gateway.peer().await, PeerState::Up);
    let next = gateway.deliver("again", LONG);
    assert_eq!(peer.prove(next).await, Outcome::Success(Proof::Server));
}

// checks: CMPN-004
#[tokio::test]
async fn a_wrong_secret_is_tried_again_and_delivers_nothing() {
    let server = Server::bind().await;
    let gateway = start(config(server.port(), json!({"secret": "wrong"})));
    let waiting = gateway.deliver("x", SHORT);
    server.refuse().await;
    assert_eq!(cause(outcome(waiting).await), Cause::LinkDown);
    server.refuse().await;
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_harms_nobody() {
    let server = Server::bind().await;
    let mut gateway = start(config(server.port(), json!({})));
    for octets in [&b"SSH-2.0-x\r\n"[..], b"<!DOCTYPE x [<!ENTITY a 'b'>]>"] {
        server.babble(octets).await;
    }
    let mut peer = server.accept().await;
    while gateway.peer().await != PeerState::Up {}
    peer.babble(b"<message><body>\x01</body></message>").await;
    let mut peer = server.accept().await;
    let delivered = gateway.deliver("x", LONG);
    assert_eq!(peer.prove(delivered).await, Outcome::Success(Proof::Server));
}

/// The message that the adapter has given the hub word of, which it could not get through at once.
async fn owed(gateway: &Gateway) -> DispositionOperation {
    let owed = async {
        loop {
            let owed = gateway.hub.owed.lock().expect("no test panics with it").pop();
            if let Some((word, _)) = owed {
                return word;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, owed).await.expect("word of the failure")
}

// checks: IM-013
#[tokio::test]
async fn a_failure_that_comes_while_the_link_is_down_is_the_hubs_and_told_when_it_is_back() {
    let (server, mut gateway, mut peer) = up().await;
    peer.send("<message from='a@example.com/r' to='b@sip.example.com' id='7'><body>x</body></message>").await;
    let open = gateway.submitted().await;
    // While nobody can connect.
    let port = server.port();
    drop(server);
    peer.abort();
    while gateway.peer().await != PeerState::Down {}
    open.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    let word = owed(&gateway).await;
    assert_eq!(word.message_id.as_ref().map(|id| id.as_str()), Some("7"));
    // The hub tries it until the link takes it.
    let server = Server::bind_to(port).await;
    let mut peer = server.accept().await;
    while gateway.peer().await != PeerState::Up {}
    let told = gateway.deliver_any(Operation::Disposition(Box::new(word)), LONG);
    let error = peer.next_named("message").await;
    assert_eq!((error.attr("type"), error.attr("id")), (Some("error"), Some("7")));
    assert_eq!(peer.prove(told).await, Outcome::Success(Proof::Server));
}

// checks: IM-013
#[tokio::test]
async fn a_failure_that_a_breaking_link_takes_along_is_told_over_the_next_or_is_the_hubs() {
    let (server, mut gateway, mut peer) = up().await;
    peer.send("<message from='a@example.com/r' to='b@sip.example.com' id='7'><body>x</body></message>").await;
    gateway.submitted().await.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    assert_eq!(peer.next_named("message").await.attr("id"), Some("7"));
    // It was written, and who can tell whether the server has read it?
    peer.abort();
    assert_eq!(owed(&gateway).await.message_id.as_ref().map(|id| id.as_str()), Some("7"));
    // One that the server has is told no second time.
    let mut peer = server.accept().await;
    peer.send("<message from='a@example.com/r' to='b@sip.example.com' id='8'><body>x</body></message>").await;
    gateway.submitted().await.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    assert_eq!(peer.next_named("message").await.attr("id"), Some("8"));
    let delivered = gateway.deliver("proves it", LONG);
    assert_eq!(peer.prove(delivered).await, Outcome::Success(Proof::Server));
    peer.abort();
    let mut peer = server.accept().await;
    let _next = gateway.deliver("next", LONG);
    assert_ne!(peer.next_named("message").await.attr("type"), Some("error"), "proven, it is not told again");
    assert!(gateway.hub.owed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_queue_gives_the_delivery_back() {
    let server = Server::bind().await;
    let gateway = start(config(server.port(), json!({"limits": {"max_queue": 2}})));
    let _waiting = (gateway.deliver("1", LONG), gateway.deliver("2", LONG));
    // The delivery that came back is dropped by the test kit, which settles it so.
    assert_eq!(outcome(gateway.deliver("3", LONG)).await, Outcome::Indeterminant);
}

// checks: CMP-056, IM-021
#[tokio::test]
async fn a_stanza_over_the_servers_limit_is_refused_and_not_sent() {
    let server = Server::bind().await;
    let gateway = start(config(server.port(), json!({"limits": {"max_stanza": 10_000}})));
    let mut peer = server.accept().await;
    assert_eq!(cause(outcome(gateway.deliver(&"a".repeat(10_000), LONG)).await), Cause::TooLarge);
    let _fits = gateway.deliver(&"b".repeat(9_800), LONG);
    assert_eq!(peer.next_named("message").await.child("body", "jabber:component:accept").unwrap().text().len(), 9_800);
}

// checks: CMPN-003
#[tokio::test]
async fn nobody_else_is_spoken_for() {
    let (_server, gateway, _peer) = up().await;
    let mut foreign = operation("x");
    foreign.source.address = impp_model::Address::parse_bare("romeo@other.example").unwrap();
    assert_eq!(cause(outcome(gateway.deliver_operation(foreign, LONG)).await), Cause::NoRoute);
}

// checks: IM-001, IM-002, IM-005, IM-013, IM-014, ERR-008
#[tokio::test]
async fn rfc7572_s4_messages_go_to_the_hub_and_only_failures_come_back() {
    let (_server, mut gateway, mut peer) = up().await;
    for id in ["ok", "bad"] {
        peer.send(&format!(
            "<message from='juliet@example.com/yn0' to='o\\27malley@sip.example.com' id='{id}' type='chat'>\
             <body>Art thou?</body></message>"
        ))
        .await;
    }
    let good = gateway.submitted().await;
    assert_eq!(good.operation.source.address.to_string(), "juliet@example.com");
    assert_eq!(good.operation.source.device.as_ref().map(|d| d.as_str()), Some("yn0"));
    assert_eq!(good.operation.destination.address.to_string(), "o'malley@sip.example.com");
    assert_eq!(good.operation.message.content.as_text(), Some("Art thou?"));
    assert_eq!(good.provenance.proof, SourceProof::Secret);
    assert!(matches!(&good.provenance.speaks_for, SpeaksFor::Patterns(patterns) if patterns.len() == 1));
    good.settle.settle(Outcome::Success(Proof::Recipient));
    let bad = gateway.submitted().await;
    assert_ne!(bad.operation.trans_id, good.operation.trans_id);
    bad.settle.settle(Failure::new(Side::Far, Cause::RecipientUnavailable).with_text("Temporarily Unavailable"));
    let error = peer.next().await;
    assert_eq!(
        (error.attr("type"), error.attr("from"), error.attr("to"), error.attr("id")),
        (Some("error"), Some("o\\27malley@sip.example.com"), Some("juliet@example.com/yn0"), Some("bad"))
    );
    let error = xmpp_proto::stanza::StanzaError::read(error.child("error", &error.ns).unwrap());
    assert_eq!(error.condition, xmpp_proto::stanza::Condition::RecipientUnavailable);
    assert_eq!(error.text.as_deref(), Some("Temporarily Unavailable"));
}

// checks: IM-010, ADR-036, CMP-070, DSC-001, DSC-002, DSC-004, DSC-006, XST-041, XSU-018
#[tokio::test]
async fn requests_are_answered_and_refusals_told_at_once() {
    let (_server, mut gateway, mut peer) = up().await;
    let condition = |stanza: &strict_xml::Element| {
        let error = stanza.child("error", &stanza.ns).map(xmpp_proto::stanza::StanzaError::read);
        error.map(|error| error.condition.as_str())
    };
    let cases = [
        (
            "<message from='a@example.com/r' to='b@sip.example.com' type='groupchat' id='1'><body>x</body></message>",
            Some("service-unavailable"),
        ),
        (
            "<message from='a@example.com/r' to='\\20b@sip.example.com' id='2'><body>x</body></message>",
            Some("jid-malformed"),
        ),
        (
            "<message from='a@example.com/r' to='sip.example.com' id='3'><body>x</body></message>",
            Some("service-unavailable"),
        ),
        ("<iq from='a@example.com/r' to='sip.example.com' type='get' id='4'><ping xmlns='urn:xmpp:ping'/></iq>", None),
        (
            "<iq from='a@example.com/r' to='sip.example.com' type='get' id='5'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            None,
        ),
        (
            "<iq from='a@example.com/r' to='b@sip.example.com' type='get' id='6'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            Some("service-unavailable"),
        ),
        (
            "<iq from='a@example.com/r' to='sip.example.com' type='set' id='7'><query xmlns='jabber:iq:register'/></iq>",
            Some("service-unavailable"),
        ),
    ];
    // What is ignored: the answers below would come after answers to these.
    for ignored in [
        "<presence from='a@example.com' to='b@sip.example.com' type='error' id='p1'><error type='cancel'/></presence>",
        "<presence from='a@example.com' to='sip.example.com' type='subscribe' id='p2'/>",
        "<message from='a@example.com/r' to='b@sip.example.com' type='error' id='nobody'><error type='cancel'/></message>",
        "<message from='a@example.com/r' to='b@sip.example.com' type='chat' id='c'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    ] {
        peer.send(ignored).await;
    }
    for (number, (stanza, expected)) in cases.into_iter().enumerate() {
        peer.send(stanza).await;
        let answer = peer.next().await;
        assert_eq!(answer.attr("id"), Some(&*(number + 1).to_string()));
        assert_eq!(condition(&answer), expected, "{stanza}");
    }
    assert!(gateway.submitted.try_recv().is_err());
    // CMP-004: a state is handed in, and its sender hears nothing of it.
    let signals = gateway.hub.signals.lock().unwrap();
    assert!(matches!(signals.as_slice(), [Operation::Composing(told)] if told.state == ComposingState::Active));
}

/// Word for `romeo` about his message `m1`.
fn word(disposition: Disposition) -> Operation {
    let end = |text: &str| impp_model::Endpoint::bare(text.parse().expect("an address"));
    Operation::Disposition(Box::new(DispositionOperation {
        source: end("juliet@sip.example.com"),
        destination: end("romeo@example.com"),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some("m1".into()),
        trans_id: "w1".into(),
        accepted: impp_model::DateTime::from_epoch(0, 0).expect("a time"),
        disposition,
        and_earlier: false,
        return_path: None,
    }))
}

// checks: CMP-024, CMP-022
#[tokio::test]
async fn xep0184_xep0333_reports_are_written_and_taken() {
    let (_server, mut gateway, mut peer) = up().await;
    let outcome_to_come = gateway.deliver_any(word(Disposition::Delivered), LONG);
    let stanza = peer.next().await;
    let received = stanza.child("received", "urn:xmpp:receipts").and_then(|received| received.attr("id"));
    assert_eq!((stanza.attr("to"), received), (Some("romeo@example.com"), Some("m1")));
    assert_eq!(peer.prove(outcome_to_come).await, Outcome::Success(Proof::Server));
    // What servers on the way did has no form in XMPP.
    let outcome_to_come = gateway.deliver_any(word(Disposition::Stored), LONG);
    assert_eq!(outcome(outcome_to_come).await, Outcome::Success(Proof::Server));
    assert_eq!(*gateway.hub.losses.lock().unwrap(), [("disposition".to_owned(), Carries::Dropped)]);
    peer.send("<message from='romeo@example.com/r' to='juliet@sip.example.com'><displayed xmlns='urn:xmpp:chat-markers:0' id='m2'/></message>").await;
    peer.send("<message from='romeo@example.com/r' to='juliet@sip.example.com' id='m3'><body>x</body></message>").await;
    assert_eq!(gateway.submitted().await.operation.message.content.as_text(), Some("x"));
    let words = gateway.hub.words.lock().unwrap();
    let [told] = words.as_slice() else { panic!("{words:?}") };
    assert_eq!((told.disposition.label(), told.and_earlier), ("displayed", true));
}

#[tokio::test]
async fn too_many_open_messages_are_refused_for_a_while() {
    let server = Server::bind().await;
    let mut gateway = start(config(server.port(), json!({"limits": {"max_pending": 1}})));
    let mut peer = server.accept().await;
    for id in ["1", "2"] {
        peer.send(&format!(
            "<message from='a@example.com/r' to='b@sip.example.com' id='{id}'><body>x</body></message>"
        ))
        .await;
    }
    let open = gateway.submitted().await;
    let refused = peer.next().await;
    assert_eq!(refused.attr("id"), Some("2"));
    assert!(refused.child("error", &refused.ns).unwrap().elements().any(|c| c.name == *"resource-constraint"));
    drop(open);
}

#[tokio::test]
async fn what_is_lost_in_translation_is_counted() {
    let (_server, gateway, mut peer) = up().await;
    let mut lossy = operation("x");
    lossy.message.receipts.processing = true;
    let _outcome = gateway.deliver_operation(lossy, LONG);
    peer.next_named("message").await;
    assert_eq!(*gateway.hub.losses.lock().unwrap(), [("receipts".to_owned(), Carries::Dropped)]);
}

// checks: XST-033
#[tokio::test]
async fn rfc6120_s4_4_a_stop_waits_for_open_messages_and_closes_the_stream() {
    let (_server, gateway, mut peer) = up().await;
    let open = gateway.deliver("last", LONG);
    let ping = peer.next_named("iq").await;
    gateway.stop.shut_down();
    peer.answer(&ping).await;
    assert_eq!(outcome(open).await, Outcome::Success(Proof::Server));
    peer.until_closed().await;
    assert!(peer.closed);
    drop(peer);
    tokio::time::timeout(PATIENCE, gateway.running).await.expect("the adapter ends").unwrap();
}

#[tokio::test]
async fn a_stop_without_a_link_settles_what_waits() {
    let server = Server::bind().await;
    let gateway = start(config(server.port(), json!({})));
    let waiting = gateway.deliver("x", LONG);
    gateway.stop.shut_down();
    assert_eq!(cause(outcome(waiting).await), Cause::ShuttingDown);
    tokio::time::timeout(PATIENCE, gateway.running).await.expect("the adapter ends").unwrap();
}

// checks: XST-034
#[tokio::test]
async fn a_users_odd_stanza_is_refused_and_does_not_close_the_link_of_all() {
    let (_server, mut gateway, mut peer) = up().await;
    let namespace = format!("<x xmlns='urn:{}'/>", "n".repeat(300));
    let attributes = format!("<x {}/>", (0..600).map(|n| format!("a{n}='' ")).collect::<String>());
    let declarations = (0..130).map(|n| format!("<x xmlns:p{n}='urn:{n}'>")).collect::<String>() + &"</x>".repeat(130);
    let depth = "<x>".repeat(600) + &"</x>".repeat(600);
    for (id, odd) in [("1", namespace), ("2", attributes), ("3", declarations), ("4", depth)] {
        let stanza = format!(
            "<message from='a@example.com/r&gt;' to='b@sip.example.com' id='{id}'><body>x</body>{odd}</message>"
        );
        peer.send_octets(stanza.as_bytes()).await;
        let error = peer.next().await;
        assert_eq!((&*error.name, error.attr("type"), error.attr("id")), ("message", Some("error"), Some(id)));
        assert_eq!((error.attr("to"), error.attr("from")), (Some("a@example.com/r>"), Some("b@sip.example.com")));
    }
    // What answers something is never answered.
    let odd = "<x>".repeat(600) + &"</x>".repeat(600);
    let odd = format!("<message type='error' from='a@example.com' to='b@sip.example.com' id='5'>{odd}</message>");
    peer.send_octets(odd.as_bytes()).await;
    peer.send("<message from='a@example.com' to='b@sip.example.com' id='6'><body>fine</body></message>").await;
    gateway.submitted().await.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    assert_eq!(peer.next().await.attr("id"), Some("6"));
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_not_read_from_without_end() {
    let (_server, _gateway, mut peer) = up().await;
    let id = "x".repeat(50_000);
    let request = format!("<iq type='get' from='a@example.com' to='b@sip.example.com' id='{id}'><x xmlns='y'/></iq>");
    let mut octets = 0;
    while octets < 100 << 20 {
        match tokio::time::timeout(Duration::from_secs(1), peer.send_octets(request.as_bytes())).await {
            Ok(()) => octets += request.len(),
            Err(_) => return,
        }
    }
    panic!("{octets} octets taken, and as many to be written are kept");
}
