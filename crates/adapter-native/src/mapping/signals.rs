//! What is said about messages, and what stands beside a body.

use super::{MAX_ID_LEN, MAX_THREAD_LEN, Refusal, TextProblem, bounded, parse_json, parse_to};
use crate::wire::{
    ComposingEvent, ComposingStatus, DispositionEvent, DispositionStatus, FileLink, MessageEvent, Reactions, Receipt,
    ReplyTo, SendDisposition, SendMessage, SetComposing,
};
use impp_model::{
    Address, Cause, ComposingOperation, ComposingState, DateTime, Device, Disposition, DispositionOperation, Endpoint,
    Failure, InstantMessage, MaxForwards, MessageId, OutOfBand, Relation, Side, TransId,
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Reactions of one person to one message.
const MAX_REACTIONS: usize = 32;
/// Octets of one reaction.
const MAX_REACTION: usize = 64;
/// Files of one message.
const MAX_FILES: usize = 16;
/// Octets of a URL, and of the words about it.
const MAX_URL: usize = 4096;

fn id(field: &'static str, text: String) -> Result<MessageId, Refusal> {
    Ok(bounded(field, Some(text), MAX_ID_LEN)?.unwrap_or_default().into())
}

fn too_many(field: &'static str, limit: usize) -> Refusal {
    Refusal::Text { field, problem: TextProblem::TooLong { limit } }
}

/// Takes what stands beside the body of `request` over into `message`.
pub(super) fn read_beside(request: &mut SendMessage, message: &mut InstantMessage) -> Result<(), Refusal> {
    if let Some(text) = request.replaces.take() {
        message.relations.push(Relation::Replaces { id: id("replaces", text)? });
    }
    if let Some(ReplyTo { id: text, author }) = request.reply_to.take() {
        let author = author.map(|author| parse_to(&author).map_err(Refusal::To)).transpose()?;
        message.relations.push(Relation::RepliesTo { id: id("reply_to", text)?, author, quoted: 0 });
    }
    if let Some(Reactions { id: text, emojis }) = request.reactions.take() {
        if emojis.len() > MAX_REACTIONS {
            return Err(too_many("reactions", MAX_REACTIONS));
        }
        let emojis = emojis.into_iter().map(|text| bounded("reactions", Some(text), MAX_REACTION));
        let emojis = emojis.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        message.relations.push(Relation::Reacts { id: id("reactions", text)?, emojis });
    }
    if let Some(text) = request.retracts.take() {
        message.relations.push(Relation::Retracts { id: id("retracts", text)? });
    }
    if request.files.len() > MAX_FILES {
        return Err(too_many("files", MAX_FILES));
    }
    for FileLink { url, description } in std::mem::take(&mut request.files) {
        let url = bounded("files", Some(url), MAX_URL)?.unwrap_or_default();
        message.files.push(OutOfBand { url, description: bounded("files", description, MAX_URL)? });
    }
    message.hints.no_store = request.no_store;
    Ok(())
}

/// Writes what stands beside the body of `message` into its event.
pub(super) fn write_beside(message: &InstantMessage, event: &mut MessageEvent) {
    for relation in &message.relations {
        match relation {
            Relation::Replaces { id } => event.replaces = Some(id.to_string()),
            Relation::RepliesTo { id, author, .. } => {
                event.reply_to = Some(ReplyTo { id: id.to_string(), author: author.as_ref().map(Address::to_string) });
            }
            Relation::Reacts { id, emojis } => {
                event.reactions = Some(Reactions { id: id.to_string(), emojis: emojis.clone() });
            }
            Relation::Retracts { id } => event.retracts = Some(id.to_string()),
            _ => {}
        }
    }
    let link = |file: &OutOfBand| FileLink { url: file.url.clone(), description: file.description.clone() };
    event.files = message.files.iter().map(link).collect();
}

/// Reads the body of a call, or the data of an event.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    parse_json(json)
}

/// The operation that a report of the user `source` asks for; `at` is when it came.
pub fn from_disposition(
    source: Endpoint,
    request: SendDisposition,
    trans_id: TransId,
    at: DateTime,
) -> Result<DispositionOperation, Refusal> {
    let disposition = match request.report {
        Receipt::Delivery => Disposition::Delivered,
        Receipt::Display => Disposition::Displayed,
        Receipt::Failure => {
            return Err(Refusal::Text { field: "report", problem: TextProblem::NoReport });
        }
    };
    Ok(DispositionOperation {
        source,
        destination: Endpoint::bare(parse_to(&request.to).map_err(Refusal::To)?),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some(id("id", request.id)?),
        trans_id,
        accepted: at,
        disposition,
        and_earlier: false,
        return_path: None,
    })
}

/// The `disposition` event that tells a user what became of its message. Of one that had no id of its own a failure names the
/// `trans_id` that its call was answered with.
pub fn to_disposition_event(word: &DispositionOperation) -> DispositionEvent {
    let failure = word.disposition.failure();
    DispositionEvent {
        from: word.source.address.to_string(),
        from_device: word.source.device.as_ref().map(ToString::to_string),
        id: word
            .message_id
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| failure.is_some().then(|| word.trans_id.to_string())),
        disposition: match word.disposition {
            Disposition::Delivered => DispositionStatus::Delivered,
            Disposition::Displayed => DispositionStatus::Displayed,
            Disposition::Processed => DispositionStatus::Processed,
            Disposition::Stored => DispositionStatus::Stored,
            Disposition::Expired => DispositionStatus::Expired,
            Disposition::Failed(_) | _ => DispositionStatus::Failed,
        },
        reason: failure.as_ref().map(|failure| failure.cause.code().to_owned()),
        text: failure.and_then(|failure| failure.text),
        sent: word.accepted.to_string(),
    }
}

/// The operation that an event for `destination` tells of: what [`to_disposition_event`] made.
pub fn from_disposition_event(
    event: DispositionEvent,
    destination: Endpoint,
    trans_id: TransId,
) -> Result<DispositionOperation, Refusal> {
    let cause = event.reason.as_deref().and_then(|code| Cause::ALL.iter().find(|cause| cause.code() == code));
    let failure = Failure::new(Side::Far, cause.copied().unwrap_or(Cause::Undefined));
    let accepted =
        DateTime::parse(&event.sent).map_err(|_| Refusal::Text { field: "sent", problem: TextProblem::Time })?;
    Ok(DispositionOperation {
        source: sender(&event.from, event.from_device.as_deref())?,
        destination,
        max_forwards: MaxForwards::INITIAL,
        message_id: event.id.map(|text| id("id", text)).transpose()?,
        trans_id,
        accepted,
        disposition: match event.disposition {
            DispositionStatus::Delivered => Disposition::Delivered,
            DispositionStatus::Displayed => Disposition::Displayed,
            DispositionStatus::Processed => Disposition::Processed,
            DispositionStatus::Stored => Disposition::Stored,
            DispositionStatus::Expired => Disposition::Expired,
            DispositionStatus::Failed => Disposition::Failed(Box::new(Failure { text: event.text, ..failure })),
        },
        and_earlier: false,
        return_path: None,
    })
}

/// Who an event comes from.
fn sender(address: &str, device: Option<&str>) -> Result<Endpoint, Refusal> {
    let device = device.map(Device::new).transpose();
    let device = device.map_err(|_| Refusal::Text { field: "from_device", problem: TextProblem::Device })?;
    Ok(Endpoint { device, ..Endpoint::bare(parse_to(address).map_err(Refusal::To)?) })
}

/// The operation that a state of the user `source` asks for.
pub fn from_composing(
    source: Endpoint,
    request: SetComposing,
    trans_id: TransId,
) -> Result<ComposingOperation, Refusal> {
    Ok(ComposingOperation {
        source,
        destination: Endpoint::bare(parse_to(&request.to).map_err(Refusal::To)?),
        max_forwards: MaxForwards::INITIAL,
        trans_id,
        thread: bounded("thread", request.thread, MAX_THREAD_LEN)?.map(Into::into),
        state: state_of(request.state),
        refresh: request.refresh.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into())),
        content_type: None,
    })
}

/// The `composing` event that tells a user of a state.
pub fn to_composing_event(told: &ComposingOperation) -> ComposingEvent {
    ComposingEvent {
        from: told.source.address.to_string(),
        from_device: told.source.device.as_ref().map(ToString::to_string),
        state: STATES.iter().find(|(_, it)| *it == told.state).map_or(ComposingStatus::Active, |(status, _)| *status),
        thread: told.thread.as_ref().map(ToString::to_string),
        refresh: told.refresh.filter(|_| told.state.is_composing()).map(|refresh| refresh.as_secs()),
    }
}

/// The operation that an event for `destination` tells of: what [`to_composing_event`] made.
pub fn from_composing_event(
    event: ComposingEvent,
    destination: Endpoint,
    trans_id: TransId,
) -> Result<ComposingOperation, Refusal> {
    Ok(ComposingOperation {
        source: sender(&event.from, event.from_device.as_deref())?,
        destination,
        max_forwards: MaxForwards::INITIAL,
        trans_id,
        thread: bounded("thread", event.thread, MAX_THREAD_LEN)?.map(Into::into),
        state: state_of(event.state),
        refresh: event.refresh.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        content_type: None,
    })
}

fn state_of(status: ComposingStatus) -> ComposingState {
    STATES.iter().find(|(known, _)| *known == status).map_or(ComposingState::Active, |(_, state)| *state)
}

const STATES: [(ComposingStatus, ComposingState); 5] = [
    (ComposingStatus::Composing, ComposingState::Composing),
    (ComposingStatus::Paused, ComposingState::Paused),
    (ComposingStatus::Active, ComposingState::Active),
    (ComposingStatus::Inactive, ComposingState::Inactive),
    (ComposingStatus::Gone, ComposingState::Gone),
];
