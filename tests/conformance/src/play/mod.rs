//! Plays one vector: stimuli in order, then what must have come of them.

mod fence;
mod judge;
mod presence;
mod property;
mod security;

use std::time::{Duration, Instant};

use strict_xml::Element;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::given::{Given, PIDF_IN_SIP_LAYER};
use crate::pattern::{Known, placeholders};
use crate::secured::SecuredServer;
use crate::sip_peer::{Came, SipPeer, Way};
use crate::sip_text::SipText;
use crate::suite::{Expect, Proto, Stimulus, Vector, vector, vectors};
use crate::xmpp_server::{Arrival, XmppServer};

pub use crate::sip_peer::Transport;

/// Plays the vector `id` of `suite`; panics with what was expected and what came.
pub async fn play(suite: &str, id: &str) {
    play_vector(suite, &vector(suite, id), None).await;
}

/// The same with all of SIP over `transport`, whatever the vector names.
pub async fn play_over(transport: Transport, suite: &str, id: &str) {
    play_vector(suite, &vector(suite, id), Some(transport)).await;
}

/// Plays all vectors of `suite` but those of `except`, with all of SIP over `transport`, whatever they name.
pub async fn play_all_over(transport: Transport, suite: &str, except: &[(&str, &str)]) {
    let ids = vectors(suite).into_keys().filter(|id| except.iter().all(|(other, _)| other != id));
    for id in ids {
        play_vector(suite, &vector(suite, &id), Some(transport)).await;
    }
}

async fn play_vector(suite: &str, vector: &Vector, over: Option<Transport>) {
    let mut player = Player::start(vector, over).await;
    if let Some(before) = player.given.after {
        player.play_before(&self::vector(suite, before)).await;
    }
    if suite == presence::SUITE
        || vector.id == PIDF_IN_SIP_LAYER
        || presence::AMONG_STREAMS.contains(&vector.id.as_str())
    {
        player.set_up().await;
    }
    for (number, stimulus) in vector.stimulus.iter().enumerate() {
        if number > 0 && player.given.after_response {
            player.xmpp.answer_pings();
            player.until("a response", |player| !player.responses.is_empty()).await;
        }
        player.stimulate(stimulus).await;
    }
    if !player.given.mute_xmpp {
        player.xmpp.answer_pings();
    }
    for expect in &vector.expect {
        player.expect(expect).await;
    }
    player.expect_responses(&vector.expect).await;
    // What must not have come is known once all else has.
    for expect in &vector.expect {
        match expect {
            Expect::None { proto, of, until } => player.expect_none(*proto, of, until.as_deref()).await,
            Expect::Stanza(expected) => player.expect_no_more_than(expected.count, expected).await,
            Expect::Request(_) | Expect::Response(_) | Expect::Property { .. } | Expect::Bytes { .. } => {}
        }
    }
    if !player.is_presence {
        player.expect_nothing_else(vector).await;
    }
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The world around the gateway during one vector.
struct Player {
    id: String,
    given: Given,
    gateway: Gateway,
    secured: Option<SecuredServer>,
    sip: SipPeer,
    xmpp: XmppServer,
    known: Known,
    requests: Vec<Request>,
    responses: Vec<Response>,
    stanzas: Vec<Stanza>,
    pongs: usize,
    /// By what the last stimulus to the SIP side went.
    transport: Transport,
    /// Whether it is a vector of presence: its stanzas come beside others, and a NOTIFY is answered as it comes.
    is_presence: bool,
    answers_notify: bool,
    /// The SUBSCRIBE that began the dialog.
    dialog: Option<SipText>,
    /// How many messages that only mark a point in time were sent.
    fences: usize,
    /// When the first stimulus was sent.
    began: Instant,
}

/// A request of the gateway.
struct Request {
    message: SipText,
    way: Way,
    answered: bool,
    claimed: bool,
}

/// A response of the gateway.
struct Response {
    message: SipText,
    way: Way,
    at: Instant,
    claimed: bool,
}

/// A stanza of the gateway, not a ping.
struct Stanza {
    element: Element,
    wire: Vec<u8>,
    claimed: bool,
}

impl Player {
    async fn start(vector: &Vector, over: Option<Transport>) -> Self {
        let given = Given::read(&vector.id, &vector.given, over);
        let mut sip = SipPeer::open().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut xmpp = XmppServer::serve(listener, given.component);
        let secured = match given.certificate {
            [] => None,
            names => Some(SecuredServer::open(names).await),
        };
        let gateway = Gateway::start(&given, &sip, secured.as_ref(), address).await;
        sip.connect(gateway.sip(Transport::Tcp)).await;
        let opened = timeout(PATIENCE, xmpp.next()).await.expect("the component opens its stream");
        assert!(matches!(opened, Arrival::Open));
        Self {
            id: vector.id.clone(),
            given,
            gateway,
            secured,
            sip,
            xmpp,
            known: Known::default(),
            requests: Vec::new(),
            responses: Vec::new(),
            stanzas: Vec::new(),
            pongs: 0,
            transport: over.unwrap_or(Transport::Udp),
            is_presence: false,
            answers_notify: false,
            dialog: None,
            fences: 0,
            began: Instant::now(),
        }
    }

    /// Plays what comes before the vector in hand, up to the last of its answers.
    async fn play_before(&mut self, before: &Vector) {
        for stimulus in &before.stimulus {
            self.stimulate(stimulus).await;
        }
        self.xmpp.answer_pings();
        self.until("what comes before", |player| !player.stanzas.is_empty() && !player.responses.is_empty()).await;
        self.stanzas.clear();
        self.responses.clear();
    }

    async fn stimulate(&mut self, stimulus: &Stimulus) {
        match stimulus {
            Stimulus::InDialog { in_dialog, method, cseq, from_tag, headers, body, .. } => {
                assert_eq!((in_dialog.as_str(), method.as_str()), ("{{dialog}}", "NOTIFY"), "{}", self.id);
                self.notify(*cseq, from_tag, headers, body).await;
            }
            Stimulus::Event { event } => self.happen(event).await,

            Stimulus::Raw { proto, raw, transport, source } => {
                self.await_placeholders(raw).await;
                let raw = self.known.fill(raw);
                let raw = if self.is_presence { self.presence_stimulus(&raw).await } else { raw };
                match proto {
                    Proto::Xmpp => self.xmpp.send(&raw),
                    Proto::Sip => {
                        assert!(source.as_deref().is_none_or(|source| source == judge::PLAYED_SOURCE), "{source:?}");
                        self.send_sip(&raw, transport.as_deref()).await;
                    }
                }
            }
            Stimulus::Answer { response_to, status, reason, headers, .. } => {
                assert_eq!(response_to, "{{last_request}}", "{}: what is answered", self.id);
                let more: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                let index = self.await_unanswered().await;
                self.answer(index, *status, reason, &more).await;
            }
        }
    }

    async fn await_placeholders(&mut self, raw: &str) {
        for name in placeholders(raw) {
            match name {
                "call_id_of_first_request" => self.until("a first request", |player| !player.requests.is_empty()).await,
                "id_of_last_stanza" => self.until("a stanza", |player| !player.stanzas.is_empty()).await,
                "local_tag" => {}
                other => panic!("{}: unknown placeholder {other}", self.id),
            }
        }
    }

    /// By UDP the answer comes to where the request came from (RFC 3581), by TCP over the same connection.
    async fn send_sip(&mut self, raw: &str, transport: Option<&str>) {
        let raw = match self.given.over {
            Some(Transport::Udp) => raw.replacen(Transport::Tcp.name(), Transport::Udp.name(), 1),
            Some(Transport::Tcp) => raw.replacen(Transport::Udp.name(), Transport::Tcp.name(), 1),
            None => raw.to_owned(),
        };
        let udp = transport.map_or_else(|| raw.contains(Transport::Udp.name()), |named| named == "udp");
        self.transport = if udp { Transport::Udp } else { Transport::Tcp };
        let text = match raw.split_once(Transport::Udp.name()) {
            Some((before, after)) if udp && !after.contains(";rport") => {
                let (sent_by, rest) = after.split_once(';').expect("a branch");
                format!("{before}{}{sent_by};rport;{rest}", Transport::Udp.name())
            }
            _ => raw,
        };
        self.sip.send(self.transport, self.gateway.sip(self.transport), &text).await;
    }

    async fn await_unanswered(&mut self) -> usize {
        let open = |player: &Self| player.requests.iter().position(|request| !request.answered);
        self.until("a request to answer", |player| open(player).is_some()).await;
        open(self).unwrap()
    }

    async fn answer(&mut self, index: usize, status: u16, reason: &str, more: &[(String, String)]) {
        let request = &mut self.requests[index];
        request.answered = true;
        let (text, way) = (request.message.answer(status, reason, more), request.way);
        self.sip.answer(way, &text).await;
    }

    /// Takes what comes until `done`.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let arrival = self.next_arrival();
            if timeout(PATIENCE, arrival).await.is_err() {
                panic!("{}: {what} expected, got\n{}", self.id, self.got());
            }
            self.answer_notify().await;
        }
    }

    async fn next_arrival(&mut self) {
        tokio::select! {
            arrival = self.sip.next() => match arrival.what {
                Came::Pong => self.pongs += 1,
                Came::Message(message) if message.is_response() => {
                    self.responses.push(Response { message, way: arrival.way, at: arrival.at, claimed: false });
                }
                Came::Message(message) => {
                    self.known.learn("call_id_of_first_request", message.header("Call-ID").unwrap());
                    self.requests.push(Request { message, way: arrival.way, answered: false, claimed: false });
                }
            },
            arrival = self.xmpp.next() => match arrival {
                Arrival::Open => panic!("{}: the component opened its stream again", self.id),
                Arrival::Stanza(element, wire) => {
                    self.known.replace("id_of_last_stanza", element.attr("id").unwrap_or_default());
                    self.stanzas.push(Stanza { element, wire, claimed: false });
                }
            },
        }
    }

    /// Everything that came, for the message of a failed test.
    fn got(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.requests.iter().map(|request| format!("request {:?}: {:#?}", request.way, request.message)));
        lines.extend(
            self.responses.iter().map(|response| format!("response {:?}: {:#?}", response.way, response.message)),
        );
        lines.extend(self.stanzas.iter().map(|stanza| format!("stanza: {}", String::from_utf8_lossy(&stanza.wire))));
        if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
    }
}
