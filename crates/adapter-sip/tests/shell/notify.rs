//! NOTIFY requests to watchers who are not always there.

use crate::kit::{Gateway, PATIENCE, Peer, Wire, request, status, text};
use impp_model::{
    Endpoint, LangText, News, NotifyOperation, Operation, Outcome, PresenceInfo, Proof, Standing, SubscriptId,
};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};

const VIA_UDP: &str = "SIP/2.0/UDP";

/// Romeo of the SIP network asks for Juliet's presence, to be told at `contact`; in the dialog of an `earlier` answer if there
/// is one.
fn subscribe(peer: &Peer, contact: &str, earlier: Option<&Message>) -> String {
    let (branch, lines) = (
        if earlier.is_some() { "second" } else { "first" },
        format!("Event: presence\r\nContact: {contact}\r\nExpires: 3600\r\n"),
    );
    let fresh = request("SUBSCRIBE", "sip:juliet@example.com", &format!("UDP {}", peer.address), branch, &lines, "");
    let Some(earlier) = earlier else { return fresh };
    let header = |id| text(earlier, id).unwrap();
    fresh
        .replace("To: <sip:juliet@example.com>", &format!("To: {}", header(HeaderId::To)))
        .replace("Call-ID: csecond", &format!("Call-ID: {}", header(HeaderId::CallId)))
        .replace("CSeq: 1", "CSeq: 2")
}

/// Sends one, takes it as the hub, and gives the answer and the subscription's id.
async fn accepted(gateway: &mut Gateway, peer: &Peer, request: &str) -> (Message, SubscriptId) {
    peer.send(gateway.udp, request).await;
    let (Operation::Subscribe(told), settle) = gateway.told().await else { panic!("no subscription") };
    settle.settle(Outcome::Success(Proof::Server));
    let answer = peer.receive().await;
    assert_eq!(status(&answer), 200);
    (answer, told.subscript_id)
}

/// Juliet's state with a note of so many octets.
fn tell(gateway: &Gateway, id: SubscriptId, octets: usize) {
    let end = |address: &str| Endpoint::bare(address.parse().unwrap());
    let notes = vec![LangText { language: None, text: "o".repeat(octets) }];
    let news = News::Whole(Arc::new(PresenceInfo { notes, ..PresenceInfo::default() }));
    let notify = NotifyOperation {
        target: end("juliet@example.com"),
        watcher: end("romeo@example.net"),
        subscript_id: Some(id),
        trans_id: "t".into(),
        standing: Standing::Active { expires: Some(Duration::from_secs(3600)) },
        news,
    };
    drop(gateway.hand_over(
        Instant::now() + PATIENCE,
        false,
        adapter_api::Hop::Link,
        Operation::Notify(Box::new(notify)),
    ));
}

// checks: SIP-009
#[tokio::test]
async fn rfc3261_s18_1_1_a_large_notify_goes_over_udp_to_who_refuses_tcp() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    // Nothing listens there, and nothing else can.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind(peer.address).unwrap();
    let contact = format!("<sip:romeo@{}>", peer.address);
    let (_, id) = accepted(&mut gateway, &peer, &subscribe(&peer, &contact, None)).await;
    tell(&gateway, id, 2000);
    let (notify, from) = peer.receive_from().await;
    assert_eq!((notify.method(), notify.body().len() > 2000), (Some(&Method::Notify), true));
    assert!(text(&notify, HeaderId::Via).unwrap().starts_with(VIA_UDP));
    peer.answer(from, &notify, 200).await;
}

// checks: EVT-029, SIP-002
#[tokio::test]
async fn rfc6665_s4_2_2_a_connection_that_breaks_does_not_end_the_subscription() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let contact = format!("<sip:romeo@{};transport=tcp>", listener.local_addr().unwrap());
    let (answer, id) = accepted(&mut gateway, &peer, &subscribe(&peer, &contact, None)).await;
    tell(&gateway, id, 1);
    let mut wire = Wire::accept(&listener).await;
    let unanswered = wire.receive().await;
    drop(wire);
    accepted(&mut gateway, &peer, &subscribe(&peer, &contact, Some(&answer))).await;
    let mut wire = Wire::accept(&listener).await;
    let again = wire.receive().await;
    assert_eq!(again.body(), unanswered.body(), "the state that was lost, with the refresh");
    wire.answer(&again, 200).await;
}
