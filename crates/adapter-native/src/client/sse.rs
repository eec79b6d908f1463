//! The event stream format, read incrementally and within bounds.

use std::collections::VecDeque;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) data: String,
}

/// Why a stream of events can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// One line or one event is too long.
    #[error("an event of more than {limit} octets")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the events are not UTF-8")]
    Utf8,
    /// An event without an id, or with one of another protocol.
    #[error("an event without an id of the native protocol")]
    Id,
}

/// Takes octets as they come and gives events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    id: String,
    kind: String,
    data: String,
}

impl Parser {
    /// Takes some octets and appends the events they complete.
    pub(super) fn feed(&mut self, octets: &[u8], events: &mut VecDeque<Event>) -> Result<(), SseError> {
        for &octet in octets {
            // A line ends with CR LF, LF or CR.
            let continues_cr = std::mem::replace(&mut self.after_cr, octet == b'\r') && octet == b'\n';
            match octet {
                _ if continues_cr => {}
                b'\n' | b'\r' => self.end_line(events)?,
                _ if self.line.len() + self.data.len() >= MAX_EVENT => {
                    return Err(SseError::TooLong { limit: MAX_EVENT });
                }
                _ => self.line.push(octet),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut VecDeque<Event>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| SseError::Utf8)?;
        if line.is_empty() {
            events.extend(self.end_event());
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // A comment, the reconnection time, or a field of the future.
            _ => {}
        }
        Ok(())
    }

    /// The event that an empty line completes; the id stays for the next one.
    fn end_event(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(Event { id: self.id.clone(), kind, data })
    }
}

/// Beyond the largest event of a gateway with default limits.
const MAX_EVENT: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<(String, String, String)>, SseError> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for chunk in chunks {
            parser.feed(chunk, &mut events)?;
        }
        Ok(events.into_iter().map(|event| (event.id, event.kind, event.data)).collect())
    }

    fn event(id: &str, kind: &str, data: &str) -> (String, String, String) {
        (id.to_owned(), kind.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_read_with_any_line_end_and_any_division() {
        let text = ": comment\n\nid: 7\nevent: message\ndata: {\"a\":\"ü\"}\n\nid:8\ndata:x\ndata: y\nretry: 1\n\n";
        let expected = vec![event("7", "message", "{\"a\":\"ü\"}"), event("8", "message", "x\ny")];
        for text in [text.to_owned(), text.replace('\n', "\r\n"), text.replace('\n', "\r")] {
            assert_eq!(parse(&[text.as_bytes()]).unwrap(), expected);
            let single: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&single).unwrap(), expected);
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_no_event() {
        assert_eq!(parse(&[b"id: 7\ndata: x\n"]), Ok(vec![]));
        assert_eq!(parse(&[b"id: 7\n\n"]), Ok(vec![]));
    }

    #[test]
    fn hostile_streams_are_refused() {
        assert_eq!(parse(&[b"data: \xff\n"]), Err(SseError::Utf8));
        let endless = vec![b'x'; MAX_EVENT + 1];
        assert_eq!(parse(&[&endless]), Err(SseError::TooLong { limit: MAX_EVENT }));
        let line = [b"data: ".as_slice(), &vec![b'x'; MAX_EVENT / 4], b"\n"].concat();
        assert_eq!(parse(&[&line, &line, &line, &line, &line]), Err(SseError::TooLong { limit: MAX_EVENT }));
    }
}
