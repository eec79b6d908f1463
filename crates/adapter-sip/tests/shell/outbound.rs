//! Deliveries to SIP peers.

use crate::kit::{FakeDns, Gateway, PATIENCE, Peer, Wire, cause, outcome, status, text};
use adapter_api::{Examine, Hop, Target, Transport};
use cpim::imdn::ImdnRequest;
use impp_model::{
    Cause, Content, DateTime, Disposition, DispositionOperation, Endpoint, MaxForwards, MessageId, Operation, Outcome,
    Proof, Thread,
};
use impp_resolve::{Name, Record, Srv};
use serde_json::json;
use sip_proto::build::ResponseBuilder;
use sip_proto::header_id::HeaderId;
use socket2::Socket;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

// checks: IM-005, IM-014, MSG-002, SIP-008
#[tokio::test]
async fn rfc3428_s4_a_delivery_becomes_a_message_and_its_answer_the_outcome() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    for (status, proof) in [(200, Proof::Recipient), (202, Proof::Server)] {
        let settled = gateway.deliver(peer.hop(), |_| {});
        let (request, from) = peer.receive_from().await;
        let verified = request.verify().unwrap();
        assert_eq!(
            (request.request_uri(), request.body(), from),
            (Some("sip:romeo@example.net"), b"hi".as_slice(), gateway.udp)
        );
        assert_eq!(verified.from.uri, "sip:juliet@example.com");
        assert!(verified.via.sent_by_is("127.0.0.1", gateway.udp.port()));
        assert_eq!(text(&request, HeaderId::MaxForwards).as_deref(), Some("70"));
        peer.answer(from, &request, status).await;
        assert_eq!(outcome(settled).await, Outcome::Success(proof));
    }
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Up"));
}

// checks: SIP-001, LOC-007
#[tokio::test]
async fn rfc3261_s17_1_2_2_an_unanswered_request_is_repeated_to_the_same_server() {
    let (gateway, peer, other) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    let servers = [(peer.address, Transport::Udp), (other.address, Transport::Udp)];
    let settled = gateway.deliver(located(&servers), |_| {});
    let first = peer.receive().await;
    let (second, from) = peer.receive_from().await;
    assert_eq!(first.octets(), second.octets());
    peer.answer(from, &second, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    // The next message is the first that the other server hears of, when this one refuses it.
    let moved = gateway.deliver(located(&servers), |_| {});
    let (refused, from) = peer.receive_from().await;
    peer.answer(from, &refused, 503).await;
    let (taken, from) = other.receive_from().await;
    assert_eq!(text(&taken, HeaderId::CallId), text(&refused, HeaderId::CallId));
    other.answer(from, &taken, 200).await;
    assert_eq!(outcome(moved).await, Outcome::Success(Proof::Recipient));
}

// checks: SIP-019
#[tokio::test]
async fn rfc3261_s8_2_2_2_a_copy_that_may_be_the_one_that_was_refused_is_no_delivery() {
    let (gateway, one, two) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    let hop = || located(&[(one.address, Transport::Udp), (two.address, Transport::Udp)]);
    let named = |operation: &mut impp_model::MessageOperation| {
        (operation.trans_id, operation.message.id) = ("t1".into(), Some(MessageId::from("m1")));
    };
    let first = gateway.deliver(hop(), named);
    let (request, from) = one.receive_from().await;
    one.answer(from, &request, 500).await;
    let Outcome::Failure(failure) = outcome(first).await else { panic!("delivered") };
    assert!(failure.may_have_arrived(), "a proxy may have sent it on");
    // The first is still remembered at one server; the other may serve the same users.
    let again = gateway.repeat(hop(), named);
    let (copy, from) = two.receive_from().await;
    assert_eq!(text(&copy, HeaderId::CallId), text(&request, HeaderId::CallId));
    two.answer(from, &copy, 482).await;
    assert_eq!(cause(again).await, Cause::Unconfirmed);
}

#[tokio::test]
async fn a_repeat_waits_while_the_try_before_it_is_remembered() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let named = |operation: &mut impp_model::MessageOperation| operation.message.id = Some(MessageId::from("m1"));
    let first = gateway.repeat(peer.hop(), named);
    let (request, from) = peer.receive_from().await;
    peer.answer(from, &request, 503).await;
    assert_eq!(cause(first).await, Cause::InternalError);
    let failure = match outcome(gateway.repeat(peer.hop(), named)).await {
        Outcome::Failure(failure) => failure,
        other => panic!("{other:?}"),
    };
    assert!(failure.cause == Cause::Unconfirmed && failure.retry != impp_model::Retry::Never);
}

// checks: IM-009, SIP-007, MSG-011
#[tokio::test]
async fn rfc3428_s8_the_second_message_to_a_uri_waits_for_the_first() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let say = |text: &'static str| {
        gateway.deliver(peer.hop(), move |operation| {
            operation.message.content = Content::text(text);
            operation.message.thread = Some(Thread::from("th1"));
        })
    };
    let (one, two) = (say("one"), say("two"));
    let other = gateway
        .deliver(peer.hop(), |operation| operation.destination.address = "mercutio@example.net".parse().unwrap());
    let (first, from) = peer.receive_from().await;
    let third = peer.receive().await;
    // The message to somebody else overtakes; the second one is held back.
    assert_eq!((first.body(), third.request_uri()), (b"one".as_slice(), Some("sip:mercutio@example.net")));
    peer.answer(from, &first, 200).await;
    let second = peer.receive().await;
    assert_eq!(second.body(), b"two");
    let keys = |message: &sip_proto::message::Message| {
        let verified = message.verify().unwrap();
        (
            verified.call_id.as_str().to_owned(),
            verified.from.tag().unwrap().to_owned(),
            verified.via.branch().unwrap().to_owned(),
        )
    };
    let ((call_a, tag_a, branch_a), (call_b, tag_b, branch_b)) = (keys(&first), keys(&second));
    assert!(call_a == "th1" && call_b == "th1" && tag_a != tag_b && branch_a != branch_b);
    peer.answer(from, &second, 486).await;
    peer.answer(from, &third, 200).await;
    assert_eq!(outcome(one).await, Outcome::Success(Proof::Recipient));
    assert_eq!(cause(two).await, Cause::RecipientUnavailable);
    assert_eq!(outcome(other).await, Outcome::Success(Proof::Recipient));
}

// checks: IM-009, MSG-011
#[tokio::test]
async fn behind_a_message_that_is_tried_again_those_of_its_pair_are_given_back_unsent() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let say = |text: &'static str| {
        gateway.deliver(peer.hop(), move |operation| operation.message.content = Content::text(text))
    };
    let (one, two, three) = (say("one"), say("two"), say("three"));
    let other = gateway.deliver(peer.hop(), |operation| {
        operation.message.content = Content::text("other");
        operation.source.address = "nurse@example.com".parse().unwrap();
    });
    let (first, from) = peer.receive_from().await;
    assert_eq!(first.body(), b"one");
    peer.answer(from, &first, 503).await;
    assert_eq!([cause(two).await, cause(three).await], [Cause::LinkDown; 2]);
    assert!(matches!(outcome(one).await, Outcome::Failure(_)));
    let (next, from) = peer.receive_from().await;
    assert_eq!(next.body(), b"other", "another sender's goes on");
    peer.answer(from, &next, 200).await;
    assert_eq!(outcome(other).await, Outcome::Success(Proof::Recipient));
}

// checks: MSG-011
#[tokio::test]
async fn the_queue_of_a_uri_is_bounded_and_its_deadlines_hold() {
    let gateway = Gateway::start_with(json!({ "limits": { "queue_per_uri": 1 } }), FakeDns(Vec::new())).await;
    let peer = Peer::bind().await;
    let soon = Instant::now() + Duration::from_millis(300);
    let first = gateway.deliver_until(soon, peer.hop(), |_| {});
    let second = gateway.deliver_until(soon, peer.hop(), |_| {});
    let third = gateway.deliver_until(soon, peer.hop(), |_| {});
    assert_eq!(cause(third).await, Cause::Overload);
    assert_eq!(cause(first).await, Cause::Unconfirmed);
    assert!(matches!(cause(second).await, Cause::RemoteTimeout | Cause::Unconfirmed | Cause::LinkDown));
    // An answer that comes too late is a stray.
    let (request, from) = peer.receive_from().await;
    peer.answer(from, &request, 200).await;
    let next = gateway.deliver(peer.hop(), |operation| operation.message.content = Content::text("next"));
    loop {
        let (request, from) = peer.receive_from().await;
        if request.body() == b"next" {
            peer.answer(from, &request, 200).await;
            break;
        }
    }
    assert_eq!(outcome(next).await, Outcome::Success(Proof::Recipient));
}

#[tokio::test]
async fn rfc4320_s4_1_a_server_that_stays_silent_is_down_and_a_short_hold_proves_nothing() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let named = |id: &'static str| {
        move |operation: &mut impp_model::MessageOperation| operation.message.id = Some(MessageId::from(id))
    };
    let hold = gateway.deliver_until(Instant::now() + Duration::from_millis(300), peer.hop(), named("m1"));
    assert_eq!(cause(hold).await, Cause::Unconfirmed);
    assert!(gateway.events.try_recv().is_err(), "it may wait for its user");
    let long = gateway.deliver_until(Instant::now() + Duration::from_secs(5), peer.hop(), named("m2"));
    assert_eq!(cause(long).await, Cause::Unconfirmed);
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Down"));
}

fn located(places: &[(SocketAddr, Transport)]) -> Hop {
    let target = |(address, transport): &(SocketAddr, Transport)| Target {
        host: "server.example.net".into(),
        address: *address,
        transport: Some(*transport),
    };
    Hop::Located { domain: "example.net".parse().unwrap(), targets: places.iter().map(target).collect() }
}

// checks: LOC-006, ERR-002
#[tokio::test]
async fn rfc3263_s4_3_503_moves_on_to_the_next_server() {
    let (gateway, one, two) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    let hop = || located(&[(one.address, Transport::Udp), (two.address, Transport::Udp)]);
    let settled = gateway.deliver(hop(), |_| {});
    let (first, from) = one.receive_from().await;
    one.answer(from, &first, 503).await;
    let (second, from) = two.receive_from().await;
    let (a, b) = (first.verify().unwrap(), second.verify().unwrap());
    assert_eq!((a.call_id, a.from.tag(), a.cseq.number), (b.call_id, b.from.tag(), b.cseq.number));
    assert_ne!(a.via.branch(), b.via.branch());
    two.answer(from, &second, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    // The one that refused is asked last from then on.
    let settled = gateway.deliver(hop(), |_| {});
    let (request, from) = two.receive_from().await;
    two.answer(from, &request, 503).await;
    let (request, from) = one.receive_from().await;
    one.answer(from, &request, 503).await;
    let Outcome::Failure(failure) = outcome(settled).await else { panic!() };
    assert_eq!((failure.cause, failure.native.unwrap().code.as_str()), (Cause::InternalError, "503"));
}

// checks: LOC-006, SIP-019
#[tokio::test]
async fn rfc3261_s18_4_a_refused_connection_moves_on() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settled = gateway.deliver(located(&[(closed, Transport::Tcp), (peer.address, Transport::Udp)]), |_| {});
    let (request, from) = peer.receive_from().await;
    peer.answer(from, &request, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    let settled = gateway.deliver(Hop::Fixed(format!("sip:{closed};transport=tcp").into()), |_| {});
    assert_eq!(cause(settled).await, Cause::LinkDown);
}

// checks: LOC-006, SIP-019
#[cfg(target_os = "linux")]
#[tokio::test]
async fn rfc3261_s18_4_an_icmp_error_moves_on() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let closed = Peer::bind().await.address;
    let settled = gateway.deliver(located(&[(closed, Transport::Udp), (peer.address, Transport::Udp)]), |_| {});
    let (request, from) = peer.receive_from().await;
    peer.answer(from, &request, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    let settled = gateway.deliver(Hop::Fixed(format!("sip:{closed}").into()), |_| {});
    assert_eq!(cause(settled).await, Cause::LinkDown);
}

// checks: SIP-019
#[cfg(target_os = "linux")]
#[tokio::test]
async fn rfc3261_s18_4_an_icmp_error_is_about_one_datagram() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let hop = peer.hop();
    let taken = gateway.deliver(hop.clone(), |_| {});
    peer.receive().await;
    drop(peer);
    let nobody = Endpoint::bare("nobody@example.net".parse().unwrap());
    let refused = gateway.deliver(hop, |operation| operation.destination = nobody);
    assert_eq!(cause(refused).await, Cause::LinkDown);
    // A proxy may have sent it on before it went away.
    assert_eq!(cause(taken).await, Cause::Unconfirmed);
}

// checks: SIP-019, LOC-006
#[tokio::test]
async fn what_a_silent_server_may_have_is_unconfirmed_whatever_the_next_one_says() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let places = [(silent.local_addr().unwrap(), Transport::Tcp), (peer.address, Transport::Udp)];
    let settled = gateway.deliver(located(&places), |_| {});
    let mut wire = Wire::accept(&silent).await;
    wire.receive().await;
    drop(wire);
    let (request, from) = peer.receive_from().await;
    // Its own word: here nothing was sent on.
    let response = ResponseBuilder::new(&request, 503).to_tag("peer").header(HeaderId::RetryAfter, "1").encode();
    peer.socket.send_to(&response, from).await.unwrap();
    assert_eq!(cause(settled).await, Cause::Unconfirmed);
}

// checks: SIP-019
#[tokio::test]
async fn a_connection_that_breaks_behind_a_request_leaves_it_unconfirmed() {
    let (mut gateway, listener) = (Gateway::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let hop = || Hop::Fixed(format!("sip:{};transport=tcp", listener.local_addr().unwrap()).into());
    let settled = gateway.deliver(hop(), |_| {});
    let mut wire = Wire::accept(&listener).await;
    wire.receive().await;
    drop(wire);
    assert_eq!(cause(settled).await, Cause::Unconfirmed);
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Down"));
    // The next message opens another connection, which then serves all.
    let one = gateway.deliver(hop(), |_| {});
    let mut wire = Wire::accept(&listener).await;
    let request = wire.receive().await;
    assert!(request.top_via().unwrap().transport.eq_ignore_ascii_case("TCP"));
    wire.answer(&request, 200).await;
    assert_eq!(outcome(one).await, Outcome::Success(Proof::Recipient));
    let two = gateway.deliver(hop(), |_| {});
    let request = wire.receive().await;
    wire.answer(&request, 404).await;
    assert_eq!(cause(two).await, Cause::NotFound);
}

fn size(message: &sip_proto::message::Message) -> usize {
    message.octets().len()
}

// checks: IM-020, MSG-010, SIP-009, CMP-055
#[tokio::test]
async fn rfc3428_s8_a_request_beyond_1300_octets_goes_over_tcp() {
    let gateway = Gateway::start().await;
    let peer = Peer::bind().await;
    let listener = TcpListener::bind(peer.address).await.unwrap();
    let long = |octets: usize| {
        gateway.deliver(peer.hop(), move |operation| operation.message.content = Content::text("a".repeat(octets)))
    };
    let settled = long(100);
    let (request, from) = peer.receive_from().await;
    let head = size(&request) - 100;
    peer.answer(from, &request, 200).await;
    outcome(settled).await;
    let fitting = 1300 - head;
    let settled = long(fitting);
    let (request, from) = peer.receive_from().await;
    assert_eq!(size(&request), 1300);
    peer.answer(from, &request, 200).await;
    outcome(settled).await;
    let settled = long(fitting + 1);
    let mut wire = Wire::accept(&listener).await;
    let request = wire.receive().await;
    assert_eq!((request.top_via().unwrap().transport, request.body().len()), ("TCP", fitting + 1));
    wire.answer(&request, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
}

// checks: IM-020, MSG-010, AMB-07
#[tokio::test]
async fn a_large_request_never_falls_back_to_udp() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let long = |gateway: &Gateway| {
        gateway.deliver(peer.hop(), |operation| operation.message.content = Content::text("a".repeat(2000)))
    };
    assert_eq!(cause(long(&gateway)).await, Cause::TooLarge);
    let refusing = Gateway::start_with(json!({ "large_messages": "refuse" }), FakeDns(Vec::new())).await;
    assert_eq!(cause(long(&refusing)).await, Cause::TooLarge);
}

// checks: ERR-002, ERR-003, IM-013, SIP-036
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let settled = gateway.deliver(peer.hop(), |_| {});
    let (request, from) = peer.receive_from().await;
    let response = sip_proto::build::ResponseBuilder::new(&request, 302).to_tag("p");
    let response = response.header(HeaderId::Contact, "<sip:romeo@other.example.net>").encode();
    peer.socket.send_to(&response, from).await.unwrap();
    let Outcome::Failure(failure) = outcome(settled).await else { panic!() };
    assert_eq!(failure.cause, Cause::Redirect);
    assert_eq!(failure.redirect.unwrap().to_string(), "romeo@other.example.net");
}

// checks: IM-008, IM-034
#[tokio::test]
async fn rfc7572_s4_a_thread_that_is_no_call_id_comes_back() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let settled = gateway.deliver(peer.hop(), |operation| operation.message.thread = Some(Thread::from("tráva @ @ x")));
    let (request, from) = peer.receive_from().await;
    peer.answer(from, &request, 200).await;
    outcome(settled).await;
    let call_id = text(&request, HeaderId::CallId).unwrap();
    let reply = crate::kit::message(&peer, "1", "three").replace("Call-ID: c1", &format!("Call-ID: {call_id}"));
    peer.send(gateway.udp, &reply).await;
    assert_eq!(gateway.next().await.operation.message.thread.unwrap().as_str(), "tráva @ @ x");
}

// checks: IM-007
#[tokio::test]
async fn a_message_with_an_id_always_has_the_same_identifiers() {
    let peer = Peer::bind().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::start().await;
        let settled =
            gateway.deliver(peer.hop(), |operation| operation.message.id = Some(MessageId::from("a b;c=\"d")));
        let (request, from) = peer.receive_from().await;
        peer.answer(from, &request, 200).await;
        outcome(settled).await;
        let verified = request.verify().unwrap();
        seen.push((
            verified.call_id.as_str().to_owned(),
            verified.from.tag().map(str::to_owned),
            verified.via.branch().map(str::to_owned),
        ));
    }
    assert_eq!(seen[0], seen[1]);
}

// checks: IM-009, SIP-007
#[tokio::test]
async fn a_client_that_uses_an_id_again_is_not_taken_for_a_copy() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let mut branches = Vec::new();
    for _ in 0..2 {
        let settled = gateway.deliver(peer.hop(), |operation| operation.message.id = Some(MessageId::from("p1")));
        let (request, from) = peer.receive_from().await;
        branches.push(request.top_via().unwrap().branch().map(str::to_owned));
        peer.answer(from, &request, 200).await;
        assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    }
    assert_ne!(branches[0], branches[1]);
}

// checks: LOC-003, LOC-004
#[tokio::test]
async fn rfc3263_s4_a_named_hop_is_looked_up_once() {
    let peer = Peer::bind().await;
    let srv = Srv { priority: 0, weight: 0, port: peer.address.port(), target: Name::parse("p1.example.net").unwrap() };
    let records =
        vec![("_sip._udp.proxy.example.net", Record::Srv(srv)), ("p1.example.net", Record::A(Ipv4Addr::LOCALHOST))];
    let gateway = Gateway::start_with(json!({}), FakeDns(records)).await;
    for _ in 0..2 {
        let settled = gateway.deliver(Hop::Fixed("sip:proxy.example.net".into()), |_| {});
        let (request, from) = peer.receive_from().await;
        peer.answer(from, &request, 200).await;
        assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    }
    let lost = gateway.deliver(Hop::Fixed("sip:nx.invalid".into()), |_| {});
    assert_eq!(cause(lost).await, Cause::RemoteNotFound);
    for hop in [Hop::Link, Hop::Fixed("sips:127.0.0.1;transport=udp".into()), located(&[])] {
        assert_eq!(cause(gateway.deliver(hop, |_| {})).await, Cause::NoRoute);
    }
}

// checks: SIP-015
#[tokio::test]
async fn rfc3261_s8_1_3_3_an_answer_with_two_vias_is_not_ours() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let settled = gateway.deliver(peer.hop(), |_| {});
    let (request, from) = peer.receive_from().await;
    let response = String::from_utf8(sip_proto::build::ResponseBuilder::new(&request, 404).encode().to_vec()).unwrap();
    peer.send(from, &response.replacen("From:", "Via: SIP/2.0/UDP b.example;branch=z9hG4bKb\r\nFrom:", 1)).await;
    peer.answer(from, &request, 100).await;
    peer.answer(from, &request, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_says_what_would_be_sent() {
    let gateway = Gateway::start().await;
    let (settle, _) = adapter_api::settle_channel();
    drop(settle);
    let end = |text: &str| impp_model::Endpoint::bare(text.parse().unwrap());
    let operation = impp_model::MessageOperation {
        source: end("juliet@example.com"),
        destination: end("o'malley@example.net"),
        max_forwards: impp_model::MaxForwards(70),
        trans_id: "t".into(),
        message: impp_model::InstantMessage::new(Content::text("a".repeat(1300))),
    };
    let operation = Box::new(impp_model::Operation::Message(Box::new(operation)));
    let hop = Arc::new(Hop::Fixed("sip:192.0.2.1:5070".into()));
    let findings = gateway.adapter.examine(Examine::DryRun { operation, hop }).await;
    let value = |what: &str| {
        findings.findings.iter().find(|finding| finding.what == what).map(|finding| finding.value.as_str())
    };
    assert_eq!(value("destination"), Some("sip:o'malley@example.net"));
    assert_eq!(value("transport"), Some("udp 192.0.2.1:5070"));
    assert!(value("size").unwrap().ends_with("tcp, being above 1300"));
}

#[tokio::test]
async fn at_the_end_waiting_deliveries_are_settled() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let sent = gateway.deliver(peer.hop(), |_| {});
    let waiting = gateway.deliver(peer.hop(), |_| {});
    peer.receive().await;
    gateway.trigger.shut_down();
    assert_eq!(cause(sent).await, Cause::Unconfirmed);
    assert_eq!(cause(waiting).await, Cause::ShuttingDown);
    gateway.ended.await.unwrap();
    let _ = status;
}

// checks: SIP-019
#[tokio::test]
async fn a_burst_does_not_break_the_connection_it_waits_for() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = || Hop::Fixed(format!("sip:{};transport=tcp", listener.local_addr().unwrap()).into());
    let outcomes: Vec<_> = (0..1500)
        .map(|n| {
            gateway.deliver(hop(), |operation| {
                operation.destination.address = format!("u{n}@example.net").parse().unwrap();
            })
        })
        .collect();
    let mut wire = Wire::accept(&listener).await;
    tokio::spawn(async move {
        loop {
            let request = wire.receive().await;
            wire.answer(&request, 200).await;
        }
    });
    for settled in outcomes {
        assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    }
}

#[tokio::test]
async fn what_a_connection_has_no_room_for_is_refused_and_the_rest_is_sent() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = || Hop::Fixed(format!("sip:{};transport=tcp", listener.local_addr().unwrap()).into());
    let body = "x".repeat(60_000);
    let outcomes: Vec<_> = (0..120)
        .map(|n| {
            gateway.deliver(hop(), |operation| {
                operation.destination.address = format!("u{n}@example.net").parse().unwrap();
                operation.message.content = Content::text(body.as_str());
            })
        })
        .collect();
    let mut wire = Wire::accept(&listener).await;
    tokio::spawn(async move {
        loop {
            let request = wire.receive().await;
            wire.answer(&request, 200).await;
        }
    });
    let (mut delivered, mut refused) = (0, 0);
    for settled in outcomes {
        match outcome(settled).await {
            Outcome::Success(Proof::Recipient) => delivered += 1,
            Outcome::Failure(failure) if failure.cause == Cause::Overload => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(delivered > 60 && delivered + refused == 120, "{delivered} delivered, {refused} refused");
}

/// A report of Juliet's for Romeo about a message of this id that recorded `route`.
fn report(id: &str, route: &str) -> Operation {
    let end = |address: &str| Endpoint::bare(address.parse().unwrap());
    let object = format!(
        "From: <sip:romeo@example.net>\r\nTo: <sip:juliet@example.com>\r\nDateTime: 2026-11-22T12:00:00Z\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
         imdn.Message-ID: {id}\r\nimdn.Disposition-Notification: positive-delivery\r\nimdn.IMDN-Record-Route: <{route}>\r\n\r\n\
         Content-Type: text/plain\r\n\r\nhi"
    );
    let asked = ImdnRequest::of(&cpim::Message::parse(object.as_bytes(), cpim::Profile::Base).unwrap()).unwrap();
    Operation::Disposition(Box::new(DispositionOperation {
        source: end("juliet@example.com"),
        destination: end("romeo@example.net"),
        max_forwards: MaxForwards(70),
        message_id: Some(id.into()),
        trans_id: id.into(),
        accepted: DateTime::from_epoch(1_795_348_800, 0).unwrap(),
        disposition: Disposition::Delivered,
        and_earlier: false,
        return_path: adapter_sip::mapping::cpim::return_path(&asked),
    }))
}

// checks: IMDN-005
#[tokio::test]
async fn rfc5438_s7_2_1_a_report_goes_to_the_server_of_the_route_in_whatever_domain() {
    let (own, other) = (Peer::bind().await, Peer::bind().await);
    let srv = Srv { priority: 0, weight: 0, port: other.address.port(), target: Name::parse("p1.relay.test").unwrap() };
    let records = vec![("_sip._udp.relay.test", Record::Srv(srv)), ("p1.relay.test", Record::A(Ipv4Addr::LOCALHOST))];
    let gateway = Gateway::start_with(json!({}), FakeDns(records)).await;
    for (id, route, peer) in [("m1", "im:relay@relay.test", &other), ("m2", "im:relay@example.net", &own)] {
        let settled = gateway.hand_over(Instant::now() + PATIENCE, false, own.hop(), report(id, route));
        let (request, from) = peer.receive_from().await;
        assert_eq!(request.request_uri(), Some(route.replace("im:", "sip:").as_str()));
        assert_eq!(request.verify().unwrap().to.uri, "sip:romeo@example.net");
        peer.answer(from, &request, 200).await;
        assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    }
    // Where the hub chose TLS a route in another domain is looked up for TLS, and there is none.
    let secure = gateway.hand_over(
        Instant::now() + PATIENCE,
        false,
        Hop::Fixed("sips:127.0.0.1:9".into()),
        report("m3", "im:relay@relay.test"),
    );
    assert_eq!(cause(secure).await, Cause::RemoteNotFound);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_goes_after_it_was_sent_a_message_leaves_it_unconfirmed() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let settled = gateway.deliver(peer.hop(), |_| {});
    peer.receive().await;
    drop(peer);
    // The next copy finds nobody; the first one may be on somebody's screen.
    assert_eq!(cause(settled).await, Cause::Unconfirmed);
}

/// A listener at ::1 whose queue is full, so that the kernel answers no further SYN.
fn silent() -> (Socket, Vec<Socket>, SocketAddr) {
    let socket = || Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener.set_only_v6(true).unwrap();
    listener.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| {
        let waiting = socket();
        waiting.set_nonblocking(true).unwrap();
        // Under way, not done.
        let _ = waiting.connect(&address.into());
        waiting
    };
    let waiting = (0..4).map(fill).collect();
    (listener, waiting, address)
}

// checks: AR-12
#[tokio::test]
async fn rfc8305_s5_a_silent_address_of_a_server_is_overtaken_by_the_next_and_via_fits() {
    let listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0", "tcp:[::1]:0"];
    let mut gateway = Gateway::start_with(json!({ "listen": listen }), FakeDns(Vec::new())).await;
    let (_listener, _waiting, silent) = silent();
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, silent.port())).await.unwrap();
    let target = |address: SocketAddr| Target { host: "srv.example".into(), address, transport: Some(Transport::Tcp) };
    let targets = vec![target(silent), target(open.local_addr().unwrap())];
    let hop = || Hop::Located { domain: "example.net".parse().unwrap(), targets: targets.clone() };
    let settled = [
        gateway.deliver(hop(), |_| {}),
        gateway.deliver(hop(), |operation| {
            operation.destination.address = "mercutio@example.net".parse().unwrap();
        }),
    ];
    let mut wire = Wire::accept(&open).await;
    for _ in &settled {
        let request = wire.receive().await;
        assert_eq!(request.top_via().unwrap().host.as_str(), "127.0.0.1");
        wire.answer(&request, 200).await;
    }
    for settled in settled {
        assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
    }
    // The server was never away, and the next message goes where the last one went.
    let again = gateway.deliver(hop(), |_| {});
    let request = wire.receive().await;
    wire.answer(&request, 200).await;
    assert_eq!(outcome(again).await, Outcome::Success(Proof::Recipient));
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Up"));
}
