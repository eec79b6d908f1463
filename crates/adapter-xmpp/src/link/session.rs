//! One connection from its start to its end.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::PeerState;
use bytes::{Buf, Bytes, BytesMut};
use strict_xml::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use transport::Alarm;
use xmpp_proto::component::{ComponentConfig, ComponentStream, LinkConfig, LinkError, Output, Secret};
use xmpp_proto::stanza;

use super::outbound::{HIGH_WATER, Verdict};
use super::{Arrival, BATCH, Ended, Link, backoff};

/// What one connection holds besides the link.
struct Session {
    stream: ComponentStream,
    /// Stanzas of this turn, which become one write.
    scratch: BytesMut,
    writes: VecDeque<Bytes>,
    unwritten: usize,
    opened: Option<Instant>,
    closed: bool,
    /// When the gateway is stopping: the end of its patience.
    drain_until: Option<Instant>,
}

/// What a stop waits for open messages: past the usual hold, within a service manager's patience.
const DRAIN: Duration = Duration::from_secs(5);

/// Octets kept for a server that does not read, beyond which it is not read from: deliveries stop long before.
const MAX_UNREAD: usize = 4 * HIGH_WATER;

/// Octets read at once.
const READ_BUFFER: usize = 64 * 1024;

impl Link {
    /// Serves one connection to its end.
    pub(super) async fn serve(&mut self, mut socket: TcpStream) -> Ended {
        let mut session = Session::new(self, Instant::now());
        let mut input = BytesMut::with_capacity(READ_BUFFER);
        let (mut reader, mut writer) = socket.split();
        let (mut alarm, mut shutdown) = (Alarm::default(), self.shutdown.clone());
        let mut stop = pin!(shutdown.requested());
        loop {
            self.turn(&mut session, Instant::now());
            if session.write(&writer).is_err() {
                session.lose();
                continue;
            }
            if session.closed && session.writes.is_empty() {
                break;
            }
            let due = [session.stream.poll_timeout(), self.outbound.next_timeout(), session.drain_until];
            let room = session.opened.is_some() && session.unwritten < HIGH_WATER;
            tokio::select! {
                read = reader.read_buf(&mut input), if !session.closed && session.may_read() => match read {
                    Ok(0) | Err(_) => session.lose(),
                    Ok(_) => {
                        session.stream.handle_bytes(&input, Instant::now());
                        input.clear();
                    }
                },
                _ = writer.writable(), if !session.writes.is_empty() => {}
                count = self.queue.recv_many(&mut self.batch, BATCH) => self.admit(count),
                Some(reply) = self.replies.recv(), if room => self.outbound.reply(reply, None, Instant::now()),
                () = &mut stop, if session.drain_until.is_none() => {
                    session.drain_until = Some(Instant::now() + DRAIN);
                }
                () = alarm.wait(due.into_iter().flatten().min()) => {
                    session.stream.handle_timeout(Instant::now());
                }
            }
        }
        // The peer's end of the connection may be gone already.
        let _ = writer.shutdown().await;
        match (session.drain_until, session.opened) {
            (Some(_), _) => Ended::Shutdown,
            (None, opened) => Ended::Broken { served: opened.is_some_and(|since| since.elapsed() > backoff::LONGEST) },
        }
    }

    /// Does everything that needs no waiting.
    fn turn(&mut self, session: &mut Session, now: Instant) {
        self.outbound.expire(now);
        self.drain(session, now);
        if session.stream.is_open() {
            self.take_replies();
            let verdict = self.pump(session, now);
            if verdict == Verdict::Dead {
                tracing::warn!(domain = %self.settings.domain, hop = self.hop(), "XMPP server does not answer");
                session.lose();
            }
            if session.drain_until.is_some_and(|until| until <= now || self.is_drained()) {
                session.stream.close(now);
            }
            self.drain(session, now);
        } else if session.drain_until.is_some() && session.opened.is_none() {
            session.stream.close(now);
            self.drain(session, now);
        }
        self.outbound.give_back_overdue(now);
        self.count_queued();
    }

    fn is_drained(&self) -> bool {
        self.outbound.is_idle() && self.inbound.pending() == 0 && self.replies.is_empty() && self.queue.is_empty()
    }

    /// Writes deliveries and pings in one piece, behind the replies.
    fn pump(&mut self, session: &mut Session, now: Instant) -> Verdict {
        if session.unwritten >= HIGH_WATER {
            return Verdict::Keep;
        }
        let verdict = self.outbound.pump(&mut session.scratch, &self.hub, now, SystemTime::now());
        session.flush(now);
        verdict
    }

    pub(super) fn take_replies(&mut self) {
        while let Ok(reply) = self.replies.try_recv() {
            self.outbound.reply(reply, None, Instant::now());
        }
    }

    /// Carries out what the machine asks for.
    fn drain(&mut self, session: &mut Session, now: Instant) {
        while let Some(output) = session.stream.poll_output() {
            match output {
                Output::Send(octets) => session.push(octets),
                Output::Stanza(element) => {
                    // A component's server repeats nothing.
                    let arrival = Arrival { number: 0, may_repeat: false, now, wall: SystemTime::now() };
                    if let Some(reply) = self.inbound.handle(element, arrival, &mut self.outbound).reply {
                        session.reply(&reply);
                    }
                }
                Output::Opened => self.opened(session, now),
                Output::Failed(error) => self.report(&error),
                Output::Closed => session.closed = true,
            }
        }
    }

    fn opened(&mut self, session: &mut Session, now: Instant) {
        tracing::info!(domain = %self.settings.domain, hop = self.hop(), "component link is up");
        session.opened = Some(now);
        self.outbound.link_up(rand::random(), now);
        self.tell(PeerState::Up);
    }

    fn report(&self, error: &LinkError) {
        let domain = &self.settings.domain;
        match error {
            LinkError::Peer(reason) => {
                tracing::error!(%domain, hop = self.hop(), %reason, "XMPP server ended the component link");
            }
            LinkError::Refused(reason) => {
                tracing::error!(%domain, hop = self.hop(), %reason, "what the XMPP server sent is refused");
            }
            LinkError::Timeout | LinkError::Eof => {
                tracing::warn!(%domain, hop = self.hop(), reason = %error, "component link is down");
            }
        }
    }
}

impl Session {
    fn new(link: &Link, now: Instant) -> Self {
        let settings = &link.settings;
        let config = ComponentConfig {
            domain: settings.domain.to_unicode().into_owned(),
            secret: Secret::new(settings.secret.expose()),
            link: LinkConfig { limits: incoming_limits(), close_timeout: CLOSE_TIMEOUT, ..LinkConfig::default() },
        };
        Self {
            stream: ComponentStream::new(config, now),
            scratch: BytesMut::new(),
            writes: VecDeque::new(),
            unwritten: 0,
            opened: None,
            closed: false,
            drain_until: None,
        }
    }

    fn reply(&mut self, stanza: &strict_xml::Element) {
        stanza::encode(&mut self.scratch, stanza);
    }

    /// Hands this turn's stanzas to the machine.
    fn flush(&mut self, now: Instant) {
        if !self.scratch.is_empty() && self.stream.send_encoded(&self.scratch, now).is_ok() {
            self.scratch.clear();
        }
    }

    /// Whether the server takes what it asks for: what it does not read must not grow with what it says.
    ///
    /// One that reads nothing for [`TCP_GIVE_UP`](super::TCP_GIVE_UP) is given up by the kernel.
    fn may_read(&self) -> bool {
        self.unwritten + self.scratch.len() < MAX_UNREAD
    }

    fn push(&mut self, octets: Bytes) {
        self.unwritten += octets.len();
        self.writes.push_back(octets);
    }

    /// Writes as far as the kernel takes it at once; what waits after that waits for room.
    fn write(&mut self, writer: &WriteHalf<'_>) -> io::Result<()> {
        while let Some(front) = self.writes.front_mut() {
            match writer.try_write(front) {
                Ok(count) => {
                    self.unwritten -= count;
                    front.advance(count);
                    if front.is_empty() {
                        self.writes.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The connection is gone: nothing more can be written.
    fn lose(&mut self) {
        self.stream.handle_eof();
        self.writes.clear();
        self.unwritten = 0;
        self.closed = true;
    }
}

/// The server has limits of its own. Ours lie beyond them, for to exceed ours closes the link, and no user of the
/// server may be able to bring that about.
fn incoming_limits() -> Limits {
    Limits::default().with_bytes(MAX_INCOMING).with_depth(MAX_INCOMING_DEPTH).with_attributes(MAX_INCOMING_ATTRIBUTES)
}

/// Four times what servers take from each other (512 KiB).
const MAX_INCOMING: usize = 2 << 20;

/// As deep as the parser goes.
const MAX_INCOMING_DEPTH: usize = usize::MAX;

/// Far more than any extension defines, and few enough to be compared with each other.
const MAX_INCOMING_ATTRIBUTES: usize = 512;

/// Our end tag is out: the peer's comes at once, or is not waited for long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
