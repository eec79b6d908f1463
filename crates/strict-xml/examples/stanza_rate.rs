//! How many stanzas one core frames and parses in a second of its own time (Linux): `cargo run --release -p strict-xml --example stanza_rate`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use strict_xml::{Frame, Framer, Limits, Scope, parse_element, write_element};

/// About 470 octets: addresses, thread, receipt request, chat state, escaped text.
const MESSAGE: &str = concat!(
    "<message from='juliet@example.com/balcony-3f2a' to='romeo@example.net/orchard' type='chat' ",
    "id='b4a0c1de-6c0f-4bd3-9a39' xml:lang='en'><thread parent='e0ffe42b28561960c6b12b944a092794b9683a38'>",
    "0e3141cd80894871a68e6fe6b1ec56fa</thread><body>Wherefore art thou, Romeo &amp; friends? Deny thy father ",
    "and refuse thy name, or if thou wilt not, be but sworn my love, and</body><request xmlns='urn:xmpp:receipts'/>",
    "<active xmlns='http://jabber.org/protocol/chatstates'/></message>",
);
const ROUNDS: usize = 400;
const BATCH: usize = 1000;

fn main() {
    let open = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";
    let scope = Scope::with_default("jabber:component:accept");
    let limits = Limits::default();
    let batch = MESSAGE.repeat(BATCH);
    println!("message of {} octets", MESSAGE.len());

    for (what, parse) in [("framer", false), ("framer and strict parse", true)] {
        let mut framer = Framer::new(limits);
        framer.push(open.as_bytes());
        framer.next_frame().unwrap();
        let start = cpu_time();
        for _ in 0..ROUNDS {
            // A read of the usual size of a socket buffer.
            for octets in batch.as_bytes().chunks(64 * 1024) {
                framer.push(octets);
                while let Some(Frame::Element(octets)) = framer.next_frame().unwrap() {
                    if parse {
                        black_box(parse_element(&octets, &scope, &limits).unwrap());
                    }
                }
            }
        }
        report(what, start);
    }

    let element = parse_element(MESSAGE.as_bytes(), &scope, &limits).unwrap();
    let mut out = BytesMut::with_capacity(1 << 20);
    let start = cpu_time();
    for _ in 0..ROUNDS {
        for _ in 0..BATCH {
            write_element(&mut out, black_box(&element), &element.ns);
        }
        out.clear();
    }
    report("write", start);
}

fn report(what: &str, start: Duration) {
    let stanzas = ROUNDS * BATCH;
    let rate = stanzas as f64 / (cpu_time() - start).as_secs_f64();
    println!("{what:24} {:6.2} M stanzas/s", rate / 1e6);
}

/// Time this thread has spent on a core: other work on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}
