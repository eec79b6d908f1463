//! What decides, with time that the caller counts.

use crate::{Thing, kept};
use bytes::Bytes;
use impp_resolve::{Name, Options, Protocol, Record, Resolver, Srv, Zone};
use sip_proto::transaction::{Client, Keys, Reliability, Repetition, RequestMatch, Server, Timers};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use xmpp_proto::barrier::{BATCH, Barriers, Output};
use xmpp_proto::component::{ComponentConfig, ComponentStream, LinkConfig, Secret};

/// Between two messages: 5,000 a second.
const STEP: Duration = Duration::from_micros(200);

/// More than are open at a time.
const ROOM: usize = 1_000_000;

/// A request comes, is answered, comes again; 32 s later it is forgotten.
pub fn server_transaction() -> Thing {
    let (keys, mut number, mut now) = (Keys::new([1, 2]), 0_u64, Instant::now());
    let mut server: Server<u64, u16> = Server::new(Timers::default(), ROOM, ROOM);
    let response = Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n");
    Box::new(move || {
        number += 1;
        now += STEP;
        server.handle_timeout(now);
        let branch = number.to_be_bytes();
        let key = keys.server(&branch, b"127.0.0.1", Some(5060), b"MESSAGE", b"c", 1);
        let merged = keys.merged(&branch, b"c5f-1a2b@127.0.0.1", b"1 MESSAGE");
        let RequestMatch::New(handle) =
            server.handle_request(key, Some(merged), 1, Reliability::Unreliable, number, now)
        else {
            unreachable!("a new branch")
        };
        kept(server.respond(handle, response.clone(), now));
        assert_eq!(server.handle_retransmission(&key), Repetition::Repeated);
        while let Some(output) = server.poll_output() {
            kept(output);
        }
        kept(server.poll_timeout());
    })
}

/// A request goes out and is answered.
pub fn client_transaction() -> Thing {
    let (keys, mut number, mut now) = (Keys::new([1, 2]), 0_u64, Instant::now());
    let mut client: Client<u64, u16> = Client::new(Timers::default(), ROOM);
    let request = Bytes::from_static(b"MESSAGE sip:a@b SIP/2.0\r\n\r\n");
    Box::new(move || {
        number += 1;
        now += STEP;
        client.handle_timeout(now);
        let key = keys.client(&number.to_be_bytes(), b"MESSAGE");
        let started = client.start(key, request.clone(), 1, Reliability::Unreliable, number, now);
        assert!(started.is_ok());
        while let Some(output) = client.poll_output() {
            kept(output);
        }
        kept(client.handle_response(&key, 200, now));
        kept(client.poll_timeout());
    })
}

/// A stanza comes over an open component link.
pub fn component() -> Thing {
    let mut now = Instant::now();
    let config =
        ComponentConfig { domain: "sip.test".to_owned(), secret: Secret::new("secret"), link: LinkConfig::default() };
    let mut stream = ComponentStream::new(config, now);
    let opening: [&[u8]; 2] = [
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
          xmlns:stream='http://etherx.jabber.org/streams' id='a' from='sip.test'>",
        b"<handshake/>",
    ];
    for octets in opening {
        stream.handle_bytes(octets, now);
        while let Some(output) = stream.poll_output() {
            kept(output);
        }
    }
    assert!(stream.is_open());
    Box::new(move || {
        now += STEP;
        stream.handle_bytes(
            black_box(
                b"<message from='bob@xmpp.test/r' to='alice@sip.test' type='chat' id='m1'><body>hello</body></message>",
            ),
            now,
        );
        while let Some(output) = stream.poll_output() {
            kept(output);
        }
    })
}

/// A batch goes out, the ping behind it is answered.
pub fn barrier() -> Thing {
    let (mut now, mut token) = (Instant::now(), 0_u64);
    let mut barriers = Barriers::new(now);
    Box::new(move || {
        now += STEP * 32;
        for _ in 0..BATCH {
            token += 1;
            barriers.handle_sent(token, "xmpp.test", now);
        }
        let mut ping = None;
        while let Some(output) = barriers.poll_output() {
            if let Output::Ping { id, .. } = output {
                ping = Some(id);
            }
        }
        assert!(barriers.handle_answer(ping.expect("a full batch"), "xmpp.test", now));
        while let Some(output) = barriers.poll_output() {
            kept(output);
        }
    })
}

/// RFC 3861, then the hosts of the service that was found.
pub fn resolve() -> Thing {
    let name = |text: &str| Name::parse(text).expect("sound");
    let mut zone = Zone::new();
    let ttl = Duration::from_secs(60);
    let srv = |port, target: &str| Record::Srv(Srv { priority: 0, weight: 5, port, target: name(target) });
    zone.insert(name("_im._sip.example.com"), ttl, srv(0, "example.com"));
    zone.insert(name("_im._xmpp.example.com"), ttl, srv(0, "example.com"));
    zone.insert(name("_xmpp-server._tcp.example.com"), ttl, srv(5269, "xmpp.example.com"));
    zone.insert(name("xmpp.example.com"), ttl, Record::A([127, 0, 0, 1].into()));
    let options = Options { supported: vec![Protocol::parse("_xmpp").expect("a label")], ..Options::default() };
    let resolver = Resolver::new(Arc::new(zone), options);
    Box::new(move || {
        let mut draw = |_| 0;
        let resolved = resolver.resolve_uri(black_box("im:juliet@example.com"), None, &mut draw);
        // A zone answers at once.
        let Poll::Ready(resolved) = pin!(resolved).poll(&mut Context::from_waker(Waker::noop())) else {
            unreachable!("a zone waits for nothing")
        };
        kept(resolved.expect("an address"));
    })
}
