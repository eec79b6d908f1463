//! Subscriptions over real sockets.

use crate::kit::{FakeDns, Gateway, PATIENCE, Peer, request, status, text};
use adapter_api::{AdapterState as _, Tls};
use impp_model::{
    Cause, Endpoint, Failure, Kind, News, Operation, Outcome, Proof, Side, Standing, SubscribeOperation, Wish,
};
use serde_json::json;
use sip_proto::build::ResponseBuilder;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use std::time::{Duration, Instant};

fn end(address: &str) -> Endpoint {
    Endpoint::bare(address.parse().unwrap())
}

/// Juliet watches Romeo, who is of the SIP network.
fn watch(wish: Wish) -> Operation {
    let (watcher, target) = (end("juliet@example.com"), end("romeo@example.net"));
    let (subscript_id, trans_id) = ("s".into(), "t".into());
    Operation::Subscribe(Box::new(SubscribeOperation { watcher, target, wish, subscript_id, trans_id }))
}

fn subscribe(peer: &Peer, branch: &str, expires: &str) -> String {
    let lines = format!("Event: presence\r\nContact: <sip:romeo@{}>\r\nExpires: {expires}\r\n", peer.address);
    request("SUBSCRIBE", "sip:juliet@example.com", &format!("UDP {}", peer.address), branch, &lines, "")
}

/// Romeo's NOTIFY under this tag, for the SUBSCRIBE that came from the gateway.
fn notify(gateway: &Gateway, peer: &Peer, subscribe: &Message, tag: &str, lines: &str, body: &str) -> String {
    let (call, from) = (text(subscribe, HeaderId::CallId).unwrap(), text(subscribe, HeaderId::From).unwrap());
    format!(
        "NOTIFY sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{tag}\r\nMax-Forwards: 70\r\n{lines}\
         From: <sip:romeo@example.net>;tag={tag}\r\nTo: {from}\r\nCall-ID: {call}\r\nCSeq: 1 NOTIFY\r\n\
         Contact: <sip:romeo@{peer}>\r\nEvent: presence\r\nSubscription-State: active;expires=3600\r\n\
         Content-Length: {}\r\n\r\n{body}",
        gateway.udp,
        body.len(),
        peer = peer.address,
    )
}

async fn hand_over(gateway: &Gateway, peer: &Peer, wish: Wish) {
    drop(gateway.hand_over(Instant::now() + PATIENCE, false, peer.hop(), watch(wish)));
}

fn hour() -> Wish {
    Wish::Watch(Duration::from_secs(3600))
}

// checks: EVT-015
#[tokio::test]
async fn rfc6665_s4_4_1_the_route_set_is_that_of_the_notify() {
    let (mut gateway, peer, proxy) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    hand_over(&gateway, &peer, hour()).await;
    let first = peer.receive().await;
    let accepted = ResponseBuilder::new(&first, 200).to_tag("peer").header(HeaderId::Expires, "3600");
    let accepted = accepted.header(HeaderId::RecordRoute, "<sip:127.0.0.1:9;lr>").encode();
    peer.send(gateway.udp, std::str::from_utf8(&accepted).unwrap()).await;
    let route = format!("<sip:{};lr>", proxy.address);
    let notify = notify(&gateway, &peer, &first, "peer", &format!("Record-Route: {route}\r\n"), "");
    peer.send(gateway.udp, &notify).await;
    let Operation::Notify(told) = gateway.heard().await else { panic!("no notification") };
    assert!(matches!(told.standing, Standing::Active { .. }));
    assert_eq!(status(&peer.receive().await), 200);
    hand_over(&gateway, &peer, hour()).await;
    assert_eq!(text(&proxy.receive().await, HeaderId::Route), Some(route));
}

// checks: EVT-006, EVT-013
#[tokio::test]
async fn rfc6665_s4_1_3_a_notify_that_is_refused_makes_no_dialog() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    hand_over(&gateway, &peer, hour()).await;
    let (first, from) = peer.receive_from().await;
    peer.answer(from, &first, 200).await;
    let (pidf, route) = ("Content-Type: application/pidf+xml\r\n", "Record-Route: <nowhere\r\n");
    for (tag, lines, body) in [("a", pidf, "<no"), ("b", route, "")] {
        peer.send(gateway.udp, &notify(&gateway, &peer, &first, tag, lines, body)).await;
        assert_eq!(status(&peer.receive().await), 400, "{tag}");
    }
    peer.send(gateway.udp, &notify(&gateway, &peer, &first, "c", "", "")).await;
    assert!(matches!(gateway.heard().await, Operation::Notify(_)));
    assert_eq!(status(&peer.receive().await), 200);
}

// checks: EVT-036
#[tokio::test]
async fn rfc6665_s4_1_3_a_notify_is_answered_by_what_the_hub_says_and_none_is_lost_to_its_load() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    hand_over(&gateway, &peer, hour()).await;
    let (first, from) = peer.receive_from().await;
    peer.answer(from, &first, 200).await;
    let states = [(1, "open"), (2, "closed"), (3, "open"), (4, "closed")];
    let [one, two, three, four] = states.map(|(number, basic)| {
        let body = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:romeo@example.net'><tuple id='a'><status><basic>{basic}\
             </basic></status></tuple></presence>"
        );
        notify(&gateway, &peer, &first, "peer", "Content-Type: application/pidf+xml\r\n", &body)
            .replace("z9hG4bKpeer", &format!("z9hG4bK{number}"))
            .replace("CSeq: 1", &format!("CSeq: {number}"))
    });
    let closed = |operation: &Operation| match operation {
        Operation::Notify(notify) => match &notify.news {
            News::Whole(info) => !info.is_open(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    peer.send(gateway.udp, &one).await;
    let (operation, settle) = gateway.told().await;
    assert!(!closed(&operation));
    // While the hub has one of a pair the others wait for it, and the newest goes next.
    peer.send(gateway.udp, &two).await;
    peer.send(gateway.udp, &three).await;
    peer.send(gateway.udp, &request("OPTIONS", "sip:gw.example.com", &format!("UDP {}", peer.address), "o", "", ""))
        .await;
    assert_eq!(
        text(&peer.receive().await, HeaderId::CSeq).as_deref(),
        Some("1 OPTIONS"),
        "the others are not answered yet"
    );
    assert!(gateway.presence.try_recv().is_err());
    settle.settle(Failure::new(Side::Ours, Cause::Overload));
    for _ in 0..3 {
        let answer = peer.receive().await;
        assert_eq!((status(&answer), text(&answer, HeaderId::RetryAfter).as_deref()), (503, Some("5")));
    }
    assert!(!closed(&gateway.heard().await), "the last state comes by itself once the hub has room");
    peer.send(gateway.udp, &four).await;
    assert!(closed(&gateway.heard().await));
    assert_eq!(status(&peer.receive().await), 200);
}

// checks: EVT-023
#[tokio::test]
async fn rfc6665_s4_2_1_4_a_subscription_is_shortened_and_never_lengthened() {
    let more = json!({"presence": {"max_expires": "2h"}});
    let (mut gateway, peer) = (Gateway::start_with(more, FakeDns(Vec::new())).await, Peer::bind().await);
    for (branch, asked, given) in [("long", "999999", 7200), ("short", "100", 100)] {
        peer.send(gateway.udp, &subscribe(&peer, branch, asked)).await;
        let (Operation::Subscribe(told), settle) = gateway.told().await else { panic!("no subscription") };
        assert_eq!(told.wish, Wish::Watch(Duration::from_secs(given)));
        settle.settle(Outcome::Success(Proof::Server));
        let answer = peer.receive().await;
        assert_eq!((status(&answer), text(&answer, HeaderId::Expires)), (200, Some(given.to_string())));
    }
}

// checks: EVT-033
#[tokio::test]
async fn rfc3856_s6_6_1_nobody_subscribes_unproven() {
    let tls = Tls::none("gw.example.com".parse().unwrap());
    let mut gateway = Gateway::start_in(
        json!({"user": [{"address": "romeo@example.net", "password": "montague"}]}),
        FakeDns(Vec::new()),
        &[],
        tls,
    )
    .await;
    let peer = Peer::bind().await;
    peer.send(gateway.udp, &subscribe(&peer, "a", "3600")).await;
    // A challenge larger than the request would not go to a stranger over UDP.
    assert!(matches!(status(&peer.receive().await), 401 | 403));
    assert!(gateway.presence.try_recv().is_err());
}

// checks: EVT-033
#[tokio::test]
async fn rfc3856_s6_6_2_who_has_an_agent_approves_by_watching() {
    let more = json!({"presence": {"agent": ["example.net"]}});
    let (mut gateway, peer) = (Gateway::start_with(more, FakeDns(Vec::new())).await, Peer::bind().await);
    hand_over(&gateway, &peer, hour()).await;
    let standing = |operation| match operation {
        Operation::Notify(notify) => (notify.standing.clone(), notify.news.clone()),
        other => panic!("{other:?}"),
    };
    let waits = standing(gateway.heard().await);
    assert!(matches!(waits, (Standing::Pending { .. }, News::Nothing)), "{waits:?}");
    hand_over(&gateway, &peer, Wish::Fetch).await;
    let refused = standing(gateway.heard().await);
    assert!(matches!(refused, (Standing::Ended { .. }, News::Nothing)), "{refused:?}");
    peer.send(gateway.udp, &subscribe(&peer, "a", "3600")).await;
    let (mut both, mut watches) = ([gateway.heard().await, gateway.heard().await].to_vec(), Vec::new());
    both.retain(|operation| {
        matches!(operation, Operation::Notify(_)) || {
            watches.push(operation.kind());
            false
        }
    });
    assert_eq!(watches, [Kind::Subscribe], "Romeo watches her");
    let approved = standing(both.remove(0));
    assert!(matches!(approved, (Standing::Active { .. }, _)), "{approved:?}");
    hand_over(&gateway, &peer, hour()).await;
    assert!(matches!(standing(gateway.heard().await).0, Standing::Active { .. }), "for good");
}

// checks: PUB-009
#[tokio::test]
async fn rfc3903_s7_options_tell_that_publications_are_taken() {
    for (agent, takes) in [(json!(["example.net"]), true), (json!([]), false)] {
        let more = json!({"presence": {"agent": agent}});
        let (gateway, peer) = (Gateway::start_with(more, FakeDns(Vec::new())).await, Peer::bind().await);
        let via = format!("UDP {}", peer.address);
        peer.send(gateway.udp, &request("OPTIONS", "sip:gw.example.com", &via, "1", "", "")).await;
        let answer = peer.receive().await;
        assert_eq!(text(&answer, HeaderId::Allow).unwrap().contains("PUBLISH"), takes);
        assert_eq!(text(&answer, HeaderId::AllowEvents).as_deref(), Some("presence"));
    }
}

// checks: PRS-063
#[tokio::test]
async fn one_watcher_has_no_more_dialogs_than_the_bound_and_the_others_theirs() {
    let more = json!({"presence": {"dialogs_per_watcher": 2}});
    let (mut gateway, peer) = (Gateway::start_with(more, FakeDns(Vec::new())).await, Peer::bind().await);
    for branch in ["a", "b"] {
        peer.send(gateway.udp, &subscribe(&peer, branch, "3600")).await;
        assert!(matches!(gateway.heard().await, Operation::Subscribe(_)));
        assert_eq!(status(&peer.receive().await), 200);
    }
    peer.send(gateway.udp, &subscribe(&peer, "c", "3600")).await;
    assert_eq!(status(&peer.receive().await), 500);
    let other = subscribe(&peer, "d", "3600").replace("From: <sip:romeo@", "From: <sip:paris@");
    peer.send(gateway.udp, &other).await;
    assert!(matches!(gateway.heard().await, Operation::Subscribe(_)));
}

// checks: SIP-034, EVT-031
#[tokio::test]
async fn rfc3261_s12_2_2_where_a_watcher_is_and_what_he_takes_outlives_a_restart() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    peer.send(gateway.udp, &subscribe(&peer, "a", "3600")).await;
    assert!(matches!(gateway.heard().await, Operation::Subscribe(_)));
    let accepted = peer.receive().await;
    let to = text(&accepted, HeaderId::To).unwrap();
    let kept = gateway.kept.clone();
    let dialogs = || kept.all(&"sip".into());
    let before = dialogs();
    let again = subscribe(&peer, "b", "3600").replace("CSeq: 1 ", "CSeq: 2 ").replace("Call-ID: cb", "Call-ID: ca");
    let again = again.replace("To: <sip:juliet@example.com>", &format!("To: {to}"));
    let again = again.replace("Contact: <sip:romeo@", "Accept: */*\r\nContact: <sip:moved@");
    peer.send(gateway.udp, &again).await;
    assert!(matches!(gateway.heard().await, Operation::Subscribe(_)));
    assert_eq!(status(&peer.receive().await), 200);
    let after = dialogs();
    assert_eq!((before.len(), after.len()), (1, 1));
    let holds = |dialogs: &[(Vec<u8>, Vec<u8>)], text: &str| {
        dialogs.iter().any(|(_, value)| String::from_utf8_lossy(value).contains(text))
    };
    assert!(!holds(&before, "sip:moved@") && holds(&after, "sip:moved@"), "{after:?}");
    assert_ne!(before[0].1[1], after[0].1[1], "the types that he takes");
}
