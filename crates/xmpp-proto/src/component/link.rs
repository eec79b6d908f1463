//! What both ends of a component stream have in common: framing, output, times.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use strict_xml::{Element, Frame, Framer, Scope, SharedStr, StreamTag, XmlError, XmlErrorKind, parse_element};

use super::{LinkConfig, LinkError, NotOpen, Output};
use crate::ns;
use crate::stanza::encode;
use crate::stream::{STREAM_END, StreamCondition, StreamError, StreamHeader};

/// A piece of the peer's stream, checked.
#[derive(Debug)]
pub(super) enum Incoming {
    Header(StreamHeader),
    Element(Element),
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not authenticated.
    Opening,
    /// Stanzas flow.
    Open,
    /// Our end tag is sent, the peer's awaited.
    Closing,
    /// Over.
    Closed,
}

/// One end of the stream without its part of the negotiation.
#[derive(Debug)]
pub(super) struct Link {
    config: LinkConfig,
    framer: Framer,
    scope: Scope,
    lang: Option<SharedStr>,
    phase: Phase,
    out: BytesMut,
    events: VecDeque<Output>,
    /// Whether our header is sent, so that errors and the end tag can be.
    header_sent: bool,
    /// When the current phase has lasted too long.
    deadline: Option<Instant>,
    last_sent: Instant,
}

impl Link {
    pub(super) fn new(config: LinkConfig, now: Instant) -> Self {
        Self {
            config,
            framer: Framer::new(config.limits),
            scope: Scope::new(),
            lang: None,
            phase: Phase::Opening,
            out: BytesMut::new(),
            events: VecDeque::new(),
            header_sent: false,
            deadline: Some(now + config.open_timeout),
            last_sent: now,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn push(&mut self, octets: &[u8]) {
        if self.phase != Phase::Closed {
            self.framer.push(octets);
        }
    }

    /// The next piece of the peer's stream; faults end the stream and give `None`.
    pub(super) fn next(&mut self, now: Instant) -> Option<Incoming> {
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
            let Some(frame) = self.framer.next_frame().map_err(|error| self.fault(&error))? else {
                return Ok(None);
            };
            return match frame {
                Frame::Whitespace => continue,
                Frame::Close => Ok(Some(Incoming::Close)),
                Frame::Open(tag) => self.header(tag).map(|header| Some(Incoming::Header(header))),
                Frame::Element(octets) => parse_element(&octets, &self.scope, &self.config.limits)
                    .map(|element| Some(Incoming::Element(element)))
                    .map_err(|error| StreamError::from(&error)),
            };
        }
    }

    fn fault(&self, error: &XmlError) -> StreamError {
        // RFC 6120 §4.9.3.2: in the header an undeclared prefix has a condition of its own.
        if error.kind == XmlErrorKind::UndeclaredPrefix {
            StreamCondition::BadNamespacePrefix.into()
        } else {
            error.into()
        }
    }

    fn header(&mut self, tag: StreamTag) -> Result<StreamHeader, StreamError> {
        let header = StreamHeader::read(&tag, ns::COMPONENT_ACCEPT)?;
        self.scope = tag.scope;
        self.lang.clone_from(&header.lang);
        Ok(header)
    }

    pub(super) fn send_header(&mut self, header: &StreamHeader, now: Instant) {
        header.write(&mut self.out, ns::COMPONENT_ACCEPT, &Scope::new());
        self.header_sent = true;
        self.last_sent = now;
    }

    /// Sends a complete element of the negotiation.
    pub(super) fn send_raw(&mut self, octets: &[u8], now: Instant) {
        self.out.put_slice(octets);
        self.last_sent = now;
    }

    pub(super) fn send(&mut self, stanza: &Element, now: Instant) -> Result<(), NotOpen> {
        self.open_only()?;
        encode(&mut self.out, stanza);
        self.last_sent = now;
        Ok(())
    }

    pub(super) fn send_encoded(&mut self, stanza: &[u8], now: Instant) -> Result<(), NotOpen> {
        self.open_only()?;
        self.send_raw(stanza, now);
        Ok(())
    }

    fn open_only(&self) -> Result<(), NotOpen> {
        if self.phase == Phase::Open { Ok(()) } else { Err(NotOpen) }
    }

    pub(super) fn opened(&mut self) {
        self.phase = Phase::Open;
        self.deadline = None;
        self.events.push_back(Output::Opened);
    }

    /// Takes a first-level element of an open or closing stream.
    pub(super) fn stanza(&mut self, mut element: Element, now: Instant) {
        // RFC 6120 §4.9.3.10 and §4.9.3.24.
        if element.ns != *ns::COMPONENT_ACCEPT {
            return self.refuse(StreamCondition::InvalidNamespace.into(), now);
        }
        if !matches!(element.name.as_str(), "message" | "presence" | "iq") {
            return self.refuse(StreamCondition::UnsupportedStanzaType.into(), now);
        }
        // RFC 6120 §4.7.4: the stream's language is the default, §8.1.5: what a stanza says stays.
        if let (Some(lang), None) = (&self.lang, element.xml_lang()) {
            element.set_xml_lang(lang);
        }
        self.events.push_back(Output::Stanza(element));
    }

    /// Tells the peer what is wrong and ends the stream.
    pub(super) fn refuse(&mut self, error: StreamError, now: Instant) {
        // RFC 6120 §4.9.1.2: a header goes before the error.
        if !self.header_sent {
            self.send_header(&StreamHeader::default(), now);
        }
        if self.phase != Phase::Closing {
            error.write(&mut self.out);
        }
        self.fail(LinkError::Refused(error));
    }

    /// The peer reported a stream error.
    pub(super) fn peer_error(&mut self, error: StreamError) {
        self.send_end();
        self.fail(LinkError::Peer(error));
    }

    /// RFC 6120 §4.4: begins the orderly end.
    pub(super) fn close(&mut self, now: Instant) {
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
    pub(super) fn peer_closed(&mut self) {
        self.send_end();
        self.finish();
    }

    pub(super) fn handle_eof(&mut self) {
        match self.phase {
            Phase::Opening | Phase::Open => self.fail(LinkError::Eof),
            Phase::Closing => self.finish(),
            Phase::Closed => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
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
        if self.keepalive_at().is_some_and(|at| now >= at) {
            // RFC 6120 §4.6.1: white space between stanzas.
            self.send_raw(b" ", now);
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            return self.events.pop_front();
        }
        Some(Output::Send(self.out.split().freeze()))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.deadline, self.keepalive_at()].into_iter().flatten().min()
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let keepalive = self.config.keepalive.filter(|_| self.phase == Phase::Open)?;
        Some(self.last_sent + keepalive)
    }

    /// Ends our stream, unless it never began or has ended.
    fn send_end(&mut self) {
        if self.header_sent && matches!(self.phase, Phase::Opening | Phase::Open) {
            self.out.put_slice(STREAM_END);
        }
    }

    fn fail(&mut self, error: LinkError) {
        self.events.push_back(Output::Failed(error));
        self.finish();
    }

    fn finish(&mut self) {
        self.phase = Phase::Closed;
        self.deadline = None;
        self.events.push_back(Output::Closed);
    }
}
