//! The conformance kit between servers: the users' server is a gateway of another organisation, whose hub does as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use adapter_api::testkit::{Act, Answer, Kit, Manner, Network, Profile, Seen, Unable, Verdict};
use adapter_api::{
    Adapter, Carries, Configuration, Delivery, Hop, Hub, HubCore, InstanceName, PeerState, Provenance, Settle,
    Shutdown, Target, TraceId, settle_channel,
};
use impp_model::{
    Address, AuthorizeOperation, Basic, Cause, Content, Device, DispositionOperation, Endpoint, Failure,
    InstantMessage, MaxForwards, MessageOperation, News, NotifyOperation, Operation, Outcome, PresenceTuple, Proof,
    Side, Standing, SubscribeOperation, Wish,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use transport::tls::testkit::{Authority, Variant};

use crate::kit::{Names, Place, Relay, SRV_TARGET, certificate, place};

/// Where the kit's strangers are: the adapter that is judged.
const NEAR: &str = "kit.example";
/// Where the users are.
const FAR: &str = "xmpp.example";

/// Causes that have a condition of their own (RFC 6120 §8.3.3).
const REFUSALS: [Cause; 10] = [
    Cause::BadRequest,
    Cause::NotImplemented,
    Cause::Forbidden,
    Cause::Gone,
    Cause::NotFound,
    Cause::NotAcceptable,
    Cause::PolicyViolation,
    Cause::RecipientUnavailable,
    Cause::ResourceConstraint,
    Cause::ServiceUnavailable,
];

/// The hub of the users' server.
struct Script {
    seen: mpsc::UnboundedSender<Seen>,
    manner: Mutex<Manner>,
    /// What is never answered; dropped, it would be.
    silent: Mutex<Vec<Settle>>,
    /// What was under way when the network went: answered once the kit asks for another manner, for what was taken holds
    /// up the acknowledgement of all behind it over a resumption, too.
    severed: Mutex<Vec<Settle>>,
    open: Mutex<BTreeMap<Address, BTreeSet<String>>>,
    relay: Mutex<Option<Relay>>,
    listening: mpsc::UnboundedSender<SocketAddr>,
    configuration: watch::Receiver<Arc<Configuration>>,
}

impl Script {
    fn show(&self, seen: Seen) {
        // A kit that is done looks no more.
        let _ = self.seen.send(seen);
    }

    fn message(&self, message: &MessageOperation, settle: Settle) {
        self.show(Seen::Message {
            to: message.destination.address.clone(),
            from: message.source.address.clone(),
            id: message.message.id.as_ref().map(ToString::to_string),
            content_type: message.message.content.media_type.to_string(),
            body: message.message.content.octets.clone(),
        });
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Confirm | Manner::Cut => settle.settle(Outcome::Success(Proof::Recipient)),
            Manner::Refuse(cause) => settle.settle(Failure::new(Side::Far, cause)),
            Manner::Silent => self.silent.lock().unwrap().push(settle),
            Manner::After(time) => drop(tokio::spawn(async move {
                tokio::time::sleep(time).await;
                settle.settle(Outcome::Success(Proof::Recipient));
            })),
            Manner::Vanish => {
                self.severed.lock().unwrap().push(settle);
                self.relay.lock().unwrap().as_ref().unwrap().sever();
            }
        }
    }

    fn presence(&self, notify: &NotifyOperation) {
        let (user, presentity) = (notify.watcher.address.clone(), notify.target.address.clone());
        let mut open = self.open.lock().unwrap();
        let devices = open.entry(presentity.clone()).or_default();
        let tuples = match &notify.news {
            News::Whole(info) => {
                devices.clear();
                info.tuples.clone()
            }
            News::Device(tuple) => vec![(**tuple).clone()],
            News::Nothing => Vec::new(),
        };
        for tuple in tuples {
            let name = tuple.device.as_ref().map(ToString::to_string);
            match (tuple.basic, name) {
                (Basic::Open, name) => drop(devices.insert(name.unwrap_or_default())),
                (Basic::Closed, Some(name)) => drop(devices.remove(&name)),
                // RFC 6121 §4.5: of a bare address, all of them.
                (Basic::Closed, None) => devices.clear(),
            }
        }
        let open = devices.iter().cloned().collect();
        if matches!(notify.standing, Standing::Ended { .. }) {
            self.show(Seen::Ended { user, presentity });
        } else {
            self.show(Seen::Presence { user, presentity, open });
        }
    }
}

impl HubCore for Script {
    fn submit(&self, operation: Operation, _: Arc<Provenance>, settle: Settle) -> TraceId {
        match operation {
            Operation::Message(message) => {
                self.message(&message, settle);
                return TraceId(1);
            }
            Operation::Disposition(word) if word.disposition.failure().is_some() => {
                self.show(Seen::Answer { id: word.message_id.unwrap().to_string(), answer: Answer::Failed });
            }
            Operation::Subscribe(told) if matches!(told.wish, Wish::Standing | Wish::Watch(_)) => {
                self.show(Seen::Asked { user: told.target.address, watcher: told.watcher.address });
            }
            Operation::Notify(told) => self.presence(&told),
            _ => {}
        }
        settle.settle(Outcome::Success(Proof::Server));
        TraceId(1)
    }
    fn peer_changed(&self, _: &InstanceName, _: &str, _: PeerState) {}
    fn translation_loss(&self, _: &InstanceName, _: &str, _: Carries) {}
    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}
    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.clone()
    }
    fn listening(&self, _: &InstanceName, _: &str, address: SocketAddr) {
        let _ = self.listening.send(address);
    }
    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}
    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        None
    }
    fn commit(&self) {}
    fn owe(&self, _: &InstanceName, _: DispositionOperation, _: bool, _: adapter_api::StateDone) {}
}

/// The users, their server, and the way between the two servers.
struct Federation {
    authority: Authority,
    names: Arc<Names>,
    script: Arc<Script>,
    server: Arc<dyn Adapter>,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// The adapter that is judged, as the users' server reaches it.
    near: Option<SocketAddr>,
    /// The users' server, as the adapter reaches it.
    port: u16,
    places: Vec<Place>,
    tasks: JoinSet<()>,
}

impl Federation {
    async fn new() -> Self {
        let (authority, names) = (Authority::new("CA"), Arc::<Names>::default());
        let place = place(FAR, &certificate(&authority, FAR, &Variant::default()), &authority, &names);
        let config = serde_json::json!({"listen": ["tcp:127.0.0.1:0"], "dialback": false});
        let context = place.context.clone();
        let configuration = context.configuration.clone();
        let server =
            adapter_xmpp::server::new("users".into(), serde_json::from_value(config).unwrap(), context).unwrap();
        let (seen_sender, seen) = mpsc::unbounded_channel();
        let (listening, mut listeners) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            seen: seen_sender,
            manner: Mutex::new(Manner::Confirm),
            silent: Mutex::default(),
            severed: Mutex::default(),
            open: Mutex::default(),
            relay: Mutex::default(),
            listening,
            configuration,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (server, hub) = (Arc::clone(&server), Hub::new(Arc::clone(&script) as _, "users".into()));
            async move {
                let (_trigger, shutdown) = Shutdown::new();
                server.run(hub, shutdown).await.unwrap();
            }
        });
        let relay = Relay::to(listeners.recv().await.unwrap()).await;
        let port = relay.port;
        *script.relay.lock().unwrap() = Some(relay);
        names.set(FAR, port, false);
        Self { authority, names, script, server, seen, near: None, port, places: vec![place], tasks }
    }

    /// The users' server sends something; a failure is what the sender `id` hears.
    fn say(&mut self, operation: Operation, id: Option<String>) -> Result<(), Unable> {
        let (settle, outcome) = settle_channel();
        let delivery = Delivery {
            trace: TraceId(1),
            operation: Arc::new(operation),
            repeat: false,
            edition: 0,
            proven_only: false,
            hop: Arc::new(hop(NEAR, self.near.unwrap())),
            deadline: Instant::now() + crate::kit::PATIENCE,
            settle,
        };
        self.server.deliver(delivery).map_err(|_| Unable::new("take more"))?;
        let script = Arc::clone(&self.script);
        self.tasks.spawn(async move {
            if let (Ok(Outcome::Failure(_)), Some(id)) = (outcome.await, id) {
                script.show(Seen::Answer { id, answer: Answer::Failed });
            }
        });
        Ok(())
    }
}

fn hop(domain: &str, address: SocketAddr) -> Hop {
    let target = Target { host: SRV_TARGET.into(), address, transport: Some(transport::Transport::Tcp) };
    Hop::Located { domain: domain.parse().unwrap(), targets: vec![target] }
}

#[async_trait::async_trait]
impl Network for Federation {
    fn profile(&self) -> Profile {
        Profile {
            user: Address::parse_bare("juliet@xmpp.example").unwrap(),
            other: Address::parse_bare("nurse@xmpp.example").unwrap(),
            listens: true,
            refusals: REFUSALS.to_vec(),
            asks: true,
            shows_ids: true,
            remembers_ids: false,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new().await;
        let own = certificate(&self.authority, NEAR, &Variant::default());
        let place = place(NEAR, &own, &self.authority, &self.names);
        let config = serde_json::json!({"listen": ["tcp:127.0.0.1:0"], "dialback": false});
        let context = place.context.clone();
        self.places.push(place);
        Ok(adapter_xmpp::server::new("kit".into(), serde_json::from_value(config).unwrap(), context).unwrap())
    }

    fn listening(&mut self, address: SocketAddr) {
        self.names.set(NEAR, address.port(), false);
        self.near = Some(address);
    }

    fn hop(&self) -> Hop {
        hop(FAR, SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        let (end, trans_id) = (Endpoint::bare, "t".into());
        match act {
            Act::Connect { .. } => Ok(()),
            Act::Disconnect { .. } => Err(Unable::new("disconnect: its server keeps what comes")),
            // `between.rs` has servers that never come back.
            Act::Receive(Manner::Cut) => {
                Err(Unable::new("lose a word: its server says what it has when a stream is resumed"))
            }
            Act::Receive(manner) => {
                *self.script.manner.lock().unwrap() = manner;
                let severed = std::mem::take(&mut *self.script.severed.lock().unwrap());
                severed.into_iter().for_each(|settle| settle.settle(Outcome::Success(Proof::Recipient)));
                Ok(())
            }
            Act::Send { from, to, id, content_type, body } => {
                let content = Content { media_type: content_type.into(), language: None, octets: body };
                let message = InstantMessage { id: Some(id.as_str().into()), ..InstantMessage::new(content) };
                let max_forwards = MaxForwards::INITIAL;
                let operation =
                    MessageOperation { source: end(from), destination: end(to), max_forwards, trans_id, message };
                self.say(Operation::Message(Box::new(operation)), Some(id))
            }
            Act::Authorize { user, watcher, allow } => {
                let operation = AuthorizeOperation { target: end(user), watcher: end(watcher), allow, trans_id };
                self.say(Operation::Authorize(Box::new(operation)), None)
            }
            Act::Watch { user, presentity } => self.say(subscribe(user, presentity, Wish::Standing), None),
            Act::Unwatch { user, presentity } => self.say(subscribe(user, presentity, Wish::Cancel), None),
            Act::Publish { user, device, open, show } => {
                let basic = if open { Basic::Open } else { Basic::Closed };
                let device = Device::new(&device).unwrap();
                let tuple = PresenceTuple { show, ..PresenceTuple::new(Some(device), basic) };
                let operation = NotifyOperation {
                    target: end(user),
                    watcher: end(format!("contact@{NEAR}").parse().unwrap()),
                    subscript_id: None,
                    trans_id,
                    standing: Standing::Active { expires: None },
                    news: News::Device(Box::new(tuple)),
                };
                self.say(Operation::Notify(Box::new(operation)), None)
            }
        }
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

fn subscribe(user: Address, presentity: Address, wish: Wish) -> Operation {
    Operation::Subscribe(Box::new(SubscribeOperation {
        watcher: Endpoint::bare(user),
        target: Endpoint::bare(presentity),
        wish,
        subscript_id: "watch".into(),
        trans_id: "t".into(),
    }))
}

#[tokio::test]
async fn streams_between_servers_pass_the_conformance_kit() {
    let report = Kit::default().judge(&mut Federation::new().await).await;
    assert!(report.passed(), "{report}");
    let open = report.results.iter().filter(|result| matches!(result.verdict, Verdict::NotApplicable { .. }));
    let names: Vec<_> = open.map(|result| result.case.as_str()).collect();
    assert_eq!(names, ["kinds", "owed"], "{report}");
}
