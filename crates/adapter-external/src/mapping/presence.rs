//! RFC 3859 §3.1: the operations of presence.

use super::operation::{read_sealed, write_sealed};
use super::{FrameError, millis, missing, read_endpoint, read_texts, read_time, value, write_endpoint, write_texts};
use crate::wire;
use adapter_api::model::{
    AuthorizeOperation, Basic, Device, EndReason, News, NotifyOperation, PresenceInfo, PresenceTuple, PublishOperation,
    Show, Standing, SubscribeOperation, Wish,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn write_subscribe(operation: &SubscribeOperation) -> wire::Subscribe {
    let duration = match operation.wish {
        Wish::Watch(time) | Wish::Extend(time) => millis(time),
        Wish::Standing | Wish::Fetch | Wish::Pause | Wish::Cancel | Wish::Check => 0,
    };
    wire::Subscribe {
        watcher: write_endpoint(&operation.watcher),
        target: write_endpoint(&operation.target),
        wish: operation.wish.label().to_owned(),
        duration,
        subscript_id: operation.subscript_id.to_string(),
        trans_id: operation.trans_id.to_string(),
    }
}

pub(super) fn read_subscribe(operation: wire::Subscribe) -> Result<SubscribeOperation, FrameError> {
    let duration = Duration::from_millis(operation.duration);
    let wish = match operation.wish.as_str() {
        "watch" => Wish::Watch(duration),
        "extend" => Wish::Extend(duration),
        "standing" => Wish::Standing,
        "fetch" => Wish::Fetch,
        "pause" => Wish::Pause,
        "cancel" => Wish::Cancel,
        "check" => Wish::Check,
        _ => return Err(value("wish")),
    };
    Ok(SubscribeOperation {
        watcher: read_endpoint("watcher", operation.watcher)?,
        target: read_endpoint("target", operation.target)?,
        wish,
        subscript_id: operation.subscript_id.into(),
        trans_id: operation.trans_id.into(),
    })
}

const REASONS: [EndReason; 8] = [
    EndReason::Deactivated,
    EndReason::Probation,
    EndReason::Rejected,
    EndReason::Timeout,
    EndReason::GiveUp,
    EndReason::NoResource,
    EndReason::Invariant,
    EndReason::Unknown,
];

pub(super) fn write_notify(operation: &NotifyOperation) -> wire::Notify {
    let (standing, expires, reason, retry_after) = match &operation.standing {
        Standing::Pending { expires } => ("pending", *expires, "", None),
        Standing::Active { expires } => ("active", *expires, "", None),
        Standing::Ended { reason, retry_after } => ("ended", None, reason.label(), *retry_after),
    };
    wire::Notify {
        target: write_endpoint(&operation.target),
        watcher: write_endpoint(&operation.watcher),
        subscript_id: operation.subscript_id.as_ref().map(ToString::to_string),
        trans_id: operation.trans_id.to_string(),
        standing: standing.to_owned(),
        expires: expires.map(millis),
        reason: reason.to_owned(),
        retry_after: retry_after.map(millis),
        news: match &operation.news {
            News::Nothing => None,
            News::Whole(info) => Some(wire::notify::News::Whole(write_info(info))),
            News::Device(tuple) => Some(wire::notify::News::Device(write_tuple(tuple))),
        },
    }
}

pub(super) fn read_notify(operation: wire::Notify) -> Result<NotifyOperation, FrameError> {
    let expires = operation.expires.map(Duration::from_millis);
    let standing = match operation.standing.as_str() {
        "pending" => Standing::Pending { expires },
        "active" => Standing::Active { expires },
        "ended" => {
            let known = REASONS.into_iter().find(|reason| reason.label() == operation.reason);
            let retry_after = operation.retry_after.map(Duration::from_millis);
            Standing::Ended { reason: known.ok_or_else(|| value("reason"))?, retry_after }
        }
        _ => return Err(value("standing")),
    };
    Ok(NotifyOperation {
        target: read_endpoint("target", operation.target)?,
        watcher: read_endpoint("watcher", operation.watcher)?,
        subscript_id: operation.subscript_id.map(Into::into),
        trans_id: operation.trans_id.into(),
        standing,
        news: match operation.news {
            None => News::Nothing,
            Some(wire::notify::News::Whole(info)) => News::Whole(Arc::new(read_info(info)?)),
            Some(wire::notify::News::Device(tuple)) => News::Device(Box::new(read_tuple(tuple)?)),
        },
    })
}

pub(super) fn write_authorize(operation: &AuthorizeOperation) -> wire::Authorize {
    wire::Authorize {
        target: write_endpoint(&operation.target),
        watcher: write_endpoint(&operation.watcher),
        allow: operation.allow,
        trans_id: operation.trans_id.to_string(),
    }
}

pub(super) fn read_authorize(operation: wire::Authorize) -> Result<AuthorizeOperation, FrameError> {
    Ok(AuthorizeOperation {
        target: read_endpoint("target", operation.target)?,
        watcher: read_endpoint("watcher", operation.watcher)?,
        allow: operation.allow,
        trans_id: operation.trans_id.into(),
    })
}

pub(super) fn write_publish(operation: &PublishOperation) -> wire::Publish {
    wire::Publish {
        source: write_endpoint(&operation.source),
        state: operation.state.as_deref().map(write_info),
        trans_id: operation.trans_id.to_string(),
    }
}

pub(super) fn read_publish(operation: wire::Publish) -> Result<PublishOperation, FrameError> {
    Ok(PublishOperation {
        source: read_endpoint("source", operation.source)?,
        state: operation.state.map(read_info).transpose()?.map(Arc::new),
        trans_id: operation.trans_id.into(),
    })
}

fn write_info(info: &PresenceInfo) -> wire::PresenceInfo {
    wire::PresenceInfo {
        tuples: info.tuples.iter().map(write_tuple).collect(),
        notes: write_texts(&info.notes),
        pidf: info.pidf.clone(),
    }
}

fn read_info(info: wire::PresenceInfo) -> Result<PresenceInfo, FrameError> {
    let tuples = info.tuples.into_iter().map(read_tuple).collect::<Result<_, _>>()?;
    Ok(PresenceInfo { tuples, notes: read_texts(info.notes), pidf: info.pidf })
}

fn write_tuple(tuple: &PresenceTuple) -> wire::PresenceTuple {
    wire::PresenceTuple {
        device: tuple.device.as_ref().map(ToString::to_string),
        open: tuple.basic == Basic::Open,
        show: tuple.show.map(|show| show.as_str().to_owned()),
        priority: tuple.priority.map(i32::from),
        notes: write_texts(&tuple.notes),
        contact: tuple.contact.as_ref().map(ToString::to_string),
        since: tuple.since.as_ref().map(ToString::to_string),
        sealed: tuple.sealed.as_deref().map(write_sealed),
    }
}

fn read_tuple(tuple: wire::PresenceTuple) -> Result<PresenceTuple, FrameError> {
    Ok(PresenceTuple {
        device: tuple.device.map(|device| Device::new(&device).map_err(|_| value("device"))).transpose()?,
        basic: if tuple.open { Basic::Open } else { Basic::Closed },
        show: tuple.show.map(|show| Show::parse(&show).ok_or_else(|| value("show"))).transpose()?,
        priority: tuple.priority.map(|number| i8::try_from(number).map_err(|_| value("priority"))).transpose()?,
        notes: read_texts(tuple.notes),
        contact: tuple.contact.map(Into::into),
        since: tuple.since.map(|text| read_time("since", &text)).transpose()?,
        sealed: tuple.sealed.map(read_sealed).transpose()?.map(Box::new),
    })
}

/// What an operation of presence without its fields is.
pub(super) fn nothing() -> FrameError {
    missing("operation")
}
