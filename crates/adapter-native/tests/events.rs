//! Deliveries, events and acknowledgements over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use adapter_api::model::{Cause, Device, Operation, Outcome, Proof};
use adapter_api::{Adapter, Delivery, Full, settle_channel};
use adapter_native::client::ClientError;
use adapter_native::wire::{DeliveryStatus, EventId, SendMessage};
use common::{CAROL, DAVE, Gateway, delivery, next_message, text};
use futures_util::StreamExt;
use std::sync::Arc;

const RECIPIENT: Outcome = Outcome::Success(Proof::Recipient);
const TO_CAROL: &str = "carol@native.example";

fn cause(outcome: &Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Failure(failure) => Some(failure.cause),
        Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => None,
    }
}

#[tokio::test]
async fn a_message_is_delivered_when_a_device_acknowledges_it() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let mut events = client.events("main", None).await.unwrap();
    let mut outcome = gateway.deliver(TO_CAROL, "hello\r\nyou");
    let (id, message) = next_message(&mut events).await;
    assert_eq!((message.from.as_str(), message.to.as_str()), ("romeo@sip.example.com", TO_CAROL));
    assert_eq!((message.body.as_str(), message.trace.as_deref()), ("hello\nyou", Some("0000000000000007")));
    assert!(outcome.try_recv().is_err(), "not before the acknowledgement");
    assert_eq!(client.ack("main", id).await.unwrap(), id);
    assert_eq!(outcome.await, Ok(RECIPIENT));
    assert_eq!(client.ack("main", id).await.unwrap(), id, "acknowledging twice does no harm");
    gateway.stop().await;
}

// checks: IM-10
#[tokio::test]
async fn rfc3860_s3_4_1_one_native_user_writes_to_another() {
    let mut gateway = Gateway::start().await;
    let (carol, dave) = (gateway.client(CAROL), gateway.client(DAVE));
    let mut events = dave.events("main", None).await.unwrap();
    let message =
        SendMessage { to: "im:dave@native.example".to_owned(), id: Some("m1".to_owned()), ..text("Grüße 🦀") };
    let sent = tokio::spawn(async move { carol.send(&message).await });
    let submitted = gateway.next_submitted().await;
    let (settle, _) = settle_channel();
    let passed_on = Delivery {
        operation: Arc::new(Operation::Message(Box::new(submitted.operation))),
        repeat: false,
        edition: 0,
        proven_only: false,
        settle: submitted.settle,
        ..delivery(TO_CAROL, "", settle)
    };
    gateway.adapter.deliver(passed_on).unwrap();
    let (id, message) = next_message(&mut events).await;
    assert_eq!((message.from.as_str(), message.body.as_str()), (TO_CAROL, "Grüße 🦀"));
    dave.ack("main", id).await.unwrap();
    let result = sent.await.unwrap().unwrap();
    assert_eq!((result.status, result.proof.as_deref()), (DeliveryStatus::Success, Some("recipient")));
    assert_eq!(result.trans_id, message.trans_id);
    gateway.stop().await;
}

#[tokio::test]
async fn what_came_before_any_device_is_delivered_to_the_first() {
    let gateway = Gateway::start().await;
    let outcomes: Vec<_> = (0..5).map(|n| gateway.deliver(TO_CAROL, &n.to_string())).collect();
    let client = gateway.client(CAROL);
    let mut events = client.events("main", None).await.unwrap();
    let mut last = EventId(0);
    for n in 0..5 {
        let (id, message) = next_message(&mut events).await;
        assert_eq!(message.body, n.to_string());
        assert!(id > last);
        last = id;
    }
    client.ack("main", last).await.unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(RECIPIENT));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_is_resumed_after_the_last_event_seen_or_else_after_the_acknowledged_one() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let _outcomes: Vec<_> = (0..3).map(|n| gateway.deliver(TO_CAROL, &n.to_string())).collect();
    let mut events = client.events("main", None).await.unwrap();
    let (first, _) = next_message(&mut events).await;
    let (second, _) = next_message(&mut events).await;
    drop(events);
    let body = |after| {
        let client = client.clone();
        async move { next_message(&mut client.events("main", after).await.unwrap()).await.1.body }
    };
    assert_eq!(body(Some(first)).await, "1");
    assert_eq!(body(Some(second)).await, "2");
    assert_eq!(body(None).await, "0");
    client.ack("main", first).await.unwrap();
    assert_eq!(body(None).await, "1");
    assert_eq!(body(Some(EventId(u64::MAX))).await, "1", "an id from nowhere is not believed");
    gateway.stop().await;
}

#[tokio::test]
async fn each_device_has_its_own_place_and_any_of_them_delivers() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let mut phone = client.events("phone", None).await.unwrap();
    let mut tablet = client.events("tablet", None).await.unwrap();
    let (one, two) = (gateway.deliver(TO_CAROL, "one"), gateway.deliver(TO_CAROL, "two"));
    let (first, _) = next_message(&mut phone).await;
    let (second, _) = next_message(&mut phone).await;
    client.ack("phone", first).await.unwrap();
    assert_eq!(one.await, Ok(RECIPIENT));
    assert_eq!(next_message(&mut tablet).await.0, first, "the tablet gets what the phone acknowledged");
    client.ack("tablet", second).await.unwrap();
    assert_eq!(two.await, Ok(RECIPIENT));
    let mut resumed = client.events("phone", None).await.unwrap();
    assert_eq!(next_message(&mut resumed).await.0, second, "the phone's place is its own");
    gateway.stop().await;
}

#[tokio::test]
async fn users_are_apart() {
    let gateway = Gateway::start().await;
    let mut carol = gateway.client(CAROL).events("main", None).await.unwrap();
    let mut dave = gateway.client(DAVE).events("main", None).await.unwrap();
    let (_one, mut two) = (gateway.deliver(TO_CAROL, "for carol"), gateway.deliver("dave@native.example", "for dave"));
    let (id, message) = next_message(&mut carol).await;
    assert_eq!(message.body, "for carol");
    assert_eq!(next_message(&mut dave).await.1.body, "for dave");
    gateway.client(CAROL).ack("main", id).await.unwrap();
    assert!(two.try_recv().is_err());
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_never_sent_can_not_be_acknowledged() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let mut outcome = gateway.deliver(TO_CAROL, "hello");
    match client.ack("main", EventId(u64::MAX)).await {
        Err(ClientError::Refused { status: 400, field: Some(field), .. }) => assert_eq!(field, "id"),
        other => panic!("{other:?}"),
    }
    assert!(outcome.try_recv().is_err());
    gateway.stop().await;
}

#[tokio::test]
async fn devices_are_bounded_and_their_names_checked() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let mut streams = Vec::new();
    for device in ["a", "b", "ü c"] {
        streams.push(client.events(device, None).await.unwrap());
    }
    for (device, expected) in [("d", 429), ("", 400), ("a\nb", 400), (&"x".repeat(65), 400)] {
        match client.events(device, None).await {
            Err(ClientError::Refused { status, field: Some(field), .. }) => {
                assert_eq!((status, field.as_str()), (expected, "device"), "{device}");
            }
            other => panic!("{device}: {other:?}"),
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_malformed_last_event_id_is_refused() {
    let gateway = Gateway::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for id in ["x", "-1", "99999999999999999999999"] {
        let request = http.get(gateway.url("/v1/events")).bearer_auth(CAROL).header("Last-Event-ID", id);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 400);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_log_gives_the_delivery_back() {
    let gateway = Gateway::start().await;
    let _waiting: Vec<_> = (0..5).map(|n| gateway.deliver(TO_CAROL, &n.to_string())).collect();
    let (settle, _outcome) = settle_channel();
    let Err(Full(back)) = gateway.adapter.deliver(delivery(TO_CAROL, "one more", settle)) else { panic!("not full") };
    assert_eq!(back.operation.destination().address.to_string(), TO_CAROL);
    gateway.stop().await;
}

#[tokio::test]
async fn what_can_not_be_carried_whole_is_counted() {
    let gateway = Gateway::start().await;
    let (settle, _outcome) = settle_channel();
    let mut delivery = delivery(TO_CAROL, "hello", settle);
    let Operation::Message(operation) = Arc::make_mut(&mut delivery.operation) else { panic!("a message") };
    operation.destination.device = Some(Device::new("phone").unwrap());
    gateway.adapter.deliver(delivery).unwrap();
    assert_eq!(gateway.losses(), ["destination.device"]);
    gateway.stop().await;
}

#[tokio::test]
async fn deliveries_that_can_not_be_carried_fail_at_once() {
    let gateway = Gateway::start().await;
    let outcome = gateway.deliver("nobody@native.example", "hello").await.unwrap();
    assert_eq!(cause(&outcome), Some(Cause::NotFound));
    let outcome = gateway.deliver(TO_CAROL, &"x".repeat(1001)).await.unwrap();
    assert_eq!(cause(&outcome), Some(Cause::TooLarge));
    gateway.stop().await;
}

#[tokio::test]
async fn shutdown_ends_the_streams_and_settles_what_waits() {
    let gateway = Gateway::start().await;
    let mut events = gateway.client(CAROL).events("main", None).await.unwrap();
    let sent = gateway.deliver(TO_CAROL, "sent");
    next_message(&mut events).await;
    let unsent = gateway.deliver("dave@native.example", "unsent");
    let adapter = Arc::clone(&gateway.adapter);
    gateway.stop().await;
    assert!(events.next().await.is_none(), "ended in order");
    assert_eq!(cause(&sent.await.unwrap()), Some(Cause::Unconfirmed));
    assert_eq!(cause(&unsent.await.unwrap()), Some(Cause::ShuttingDown));
    let (settle, outcome) = settle_channel();
    adapter.deliver(delivery(TO_CAROL, "too late", settle)).unwrap();
    assert_eq!(cause(&outcome.await.unwrap()), Some(Cause::ShuttingDown));
}
