//! RFC 3860 §3.1: operations.

use super::outcome::{read_failure, write_failure};
use super::{
    FrameError, millis, missing, presence, read_endpoint, read_hops, read_texts, read_time, value, write_endpoint,
    write_texts,
};
use crate::wire;
use adapter_api::model::passed::Passed;
use adapter_api::model::{
    Address, ComposingOperation, ComposingState, Content, Disposition, DispositionOperation, Hints, InstantMessage,
    MessageOperation, Operation, OutOfBand, Receipts, Relation, ReturnPath, Sealed,
};
use std::time::Duration;

/// Writes an operation; none of a kind that this version of the schema lacks.
pub fn write_operation(operation: &Operation) -> Option<wire::Operation> {
    use wire::operation::Operation as Wire;
    let operation = match operation {
        Operation::Message(operation) => Wire::Message(write_message(operation)?),
        Operation::Disposition(operation) => Wire::Disposition(write_disposition(operation)?),
        Operation::Composing(operation) => Wire::Composing(write_composing(operation)),
        Operation::Subscribe(operation) => Wire::Subscribe(presence::write_subscribe(operation)),
        Operation::Notify(operation) => Wire::Notify(presence::write_notify(operation)),
        Operation::Authorize(operation) => Wire::Authorize(presence::write_authorize(operation)),
        Operation::Publish(operation) => Wire::Publish(presence::write_publish(operation)),
        _ => return None,
    };
    Some(wire::Operation { operation: Some(operation) })
}

/// Reads an operation.
pub fn read_operation(operation: Option<wire::Operation>) -> Result<Operation, FrameError> {
    use wire::operation::Operation as Wire;
    Ok(match operation.and_then(|operation| operation.operation).ok_or_else(presence::nothing)? {
        Wire::Message(operation) => Operation::Message(Box::new(read_message(operation)?)),
        Wire::Disposition(operation) => Operation::Disposition(Box::new(read_disposition(operation)?)),
        Wire::Composing(operation) => Operation::Composing(Box::new(read_composing(operation)?)),
        Wire::Subscribe(operation) => Operation::Subscribe(Box::new(presence::read_subscribe(operation)?)),
        Wire::Notify(operation) => Operation::Notify(Box::new(presence::read_notify(operation)?)),
        Wire::Authorize(operation) => Operation::Authorize(Box::new(presence::read_authorize(operation)?)),
        Wire::Publish(operation) => Operation::Publish(Box::new(presence::read_publish(operation)?)),
    })
}

fn write_content(content: &Content) -> wire::Content {
    wire::Content {
        media_type: content.media_type.to_string(),
        language: content.language.as_ref().map(ToString::to_string),
        octets: content.octets.clone(),
    }
}

fn read_content(content: wire::Content) -> Content {
    Content {
        media_type: content.media_type.to_ascii_lowercase().into(),
        language: content.language.map(Into::into),
        octets: content.octets,
    }
}

fn write_message(operation: &MessageOperation) -> Option<wire::Message> {
    let message = &operation.message;
    Some(wire::Message {
        source: write_endpoint(&operation.source),
        destination: write_endpoint(&operation.destination),
        max_forwards: operation.max_forwards.0.into(),
        trans_id: operation.trans_id.to_string(),
        id: message.id.as_ref().map(ToString::to_string),
        thread: message.thread.as_ref().map(ToString::to_string),
        subjects: write_texts(&message.subjects),
        sent: message.sent.as_ref().map(ToString::to_string),
        receipts: Some(wire::Receipts {
            delivery: message.receipts.delivery,
            display: message.receipts.display,
            failure: message.receipts.failure,
            processing: message.receipts.processing,
        }),
        content: Some(write_content(&message.content)),
        alternatives: message.alternatives.iter().map(write_content).collect(),
        relations: message.relations.iter().map(write_relation).collect::<Option<_>>()?,
        hints: Some(wire::Hints {
            no_store: message.hints.no_store,
            no_permanent_store: message.hints.no_permanent_store,
            no_copy: message.hints.no_copy,
            store: message.hints.store,
        }),
        files: message
            .files
            .iter()
            .map(|file| wire::File { url: file.url.clone(), description: file.description.clone() })
            .collect(),
        sealed: message.sealed.as_ref().map(write_sealed),
        object: message.object.clone(),
        return_path: message.return_path.as_ref().map(|path| path.0.clone()),
        passed: message.passed.to_string(),
    })
}

fn read_message(operation: wire::Message) -> Result<MessageOperation, FrameError> {
    let mut message = InstantMessage::new(read_content(operation.content.ok_or_else(|| missing("content"))?));
    message.id = operation.id.map(Into::into);
    message.thread = operation.thread.map(Into::into);
    message.subjects = read_texts(operation.subjects);
    message.sent = operation.sent.map(|text| read_time("sent", &text)).transpose()?;
    if let Some(wire::Receipts { delivery, display, failure, processing }) = operation.receipts {
        message.receipts = Receipts { delivery, display, failure, processing };
    }
    message.alternatives = operation.alternatives.into_iter().map(read_content).collect();
    message.relations = operation.relations.into_iter().map(read_relation).collect::<Result<_, _>>()?;
    if let Some(wire::Hints { no_store, no_permanent_store, no_copy, store }) = operation.hints {
        message.hints = Hints { no_store, no_permanent_store, no_copy, store };
    }
    let file = |file: wire::File| OutOfBand { url: file.url, description: file.description };
    message.files = operation.files.into_iter().map(file).collect();
    message.sealed = operation.sealed.map(read_sealed).transpose()?;
    message.object = operation.object;
    message.return_path = operation.return_path.map(ReturnPath);
    message.passed = Passed::parse(&operation.passed);
    Ok(MessageOperation {
        source: read_endpoint("source", operation.source)?,
        destination: read_endpoint("destination", operation.destination)?,
        max_forwards: read_hops(operation.max_forwards)?,
        trans_id: operation.trans_id.into(),
        message,
    })
}

pub(super) fn write_sealed(sealed: &Sealed) -> wire::Sealed {
    wire::Sealed {
        scheme: sealed.scheme.to_string(),
        name: sealed.name.clone(),
        payload: Some(write_content(&sealed.payload)),
    }
}

pub(super) fn read_sealed(sealed: wire::Sealed) -> Result<Sealed, FrameError> {
    let payload = read_content(sealed.payload.ok_or_else(|| missing("payload"))?);
    Ok(Sealed { scheme: sealed.scheme.into(), name: sealed.name, payload })
}

fn write_relation(relation: &Relation) -> Option<wire::Relation> {
    use wire::relation::Relation as Wire;
    let relation = match relation {
        Relation::Replaces { id } => Wire::Replaces(id.to_string()),
        Relation::RepliesTo { id, author, quoted } => Wire::RepliesTo(wire::Reply {
            id: id.to_string(),
            author: author.as_ref().map(ToString::to_string),
            quoted: u32::try_from(*quoted).unwrap_or(u32::MAX),
        }),
        Relation::Reacts { id, emojis } => Wire::Reacts(wire::Reaction { id: id.to_string(), emojis: emojis.clone() }),
        Relation::Retracts { id } => Wire::Retracts(id.to_string()),
        _ => return None,
    };
    Some(wire::Relation { relation: Some(relation) })
}

fn read_relation(relation: wire::Relation) -> Result<Relation, FrameError> {
    use wire::relation::Relation as Wire;
    Ok(match relation.relation.ok_or_else(|| missing("relation"))? {
        Wire::Replaces(id) => Relation::Replaces { id: id.into() },
        Wire::RepliesTo(reply) => Relation::RepliesTo {
            id: reply.id.into(),
            author: reply.author.map(|text| Address::parse_bare(&text).map_err(|_| value("author"))).transpose()?,
            quoted: usize::try_from(reply.quoted).map_err(|_| value("quoted"))?,
        },
        Wire::Reacts(reaction) => Relation::Reacts { id: reaction.id.into(), emojis: reaction.emojis },
        Wire::Retracts(id) => Relation::Retracts { id: id.into() },
    })
}

pub(crate) fn write_disposition(operation: &DispositionOperation) -> Option<wire::Disposition> {
    Some(wire::Disposition {
        source: write_endpoint(&operation.source),
        destination: write_endpoint(&operation.destination),
        max_forwards: operation.max_forwards.0.into(),
        message_id: operation.message_id.as_ref().map(ToString::to_string),
        trans_id: operation.trans_id.to_string(),
        accepted: operation.accepted.to_string(),
        disposition: operation.disposition.label().to_owned(),
        failure: match &operation.disposition {
            Disposition::Failed(failure) => Some(write_failure(failure)),
            Disposition::Expired
            | Disposition::Delivered
            | Disposition::Displayed
            | Disposition::Processed
            | Disposition::Stored => None,
            _ => return None,
        },
        and_earlier: operation.and_earlier,
        return_path: operation.return_path.as_ref().map(|path| path.0.clone()),
    })
}

pub(crate) fn read_disposition(operation: wire::Disposition) -> Result<DispositionOperation, FrameError> {
    let disposition = match (operation.disposition.as_str(), operation.failure) {
        ("failed", Some(failure)) => Disposition::Failed(Box::new(read_failure(failure)?)),
        ("failed", None) => return Err(missing("failure")),
        ("expired", _) => Disposition::Expired,
        ("delivered", _) => Disposition::Delivered,
        ("displayed", _) => Disposition::Displayed,
        ("processed", _) => Disposition::Processed,
        ("stored", _) => Disposition::Stored,
        _ => return Err(value("disposition")),
    };
    Ok(DispositionOperation {
        source: read_endpoint("source", operation.source)?,
        destination: read_endpoint("destination", operation.destination)?,
        max_forwards: read_hops(operation.max_forwards)?,
        message_id: operation.message_id.map(Into::into),
        trans_id: operation.trans_id.into(),
        accepted: read_time("accepted", &operation.accepted)?,
        disposition,
        and_earlier: operation.and_earlier,
        return_path: operation.return_path.map(ReturnPath),
    })
}

fn write_composing(operation: &ComposingOperation) -> wire::Composing {
    wire::Composing {
        source: write_endpoint(&operation.source),
        destination: write_endpoint(&operation.destination),
        max_forwards: operation.max_forwards.0.into(),
        trans_id: operation.trans_id.to_string(),
        thread: operation.thread.as_ref().map(ToString::to_string),
        state: operation.state.label().to_owned(),
        refresh: operation.refresh.map(millis),
        content_type: operation.content_type.as_ref().map(ToString::to_string),
    }
}

const STATES: [ComposingState; 5] = [
    ComposingState::Composing,
    ComposingState::Paused,
    ComposingState::Active,
    ComposingState::Inactive,
    ComposingState::Gone,
];

fn read_composing(operation: wire::Composing) -> Result<ComposingOperation, FrameError> {
    let state = STATES.into_iter().find(|state| state.label() == operation.state);
    Ok(ComposingOperation {
        source: read_endpoint("source", operation.source)?,
        destination: read_endpoint("destination", operation.destination)?,
        max_forwards: read_hops(operation.max_forwards)?,
        trans_id: operation.trans_id.into(),
        thread: operation.thread.map(Into::into),
        state: state.ok_or_else(|| value("state"))?,
        refresh: operation.refresh.map(Duration::from_millis),
        content_type: operation.content_type.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::model::{
        AuthorizeOperation, Basic, Cause, DateTime, Device, EndReason, Endpoint, Failure, LangText, News,
        NotifyOperation, PresenceInfo, PresenceTuple, PublishOperation, Show, Side, Standing, SubscribeOperation, Wish,
    };
    use std::sync::Arc;

    fn end(text: &str, device: Option<&str>) -> Endpoint {
        Endpoint { address: text.parse().unwrap(), device: device.map(|device| Device::new(device).unwrap()) }
    }

    fn comes_back(operation: &Operation) {
        let written = write_operation(operation);
        assert!(written.is_some(), "{operation:?}");
        assert_eq!(read_operation(written).as_ref(), Ok(operation));
    }

    fn full_message() -> MessageOperation {
        let content = |media_type: &str, octets: &'static [u8]| Content {
            media_type: media_type.into(),
            language: Some("de".into()),
            octets: octets.into(),
        };
        let mut message = InstantMessage::new(content("text/plain", "a\0ü".as_bytes()));
        message.id = Some("m".into());
        message.thread = Some("t".into());
        message.subjects = vec![LangText { language: Some("en".into()), text: "s".into() }];
        message.sent = DateTime::parse("2026-11-23T00:00:00.5+01:00").ok();
        message.receipts = Receipts { delivery: true, display: false, failure: true, processing: true };
        message.alternatives = vec![content("image/png", b"\xff\x00")];
        message.relations = vec![
            Relation::Replaces { id: "r".into() },
            Relation::RepliesTo { id: "p".into(), author: "a@b.example".parse().ok(), quoted: 3 },
            Relation::Reacts { id: "e".into(), emojis: vec!["👍".into()] },
            Relation::Retracts { id: "x".into() },
        ];
        message.hints = Hints { no_store: true, no_permanent_store: false, no_copy: true, store: false };
        message.files = vec![OutOfBand { url: "https://a.example/f".into(), description: Some("f".into()) }];
        let payload = content("application/cms", b"\x30\x80");
        message.sealed = Some(Sealed { scheme: "urn:s".into(), name: None, payload });
        message.object = Some("From: x".into());
        message.return_path = Some(ReturnPath("back".into()));
        message.passed = Passed::parse("2c207b9532eb1988");
        MessageOperation {
            source: end("romeo@a.example", Some("orchard")),
            destination: end("juliet@b.example", None),
            max_forwards: adapter_api::model::MaxForwards(7),
            trans_id: "t1".into(),
            message,
        }
    }

    #[test]
    fn every_field_of_a_message_comes_back_as_it_was() {
        comes_back(&Operation::Message(Box::new(full_message())));
    }

    #[test]
    fn every_other_operation_comes_back_as_it_was() {
        let (a, b) = (end("a@a.example", Some("d")), end("b@b.example", None));
        let failure = Failure::new(Side::Far, Cause::NotFound).with_text("gone");
        for disposition in [
            Disposition::Failed(Box::new(failure)),
            Disposition::Expired,
            Disposition::Delivered,
            Disposition::Displayed,
            Disposition::Processed,
            Disposition::Stored,
        ] {
            comes_back(&Operation::Disposition(Box::new(DispositionOperation {
                source: a.clone(),
                destination: b.clone(),
                max_forwards: adapter_api::model::MaxForwards::INITIAL,
                message_id: Some("m".into()),
                trans_id: "t".into(),
                accepted: DateTime::parse("2026-11-23T00:00:00Z").unwrap(),
                disposition,
                and_earlier: true,
                return_path: None,
            })));
        }
        for state in STATES {
            comes_back(&Operation::Composing(Box::new(ComposingOperation {
                source: a.clone(),
                destination: b.clone(),
                max_forwards: adapter_api::model::MaxForwards(1),
                trans_id: "t".into(),
                thread: None,
                state,
                refresh: Some(Duration::from_secs(60)),
                content_type: Some("text/plain".into()),
            })));
        }
        let time = Duration::from_secs(3600);
        for wish in
            [Wish::Watch(time), Wish::Extend(time), Wish::Standing, Wish::Fetch, Wish::Pause, Wish::Cancel, Wish::Check]
        {
            let (watcher, target) = (a.clone(), b.clone());
            let subscribe =
                SubscribeOperation { watcher, target, wish, subscript_id: "s".into(), trans_id: "t".into() };
            comes_back(&Operation::Subscribe(Box::new(subscribe)));
        }
        let tuple = PresenceTuple {
            show: Some(Show::Xa),
            priority: Some(-5),
            notes: vec![LangText { language: None, text: "n".into() }],
            contact: Some("im:a@a.example".into()),
            since: DateTime::parse("2026-11-23T00:00:00Z").ok(),
            ..PresenceTuple::new(Device::new("d").ok(), Basic::Closed)
        };
        let info =
            PresenceInfo { tuples: vec![tuple.clone()], pidf: Some("<presence/>".into()), ..PresenceInfo::default() };
        let news = [News::Nothing, News::Whole(Arc::new(info.clone())), News::Device(Box::new(tuple))];
        let ended = |reason| Standing::Ended { reason, retry_after: Some(time) };
        let standings = [
            Standing::Pending { expires: None },
            Standing::Active { expires: Some(time) },
            ended(EndReason::GiveUp),
            ended(EndReason::NoResource),
        ];
        for (standing, news) in
            standings.into_iter().flat_map(|one| news.iter().map(move |news| (one.clone(), news.clone())))
        {
            let (target, watcher, trans_id) = (a.clone(), b.clone(), "t".into());
            let notify = NotifyOperation { target, watcher, subscript_id: Some("s".into()), trans_id, standing, news };
            comes_back(&Operation::Notify(Box::new(notify)));
        }
        let authorize = AuthorizeOperation { target: a.clone(), watcher: b, allow: true, trans_id: "t".into() };
        comes_back(&Operation::Authorize(Box::new(authorize)));
        for state in [None, Some(Arc::new(info))] {
            let publish = PublishOperation { source: a.clone(), state, trans_id: "t".into() };
            comes_back(&Operation::Publish(Box::new(publish)));
        }
    }

    #[test]
    fn impossible_values_are_refused_by_their_field() {
        let written = |change: fn(&mut wire::Message)| {
            let mut message = write_message(&full_message()).unwrap();
            change(&mut message);
            read_message(message).unwrap_err()
        };
        assert_eq!(written(|message| message.max_forwards = 256), value("max_forwards"));
        assert_eq!(written(|message| message.sent = Some("yesterday".into())), value("sent"));
        assert_eq!(written(|message| message.content = None), missing("content"));
        assert_eq!(written(|message| message.source = None), missing("source"));
        let nobody = wire::Endpoint { address: "nobody".into(), device: None };
        assert_eq!(written(|message| message.destination = None), missing("destination"));
        assert_eq!(read_endpoint("source", Some(nobody)), Err(value("source")));
        assert_eq!(read_operation(None), Err(missing("operation")));
    }
}
