//! RFC 4475 and RFC 5118: the torture messages, judged as a server and as a client would.
//!
//! The verdicts are in `tests/vectors/torture.json`. The messages themselves are third-party and not part of this
//! repository: they are read from the folder in `INTERLINGUA_TORTURE`, else from `../shared/vectors/torture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use sip_proto::{
    framer::{Event, StreamFramer, datagram},
    message::Message,
    method::Method,
    uas::{Context, Policy, check},
};

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A request that may be served, or a response that may be used.
    Taken,
    /// A request that is answered with this status.
    Answered(u16),
    /// A response that is dropped.
    Dropped,
}

const CASES: usize = 61;

fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder =
        env::var_os("INTERLINGUA_TORTURE").map_or_else(|| root.join("../shared/vectors/torture"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/torture.json");
    let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    ["rfc4475", "rfc5118"].iter().flat_map(|part| all[part].as_array().unwrap().clone()).collect()
}

/// A user agent that takes calls and messages but is no registrar.
fn policy() -> Policy {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Policy {
        agent: "test.example".to_owned(),
        methods: vec![Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options, Method::Message],
        schemes: list(&["sip", "sips"]),
        refuse_sips: false,
        accept: list(&["text/plain", "application/sdp", "multipart/mixed"]),
        encodings: Vec::new(),
        languages: Vec::new(),
        extensions: Vec::new(),
        events: Vec::new(),
        max_body: 65_536,
    }
}

fn judge(octets: Bytes) -> Verdict {
    match datagram(octets) {
        Ok(message) => judge_message(&message.expect("no keep-alive")),
        Err(rejected) if rejected.octets.starts_with(b"SIP/") => Verdict::Dropped,
        Err(rejected) => {
            let salvage = rejected.salvage().expect("a request that can be answered");
            let response = sip_proto::build::ResponseBuilder::new(salvage.request(), rejected.error.status()).encode();
            Verdict::Answered(Message::parse(response).unwrap().status().unwrap().code())
        }
    }
}

fn judge_message(message: &Message) -> Verdict {
    if !message.is_request() {
        return if message.is_version_2() && message.verify().is_ok() { Verdict::Taken } else { Verdict::Dropped };
    }
    match check(message, &policy(), Context { in_dialog: false }) {
        Ok(_) => Verdict::Taken,
        Err(rejection) => {
            let response = Message::parse(rejection.response(message).to_tag("t").encode()).unwrap();
            assert_eq!(response.status().unwrap().code(), rejection.status);
            Verdict::Answered(rejection.status)
        }
    }
}

/// Whether the verdict is one that the vector allows.
fn allowed(case: &Value, verdict: Verdict) -> bool {
    let Some(statuses) = case["acceptable_status"].as_array() else {
        return verdict == Verdict::Taken || is_policy(case, verdict);
    };
    let has = |status: u16| statuses.iter().any(|allowed| *allowed == status);
    let valid = case["parse"] == "valid";
    match verdict {
        // What the layers above answer is not decided here; a valid message may reach them, others only if 200 may.
        Verdict::Taken => has(200) || has(404) || (valid && statuses.is_empty()) || is_decided_above(case),
        Verdict::Answered(status) => has(status),
        Verdict::Dropped => statuses.is_empty() && !valid,
    }
}

/// No fixed status: what is no fault of the message may be refused by policy.
fn is_policy(case: &Value, verdict: Verdict) -> bool {
    case["parse"] == "valid" && matches!(verdict, Verdict::Answered(405 | 481))
}

/// TOR-033 goes by transaction matching, TOR-048 by what a session could offer.
fn is_decided_above(case: &Value) -> bool {
    ["TOR-033", "TOR-048"].iter().any(|id| case["id"] == *id)
}

fn read(folder: &Path, case: &Value) -> Bytes {
    let name = case["raw_fixed"].as_str().or(case["raw"].as_str()).unwrap();
    Bytes::from(fs::read(folder.join(name)).unwrap())
}

// checks: TOR-001, TOR-002, TOR-003, TOR-004, TOR-005, TOR-006, TOR-007, TOR-008, TOR-009, TOR-010, TOR-011, TOR-012
// checks: TOR-013, TOR-014, TOR-015, TOR-016, TOR-017, TOR-018, TOR-019, TOR-020, TOR-021, TOR-022, TOR-023, TOR-024
// checks: TOR-025, TOR-026, TOR-027, TOR-028, TOR-029, TOR-030, TOR-031, TOR-032, TOR-033, TOR-034, TOR-035, TOR-036
// checks: TOR-037, TOR-038, TOR-039, TOR-040, TOR-041, TOR-042, TOR-043, TOR-044, TOR-045, TOR-046, TOR-047, TOR-048
// checks: TOR-049, TOR-101, TOR-102, TOR-103, TOR-104, TOR-105, TOR-106, TOR-107, TOR-108, TOR-109, TOR-110, TOR-111
// checks: TOR-112
#[test]
fn rfc4475_and_rfc5118_verdicts() {
    let Some(folder) = folder() else {
        println!("not run: torture octets not present");
        return;
    };
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let verdict = judge(read(&folder, case));
        if !allowed(case, verdict) {
            wrong.push(format!("{} {}: {verdict:?}, wanted {}", case["id"], case["file"], case["acceptable_status"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(cases.len(), CASES);
}

// checks: SIP-017
#[test]
fn torture_messages_on_a_stream_do_not_stall_what_follows() {
    let Some(folder) = folder() else {
        println!("not run: torture octets not present");
        return;
    };
    let next = b"OPTIONS sip:next@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n";
    let (mut followed, mut closed) = (0, 0);
    for case in cases() {
        let mut buffer = BytesMut::from(read(&folder, &case).as_ref());
        buffer.extend_from_slice(next);
        let mut framer = StreamFramer::default();
        let mut last = None;
        loop {
            match framer.poll(&mut buffer) {
                Ok(Some(Event::Message(message))) => last = message.request_uri().map(str::to_owned),
                Ok(Some(Event::Broken(_) | Event::Ping | Event::Pong)) => {}
                Ok(None) => break,
                Err(_) => {
                    closed += 1;
                    break;
                }
            }
        }
        followed += usize::from(last.as_deref() == Some("sip:next@b"));
    }
    // Closed: without or with two lengths, with octets that belong to no message. Neither: a length beyond the octets.
    println!("{followed} followed, {closed} closed");
    assert!(followed > 40 && followed + closed <= CASES, "{followed} followed, {closed} closed");
}
