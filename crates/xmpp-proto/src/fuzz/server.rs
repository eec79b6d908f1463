//! Streams between servers: any octets from a peer, whatever TLS says of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::jid::Domain;
use crate::server::{
    Entropy, Flow, IncomingStream, OutgoingStream, Output, Pair, PeerIdentity, Purpose, Secret, Security, ServerConfig,
    Verdict,
};

/// What the peer is, besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The connection is protected from the start, and the certificate proves `a.example`.
    pub is_certified: bool,
    /// Octets come in portions of this length.
    pub portion: usize,
    /// The authoritative server's answer to every key.
    pub verdict: Verdict,
}

/// Feeds an incoming stream of `b.example`; time passes with each portion.
///
/// Checks that nothing follows `Closed`, that what is sent is UTF-8, and that no stanza passes without its proven pair.
pub fn incoming_stream(input: &[u8], peer: Peer, now: Instant) {
    let mut stream = IncomingStream::new(config("b.example"), Entropy::new([1; 32]), security(peer), now);
    let mut watch = Watch::default();
    for (at, octets) in portions(input, peer, now) {
        stream.handle_bytes(octets, at);
        serve_incoming(&mut stream, &mut watch, peer, at);
        if stream.poll_timeout().is_some_and(|due| due <= at) {
            stream.handle_timeout(at);
            serve_incoming(&mut stream, &mut watch, peer, at);
        }
    }
    assert!(!watch.is_closed || stream.poll_timeout().is_none(), "a timer after the end");
    assert_eq!(stream.is_closed(), watch.is_closed, "the end is told");
}

fn serve_incoming(stream: &mut IncomingStream, watch: &mut Watch, peer: Peer, at: Instant) {
    while let Some(output) = stream.poll_output() {
        match watch.see(&output) {
            Due::Nothing => {}
            Due::Tls => stream.handle_tls(identity(), at),
            Due::Vouch => stream.handle_vouched(vouched(peer), at),
            Due::Verdict(pair) => stream.handle_verdict(&pair, peer.verdict, at),
            Due::Session => assert!(stream.handle_session(None, at).is_ok(), "none was given"),
            Due::Settled(number) => stream.handle_settled(number, at),
        }
    }
}

/// Feeds an outgoing stream of `b.example` to `a.example`, with the same checks.
pub fn outgoing_stream(input: &[u8], peer: Peer, now: Instant) {
    let pair = Pair { from: domain("b.example"), to: domain("a.example") };
    let mut stream = OutgoingStream::new(config("b.example"), pair, Purpose::Stanzas, security(peer), now);
    let mut watch = Watch::default();
    for (at, octets) in portions(input, peer, now) {
        stream.handle_bytes(octets, at);
        serve_outgoing(&mut stream, &mut watch, at);
        if stream.poll_timeout().is_some_and(|due| due <= at) {
            stream.handle_timeout(at);
            serve_outgoing(&mut stream, &mut watch, at);
        }
    }
    assert!(!watch.is_closed || stream.poll_timeout().is_none(), "a timer after the end");
    assert_eq!(stream.is_closed(), watch.is_closed, "the end is told");
}

fn serve_outgoing(stream: &mut OutgoingStream, watch: &mut Watch, at: Instant) {
    while let Some(output) = stream.poll_output() {
        match watch.see(&output) {
            Due::Nothing | Due::Vouch | Due::Verdict(_) | Due::Session => {}
            Due::Tls => stream.handle_tls(identity(), at),
            Due::Settled(number) => stream.handle_settled(number, at),
        }
    }
}

/// What the peer has been proven to be, as told.
#[derive(Default)]
struct Watch {
    is_closed: bool,
    receiving: BTreeSet<Pair>,
}

/// What the machine waits for.
enum Due {
    Nothing,
    Tls,
    Vouch,
    Verdict(Pair),
    Session,
    Settled(u64),
}

impl Watch {
    fn see(&mut self, output: &Output) -> Due {
        assert!(!self.is_closed, "output after the end: {output:?}");
        match output {
            Output::Send(sent) => assert!(std::str::from_utf8(sent).is_ok(), "sent what is not UTF-8"),
            Output::StartTls => return Due::Tls,
            Output::Vouch(_) => return Due::Vouch,
            Output::Verify(question) => return Due::Verdict(question.pair.clone()),
            Output::Resume { .. } => return Due::Session,
            Output::Proven { pair, flow: Flow::Receiving, .. } => {
                self.receiving.insert(pair.clone());
            }
            Output::Stanza { element, number } | Output::Excess { element, number } => {
                let domain = |name| Domain::parse(Domain::part_of(element.attr(name).unwrap_or_default())).ok();
                let pair = domain("from").zip(domain("to")).map(|(from, to)| Pair { from, to });
                assert!(pair.is_some_and(|pair| self.receiving.contains(&pair)), "a stanza without proof: {element:?}");
                return number.map_or(Due::Nothing, Due::Settled);
            }
            Output::Closed => self.is_closed = true,
            Output::Proven { .. }
            | Output::Refused { .. }
            | Output::Verified { .. }
            | Output::Managed { .. }
            | Output::Resumed { .. }
            | Output::Settle
            | Output::Acked(_)
            | Output::Lost(_)
            | Output::Failed(_) => {}
        }
        Due::Nothing
    }
}

fn portions(input: &[u8], peer: Peer, now: Instant) -> impl Iterator<Item = (Instant, &[u8])> {
    let times = (0..).map(move |count| now + STEP * count);
    times.zip(input.chunks(peer.portion.max(1)))
}

/// So that a long input meets timeouts.
const STEP: Duration = Duration::from_millis(700);

fn config(host: &str) -> Arc<ServerConfig> {
    let mut config = ServerConfig::new(domain(host), [domain(host)]);
    config.dialback_secret = Some(Secret::new("s"));
    config.policy.require_tls = false;
    config.vouching = true;
    Arc::new(config)
}

fn security(peer: Peer) -> Security {
    if peer.is_certified { Security::Tls(identity()) } else { Security::Plain }
}

/// Whom the name system vouches for: with a right key also for a domain that the certificate does not name.
fn vouched(peer: Peer) -> PeerIdentity {
    match peer.verdict {
        Verdict::Valid => PeerIdentity::proving(["a.example", "c.example"]),
        Verdict::Invalid | Verdict::Failed(_) => identity(),
    }
}

fn identity() -> PeerIdentity {
    PeerIdentity::proving(["a.example"])
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a constant domain")
}
