use std::borrow::Cow;

use bytes::Bytes;

use super::{HeaderSpan, Message, StartLine};
use crate::{
    grammar,
    header::{self, CSeq, CallId, HeaderError, MediaType, NameAddr, Via},
    header_id::HeaderId,
    method::Method,
    status::StatusCode,
};

/// One header field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The name, interned.
    pub id: HeaderId,
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Header<'a> {
    /// The name as spelled by the sender.
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// The value without white space around it; folds are still in it.
    pub const fn octets(&self) -> &'a [u8] {
        self.value
    }

    /// The value as text, folds still in it; RFC 3261 §7: UTF-8.
    pub fn text(&self) -> Result<&'a str, HeaderError> {
        std::str::from_utf8(self.value).map_err(|_| HeaderError::Utf8(self.id))
    }

    /// The values of a comma-list field on this line (RFC 3261 §7.3.1).
    fn list(self) -> impl Iterator<Item = Result<&'a str, HeaderError>> {
        let (text, error) = match self.text() {
            Ok(text) => (text, None),
            Err(error) => ("", Some(Err(error))),
        };
        error.into_iter().chain(grammar::split_list(text).map(Ok))
    }

    /// The value for a person: folds made one space, octets that are not UTF-8 replaced.
    pub fn display(&self) -> Cow<'a, str> {
        match String::from_utf8_lossy(self.value) {
            Cow::Borrowed(text) => grammar::unfold(text),
            Cow::Owned(text) => Cow::Owned(grammar::unfold(&text).into_owned()),
        }
    }
}

/// The headers that every request and response must have, typed (RFC 3261 §8.1.1).
#[derive(Debug, Clone, Copy)]
pub struct KeyHeaders<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// Whether there are further ones below.
    pub has_vias_below: bool,
    /// The sender.
    pub from: NameAddr<'a>,
    /// The addressee.
    pub to: NameAddr<'a>,
    /// The conversation.
    pub call_id: CallId<'a>,
    /// The place in it.
    pub cseq: CSeq<'a>,
    /// `None` when absent, as before RFC 3261.
    pub max_forwards: Option<u8>,
}

impl Message {
    /// Whether it is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The method of a request.
    pub const fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The Request-URI of a request, not parsed yet.
    pub fn request_uri(&self) -> Option<&str> {
        match &self.start {
            StartLine::Request { uri, .. } => std::str::from_utf8(uri.of(&self.octets)).ok(),
            StartLine::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub const fn status(&self) -> Option<StatusCode> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(*status),
        }
    }

    /// The reason phrase of a response; octets that are not UTF-8 are replaced.
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { reason, .. } => Some(String::from_utf8_lossy(reason.of(&self.octets))),
        }
    }

    /// Whether it is SIP/2.0; another version is answered with 505 (RFC 3261 §21.5.6).
    pub fn is_version_2(&self) -> bool {
        let (StartLine::Request { version, .. } | StartLine::Response { version, .. }) = &self.start;
        version.of(&self.octets).eq_ignore_ascii_case(b"SIP/2.0")
    }

    /// All header fields in order, one per header line.
    pub fn all_headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.headers.iter().map(|span| self.resolve(span))
    }

    /// The header lines of one name, in order. Of [`HeaderId::Other`]: all unknown ones.
    pub fn headers(&self, id: HeaderId) -> impl Iterator<Item = Header<'_>> {
        self.headers.iter().filter(move |span| span.id == id).map(|span| self.resolve(span))
    }

    /// The first header line of that name.
    pub fn header(&self, id: HeaderId) -> Option<Header<'_>> {
        self.headers.iter().find(|span| span.id == id).map(|span| self.resolve(span))
    }

    /// The header lines of a name without a [`HeaderId`], in any case.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = Header<'_>> {
        self.headers(HeaderId::Other).filter(move |header| header.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The text of the only header line of that name; `None` when absent.
    pub fn only(&self, id: HeaderId) -> Result<Option<&str>, HeaderError> {
        let mut found = self.headers(id);
        let Some(header) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(HeaderError::Repeated(id));
        }
        header.text().map(Some)
    }

    /// All values of a comma-list field over all its lines (RFC 3261 §7.3.1).
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = Result<&str, HeaderError>> {
        self.headers(id).flat_map(|header| header.list())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.body.of(&self.octets)
    }

    /// The body, sharing the message's buffer.
    pub fn body_bytes(&self) -> Bytes {
        let end = self.octets.len();
        self.octets.slice(self.body.start().min(end)..self.body.end().min(end))
    }

    /// The whole message as received, octets behind its body left out.
    pub const fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        let header = self.header(HeaderId::Via).ok_or(HeaderError::Missing(HeaderId::Via))?;
        Via::parse_first(header.text()?).map(|(via, _)| via)
    }

    /// Every Via in order.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderError>> {
        self.values(HeaderId::Via).map(|value| value.and_then(Via::parse))
    }

    /// The topmost Via, and those below it in order.
    pub fn split_vias(&self) -> Result<(Via<'_>, impl Iterator<Item = Result<Via<'_>, HeaderError>>), HeaderError> {
        let header = self.header(HeaderId::Via).ok_or(HeaderError::Missing(HeaderId::Via))?;
        let (via, rest) = Via::parse_first(header.text()?)?;
        Ok((via, self.vias_behind(rest)))
    }

    /// The Vias below the topmost one, whose line goes on with `rest`.
    pub(super) fn vias_behind<'a>(&'a self, rest: &'a str) -> impl Iterator<Item = Result<Via<'a>, HeaderError>> {
        let lines = self.headers(HeaderId::Via).skip(1).flat_map(|header| header.list());
        grammar::split_list(rest).map(Ok).chain(lines).map(|value| value.and_then(Via::parse))
    }

    /// RFC 3261 §20.20.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(HeaderId::From, self.required(HeaderId::From)?)
    }

    /// RFC 3261 §20.39.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(HeaderId::To, self.required(HeaderId::To)?)
    }

    /// RFC 3261 §20.8.
    pub fn call_id(&self) -> Result<CallId<'_>, HeaderError> {
        CallId::parse(self.required(HeaderId::CallId)?)
    }

    /// RFC 3261 §20.16.
    pub fn cseq(&self) -> Result<CSeq<'_>, HeaderError> {
        CSeq::parse(self.required(HeaderId::CSeq)?)
    }

    /// RFC 3261 §20.22; `None` when absent.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.only(HeaderId::MaxForwards)?.map(header::max_forwards).transpose()
    }

    /// RFC 3261 §20.15; `None` when absent.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, HeaderError> {
        self.only(HeaderId::ContentType)?.map(MediaType::parse).transpose()
    }

    /// The addresses of a field such as Contact, Route and Record-Route; a Contact of `*` is an error here.
    pub fn addresses(&self, id: HeaderId) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.values(id).map(move |value| NameAddr::parse(id, value?))
    }

    /// The mandatory headers, typed; each must occur exactly once (Via: at least).
    pub fn key_headers(&self) -> Result<KeyHeaders<'_>, HeaderError> {
        self.key_headers_and_rest().map(|(key, _)| key)
    }

    /// The same, with what the line of the topmost Via goes on with.
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other headers are of no interest here")]
    pub(super) fn key_headers_and_rest(&self) -> Result<(KeyHeaders<'_>, &str), HeaderError> {
        // One pass instead of a search for each: this is what every message goes through.
        let [mut via, mut from, mut to, mut call_id, mut cseq, mut max_forwards] = [None; 6];
        let mut via_lines = 0;
        for span in &self.headers {
            let found = match span.id {
                HeaderId::Via => {
                    via = via.or(Some(span));
                    via_lines += 1;
                    continue;
                }
                HeaderId::From => from.replace(span),
                HeaderId::To => to.replace(span),
                HeaderId::CallId => call_id.replace(span),
                HeaderId::CSeq => cseq.replace(span),
                HeaderId::MaxForwards => max_forwards.replace(span),
                _ => continue,
            };
            if found.is_some() {
                return Err(HeaderError::Repeated(span.id));
            }
        }
        let text = |id, span: Option<&HeaderSpan>| self.resolve(span.ok_or(HeaderError::Missing(id))?).text();
        let (via, rest) = Via::parse_first(text(HeaderId::Via, via)?)?;
        let key = KeyHeaders {
            via,
            has_vias_below: via_lines > 1 || !rest.is_empty(),
            from: NameAddr::parse(HeaderId::From, text(HeaderId::From, from)?)?,
            to: NameAddr::parse(HeaderId::To, text(HeaderId::To, to)?)?,
            call_id: CallId::parse(text(HeaderId::CallId, call_id)?)?,
            cseq: CSeq::parse(text(HeaderId::CSeq, cseq)?)?,
            max_forwards: max_forwards.map(|span| header::max_forwards(self.resolve(span).text()?)).transpose()?,
        };
        Ok((key, rest))
    }

    fn required(&self, id: HeaderId) -> Result<&str, HeaderError> {
        self.only(id)?.ok_or(HeaderError::Missing(id))
    }

    fn resolve(&self, span: &HeaderSpan) -> Header<'_> {
        Header { id: span.id, name: span.name.of(&self.octets), value: span.value.of(&self.octets) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message::parse(Bytes::from_static(
            b"OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP one, SIP/2.0/UDP two\r\nX-One: 1\r\nVia: SIP/2.0/TLS three\r\n\
              m: \"a, b\" <sip:a@b,c>, <sip:d@e>\r\nx-two: \xff\r\nTo: <sip:a@b>\r\nt: <sip:c@d>\r\n\r\n",
        ))
        .unwrap()
    }

    // checks: SIP-011
    #[test]
    fn rfc3261_s7_3_1_lines_and_commas_are_one_list() {
        let message = message();
        let transports: Vec<_> = message.vias().map(|via| via.unwrap().transport).collect();
        assert_eq!(transports, ["TCP", "UDP", "TLS"]);
        assert_eq!(message.top_via().unwrap().host.as_str(), "one");
        let uris: Vec<_> = message.addresses(HeaderId::Contact).map(|addr| addr.unwrap().uri).collect();
        assert_eq!(uris, ["sip:a@b,c", "sip:d@e"]);
    }

    #[test]
    fn all_headers_come_in_order_as_spelled() {
        let message = message();
        let names: Vec<_> = message.all_headers().map(|header| header.name()).collect();
        assert_eq!(names, ["v", "X-One", "Via", "m", "x-two", "To", "t"]);
        assert_eq!(message.headers(HeaderId::Other).count(), 2);
        assert_eq!(message.headers_named("X-TWO").next().unwrap().octets(), b"\xff");
    }

    // checks: TOR-034, TOR-041
    #[test]
    fn mandatory_headers_occur_once() {
        assert_eq!(message().to().err(), Some(HeaderError::Repeated(HeaderId::To)));
        assert_eq!(message().key_headers().err(), Some(HeaderError::Repeated(HeaderId::To)));
        assert_eq!(message().call_id().err(), Some(HeaderError::Missing(HeaderId::CallId)));
        assert_eq!(message().max_forwards(), Ok(None));
    }
}
