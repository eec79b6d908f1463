//! Requests from SIP peers.

use crate::kit::{FakeDns, Gateway, Peer, Wire, message, request, status, text};
use adapter_api::{SourceProof, SpeaksFor};
use impp_model::{Cause, Failure, Outcome, Proof, Retry, Side};
use sip_proto::framer::Event;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use std::time::Duration;

// checks: IM-030, IM-031, MSG-006, MSG-007, SIP-005, SIP-006, SIP-032, SIP-040, SIP-044, SEC-001
#[tokio::test]
async fn rfc3428_s7_a_message_is_handed_in_once_and_answered_by_its_outcome() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let request = message(&peer, "1", "Neither, fair saint, if either thee dislike.");
    peer.send(gateway.udp, &request).await;
    let submitted = gateway.next().await;
    assert_eq!(submitted.operation.source.address.to_string(), "romeo@example.net");
    assert_eq!(submitted.operation.message.content.as_text(), Some("Neither, fair saint, if either thee dislike."));
    assert_eq!(submitted.provenance.proof, SourceProof::TrustedAddress);
    let SpeaksFor::Domains(domains) = &submitted.provenance.speaks_for else { panic!() };
    assert_eq!(domains[0].as_str(), "example.net");
    // A retransmission before the answer is absorbed.
    peer.send(gateway.udp, &request).await;
    submitted.settle.settle(Outcome::Success(Proof::Server));
    let (first, from) = peer.receive_from().await;
    assert_eq!((status(&first), from, first.body()), (202, gateway.udp, b"".as_slice()));
    let verified = first.verify().unwrap();
    assert_eq!((verified.to.tag().map(str::len), verified.via.branch()), (Some(16), Some("z9hG4bK1")));
    assert!(first.header(HeaderId::Contact).is_none());
    // One behind it gets the same octets.
    peer.send(gateway.udp, &request).await;
    assert_eq!(peer.receive().await.octets(), first.octets());
    assert!(gateway.is_quiet());
    assert_eq!(text(&first, HeaderId::CSeq).as_deref(), Some("1 MESSAGE"));
}

// checks: SIP-005
#[tokio::test]
async fn rfc3261_s8_1_1_7_messages_to_which_a_proxy_gives_one_branch_are_all_handed_in() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let numbered = |call: &str, cseq: &str| {
        let sent = message(&peer, "cydzigwkX", call);
        sent.replace("Call-ID: ccydzigwkX", &format!("Call-ID: {call}")).replace("CSeq: 1 ", &format!("CSeq: {cseq} "))
    };
    for (call, cseq) in [("one", "1"), ("two", "1"), ("two", "2")] {
        let sent = numbered(call, cseq);
        peer.send(gateway.udp, &sent).await;
        let submitted = gateway.next().await;
        assert_eq!(submitted.operation.message.content.as_text(), Some(call));
        submitted.settle.settle(Outcome::Success(Proof::Recipient));
        let first = peer.receive().await;
        assert_eq!((status(&first), text(&first, HeaderId::CallId).as_deref()), (200, Some(call)));
        peer.send(gateway.udp, &sent).await;
        assert_eq!(peer.receive().await.octets(), first.octets(), "a copy is one");
    }
    assert!(gateway.is_quiet());
}

/// The answer to a MESSAGE that ends so.
async fn answer_to(outcome: Outcome) -> Message {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    peer.send(gateway.udp, &message(&peer, "1", "hi")).await;
    gateway.next().await.settle.settle(outcome);
    peer.receive().await
}

// checks: IM-031, MSG-005, ERR-001, ERR-005, ERR-011, SIP-042, AMB-01
#[tokio::test]
async fn every_outcome_has_its_answer() {
    assert_eq!(status(&answer_to(Outcome::Success(Proof::Recipient)).await), 200);
    assert_eq!(status(&answer_to(Outcome::Indeterminant).await), 202);
    let failure = Failure::new(Side::Far, Cause::NotFound).with_text("no such\r\nuser");
    let answer = answer_to(failure.into()).await;
    assert_eq!((status(&answer), answer.reason().unwrap().as_ref()), (604, "no such  user"));
    let failure = Failure::new(Side::Ours, Cause::Overload).with_retry(Retry::After(Duration::from_secs(9)));
    let answer = answer_to(failure.into()).await;
    assert_eq!((status(&answer), text(&answer, HeaderId::RetryAfter).as_deref()), (503, Some("9")));
    let answer = answer_to(Failure::new(Side::Far, Cause::UnsupportedMedia).into()).await;
    assert!(status(&answer) == 415 && text(&answer, HeaderId::Accept).unwrap().contains("text/plain"));
    let mut failure = Failure::new(Side::Far, Cause::Gone);
    failure.redirect = Some("juliet@other.example".parse().unwrap());
    let answer = answer_to(failure.into()).await;
    assert_eq!(
        (status(&answer), text(&answer, HeaderId::Contact).as_deref()),
        (301, Some("<sip:juliet@other.example>"))
    );
    assert_eq!(status(&answer_to(Failure::new(Side::Far, Cause::RemoteTimeout).into()).await), 504);
}

// checks: SIP-024
#[tokio::test]
async fn rfc3261_s8_2_2_2_a_merged_request_is_refused() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let first = message(&peer, "mg1", "hi");
    peer.send(gateway.udp, &first).await;
    let submitted = gateway.next().await;
    peer.send(gateway.udp, &first.replace("branch=z9hG4bKmg1", "branch=z9hG4bKmg2")).await;
    let merged = peer.receive().await;
    assert_eq!((status(&merged), merged.top_via().unwrap().branch()), (482, Some("z9hG4bKmg2")));
    submitted.settle.settle(Outcome::Success(Proof::Server));
    assert_eq!(status(&peer.receive().await), 202);
    assert!(gateway.is_quiet());
}

// checks: SIP-029
#[tokio::test]
async fn rfc3261_s9_2_cancel_is_answered_and_changes_nothing() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let via = format!("UDP {}", peer.address);
    let cancel = |branch| request("CANCEL", "sip:juliet@example.com", &via, branch, "", "");
    peer.send(gateway.udp, &cancel("1")).await;
    assert_eq!(status(&peer.receive().await), 481);
    peer.send(gateway.udp, &message(&peer, "1", "hi")).await;
    let submitted = gateway.next().await;
    peer.send(gateway.udp, &cancel("1")).await;
    let answer = peer.receive().await;
    assert_eq!((status(&answer), text(&answer, HeaderId::CSeq).as_deref()), (200, Some("1 CANCEL")));
    submitted.settle.settle(Outcome::Success(Proof::Server));
    assert_eq!(status(&peer.receive().await), 202);
}

// checks: SIP-021, SIP-022, SIP-023, SIP-025, SIP-026, SIP-028, SIP-030, SIP-031, SIP-045, ARC-010, ARC-011, ARC-012, IM-042, IM-045, MSG-008
#[tokio::test]
async fn what_is_not_handed_in_is_answered_by_its_reason() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let via = format!("UDP {}", peer.address);
    let text_line = "Content-Type: text/plain\r\n";
    let cases = [
        ("INVITE", "sip:juliet@example.com", "", "", 405, Some(HeaderId::Allow)),
        ("BYE", "sip:juliet@example.com", "", "", 405, Some(HeaderId::Allow)),
        ("INFO", "sip:juliet@example.com", "", "", 405, Some(HeaderId::Allow)),
        ("REGISTER", "sip:example.com", "", "", 405, Some(HeaderId::Allow)),
        ("NEWMETHOD", "sip:gw.example.com", "", "", 501, Some(HeaderId::Allow)),
        ("OPTIONS", "sip:gw.example.com", "", "", 200, Some(HeaderId::Allow)),
        ("OPTIONS", "unknown:opaque", "", "", 416, None),
        ("MESSAGE", "sips:juliet@example.com", text_line, "hi", 480, Some(HeaderId::Warning)),
        ("MESSAGE", "tel:+15551234567", text_line, "hi", 416, None),
        ("MESSAGE", "sip:example.com", text_line, "hi", 404, None),
        ("MESSAGE", "sip:a%FF@example.com", text_line, "hi", 404, None),
        (
            "MESSAGE",
            "sip:juliet@example.com",
            "Content-Type: application/x-unknown\r\n",
            "hi",
            415,
            Some(HeaderId::Accept),
        ),
        (
            "MESSAGE",
            "sip:juliet@example.com",
            "Content-Type: text/plain;charset=x-no\r\n",
            "hi",
            415,
            Some(HeaderId::Accept),
        ),
        (
            "MESSAGE",
            "sip:juliet@example.com",
            "Require: nothing\r\nContent-Type: text/plain\r\n",
            "hi",
            420,
            Some(HeaderId::Unsupported),
        ),
        ("MESSAGE", "sip:juliet@example.com", text_line, "", 202, None),
        (
            "MESSAGE",
            "sip:juliet@example.com",
            "Date: Sun, 22 Nov 2020 10:00:00 GMT\r\nExpires: 60\r\nContent-Type: text/plain\r\n",
            "hi",
            202,
            None,
        ),
    ];
    for (index, (method, uri, lines, body, expected, header)) in cases.into_iter().enumerate() {
        peer.send(gateway.udp, &request(method, uri, &via, &index.to_string(), lines, body)).await;
        let answer = peer.receive().await;
        assert_eq!(status(&answer), expected, "{method} {uri} {lines}");
        assert!(header.is_none_or(|id| answer.header(id).is_some()), "{method} {uri} {lines}");
    }
    let changes = [
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("<sip:juliet@example.com>", "<sip:juliet@example.com>;tag=nosuch", 481),
        (" SIP/2.0\r\nVia", " SIP/7.0\r\nVia", 505),
        ("CSeq: 1 MESSAGE", "CSeq: 1 INVITE", 400),
        ("Call-ID: cx\r\n", "", 400),
        ("Content-Length: 2", "Content-Length: 9", 400),
        ("Max-Forwards: 70", "no colon", 400),
    ];
    for (from, to, expected) in changes {
        peer.send(gateway.udp, &message(&peer, "x", "hi").replace(from, to)).await;
        assert_eq!(status(&peer.receive().await), expected, "{to}");
    }
    assert!(gateway.is_quiet());
}

// checks: PRL-114, PRL-115, EVT-026, EVT-027
#[tokio::test]
async fn rfc6665_s4_2_1_1_a_subscribe_without_a_common_format_or_too_brief_is_refused() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let via = format!("UDP {}", peer.address);
    let contact = format!("Event: presence\r\nContact: <sip:romeo@{}>\r\n", peer.address);
    for (branch, line, expected) in [("a", "Accept: text/plain\r\n", 406), ("b", "Expires: 10\r\n", 423)] {
        let subscribe = request("SUBSCRIBE", "sip:juliet@example.com", &via, branch, &format!("{contact}{line}"), "");
        peer.send(gateway.udp, &subscribe).await;
        let answer = peer.receive().await;
        assert_eq!(status(&answer), expected, "{line}");
        assert_eq!(answer.header(HeaderId::MinExpires).is_some(), expected == 423, "{line}");
    }
    assert!(gateway.is_quiet());
}

// checks: ARC-012
#[tokio::test]
async fn rfc5393_s4_our_own_via_shows_a_loop() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let own = format!("Via: SIP/2.0/UDP {};branch=z9hG4bKown\r\nContent-Type: text/plain\r\n", gateway.udp);
    let via = format!("UDP {}", peer.address);
    peer.send(gateway.udp, &request("MESSAGE", "sip:juliet@example.com", &via, "1", &own, "hi")).await;
    assert_eq!(status(&peer.receive().await), 482);
    assert!(gateway.is_quiet());
}

// checks: SIP-012, SIP-013, SIP-014
#[tokio::test]
async fn rfc3581_s4_the_answer_goes_where_via_says() {
    let (gateway, peer, other) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    let options = |via: &str, branch| request("OPTIONS", "sip:gw.example.com", via, branch, "", "");
    peer.send(gateway.udp, &options("UDP 10.1.1.1:4540;rport", "1")).await;
    let answer = peer.receive().await;
    let via = answer.top_via().unwrap();
    assert_eq!((via.received(), via.rport()), ("127.0.0.1".parse().ok(), Some(Some(peer.address.port()))));
    // Without rport: to the port of sent-by.
    peer.send(gateway.udp, &options(&format!("UDP sip.example.net:{}", other.address.port()), "2")).await;
    let answer = other.receive().await;
    assert_eq!(answer.top_via().unwrap().received(), "127.0.0.1".parse().ok());
}

// checks: SIP-015
#[tokio::test]
async fn rfc3261_s18_1_2_what_answers_nothing_is_dropped() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    for sent_by in ["other.example.org".to_owned(), gateway.udp.to_string()] {
        let stray = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bKabc\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.net>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        peer.send(gateway.udp, &stray).await;
    }
    peer.send(gateway.udp, &request("ACK", "sip:juliet@example.com", &format!("UDP {}", peer.address), "1", "", ""))
        .await;
    peer.send(gateway.udp, "\r\n\r\n").await;
    peer.send(gateway.udp, "no sip at all").await;
    // The next thing answered is the next thing that deserves it.
    peer.send(gateway.udp, &request("OPTIONS", "sip:gw.example.com", &format!("UDP {}", peer.address), "2", "", ""))
        .await;
    assert_eq!(text(&peer.receive().await, HeaderId::CSeq).as_deref(), Some("1 OPTIONS"));
}

fn over_tcp(branch: &str, body: &str) -> String {
    let lines = "Content-Type: text/plain\r\n";
    request("MESSAGE", "sip:juliet@example.com", "TCP client.example.net", branch, lines, body)
}

// checks: SIP-010, SIP-014, OUT-001
#[tokio::test]
async fn rfc3261_s18_2_2_over_tcp_the_answer_comes_on_the_same_connection() {
    let mut gateway = Gateway::start().await;
    let mut wire = Wire::connect(gateway.tcp).await;
    let stream = format!("\r\n{}{}", over_tcp("1", "one"), over_tcp("2", "two"));
    let (first, rest) = stream.as_bytes().split_at(100);
    wire.send(first).await;
    wire.send(rest).await;
    let (one, two) = (gateway.next().await, gateway.next().await);
    assert_eq!(one.operation.message.content.as_text(), Some("one"));
    two.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(wire.receive().await.top_via().unwrap().branch(), Some("z9hG4bK2"));
    one.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(wire.receive().await.top_via().unwrap().branch(), Some("z9hG4bK1"));
    wire.send("\r\n\r\n").await;
    assert!(matches!(wire.event().await, Some(Event::Pong)));
}

// checks: SIP-017
#[tokio::test]
async fn rfc3261_s18_3_a_stream_without_a_length_is_answered_and_closed() {
    let gateway = Gateway::start().await;
    let mut wire = Wire::connect(gateway.tcp).await;
    wire.send(over_tcp("1", "one").replace("Content-Length: 3\r\n", "")).await;
    assert_eq!(status(&wire.receive().await), 400);
    assert!(wire.event().await.is_none());
    let mut wire = Wire::connect(gateway.tcp).await;
    wire.send(over_tcp("2", &"x".repeat(70_000))).await;
    assert_eq!(status(&wire.receive().await), 413);
    wire.send(request("OPTIONS", "sip:gw.example.com", "TCP client.example.net", "3", "", "")).await;
    assert_eq!(status(&wire.receive().await), 200);
}

// checks: IM-046
#[tokio::test]
async fn what_a_body_loses_is_counted() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let body = "--b\r\n\r\nhi\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--";
    let via = format!("UDP {}", peer.address);
    let lines = "Content-Type: multipart/mixed;boundary=b\r\n";
    peer.send(gateway.udp, &request("MESSAGE", "sip:juliet@example.com", &via, "1", lines, body)).await;
    assert_eq!(gateway.next().await.operation.message.content.as_text(), Some("hi"));
    assert_eq!(gateway.events.recv().await.as_deref(), Some("content Degraded"));
}

#[tokio::test]
async fn at_the_end_what_was_taken_is_still_answered() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    peer.send(gateway.udp, &message(&peer, "1", "hi")).await;
    let submitted = gateway.next().await;
    gateway.trigger.shut_down();
    // The refusal shows that the end has begun.
    loop {
        peer.send(gateway.udp, &message(&peer, "2", "late")).await;
        match gateway.submitted.try_recv() {
            Ok(taken) => taken.settle.settle(Outcome::Success(Proof::Server)),
            Err(_) => {
                let answer = peer.receive().await;
                if status(&answer) == 503 {
                    break;
                }
            }
        }
    }
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    loop {
        let answer = peer.receive().await;
        if answer.top_via().unwrap().branch() == Some("z9hG4bK1") {
            assert_eq!(status(&answer), 200);
            break;
        }
    }
    gateway.ended.await.unwrap();
}

#[tokio::test]
async fn at_the_end_an_answer_over_tcp_is_still_written() {
    for _ in 0..20 {
        let mut gateway = Gateway::start().await;
        let mut wire = Wire::connect(gateway.tcp).await;
        wire.send(over_tcp("1", "one")).await;
        let taken = gateway.next().await;
        gateway.trigger.shut_down();
        tokio::time::sleep(Duration::from_millis(5)).await;
        taken.settle.settle(Outcome::Success(Proof::Recipient));
        assert_eq!(status(&wire.receive().await), 200);
        gateway.ended.await.unwrap();
    }
}

#[tokio::test]
async fn strangers_that_take_all_connections_leave_room_for_ours() {
    let more = serde_json::json!({"limits": {"connections": 2}});
    let gateway = Gateway::start_with(more, FakeDns(Vec::new())).await;
    let _strangers = [Wire::connect(gateway.tcp).await, Wire::connect(gateway.tcp).await];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let hop = adapter_api::Hop::Fixed(format!("sip:{};transport=tcp", listener.local_addr().unwrap()).into());
    let settled = gateway.deliver(hop, |_| {});
    let mut wire = Wire::accept(&listener).await;
    let request = wire.receive().await;
    wire.answer(&request, 200).await;
    assert_eq!(crate::kit::outcome(settled).await, Outcome::Success(Proof::Recipient));
}
