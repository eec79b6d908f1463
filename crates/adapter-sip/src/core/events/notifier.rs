//! Watchers of this network: their SUBSCRIBE requests, and the NOTIFY requests to them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Carries, Delivery, Hop, Settle, SourceProof, Transport};
use impp_model::{
    Cause, EndReason, Endpoint, Failure, News, NotifyOperation, Operation, Outcome, PresenceInfo, Proof, Side,
    Standing, SubscribeOperation, SubscriptId, Wish,
};
use sip_proto::build::ResponseBuilder;
use sip_proto::event::{NEVER_TOO_BRIEF, Notice, Notifier, State};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::transaction::{Key, RequestMatch};

use super::both::both;
use super::dialog::accepts;
use super::dialog::{Dialog, Role, contact_of, event_id_of, routes_of};
use super::table::Packed;
use super::{DEFAULT_EXPIRES, EventId, Notifying, Sent, Watching};
use crate::core::Core;
use crate::core::auth::speaks_for;
use crate::core::inbound::Pending;
use crate::mapping::address::from_sip_uri;
use crate::mapping::presence::{ACCEPT, Document, EVENT, InDialog, Notification, to_notify_about};

/// What is to be said of a SUBSCRIBE once the hub has taken it.
#[derive(Debug, Clone)]
pub(crate) struct Accepting {
    id: EventId,
    expires: u32,
    new: bool,
    contact: String,
}

impl Core {
    /// Takes a SUBSCRIBE that passed the checks of a user agent server.
    pub(in crate::core) fn handle_subscribe(
        &mut self,
        pending: Pending,
        key: Key,
        merge_key: Option<Key>,
        now: Instant,
    ) {
        let request = &pending.request;
        if !accepts_presence(request) {
            return self.answer(&pending, 406, now);
        }
        let expires = match expires_of(request) {
            Ok(expires) => expires,
            Err(()) => return self.answer(&pending, 400, now),
        };
        let least = self.events.min_expires;
        // RFC 6665 §4.2.1.1: an hour is never too brief.
        if expires > 0 && expires < least && expires < NEVER_TOO_BRIEF {
            let response = ResponseBuilder::new(request, 423).header(HeaderId::MinExpires, &least.to_string());
            return self.send_built(&pending, response, now);
        }
        // RFC 6665 §4.2.1.4: shorter than was asked for, never longer.
        let expires = expires.min(self.events.max_expires.max(least));
        let (call_id, to_tag) = dialog_of(request);
        match to_tag {
            Some(tag) => match self.events.find(&call_id, &tag) {
                Some((Role::Watcher, id)) => self.handle_refresh(pending, key, &id, expires, now),
                Some((Role::Presentity, _)) | None => self.answer(&pending, 481, now),
            },
            None => self.begin_watching(pending, key, merge_key, expires, now),
        }
    }

    fn handle_refresh(&mut self, mut pending: Pending, key: Key, id: &EventId, expires: u32, now: Instant) {
        let Some(mut dialog) = self.events.watchers.get(id).and_then(|watching| watching.dialog.open()) else {
            return self.answer(&pending, 481, now);
        };
        if !dialog.is_about(&pending.request) {
            return self.answer(&pending, 481, now);
        }
        let watcher = dialog.watcher.clone();
        // RFC 3856 §6.6.1: each subscription is authenticated, and so is each refresh.
        let provenance = match self.prove(&pending, &watcher.address, now) {
            Ok(provenance) => provenance,
            Err(demand) => return self.demand(&pending, demand, now),
        };
        // RFC 3261 §12.2.2.
        if pending.request.cseq().is_ok_and(|cseq| cseq.number <= dialog.remote_cseq) {
            return self.answer(&pending, 500, now);
        }
        dialog.refresh(&pending.request);
        let changed = self.events.watchers.get_mut(id).is_some_and(|watching| watching.dialog.close(&dialog));
        if changed {
            // DESIGN A6: after a restart, too, a NOTIFY goes where the watcher has said last.
            self.keep_changed(Role::Watcher, id);
        }
        let (target, contact) = (dialog.target, self.names.contact(&dialog.own_tag));
        let wish = if expires == 0 { Wish::Pause } else { Wish::Extend(seconds(expires)) };
        pending.event = Some(Accepting { id: id.clone(), expires, new: false, contact });
        let route = pending.route;
        match self.server.handle_request(key, None, route, route.reliability(), pending, now) {
            RequestMatch::New(handle) => {
                self.unanswered += 1;
                let trans_id = self.events.trans_id();
                let subscribe = SubscribeOperation { watcher, target, wish, subscript_id: id.clone(), trans_id };
                let settle = self.answers.settle(handle.to_bits());
                self.hub.submit(Operation::Subscribe(Box::new(subscribe)), provenance, settle);
            }
            RequestMatch::Repeated => {}
            RequestMatch::Merged(pending) | RequestMatch::Full(pending) => self.answer_overload(&pending, now),
        }
    }

    fn begin_watching(&mut self, mut pending: Pending, key: Key, merge_key: Option<Key>, expires: u32, now: Instant) {
        let dialog = match self.new_dialog(&pending) {
            Ok(dialog) => dialog,
            Err(status) => return self.answer(&pending, status, now),
        };
        let provenance = match self.prove(&pending, &dialog.watcher.address, now) {
            Ok(provenance) => provenance,
            Err(demand) => return self.demand(&pending, demand, now),
        };
        if self.draining || self.events.is_full() {
            return self.answer_overload(&pending, now);
        }
        if self.events.crowd.is_full(&dialog.watcher.address) {
            tracing::debug!(peer = %pending.source.peer, "too many subscriptions of one watcher");
            // As the hub refuses who watches too many; 503 would be about all.
            return self.answer(&pending, 500, now);
        }
        if provenance.proof == SourceProof::None && pending.source.transport == Transport::Udp {
            pending.limit = Some(pending.request.octets().len());
        }
        // Short enough to take no memory of its own, and nobody can guess it.
        let id = SubscriptId::from(impp_model::hex(&rand::random::<[u8; 11]>()));
        pending.event =
            Some(Accepting { id: id.clone(), expires, new: true, contact: self.names.contact(&dialog.own_tag) });
        let route = pending.route;
        let handle = match self.server.handle_request(key, merge_key, route, route.reliability(), pending, now) {
            RequestMatch::New(handle) => handle,
            RequestMatch::Repeated => return,
            RequestMatch::Merged(pending) => return self.answer(&pending, 482, now),
            RequestMatch::Full(pending) => return self.answer_overload(&pending, now),
        };
        self.unanswered += 1;
        if expires > 0 && speaks_for(&provenance, &dialog.watcher.address) {
            self.approve_contact(&dialog.watcher, &dialog.target);
        }
        let wish = if expires == 0 { Wish::Fetch } else { Wish::Watch(seconds(expires)) };
        let trans_id = self.events.trans_id();
        let (packed, Dialog { watcher, target, .. }) = (Packed::new(&id, &dialog), dialog);
        let subscribe = SubscribeOperation { watcher, target, wish, subscript_id: id, trans_id };
        let operation = Operation::Subscribe(Box::new(subscribe));
        let settle: Settle = self.answers.settle(handle.to_bits());
        if expires == 0 {
            self.hub.submit(operation, provenance, settle);
        } else {
            // DESIGN A6: both records are durable before it is answered.
            let (settle, kept) = both(settle);
            self.keep_dialog(Role::Watcher, &packed, kept);
            self.hub.submit(operation, provenance, settle);
        }
        let machine = Notifier::new(self.events.interval);
        self.events.crowd.enter(packed.watcher());
        let busy = Some(Box::new(Notifying { machine, due: None }));
        self.events.watchers.insert(Watching { dialog: packed, busy });
    }

    /// RFC 3261 §12.1.1.
    fn new_dialog(&self, pending: &Pending) -> Result<Dialog, u16> {
        let request = &pending.request;
        let from = request.from().map_err(|_| 400u16)?;
        let bare =
            |uri: &str| from_sip_uri(uri).map(|end| Endpoint::bare(end.address)).map_err(|refusal| refusal.status());
        let watcher = bare(from.uri)?;
        let target = bare(request.request_uri().unwrap_or_default())?;
        let mut dialog = Dialog {
            watcher,
            target,
            call_id: request.call_id().map_err(|_| 400u16)?.as_str().to_owned(),
            own_tag: pending.tag.clone(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            remote_target: contact_of(request).ok_or(400u16)?,
            event_id: event_id_of(request),
            routes: routes_of(request).ok_or(400u16)?,
            cseq: 0,
            reserved: super::dialog::BLOCK,
            remote_cseq: 0,
            protected: super::dialog::Protections::default(),
        };
        dialog.refresh(request);
        Ok(dialog)
    }

    /// The hub's answer to a SUBSCRIBE has been sent.
    pub(in crate::core) fn subscribe_answered(&mut self, accepting: &Accepting, outcome: &Outcome, now: Instant) {
        let refused = matches!(outcome, Outcome::Failure(_));
        let ending = |watching: &Watching| watching.busy.as_ref().is_some_and(|busy| busy.machine.is_ending());
        // Nothing else would ever end one that the hub does not know, as after a crash, but its last NOTIFY.
        let forgotten =
            || accepting.is_unknown(outcome) && !self.events.watchers.get(&accepting.id).is_some_and(ending);
        if refused && (accepting.new || forgotten()) {
            return self.drop_watcher(&accepting.id);
        }
        if !refused {
            let interval = self.events.interval;
            if let Some(watching) = self.events.watchers.get_mut(&accepting.id) {
                watching.wake(interval).machine.handle_accepted();
            }
            self.send_due_notify(&accepting.id, now);
        }
    }

    pub(super) fn drop_watcher(&mut self, id: &EventId) {
        let Some(watching) = self.events.watchers.remove(id) else { return };
        self.events.crowd.leave(watching.dialog.watcher());
        if let Some(due) = watching.busy.and_then(|busy| busy.due) {
            self.events.dues.remove(&(due, Role::Watcher, id.clone()));
        }
        self.forget_dialog(id);
    }

    /// Takes what the hub tells a watcher.
    pub(in crate::core) fn handle_notify_delivery(&mut self, delivery: Delivery, now: Instant) {
        let Operation::Notify(notify) = &*delivery.operation else { return };
        let Some(id) = notify.subscript_id.clone().filter(|id| self.events.watchers.contains(id)) else {
            // The hub takes this as word that the subscription is gone.
            return delivery.settle(Failure::new(Side::Far, Cause::NotFound));
        };
        let body = self.body(notify).filter(|body| self.takes(&id, body));
        let interval = self.events.interval;
        if let Some(watching) = self.events.watchers.get_mut(&id) {
            watching.wake(interval).machine.notify(Notice { body, ..notice(&notify.standing, now) });
        }
        delivery.settle(Outcome::Success(Proof::Server));
        self.send_due_notify(&id, now);
    }

    /// EVT-031: the watcher's SUBSCRIBE says which documents it takes; another one is kept back, and so is what it says.
    fn takes(&self, id: &EventId, body: &Document) -> bool {
        let essence = body.media_type.split(';').next().unwrap_or_default().trim();
        let dialog = || self.events.watchers.get(id).and_then(|watching| watching.dialog.open());
        let taken = essence.eq_ignore_ascii_case(ACCEPT) || dialog().is_some_and(|it| it.protected.take(essence));
        if !taken {
            self.hub.translation_loss("sealed", Carries::Dropped);
        }
        taken
    }

    fn body(&mut self, notify: &NotifyOperation) -> Option<Document> {
        let info = match &notify.news {
            News::Nothing => return None,
            News::Whole(info) => info.clone(),
            News::Device(tuple) => {
                Arc::new(PresenceInfo { tuples: vec![(**tuple).clone()], ..PresenceInfo::default() })
            }
        };
        let stamp = self.events.stamps.next(SystemTime::now());
        let mapped = Document::of_info(&info, &notify.target.address, stamp.as_ref()).ok()?;
        mapped.degraded.iter().for_each(|field| self.hub.translation_loss(field, Carries::Degraded));
        mapped.dropped.iter().for_each(|field| self.hub.translation_loss(field, Carries::Dropped));
        Some(mapped.value)
    }

    /// Sends the NOTIFY that is due, if one is.
    pub(super) fn send_due_notify(&mut self, id: &EventId, now: Instant) {
        if let Some(watching) = self.events.watchers.get_mut(id)
            && let Some(busy) = &mut watching.busy
            && let Some(notice) = busy.machine.poll_notify(now)
        {
            let Some(mut dialog) = watching.dialog.open() else { return };
            let (cseq, used_up) = dialog.next_cseq();
            watching.dialog.close(&dialog);
            let notification = Notification {
                presentity: dialog.target.clone(),
                watcher: dialog.watcher.clone(),
                subscription: notice.subscription_state(now),
                document: notice.body,
            };
            let within = InDialog {
                target: &dialog.request_uri(),
                call_id: &dialog.call_id,
                from_tag: &dialog.own_tag,
                to_tag: &dialog.remote_tag,
                contact: &self.names.contact(&dialog.own_tag),
                cseq,
                max_forwards: 70,
            };
            let request = dialog
                .routed(to_notify_about(&dialog.event_id, &notification, &within))
                .header(HeaderId::AllowEvents, EVENT);
            let hop = Arc::new(Hop::Fixed(dialog.hop().into()));
            let about = Operation::Authorize(Box::new(impp_model::AuthorizeOperation {
                target: dialog.target.clone(),
                watcher: dialog.watcher.clone(),
                allow: true,
                trans_id: "".into(),
            }));
            if used_up {
                self.keep_changed(Role::Watcher, id);
            }
            self.send_in_dialog(request, hop, about, Sent::Notify(id.clone()), now);
        }
        self.rearm_event(Role::Watcher, id, now);
    }
}

impl Pending {
    /// RFC 6665 §4.2.1.2, RFC 3261 §12.1.1.
    pub(in crate::core) fn accepted(&self, accepting: &Accepting) -> ResponseBuilder<'_> {
        let mut response = self
            .response(200)
            .header(HeaderId::Contact, &format!("<{}>", accepting.contact))
            .header(HeaderId::Expires, &accepting.expires.to_string())
            .header(HeaderId::AllowEvents, EVENT);
        for route in self.request.values(HeaderId::RecordRoute).filter_map(Result::ok) {
            response = response.header(HeaderId::RecordRoute, route);
        }
        response
    }
}

impl Accepting {
    /// A refusal of the hub that says that the subscription is not there any more.
    pub(in crate::core) fn is_unknown(&self, outcome: &Outcome) -> bool {
        !self.new && matches!(outcome, Outcome::Failure(failure) if failure.cause == Cause::NotFound)
    }
}

/// Call-ID and To tag.
pub(super) fn dialog_of(request: &Message) -> (String, Option<String>) {
    let call_id = request.call_id().map(|id| id.as_str().to_owned()).unwrap_or_default();
    (call_id, request.to().ok().and_then(|to| to.tag().map(str::to_owned)))
}

/// RFC 3856 §6.5, §6.4: without Accept it is the package's own type; RFC 6665 §4.1.2.1.
fn accepts_presence(request: &Message) -> bool {
    request.values(HeaderId::Accept).next().is_none() || accepts(request, ACCEPT)
}

pub(super) fn expires_of(request: &Message) -> Result<u32, ()> {
    match request.only(HeaderId::Expires) {
        Ok(None) => Ok(DEFAULT_EXPIRES),
        Ok(Some(text)) => sip_proto::header::delta_seconds(HeaderId::Expires, text).map_err(drop),
        Err(_) => Err(()),
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

/// How a subscription stands at `now`, as NOTIFY says it.
fn notice(standing: &Standing, now: Instant) -> Notice<Document> {
    let until = |left: &Option<Duration>| now.checked_add(left.unwrap_or(seconds(DEFAULT_EXPIRES)));
    let (state, until, reason, retry_after) = match standing {
        Standing::Pending { expires } => (State::Pending, until(expires), None, None),
        Standing::Active { expires } => (State::Active, until(expires), None, None),
        Standing::Ended { reason, retry_after } => {
            let reason = Some(reason.label()).filter(|_| *reason != EndReason::Unknown);
            let whole = |left: Duration| u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            (State::Terminated, None, reason, retry_after.map(whole))
        }
    };
    Notice { state, until, reason, retry_after, body: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: EVT-025, PRS-031
    #[test]
    fn rfc6665_s4_2_2_each_standing_has_its_parameters() {
        let now = Instant::now();
        let state = |standing| notice(&standing, now).subscription_state(now);
        assert_eq!(state(Standing::Pending { expires: Some(Duration::from_millis(59_500)) }), "pending;expires=60");
        assert_eq!(state(Standing::Active { expires: None }), "active;expires=3600");
        let ended = |reason, retry_after| state(Standing::Ended { reason, retry_after });
        assert_eq!(ended(EndReason::Rejected, None), "terminated;reason=rejected");
        assert_eq!(
            ended(EndReason::Probation, Some(Duration::from_secs(5))),
            "terminated;reason=probation;retry-after=5"
        );
        assert_eq!(ended(EndReason::Unknown, None), "terminated");
    }
}
