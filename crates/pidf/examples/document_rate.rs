//! How many documents one core reads and writes in a second of its own time (Linux):
//! `cargo run --release -p pidf --example document_rate`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::Duration;

use pidf::RelayView;
use pidf::mapping::to_info;

/// About 1,000 octets: two tuples with contact, note, timestamp and a show, a person with activities.
const DOCUMENT: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" ",
    "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" ",
    "entity=\"pres:juliet@example.com\">\n<tuple id=\"ID-balcony\"><status><basic>open</basic>",
    "<show xmlns=\"jabber:client\">away</show></status><contact priority=\"0.102\">im:juliet@example.com</contact>",
    "<note xml:lang=\"en\">retired to the chamber</note><timestamp>2026-11-22T12:16:49.250Z</timestamp></tuple>\n",
    "<tuple id=\"ID-chamber\"><status><basic>closed</basic></status><rpid:class>home</rpid:class>",
    "<contact priority=\"0.8\">sip:juliet@example.com</contact><note xml:lang=\"en\">asleep</note>",
    "<timestamp>2026-11-22T12:16:49.250Z</timestamp></tuple>\n<dm:person id=\"p1\"><rpid:activities><rpid:away/>",
    "<rpid:meal/></rpid:activities><rpid:mood><rpid:happy/></rpid:mood>",
    "<dm:timestamp>2026-11-22T12:16:49.250Z</dm:timestamp></dm:person>\n</presence>\n",
);
const ROUNDS: u32 = 200_000;

fn main() {
    println!("document of {} octets", DOCUMENT.len());
    let octets = DOCUMENT.as_bytes();
    measure("relay view", || {
        black_box(RelayView::new(black_box(octets), Some(pidf::MEDIA_TYPE)).octets());
    });
    measure("strict XML alone", || {
        black_box(strict_xml::parse_document(black_box(octets), &strict_xml::Limits::default()).unwrap());
    });
    measure("read", || {
        black_box(pidf::parse(black_box(octets)).unwrap());
    });
    let presence = pidf::parse(octets).unwrap().presence;
    measure("states of devices", || {
        black_box(to_info(black_box(&presence), None));
    });
    measure("write", || {
        black_box(black_box(&presence).encode().unwrap());
    });
}

fn measure(what: &str, mut once: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        once();
    }
    let start = cpu_time();
    for _ in 0..ROUNDS {
        once();
    }
    let each = (cpu_time() - start) / ROUNDS;
    println!("{what}: {:.0} thousand/s, {each:?} each", 1e-3 / each.as_secs_f64());
}

/// Time this thread has spent on a core: other work on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}
