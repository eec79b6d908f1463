use bytes::Bytes;

use super::{Message, Span, StartLine, parse::parse_single_header};
use crate::{
    header_id::HeaderId,
    limits::{MAX_HEAD, MAX_HEADERS},
    method::Method,
};

/// What can still be read of a request that is no message: enough to answer it (RFC 3261 §8.2.6.2).
#[derive(Debug, Clone)]
pub struct Salvage {
    request: Message,
}

impl Salvage {
    /// Reads Via, From, To, Call-ID and CSeq lines that are sound by themselves.
    ///
    /// `None` when no answer is possible or allowed: a response, an ACK, or no Via at all.
    pub fn of(octets: &Bytes) -> Option<Self> {
        let head = octets.get(..octets.len().min(MAX_HEAD)).unwrap_or_default();
        let mut lines = logical_lines(head).skip_while(|(start, end)| start == end);
        let (start, end) = lines.next()?;
        let line = head.get(start..end)?;
        let word = line.split(|octet| octet.is_ascii_whitespace()).next()?;
        let method = Method::parse(std::str::from_utf8(word).ok()?)?;
        // A status line begins with SIP/2.0, which is no token; an ACK is never answered (RFC 3261 §8.2.6).
        if method == Method::Ack {
            return None;
        }
        let headers: Vec<_> = lines
            .take_while(|(start, end)| start != end)
            .take(MAX_HEADERS)
            .filter_map(|(start, end)| parse_single_header(head, start, end))
            .filter(|header| is_echoed(header.id))
            .collect();
        let has_via = headers.iter().any(|header| header.id == HeaderId::Via);
        let start = StartLine::Request { method, uri: Span::default(), version: Span::default() };
        has_via.then(|| Self { request: Message { octets: octets.clone(), start, headers, body: Span::default() } })
    }

    /// The request as far as it goes, with an empty Request-URI and no body; good only for building a response.
    pub const fn request(&self) -> &Message {
        &self.request
    }
}

const fn is_echoed(id: HeaderId) -> bool {
    matches!(id, HeaderId::Via | HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::CSeq)
}

/// Lines by LF, without CR, each with the folds that follow it.
fn logical_lines(head: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= head.len() {
            return None;
        }
        let start = at;
        loop {
            let rest = head.get(at..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line_start = at;
            let mut end = at + length;
            at = end + 1;
            if end > line_start && head.get(end - 1) == Some(&b'\r') {
                end -= 1;
            }
            if end == start || !matches!(head.get(at), Some(b' ' | b'\t')) {
                return Some((start, end));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::ResponseBuilder;

    fn salvage(text: &[u8]) -> Option<Salvage> {
        Salvage::of(&Bytes::copy_from_slice(text))
    }

    #[test]
    fn rfc3261_s8_2_6_2_what_is_sound_is_echoed() {
        let text = b"\r\nMESSAGE sip:a b@c SIP/2.0\r\nVia: SIP/2.0/UDP c\r\n ;branch=z9hG4bK1\r\nno colon\r\n\
            From: <sip:c@d>;tag=1\r\nTo: \"open <sip:a@b>\r\nSubject: s\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n\r\n\
            Via: SIP/2.0/UDP body";
        let salvage = salvage(text).unwrap();
        let response = ResponseBuilder::new(salvage.request(), 400).to_tag("t").encode();
        assert_eq!(
            response,
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP c ;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             Call-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn some_things_are_never_answered() {
        assert!(salvage(b"SIP/2.0 999 x\r\nVia: SIP/2.0/UDP c\r\n\r\n").is_none());
        assert!(salvage(b"ACK sip:a SIP/2.0\r\nVia: SIP/2.0/UDP c\r\n\r\n").is_none());
        assert!(salvage(b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\n").is_none());
        assert!(salvage(b"").is_none() && salvage(b"\r\n\r\n").is_none() && salvage(b"\xff\xfe").is_none());
    }
}
