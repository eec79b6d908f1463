//! What holds for every message, however hostile its sender.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::message::{Form, from_request, to_request};
use adapter_sip::mapping::thread::ThreadTable;
use adapter_sip::mapping::{address, content};
use bytes::Bytes;
use impp_model::datetime::DateTime;
use impp_model::{
    Address, Content, Device, Endpoint, InstantMessage, LangText, LanguageTag, MaxForwards, MessageId,
    MessageOperation, Thread,
};
use proptest::prelude::*;
use sip_proto::build::TopVia;
use sip_proto::header::MediaType;
use sip_proto::message::Message;

fn end() -> impl Strategy<Value = Endpoint> {
    let domain =
        prop_oneof![Just("example.net"), Just("xn--bcher-kva.example"), Just("[2001:db8::1]"), Just("192.0.2.1")];
    let text = || any::<String>().prop_filter("legal", |text| Device::new(text).is_ok());
    (text(), domain, proptest::option::of(text())).prop_map(|(local, domain, device)| Endpoint {
        address: Address::new(&local, domain.parse().unwrap()).unwrap(),
        device: device.map(|device| Device::new(&device).unwrap()),
    })
}

fn operation() -> impl Strategy<Value = MessageOperation> {
    let text = any::<String>;
    let head = (end(), end(), proptest::option::of(text()), proptest::option::of(text()));
    let rest = (
        proptest::collection::vec(text(), 0..3),
        proptest::option::of(text()),
        "\\PC.{0,80}",
        -60_000_000_000_i64..250_000_000_000,
    );
    (head, rest).prop_map(|((source, destination, id, thread), (subjects, language, body, sent))| MessageOperation {
        source,
        destination,
        max_forwards: MaxForwards(70),
        trans_id: "t".into(),
        message: InstantMessage {
            id: id.map(MessageId::from),
            thread: thread.map(Thread::from),
            subjects: subjects.into_iter().map(|text| LangText { language: None, text }).collect(),
            sent: DateTime::from_epoch(sent, 0),
            ..InstantMessage::new(Content { language: language.map(LanguageTag::from), ..Content::text(body) })
        },
    })
}

/// What stands in the requests of this gateway and nothing else does.
const HEADERS: [&str; 11] = [
    "Via",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Subject",
    "Content-Language",
    "Date",
    "Content-Type",
    "Content-Length",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // checks: SEC-003, SIP-008, IM-002, IM-005, IM-008, ADR-003, ADR-016, INV-05
    #[test]
    fn whatever_is_sent_is_a_sound_request_that_says_the_same(operation in operation()) {
        let mut threads = ThreadTable::default();
        let ids = RequestIds::of_message(&operation, 0);
        let call_id = match &operation.message.thread {
            Some(thread) => threads.call_id(thread, &operation.source.address, &operation.destination.address),
            None => ids.call_id(),
        };
        let via = TopVia { transport: "UDP", sent_by: "gw.example.com", branch: &ids.branch(0), rport: true, alias: false };
        let octets = to_request(&operation, &ids, &call_id, Form::Plain).value.encode(&via);
        let request = Message::parse(octets).unwrap();
        request.verify().unwrap();
        prop_assert!(request.all_headers().all(|header| HEADERS.contains(&header.name())));
        let back = from_request(&request, i64::MAX, &threads).unwrap().value;
        prop_assert_eq!(&back.source, &operation.source);
        prop_assert_eq!(&back.destination, &operation.destination);
        if let Some(thread) = &operation.message.thread {
            prop_assert_eq!(back.message.thread.as_ref(), Some(thread));
        }
        let lines = |content: &Content| content.as_text().unwrap().replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(lines(&back.message.content), lines(&operation.message.content));
    }

    // checks: ADR-036
    #[test]
    fn any_text_is_a_uri_or_is_refused(text in any::<String>()) {
        for scheme in ["", "sip:", "sips:", "im:", "pres:"] {
            if let Ok(end) = address::from_sip_uri(&format!("{scheme}{text}")) {
                prop_assert_eq!(address::from_sip_uri(&address::to_sip_uri(&end)), Ok(end));
            }
        }
    }

    // checks: IM-043, IM-046
    #[test]
    fn any_body_is_text_or_is_refused(
        octets in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'b'), Just(b'\r'), Just(b'\n'), Just(b'<'), Just(b'&'), any::<u8>()], 0..300),
        media in prop_oneof![
            Just("text/plain"), Just("text/plain;format=flowed;delsp=yes"), Just("text/plain;charset=shift_jis"), Just("text/html"),
            Just("multipart/mixed;boundary=b"), Just("multipart/alternative;boundary=b"), Just("multipart/signed;boundary=\"\""),
        ],
    ) {
        if let Ok(body) = content::from_body(&MediaType::parse(media).unwrap(), Bytes::from(octets), None) {
            prop_assert!(body.value.content.as_text().is_some());
        }
    }
}
