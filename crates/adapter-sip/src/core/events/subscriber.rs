//! Presentities of this network: SUBSCRIBE requests for watchers elsewhere, and the NOTIFY requests that come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::{Delivery, Hop, Settle};
use impp_model::{
    DateTime, EndReason, Endpoint, News, Operation, Outcome, Proof, Standing, SubscribeOperation, SubscriptId, Wish,
};
use sip_proto::build::ResponseBuilder;
use sip_proto::event::{NotifyVerdict, State, Subscriber, SubscriptionState};
use sip_proto::header_id::HeaderId;
use sip_proto::transaction::{Handle, Key, RequestMatch};

use super::dialog::{Dialog, Role, contact_of, routes_of};
use super::notifier::dialog_of;
use super::reports::Report;
use super::table::Packed;
use super::{Asking, EventId, Sent, Watched};
use crate::core::Core;
use crate::core::inbound::Pending;
use crate::mapping::presence::{EVENT, Notification, from_notify};

impl Core {
    /// Takes a subscribe operation to a presentity of this network.
    pub(in crate::core) fn handle_subscribe_delivery(&mut self, delivery: Delivery, now: Instant) {
        let Operation::Subscribe(subscribe) = &*delivery.operation.clone() else { return };
        if self.events.agent.serves(&subscribe.target) {
            return self.handle_agent_delivery(delivery);
        }
        let id = &subscribe.subscript_id;
        let expires = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        match subscribe.wish {
            Wish::Watch(duration) | Wish::Extend(duration) => self.watch(delivery, subscribe, expires(duration), now),
            Wish::Standing => self.watch(delivery, subscribe, super::DEFAULT_EXPIRES, now),
            Wish::Fetch => {
                // RFC 8048 §7.1: a dialog of its own.
                self.events.numbers += 1;
                let id = SubscriptId::from(format!("{id}-{}", self.events.numbers));
                self.begin_watched(&id, subscribe, 0, delivery.hop.clone(), delivery.settle, now);
            }
            Wish::Pause | Wish::Cancel => self.unwatch(id, delivery.settle, now),
            Wish::Check => delivery.settle(Outcome::Success(Proof::Server)),
        }
    }

    fn watch(&mut self, delivery: Delivery, subscribe: &SubscribeOperation, expires: u32, now: Instant) {
        let id = &subscribe.subscript_id;
        if let Some(watched) = self.events.presentities.get_mut(id) {
            if watched.is_made() {
                watched.hop = delivery.hop.clone();
                return self.subscribe_again(id, expires, delivery.settle, now);
            }
            self.drop_presentity(id);
        }
        self.begin_watched(id, subscribe, expires, delivery.hop.clone(), delivery.settle, now);
    }

    fn begin_watched(
        &mut self,
        id: &EventId,
        subscribe: &SubscribeOperation,
        expires: u32,
        hop: Arc<Hop>,
        settle: Settle,
        now: Instant,
    ) {
        if self.events.is_full() {
            return settle.settle(impp_model::Failure::new(impp_model::Side::Ours, impp_model::Cause::Overload));
        }
        let own_tag = impp_model::hex(&rand::random::<[u8; 8]>());
        let dialog = Dialog {
            watcher: Endpoint::bare(subscribe.watcher.address.clone()),
            target: Endpoint::bare(subscribe.target.address.clone()),
            call_id: impp_model::hex(&rand::random::<[u8; 16]>()),
            own_tag,
            remote_tag: String::new(),
            remote_target: String::new(),
            event_id: String::new(),
            routes: Vec::new(),
            cseq: 0,
            reserved: 0,
            remote_cseq: 0,
            protected: super::dialog::Protections::default(),
        };
        let fetch = expires == 0;
        let busy = Some(Box::new(Asking { machine: Subscriber::new(now), asked: None, fetch, due: None }));
        self.events.presentities.insert(Watched { dialog: Packed::new(id, &dialog), hop, busy });
        self.subscribe_again(id, expires, settle, now);
    }

    fn unwatch(&mut self, id: &EventId, settle: Settle, now: Instant) {
        match self.events.presentities.get(id) {
            Some(watched) if watched.is_made() => {
                self.forget_report(id, now);
                self.subscribe_again(id, 0, settle, now);
            }
            Some(_) | None => {
                self.drop_presentity(id);
                settle.settle(Outcome::Success(Proof::Server));
            }
        }
    }

    /// Sends a SUBSCRIBE, in the dialog where there is one.
    pub(super) fn subscribe_again(&mut self, id: &EventId, expires: u32, settle: Settle, now: Instant) {
        let Some(watched) = self.events.presentities.get_mut(id) else { return };
        let Some(mut dialog) = watched.dialog.open() else { return };
        let (request, used_up) = dialog.subscribe(expires, &self.names.contact(&dialog.own_tag));
        watched.dialog.close(&dialog);
        let in_dialog = watched.is_made();
        let busy = watched.wake();
        busy.machine.handle_sent(now);
        if let Some(earlier) = busy.asked.replace(settle) {
            earlier.settle(Outcome::HandedOver);
        }
        let hop = if in_dialog { Arc::new(Hop::Fixed(dialog.hop().into())) } else { watched.hop.clone() };
        let about = Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: dialog.watcher.clone(),
            target: dialog.target.clone(),
            wish: Wish::Fetch,
            subscript_id: id.clone(),
            trans_id: "".into(),
        }));
        if used_up && in_dialog {
            self.keep_changed(Role::Presentity, id);
        }
        self.send_in_dialog(request, hop, about, Sent::Subscribe(id.clone(), expires), now);
        self.rearm_event(Role::Presentity, id, now);
    }

    pub(super) fn drop_presentity(&mut self, id: &EventId) {
        let Some(watched) = self.events.presentities.remove(id) else { return };
        if watched.is_made() {
            self.forget_dialog(id);
        }
        let Some(busy) = watched.busy else { return };
        if let Some(due) = busy.due {
            self.events.dues.remove(&(due, Role::Presentity, id.clone()));
        }
        if let Some(settle) = busy.asked {
            settle.settle(Outcome::HandedOver);
        }
    }

    /// RFC 6665 §4.1.2.4: no NOTIFY has come. After a refresh that says nothing of the presentity: it is asked in a new dialog first.
    pub(super) fn handle_timer_n(&mut self, id: &EventId, now: Instant) {
        let Some(watched) = self.events.presentities.get_mut(id) else { return };
        let Some(busy) = &mut watched.busy else { return };
        busy.due = None;
        if !busy.machine.handle_timeout(now) {
            return self.rearm_event(Role::Presentity, id, now);
        }
        let reason = if watched.is_made() { EndReason::Unknown } else { EndReason::Probation };
        let dialog = watched.dialog.open();
        self.drop_presentity(id);
        let Some(Dialog { watcher, target, .. }) = dialog else { return };
        self.report(watcher, target, ended(reason), News::Nothing);
    }

    /// Takes a NOTIFY that passed the checks of a user agent server.
    pub(in crate::core) fn handle_notify(&mut self, pending: Pending, key: Key, now: Instant) {
        let request = &pending.request;
        let (call_id, tag) = dialog_of(request);
        let found = tag.and_then(|tag| self.events.find(&call_id, &tag));
        let Some((Role::Presentity, id)) = found else { return self.answer(&pending, 481, now) };
        let notification = match from_notify(request) {
            Ok(notification) => notification,
            Err(refusal) => {
                let response = ResponseBuilder::new(request, refusal.status()).header(HeaderId::AllowEvents, EVENT);
                return self.send_built(&pending, refusal.add_accept(response), now);
            }
        };
        // What is refused makes no dialog, and leaves Timer N running.
        let news = match news_of(&notification) {
            Ok(news) => news,
            Err(status) => return self.answer(&pending, status, now),
        };
        let Some(watched) = self.events.presentities.get_mut(&id) else { return };
        let routes = match routes_of(request) {
            None if !watched.is_made() => return self.answer(&pending, 400, now),
            routes => routes.unwrap_or_default(),
        };
        let from_tag = request.from().ok().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default();
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let busy = watched.wake();
        let (verdict, fetch) = (busy.machine.handle_notify(&from_tag, cseq), busy.fetch);
        match verdict {
            NotifyVerdict::Unknown | NotifyVerdict::Old => {
                self.rearm_event(Role::Presentity, &id, now);
                return self.answer(&pending, if verdict == NotifyVerdict::Old { 500 } else { 481 }, now);
            }
            NotifyVerdict::Take => {}
        }
        let Some(mut dialog) = watched.dialog.open() else { return };
        let first = dialog.remote_tag != from_tag;
        (dialog.remote_tag, dialog.remote_cseq) = (from_tag, cseq);
        if let Some(contact) = contact_of(request) {
            dialog.remote_target = contact;
        }
        if first {
            // RFC 6665 §4.4.1: the NOTIFY makes the dialog, not the answer.
            dialog.routes = routes;
            dialog.reserved = dialog.cseq + super::dialog::BLOCK;
        }
        let changed = watched.dialog.close(&dialog);
        if changed && !fetch {
            self.keep_changed(Role::Presentity, &id);
        }
        let standing = if fetch { ended(EndReason::Timeout) } else { standing_of(&notification.subscription) };
        if matches!(standing, Standing::Ended { .. }) {
            self.drop_presentity(&id);
        } else {
            self.rearm_event(Role::Presentity, &id, now);
        }
        let request = self.answered_later(pending, key, now);
        self.tell_hub(Report::state(dialog.watcher, dialog.target, standing, news).answering(request));
    }

    /// Keeps a NOTIFY until it is known what the hub says; one that there is no room for is refused, and read all the same.
    fn answered_later(&mut self, mut pending: Pending, key: Key, now: Instant) -> Option<Handle> {
        if self.is_stranger(pending.source) {
            pending.limit = Some(pending.request.octets().len());
        }
        let route = pending.route;
        match self.server.handle_request(key, None, route, route.reliability(), pending, now) {
            RequestMatch::New(handle) => {
                self.unanswered += 1;
                Some(handle)
            }
            RequestMatch::Repeated => None,
            RequestMatch::Merged(pending) | RequestMatch::Full(pending) => {
                self.answer_overload(&pending, now);
                None
            }
        }
    }

    /// Tells the hub how a subscription to a presentity here stands.
    pub(super) fn report(&mut self, watcher: Endpoint, target: Endpoint, standing: Standing, news: News) {
        self.tell_hub(Report::state(watcher, target, standing, news));
    }
}

fn ended(reason: EndReason) -> Standing {
    Standing::Ended { reason, retry_after: None }
}

fn news_of(notification: &Notification) -> Result<News, u16> {
    let Some(document) = &notification.document else { return Ok(News::Nothing) };
    let now = DateTime::from_system_time(std::time::SystemTime::now());
    let info = document.to_info(now.as_ref()).map_err(|_| 400u16)?.value;
    // RFC 3922 §5.2.11: notes alone say nothing of availability.
    let silent = info.tuples.is_empty() && !info.notes.is_empty();
    Ok(if silent { News::Nothing } else { News::Whole(Arc::new(info)) })
}

/// RFC 6665 §4.1.3.
fn standing_of(text: &str) -> Standing {
    let Ok(state) = SubscriptionState::parse(text) else { return Standing::Active { expires: None } };
    let seconds = |count: Option<u32>| count.map(|count| Duration::from_secs(count.into()));
    let expires = seconds(state.expires);
    match state.state {
        State::Pending => Standing::Pending { expires },
        State::Active => Standing::Active { expires },
        State::Terminated => {
            let reason = match state.reason.map(str::to_ascii_lowercase).as_deref() {
                Some("deactivated") => EndReason::Deactivated,
                Some("probation") => EndReason::Probation,
                Some("rejected") => EndReason::Rejected,
                Some("timeout") => EndReason::Timeout,
                Some("giveup") => EndReason::GiveUp,
                Some("noresource") => EndReason::NoResource,
                Some("invariant") => EndReason::Invariant,
                Some(_) | None => EndReason::Unknown,
            };
            Standing::Ended { reason, retry_after: seconds(state.retry_after) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: EVT-012, EVT-016, PRS-018
    #[test]
    fn rfc6665_s4_1_3_each_state_and_reason_is_known() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(standing_of("active;expires=60"), Standing::Active { expires: minute });
        assert_eq!(standing_of("pending"), Standing::Pending { expires: None });
        for reason in [
            EndReason::Deactivated,
            EndReason::Probation,
            EndReason::Rejected,
            EndReason::Timeout,
            EndReason::GiveUp,
            EndReason::NoResource,
            EndReason::Invariant,
        ] {
            let text = format!("terminated;reason={};retry-after=60", reason.label());
            assert_eq!(standing_of(&text), Standing::Ended { reason, retry_after: minute });
        }
        assert_eq!(standing_of("terminated;reason=other"), ended(EndReason::Unknown));
    }
}
