//! Lines to operations and back: pure functions.

use crate::line::Line;
use adapter_api::model::{
    Address, AuthorizeOperation, Basic, Cause, Content, Device, Endpoint, Failure, InstantMessage, MaxForwards,
    MessageOperation, News, NotifyOperation, Operation, Outcome, PresenceInfo, PresenceTuple, PublishOperation, Side,
    Standing, SubscribeOperation, Wish,
};
use std::sync::Arc;

/// What a line of `user` asks the hub to do; none where the line makes no sense.
pub(crate) fn to_operation(user: &Address, device: &Device, line: &Line, number: u64) -> Option<Operation> {
    let own = Endpoint { address: user.clone(), device: Some(device.clone()) };
    let trans_id = format!("{device}-{number}");
    let parse = |text: &String| Address::parse_bare(text).ok();
    Some(match (line.verb.as_str(), line.fields.as_slice()) {
        ("MSG", [id, to, media_type, text]) => {
            let content = Content {
                media_type: media_type.to_ascii_lowercase().into(),
                language: None,
                octets: text.clone().into(),
            };
            let mut message = InstantMessage::new(content);
            message.id = Some(id.as_str().into());
            Operation::Message(Box::new(MessageOperation {
                source: own,
                destination: Endpoint::bare(parse(to)?),
                max_forwards: MaxForwards::INITIAL,
                trans_id: trans_id.into(),
                message,
            }))
        }
        (verb @ ("WATCH" | "UNWATCH"), [target]) => Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: Endpoint::bare(user.clone()),
            target: Endpoint::bare(parse(target)?),
            wish: if verb == "WATCH" { Wish::Standing } else { Wish::Cancel },
            subscript_id: format!("{user}-{target}").into(),
            trans_id: trans_id.into(),
        })),
        (verb @ ("ALLOW" | "DENY"), [watcher]) => Operation::Authorize(Box::new(AuthorizeOperation {
            target: Endpoint::bare(user.clone()),
            watcher: Endpoint::bare(parse(watcher)?),
            allow: verb == "ALLOW",
            trans_id: trans_id.into(),
        })),
        ("STATE", [basic]) => return Some(state(own, Basic::parse(basic)?, &trans_id)),
        _ => return None,
    })
}

/// The state of the device at `own`.
pub(crate) fn state(own: Endpoint, basic: Basic, trans_id: &str) -> Operation {
    let tuple = PresenceTuple::new(own.device.clone(), basic);
    let info = PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() };
    let operation = PublishOperation { source: own, state: Some(Arc::new(info)), trans_id: trans_id.into() };
    Operation::Publish(Box::new(operation))
}

/// The line that carries a message, and the id that its answer will name.
pub(crate) fn to_line(operation: &MessageOperation) -> Result<(String, Line), Failure> {
    let message = &operation.message;
    if let Some(sealed) = &message.sealed {
        return Err(sealed.refusal());
    }
    let no_text = || Failure::new(Side::Far, Cause::UnsupportedMedia).with_text("lines carry text only");
    let text = std::str::from_utf8(&message.content.octets).map_err(|_| no_text())?;
    if text.len() > MAX_CONTENT {
        return Err(Failure::new(Side::Far, Cause::TooLarge));
    }
    let id = operation.carried_id().into_owned();
    let from = operation.source.address.to_string();
    let line = Line::new("MSG", [&*id, &*from, &*message.content.media_type, text]);
    Ok((id, line))
}

/// What fits a line even if every octet is escaped.
pub(crate) const MAX_CONTENT: usize = 64 * 1024;

/// The lines that tell a watcher what a notification says.
pub(crate) fn to_presence(notify: &NotifyOperation) -> Vec<Line> {
    let target = notify.target.address.to_string();
    let device = |tuple: &PresenceTuple| tuple.device.as_ref().map_or("", Device::as_str).to_owned();
    let open: Option<Vec<String>> = match &notify.news {
        News::Nothing => None,
        News::Whole(info) => Some(info.tuples.iter().filter(|t| t.basic == Basic::Open).map(device).collect()),
        News::Device(tuple) => Some(if tuple.basic == Basic::Open { vec![device(tuple)] } else { Vec::new() }),
    };
    let state = open.map(|open| Line::new("STATE", [&*target].into_iter().chain(open.iter().map(String::as_str))));
    let over = matches!(notify.standing, Standing::Ended { .. }).then(|| Line::new("OVER", [&*target]));
    state.into_iter().chain(over).collect()
}

/// The answer to a user's message.
pub(crate) fn to_answer(id: &str, outcome: &Outcome) -> Line {
    match outcome {
        Outcome::Success(_) => Line::new("OK", [id]),
        Outcome::HandedOver | Outcome::Indeterminant => Line::new("WAIT", [id]),
        Outcome::Failure(failure) => Line::new("NO", [id, failure.cause.code()]),
    }
}

/// What a user's refusal says, by the code of its cause.
pub(crate) fn to_failure(code: &str) -> Failure {
    let cause = Cause::ALL.iter().find(|cause| cause.code() == code);
    Failure::new(Side::Far, cause.copied().unwrap_or(Cause::Undefined))
}
