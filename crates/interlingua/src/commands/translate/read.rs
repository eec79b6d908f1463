//! A message of any protocol as an operation.

use std::time::SystemTime;

use adapter_sip::mapping::message::Refusal;
use adapter_sip::mapping::thread::ThreadTable;
use adapter_sip::mapping::{error, message as sip};
use adapter_xmpp::mapping::message as xmpp;
use bytes::Bytes;
use impp_model::{Address, Cause, Device, Endpoint, Failure, MessageOperation, Side, TransId};
use serde_json::Value;
use sip_proto::message::Message;
use sip_proto::method::Method;
use strict_xml::{Limits, Scope, parse_element};
use xmpp_proto::ns;
use xmpp_proto::stanza::Stanza;

use super::{Protocol, Setting, Stop};

/// The operation, and what it lost on the way in.
pub(super) struct Incoming {
    pub(super) operation: MessageOperation,
    pub(super) degraded: Vec<&'static str>,
    pub(super) dropped: Vec<&'static str>,
}

pub(super) fn read(from: Protocol, input: &[u8], setting: &Setting) -> Result<Incoming, Stop> {
    match from {
        Protocol::Sip => read_sip(input, setting),
        Protocol::Xmpp => read_xmpp(input),
        Protocol::Native => read_native(input, setting),
    }
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::new(Side::Near, Cause::BadRequest).with_text(text)
}

fn read_sip(input: &[u8], setting: &Setting) -> Result<Incoming, Stop> {
    let request = Message::parse(Bytes::copy_from_slice(input)).map_err(|error| by_status(error.status(), &error))?;
    request.verify().map_err(|error| by_status(400, &error))?;
    if request.method() != Some(&Method::Message) {
        return Err(by_status(405, &"not a MESSAGE request"));
    }
    let now = setting.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    match sip::from_request(&request, now, &ThreadTable::default()) {
        Ok(mapped) => Ok(Incoming { operation: mapped.value, degraded: mapped.degraded, dropped: mapped.dropped }),
        Err(refusal @ (Refusal::Expired | Refusal::Empty)) => Err(Stop::Nothing(refusal.to_string())),
        Err(refusal) => Err(by_status(refusal.status(), &refusal)),
    }
}

/// A refusal by the SIP side, with the status it would answer.
fn by_status(status: u16, text: &dyn std::fmt::Display) -> Stop {
    let failure = error::from_sip_status(status, "", None, None).unwrap_or_else(|| bad(""));
    let failure = Failure { side: Side::Near, native: None, ..failure }.with_text(text.to_string());
    Stop::Refused { failure: Box::new(failure), sip_status: Some(status), full: false }
}

fn read_xmpp(input: &[u8]) -> Result<Incoming, Stop> {
    let scope = Scope::with_default(ns::CLIENT);
    let element =
        parse_element(input.trim_ascii(), &scope, &Limits::default()).map_err(|error| bad(error.to_string()))?;
    let message = match Stanza::from_element(element) {
        Ok(Stanza::Message(message)) => message,
        Ok(Stanza::Presence(_) | Stanza::Iq(_)) => return Err(bad("not a message stanza").into()),
        Err(rejected) => return Err(bad(rejected.to_string()).into()),
    };
    let (from, to) = xmpp::addresses(&message).map_err(|refusal| refusal.failure())?;
    let trans_id = TransId::from(message.id().unwrap_or("translate"));
    match xmpp::from_stanza(&message, &from, &to, trans_id) {
        Ok(Some(mapped)) => {
            Ok(Incoming { operation: mapped.value, degraded: mapped.degraded, dropped: mapped.dropped })
        }
        Ok(None) => Err(Stop::Nothing("the stanza has no text to show".to_owned())),
        Err(refusal) => Err(refusal.failure().into()),
    }
}

/// Reads what a client posts, or an event: that names its sender.
fn read_native(input: &[u8], setting: &Setting) -> Result<Incoming, Stop> {
    let (input, source) = split_event(input, &setting.sender)?;
    let request = adapter_native::mapping::parse(&input).map_err(|refusal| refusal.to_failure())?;
    let operation = adapter_native::mapping::from_request(source, request, TransId::from("translate"))
        .map_err(|refusal| refusal.to_failure())?;
    Ok(Incoming { operation, degraded: vec![], dropped: vec![] })
}

/// What only an event has, and where it goes.
fn split_event(input: &[u8], sender: &Endpoint) -> Result<(Vec<u8>, Endpoint), Failure> {
    let mut source = sender.clone();
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(input) else { return Ok((input.to_vec(), source)) };
    let Some(Value::String(from)) = fields.shift_remove("from") else { return Ok((input.to_vec(), source)) };
    source.address = Address::parse_bare(&from).map_err(|error| bad(format!("from: {error}")))?;
    if let Some(Value::String(device)) = fields.shift_remove("from_device") {
        source.device = Some(Device::new(&device).map_err(|error| bad(format!("from_device: {error}")))?);
    }
    for of_event in ["sent", "alternatives", "trans_id", "trace"] {
        fields.shift_remove(of_event);
    }
    Ok((Value::Object(fields).to_string().into_bytes(), source))
}
