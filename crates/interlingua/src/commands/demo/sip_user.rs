//! A SIP user agent on a UDP socket: sends MESSAGE, answers MESSAGE for one user and 404 for others.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_sip::mapping::address::from_sip_uri;
use anyhow::{Context, Result};
use bytes::Bytes;
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
    socket: Arc<UdpSocket>,
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

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// Answers kept for repeated requests.
const ANSWERED: usize = 64;

impl SipUser {
    pub(super) fn start(socket: UdpSocket, gateway: SocketAddr, ears: mpsc::Sender<Heard>) -> Result<Self> {
        let local = socket.local_addr()?;
        let user = Self { socket: Arc::new(socket), local, gateway, waiting: Waiting::default() };
        let (socket, waiting) = (user.socket.clone(), user.waiting.clone());
        tokio::spawn(async move { Agent { socket, waiting, ears, answered: VecDeque::new() }.run().await });
        Ok(user)
    }

    /// Sends one MESSAGE over UDP, repeating it until a final response.
    pub(super) async fn send(&self, to: &str, text: &str) -> Result<Told> {
        let (local, domain) = to.rsplit_once('@').context("no address")?;
        let target = SipUriBuilder::new(Scheme::Sip, Some(local), domain).build();
        let branch = format!("z9hG4bK{}", random_text());
        let from = format!("<sip:{}>;tag={}", Side::Sip.address(), random_text());
        let sent_by = self.local.to_string();
        let via = TopVia { transport: "UDP", sent_by: &sent_by, branch: &branch, rport: true, alias: false };
        let request = RequestBuilder::new(Method::Message, &target)
            .header(HeaderId::MaxForwards, "70")
            .header(HeaderId::From, &from)
            .header(HeaderId::To, &format!("<{target}>"))
            .header(HeaderId::CallId, &random_text())
            .cseq(1)
            .body("text/plain;charset=UTF-8", Bytes::copy_from_slice(text.as_bytes()))
            .encode(&via);
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
    socket: Arc<UdpSocket>,
    waiting: Waiting,
    ears: mpsc::Sender<Heard>,
    answered: VecDeque<(String, Bytes)>,
}

impl Agent {
    async fn run(mut self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while let Ok((length, source)) = self.socket.recv_from(&mut buffer).await {
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
        let Some(waiting) = self.waiting.lock().remove(branch) else { return };
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
                let status = self.take(request).await;
                let response = ResponseBuilder::new(request, status).source(source).to_tag(&random_text()).encode();
                self.answered.truncate(ANSWERED);
                self.answered.push_front((branch.to_owned(), response.clone()));
                response
            }
        };
        if let Err(error) = self.socket.send_to(&response, source).await {
            tracing::warn!(%error, "the SIP user could not answer");
        }
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
