//! The conformance kit, with users who read events and acknowledge them as they are told.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use adapter_api::Adapter;
use adapter_api::model::Address;
use adapter_api::testkit::{Act, Answer, Kit, Manner, Network, Profile, Seen, Unable, Verdict, context};
use adapter_native::client::{Client, Incoming};
use adapter_native::wire::{
    Authorize, BasicStatus, DeliveryStatus, PresenceEvent, SendMessage, SetPresence, Subscribe, SubscriptionEvent,
};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Two native users at a loopback socket.
struct Users {
    address: Option<SocketAddr>,
    manner: Arc<Mutex<Manner>>,
    streams: JoinSet<()>,
    sender: mpsc::UnboundedSender<Seen>,
    seen: mpsc::UnboundedReceiver<Seen>,
    subscriptions: BTreeMap<Address, String>,
}

impl Users {
    fn new() -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        Self {
            address: None,
            manner: Arc::new(Mutex::new(Manner::Confirm)),
            streams: JoinSet::new(),
            sender,
            seen,
            subscriptions: BTreeMap::new(),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address.unwrap())
    }

    fn client(&self, user: &Address) -> Client {
        Client::new(&self.url(), &token(user)).unwrap()
    }

    async fn connect(&mut self, user: Address, device: String) {
        let client = self.client(&user);
        let mut events = client.events(&device, None).await.unwrap();
        let (sender, manner) = (self.sender.clone(), Arc::clone(&self.manner));
        self.streams.spawn(async move {
            while let Some(Ok(received)) = events.next().await {
                let is_message = matches!(received.event, Incoming::Message(_));
                if let Some(seen) = seen(received.event) {
                    // A kit that is done looks no more.
                    let _ = sender.send(seen);
                }
                let manner = *manner.lock().unwrap();
                match manner {
                    Manner::After(time) if is_message => tokio::time::sleep(time).await,
                    Manner::Silent if is_message => continue,
                    Manner::Vanish if is_message => break,
                    Manner::Confirm | Manner::After(_) | Manner::Silent => {}
                    Manner::Vanish | Manner::Refuse(_) | Manner::Cut => {}
                }
                if client.ack(&device, received.id).await.is_err() {
                    break;
                }
            }
        });
    }

    async fn send(&self, from: &Address, message: SendMessage) {
        let id = message.id.clone().unwrap();
        let answer = match self.client(from).send(&message).await.map(|result| result.status) {
            Ok(DeliveryStatus::Success) => Answer::Delivered,
            Ok(DeliveryStatus::Indeterminant) => Answer::Accepted,
            Ok(DeliveryStatus::Failure) | Err(_) => Answer::Failed,
        };
        let _ = self.sender.send(Seen::Answer { id, answer });
    }

    async fn unwatch(&mut self, user: &Address, presentity: &Address) -> Result<(), Unable> {
        let id = self.subscriptions.remove(presentity).ok_or_else(|| Unable::new("end what was not begun"))?;
        let url = format!("{}/v1/subscriptions/{id}", self.url());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.delete(url).bearer_auth(token(user)).send().await.unwrap();
        Ok(())
    }
}

/// A user's token: the local part, twice.
fn token(user: &Address) -> String {
    format!("{0}-{0}-token", user.local())
}

fn seen(event: Incoming) -> Option<Seen> {
    let address = |text: &str| Address::parse_bare(text).unwrap();
    let Incoming::Other { kind, data } = event else {
        let Incoming::Message(message) = event else { return None };
        return Some(Seen::Message {
            to: address(&message.to),
            from: address(&message.from),
            id: message.id,
            content_type: message.content_type,
            body: message.body.into(),
        });
    };
    match kind.as_str() {
        "presence" => {
            let event: PresenceEvent = serde_json::from_str(&data).unwrap();
            let open = event.devices.into_iter().filter(|device| device.basic == BasicStatus::Open);
            Some(Seen::Presence {
                user: address(&event.to),
                presentity: address(&event.from),
                open: open.map(|device| device.device).collect(),
            })
        }
        "subscription" => {
            let event: SubscriptionEvent = serde_json::from_str(&data).unwrap();
            let (watcher, target) = (address(&event.watcher), address(&event.target));
            match event.state.as_str() {
                "requested" => Some(Seen::Asked { user: target, watcher }),
                "terminated" => Some(Seen::Ended { user: watcher, presentity: target }),
                _ => None,
            }
        }
        _ => None,
    }
}

#[async_trait::async_trait]
impl Network for Users {
    fn profile(&self) -> Profile {
        Profile {
            user: Address::parse_bare("carol@native.example").unwrap(),
            other: Address::parse_bare("dave@native.example").unwrap(),
            listens: true,
            // A device acknowledges or does not.
            refusals: Vec::new(),
            asks: true,
            shows_ids: true,
            remembers_ids: false,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new();
        let Profile { user, other, .. } = self.profile();
        let table = |user: &Address| serde_json::json!({ "address": user, "token": token(user) });
        let config = serde_json::json!({ "listen": "127.0.0.1:0", "user": [table(&user), table(&other)] });
        let config = serde_json::from_value(config).unwrap();
        let adapter = adapter_native::new("kit".into(), config, context(user.domain())).unwrap();
        Ok(adapter)
    }

    fn listening(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        match act {
            Act::Connect { user, device } => self.connect(user, device).await,
            Act::Disconnect { .. } => self.streams.shutdown().await,
            Act::Send { from, to, id, content_type, body } => {
                let body = String::from_utf8(body.into()).map_err(|_| Unable::new("send what is no text"))?;
                let message =
                    SendMessage { to: to.to_string(), content_type, body, id: Some(id), ..SendMessage::default() };
                self.send(&from, message).await;
            }
            Act::Receive(Manner::Refuse(_)) => return Err(Unable::new("refuse")),
            Act::Receive(manner) => *self.manner.lock().unwrap() = manner,
            Act::Authorize { user, watcher, allow } => {
                let decision = Authorize { watcher: watcher.to_string(), allow };
                self.client(&user).authorize(&decision).await.unwrap();
            }
            Act::Watch { user, presentity } => {
                let wanted = Subscribe { target: presentity.to_string(), duration: None };
                let result = self.client(&user).subscribe(&wanted).await.unwrap();
                self.subscriptions.insert(presentity, result.id.unwrap());
            }
            Act::Unwatch { user, presentity } => self.unwatch(&user, &presentity).await?,
            Act::Publish { user, device, open, show } => {
                let basic = if open { BasicStatus::Open } else { BasicStatus::Closed };
                let state = SetPresence { basic, show: show.map(Into::into), note: None, lang: None, priority: None };
                self.client(&user).set_presence(&device, &state).await.unwrap();
            }
        }
        Ok(())
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

#[tokio::test]
async fn the_native_adapter_passes_the_kit() {
    let report = Kit::default().judge(&mut Users::new()).await;
    assert!(report.passed(), "{report}");
    // What it can't show is known: its devices refuse nothing.
    let open: Vec<_> =
        report.results.iter().filter(|result| matches!(result.verdict, Verdict::NotApplicable { .. })).collect();
    let names: Vec<_> = open.iter().map(|result| result.case.as_str()).collect();
    assert_eq!(names, ["kinds", "refused", "owed"], "{report}");
}
