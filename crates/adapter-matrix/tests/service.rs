//! What the homeserver may do, and what it hears.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "helpers of tests")]

mod homeserver;

use adapter_api::model::{
    Address, Basic, Cause, ComposingOperation, ComposingState, Content, Endpoint, Failure, InstantMessage, MaxForwards,
    MessageOperation, News, NotifyOperation, Operation, Outcome, PresenceInfo, PresenceTuple, Proof, Show, Side,
    Standing, SubscribeOperation, Wish,
};
use adapter_api::testkit::{Act, Answer, KitHub, Network, Records, Seen, Submitted};
use adapter_api::{Adapter, Delivery, Hop, Hub, Shutdown, ShutdownTrigger, TraceId, settle_channel};
use homeserver::{HS_TOKEN, Homeserver, alice, ghost_id, user_id};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);

struct Lab {
    network: Homeserver,
    adapter: Arc<dyn Adapter>,
    hub: Arc<KitHub>,
    submitted: mpsc::UnboundedReceiver<Submitted>,
    at: String,
    _trigger: ShutdownTrigger,
}

async fn lab() -> Lab {
    let mut network = Homeserver::new().await;
    let adapter = network.adapter().await.unwrap();
    let (hub, submitted) = KitHub::new(&"kit".into(), alice().domain(), Arc::new(Records::default()));
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn({
        let (adapter, hub) = (Arc::clone(&adapter), Hub::new(Arc::clone(&hub) as _, "kit".into()));
        async move { adapter.run(hub, shutdown).await }
    });
    let address = hub.listening_at().await.unwrap();
    network.listening(address);
    Lab { network, adapter, hub, submitted, at: format!("http://{address}"), _trigger: trigger }
}

fn romeo() -> Address {
    Address::parse_bare("romeo@kit.example").unwrap()
}

impl Lab {
    async fn deliver(&self, operation: Operation) -> Outcome {
        self.deliver_edition(operation, 0).await
    }

    async fn deliver_edition(&self, operation: Operation, edition: u32) -> Outcome {
        let (settle, outcome) = settle_channel();
        let delivery = Delivery {
            trace: TraceId(1),
            operation: Arc::new(operation),
            repeat: false,
            edition,
            proven_only: false,
            hop: Arc::new(Hop::Link),
            deadline: Instant::now() + PATIENCE,
            settle,
        };
        assert!(self.adapter.deliver(delivery).is_ok());
        outcome.await.unwrap()
    }

    async fn put(&self, id: &str, token: Option<&str>, body: &Value) -> u16 {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.put(format!("{}/_matrix/app/v1/transactions/{id}", self.at)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// A user invites a ghost into a room, and the transaction that tells so is taken.
    async fn invites(&self, ghost: &Address, room: &str) {
        let event = json!({ "type": "m.room.member", "room_id": room, "sender": user_id(&alice()), "event_id": "$i",
            "state_key": ghost_id(ghost), "content": { "membership": "invite" } });
        assert_eq!(self.put("invite", Some(HS_TOKEN), &json!({ "events": [event] })).await, 200);
    }

    fn left(&self, ghost: &Address, room: &str) -> bool {
        let note = format!("{} leaves {room}", ghost_id(ghost));
        self.network.world.lock().unwrap().notes.contains(&note)
    }

    async fn message(&mut self) -> MessageOperation {
        loop {
            let submitted = tokio::time::timeout(PATIENCE, self.submitted.recv()).await.unwrap().unwrap();
            if let Operation::Message(message) = submitted.operation {
                return *message;
            }
        }
    }

    /// Romeo asks to watch alice.
    async fn asks(&self) {
        let subscribe = SubscribeOperation {
            watcher: Endpoint::bare(romeo()),
            target: Endpoint::bare(alice()),
            wish: Wish::Standing,
            subscript_id: "s".into(),
            trans_id: "s".into(),
        };
        let outcome = self.deliver(Operation::Subscribe(Box::new(subscribe))).await;
        assert_eq!(outcome, Outcome::Success(Proof::Server));
    }

    /// The next state that the hub hears, which comes behind the consent.
    async fn state_behind_consent(&mut self) -> Arc<PresenceInfo> {
        let mut operations = Vec::new();
        while operations.len() < 2 {
            operations.push(tokio::time::timeout(PATIENCE, self.submitted.recv()).await.unwrap().unwrap().operation);
        }
        let [Operation::Authorize(consent), Operation::Publish(told)] = &operations[..] else {
            panic!("{operations:?}")
        };
        assert!(consent.allow && consent.target.address == alice() && consent.watcher.address == romeo());
        assert_eq!(told.source.address, alice());
        told.state.clone().unwrap()
    }

    async fn seen(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.network.seen()).await.unwrap().unwrap()
    }
}

fn message(to: &str, body: &str) -> Operation {
    Operation::Message(Box::new(MessageOperation {
        source: Endpoint::bare(romeo()),
        destination: Endpoint::bare(Address::parse_bare(to).unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t".into(),
        message: InstantMessage { id: Some(body.into()), ..InstantMessage::new(Content::text(body)) },
    }))
}

fn said(id: &str, body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body, "id": id })
}

#[tokio::test]
async fn only_the_homeserver_may_hand_in_a_transaction_and_each_is_taken_once() {
    let mut lab = lab().await;
    lab.network.says(&alice(), &romeo(), "first", said("first", "one"));
    assert_eq!(lab.message().await.message.content.as_text(), Some("one"));
    // The room is known from here on.
    let event = |body: &str| {
        json!({ "events": [{ "type": "m.room.message", "room_id": "!1:matrix.example", "sender": user_id(&alice()),
            "event_id": "$again", "content": { "msgtype": "m.text", "body": body } }] })
    };
    assert_eq!(lab.put("x", None, &event("stranger")).await, 401);
    assert_eq!(lab.put("x", Some("wrong"), &event("stranger")).await, 403);
    assert_eq!(lab.put("x", Some(HS_TOKEN), &event("two")).await, 200);
    assert_eq!(lab.put("x", Some(HS_TOKEN), &event("twice")).await, 200);
    assert_eq!(lab.put("y", Some(HS_TOKEN), &event("three")).await, 200);
    assert_eq!(lab.message().await.message.content.as_text(), Some("two"));
    assert_eq!(lab.message().await.message.content.as_text(), Some("three"));
}

/// What begins a request and does not end it holds one of a bounded number of places, and the homeserver is served when they are given back.
#[tokio::test]
async fn idle_connections_are_bounded_and_the_homeserver_is_served_after_them() {
    let lab = lab().await;
    let at = lab.at.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nX-").await.unwrap();
        idle.push(stream);
    }
    let mut late = TcpStream::connect(at).await.unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    // One that has a place is served meanwhile, and only a place given back serves the late one.
    let mut first = idle.remove(0);
    first.write_all(b": y\r\nHost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 401");
    assert_eq!(late.try_read(&mut start).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    late.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 401");
}

#[tokio::test]
async fn a_homeserver_that_asks_for_a_pause_gets_it_and_the_message_after_it() {
    let mut lab = lab().await;
    lab.network.world.lock().unwrap().limits = 3;
    assert_eq!(lab.deliver(message("alice@matrix.example", "patience")).await, Outcome::Success(Proof::Server));
    let body = loop {
        if let Seen::Message { body, .. } = lab.seen().await {
            break body;
        }
    };
    assert_eq!(&body[..], b"patience");
    assert_eq!(lab.network.world.lock().unwrap().limits, 0);
}

#[tokio::test]
async fn who_does_not_exist_is_not_found_and_what_matrix_cant_name_is_malformed() {
    let lab = lab().await;
    let cause = |outcome| {
        let Outcome::Failure(failure) = outcome else { panic!("{outcome:?}") };
        failure.cause
    };
    assert_eq!(cause(lab.deliver(message("nobody@matrix.example", "a")).await), Cause::NotFound);
    assert_eq!(cause(lab.deliver(message("Alice@matrix.example", "b")).await), Cause::AddressMalformed);
}

#[tokio::test]
async fn a_failure_is_told_in_the_room_and_what_cant_be_carried_is_said() {
    let mut lab = lab().await;
    lab.hub.answers(Some(Failure::new(Side::Far, Cause::NotFound).into()));
    lab.network.says(&alice(), &romeo(), "lost", said("lost", "hello"));
    assert_eq!(lab.seen().await, Seen::Answer { id: "lost".to_owned(), answer: Answer::Failed });
    lab.network.says(
        &alice(),
        &romeo(),
        "picture",
        json!({ "msgtype": "m.image", "body": "a.png", "url": "mxc://a/b" }),
    );
    assert_eq!(lab.seen().await, Seen::Answer { id: "picture".to_owned(), answer: Answer::Failed });
}

#[tokio::test]
async fn typing_goes_both_ways() {
    let mut lab = lab().await;
    lab.network.says(&alice(), &romeo(), "first", said("first", "one"));
    lab.message().await;
    for (users, state) in [(vec![user_id(&alice())], ComposingState::Composing), (vec![], ComposingState::Active)] {
        lab.network
            .event(json!({ "type": "m.typing", "room_id": "!1:matrix.example", "content": { "user_ids": users } }));
        let told = tokio::time::timeout(PATIENCE, lab.submitted.recv()).await.unwrap().unwrap().operation;
        let Operation::Composing(told) = told else { panic!("{told:?}") };
        assert_eq!((told.state, &told.source.address, &told.destination.address), (state, &alice(), &romeo()));
    }
    let composing = ComposingOperation {
        source: Endpoint::bare(romeo()),
        destination: Endpoint::bare(alice()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "c".into(),
        thread: None,
        state: ComposingState::Composing,
        refresh: None,
        content_type: None,
    };
    assert_eq!(lab.deliver(Operation::Composing(Box::new(composing))).await, Outcome::Success(Proof::Server));
    let notes = lab.network.world.lock().unwrap().notes.clone();
    assert!(notes.iter().any(|note| note.contains("/typing/") && note.contains("\"typing\":true")), "{notes:?}");
}

#[tokio::test]
async fn a_watcher_hears_at_once_of_a_user_who_changes_nothing() {
    let mut lab = lab().await;
    lab.network.world.lock().unwrap().states.insert(user_id(&alice()), "unavailable");
    lab.asks().await;
    lab.network.act(Act::Authorize { user: alice(), watcher: romeo(), allow: true }).await.unwrap();
    let state = lab.state_behind_consent().await;
    assert_eq!((state.tuples[0].basic, state.tuples[0].show), (Basic::Open, Some(Show::Away)));
    // Once she is in the room, who asks again hears it again.
    lab.network.world.lock().unwrap().states.insert(user_id(&alice()), "online");
    lab.asks().await;
    let state = lab.state_behind_consent().await;
    assert_eq!((state.tuples[0].basic, state.tuples[0].show), (Basic::Open, None));
}

#[tokio::test]
async fn a_state_that_the_homeserver_did_not_take_is_told_again() {
    let mut lab = lab().await;
    lab.network.act(Act::Watch { user: alice(), presentity: romeo() }).await.unwrap();
    let watch = tokio::time::timeout(PATIENCE, lab.submitted.recv()).await.unwrap().unwrap().operation;
    assert!(matches!(watch, Operation::Subscribe(_)), "{watch:?}");
    for (basic, open) in [(Basic::Open, vec!["matrix".to_owned()]), (Basic::Closed, vec![])] {
        let info = PresenceInfo { tuples: vec![PresenceTuple::new(None, basic)], ..PresenceInfo::default() };
        let notify = NotifyOperation {
            target: Endpoint::bare(romeo()),
            watcher: Endpoint::bare(alice()),
            subscript_id: None,
            trans_id: "n".into(),
            standing: Standing::Active { expires: None },
            news: News::Whole(Arc::new(info)),
        };
        let outcome = lab.deliver(Operation::Notify(Box::new(notify))).await;
        assert_eq!(outcome, Outcome::Success(Proof::Server));
        assert_eq!(lab.seen().await, Seen::Presence { user: alice(), presentity: romeo(), open });
        // The next one runs into it.
        lab.network.world.lock().unwrap().limits = 1;
    }
}

#[tokio::test]
async fn another_ghost_that_leaves_a_room_of_two_ends_nothing() {
    let mut lab = lab().await;
    lab.network.says(&alice(), &romeo(), "first", said("first", "one"));
    lab.message().await;
    let tybalt = Address::parse_bare("tybalt@kit.example").unwrap();
    lab.invites(&tybalt, "!1:matrix.example").await;
    assert!(lab.left(&tybalt, "!1:matrix.example"));
    // That he left is told before this.
    lab.network.says(&alice(), &romeo(), "second", said("second", "two"));
    assert_eq!(lab.message().await.message.content.as_text(), Some("two"));
}

#[tokio::test]
async fn a_second_room_of_the_same_two_takes_the_place_of_the_first_which_the_ghost_leaves() {
    let mut lab = lab().await;
    lab.network.says(&alice(), &romeo(), "first", said("first", "one"));
    lab.message().await;
    lab.invites(&romeo(), "!other:matrix.example").await;
    assert!(lab.left(&romeo(), "!1:matrix.example"));
    assert!(!lab.left(&romeo(), "!other:matrix.example"));
    lab.network
        .event(json!({ "type": "m.room.message", "room_id": "!other:matrix.example", "sender": user_id(&alice()),
        "event_id": "$second", "content": { "msgtype": "m.text", "body": "two" } }));
    assert_eq!(lab.message().await.message.content.as_text(), Some("two"));
}

#[tokio::test]
async fn another_message_under_a_used_id_arrives_and_a_repeat_does_not() {
    let mut lab = lab().await;
    let under_one_id = |body: &str| {
        let mut operation = message("alice@matrix.example", body);
        let Operation::Message(message) = &mut operation else { panic!("{operation:?}") };
        message.message.id = Some("used".into());
        operation
    };
    for (body, edition) in [("one", 0), ("two", 0), ("one", 0), ("two", 0), ("one", 1), ("three", 0)] {
        let outcome = lab.deliver_edition(under_one_id(body), edition).await;
        assert_eq!(outcome, Outcome::Success(Proof::Server));
    }
    let mut bodies = Vec::new();
    while bodies.len() < 4 {
        if let Seen::Message { body, .. } = lab.seen().await {
            bodies.push(body);
        }
    }
    assert_eq!(bodies, ["one", "two", "one", "three"]);
}
