//! An XMPP server with one domain and one user, to which the gateway connects as a component (XEP-0114).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use strict_xml::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use xmpp_proto::component::{ComponentServer, LinkConfig, Output, Secret, ServerConfig};
use xmpp_proto::jid::Jid;
use xmpp_proto::ns;
use xmpp_proto::stanza::{Condition, Iq, Message, MessageType, Presence, PresenceType, Stanza, error_reply};

use super::world::random_text;
use super::{Heard, Side, Told};

/// The server.
pub(super) struct XmppDomain {
    shared: Arc<Shared>,
}

struct Shared {
    secret: String,
    ears: mpsc::Sender<Heard>,
    /// The open links, by the component's domain.
    links: Mutex<BTreeMap<String, mpsc::Sender<Element>>>,
    /// Who waits for an error to the message with this id.
    waiting: Mutex<HashMap<String, oneshot::Sender<String>>>,
}

/// Stanzas on their way to a component.
const OUTGOING: usize = 64;

/// Octets read at once.
const READ: usize = 16_384;

impl XmppDomain {
    pub(super) fn start(listener: TcpListener, secret: String, ears: mpsc::Sender<Heard>) -> Self {
        let shared = Arc::new(Shared { secret, ears, links: Mutex::default(), waiting: Mutex::default() });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = accepting.clone();
                tokio::spawn(async move {
                    if let Err(error) = Connection::new(shared).serve(socket).await {
                        tracing::debug!(%error, "a component link ended");
                    }
                });
            }
        });
        Self { shared }
    }

    /// Sends one message from the user; `None` when no error came back in `patience`.
    pub(super) async fn send(&self, to: &str, text: &str, patience: Duration) -> Result<Option<Told>> {
        let (_, domain) = to.rsplit_once('@').context("no address")?;
        let link = self.shared.links.lock().get(domain).cloned().context("no link to that domain")?;
        let id = random_text();
        let from = format!("{}/demo", Side::Xmpp.address());
        let stanza = Message::new(MessageType::Chat)
            .with_from(from)
            .with_to(to.to_owned())
            .with_id(id.clone())
            .with_body(text.to_owned(), None);
        let (sender, error) = oneshot::channel();
        self.shared.waiting.lock().insert(id.clone(), sender);
        link.send(stanza.into_element()).await.context("the link has closed")?;
        let told = tokio::time::timeout(patience, error).await;
        self.shared.waiting.lock().remove(&id);
        Ok(told.ok().and_then(Result::ok).map(Told::Refused))
    }
}

impl XmppDomain {
    /// Asks for the presence of `target` (RFC 6121 §3.1.1).
    pub(super) async fn watch(&self, target: &str) -> Result<()> {
        let (_, domain) = target.rsplit_once('@').context("no address")?;
        let link = self.shared.links.lock().get(domain).cloned().context("no link to that domain")?;
        let subscribe = Presence::new(Some(PresenceType::Subscribe))
            .with_from(Side::Xmpp.address())
            .with_to(target.to_owned())
            .with_id(random_text());
        link.send(subscribe.into_element()).await.context("the link has closed")
    }
}

/// One component's connection.
struct Connection {
    shared: Arc<Shared>,
    machine: ComponentServer,
    outgoing: mpsc::Receiver<Element>,
    sender: mpsc::Sender<Element>,
}

enum Turn {
    Read(usize),
    Send(Element),
    Timeout,
}

impl Connection {
    fn new(shared: Arc<Shared>) -> Self {
        let domains = [Side::Sip.domain(), Side::Native.domain()];
        let components = domains.map(|domain| (domain.to_owned(), Secret::new(shared.secret.as_str())));
        let config = ServerConfig { components: components.into(), link: LinkConfig::default() };
        let machine = ComponentServer::new(config, random_text(), Instant::now());
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        Self { shared, machine, outgoing, sender }
    }

    async fn serve(mut self, mut socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = vec![0; READ];
        while self.drain(&mut socket).await? {
            let timeout = self.machine.poll_timeout();
            let turn = tokio::select! {
                length = socket.read(&mut buffer) => Turn::Read(length?),
                Some(stanza) = self.outgoing.recv() => Turn::Send(stanza),
                () = sleep_until(timeout) => Turn::Timeout,
            };
            let now = Instant::now();
            match turn {
                Turn::Read(0) => self.machine.handle_eof(),
                Turn::Read(length) => self.machine.handle_bytes(buffer.get(..length).unwrap_or_default(), now),
                // The link may have closed since; the sender waits in vain and says so.
                Turn::Send(stanza) => {
                    let _ = self.machine.send(&stanza, now);
                }
                Turn::Timeout => self.machine.handle_timeout(now),
            }
        }
        Ok(())
    }

    /// Does what the machine wants done; `false` when the stream is over.
    async fn drain(&mut self, socket: &mut TcpStream) -> std::io::Result<bool> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(octets) => socket.write_all(&octets).await?,
                Output::Opened => {
                    if let Some(domain) = self.machine.domain() {
                        self.shared.links.lock().insert(domain.to_owned(), self.sender.clone());
                    }
                }
                Output::Stanza(element) => {
                    for answer in self.shared.handle(element).await {
                        // A link that is closing takes no answers; its peer has gone.
                        let _ = self.machine.send(&answer, Instant::now());
                    }
                }
                Output::Failed(error) => tracing::debug!(%error, "component"),
                Output::Closed => return Ok(false),
            }
        }
        Ok(true)
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// What the server and its user answer, in the order in which stanzas come (RFC 6120 §10.1).
    async fn handle(&self, element: Element) -> Vec<Element> {
        match Stanza::from_element(element) {
            Ok(Stanza::Message(message)) => self.handle_message(message).await.into_iter().collect(),
            Ok(Stanza::Iq(iq)) => answer_iq(&iq).into_iter().collect(),
            Ok(Stanza::Presence(presence)) => self.handle_presence(&presence).await,
            Err(rejected) => rejected.reply().into_iter().collect(),
        }
    }

    /// Everybody may watch the user (RFC 6121 §3.1.3, §4.3.2); whom it watches is heard of.
    async fn handle_presence(&self, presence: &Presence) -> Vec<Element> {
        let (Some(from), Some(to)) = (presence.from(), presence.to()) else { return Vec::new() };
        let back = |kind, own: String| Presence::new(kind).with_from(own).with_to(from.to_owned());
        let device = format!("{}/demo", Side::Xmpp.address());
        let state = back(None, device).with_status(Side::Xmpp.note(), None).into_element();
        match presence.kind() {
            Some(PresenceType::Subscribe) => {
                vec![back(Some(PresenceType::Subscribed), to.to_owned()).into_element(), state]
            }
            Some(PresenceType::Probe) => vec![state],
            None => {
                let note = presence.statuses().next().map(|status| status.text.into_owned()).unwrap_or_default();
                let of = Jid::parse(from).map(|from| from.to_bare().as_str().to_owned()).unwrap_or_default();
                // The demonstration may be over: then nobody listens.
                let _ = self.ears.send(Heard::seen(Side::Xmpp, of, &note)).await;
                Vec::new()
            }
            Some(
                PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Unsubscribed
                | PresenceType::Unavailable
                | PresenceType::Error,
            ) => Vec::new(),
        }
    }

    async fn handle_message(&self, message: Message) -> Option<Element> {
        if message.kind() == MessageType::Error {
            self.tell(&message);
            return None;
        }
        let to = message.to().and_then(|to| Jid::parse(to).ok());
        if to.is_none_or(|to| to.local() != Some(Side::Xmpp.user()) || to.domain() != Side::Xmpp.domain()) {
            // RFC 6121 §8.5.1: no such user.
            return error_reply(message.element(), &Condition::ServiceUnavailable.into());
        }
        let from = message.from().and_then(|from| Jid::parse(from).ok());
        let from = from.map(|from| from.to_bare().as_str().to_owned()).unwrap_or_default();
        let text = message.body().map(|body| body.text.into_owned()).unwrap_or_default();
        // The demonstration may be over: then nobody listens.
        let _ = self.ears.send(Heard { by: Side::Xmpp, from, text }).await;
        None
    }

    fn tell(&self, error: &Message) {
        let waiting = error.id().and_then(|id| self.waiting.lock().remove(id));
        let condition = error.error().map_or("error", |error| error.condition.as_str());
        if let Some(waiting) = waiting {
            // Nobody waits any more: it came too late.
            let _ = waiting.send(condition.to_owned());
        }
    }
}

/// XEP-0199 §4.2 for pings; everything else is not supported.
fn answer_iq(iq: &Iq) -> Option<Element> {
    match iq.query() {
        Some(query) if query.is("ping", ns::PING) => iq.result(None).map(Iq::into_element),
        Some(_) | None if iq.is_request() => error_reply(iq.element(), &Condition::ServiceUnavailable.into()),
        Some(_) | None => None,
    }
}
