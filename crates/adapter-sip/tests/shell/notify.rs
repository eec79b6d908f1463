//! NOTIFY requests to watchers who are not always there.

use crate::kit::{Gateway, PATIENCE, Peer, Wire, request, status, text};
use impp_model::{
    Cause, EndReason, Endpoint, Failure, LangText, News, NotifyOperation, Operation, Outcome, PresenceInfo, Proof,
    Side, Standing, SubscriptId,
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
    let standing = Standing::Active { expires: Some(Duration::from_secs(3600)) };
    tell_standing(gateway, id, octets, standing);
}

fn tell_standing(gateway: &Gateway, id: SubscriptId, octets: usize, standing: Standing) {
    let end = |address: &str| Endpoint::bare(address.parse().unwrap());
    let notes = vec![LangText { language: None, text: "o".repeat(octets) }];
    let news = News::Whole(Arc::new(PresenceInfo { notes, ..PresenceInfo::default() }));
    let notify = NotifyOperation {
        target: end("juliet@example.com"),
        watcher: end("romeo@example.net"),
        subscript_id: Some(id),
        trans_id: "t".into(),
        standing,
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
    let heard = std::iter::from_fn(|| gateway.events.try_recv().ok());
    assert!(!heard.into_iter().any(|event| event.starts_with("example.net ")), "one Contact is not the domain");
}

// checks: EVT-031
#[tokio::test]
async fn rfc6665_s8_2_1_the_id_of_a_subscription_is_in_its_notify_and_its_refresh() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let contact = format!("<sip:romeo@{}>", peer.address);
    let with = |text: String, id: &str| text.replace("Event: presence", &format!("Event: presence{id}"));
    let (answer, id) = accepted(&mut gateway, &peer, &with(subscribe(&peer, &contact, None), ";id=7")).await;
    peer.send(gateway.udp, &with(subscribe(&peer, &contact, Some(&answer)), ";id=8")).await;
    assert_eq!(status(&peer.receive().await), 481, "another subscription");
    let other_tag = |text: String| text.replace(";tag=v", ";tag=w");
    peer.send(gateway.udp, &other_tag(with(subscribe(&peer, &contact, Some(&answer)), ";id=7"))).await;
    assert_eq!(status(&peer.receive().await), 481, "RFC 3261 §12.2.2: another dialog");
    tell(&gateway, id, 1);
    assert_eq!(text(&peer.receive().await, HeaderId::Event).as_deref(), Some("presence;id=7"));
}

/// The next response; requests are passed over.
async fn response(peer: &Peer) -> Message {
    loop {
        let message = peer.receive().await;
        if message.method().is_none() {
            return message;
        }
    }
}

#[tokio::test]
async fn rfc6665_s4_2_1_4_what_the_hub_does_not_know_is_forgotten_once_its_last_notify_is_told() {
    for ends in [false, true] {
        let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
        let contact = format!("<sip:romeo@{}>", peer.address);
        let (answer, id) = accepted(&mut gateway, &peer, &subscribe(&peer, &contact, None)).await;
        if ends {
            tell_standing(&gateway, id, 1, Standing::Ended { reason: EndReason::Timeout, retry_after: None });
            assert_eq!(peer.receive().await.method(), Some(&Method::Notify));
        }
        let refresh = subscribe(&peer, &contact, Some(&answer));
        peer.send(gateway.udp, &refresh).await;
        let (_, settle) = gateway.told().await;
        settle.settle(Failure::new(Side::Near, Cause::NotFound));
        assert_eq!(status(&response(&peer).await), 481);
        peer.send(gateway.udp, &refresh.replace("second", "third").replace("CSeq: 2", "CSeq: 3")).await;
        if ends {
            let (_, settle) = gateway.told().await;
            settle.settle(Failure::new(Side::Near, Cause::NotFound));
        }
        assert_eq!(status(&response(&peer).await), 481);
        assert!(gateway.presence.try_recv().is_err(), "the hub is not asked about what is forgotten");
    }
}

// checks: SIP-033
#[tokio::test]
async fn rfc3261_s12_2_1_1_a_notify_follows_all_routes_in_order_to_the_newest_contact() {
    let (mut gateway, peer, proxy) = (Gateway::start().await, Peer::bind().await, Peer::bind().await);
    let routes = [format!("<sip:{};lr>", proxy.address), "<sip:192.0.2.1;lr>".to_owned()];
    let routes_in =
        |message: &Message, id| message.values(id).map(|value| value.unwrap().to_owned()).collect::<Vec<_>>();
    let target = |user: &str| format!("sip:{user}@{}", peer.address);
    let recorded = format!("<{}>\r\nRecord-Route: {}", target("one"), routes.join(", "));
    let (answer, id) = accepted(&mut gateway, &peer, &subscribe(&peer, &recorded, None)).await;
    assert_eq!(routes_in(&answer, HeaderId::RecordRoute), routes);
    tell(&gateway, id.clone(), 1);
    let (notify, from) = proxy.receive_from().await;
    assert_eq!(notify.request_uri(), Some(&*target("one")));
    assert_eq!(routes_in(&notify, HeaderId::Route), routes);
    proxy.answer(from, &notify, 200).await;
    // Another tag is another dialog, of which nobody knows.
    let again = subscribe(&peer, &format!("<{}>", target("two")), Some(&answer));
    let tag = text(&answer, HeaderId::To).unwrap().split_once("tag=").unwrap().1.to_owned();
    peer.send(gateway.udp, &again.replace(&tag, "other").replace("second", "stray")).await;
    assert_eq!(status(&peer.receive().await), 481);
    // A refresh moves the target, and no route.
    accepted(&mut gateway, &peer, &again).await;
    tell(&gateway, id, 2);
    let notify = proxy.receive().await;
    assert_eq!(notify.request_uri(), Some(&*target("two")));
    assert_eq!(routes_in(&notify, HeaderId::Route), routes);
}

// checks: EVT-032
#[tokio::test]
async fn rfc3261_s12_1_1_what_leads_to_a_watcher_is_read_as_a_name_and_an_address_or_refused() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let contact = format!("<sip:romeo@{}>", peer.address);
    for (branch, wrong) in
        [("gr", "<sip:romeo@192.0.2.1>;gr=\"x y\""), ("route", "<sip:romeo@192.0.2.1>\r\nRecord-Route: <")]
    {
        let wrong = subscribe(&peer, wrong, None).replace("first", branch);
        peer.send(gateway.udp, &wrong).await;
        assert_eq!(status(&peer.receive().await), 400, "{branch}");
    }
    let proxy = Peer::bind().await;
    let route = format!("\"proxy\" <sip:{};lr>", proxy.address);
    let routed = format!("{contact}\r\nRecord-Route: {}", route.replace(' ', "\r\n "));
    let (_, id) = accepted(&mut gateway, &peer, &subscribe(&peer, &routed, None)).await;
    tell(&gateway, id, 1);
    assert_eq!(text(&proxy.receive().await, HeaderId::Route), Some(route));
}
