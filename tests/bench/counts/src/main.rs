//! `counts NAME TIMES` does one thing so many times; `counts` alone prints the names. One thread, no clock, no randomness.
//!
//! `tests/bench/gate` runs it under callgrind with two numbers: the difference is what the thing itself takes.

mod codecs;
mod machines;

use std::hint::black_box;
use std::process::ExitCode;

/// What is counted: it is made once and then called again and again.
pub type Thing = Box<dyn FnMut()>;

const THINGS: &[(&str, fn() -> Thing)] = &[
    ("sip-parse", codecs::sip_parse),
    ("sip-check", codecs::sip_check),
    ("sip-response", codecs::sip_response),
    ("sip-request", codecs::sip_request),
    ("sip-stream", codecs::sip_stream),
    ("xml-frame-and-parse", codecs::xml),
    ("xmpp-stanza-read", codecs::stanza_read),
    ("xmpp-stanza-write", codecs::stanza_write),
    ("jid", codecs::jid),
    ("address", codecs::address),
    ("date-time", codecs::date_time),
    ("cpim-relay", codecs::cpim_relay),
    ("cpim-read", codecs::cpim_read),
    ("pidf-read", codecs::pidf_read),
    ("pidf-write", codecs::pidf_write),
    ("sip-server-transaction", machines::server_transaction),
    ("sip-client-transaction", machines::client_transaction),
    ("xmpp-component-stanza", machines::component),
    ("xmpp-barrier-of-32", machines::barrier),
    ("resolve-im-uri", machines::resolve),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &arguments[..] else {
        THINGS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let thing = THINGS.iter().find(|(known, _)| known == name);
    let (Some((_, make)), Ok(times)) = (thing, times.parse::<u32>()) else {
        eprintln!("counts NAME TIMES");
        return ExitCode::from(2);
    };
    let mut once = make();
    (0..times).for_each(|_| once());
    ExitCode::SUCCESS
}

/// Keeps what was made from being optimised away.
fn kept<T>(thing: T) {
    drop(black_box(thing));
}
