//! An operation as a message of any protocol.

use adapter_api::Carries;
use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::{message as sip, thread};
use adapter_xmpp::mapping::annotation::SEALS;
use adapter_xmpp::mapping::message as xmpp;
use bytes::BytesMut;
use impp_model::{Cause, DateTime, Failure, MessageOperation, Side};
use sip_proto::build::TopVia;

use super::{Protocol, Setting, Stop};

/// The message as it would go over the wire, and what it lost on the way out.
pub(super) struct Outgoing {
    pub(super) output: String,
    pub(super) degraded: Vec<&'static str>,
    pub(super) dropped: Vec<&'static str>,
}

pub(super) fn write(to: Protocol, operation: &MessageOperation, setting: &Setting) -> Result<Outgoing, Stop> {
    let full = operation.destination.device.is_some();
    let carried = |scheme: &str| to == Protocol::Xmpp && SEALS.contains(&scheme);
    if let Some(sealed) = operation.message.sealed.as_ref().filter(|sealed| !carried(&sealed.scheme)) {
        return Err(sealed.refusal().into());
    }
    let written = match to {
        Protocol::Sip => write_sip(operation, setting),
        Protocol::Xmpp => write_xmpp(operation, setting),
        Protocol::Native => write_native(operation),
    };
    written.map_err(|stop| match stop {
        Stop::Refused { failure, sip_status, .. } => Stop::Refused { failure, sip_status, full },
        Stop::Nothing(reason) => Stop::Nothing(reason),
    })
}

fn write_sip(operation: &MessageOperation, setting: &Setting) -> Result<Outgoing, Stop> {
    let (source, destination) = (&operation.source, &operation.destination);
    let ids = RequestIds::of_message(operation, 0);
    let call_id = match &operation.message.thread {
        Some(thread) => thread::to_call_id(thread, &source.address, &destination.address),
        None => ids.call_id(),
    };
    if let Some(field) = sip::unsayable(operation) {
        return Err(Stop::Nothing(format!("SIP has no form for a {field} without text")));
    }
    let now = DateTime::from_system_time(setting.now);
    let wanted = operation.message.receipts.any();
    let form = now.as_ref().filter(|_| wanted).map_or(sip::Form::Plain, sip::Form::Wrapped);
    let mapped = sip::to_request(operation, &ids, &call_id, form);
    let branch = ids.branch(0);
    let via = TopVia { transport: "TCP", sent_by: &setting.gateway, branch: &branch, rport: true, alias: false };
    let request = mapped.value.encode(&via);
    // RFC 3428 §8, RFC 3261 §18.1.1: without a known path only what any path takes.
    if request.len() > MAX_UNKNOWN_PATH {
        let failure = Failure::new(Side::Far, Cause::TooLarge);
        return Err(failure
            .with_text(format!(
                "{} octets, beyond the {MAX_UNKNOWN_PATH} of a path whose MTU is unknown",
                request.len()
            ))
            .into());
    }
    let output = String::from_utf8_lossy(&request).into_owned();
    Ok(Outgoing { output, degraded: mapped.degraded, dropped: mapped.dropped })
}

/// RFC 3428 §8: the size of a MESSAGE where nothing is known of the path.
const MAX_UNKNOWN_PATH: usize = 1300;

fn write_xmpp(operation: &MessageOperation, setting: &Setting) -> Result<Outgoing, Stop> {
    let id = xmpp::stanza_id(operation);
    let stamp = xmpp::Stamp { id: &id, gateway: &setting.gateway, now: setting.now };
    let mapped = xmpp::to_stanza(operation, stamp)
        .map_err(|unwritable| unwritable.failure())?
        .ok_or_else(|| Stop::Nothing("the message has no text".to_owned()))?;
    let mut output = BytesMut::new();
    xmpp_proto::stanza::encode(&mut output, mapped.value.element());
    let output = String::from_utf8_lossy(&output).into_owned();
    Ok(Outgoing { output, degraded: mapped.degraded, dropped: mapped.dropped })
}

fn write_native(operation: &MessageOperation) -> Result<Outgoing, Stop> {
    let mapped = adapter_native::mapping::to_event(operation, None)?;
    let output = serde_json::to_string(&mapped.event)
        .map_err(|error| Failure::new(Side::Ours, Cause::InternalError).with_text(error.to_string()))?;
    let lost =
        |how: Carries| mapped.losses.iter().filter(move |(_, loss)| *loss == how).map(|(field, _)| *field).collect();
    Ok(Outgoing { output, degraded: lost(Carries::Degraded), dropped: lost(Carries::Dropped) })
}
