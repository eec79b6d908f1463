//! What the hub's model carries, as a message of any protocol.

use adapter_api::Carries;
use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::{message as sip, sealed, thread};
use adapter_xmpp::mapping::{e2e, message as xmpp};
use bytes::{Bytes, BytesMut};
use impp_model::{Cause, Failure, Mapped, MessageOperation, Side};
use sip_proto::build::TopVia;

use super::{Protocol, Setting, Stop, stanza, unreadable};

/// The message as it would go over the wire, and what it lost on the way out.
pub(super) fn write(
    from: Protocol,
    to: Protocol,
    operation: &MessageOperation,
    setting: &Setting,
) -> Result<Mapped<Bytes>, Stop> {
    let full = operation.destination.device.is_some();
    let written = match (to, &operation.message.sealed) {
        (Protocol::Sip, _) => write_sip(operation, setting),
        (Protocol::Xmpp, _) => write_xmpp(from, operation, setting),
        (Protocol::Cpim, Some(sealed)) => {
            cpim::mapping::unseal(sealed).cloned().map(Mapped::whole).ok_or_else(unreadable)
        }
        (Protocol::Native, _) => write_native(operation),
        (Protocol::Cpim, None) => write_cpim(operation, setting),
        (Protocol::Pidf, _) => Err(unsupported("a message is no presence document").into()),
    };
    written.map_err(|stop| match stop {
        Stop::Refused { failure, sip_status, .. } => Stop::Refused { failure, sip_status, full },
        Stop::Nothing(reason) => Stop::Nothing(reason),
    })
}

fn unsupported(text: impl Into<String>) -> Failure {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text(text)
}

fn ours(error: impl std::fmt::Display) -> Failure {
    Failure::new(Side::Ours, Cause::InternalError).with_text(error.to_string())
}

fn write_sip(operation: &MessageOperation, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    let (source, destination) = (&operation.source, &operation.destination);
    let ids = RequestIds::of_message(operation, 0);
    let call_id = match &operation.message.thread {
        Some(thread) => thread::to_call_id(thread, &source.address, &destination.address),
        None => ids.call_id(),
    };
    if let Some(field) = sip::unsayable(operation) {
        return Err(Stop::Nothing(format!("SIP has no form for a {field} without text")));
    }
    let now = setting.date_time();
    let wanted = operation.message.object.is_some() || operation.message.receipts.any();
    let form = now.as_ref().filter(|_| wanted).map_or(sip::Form::Plain, sip::Form::Wrapped);
    if operation.message.sealed.as_ref().is_some_and(|sealed| sealed::to_body(sealed).is_none()) {
        return Err(unreadable());
    }
    let mapped = sip::to_request(operation, &ids, &call_id, form);
    let branch = ids.branch(0);
    let via = TopVia { transport: "TCP", sent_by: &setting.gateway, branch: &branch, rport: true, alias: false };
    let request = mapped.value.encode(&via);
    // RFC 3428 §8, RFC 3261 §18.1.1: without a known path only what any path takes. A protected object goes whole or not
    // at all, over a path that takes it.
    if request.len() > MAX_UNKNOWN_PATH && operation.message.sealed.is_none() {
        let text = format!("{} octets, beyond the {MAX_UNKNOWN_PATH} of a path whose MTU is unknown", request.len());
        return Err(Failure::new(Side::Far, Cause::TooLarge).with_text(text).into());
    }
    Ok(Mapped { value: request, degraded: mapped.degraded, dropped: mapped.dropped })
}

/// RFC 3428 §8: the size of a MESSAGE where nothing is known of the path.
const MAX_UNKNOWN_PATH: usize = 1300;

fn write_xmpp(from: Protocol, operation: &MessageOperation, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    // An element of XMPP's own goes as it came.
    if let Some(object) = operation.message.sealed.as_ref().and_then(cpim::mapping::unseal) {
        return write_e2e(operation, object);
    }
    let id = xmpp::stanza_id(operation);
    let stamp = xmpp::Stamp { id: &id, gateway: &setting.gateway, now: setting.now };
    let mapped = xmpp::to_stanza(operation, stamp)
        .map_err(|unwritable| unwritable.failure())?
        .ok_or_else(|| Stop::Nothing("the message has no text".to_owned()))?;
    let mut element = mapped.value.into_element();
    // RFC 3922 §4.2: the id is the link's to make when the object has none.
    if operation.message.id.is_none() && from == Protocol::Cpim {
        element.remove_attr("id");
    }
    let mut output = BytesMut::new();
    stanza(&mut output, &element);
    Ok(Mapped { value: output.freeze(), degraded: mapped.degraded, dropped: mapped.dropped })
}

fn write_e2e(operation: &MessageOperation, object: &[u8]) -> Result<Mapped<Bytes>, Stop> {
    let jid = |end| adapter_xmpp::mapping::address::to_jid(end).map_err(|error| error.failure());
    let (from, to) = (jid(&operation.source)?, jid(&operation.destination)?);
    let message = xmpp_proto::stanza::Message::new(xmpp_proto::stanza::MessageType::Normal);
    let message = message.with_from(from.as_str().to_owned()).with_to(to.as_str().to_owned());
    let mut output = BytesMut::new();
    stanza(&mut output, e2e::envelop(message, object).map_err(e2e::failure)?.element());
    Ok(Mapped::whole(output.freeze()))
}

fn write_native(operation: &MessageOperation) -> Result<Mapped<Bytes>, Stop> {
    let mapped = adapter_native::mapping::to_event(operation, None)?;
    let output = serde_json::to_vec(&mapped.event).map_err(ours)?;
    let lost =
        |how: Carries| mapped.losses.iter().filter(move |(_, loss)| *loss == how).map(|(field, _)| *field).collect();
    Ok(Mapped { value: output.into(), degraded: lost(Carries::Degraded), dropped: lost(Carries::Dropped) })
}

fn write_cpim(operation: &MessageOperation, setting: &Setting) -> Result<Mapped<Bytes>, Stop> {
    if operation.message.content.octets.is_empty() {
        return Err(Stop::Nothing("the message has no content".to_owned()));
    }
    let mapped = cpim::mapping::to_object(operation, setting.date_time().as_ref());
    let Mapped { value, degraded, dropped } = mapped.map_err(|error| unsupported(error.to_string()))?;
    Ok(Mapped { value: value.freeze(), degraded, dropped })
}
