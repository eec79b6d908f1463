//! How many objects one core reads and writes in a second of its own time (Linux): `cargo run --release -p cpim --example object_rate`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use cpim::{Mailbox, Message, Profile, RelayView, Writer};
use impp_model::DateTime;

/// About 300 octets: names, date, subject, a request for notifications.
const OBJECT: &str = concat!(
    "From: Juliet Capulet <im:juliet@example.com>\r\nTo: \"Montague, Romeo\"<im:romeo@example.net>\r\n",
    "DateTime: 2026-11-22T12:16:49Z\r\nSubject:;lang=en the balcony\r\nNS: imdn <urn:ietf:params:imdn>\r\n",
    "imdn.Message-ID: 34jk324j\r\nimdn.Disposition-Notification: positive-delivery, display\r\n\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n\r\nWherefore art thou?",
);
const ROUNDS: u32 = 1_000_000;

fn main() {
    println!("object of {} octets", OBJECT.len());
    let octets = OBJECT.as_bytes();
    measure("relay view, To and content", || {
        let view = RelayView::new(black_box(octets));
        black_box((view.first("To"), view.content()));
    });
    measure("read by the letter", || {
        black_box(Message::parse(black_box(octets), Profile::Gateway).unwrap());
    });
    measure("read and decode From, To, DateTime, Subject", || {
        let message = Message::parse(black_box(octets), Profile::Gateway).unwrap();
        black_box((message.from(), message.to().next(), message.date_time(), message.subject(None)));
    });
    let (from, to) = (
        Mailbox::new("im:juliet@example.com").with_name("Juliet Capulet"),
        Mailbox::new("im:romeo@example.net").with_name("Montague, Romeo"),
    );
    let time = DateTime::parse("2026-11-22T12:16:49Z").unwrap();
    let mut out = BytesMut::with_capacity(512);
    measure("write", || {
        out.clear();
        let mut writer = Writer::new(&mut out);
        writer.from(black_box(&from)).unwrap();
        writer.to(&to).unwrap();
        writer.date_time(&time);
        writer.subject(Some("en"), "the balcony").unwrap();
        writer.namespace(Some("imdn"), cpim::imdn::NAMESPACE).unwrap();
        writer.header(Some("imdn"), "Message-ID", "34jk324j").unwrap();
        writer.header(Some("imdn"), "Disposition-Notification", "positive-delivery, display").unwrap();
        writer.content("text/plain; charset=utf-8", &[], b"Wherefore art thou?").unwrap();
        black_box(&out);
    });
    assert_eq!(&out[..], octets, "what is written is what is read");
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
    println!("{what}: {:.2} million/s, {each:?} each", 1e-6 / each.as_secs_f64());
}

/// Time this thread has spent on a core: other work on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}
