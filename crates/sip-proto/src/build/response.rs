use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{put_body, put_clean, put_copy, put_header, put_number, put_received, put_texts, undo_folds};
use crate::{
    header::{NameAddr, Via},
    header_id::HeaderId,
    message::{Header, Message},
    status::reason_phrase,
};

/// Writes the response to a request (RFC 3261 §8.2.6).
///
/// Every Via, From, To, Call-ID and CSeq are copied; what the request lacks, because it is only salvaged, is left out.
#[derive(Debug, Clone)]
pub struct ResponseBuilder<'a> {
    request: &'a Message,
    status: u16,
    reason: Option<String>,
    source: Option<SocketAddr>,
    to_tag: Option<&'a str>,
    record_route: bool,
    headers: BytesMut,
    content_type: Option<String>,
    body: Bytes,
}

/// What a response without a body has beside what it repeats of its request: with a copy of that it can be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    status: u16,
    reason: Option<String>,
    headers: Bytes,
}

impl<'a> ResponseBuilder<'a> {
    /// Begins the response to a copy of a request that was answered so.
    pub fn of_brief(request: &'a Message, brief: &Brief) -> Self {
        let headers = BytesMut::from(&*brief.headers);
        Self { reason: brief.reason.clone(), headers, ..Self::new(request, brief.status) }
    }

    /// What it is made of, if that is little.
    pub fn brief(&self) -> Option<Brief> {
        let added = self.headers.len() + self.reason.as_ref().map_or(0, String::len);
        let whole = self.record_route || self.content_type.is_some() || !self.body.is_empty() || added > MAX_BRIEF;
        let headers = || if self.headers.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&self.headers) };
        (!whole).then(|| Brief { status: self.status, reason: self.reason.clone(), headers: headers() })
    }

    /// Begins the response; an ACK must not be answered, the caller sees to that.
    pub fn new(request: &'a Message, status: u16) -> Self {
        Self {
            request,
            status: status.clamp(100, 699),
            reason: None,
            source: None,
            to_tag: None,
            record_route: false,
            headers: BytesMut::new(),
            content_type: None,
            body: Bytes::new(),
        }
    }

    /// Sets another reason phrase than the registered one.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// RFC 3261 §18.2.1, RFC 3581 §4: where the request came from, for `received` and `rport` of the topmost Via.
    #[must_use]
    pub fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// RFC 3261 §8.2.6.2: the tag for To when the request has none there; a 100 goes without. What no tag needs is left out.
    #[must_use]
    pub const fn to_tag(mut self, tag: &'a str) -> Self {
        self.to_tag = Some(tag);
        self
    }

    /// RFC 3261 §12.1.1: copies Record-Route, as responses that make a dialog must.
    #[must_use]
    pub const fn record_route(mut self) -> Self {
        self.record_route = true;
        self
    }

    /// Adds a header; Content-Type and Content-Length come with the body and are ignored here.
    #[must_use]
    pub fn header(mut self, id: HeaderId, value: &str) -> Self {
        if !matches!(id, HeaderId::ContentLength | HeaderId::ContentType) {
            put_header(&mut self.headers, id.name(), value.as_bytes());
        }
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: Bytes) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.body = body;
        self
    }

    /// Writes the response.
    pub fn encode(&self) -> Bytes {
        let mut out =
            BytesMut::with_capacity(self.request.octets().len().min(2_048) + self.headers.len() + self.body.len());
        self.put_status(&mut out, self.reason.as_deref());
        self.put_echo(&mut out, HeaderId::name);
        if self.status == 100 {
            // RFC 3261 §8.2.6.1.
            self.copy(&mut out, HeaderId::Timestamp, HeaderId::name);
        }
        if self.record_route {
            self.copy_all(&mut out, HeaderId::RecordRoute);
        }
        out.put_slice(&self.headers);
        put_body(&mut out, self.content_type.as_deref(), &self.body);
        out.freeze()
    }

    /// SEC-006: writes the response in at most so many octets, if need be without all that was added to it and with compact
    /// names; `None` when that is still too much.
    pub fn encode_within(&self, limit: usize) -> Option<Bytes> {
        let whole = self.encode();
        if whole.len() <= limit {
            return Some(whole);
        }
        let mut out = BytesMut::with_capacity(limit);
        self.put_status(&mut out, None);
        self.put_echo(&mut out, compact_name);
        out.put_slice(b"l:0\r\n\r\n");
        (out.len() <= limit).then(|| out.freeze())
    }

    fn put_status(&self, out: &mut BytesMut, reason: Option<&str>) {
        out.put_slice(b"SIP/2.0 ");
        put_number(out, self.status.into());
        out.put_u8(b' ');
        put_clean(out, reason.unwrap_or_else(|| reason_phrase(self.status)).as_bytes());
        out.put_slice(b"\r\n");
    }

    /// RFC 3261 §8.2.6.2: what every response repeats of its request.
    fn put_echo(&self, out: &mut BytesMut, name: NameOf) {
        self.put_vias(out, name(HeaderId::Via));
        self.copy(out, HeaderId::From, name);
        self.put_to(out, name(HeaderId::To));
        self.copy(out, HeaderId::CallId, name);
        self.copy(out, HeaderId::CSeq, name);
    }

    fn put_vias(&self, out: &mut BytesMut, name: &str) {
        for (at, header) in self.request.headers(HeaderId::Via).enumerate() {
            match (at, self.source, header.text()) {
                (0, Some(source), Ok(line)) => put_stamped(out, name, line, source),
                (_, _, Ok(_) | Err(_)) => put_copy(out, name, &header),
            }
        }
    }

    fn put_to(&self, out: &mut BytesMut, name: &str) {
        let Some(header) = self.request.header(HeaderId::To) else { return };
        let tag = self.to_tag.filter(|_| self.status != 100 && !has_tag(&header));
        put_copy(out, name, &header);
        if let Some(tag) = tag {
            // The tag goes before the line end just written.
            out.truncate(out.len() - 2);
            out.put_slice(b";tag=");
            out.extend(tag.bytes().filter(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(octet)));
            out.put_slice(b"\r\n");
        }
    }

    fn copy(&self, out: &mut BytesMut, id: HeaderId, name: NameOf) {
        if let Some(header) = self.request.header(id) {
            put_copy(out, name(id), &header);
        }
    }

    fn copy_all(&self, out: &mut BytesMut, id: HeaderId) {
        for header in self.request.headers(id) {
            put_copy(out, id.name(), &header);
        }
    }
}

/// Octets of a reason phrase and headers that are little: those who keep many count no more for them.
const MAX_BRIEF: usize = 256;

/// How a header is called.
type NameOf = fn(HeaderId) -> &'static str;

/// RFC 3261 §7.3.3, for what every response repeats.
#[allow(clippy::wildcard_enum_match_arm, reason = "the others keep their names")]
fn compact_name(id: HeaderId) -> &'static str {
    match id {
        HeaderId::Via => "v",
        HeaderId::From => "f",
        HeaderId::To => "t",
        HeaderId::CallId => "i",
        other => other.name(),
    }
}

/// A To that cannot be read is left as it is: a tag behind it would not be found either.
fn has_tag(to: &Header<'_>) -> bool {
    to.text().and_then(|text| NameAddr::parse(HeaderId::To, text)).map_or(true, |to| to.tag().is_some())
}

/// Appends the first line of Via with `received` and `rport` filled in on its first value; as it is when it cannot be read.
fn put_stamped(out: &mut BytesMut, name: &str, line: &str, source: SocketAddr) {
    let Ok((via, rest)) = Via::parse_first(line) else { return put_received(out, name, line.as_bytes()) };
    let begin = out.len();
    put_texts(out, &[name, ": SIP/2.0/", via.transport, " ", via.host.as_str()]);
    if let Some(port) = via.port {
        put_texts(out, &[":"]);
        put_number(out, port.into());
    }
    let mut asks = false;
    for param in via.params.iter() {
        asks |= param.name.eq_ignore_ascii_case("rport");
        // What a sender claims about his own address does not count.
        if is_ours(param.name) {
            continue;
        }
        put_texts(out, &[";", param.name]);
        if let Some(value) = param.value {
            let quote = if param.quoted { "\"" } else { "" };
            put_texts(out, &["=", quote, value, quote]);
        }
    }
    // RFC 3581 §4: with rport, received is added even when it equals sent-by.
    if asks {
        put_texts(out, &[";rport="]);
        put_number(out, source.port().into());
    }
    if asks || via.host.ip() != Some(source.ip()) {
        put_texts(out, &[";received="]);
        put_ip(out, source.ip());
    }
    if !rest.is_empty() {
        put_texts(out, &[", ", rest.trim_start()]);
    }
    undo_folds(out, begin);
    put_texts(out, &["\r\n"]);
}

/// Appends an address, without brackets (RFC 5118 §4.5).
fn put_ip(out: &mut BytesMut, ip: IpAddr) {
    match ip {
        IpAddr::V4(four) => {
            for (at, octet) in four.octets().into_iter().enumerate() {
                put_texts(out, &[if at == 0 { "" } else { "." }]);
                put_number(out, octet.into());
            }
        }
        // Writing to memory can't fail.
        IpAddr::V6(six) => drop(write!(out, "{six}")),
    }
}

fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(via: &str, to: &str) -> Message {
        let text = format!(
            "MESSAGE sip:a@b SIP/2.0\r\n{via}\r\nv: SIP/2.0/TCP last.example;branch=z9hG4bK9\r\nf: <sip:c@d>;tag=1\r\n\
             t: {to}\r\ni: x@y\r\nCSeq: 7 MESSAGE\r\nRecord-Route: <sip:p;lr>\r\nTimestamp: 54\r\nl: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn text(builder: &ResponseBuilder<'_>) -> String {
        String::from_utf8(builder.encode().to_vec()).unwrap()
    }

    // checks: SIP-012
    #[test]
    fn rfc3261_s25_1_a_quoted_control_behind_the_stamped_via_stays() {
        let request = request(
            "Via: SIP/2.0/UDP a;branch=z9hG4bK1;rport, SIP/2.0/UDP b;branch=z9hG4bK2;x=\"\\\u{1}\"",
            "<sip:a@b>",
        );
        let answer = text(&ResponseBuilder::new(&request, 200).source("192.0.2.1:5060".parse().unwrap()));
        assert!(answer.contains(", SIP/2.0/UDP b;branch=z9hG4bK2;x=\"\\\u{1}\"\r\n"), "{answer}");
        assert!(Message::parse(Bytes::from(answer)).is_ok());
    }

    // checks: SIP-032
    #[test]
    fn rfc3261_s8_2_6_2_copies_in_order_and_adds_the_tag() {
        let request = request("Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2", "\"B\" <sip:a@b>");
        let builder = ResponseBuilder::new(&request, 415).to_tag("t1").header(HeaderId::Accept, "text/plain");
        assert_eq!(
            text(&builder),
            "SIP/2.0 415 Unsupported Media Type\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2\r\n\
             Via: SIP/2.0/TCP last.example;branch=z9hG4bK9\r\nFrom: <sip:c@d>;tag=1\r\nTo: \"B\" <sip:a@b>;tag=t1\r\n\
             Call-ID: x@y\r\nCSeq: 7 MESSAGE\r\nAccept: text/plain\r\nContent-Length: 0\r\n\r\n"
        );
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_a_brief_answer_is_made_anew_with_all_that_was_added_and_a_long_one_is_not_brief() {
        let first = request("Via: SIP/2.0/UDP a;branch=z9hG4bK1", "<sip:a@b>");
        let builder = ResponseBuilder::new(&first, 503).reason("Too much").header(HeaderId::RetryAfter, "30");
        let brief = builder.brief().unwrap();
        let copy = request("Via: SIP/2.0/UDP a;branch=z9hG4bK1", "<sip:a@b>");
        let again = ResponseBuilder::of_brief(&copy, &brief).to_tag("t1");
        assert_eq!(text(&again), text(&builder.to_tag("t1")));
        let answer = || ResponseBuilder::new(&first, 480);
        assert!(answer().body("text/plain", Bytes::from_static(b"x")).brief().is_none());
        assert!(answer().record_route().brief().is_none());
        assert!(answer().header(HeaderId::Contact, &"x".repeat(MAX_BRIEF)).brief().is_none());
        assert!(answer().reason(&"x".repeat(MAX_BRIEF)).brief().is_some());
    }

    // checks: SIP-032
    #[test]
    fn a_tag_that_is_there_stays_and_a_100_gets_none() {
        let tagged = request("Via: SIP/2.0/UDP a", "<sip:a@b>;tag=theirs");
        assert!(text(&ResponseBuilder::new(&tagged, 200).to_tag("ours")).contains("To: <sip:a@b>;tag=theirs\r\n"));
        let plain = request("Via: SIP/2.0/UDP a", "<sip:a@b>");
        let trying = text(&ResponseBuilder::new(&plain, 100).to_tag("ours"));
        assert!(trying.contains("To: <sip:a@b>\r\n") && trying.contains("Timestamp: 54\r\n"));
        assert!(text(&ResponseBuilder::new(&plain, 200).record_route()).contains("Record-Route: <sip:p;lr>\r\n"));
    }

    #[test]
    fn a_to_that_cannot_be_read_stays_as_it_is() {
        let broken = request("Via: SIP/2.0/UDP a", "<sip:a@b");
        assert!(text(&ResponseBuilder::new(&broken, 400).to_tag("ours")).contains("To: <sip:a@b\r\n"));
    }

    // checks: SIP-012
    #[test]
    fn a_fold_within_the_stamped_via_is_undone() {
        let request = request("Via: SIP/2.0/UDP a;branch=z9hG4bK1;x=\"y\r\n z\",\r\n SIP/2.0/TCP b", "<sip:a@b>");
        let answer = text(&ResponseBuilder::new(&request, 200).source("[2001:db8::9]:5060".parse().unwrap()));
        let via = "Via: SIP/2.0/UDP a;branch=z9hG4bK1;x=\"y z\";received=2001:db8::9, SIP/2.0/TCP b\r\n";
        assert!(answer.contains(via), "{answer}");
    }

    // checks: SIP-012
    #[test]
    fn rfc3581_s4_received_and_rport_are_filled_in() {
        let source = "192.0.2.1:9988".parse().unwrap();
        let top = |via: &str| {
            let request = request(via, "<sip:a@b>");
            let text = text(&ResponseBuilder::new(&request, 200).source(source));
            text.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            top("Via: SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKrp1"),
            "Via: SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKrp1;rport=9988;received=192.0.2.1"
        );
        assert_eq!(top("Via: SIP/2.0/UDP 192.0.2.1;branch=z9"), "Via: SIP/2.0/UDP 192.0.2.1;branch=z9");
        assert_eq!(
            top("Via: SIP/2.0/UDP a.example;received=6.6.6.6, SIP/2.0/UDP b"),
            "Via: SIP/2.0/UDP a.example;received=192.0.2.1, SIP/2.0/UDP b"
        );
        // RFC 5118 §4.5: an IPv6 address in received has no brackets.
        let source = "[2001:db8::9]:5060".parse().unwrap();
        let request = request("Via: SIP/2.0/UDP a.example", "<sip:a@b>");
        assert!(text(&ResponseBuilder::new(&request, 200).source(source)).contains(";received=2001:db8::9\r\n"));
    }

    // checks: SEC-003
    #[test]
    fn a_reason_phrase_cannot_end_the_line() {
        let request = request("Via: SIP/2.0/UDP a", "<sip:a@b>");
        let text = text(&ResponseBuilder::new(&request, 404).reason("No\r\nsuch \u{0}user"));
        assert!(text.starts_with("SIP/2.0 404 No such user\r\n"));
    }

    // checks: SEC-006
    #[test]
    fn a_response_can_be_held_within_the_size_of_its_request() {
        let request = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
                       From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let request = Message::parse(Bytes::from_static(request.as_bytes())).unwrap();
        let size = request.octets().len();
        let response = ResponseBuilder::new(&request, 200)
            .source("192.0.2.1:5060".parse().unwrap())
            .to_tag("0123456789abcdef")
            .header(HeaderId::Allow, &"MESSAGE, ".repeat(20));
        assert!(response.encode().len() > size);
        let short = response.encode_within(size).unwrap();
        assert!(short.len() <= size);
        let parsed = Message::parse(short).unwrap();
        assert!(parsed.verify().is_ok() && parsed.to().unwrap().tag().is_some());
        assert!(response.encode_within(100).is_none());
        assert_eq!(response.encode_within(10_000).unwrap(), response.encode());
    }
}
