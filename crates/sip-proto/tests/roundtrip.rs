//! Parse, encode, parse: what is written reads back, whatever goes in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use bytes::Bytes;
use proptest::prelude::*;
use sip_proto::{
    build::{RequestBuilder, ResponseBuilder, TopVia},
    fuzz,
    header::{Date, NameAddr, Warning, quote},
    header_id::HeaderId,
    message::Message,
    method::Method,
    uri::{Scheme, SipUri, SipUriBuilder, Uri, decode, encode_param, encode_user},
};

const VIA: TopVia<'_> =
    TopVia { transport: "UDP", sent_by: "gw.example", branch: "z9hG4bKr1", rport: true, alias: false };

/// A message with mistakes in it: a sound one, some octets of which are replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let sound = "MESSAGE sip:a@b;x=y SIP/2.0\r\nVia: SIP/2.0/UDP c:5060;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
                 From: \"A \\\" B\" <sip:c@d;gr=x>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x@y\r\nCSeq: 1 MESSAGE\r\n\
                 Contact: <sip:q@[::1]:5070;lr?a=b>;q=0.5, *\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\nl: 3\r\n\r\nabc";
    let octet = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n \t\";:,<>@\\%=\0\x7f\xff[]?".to_vec())];
    prop::collection::vec((0..sound.len(), octet), 0..6).prop_map(move |changes| {
        let mut octets = sound.as_bytes().to_vec();
        changes.into_iter().for_each(|(at, octet)| octets[at] = octet);
        octets
    })
}

proptest! {
    // checks: SEC-003, INV-05
    #[test]
    fn no_header_value_adds_a_line(value in any::<String>(), body in prop::collection::vec(any::<u8>(), 0..50)) {
        let octets = RequestBuilder::new(Method::Message, "sip:a@b")
            .header(HeaderId::From, "<sip:c@d>;tag=1")
            .header(HeaderId::To, &format!("{} <sip:a@b>", quote(&value)))
            .header(HeaderId::CallId, "x")
            .header(HeaderId::Subject, &value)
            .cseq(1)
            .body("text/plain", Bytes::from(body.clone()))
            .encode(&VIA);
        let message = Message::parse(octets).unwrap();
        prop_assert_eq!(message.all_headers().count(), 8);
        prop_assert_eq!(message.body(), body.as_slice());
        let shown: String = value.chars().filter(|c| !c.is_control()).collect();
        prop_assert_eq!(message.verify().unwrap().to.display_name().unwrap().into_owned(), shown);
        let response = Message::parse(ResponseBuilder::new(&message, 200).reason(&value).to_tag("t").encode()).unwrap();
        prop_assert_eq!(response.verify().unwrap().to.tag(), Some("t"));
    }

    // checks: ADR-003, ADR-022
    #[test]
    fn escaped_parts_come_back(user in "\\PC{1,20}|[ -~]{1,20}|.{1,9}", gr in ".{1,20}") {
        let text = SipUriBuilder::new(Scheme::Sip, Some(&user), "gw.example").port(5060).param("gr", Some(&gr)).build();
        let uri = SipUri::parse(&text).unwrap();
        prop_assert_eq!(uri.user_decoded().unwrap().unwrap(), user.as_str());
        prop_assert_eq!(decode(uri.gr().unwrap().unwrap()).unwrap(), gr.as_str());
        prop_assert_eq!(uri.to_string(), text.clone());
        prop_assert!(uri.equivalent(&SipUri::parse(&text.replace("@gw", "@GW")).unwrap()));
        prop_assert!(encode_user(&encode_user(&user)).is_ascii() && encode_param(&gr).is_ascii());
    }

    #[test]
    fn uris_that_parse_are_written_as_they_were(text in "(sip|sips|im|SIP):[a-zA-Z0-9%@:;=?&.\\[\\]/+_-]{0,30}") {
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert!(uri.to_string().eq_ignore_ascii_case(&text));
            prop_assert!(uri.equivalent(&Uri::parse(&text).unwrap()));
        }
    }

    #[test]
    fn dates_come_back(seconds in -62_167_219_200_i64..253_402_300_799) {
        let date = Date::from_unix(seconds);
        prop_assert_eq!(Date::parse(&date.to_string()).unwrap(), date);
    }

    #[test]
    fn warnings_come_back(code in 100_u16..1_000, text in "\\PC{0,30}") {
        let warning = Warning { code, agent: "gw.example:5060", text: text.into() };
        let written = warning.to_string();
        prop_assert_eq!(Warning::parse(&written).unwrap(), warning);
    }

    #[test]
    fn display_names_come_back(name in "\\PC{0,30}") {
        let written = format!("{} <sip:a@b>;tag=1", quote(&name));
        prop_assert_eq!(NameAddr::parse(HeaderId::To, &written).unwrap().display_name().unwrap(), name.as_str());
    }

    #[test]
    fn damaged_messages_hold_the_properties_of_fuzzing(octets in damaged()) {
        fuzz::message(&octets);
        fuzz::stream(&[&[7], octets.as_slice(), octets.as_slice()].concat());
    }

    #[test]
    fn any_octets_hold_the_properties_of_fuzzing(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::message(&octets);
        fuzz::stream(&octets);
        fuzz::uri(&octets);
    }
}
