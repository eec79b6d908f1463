//! Two ends and the connection between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strict_xml::Element;
use xmpp_proto::jid::Domain;
use xmpp_proto::server::{
    Entropy, Flow, IncomingStream, LinkError, OutgoingStream, Output, Pair, PeerIdentity, PeerPolicy, Proof, Purpose,
    Secret, Security, ServerConfig, StreamFailure,
};
use xmpp_proto::stanza::{Message, MessageType};
use xmpp_proto::stream::StreamCondition;

/// The domain that connects.
pub const CALLER: &str = "example.com";
/// The domain that accepts.
pub const CALLED: &str = "example.net";

/// What a peer writes first.
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='example.com' \
    to='example.net' version='1.0'>";

#[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
pub fn origin() -> Instant {
    Instant::now()
}

pub fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub fn pair(from: &str, to: &str) -> Pair {
    Pair { from: domain(from), to: domain(to) }
}

pub fn forth() -> Pair {
    pair(CALLER, CALLED)
}

pub fn back() -> Pair {
    pair(CALLED, CALLER)
}

pub fn certificate(name: &str) -> PeerIdentity {
    PeerIdentity::proving([name])
}

/// A server that offers everything; the secret is made of its name.
pub fn server(host: &str) -> ServerConfig {
    let mut config = ServerConfig::new(domain(host), [domain(host)]);
    config.dialback_secret = Some(Secret::new(format!("secret of {host}")));
    config
}

/// A server that leaves out what a test is not about.
pub fn plain(host: &str) -> ServerConfig {
    let mut config = server(host);
    (config.management, config.bidi) = (None, false);
    config
}

/// For closed labs: without TLS, by dialback alone.
pub fn lab(host: &str) -> ServerConfig {
    let mut config = plain(host);
    config.policy = PeerPolicy { require_tls: false, dialback: true };
    config.starttls = false;
    config
}

pub fn incoming(config: ServerConfig, security: Security, now: Instant) -> IncomingStream {
    IncomingStream::new(Arc::new(config), Entropy::new([7; 32]), security, now)
}

pub fn outgoing(config: ServerConfig, security: Security, now: Instant) -> OutgoingStream {
    OutgoingStream::new(Arc::new(config), forth(), Purpose::Stanzas, security, now)
}

pub fn message(from: &str, to: &str, body: &str) -> Element {
    Message::new(MessageType::Chat)
        .with_from(from.to_owned())
        .with_to(to.to_owned())
        .with_id("m1")
        .with_body(body.to_owned(), None)
        .into_element()
}

/// Everything a machine puts out: its octets as text, and the rest.
pub fn drained(mut poll: impl FnMut() -> Option<Output>) -> (String, Vec<Output>) {
    let (mut octets, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = poll() {
        match output {
            Output::Send(bytes) => octets.extend_from_slice(&bytes),
            other => events.push(other),
        }
    }
    (String::from_utf8(octets).unwrap(), events)
}

/// The condition of the stream error by which a machine refused its peer.
pub fn refusal(events: &[Output]) -> Option<StreamCondition> {
    match events {
        [.., Output::Failed(StreamFailure::Link(LinkError::Refused(error))), Output::Closed] => Some(error.condition),
        _ => None,
    }
}

/// The bodies of the messages among events.
pub fn bodies(events: &[Output]) -> Vec<String> {
    let elements = events.iter().filter_map(|event| match event {
        Output::Stanza { element, .. } => Some(element),
        _ => None,
    });
    elements.filter_map(|element| element.child("body", &element.ns)).map(|body| body.text().into_owned()).collect()
}

pub fn proven(flow: Flow, pair: Pair, by: Proof) -> Output {
    Output::Proven { pair, flow, by }
}

/// Both ends, the time, and what was said.
pub struct Ends {
    pub caller: OutgoingStream,
    pub called: IncomingStream,
    pub now: Instant,
    /// Whom the ends find each other to be by TLS.
    pub caller_is: PeerIdentity,
    pub called_is: PeerIdentity,
    /// What they wrote.
    pub caller_wrote: String,
    pub called_wrote: String,
    handshakes: [bool; 2],
}

impl Ends {
    pub fn new(caller: ServerConfig, called: ServerConfig) -> Self {
        let now = origin();
        let caller = outgoing(caller, Security::Plain, now);
        Self::with(caller, called, now, [7; 32])
    }

    pub fn with(caller: OutgoingStream, called: ServerConfig, now: Instant, entropy: [u8; 32]) -> Self {
        Self {
            caller,
            called: IncomingStream::new(Arc::new(called), Entropy::new(entropy), Security::Plain, now),
            now,
            caller_is: certificate(CALLER),
            called_is: certificate(CALLED),
            caller_wrote: String::new(),
            called_wrote: String::new(),
            handshakes: [false; 2],
        }
    }

    /// Passes octets, one at a time, until neither has any; returns the events of caller and called.
    pub fn exchange(&mut self) -> [Vec<Output>; 2] {
        let mut events = [Vec::new(), Vec::new()];
        loop {
            let (forth, at_caller) = drained(|| self.caller.poll_output());
            forth.as_bytes().chunks(1).for_each(|octet| self.called.handle_bytes(octet, self.now));
            let (back, at_called) = drained(|| self.called.poll_output());
            back.as_bytes().chunks(1).for_each(|octet| self.caller.handle_bytes(octet, self.now));
            self.handshakes[0] |= at_caller.contains(&Output::StartTls);
            self.handshakes[1] |= at_called.contains(&Output::StartTls);
            events[0].extend(at_caller.into_iter().filter(|event| *event != Output::StartTls));
            events[1].extend(at_called.into_iter().filter(|event| *event != Output::StartTls));
            let shakes = self.handshakes == [true; 2];
            if shakes {
                self.handshakes = [false; 2];
                self.caller.handle_tls(self.called_is.clone(), self.now);
                self.called.handle_tls(self.caller_is.clone(), self.now);
            }
            if forth.is_empty() && back.is_empty() && !shakes {
                return events;
            }
            self.caller_wrote += &forth;
            self.called_wrote += &back;
        }
    }

    /// Time passes; each end is told what it asked for.
    pub fn wait(&mut self, time: Duration) -> [Vec<Output>; 2] {
        let end = self.now + time;
        let mut events = [Vec::new(), Vec::new()];
        loop {
            let due = [self.caller.poll_timeout(), self.called.poll_timeout()].into_iter().flatten().min();
            self.now = due.map_or(end, |due| due.clamp(self.now, end));
            self.caller.handle_timeout(self.now);
            self.called.handle_timeout(self.now);
            for (all, new) in events.iter_mut().zip(self.exchange()) {
                all.extend(new);
            }
            if self.now == end {
                return events;
            }
        }
    }

    /// Ends that have opened a stream.
    pub fn open(caller: ServerConfig, called: ServerConfig) -> Self {
        let mut ends = Self::new(caller, called);
        let [at_caller, at_called] = ends.exchange();
        assert!(at_caller.contains(&proven(Flow::Sending, forth(), Proof::Certificate)), "{at_caller:?}");
        assert!(at_called.contains(&proven(Flow::Receiving, forth(), Proof::External)), "{at_called:?}");
        ends
    }

    /// Sends a message from the caller and returns the outcome at both ends.
    pub fn say(&mut self, body: &str, token: u64) -> [Vec<Output>; 2] {
        let stanza = message("juliet@example.com/balcony", "romeo@example.net", body);
        self.caller.send(&stanza, Some(token), self.now).unwrap();
        self.exchange()
    }
}

/// An incoming stream over TLS from a peer with a certificate, authenticated.
pub fn authenticated(config: ServerConfig, now: Instant) -> IncomingStream {
    let mut stream = incoming(config, Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    let (_, events) = drained(|| stream.poll_output());
    assert!(events.contains(&proven(Flow::Receiving, forth(), Proof::External)), "{events:?}");
    stream
}
