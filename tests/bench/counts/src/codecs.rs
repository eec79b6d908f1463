//! Octets to types and back.

use crate::{Thing, kept};
use bytes::{Bytes, BytesMut};
use cpim::{Message as CpimMessage, Profile};
use impp_model::{Address, DateTime};
use sip_proto::build::{RequestBuilder, ResponseBuilder, TopVia};
use sip_proto::framer::{StreamFramer, datagram};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use sip_proto::uas::{Context, Policy, check};
use std::hint::black_box;
use strict_xml::{Element, Frame, Framer, Limits, Scope, parse_element};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Stanza, encode};

const MESSAGE: &str = "MESSAGE sip:bob@xmpp.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bK5f.1a2b;rport\r\n\
    Max-Forwards: 70\r\nFrom: <sip:alice@sip.test>;tag=t1a2b\r\nTo: <sip:bob@xmpp.test>\r\nCall-ID: c5f-1a2b@127.0.0.1\r\n\
    CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 60\r\n\r\n\
    #000000001 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

const STREAM: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' id='a' from='sip.test'>";

const STANZA: &[u8] = b"<message from='bob@xmpp.test/r' to='alice@sip.test' type='chat' id='m1a2b'>\
    <body>#000000001 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</body></message>";

const OBJECT: &[u8] = b"From: Juliet Capulet <im:juliet@example.com>\r\nTo: <im:romeo@example.net>\r\n\
    DateTime: 2026-11-22T12:16:49Z\r\nSubject:;lang=en the balcony\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
    imdn.Message-ID: 34jk3\r\nimdn.Disposition-Notification: display\r\n\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nWherefore art thou?";

const DOCUMENT: &[u8] = b"<?xml version='1.0' encoding='UTF-8'?>\n<presence xmlns='urn:ietf:params:xml:ns:pidf' \
    xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
    entity='pres:juliet@example.com'><tuple id='ID-balcony'><status><basic>open</basic></status>\
    <contact priority='0.102'>im:juliet@example.com</contact><note xml:lang='en'>retired to the chamber</note>\
    <timestamp>2026-11-22T12:16:49.250Z</timestamp></tuple>\
    <dm:person id='p1'><rpid:activities><rpid:away/></rpid:activities></dm:person></presence>";

fn message() -> Message {
    Message::parse(Bytes::from_static(MESSAGE.as_bytes())).expect("sound")
}

pub fn sip_parse() -> Thing {
    Box::new(|| kept(datagram(Bytes::from_static(black_box(MESSAGE).as_bytes())).expect("sound")))
}

pub fn sip_check() -> Thing {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let policy = Policy {
        agent: "gw.test".to_owned(),
        methods: vec![Method::Message, Method::Options, Method::Subscribe, Method::Notify, Method::Cancel],
        schemes: list(&["sip", "sips", "im", "pres"]),
        refuse_sips: true,
        accept: list(&["text/plain", "text/*", "message/cpim", "application/*"]),
        encodings: Vec::new(),
        languages: Vec::new(),
        extensions: Vec::new(),
        events: list(&["presence"]),
        max_body: 65_536,
    };
    let message = message();
    Box::new(move || kept(check(black_box(&message), &policy, Context { in_dialog: false }).expect("sound")))
}

pub fn sip_response() -> Thing {
    let message = message();
    Box::new(move || kept(ResponseBuilder::new(black_box(&message), 200).to_tag("as7d6f").encode()))
}

pub fn sip_request() -> Thing {
    let body = Bytes::from_static(b"#000000001 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    let via =
        TopVia { transport: "UDP", sent_by: "127.0.0.1:5060", branch: "z9hG4bK5f1a2b", rport: true, alias: false };
    Box::new(move || {
        let request = RequestBuilder::new(Method::Message, black_box("sip:alice@sip.test"))
            .header(HeaderId::MaxForwards, "70")
            .header(HeaderId::From, "<sip:bob@xmpp.test>;tag=1a2b")
            .header(HeaderId::To, "<sip:alice@sip.test>")
            .header(HeaderId::CallId, "5f1a2b@gw.test")
            .cseq(1)
            .body("text/plain", body.clone());
        kept(request.encode(&via));
    })
}

pub fn sip_stream() -> Thing {
    let (mut framer, mut buffer) = (StreamFramer::new(65_536), BytesMut::new());
    Box::new(move || {
        buffer.extend_from_slice(black_box(MESSAGE).as_bytes());
        kept(framer.poll(&mut buffer).expect("sound").expect("whole"));
    })
}

pub fn xml() -> Thing {
    let mut framer = Framer::new(Limits::default());
    framer.push(STREAM);
    let Ok(Some(Frame::Open(tag))) = framer.next_frame() else { unreachable!("a stream begins") };
    Box::new(move || {
        framer.push(black_box(STANZA));
        let Ok(Some(Frame::Element(octets))) = framer.next_frame() else { unreachable!("a whole stanza") };
        kept(parse_element(&octets, &tag.scope, &Limits::default()).expect("sound"));
    })
}

fn stanza() -> Element {
    parse_element(STANZA, &Scope::with_default("jabber:component:accept"), &Limits::default()).expect("sound")
}

pub fn stanza_read() -> Thing {
    let element = stanza();
    Box::new(move || {
        let Ok(Stanza::Message(message)) = Stanza::from_element(black_box(&element).clone()) else {
            unreachable!("a message")
        };
        kept(message.body());
    })
}

pub fn stanza_write() -> Thing {
    let (element, mut out) = (stanza(), BytesMut::with_capacity(4096));
    Box::new(move || {
        out.clear();
        encode(&mut out, black_box(&element));
        black_box(&out);
    })
}

pub fn jid() -> Thing {
    Box::new(|| kept(Jid::parse(black_box("d\\27artagnan@xmpp.example/orchard")).expect("sound")))
}

pub fn address() -> Thing {
    Box::new(|| kept(Address::parse_bare(black_box("juliet.capulet@example.com")).expect("sound")))
}

pub fn date_time() -> Thing {
    Box::new(|| kept(DateTime::parse(black_box("2026-11-22T12:16:49.250+01:00")).expect("sound").to_string()))
}

pub fn cpim_relay() -> Thing {
    Box::new(|| {
        let view = cpim::RelayView::new(black_box(OBJECT));
        kept((view.first("To"), view.content()));
    })
}

pub fn cpim_read() -> Thing {
    Box::new(|| kept(CpimMessage::parse(black_box(OBJECT), Profile::Gateway).expect("sound")))
}

pub fn pidf_read() -> Thing {
    Box::new(|| kept(pidf::parse(black_box(DOCUMENT)).expect("sound")))
}

pub fn pidf_write() -> Thing {
    let presence = pidf::parse(DOCUMENT).expect("sound").presence;
    Box::new(move || kept(black_box(&presence).encode().expect("sound")))
}
