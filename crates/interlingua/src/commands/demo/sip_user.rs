//! A SIP user agent on a UDP socket: sends MESSAGE and SUBSCRIBE, answers MESSAGE and SUBSCRIBE for one user and 404 for others.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_sip::mapping::address::from_sip_uri;
use adapter_sip::mapping::presence::{ACCEPT, Document, EVENT, InDialog, Notification, from_notify, to_notify};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use impp_model::{Basic, Device, LangText, PresenceInfo, PresenceTuple};
use parking_lot::Mutex;
use sip_proto::build::{RequestBuilder, ResponseBuilder, TopVia};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use sip_proto::uri::{Scheme, SipUriBuilder};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::world::random_text;
use super::{Heard, Side, Told};

/// The user agent.
pub(super) struct SipUser {
    line: Arc<Line>,
}

/// The way of requests to the gateway.
struct Line {
    socket: UdpSocket,
    local: SocketAddr,
    gateway: SocketAddr,
    waiting: Waiting,
}

/// Who waits for the final response to the request with this branch.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Told>>>>;

/// RFC 3261 §17.1.2.2: T1, doubled for each repetition.
const T1: Duration = Duration::from_millis(500);

/// Enough repetitions for a person to have given up: 500 ms, 1 s, 2 s, 4 s.
const TRIES: u32 = 4;

/// The tag of the user's end of all dialogs.
const OWN_TAG: &str = "demo";

/// Seconds of a subscription.
const EXPIRES: &str = "600";

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// Answers kept for repeated requests.
const ANSWERED: usize = 64;

impl SipUser {
    pub(super) fn start(socket: UdpSocket, gateway: SocketAddr, ears: mpsc::Sender<Heard>) -> Result<Self> {
        let local = socket.local_addr()?;
        let line = Arc::new(Line { socket, local, gateway, waiting: Waiting::default() });
        let agent = Agent { line: line.clone(), ears, answered: VecDeque::new() };
        tokio::spawn(agent.run());
        Ok(Self { line })
    }

    pub(super) async fn send(&self, to: &str, text: &str) -> Result<Told> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.line.ask(request(Method::Message, to)?.body("text/plain;charset=UTF-8", body)).await
    }

    /// Subscribes to somebody's presence (RFC 3856).
    pub(super) async fn watch(&self, target: &str) -> Result<()> {
        let subscribe = request(Method::Subscribe, target)?
            .header(HeaderId::Contact, &self.line.contact())
            .header(HeaderId::Event, EVENT)
            .header(HeaderId::Accept, ACCEPT)
            .header(HeaderId::Expires, EXPIRES);
        match self.line.ask(subscribe).await? {
            Told::Accepted(_) => Ok(()),
            Told::Refused(words) => bail!("SUBSCRIBE was refused: {words}"),
        }
    }
}

/// A request of the user outside a dialog.
fn request(method: Method, to: &str) -> Result<RequestBuilder> {
    let (local, domain) = to.rsplit_once('@').context("no address")?;
    let target = SipUriBuilder::new(Scheme::Sip, Some(local), domain).build();
    Ok(RequestBuilder::new(method, &target)
        .header(HeaderId::MaxForwards, "70")
        .header(HeaderId::From, &format!("<sip:{}>;tag={}", Side::Sip.address(), random_text()))
        .header(HeaderId::To, &format!("<{target}>"))
        .header(HeaderId::CallId, &random_text())
        .cseq(1))
}

impl Line {
    fn contact(&self) -> String {
        format!("<sip:{}@{}>", Side::Sip.user(), self.local)
    }

    /// Sends one request over UDP, repeating it until a final response.
    async fn ask(&self, request: RequestBuilder) -> Result<Told> {
        let branch = format!("z9hG4bK{}", random_text());
        let sent_by = self.local.to_string();
        let via = TopVia { transport: "UDP", sent_by: &sent_by, branch: &branch, rport: true, alias: false };
        let request = request.encode(&via);
        let (sender, mut response) = oneshot::channel();
        self.waiting.lock().insert(branch.clone(), sender);
        for attempt in 0..TRIES {
            self.socket.send_to(&request, self.gateway).await?;
            if let Ok(told) = tokio::time::timeout(T1 * 2_u32.pow(attempt), &mut response).await {
                return told.context("the SIP user has stopped");
            }
        }
        self.waiting.lock().remove(&branch);
        Ok(Told::Refused("no response".to_owned()))
    }
}

struct Agent {
    line: Arc<Line>,
    ears: mpsc::Sender<Heard>,
    answered: VecDeque<(String, Bytes)>,
}

impl Agent {
    async fn run(mut self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while let Ok((length, source)) = self.line.socket.recv_from(&mut buffer).await {
            let octets = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            let Ok(message) = Message::parse(octets) else { continue };
            let Ok(branch) = message.top_via().map(|via| via.branch().unwrap_or_default().to_owned()) else { continue };
            match message.status() {
                Some(status) if status.code() >= 200 => self.tell(&branch, status.code(), &message),
                Some(_) => {}
                None => self.answer(&branch, &message, source).await,
            }
        }
    }

    fn tell(&self, branch: &str, status: u16, response: &Message) {
        let Some(waiting) = self.line.waiting.lock().remove(branch) else { return };
        let words = format!("{status} {}", response.reason().unwrap_or_default());
        let told = if status < 300 { Told::Accepted(words) } else { Told::Refused(words) };
        // Nobody waits any more: the demonstration is over.
        let _ = waiting.send(told);
    }

    async fn answer(&mut self, branch: &str, request: &Message, source: SocketAddr) {
        let known = self.answered.iter().find(|(known, _)| known == branch).map(|(_, response)| response.clone());
        let response = match known {
            Some(response) => response,
            None => {
                let response = match request.method() {
                    Some(Method::Subscribe) => self.subscribed(request).source(source).encode(),
                    Some(Method::Notify) => {
                        let status = self.notified(request).await;
                        ResponseBuilder::new(request, status).source(source).to_tag(OWN_TAG).encode()
                    }
                    Some(_) | None => {
                        let status = self.take(request).await;
                        ResponseBuilder::new(request, status).source(source).to_tag(&random_text()).encode()
                    }
                };
                self.answered.truncate(ANSWERED);
                self.answered.push_front((branch.to_owned(), response.clone()));
                response
            }
        };
        if let Err(error) = self.line.socket.send_to(&response, source).await {
            tracing::warn!(%error, "the SIP user could not answer");
        }
    }

    /// Everybody may watch the user: a NOTIFY with its state follows the answer.
    fn subscribed<'a>(&self, request: &'a Message) -> ResponseBuilder<'a> {
        let Some((notify, expires)) = self.notify(request) else {
            return ResponseBuilder::new(request, 404).to_tag(OWN_TAG);
        };
        let line = self.line.clone();
        tokio::spawn(async move {
            if let Err(error) = line.ask(notify).await {
                tracing::warn!(%error, "the SIP user could not notify");
            }
        });
        ResponseBuilder::new(request, 200)
            .to_tag(OWN_TAG)
            .header(HeaderId::Contact, &self.line.contact())
            .header(HeaderId::Expires, &expires)
    }

    /// The NOTIFY that answers a SUBSCRIBE, and for how long that is.
    fn notify(&self, request: &Message) -> Option<(RequestBuilder, String)> {
        let key = request.verify().ok()?;
        let [presentity, watcher] = [request.request_uri()?, key.from.uri].map(|uri| from_sip_uri(uri).ok());
        let (presentity, watcher) = (presentity?, watcher?);
        if presentity.address.local() != Side::Sip.user() {
            return None;
        }
        let expires = request.only(HeaderId::Expires).ok().flatten().unwrap_or(EXPIRES).to_owned();
        let subscription =
            if expires == "0" { "terminated;reason=timeout".into() } else { format!("active;expires={expires}") };
        let notes = vec![LangText { language: None, text: Side::Sip.note().to_owned() }];
        let tuple = PresenceTuple { notes, ..PresenceTuple::new(Device::new("demo").ok(), Basic::Open) };
        let info = PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() };
        let document = Document::of_info(&info, &presentity.address, None).ok()?.value;
        let target = request.addresses(HeaderId::Contact).next()?.ok()?.uri;
        let cseq = request.cseq().ok()?.number;
        let contact = self.line.contact();
        let dialog = InDialog {
            target,
            call_id: request.call_id().ok()?.as_str(),
            from_tag: OWN_TAG,
            to_tag: key.from.tag().unwrap_or_default(),
            contact: contact.trim_matches(['<', '>']),
            // One NOTIFY for each SUBSCRIBE: its numbers do for both.
            cseq,
            max_forwards: 70,
        };
        let notification = Notification { presentity, watcher, subscription, document: Some(document) };
        Some((to_notify(&notification, &dialog), expires))
    }

    /// Whom the user watches is heard of when it is there.
    async fn notified(&self, request: &Message) -> u16 {
        let Ok(notification) = from_notify(request) else { return 400 };
        let info = notification.document.and_then(|document| document.to_info(None).ok());
        let Some(info) = info.map(|mapped| mapped.value).filter(PresenceInfo::is_open) else { return 200 };
        let note = info.tuples.iter().flat_map(|tuple| &tuple.notes).chain(&info.notes).next();
        let note = note.map(|note| note.text.as_str()).unwrap_or_default();
        // The demonstration may be over: then nobody listens.
        let _ = self.ears.send(Heard::seen(Side::Sip, notification.presentity.address.to_string(), note)).await;
        200
    }

    /// The status for a request; a message for the user is heard.
    async fn take(&self, request: &Message) -> u16 {
        let Ok(key) = request.verify() else { return 400 };
        if request.method() != Some(&Method::Message) {
            return 405;
        }
        let to = request.request_uri().and_then(|uri| from_sip_uri(uri).ok());
        if to.is_none_or(|to| to.address.local() != Side::Sip.user()) {
            return 404;
        }
        let from = from_sip_uri(key.from.uri).map(|end| end.address.to_string()).unwrap_or_default();
        let text = String::from_utf8_lossy(request.body()).into_owned();
        // The demonstration may be over: then nobody listens.
        let _ = self.ears.send(Heard { by: Side::Sip, from, text }).await;
        200
    }
}
