//! Objects and documents a second of one core's own time (Linux), ours and other crates' in the same run.
//!
//! Each figure is the median of rounds that take turns, so that a busy machine slows all of them alike.

use std::fs::read_to_string;
use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use cpim::{Mailbox, Message, Profile, Writer};
use impp_model::DateTime;
use mail_parser::MessageParser;
use quick_xml::events::Event;
use strict_xml::{Limits, parse_document};

/// 300 octets: names, a date, a subject, a request for notifications.
const OBJECT: &str = concat!(
    "From: Juliet Capulet <im:juliet@example.com>\r\nTo: <im:romeo@example.net>\r\n",
    "DateTime: 2026-11-22T12:16:49Z\r\nSubject:;lang=en the balcony\r\nNS: imdn <urn:ietf:params:imdn>\r\n",
    "imdn.Message-ID: 34jk3\r\nimdn.Disposition-Notification: display\r\n\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n\r\nWherefore art thou?",
);

/// 1,000 octets: two tuples with contact, note, timestamp and a show, a person with activities.
const DOCUMENT: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" ",
    "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" ",
    "entity=\"pres:juliet@example.com\">\n<tuple id=\"ID-balcony\"><status><basic>open</basic>",
    "<show xmlns=\"jabber:client\">away</show></status><contact priority=\"0.102\">im:juliet@example.com</contact>",
    "<note xml:lang=\"en\">retired to the chamber until the nurse has found the friar and brought his answer</note>",
    "<timestamp>2026-11-22T12:16:49.250Z</timestamp></tuple>\n",
    "<tuple id=\"ID-chamber\"><status><basic>closed</basic></status><rpid:class>home</rpid:class>",
    "<contact priority=\"0.8\">sip:juliet@example.com</contact><note xml:lang=\"en\">asleep, as far as her father knows</note>",
    "<timestamp>2026-11-22T12:16:49.250Z</timestamp></tuple>\n<dm:person id=\"p1\"><rpid:activities><rpid:away/>",
    "<rpid:meal/></rpid:activities><rpid:mood><rpid:happy/></rpid:mood>",
    "<dm:timestamp>2026-11-22T12:16:49.250Z</dm:timestamp></dm:person>\n</presence>\n",
);
const ROUNDS: usize = 15;
const LONG_ENOUGH: Duration = Duration::from_millis(60);

fn main() {
    let (object, document) = (OBJECT.as_bytes(), DOCUMENT.as_bytes());
    println!("{}", machine());
    println!("\nmessage/cpim, {} octets", object.len());
    let (from, to) =
        (Mailbox::new("im:juliet@example.com").with_name("Juliet Capulet"), Mailbox::new("im:romeo@example.net"));
    let time = DateTime::parse("2026-11-22T12:16:49Z").expect("a date-time");
    let mut out = BytesMut::with_capacity(512);
    table(&mut [
        ("relay view, To and content", &mut || {
            let view = cpim::RelayView::new(black_box(object));
            black_box((view.first("To"), view.content()));
        }),
        ("read by the letter", &mut || {
            black_box(Message::parse(black_box(object), Profile::Gateway).expect("sound"));
        }),
        ("write", &mut || {
            out.clear();
            write(&mut out, black_box(&from), &to, &time);
            black_box(&out);
        }),
        ("mail-parser, read as mail", &mut || {
            black_box(MessageParser::default().parse(black_box(object)).expect("sound"));
        }),
    ]);
    assert_eq!(&out[..], object, "what is written is what is read");

    println!("\nPIDF, {} octets", document.len());
    let presence = pidf::parse(document).expect("sound").presence;
    table(&mut [
        ("relay view", &mut || {
            black_box(pidf::RelayView::new(black_box(document), Some(pidf::MEDIA_TYPE)).octets());
        }),
        ("read", &mut || {
            black_box(pidf::parse(black_box(document)).expect("sound"));
        }),
        ("write", &mut || {
            black_box(black_box(&presence).encode().expect("sound"));
        }),
        ("strict XML alone", &mut || {
            black_box(parse_document(black_box(document), &Limits::default()).expect("sound"));
        }),
        ("quick-xml's bare tokeniser", &mut || tokens(black_box(DOCUMENT))),
    ]);
}

fn write(out: &mut BytesMut, from: &Mailbox<'_>, to: &Mailbox<'_>, time: &DateTime) {
    let mut writer = Writer::new(out);
    let mut parts = || {
        writer.from(from)?;
        writer.to(to)?;
        writer.date_time(time);
        writer.subject(Some("en"), "the balcony")?;
        writer.namespace(Some("imdn"), cpim::imdn::NAMESPACE)?;
        writer.header(Some("imdn"), "Message-ID", "34jk3")?;
        writer.header(Some("imdn"), "Disposition-Notification", "display")
    };
    parts().expect("sound");
    writer.content("text/plain; charset=utf-8", &[], b"Wherefore art thou?").expect("sound");
}

fn tokens(document: &str) {
    let mut reader = quick_xml::Reader::from_str(document);
    loop {
        match reader.read_event().expect("sound") {
            Event::Eof => return,
            event => drop(black_box(event)),
        }
    }
}

/// Measures the rows in turns and prints the median of each.
fn table(rows: &mut [(&str, &mut dyn FnMut())]) {
    let mut times = vec![Vec::with_capacity(ROUNDS); rows.len()];
    let counts: Vec<u32> = rows.iter_mut().map(|(_, once)| enough(once)).collect();
    for _ in 0..ROUNDS {
        for (((_, once), times), count) in rows.iter_mut().zip(&mut times).zip(&counts) {
            times.push(timed(once, *count).as_secs_f64() / f64::from(*count));
        }
    }
    for ((what, _), mut times) in rows.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let each = times[ROUNDS / 2];
        println!("{what:28} {:9.0} thousand/s {:7.0} ns", 1e-3 / each, each * 1e9);
    }
}

/// How often to do it, so that the kernel's clock, which ticks every few milliseconds, can tell.
fn enough(once: &mut dyn FnMut()) -> u32 {
    (10..).map(|doublings| 1 << doublings).find(|count| timed(once, *count) >= LONG_ENOUGH).unwrap_or(1 << 30)
}

fn timed(once: &mut dyn FnMut(), count: u32) -> Duration {
    let start = cpu_time();
    (0..count).for_each(|_| once());
    cpu_time() - start
}

fn machine() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{}, one core, load {}", name.trim_start_matches(['\t', ' ', ':']), load.split(' ').next().unwrap_or("?"))
}

/// Time this thread has spent on a core: other work on the machine counts only as far as it crowds the caches.
fn cpu_time() -> Duration {
    let stat = read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("three numbers"))
}
