//! The conformance kit of `adapter-api`, with SIP users at the other end of TCP connections.

use crate::kit::request;
use adapter_api::testkit::{Act, Answer, Kit, Manner, Network, Profile, Seen, Unable, Verdict, context};
use adapter_api::{Adapter, Configuration, DomainEntry, Hop, Role};
use adapter_sip::mapping::address::{from_sip_uri, to_sip_uri};
use bytes::BytesMut;
use impp_model::{Address, Basic, Cause, Endpoint};
use serde_json::json;
use sip_proto::build::ResponseBuilder;
use sip_proto::framer::{Event, StreamFramer};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The domain of the users.
const DOMAIN: &str = "sip.example";

/// What refuses a message, by the status that says so (RFC 7247 §7.2).
const REFUSALS: [(Cause, u16); 8] = [
    (Cause::BadRequest, 400),
    (Cause::Forbidden, 403),
    (Cause::NotFound, 404),
    (Cause::Gone, 410),
    (Cause::RecipientUnavailable, 480),
    (Cause::InternalError, 500),
    (Cause::NotImplemented, 501),
    (Cause::NotAcceptable, 606),
];

/// Users who share one listener, as behind a proxy, and one connection to the gateway.
struct Users {
    gateway: Option<SocketAddr>,
    address: SocketAddr,
    out: Option<OwnedWriteHalf>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    seen: mpsc::UnboundedReceiver<Seen>,
    number: u64,
}

/// What all connections share.
struct Shared {
    contact: String,
    manner: Mutex<Manner>,
    seen: mpsc::UnboundedSender<Seen>,
    /// The dialogs of either side's subscriptions, by Call-ID.
    dialogs: Mutex<BTreeMap<String, Dialog>>,
    /// The messages that were sent, by Call-ID.
    sent: Mutex<BTreeMap<String, String>>,
    changed: watch::Sender<()>,
}

/// One subscription: whose, and where its requests go.
#[derive(Clone)]
struct Dialog {
    user: Address,
    stranger: Address,
    /// The gateway's Contact and To value; empty until it has said them.
    target: String,
    peer: String,
}

impl Users {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            contact: format!("<sip:user@{address};transport=tcp>"),
            manner: Mutex::new(Manner::Confirm),
            seen: sender,
            dialogs: Mutex::default(),
            sent: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let mut tasks = JoinSet::new();
        let all = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (read, write) = socket.into_split();
                connections.spawn(Arc::clone(&all).serve(read, Some(write)));
            }
        });
        Self { gateway: None, address, out: None, shared, tasks, seen, number: 0 }
    }

    async fn connect(&mut self) {
        if self.out.is_none() {
            let (read, write) = TcpStream::connect(self.gateway.unwrap()).await.unwrap().into_split();
            self.tasks.spawn(Arc::clone(&self.shared).serve(read, None));
            self.out = Some(write);
        }
    }

    /// Writes a request in a dialog whose From, To and Call-ID are these.
    async fn ask(&mut self, method: &str, uri: &str, ends: [&str; 3], lines: &str) {
        self.number += 1;
        self.write(method, uri, ends, self.number, lines, b"").await;
    }

    /// Writes a request; the same twice is a retransmission.
    async fn write(&mut self, method: &str, uri: &str, ends: [&str; 3], cseq: u64, lines: &str, body: &[u8]) {
        let [from, to, call] = ends;
        let (via, branch) = (format!("TCP {}", self.address), format!("{call}-{cseq}"));
        let head = request(method, uri, &via, &branch, lines, "")
            .replace("To: <sip:juliet@example.com>", &format!("To: {to}"))
            .replace("From: <sip:romeo@example.net>;tag=v", &format!("From: {from}"))
            .replace(&format!("Call-ID: c{branch}"), &format!("Call-ID: {call}"))
            .replace("CSeq: 1 ", &format!("CSeq: {cseq} "))
            .replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
        let octets = [head.as_bytes(), body].concat();
        self.out.as_mut().unwrap().write_all(&octets).await.unwrap();
    }

    async fn send(&mut self, from: &Address, to: &Address, id: String, content_type: &str, body: &[u8]) {
        let call = format!("{:x}", md(&id, body));
        self.shared.sent.lock().unwrap().insert(call.clone(), id);
        let (from, to) = (format!("<{}>;tag=u", uri(from)), uri(to));
        let lines = format!("Content-Type: {content_type}\r\n");
        self.write("MESSAGE", &to, [&from, &format!("<{to}>"), &call], 1, &lines, body).await;
    }

    async fn subscribe(&mut self, user: Address, stranger: Address) {
        let call = format!("watch-{}", self.number);
        let (from, to) = (format!("<{}>;tag=u", uri(&user)), uri(&stranger));
        let dialog = Dialog { user, stranger, target: String::new(), peer: String::new() };
        self.shared.dialogs.lock().unwrap().insert(call.clone(), dialog);
        let lines = format!("Event: presence\r\nContact: {}\r\nExpires: 3600\r\n", self.shared.contact);
        self.ask("SUBSCRIBE", &to, [&from, &format!("<{to}>"), &call], &lines).await;
    }

    /// The dialog between these two, once the gateway has said where it is.
    async fn dialog(&self, user: &Address, stranger: &Address) -> (String, Dialog) {
        let mut changed = self.shared.changed.subscribe();
        loop {
            let dialogs = self.shared.dialogs.lock().unwrap().clone();
            let ours = |dialog: &Dialog| dialog.user == *user && dialog.stranger == *stranger;
            if let Some(found) = dialogs.into_iter().find(|(_, dialog)| ours(dialog) && !dialog.target.is_empty()) {
                return found;
            }
            changed.changed().await.unwrap();
        }
    }

    async fn unsubscribe(&mut self, user: &Address, stranger: &Address) {
        let (call, Dialog { target, peer, .. }) = self.dialog(user, stranger).await;
        let from = format!("<{}>;tag=u", uri(user));
        let lines = format!("Event: presence\r\nContact: {}\r\nExpires: 0\r\n", self.shared.contact);
        self.ask("SUBSCRIBE", &target, [&from, &peer, &call], &lines).await;
    }

    async fn authorize(&mut self, user: &Address, watcher: &Address, allow: bool) {
        let (call, Dialog { target, peer, .. }) = self.dialog(user, watcher).await;
        let state = if allow { "active;expires=3600" } else { "terminated;reason=rejected" };
        let from = format!("<{}>;tag=u", uri(user));
        let lines = format!("Event: presence\r\nSubscription-State: {state}\r\nContact: {}\r\n", self.shared.contact);
        self.ask("NOTIFY", &target, [&from, &peer, &call], &lines).await;
    }
}

/// The same for the same message, and for no other.
fn md(id: &str, body: &[u8]) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    (id, body).hash(&mut hasher);
    hasher.finish()
}

fn uri(address: &Address) -> String {
    to_sip_uri(&Endpoint::bare(address.clone()))
}

fn read_address(uri: &str) -> Address {
    from_sip_uri(uri).unwrap().address
}

impl Shared {
    /// Reads one connection; answers requests on it, if it is one of theirs.
    async fn serve(self: Arc<Self>, mut read: OwnedReadHalf, mut write: Option<OwnedWriteHalf>) {
        let (mut framer, mut buffer) = (StreamFramer::default(), BytesMut::new());
        loop {
            while let Some(event) = framer.poll(&mut buffer).unwrap() {
                let Event::Message(message) = event else { continue };
                let answer = if message.is_request() { self.take(&message).await } else { Some(self.hear(&message)) };
                let Some(answer) = answer else { return };
                if let Some(write) = &mut write
                    && write.write_all(&answer).await.is_err()
                {
                    return;
                }
            }
            if read.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
                continue;
            }
            return;
        }
    }

    fn show(&self, seen: Seen) {
        // A kit that is done looks no more.
        let _ = self.seen.send(seen);
    }

    /// A response of the gateway; nothing is answered.
    fn hear(&self, response: &Message) -> Vec<u8> {
        let (call, status) = (response.call_id().unwrap().as_str().to_owned(), response.status().unwrap().code());
        if response.cseq().unwrap().method == "MESSAGE" && status >= 200 {
            let id = self.sent.lock().unwrap()[&call].clone();
            let answer = match status {
                202 => Answer::Accepted,
                200..300 => Answer::Delivered,
                _ => Answer::Failed,
            };
            self.show(Seen::Answer { id, answer });
        }
        Vec::new()
    }

    /// A request of the gateway and its answer; none when it hangs up instead.
    async fn take(&self, request: &Message) -> Option<Vec<u8>> {
        match request.method().unwrap().as_str() {
            "MESSAGE" => self.message(request).await,
            "SUBSCRIBE" => Some(self.subscription(request)),
            "NOTIFY" => Some(self.notification(request)),
            other => panic!("{other}"),
        }
    }

    async fn message(&self, request: &Message) -> Option<Vec<u8>> {
        let content_type = request.header(HeaderId::ContentType).map(|header| header.display().into_owned());
        self.show(Seen::Message {
            to: read_address(request.request_uri().unwrap()),
            from: read_address(request.from().unwrap().uri),
            id: Some(request.call_id().unwrap().as_str().to_owned()),
            content_type: content_type.unwrap_or_default(),
            body: request.body_bytes(),
        });
        let manner = *self.manner.lock().unwrap();
        let status = match manner {
            Manner::Confirm | Manner::Cut => 200,
            Manner::After(time) => {
                tokio::time::sleep(time).await;
                200
            }
            Manner::Silent => return Some(Vec::new()),
            Manner::Refuse(cause) => REFUSALS.iter().find(|(known, _)| *known == cause).unwrap().1,
            Manner::Vanish => return None,
        };
        Some(ResponseBuilder::new(request, status).to_tag("u").encode().into())
    }

    /// What either side's request tells of its dialog.
    fn learn(&self, request: &Message) -> Option<Dialog> {
        let contact = request.header(HeaderId::Contact).unwrap().display().into_owned();
        let target = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let peer = request.header(HeaderId::From).unwrap().display().into_owned();
        let call = request.call_id().unwrap().as_str().to_owned();
        let user = read_address(request.to().unwrap().uri);
        let stranger = read_address(request.from().unwrap().uri);
        let earlier = self.dialogs.lock().unwrap().insert(call, Dialog { user, stranger, target, peer });
        self.changed.send_replace(());
        earlier
    }

    fn subscription(&self, request: &Message) -> Vec<u8> {
        if self.learn(request).is_none() {
            let user = read_address(request.to().unwrap().uri);
            self.show(Seen::Asked { user, watcher: read_address(request.from().unwrap().uri) });
        }
        let expires = request.header(HeaderId::Expires).unwrap().display().into_owned();
        let answer = ResponseBuilder::new(request, 200).to_tag("u").header(HeaderId::Expires, &expires);
        answer.header(HeaderId::Contact, &self.contact).encode().into()
    }

    fn notification(&self, request: &Message) -> Vec<u8> {
        let Some(Dialog { user, stranger: presentity, .. }) = self.learn(request) else {
            return ResponseBuilder::new(request, 481).encode().into();
        };
        if !request.body().is_empty() {
            let document = pidf::parse(request.body()).unwrap().presence;
            let open = document.tuples.iter().filter(|tuple| tuple.status.basic == Some(Basic::Open));
            let open = open.map(|tuple| tuple.id.to_string()).collect();
            self.show(Seen::Presence { user: user.clone(), presentity: presentity.clone(), open });
        }
        let state = request.header(HeaderId::SubscriptionState).unwrap();
        if state.display().starts_with("terminated") {
            self.show(Seen::Ended { user, presentity });
        }
        ResponseBuilder::new(request, 200).encode().into()
    }
}

#[async_trait::async_trait]
impl Network for Users {
    fn profile(&self) -> Profile {
        let user = |local: &str| Address::parse_bare(&format!("{local}@{DOMAIN}")).unwrap();
        Profile {
            user: user("alice"),
            other: user("bob"),
            listens: true,
            refusals: REFUSALS.iter().map(|(cause, _)| *cause).collect(),
            asks: true,
            shows_ids: true,
            remembers_ids: true,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new().await;
        let domain = self.profile().user.domain().clone();
        let entry = DomainEntry {
            name: domain.clone(),
            own_name: None,
            role: Role::Local,
            adapter: Some("kit".into()),
            next_hop: None,
            trusted: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let configuration = Configuration::new("gw.example".parse().unwrap(), vec![entry]);
        let mut context = context(&domain);
        context.configuration = watch::Sender::new(Arc::new(configuration)).subscribe();
        let table = json!({"listen": ["tcp:127.0.0.1:0"], "presence": {"notify_interval": "10ms"}});
        Ok(adapter_sip::new("kit".into(), serde_json::from_value(table).unwrap(), context).unwrap())
    }

    fn listening(&mut self, address: SocketAddr) {
        self.gateway = Some(address);
    }

    fn hop(&self) -> Hop {
        Hop::Fixed(format!("sip:{};transport=tcp", self.address).into())
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        match act {
            Act::Connect { .. } => self.connect().await,
            Act::Disconnect { .. } => return Err(Unable::new("disconnect: SIP users are reached by requests")),
            Act::Send { from, to, id, content_type, body } => self.send(&from, &to, id, &content_type, &body).await,
            Act::Receive(manner) => *self.shared.manner.lock().unwrap() = manner,
            Act::Authorize { user, watcher, allow } => self.authorize(&user, &watcher, allow).await,
            Act::Watch { user, presentity } => self.subscribe(user, presentity).await,
            Act::Unwatch { user, presentity } => self.unsubscribe(&user, &presentity).await,
            Act::Publish { .. } => return Err(Unable::new("publish before anybody watches")),
        }
        Ok(())
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

#[tokio::test]
async fn the_sip_adapter_passes_the_conformance_kit() {
    let report = Kit::default().judge(&mut Users::new().await).await;
    assert!(report.passed(), "{report}");
    // What it can't show is known: it carries every kind, and devices publish to watchers alone.
    let open = report.results.iter().filter(|result| matches!(result.verdict, Verdict::NotApplicable { .. }));
    let names: Vec<_> = open.map(|result| result.case.as_str()).collect();
    assert_eq!(names, ["kinds", "owed", "devices"], "{report}");
}
