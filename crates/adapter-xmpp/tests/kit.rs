//! The conformance kit, with users of a server of components over loopback TCP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use adapter_api::Adapter;
use adapter_api::testkit::{Act, Answer, Kit, Manner, Network, Profile, Seen, Unable, Verdict, context};
use adapter_xmpp::mapping::address::{from_jid, to_jid};
use adapter_xmpp::mapping::error::condition_of;
use impp_model::{Address, Cause, Endpoint, Show};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use strict_xml::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use xmpp_proto::component::{ComponentServer, Output, Secret, ServerConfig};
use xmpp_proto::jid::Jid;
use xmpp_proto::ns;
use xmpp_proto::stanza::StanzaError;

/// The domain of the component, where the kit's strangers are.
const COMPONENT: &str = "kit.example";

/// Causes that have a condition of their own (RFC 6120 §8.3.3).
const REFUSALS: [Cause; 12] = [
    Cause::BadRequest,
    Cause::NotImplemented,
    Cause::Forbidden,
    Cause::Gone,
    Cause::InternalError,
    Cause::NotFound,
    Cause::NotAcceptable,
    Cause::PolicyViolation,
    Cause::RecipientUnavailable,
    Cause::RemoteTimeout,
    Cause::ResourceConstraint,
    Cause::ServiceUnavailable,
];

/// The users of one server, which takes the adapter as its component.
struct Users {
    port: u16,
    shared: Arc<Shared>,
    sending: mpsc::UnboundedSender<Element>,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Ends with this.
    _server: JoinSet<()>,
}

/// What connections share.
struct Shared {
    manner: Mutex<Manner>,
    seen: mpsc::UnboundedSender<Seen>,
    /// The open devices of each presentity that a user was told of.
    open: Mutex<BTreeMap<Address, BTreeSet<String>>>,
    up: watch::Sender<bool>,
}

impl Users {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen_sender, seen) = mpsc::unbounded_channel();
        let (sending, mut to_send) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Confirm),
            seen: seen_sender,
            open: Mutex::default(),
            up: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        let server = Arc::clone(&shared);
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = server.serve(socket, &mut to_send).await;
                server.up.send_replace(false);
            }
        });
        Self { port, shared, sending, seen, _server: tasks }
    }

    /// Something that a user's server sends.
    fn say(&self, name: &'static str, kind: Option<&'static str>, ends: [String; 2]) -> Element {
        let [from, to] = ends;
        let stanza = Element::new(name, ns::COMPONENT_ACCEPT).with_attr("from", from).with_attr("to", to);
        match kind {
            Some(kind) => stanza.with_attr("type", kind),
            None => stanza,
        }
    }

    fn presence(&self, kind: &'static str, from: &Address, to: &Address) {
        self.sending.send(self.say("presence", Some(kind), [jid(from), jid(to)])).unwrap();
    }
}

fn jid(address: &Address) -> String {
    to_jid(&Endpoint::bare(address.clone())).unwrap().as_str().to_owned()
}

/// Who an attribute names, and on which device.
fn end(stanza: &Element, attr: &str) -> Endpoint {
    from_jid(&Jid::parse(stanza.attr(attr).unwrap()).unwrap()).unwrap()
}

/// An answer to a stanza.
fn back(stanza: &Element, kind: &'static str) -> Element {
    let mut answer = Element::new(stanza.name.clone(), ns::COMPONENT_ACCEPT).with_attr("type", kind);
    for (theirs, ours) in [("from", "to"), ("to", "from"), ("id", "id")] {
        if let Some(value) = stanza.attr(theirs) {
            answer.set_attr(ours, value.to_owned());
        }
    }
    answer
}

impl Shared {
    /// Serves one component until it leaves, or a user makes the connection break.
    async fn serve(&self, socket: TcpStream, to_send: &mut mpsc::UnboundedReceiver<Element>) -> std::io::Result<()> {
        let mut config = ServerConfig::default();
        config.components.insert(COMPONENT.into(), Secret::new("s3cret"));
        let mut machine = ComponentServer::new(config, "stream-1".into(), Instant::now());
        let (mut read, mut write) = socket.into_split();
        let mut buffer = vec![0; 65_536];
        loop {
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send(octets) => write.write_all(&octets).await?,
                    Output::Stanza(stanza) => {
                        let Some(answer) = self.take(&stanza).await else { return Ok(()) };
                        for stanza in answer {
                            machine.send(&stanza, Instant::now()).unwrap();
                        }
                    }
                    Output::Opened => drop(self.up.send_replace(true)),
                    Output::Closed => return Ok(()),
                    Output::Failed(_) => {}
                }
            }
            tokio::select! {
                count = read.read(&mut buffer) => {
                    let count = count?;
                    if count == 0 {
                        return Ok(());
                    }
                    machine.handle_bytes(&buffer[..count], Instant::now());
                }
                Some(stanza) = to_send.recv(), if machine.is_open() => machine.send(&stanza, Instant::now()).unwrap(),
            }
        }
    }

    fn show(&self, seen: Seen) {
        // A kit that is done looks no more.
        let _ = self.seen.send(seen);
    }

    /// What users see of a stanza, and what their server answers; none when the connection breaks instead.
    async fn take(&self, stanza: &Element) -> Option<Vec<Element>> {
        let manner = *self.manner.lock().unwrap();
        match (&*stanza.name, stanza.attr("type")) {
            ("message", Some("error")) => {
                let id = stanza.attr("id").unwrap().to_owned();
                self.show(Seen::Answer { id, answer: Answer::Failed });
                if manner == Manner::Cut {
                    return None;
                }
            }
            ("message", _) => {
                self.show(message(stanza));
                match manner {
                    Manner::Refuse(cause) => {
                        let error = StanzaError::new(condition_of(cause)).to_element(ns::COMPONENT_ACCEPT);
                        return Some(vec![back(stanza, "error").with_child(error)]);
                    }
                    Manner::Vanish => return None,
                    Manner::Confirm | Manner::After(_) | Manner::Silent | Manner::Cut => {}
                }
            }
            // The barrier behind a message.
            ("iq", Some("get")) => match manner {
                Manner::Silent => {}
                Manner::After(time) => {
                    tokio::time::sleep(time).await;
                    return Some(vec![back(stanza, "result")]);
                }
                Manner::Confirm | Manner::Refuse(_) | Manner::Vanish | Manner::Cut => {
                    return Some(vec![back(stanza, "result")]);
                }
            },
            ("presence", kind) => self.presence(stanza, kind),
            _ => {}
        }
        Some(Vec::new())
    }

    fn presence(&self, stanza: &Element, kind: Option<&str>) {
        let (user, told) = (end(stanza, "to").address, end(stanza, "from"));
        let presentity = told.address;
        match kind {
            Some("subscribe") => self.show(Seen::Asked { user, watcher: presentity }),
            Some("unsubscribed") => self.show(Seen::Ended { user, presentity }),
            None | Some("unavailable") => {
                let mut open = self.open.lock().unwrap();
                let devices = open.entry(presentity.clone()).or_default();
                match told.device {
                    Some(device) if kind.is_none() => drop(devices.insert(device.as_str().to_owned())),
                    Some(device) => drop(devices.remove(device.as_str())),
                    // RFC 6121 §4.5: of a bare address, all of them.
                    None => devices.clear(),
                }
                self.show(Seen::Presence { user, presentity, open: devices.iter().cloned().collect() });
            }
            Some(_) => {}
        }
    }
}

fn message(stanza: &Element) -> Seen {
    let body = stanza.child("body", ns::COMPONENT_ACCEPT).map(|body| body.text().into_owned());
    Seen::Message {
        to: end(stanza, "to").address,
        from: end(stanza, "from").address,
        id: stanza.attr("id").map(str::to_owned),
        content_type: "text/plain".to_owned(),
        body: body.unwrap_or_default().into(),
    }
}

#[async_trait::async_trait]
impl Network for Users {
    fn profile(&self) -> Profile {
        Profile {
            user: Address::parse_bare("juliet@xmpp.example").unwrap(),
            other: Address::parse_bare("nurse@xmpp.example").unwrap(),
            listens: false,
            refusals: REFUSALS.to_vec(),
            asks: true,
            shows_ids: true,
            remembers_ids: false,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new().await;
        let connect = format!("127.0.0.1:{}", self.port);
        let table = serde_json::json!({"connect": connect, "domain": COMPONENT, "secret": "s3cret"});
        let context = context(&"gw.example".parse().unwrap());
        Ok(adapter_xmpp::new("kit".into(), serde_json::from_value(table).unwrap(), context).unwrap())
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        match act {
            // Users are there as soon as the server has its component.
            Act::Connect { .. } => drop(self.shared.up.subscribe().wait_for(|up| *up).await.unwrap()),
            Act::Disconnect { .. } => return Err(Unable::new("disconnect: its server keeps what comes")),
            Act::Send { from, to, id, body, .. } => {
                let text = String::from_utf8(body.into()).map_err(|_| Unable::new("send what is no text"))?;
                let body = Element::new("body", ns::COMPONENT_ACCEPT).with_text(text);
                let message = self.say("message", Some("chat"), [jid(&from), jid(&to)]);
                self.sending.send(message.with_attr("id", id).with_child(body)).unwrap();
            }
            Act::Receive(manner) => *self.shared.manner.lock().unwrap() = manner,
            Act::Authorize { user, watcher, allow: true } => self.presence("subscribed", &user, &watcher),
            Act::Authorize { user, watcher, allow: false } => self.presence("unsubscribed", &user, &watcher),
            Act::Watch { user, presentity } => self.presence("subscribe", &user, &presentity),
            Act::Unwatch { user, presentity } => self.presence("unsubscribe", &user, &presentity),
            Act::Publish { user, device, open, show } => {
                let ends = [format!("{}/{device}", jid(&user)), format!("contact@{COMPONENT}")];
                let away = |_: Show| Element::new("show", ns::COMPONENT_ACCEPT).with_text("away");
                let presence = self.say("presence", (!open).then_some("unavailable"), ends);
                let presence = show.into_iter().map(away).fold(presence, Element::with_child);
                self.sending.send(presence).unwrap();
            }
        }
        Ok(())
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

#[tokio::test]
async fn the_component_passes_the_conformance_kit() {
    let report = Kit::default().judge(&mut Users::new().await).await;
    assert!(report.passed(), "{report}");
    let open = report.results.iter().filter(|result| matches!(result.verdict, Verdict::NotApplicable { .. }));
    let names: Vec<_> = open.map(|result| result.case.as_str()).collect();
    assert_eq!(names, ["kinds"], "{report}");
}
