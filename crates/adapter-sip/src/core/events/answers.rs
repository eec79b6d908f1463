//! What comes of our own SUBSCRIBE and NOTIFY requests.

use std::time::{Duration, Instant};

use adapter_api::settle_channel;
use impp_model::{
    Cause, EndReason, Failure, News, Operation, Outcome, Proof, Side, Standing, SubscribeOperation, Wish,
};
use sip_proto::event::{NotifyAnswer, ResponseVerdict};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;

use super::dialog::Dialog;
use super::reports::Report;
use super::{EventId, Sent};
use crate::core::Core;
use crate::core::outbound::pause;

impl Core {
    /// Takes the final response to a request in a dialog, or what took its place.
    pub(in crate::core) fn handle_event_answer(
        &mut self,
        sent: &Sent,
        response: Option<&Message>,
        outcome: Outcome,
        now: Instant,
    ) {
        let status = response.and_then(Message::status).map(|status| status.code());
        match sent {
            Sent::Notify(id) => {
                self.handle_notify_answer(id, status.or_else(|| status_of(&outcome)), response.and_then(pause), now);
            }
            Sent::Subscribe(id, expires) => {
                let least = response.and_then(min_expires);
                self.handle_subscribe_answer(id, *expires, status, least, outcome, now);
            }
        }
    }

    fn handle_notify_answer(&mut self, id: &EventId, status: Option<u16>, pause: Option<Duration>, now: Instant) {
        let interval = self.events.interval;
        let Some(watching) = self.events.watchers.get_mut(id) else { return };
        if watching.wake(interval).machine.handle_answer(status, pause, now) == NotifyAnswer::GoesOn {
            return self.send_due_notify(id, now);
        }
        let dialog = watching.dialog.open();
        self.drop_watcher(id);
        let Some(Dialog { watcher, target, .. }) = dialog else { return };
        // RFC 6665 §4.2.2: the hub ends what it knows under this id; after the last NOTIFY it knows nothing more.
        let provenance = self.by_dialog(&watcher);
        let trans_id = self.events.trans_id();
        let subscribe = SubscribeOperation { watcher, target, wish: Wish::Pause, subscript_id: id.clone(), trans_id };
        self.hub.submit(Operation::Subscribe(Box::new(subscribe)), provenance, settle_channel().0);
    }

    fn handle_subscribe_answer(
        &mut self,
        id: &EventId,
        expires: u32,
        status: Option<u16>,
        least: Option<u32>,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(watched) = self.events.presentities.get_mut(id) else { return };
        let Some(Dialog { watcher, target, .. }) = watched.dialog.open() else { return };
        let is_made = watched.is_made();
        let Some(busy) = &mut watched.busy else { return };
        let Some(settle) = busy.asked.take() else { return };
        // RFC 6665 §4.1.2.2: no answer at all leaves a dialog as it was.
        let verdict = match status {
            Some(status) => busy.machine.handle_response(status, least),
            None if is_made => ResponseVerdict::Failed,
            None => busy.machine.handle_response(408, None),
        };
        let failed = |outcome| match outcome {
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => {
                Failure::new(Side::Far, Cause::Undefined).into()
            }
            failure @ Outcome::Failure(_) => failure,
        };
        match verdict {
            ResponseVerdict::Accepted => {
                settle.settle(Outcome::Success(Proof::Server));
                self.rearm_event(super::dialog::Role::Presentity, id, now);
            }
            ResponseVerdict::Longer(least) if expires > 0 => self.subscribe_again(id, least.max(expires), settle, now),
            ResponseVerdict::NewDialog => {
                self.drop_presentity(id);
                settle.settle(Outcome::HandedOver);
                let over = Standing::Ended { reason: EndReason::Unknown, retry_after: None };
                self.report(watcher, target, over, News::Nothing);
            }
            ResponseVerdict::Denied => {
                self.drop_presentity(id);
                self.tell_hub(Report::denied(watcher, target));
                settle.settle(failed(outcome));
            }
            ResponseVerdict::Over => {
                self.drop_presentity(id);
                let over = Standing::Ended { reason: EndReason::Probation, retry_after: None };
                self.report(watcher, target, over, News::Nothing);
                settle.settle(failed(outcome));
            }
            ResponseVerdict::Failed | ResponseVerdict::Longer(_) => {
                if watched_is_new(self, id) {
                    self.drop_presentity(id);
                } else {
                    self.rearm_event(super::dialog::Role::Presentity, id, now);
                }
                settle.settle(failed(outcome));
            }
        }
    }
}

/// RFC 3261 §8.1.3.1: the status that takes the place of an answer to a NOTIFY, but for Timer F, which RFC 6665 §4.2.2 tells apart.
fn status_of(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Failure(failure) if failure.cause != Cause::RemoteTimeout => Some(503),
        Outcome::Failure(_) | Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => None,
    }
}

/// Whether there is no dialog yet.
fn watched_is_new(core: &Core, id: &EventId) -> bool {
    core.events.presentities.get(id).is_some_and(|watched| !watched.is_made())
}

fn min_expires(response: &Message) -> Option<u32> {
    response.header(HeaderId::MinExpires)?.text().ok()?.trim().parse().ok()
}
