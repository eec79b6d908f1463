//! Word about messages: notifications (RFC 5438) and composing states (RFC 3994) as operations, both ways.

use std::time::Duration;

use impp_model::{
    Cause, ComposingOperation, ComposingState, DateTime, Disposition, DispositionOperation, Endpoint, Failure,
    MaxForwards, MessageId, Side, TransId,
};

use crate::composing::{IsComposing, State};
use crate::imdn::{Imdn, Notification, Status};

/// The operation that a notification of `source` asks for; `now` stands for a time that can't be read.
///
/// `None` for word that no operation has a form for.
pub fn from_imdn(
    imdn: &Imdn,
    source: Endpoint,
    destination: Endpoint,
    trans_id: TransId,
    now: DateTime,
) -> Option<DispositionOperation> {
    Some(DispositionOperation {
        source,
        destination,
        max_forwards: MaxForwards::INITIAL,
        message_id: Some(MessageId::from(imdn.message_id.as_str())),
        trans_id,
        accepted: DateTime::parse(&imdn.date_time).unwrap_or(now),
        disposition: disposition(imdn.notification, &imdn.status)?,
        and_earlier: false,
        return_path: None,
    })
}

// CMP-024.
fn disposition(notification: Notification, status: &Status) -> Option<Disposition> {
    let failed = |cause, text| Some(Disposition::Failed(Box::new(Failure::new(Side::Far, cause).with_text(text))));
    match (notification, status) {
        (Notification::Delivery, Status::Delivered) => Some(Disposition::Delivered),
        (Notification::Delivery, Status::Failed) => {
            failed(Cause::RecipientUnavailable, "not delivered to the addressee")
        }
        (Notification::Delivery, Status::Forbidden) => failed(Cause::Forbidden, "the addressee does not take it"),
        (Notification::Delivery, Status::Error) => failed(Cause::InternalError, "an error at the addressee's side"),
        (Notification::Display, Status::Displayed) => Some(Disposition::Displayed),
        (Notification::Processing, Status::Processed) => Some(Disposition::Processed),
        (Notification::Processing, Status::Stored) => Some(Disposition::Stored),
        // That a message was shown and may not be said to be is no failure of the message; the rest has no form.
        _ => None,
    }
}

/// The notification and its status that tell of a disposition.
pub fn to_notification(disposition: &Disposition) -> (Notification, Status) {
    match disposition {
        Disposition::Delivered => (Notification::Delivery, Status::Delivered),
        Disposition::Displayed => (Notification::Display, Status::Displayed),
        Disposition::Processed => (Notification::Processing, Status::Processed),
        Disposition::Stored => (Notification::Processing, Status::Stored),
        // CMP-023.
        Disposition::Failed(failure) if matches!(failure.cause, Cause::Forbidden | Cause::NotAuthorized) => {
            (Notification::Delivery, Status::Forbidden)
        }
        Disposition::Failed(_) | Disposition::Expired | _ => (Notification::Delivery, Status::Failed),
    }
}

/// The operation that a status message of `source` asks for.
pub fn from_status(
    status: IsComposing,
    source: Endpoint,
    destination: Endpoint,
    trans_id: TransId,
) -> ComposingOperation {
    ComposingOperation {
        source,
        destination,
        max_forwards: MaxForwards::INITIAL,
        trans_id,
        thread: None,
        // CMP-001, CMP-005: idle, and what is unknown, is attention without composing.
        state: if status.state == State::Active { ComposingState::Composing } else { ComposingState::Active },
        refresh: status.refresh.map(|seconds| Duration::from_secs(seconds.into())),
        content_type: status.content_type.map(Into::into),
    }
}

/// The status message that tells of a state.
pub fn to_status(told: &ComposingOperation) -> IsComposing {
    if !told.state.is_composing() {
        return IsComposing::idle();
    }
    let seconds = told.refresh.and_then(|refresh| u32::try_from(refresh.as_secs()).ok()).filter(|it| *it > 0);
    IsComposing { content_type: told.content_type.as_deref().map(str::to_owned), ..IsComposing::active(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Endpoint, Endpoint) {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        (end("juliet@example.com"), end("romeo@example.net"))
    }

    // checks: CMP-023, CMP-024
    #[test]
    fn rfc5438_s11_1_7_statuses_are_dispositions() {
        let read = |notification, status| {
            let (source, destination) = ends();
            let imdn = Imdn {
                message_id: "1".to_owned(),
                date_time: "2026-11-22T12:16:49Z".to_owned(),
                recipient_uri: None,
                original_recipient_uri: None,
                subject: None,
                notification,
                status,
            };
            let now = DateTime::from_epoch(0, 0).unwrap();
            from_imdn(&imdn, source, destination, TransId::from("t"), now).map(|word| word.disposition)
        };
        for (notification, status) in [
            (Notification::Delivery, Status::Delivered),
            (Notification::Delivery, Status::Failed),
            (Notification::Delivery, Status::Forbidden),
            (Notification::Display, Status::Displayed),
            (Notification::Processing, Status::Processed),
            (Notification::Processing, Status::Stored),
        ] {
            let word = read(notification, status.clone()).unwrap();
            assert_eq!(to_notification(&word), (notification, status));
        }
        let error = read(Notification::Delivery, Status::Error).unwrap();
        assert_eq!(error.failure().map(|failure| failure.cause), Some(Cause::InternalError));
        assert_eq!(read(Notification::Display, Status::Forbidden), None);
    }

    // checks: CMP-001, ISC-004, AMB-20
    #[test]
    fn rfc3994_s3_5_states_other_than_active_are_idle() {
        let (source, destination) = ends();
        let told = from_status(IsComposing::active(Some(90)), source, destination, TransId::from("t"));
        assert_eq!((told.state, told.refresh), (ComposingState::Composing, Some(Duration::from_secs(90))));
        assert_eq!(to_status(&told), IsComposing::active(Some(90)));
        let (source, destination) = ends();
        let idle = from_status(IsComposing::idle(), source, destination, TransId::from("t"));
        assert_eq!(idle.state, ComposingState::Active);
        for state in [ComposingState::Active, ComposingState::Paused, ComposingState::Inactive, ComposingState::Gone] {
            assert_eq!(to_status(&ComposingOperation { state, ..told.clone() }), IsComposing::idle());
        }
    }
}
