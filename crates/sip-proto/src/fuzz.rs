//! Entry points for fuzzing.
//!
//! Each takes any octets, must return, and panics only when a property is broken that must hold for every input.

use bytes::{Bytes, BytesMut};

use crate::{
    build::ResponseBuilder,
    framer::{Event, StreamFramer, datagram},
    header::{ContentDisposition, Date, MediaType, RetryAfter, Via, Warning, elements},
    header_id::HeaderId,
    message::Message,
    uri::{SipUri, Uri, decode, encode_user},
};

/// A datagram: parse, read everything, answer; the answer must parse.
pub fn message(octets: &[u8]) {
    match datagram(Bytes::copy_from_slice(octets)) {
        Ok(None) => {}
        Ok(Some(message)) => read_all(&message),
        Err(rejected) => {
            if let Some(salvage) = rejected.salvage() {
                answer(salvage.request(), rejected.error.status());
            }
        }
    }
}

/// A stream, cut by its first octet: any pieces must give the events that the whole gives, but for line ends.
pub fn stream(octets: &[u8]) {
    let Some((piece, octets)) = octets.split_first() else { return };
    let whole = events(octets, octets.len().max(1));
    let pieces = events(octets, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "pieces of {piece}");
}

/// A URI: what parses is written back to an equal one.
pub fn uri(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let user = encode_user(text);
    assert_eq!(decode(&user).ok().as_deref(), Some(text), "user part");
    let Ok(parsed) = Uri::parse(text) else { return };
    let written = parsed.to_string();
    let again = Uri::parse(&written);
    assert!(again.is_ok_and(|again| again.equivalent(&parsed)), "{text} became {written}");
}

fn events(octets: &[u8], piece: usize) -> Vec<String> {
    let (mut framer, mut buffer, mut seen) = (StreamFramer::new(4_096), BytesMut::new(), Vec::new());
    for chunk in octets.chunks(piece) {
        buffer.extend_from_slice(chunk);
        loop {
            match framer.poll(&mut buffer) {
                Ok(Some(Event::Message(message))) => seen.push(format!("{:?}", message.octets())),
                Ok(Some(Event::Broken(rejected))) => seen.push(rejected.error.code().to_owned()),
                Ok(Some(Event::Ping | Event::Pong)) => {}
                Ok(None) => break,
                // Of several faults the one that is seen first depends on how much has come.
                Err(_) => {
                    seen.push("fatal".to_owned());
                    return seen;
                }
            }
        }
    }
    seen
}

fn read_all(message: &Message) {
    for header in message.all_headers() {
        assert!(!header.name().is_empty());
        let Ok(text) = header.text() else { continue };
        read_value(text);
    }
    let _ = (message.request_uri().map(SipUri::parse), message.reason(), message.body_bytes());
    let status = if message.verify().is_ok() { 200 } else { 400 };
    if message.is_request() {
        answer(message, status);
    }
}

/// Every typed parser on every value, whatever its header.
fn read_value(text: &str) {
    for element in elements(text) {
        let _ = Via::parse(element).map(|via| via.params.iter().count());
        let _ = crate::header::NameAddr::parse(HeaderId::To, element)
            .map(|addr| addr.display_name().map(|name| name.len()));
        let _ = Warning::parse(element);
        let _ = MediaType::parse(element).map(|media| media.charset().map(|charset| charset.len()));
    }
    let _ = (Date::parse(text), RetryAfter::parse(text), ContentDisposition::parse(text));
}

fn answer(request: &Message, status: u16) {
    let source = ([192, 0, 2, 1], 5060).into();
    let octets = ResponseBuilder::new(request, status).to_tag("fuzz").source(source).encode();
    let response = Message::parse(octets.clone());
    assert!(response.is_ok_and(|response| !response.is_request()), "{octets:?}");
}

#[cfg(test)]
mod tests {
    // One run of each over the inputs that found something, or should have.
    #[test]
    fn seeds_hold_their_properties() {
        let seeds: [&[u8]; 8] = [
            b"",
            b"\r\n\r\n",
            b"\x03OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nl: 0\r\n\r\n\r\n\r\n",
            b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;x=\"\\\x07\r\n b\"\r\nTo: \"\\\x7f\" <sip:a>\r\n\r\n",
            b"OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP c\r\nbad\r\nTo: \xff\xfe\r\n\r\n",
            b"SIP/2.0 200\r\n\r\n",
            b"sip:a%40b:c@[::1]:1;x=%00;y?z=1",
            "im:%zz\u{e9}".as_bytes(),
        ];
        for seed in seeds {
            super::message(seed);
            super::stream(seed);
            super::uri(seed);
        }
        assert_eq!(super::events(b"\r\n\r\n", 1), Vec::<String>::new());
    }
}
