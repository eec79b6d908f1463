//! Cuts a byte stream into stream tags and complete first-level elements.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2, memchr3};

use crate::chars::is_space;
use crate::parse::{check_declaration, parse_start_tag};
use crate::{Element, Limits, Scope, SharedStr, XmlError, XmlErrorKind};

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The stream's start tag.
    Open(StreamTag),
    /// A complete first-level element, for [`parse_element`](crate::parse_element) with the stream tag's scope.
    Element(Bytes),
    /// White space between elements: a keepalive (RFC 6120 §4.6.1).
    Whitespace,
    /// The stream's end tag; nothing follows.
    Close,
}

/// The start tag of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTag {
    /// Name and attributes; no children.
    pub element: Element,
    /// The prefix the tag was written with.
    pub prefix: SharedStr,
    /// The namespace declarations that elements of the stream inherit.
    pub scope: Scope,
}

/// Finds element boundaries in octets that arrive in any portions, looking at each octet once.
///
/// Refuses early what no stanza may hold (RFC 6120 §11.1) and what exceeds the limits; the inside of an element is
/// judged by [`parse_element`](crate::parse_element). Holds at most the octet limit and one portion, if
/// [`next_frame`](Self::next_frame) is called until `None` after each portion. An error is final.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Octets of `buffer` looked at.
    scanned: usize,
    phase: Phase,
    state: State,
    /// Open elements below the stream element.
    depth: usize,
    /// Attributes of the tag in hand.
    attributes: usize,
    /// The stream tag's name as written.
    stream_name: String,
    limits: Limits,
    failure: Option<XmlError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing seen: an XML declaration may come.
    Start,
    /// Before the stream tag.
    Prolog,
    /// Between the stream tags.
    Stream,
    /// After the end tag.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Character data, or nothing in hand.
    Content,
    /// After `<`.
    Less,
    /// After `<!` and this many octets of `[CDATA[`.
    Bang(usize),
    /// In a CDATA section, after this many `]`, at most two.
    Cdata(u8),
    /// In an XML declaration, perhaps just after `?`.
    Declaration { question: bool },
    /// In a start or empty tag.
    StartTag,
    /// In an attribute value with this quote.
    Quoted(u8),
    /// In an end tag.
    EndTag,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            phase: Phase::Start,
            state: State::Content,
            depth: 0,
            attributes: 0,
            stream_name: String::new(),
            limits,
            failure: None,
        }
    }

    /// Octets that wait: at most one incomplete element, once `next_frame` has returned `None`.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether an element or tag is begun and not complete.
    pub fn is_mid_element(&self) -> bool {
        self.depth > 0 || self.state != State::Content
    }

    /// Adds octets from the peer; after an error or the stream's end they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if self.failure.is_none() && self.phase != Phase::Closed {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// The buffer to read into, as a cheaper [`push`](Self::push); the caller only appends.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Holds what follows to these limits, such as wider ones once the peer is authenticated.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Expects a new stream tag on the same connection, with what is already buffered.
    pub fn restart(&mut self) {
        self.phase = Phase::Start;
        self.stream_name.clear();
    }

    /// The next complete piece; `None` until more octets come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, XmlError> {
        if self.failure.is_none() {
            match self.scan() {
                Ok(frame) => return Ok(frame),
                Err(fault) => self.failure = Some(self.located(fault)),
            }
        }
        self.buffer.clear();
        self.failure.clone().map_or(Ok(None), Err)
    }

    fn located(&self, fault: Found) -> XmlError {
        match fault {
            Found::Here(kind) => XmlError::new(kind, self.scanned),
            Found::InTag(error) => error,
        }
    }

    fn scan(&mut self) -> Result<Option<Frame>, Found> {
        if self.phase == Phase::Closed {
            self.buffer.clear();
            return Ok(None);
        }
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(next) = rest.first().copied() else {
                return self.within_limit().map(|()| None);
            };
            let frame = match self.state {
                State::Content if self.depth == 0 => self.between(next)?,
                State::Content => self.content(),
                State::Less => self.less(next)?,
                State::Bang(matched) => self.bang(matched, next)?,
                State::Cdata(brackets) => self.cdata(brackets, next),
                State::Declaration { question } => self.declaration(question, next)?,
                State::StartTag => self.start_tag()?,
                State::Quoted(quote) => self.quoted(quote)?,
                State::EndTag => self.end_tag()?,
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    fn between(&mut self, next: u8) -> Result<Option<Frame>, Found> {
        if next == b'<' {
            self.step(State::Less);
            return Ok(None);
        }
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        if blank == 0 {
            return Err(XmlErrorKind::OutsideRoot.into());
        }
        drop(self.buffer.split_to(blank));
        if self.phase == Phase::Stream {
            return Ok(Some(Frame::Whitespace));
        }
        // XML 1.0 §2.8: nothing stands before a declaration.
        self.phase = Phase::Prolog;
        Ok(None)
    }

    fn content(&mut self) -> Option<Frame> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        match memchr(b'<', rest) {
            Some(at) => {
                self.scanned += at;
                self.step(State::Less);
            }
            None => self.scanned = self.buffer.len(),
        }
        None
    }

    fn less(&mut self, next: u8) -> Result<Option<Frame>, Found> {
        let state = match next {
            b'/' if self.phase == Phase::Stream => State::EndTag,
            b'!' => State::Bang(0),
            b'?' if self.phase == Phase::Start => State::Declaration { question: false },
            b'?' => return Err(XmlErrorKind::ProcessingInstruction.into()),
            b'/' | b'>' | b'<' | b'=' | b'\'' | b'"' => return Err(XmlErrorKind::Tag.into()),
            byte if is_space(byte) => return Err(XmlErrorKind::Tag.into()),
            _ => {
                self.attributes = 0;
                State::StartTag
            }
        };
        self.step(state);
        Ok(None)
    }

    fn bang(&mut self, matched: usize, next: u8) -> Result<Option<Frame>, Found> {
        // RFC 6120 §11.1: of all `<!` constructs only CDATA sections.
        if CDATA.get(matched) != Some(&next) {
            let comment = matched == 0 && next == b'-';
            return Err(if comment { XmlErrorKind::Comment } else { XmlErrorKind::Declaration }.into());
        }
        if self.depth == 0 {
            return Err(XmlErrorKind::OutsideRoot.into());
        }
        let complete = matched + 1 == CDATA.len();
        self.step(if complete { State::Cdata(0) } else { State::Bang(matched + 1) });
        Ok(None)
    }

    fn cdata(&mut self, brackets: u8, next: u8) -> Option<Frame> {
        match (next, brackets) {
            (b'>', 2) => self.step(State::Content),
            (b']', _) => self.step(State::Cdata((brackets + 1).min(2))),
            (_, 0) => {
                let rest = self.buffer.get(self.scanned..).unwrap_or_default();
                self.scanned += memchr(b']', rest).unwrap_or(rest.len());
            }
            (_, _) => self.step(State::Cdata(0)),
        }
        None
    }

    fn declaration(&mut self, question: bool, next: u8) -> Result<Option<Frame>, Found> {
        self.step(State::Declaration { question: next == b'?' });
        if !(question && next == b'>') {
            return self.within_limit().map(|()| None);
        }
        let token = self.buffer.get(..self.scanned).unwrap_or_default();
        let token = std::str::from_utf8(token).map_err(|_| XmlErrorKind::Utf8)?;
        let inside = token.strip_prefix("<?").and_then(|rest| rest.strip_suffix("?>"));
        check_declaration(inside.ok_or(XmlErrorKind::Tag)?)?;
        drop(self.take_token());
        self.state = State::Content;
        self.phase = Phase::Prolog;
        Ok(None)
    }

    fn start_tag(&mut self) -> Result<Option<Frame>, Found> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let stop = match memchr3(b'>', b'\'', b'"', rest) {
            Some(at) => at,
            None => {
                self.scanned = self.buffer.len();
                return Ok(None);
            }
        };
        let quote = rest.get(stop).copied().filter(|byte| *byte != b'>');
        self.scanned += stop;
        match quote {
            Some(quote) => {
                self.step(State::Quoted(quote));
                self.attributes += 1;
                let limit = self.limits.attributes();
                if self.attributes > limit { Err(XmlErrorKind::TooManyAttributes { limit }.into()) } else { Ok(None) }
            }
            None => {
                let empty = self.scanned.checked_sub(1).and_then(|at| self.buffer.get(at)) == Some(&b'/');
                self.step(State::Content);
                self.started(empty)
            }
        }
    }

    /// A start or empty tag is complete.
    fn started(&mut self, empty: bool) -> Result<Option<Frame>, Found> {
        self.within_limit()?;
        if self.phase != Phase::Stream {
            return self.opened().map(Some);
        }
        let limit = self.limits.depth();
        if self.depth >= limit {
            return Err(XmlErrorKind::TooDeep { limit }.into());
        }
        if empty {
            return Ok(self.ended());
        }
        self.depth += 1;
        Ok(None)
    }

    fn opened(&mut self) -> Result<Frame, Found> {
        let token = self.take_token();
        let (element, prefix, scope) = parse_start_tag(&token, &self.limits).map_err(Found::InTag)?;
        self.stream_name = match prefix.as_str() {
            "" => element.name.to_string(),
            prefix => format!("{prefix}:{}", element.name),
        };
        self.phase = Phase::Stream;
        Ok(Frame::Open(StreamTag { element, prefix, scope }))
    }

    fn quoted(&mut self, quote: u8) -> Result<Option<Frame>, Found> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr2(quote, b'<', rest) else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        let markup = rest.get(at) == Some(&b'<');
        self.scanned += at;
        if markup {
            return Err(XmlErrorKind::LessThanInAttribute.into());
        }
        self.step(State::StartTag);
        Ok(None)
    }

    fn end_tag(&mut self) -> Result<Option<Frame>, Found> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr(b'>', rest) else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        self.scanned += at;
        self.step(State::Content);
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                self.within_limit()?;
                Ok(self.ended())
            }
            None => self.closed().map(Some),
        }
    }

    /// An element is complete; it is a frame when it is of the first level.
    fn ended(&mut self) -> Option<Frame> {
        (self.depth == 0).then(|| Frame::Element(self.take_token()))
    }

    fn closed(&mut self) -> Result<Frame, Found> {
        let token = self.take_token();
        let name = token.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")).unwrap_or_default();
        let trailing = name.iter().rev().take_while(|byte| is_space(**byte)).count();
        if name.get(..name.len() - trailing) != Some(self.stream_name.as_bytes()) {
            return Err(XmlErrorKind::EndTag.into());
        }
        self.phase = Phase::Closed;
        Ok(Frame::Close)
    }

    fn take_token(&mut self) -> Bytes {
        self.buffer.split_to(std::mem::take(&mut self.scanned)).freeze()
    }

    fn step(&mut self, state: State) {
        self.scanned += 1;
        self.state = state;
    }

    fn within_limit(&self) -> Result<(), Found> {
        let limit = self.limits.bytes();
        if self.scanned > limit { Err(XmlErrorKind::TooLong { limit }.into()) } else { Ok(()) }
    }
}

/// A fault, and where.
enum Found {
    /// At the last octet looked at.
    Here(XmlErrorKind),
    /// Within the stream tag, just taken out of the buffer.
    InTag(XmlError),
}

impl From<XmlErrorKind> for Found {
    fn from(kind: XmlErrorKind) -> Self {
        Self::Here(kind)
    }
}

const CDATA: &[u8] = b"[CDATA[";
