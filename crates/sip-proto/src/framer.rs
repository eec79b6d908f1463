//! Cutting octets into messages.
//!
//! A message whose length is certain but whose headers are broken is given as [`crate::framer::Event::Broken`] and the stream goes on,
//! for many users may share it; where the next message begins is lost only when `Content-Length` is.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use crate::{
    limits::{MAX_BODY, MAX_HEAD, MAX_SKIPPED_BODY},
    message::{Head, Message, ParseError, Salvage, content_length_of_broken},
};

/// What to write when [`Event::Ping`] is met (RFC 5626 §4.4.1).
pub const PONG: &[u8] = b"\r\n";

/// What asks the other side for a [`PONG`] (RFC 5626 §3.5.1).
pub const PING: &[u8] = b"\r\n\r\n";

/// Octets that are no message, and why.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The reason.
    pub error: ParseError,
    /// What there is of the message.
    pub octets: Bytes,
}

impl Rejected {
    /// What an answer needs, when one is possible; its status is [`ParseError::status`].
    pub fn salvage(&self) -> Option<Salvage> {
        Salvage::of(&self.octets)
    }
}

/// Reads a datagram (RFC 3261 §18.3); `None` for a keep-alive, which has line ends and zero octets only.
pub fn datagram(octets: Bytes) -> Result<Option<Message>, Rejected> {
    if octets.iter().all(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        return Ok(None);
    }
    Message::parse(octets.clone()).map(Some).map_err(|error| Rejected { error, octets })
}

/// What a stream holds.
#[derive(Debug)]
pub enum Event {
    /// A message.
    Message(Message),
    /// A message that cannot be used, and that the next one follows: answer it and go on.
    Broken(Rejected),
    /// RFC 5626 §4.4.1: answer with [`PONG`] at once.
    Ping,
    /// A single line end between messages: the answer to our [`PING`], else without meaning.
    Pong,
}

/// Frames one stream (RFC 3261 §18.3).
///
/// Append what was read to a buffer, then call [`poll`](Self::poll) until it gives `None`, then read again. The buffer
/// so never holds more than one read beyond [`MAX_HEAD`] and the largest body; nothing is reserved ahead.
#[derive(Debug)]
pub struct StreamFramer {
    max_body: usize,
    state: State,
    /// The last thing seen was a single line end.
    after_line_end: bool,
}

#[derive(Debug)]
enum State {
    /// In front of a message or inside its head; so many octets hold no empty line.
    Head { scanned: usize },
    /// The head is read, or found broken; so many octets of the whole message are awaited.
    Body { head: Result<Head, ParseError>, total: usize },
    /// The rest of a body too large to take.
    Skip { remaining: usize },
    /// The place of the next message is lost.
    Dead,
}

impl Default for StreamFramer {
    fn default() -> Self {
        Self::new(MAX_BODY)
    }
}

impl StreamFramer {
    /// A framer for a fresh stream that refuses larger bodies.
    pub const fn new(max_body: usize) -> Self {
        Self { max_body, state: State::Head { scanned: 0 }, after_line_end: false }
    }

    /// Whether a message has begun and is not complete: what a time limit watches.
    pub fn is_mid_message(&self, buffer: &BytesMut) -> bool {
        !buffer.is_empty() || !matches!(self.state, State::Head { .. })
    }

    /// The next event in the buffer; `None` when it needs more octets.
    ///
    /// After an error the stream has no more messages: answer what can be answered and close it.
    pub fn poll(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Rejected> {
        loop {
            match &mut self.state {
                State::Head { scanned: 0 } if buffer.starts_with(PONG) || buffer.as_ref() == b"\r" => {
                    return Ok(self.poll_line_end(buffer));
                }
                State::Head { scanned } => {
                    let from = scanned.saturating_sub(3);
                    let found = memmem::find(buffer.get(from..).unwrap_or_default(), b"\r\n\r\n");
                    let Some(found) = found else {
                        *scanned = buffer.len();
                        return if buffer.len() > MAX_HEAD { Err(self.die(buffer, too_large())) } else { Ok(None) };
                    };
                    if let Some(event) = self.end_head(buffer, from + found + 4)? {
                        return Ok(Some(event));
                    }
                }
                State::Body { total, .. } if buffer.len() < *total => return Ok(None),
                State::Body { .. } => return Ok(self.end_body(buffer)),
                State::Skip { remaining } => {
                    let skipped = buffer.len().min(*remaining);
                    buffer.advance(skipped);
                    *remaining -= skipped;
                    if *remaining > 0 {
                        return Ok(None);
                    }
                    self.state = State::Head { scanned: 0 };
                }
                State::Dead => {
                    buffer.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// Line ends in front of a message (RFC 3261 §7.5); two in a row are a ping (RFC 5626 §3.5.1).
    fn poll_line_end(&mut self, buffer: &mut BytesMut) -> Option<Event> {
        if buffer.starts_with(PING) {
            buffer.advance(PING.len());
            self.after_line_end = false;
            return Some(Event::Ping);
        }
        if buffer.starts_with(PONG) {
            buffer.advance(PONG.len());
            // The second half of a ping that came in two reads.
            self.after_line_end = !self.after_line_end;
            return Some(if self.after_line_end { Event::Pong } else { Event::Ping });
        }
        None
    }

    fn end_head(&mut self, buffer: &mut BytesMut, len: usize) -> Result<Option<Event>, Rejected> {
        self.after_line_end = false;
        let octets = buffer.get(..len).unwrap_or_default();
        let head = Head::parse(octets);
        let body = match &head {
            Ok(head) => head.content_length.ok_or(ParseError::NoContentLength),
            // Line ends that two readers see differently leave no certain length.
            Err(error @ (ParseError::LineEnd { .. } | ParseError::HeadTooLarge { .. })) => Err(*error),
            Err(error) => content_length_of_broken(octets).ok_or(*error),
        };
        let body = body.map_err(|error| self.die(buffer, error))?;
        if body <= self.max_body {
            self.state = State::Body { head, total: len + body };
            return Ok(None);
        }
        let error = ParseError::BodyTooLarge { limit: self.max_body };
        if body > MAX_SKIPPED_BODY {
            return Err(self.die(buffer, error));
        }
        self.state = State::Skip { remaining: body };
        Ok(Some(Event::Broken(Rejected { error, octets: buffer.split_to(len).freeze() })))
    }

    fn end_body(&mut self, buffer: &mut BytesMut) -> Option<Event> {
        let State::Body { head, total } = std::mem::replace(&mut self.state, State::Head { scanned: 0 }) else {
            return None;
        };
        let octets = buffer.split_to(total.min(buffer.len())).freeze();
        Some(match head.and_then(|head| head.with_body(octets.clone())) {
            Ok(message) => Event::Message(message),
            Err(error) => Event::Broken(Rejected { error, octets }),
        })
    }

    fn die(&mut self, buffer: &mut BytesMut, error: ParseError) -> Rejected {
        self.state = State::Dead;
        let octets = buffer.split_to(buffer.len().min(MAX_HEAD)).freeze();
        buffer.clear();
        Rejected { error, octets }
    }
}

const fn too_large() -> ParseError {
    ParseError::HeadTooLarge { limit: MAX_HEAD }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;

    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
                           To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";

    fn options(rest: &str) -> String {
        format!("{OPTIONS}{rest}")
    }

    /// Everything a stream gives, fed in pieces of that size.
    fn feed(octets: &[u8], piece: usize) -> (Vec<Event>, Option<Rejected>) {
        let (mut framer, mut buffer, mut events) = (StreamFramer::new(100), BytesMut::new(), Vec::new());
        for chunk in octets.chunks(piece) {
            buffer.extend_from_slice(chunk);
            loop {
                match framer.poll(&mut buffer) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(rejected) => return (events, Some(rejected)),
                }
            }
        }
        (events, None)
    }

    fn messages(events: &[Event]) -> Vec<&Message> {
        events
            .iter()
            .filter_map(|event| if let Event::Message(message) = event { Some(message) } else { None })
            .collect()
    }

    #[test]
    fn pieces_of_any_size_give_the_same_messages() {
        let stream =
            format!("{}{}\r\n{}", options("l: 2\r\n\r\nab"), options("l: 0\r\n\r\n"), options("l: 3\r\n\r\n\r\n\r"));
        for piece in [1, 2, 3, 7, 64, 10_000] {
            let (events, rejected) = feed(stream.as_bytes(), piece);
            let bodies: Vec<_> = messages(&events).iter().map(|message| message.body().to_vec()).collect();
            assert_eq!(bodies, [b"ab".to_vec(), b"".to_vec(), b"\r\n\r".to_vec()], "{piece}");
            assert!(rejected.is_none());
        }
    }

    // checks: OUT-001, SIP-010
    #[test]
    fn rfc5626_s3_5_1_double_line_ends_are_pings() {
        let (events, _) = feed(b"\r\n\r\n", 4);
        assert!(matches!(events.as_slice(), [Event::Ping]));
        let (events, _) = feed(b"\r\n\r\n", 1);
        assert!(matches!(events.as_slice(), [Event::Pong, Event::Ping]));
        let (events, _) = feed(format!("\r\n{}", options("l: 0\r\n\r\n")).as_bytes(), 1_000);
        assert!(matches!(events.as_slice(), [Event::Pong, Event::Message(_)]));
    }

    // checks: SIP-017, TOR-016, TOR-042
    #[test]
    fn rfc3261_s18_3_without_a_certain_length_the_stream_ends() {
        for (rest, error) in [
            ("\r\n", ParseError::NoContentLength),
            ("l: -9\r\n\r\n", ParseError::ContentLength),
            ("l: 1\r\nl: 1\r\n\r\n", ParseError::RepeatedContentLength),
            ("l: 99999999\r\n\r\n", ParseError::BodyTooLarge { limit: 100 }),
        ] {
            let (events, rejected) = feed(options(rest).as_bytes(), 50);
            let rejected = rejected.unwrap();
            assert!(events.is_empty());
            assert_eq!(rejected.error, error, "{rest}");
            assert_eq!(rejected.salvage().unwrap().request().method(), Some(&Method::Options));
        }
    }

    #[test]
    fn a_broken_header_does_not_end_a_shared_stream() {
        let stream = options("no colon here\r\nl: 2\r\n\r\nab") + &options("l: 0\r\n\r\n");
        let (events, rejected) = feed(stream.as_bytes(), 11);
        let [Event::Broken(broken), Event::Message(_)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(broken.error, ParseError::Colon { line: 7 });
        assert!(broken.salvage().is_some() && rejected.is_none());
    }

    #[test]
    fn a_large_body_is_refused_and_skipped() {
        let stream = format!("{}{}{}", options("l: 5000\r\n\r\n"), "x".repeat(5_000), options("l: 0\r\n\r\n"));
        let (events, _) = feed(stream.as_bytes(), 333);
        let [Event::Broken(broken), Event::Message(_)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((broken.error, broken.error.status()), (ParseError::BodyTooLarge { limit: 100 }, 413));
    }

    #[test]
    fn a_head_without_end_is_bounded() {
        let mut framer = StreamFramer::default();
        let mut buffer = BytesMut::from(OPTIONS);
        let mut rejected = None;
        for _ in 0..1_000 {
            buffer.extend_from_slice(&[b'x'; 100]);
            if let Err(found) = framer.poll(&mut buffer) {
                rejected = Some(found);
                break;
            }
        }
        let rejected = rejected.unwrap();
        assert_eq!(rejected.error.status(), 513);
        assert!(rejected.octets.len() <= MAX_HEAD && rejected.salvage().is_some());
        buffer.extend_from_slice(b"more");
        assert!(framer.poll(&mut buffer).unwrap().is_none() && buffer.is_empty());
    }

    #[test]
    fn a_carriage_return_alone_is_no_line_end() {
        let (events, rejected) = feed(b"\rOPTIONS sip:a@b SIP/2.0\r\n\r\n", 3);
        assert!(events.is_empty() && rejected.is_some());
    }

    // checks: SIP-016, SIP-017, TOR-008, TOR-015
    #[test]
    fn rfc3261_s18_3_datagrams() {
        assert!(datagram(Bytes::from_static(b"\r\n\r\n")).unwrap().is_none());
        assert!(datagram(Bytes::from_static(&[0; 4])).unwrap().is_none());
        let read = |rest: &str| datagram(Bytes::from(options(rest)));
        assert_eq!(read("l: 2\r\n\r\nabcd").unwrap().unwrap().body(), b"ab");
        assert_eq!(read("\r\nabcd").unwrap().unwrap().body(), b"abcd");
        let rejected = read("l: 9\r\n\r\nabcd").unwrap_err();
        assert_eq!(rejected.error, ParseError::Truncated { declared: 9, present: 4 });
        assert_eq!(rejected.error.status(), 400);
    }
}
