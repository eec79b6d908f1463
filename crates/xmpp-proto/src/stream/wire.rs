//! One end's octets: framing, our header, errors and the end of the stream, without negotiation.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use strict_xml::{Element, Frame, Framer, Limits, Scope, SharedStr, StreamTag, XmlError, XmlErrorKind, parse_element};

use super::{STREAM_END, StreamCondition, StreamError, StreamHeader};
use crate::stanza::encode;

/// Why a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer said so.
    #[error("peer sent a stream error")]
    Peer(#[source] StreamError),
    /// What the peer sent is refused; it has been told.
    #[error("peer refused")]
    Refused(#[source] StreamError),
    /// The stream was not open in time.
    #[error("no stream within the time allowed")]
    Timeout,
    /// The connection ended before the stream did.
    #[error("connection ended within the stream")]
    Eof,
}

/// A piece of the peer's stream, checked.
#[derive(Debug)]
pub(crate) enum Incoming {
    Header(StreamHeader),
    Element(Element),
    /// An element beyond a limit, by its start tag, if that is within.
    Excess(Option<Element>),
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not authenticated.
    Opening,
    /// Stanzas flow.
    Open,
    /// Our end tag is sent, the peer's awaited.
    Closing,
    /// Over.
    Closed,
}

/// What the owner tells last, behind its own events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Failed(LinkError),
    Closed,
}

/// What a kind of stream is made of, and how patient it is.
#[derive(Debug, Clone)]
pub(crate) struct WireConfig {
    /// RFC 6120 §4.8.2.
    pub(crate) content_ns: &'static str,
    /// Further prefixes that our header declares.
    pub(crate) declarations: Scope,
    pub(crate) limits: Limits,
    pub(crate) open_timeout: Duration,
    pub(crate) close_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Wire {
    config: WireConfig,
    framer: Framer,
    /// What the peer's header declares.
    scope: Scope,
    lang: Option<SharedStr>,
    phase: Phase,
    out: BytesMut,
    /// The header that goes before an error when none is sent yet.
    fallback: StreamHeader,
    /// Whether our header is sent, so that errors and the end tag can be.
    header_sent: bool,
    /// When the current phase has lasted too long.
    deadline: Option<Instant>,
    last_sent: Instant,
    failure: Option<LinkError>,
    /// Whether the stream ended without an end tag or an error that explains it.
    is_broken: bool,
    /// Whether `Closed` is still to be told.
    is_end_due: bool,
    /// Whether a stanza beyond a limit is refused alone.
    is_tolerant: bool,
}

impl Wire {
    pub(crate) fn new(config: WireConfig, now: Instant) -> Self {
        Self {
            framer: Framer::new(config.limits),
            scope: Scope::new(),
            lang: None,
            phase: Phase::Opening,
            out: BytesMut::new(),
            fallback: StreamHeader::default(),
            header_sent: false,
            deadline: Some(now + config.open_timeout),
            last_sent: now,
            failure: None,
            is_broken: false,
            is_end_due: false,
            is_tolerant: false,
            config,
        }
    }

    /// Has an element beyond any limit but that of octets told as [`Incoming::Excess`] instead of ending an open stream:
    /// for streams that many users of the peer share.
    pub(crate) fn tolerate_excess(&mut self) {
        self.is_tolerant = true;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When octets were last written.
    pub(crate) fn last_sent(&self) -> Instant {
        self.last_sent
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the peer's header binds a prefix to this namespace.
    pub(crate) fn peer_declares(&self, ns: &str) -> bool {
        self.scope.iter().any(|(_, declared)| declared == ns)
    }

    /// Whether the stream is over because the connection or the peer went away.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether octets wait for [`poll_send`](Self::poll_send).
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Octets that came and are not consumed.
    pub(crate) fn buffered(&self) -> usize {
        self.framer.buffered()
    }

    pub(crate) fn push(&mut self, octets: &[u8]) {
        if self.phase != Phase::Closed {
            self.framer.push(octets);
        }
    }

    /// The next piece of the peer's stream; faults end the stream and give `None`.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Incoming> {
        if self.phase == Phase::Closed {
            return None;
        }
        match self.try_next() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.refuse(error, now);
                None
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Incoming>, StreamError> {
        loop {
            let Some(frame) = self.framer.next_frame().map_err(|error| fault(&error))? else {
                return Ok(None);
            };
            return match frame {
                Frame::Whitespace => continue,
                Frame::Close => Ok(Some(Incoming::Close)),
                Frame::Open(tag) => self.header(tag).map(|header| Some(Incoming::Header(header))),
                Frame::Element(octets) => match parse_element(&octets, &self.scope, &self.config.limits) {
                    Ok(element) => Ok(Some(Incoming::Element(element))),
                    Err(error) if self.is_tolerant && self.phase == Phase::Open && is_excess(&error.kind) => {
                        let tag = start_tag_alone(&octets);
                        let tag = tag.and_then(|tag| parse_element(&tag, &self.scope, &self.config.limits).ok());
                        Ok(Some(Incoming::Excess(tag)))
                    }
                    Err(error) => Err(StreamError::from(&error)),
                },
            };
        }
    }

    fn header(&mut self, tag: StreamTag) -> Result<StreamHeader, StreamError> {
        let header = StreamHeader::read(&tag, self.config.content_ns)?;
        self.scope = tag.scope;
        self.lang.clone_from(&header.lang);
        Ok(header)
    }

    /// Checks that a first-level element is a stanza of this stream, and gives it the stream's language.
    pub(crate) fn check_stanza(&self, element: &mut Element) -> Result<(), StreamCondition> {
        let is_stanza = is_stanza_name(&element.name);
        // RFC 6120 §4.9.3.10 and §4.9.3.24.
        match element.ns == *self.config.content_ns {
            true if is_stanza => {}
            false if is_stanza => return Err(StreamCondition::InvalidNamespace),
            true | false => return Err(StreamCondition::UnsupportedStanzaType),
        }
        // RFC 6120 §4.7.4: the stream's language is the default, §8.1.5: what a stanza says stays.
        if let (Some(lang), None) = (&self.lang, element.xml_lang()) {
            element.set_xml_lang(lang);
        }
        Ok(())
    }

    /// Sets the header that goes before an error, should one be due before our own.
    pub(crate) fn set_fallback(&mut self, header: StreamHeader) {
        self.fallback = header;
    }

    /// Whether our stream is not ended: behind its end tag nothing goes.
    fn is_ours(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Open)
    }

    pub(crate) fn send_header(&mut self, header: &StreamHeader, now: Instant) {
        if !self.is_ours() {
            return;
        }
        header.write(&mut self.out, self.config.content_ns, &self.config.declarations);
        self.header_sent = true;
        self.last_sent = now;
    }

    /// Sends octets that are whole elements.
    pub(crate) fn send_raw(&mut self, octets: &[u8], now: Instant) {
        if self.is_ours() {
            self.out.put_slice(octets);
            self.last_sent = now;
        }
    }

    /// Sends an element in the place of a stanza; returns the octets written.
    pub(crate) fn send(&mut self, element: &Element, now: Instant) -> &[u8] {
        let start = self.out.len();
        encode(&mut self.out, element);
        self.last_sent = now;
        self.out.get(start..).unwrap_or_default()
    }

    /// Stanzas may flow: from here on `limits` hold.
    pub(crate) fn opened(&mut self, limits: Limits) {
        self.config.limits = limits;
        self.framer.set_limits(if self.is_tolerant { limits.for_framing() } else { limits });
        self.phase = Phase::Open;
        self.deadline = None;
    }

    /// Expects a new header from the peer and owes one; what is buffered belongs to the new stream.
    pub(crate) fn restart(&mut self) {
        self.framer.restart();
        self.header_sent = false;
    }

    /// Forgets the stream that went over the bare connection (RFC 6120 §5.4.3.3).
    pub(crate) fn forget(&mut self) {
        self.framer = Framer::new(self.config.limits);
        self.header_sent = false;
        self.scope = Scope::new();
        self.lang = None;
    }

    /// Tells the peer what is wrong and ends the stream.
    pub(crate) fn refuse(&mut self, error: StreamError, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        // RFC 6120 §4.9.1.2: a header goes before the error.
        if !self.header_sent {
            let header = std::mem::take(&mut self.fallback);
            self.send_header(&header, now);
        }
        if self.phase != Phase::Closing {
            error.write(&mut self.out);
        }
        self.fail(LinkError::Refused(error));
    }

    /// The peer reported a stream error.
    pub(crate) fn peer_error(&mut self, error: StreamError) {
        self.send_end();
        self.fail(LinkError::Peer(error));
    }

    /// RFC 6120 §4.4: begins the orderly end.
    pub(crate) fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Opening | Phase::Open => {
                self.send_end();
                self.phase = Phase::Closing;
                self.deadline = Some(now + self.config.close_timeout);
            }
            Phase::Closing | Phase::Closed => {}
        }
    }

    /// The peer's end tag came: answers with ours, if that is still due.
    pub(crate) fn peer_closed(&mut self) {
        if self.phase != Phase::Closed {
            self.send_end();
            self.finish();
        }
    }

    pub(crate) fn handle_eof(&mut self) {
        match self.phase {
            Phase::Opening | Phase::Open => self.fail(LinkError::Eof),
            Phase::Closing => self.finish(),
            Phase::Closed => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            match self.phase {
                Phase::Opening => {
                    self.send_end();
                    self.fail(LinkError::Timeout);
                }
                Phase::Closing => self.finish(),
                Phase::Open | Phase::Closed => {}
            }
        }
    }

    /// Octets for the peer, before all else.
    pub(crate) fn poll_send(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// How the stream ended, behind all else.
    pub(crate) fn poll_end(&mut self) -> Option<End> {
        match self.failure.take() {
            Some(error) => Some(End::Failed(error)),
            None => std::mem::take(&mut self.is_end_due).then_some(End::Closed),
        }
    }

    /// Ends our stream, unless it never began or has ended.
    fn send_end(&mut self) {
        if self.header_sent && self.is_ours() {
            self.out.put_slice(STREAM_END);
        }
    }

    /// The stream is over, and this is why, unless it was over before.
    pub(crate) fn fail_once(&mut self, error: LinkError) {
        if self.phase != Phase::Closed {
            self.fail(error);
        }
    }

    /// The stream is over, and this is why.
    fn fail(&mut self, error: LinkError) {
        self.is_broken = match &error {
            LinkError::Eof => true,
            LinkError::Refused(error) => error.condition == StreamCondition::ConnectionTimeout,
            LinkError::Peer(_) | LinkError::Timeout => false,
        };
        self.failure = Some(error);
        self.finish();
    }

    /// The stream is over.
    fn finish(&mut self) {
        self.phase = Phase::Closed;
        self.deadline = None;
        self.is_end_due = true;
    }
}

/// RFC 6120 §8: the three kinds.
pub(crate) fn is_stanza_name(name: &str) -> bool {
    matches!(name, "message" | "presence" | "iq")
}

/// A local limit on one element, while the stream itself is in order.
fn is_excess(kind: &XmlErrorKind) -> bool {
    matches!(
        kind,
        XmlErrorKind::TooDeep { .. }
            | XmlErrorKind::TooManyAttributes { .. }
            | XmlErrorKind::TooManyDeclarations { .. }
            | XmlErrorKind::NamespaceTooLong { .. }
    )
}

/// The start tag of an element as an element without content.
fn start_tag_alone(octets: &[u8]) -> Option<Vec<u8>> {
    let mut quote = None;
    let end = octets.iter().position(|octet| {
        match (quote, *octet) {
            (None, b'>') => return true,
            (None, mark @ (b'\'' | b'"')) => quote = Some(mark),
            (Some(mark), octet) if octet == mark => quote = None,
            (Some(_) | None, _) => {}
        }
        false
    })?;
    let tag = octets.get(..end)?;
    let tag = tag.strip_suffix(b"/").unwrap_or(tag);
    Some([tag, b"/>"].concat())
}

fn fault(error: &XmlError) -> StreamError {
    // RFC 6120 §4.9.3.2: in the header an undeclared prefix has a condition of its own.
    if error.kind == XmlErrorKind::UndeclaredPrefix { StreamCondition::BadNamespacePrefix.into() } else { error.into() }
}
