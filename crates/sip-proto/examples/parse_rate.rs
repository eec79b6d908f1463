//! Prints how many times a second one core parses a MESSAGE of some 600 octets, and types its key headers.

#![allow(clippy::print_stdout, reason = "an example's output")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sip_proto::{build::ResponseBuilder, message::Message};

const MESSAGE: &str = "MESSAGE sip:juliet@example.com SIP/2.0\r\n\
Via: SIP/2.0/TCP proxy.example.net:5060;branch=z9hG4bK776sgdkse00001;rport\r\n\
Via: SIP/2.0/TLS client.example.net:5061;branch=z9hG4bK87asdks7\r\n\
Max-Forwards: 69\r\n\
From: \"Romeo\" <sip:romeo@example.net;gr=dr4hcr0st3lup4c>;tag=49583\r\n\
To: <sip:juliet@example.com>\r\n\
Call-ID: 9E97FB43-85F4-4A00-8751-1124FD4C7B2E@client.example.net\r\n\
CSeq: 1 MESSAGE\r\n\
Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
User-Agent: example/1.0\r\n\
Content-Type: text/plain;charset=utf-8\r\n\
Content-Length: 88\r\n\
\r\n\
Neither, fair saint, if either thee dislike. Neither, fair saint, if either thee dislike";

/// Long enough for a steady figure on a busy machine.
const SPAN: Duration = Duration::from_secs(1);

fn main() {
    let octets = Bytes::from_static(MESSAGE.as_bytes());
    println!("{} octets", octets.len());
    measure("parse", || drop(black_box(Message::parse(octets.clone()))));
    measure("parse, key headers", || {
        if let Ok(message) = Message::parse(octets.clone()) {
            let _ = black_box(message.key_headers());
        }
    });
    measure("parse, verify", || {
        if let Ok(message) = Message::parse(octets.clone()) {
            let _ = black_box(message.verify());
        }
    });
    measure("parse, verify, answer", || {
        if let Ok(message) = Message::parse(octets.clone()) {
            let _ = black_box(message.verify());
            black_box(ResponseBuilder::new(&message, 202).to_tag("t1").encode());
        }
    });
}

/// Counts time on the processor where the system tells it, so that a busy machine does not count.
#[allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn measure(what: &str, mut once: impl FnMut()) {
    const BATCH: u32 = 10_000;
    let (start, on_cpu) = (Instant::now(), cpu_time());
    let mut batches = 0_u32;
    while start.elapsed() < SPAN {
        (0..BATCH).for_each(|_| once());
        batches += 1;
    }
    let wall = start.elapsed();
    let spent = cpu_time().zip(on_cpu).map_or(wall, |(end, begin)| end - begin).as_secs_f64();
    println!("{what:24} {:6.2} M/s", f64::from(batches) * f64::from(BATCH) / spent / 1e6);
}

/// Linux: the first field is nanoseconds spent on the processor.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
