//! The presence agent of users who publish here (RFC 3856 §3, RFC 3903): the server of their subscriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::Delivery;
use impp_model::{
    Address, DateTime, Domain, EndReason, Endpoint, News, Operation, Outcome, PresenceInfo, Proof, Standing,
    SubscribeOperation, Wish,
};
use sip_proto::build::ResponseBuilder;
use sip_proto::event::{Publication, PublicationLimits, Publications, PublishError};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::transaction::{Key, RequestMatch};

use crate::config::{Approval, Config};
use crate::core::Core;
use crate::core::auth::speaks_for;
use crate::core::inbound::Pending;
use crate::mapping::address::from_sip_uri;
use crate::mapping::presence::{Document, Refusal, document};

/// What users of some domains publish, and who watches them.
#[derive(Debug)]
pub(crate) struct Agent {
    domains: Vec<Domain>,
    published: Publications<Document>,
    /// By presentity.
    watchers: BTreeMap<String, BTreeSet<Address>>,
    approval: Approval,
    /// Presentities and those whom they have approved, as they are kept.
    approved: BTreeSet<Vec<u8>>,
}

/// RFC 3903 §6, step 5: what a publication lasts that does not say, and at the longest.
const MAX_EXPIRES: u32 = 3600;

/// More devices than a person has.
const PER_USER: usize = 16;

/// As many as there may be dialogs by default: who could be approved, could be watched.
const MAX_APPROVED: usize = 262_144;

/// Before what is kept of an approval; no id of a dialog has such a character.
const APPROVED: &[u8] = b"approved\0";

/// At a document of some 2 KiB, half a gibibyte.
const PUBLICATIONS: usize = 262_144;

impl Agent {
    pub(in crate::core) fn new(config: &Config) -> Self {
        let min_expires = u32::try_from(config.presence.min_expires.as_secs()).unwrap_or(u32::MAX);
        let limits =
            PublicationLimits { min_expires, max_expires: MAX_EXPIRES, per_resource: PER_USER, all: PUBLICATIONS };
        let domains = config.presence.agent.clone();
        let (published, watchers) = (Publications::new(limits), BTreeMap::new());
        let approval = config.presence.agent_approval;
        Self { domains, published, watchers, approval, approved: BTreeSet::new() }
    }

    /// Takes a record of an earlier process, if it is an approval.
    pub(super) fn restore(&mut self, key: &[u8]) -> bool {
        let is_approval = key.starts_with(APPROVED);
        if is_approval && self.approved.len() < MAX_APPROVED {
            self.approved.insert(key.to_owned());
        }
        is_approval
    }

    /// RFC 3856 §6.6.2: nobody watches without the presentity's approval.
    fn may_watch(&self, presentity: &Address, watcher: &Address) -> bool {
        match self.approval {
            Approval::Everyone => true,
            Approval::Contacts => self.approved.contains(&approval_key(presentity, watcher)),
        }
    }

    /// Whether this is the presence agent of a presentity.
    pub(super) fn serves(&self, presentity: &Endpoint) -> bool {
        self.domains.contains(presentity.address.domain())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.published.poll_timeout()
    }

    /// What watchers of a presentity are told. Nothing before its first publication: no "closed" because we restarted.
    fn news(&self, presentity: &str) -> News {
        let Some(documents) = self.published.of(presentity) else { return News::Nothing };
        let now = DateTime::from_system_time(SystemTime::now());
        let mut all = documents.filter_map(|document| Some(document.to_info(now.as_ref()).ok()?.value));
        let Some(mut whole) = all.next() else { return News::Whole(Arc::default()) };
        for other in all {
            whole.tuples.extend(other.tuples);
            whole.notes.extend(other.notes);
            // Of several documents none is the whole.
            whole.pidf = None;
        }
        News::Whole(Arc::<PresenceInfo>::new(whole))
    }
}

impl Core {
    /// Takes a PUBLISH that passed the checks of a user agent server.
    pub(in crate::core) fn handle_publish(&mut self, pending: Pending, key: Key, now: Instant) {
        // RFC 3903 §6: in order: the resource, who asks, which publication, for how long, what.
        let Ok(resource) = from_sip_uri(pending.request.request_uri().unwrap_or_default()) else {
            return self.answer(&pending, 404, now);
        };
        let resource = Endpoint::bare(resource.address);
        if !self.events.agent.serves(&resource) {
            return self.answer(&pending, 404, now);
        }
        let provenance = match self.prove(&pending, &resource.address, now) {
            Ok(provenance) => provenance,
            Err(demand) => return self.demand(&pending, demand, now),
        };
        if !speaks_for(&provenance, &resource.address) {
            return self.answer(&pending, 403, now);
        }
        if self.draining {
            return self.answer_overload(&pending, now);
        }
        let route = pending.route;
        let handle = match self.server.handle_request(key, None, route, route.reliability(), pending, now) {
            RequestMatch::New(handle) => handle,
            RequestMatch::Repeated => return,
            RequestMatch::Merged(pending) | RequestMatch::Full(pending) => return self.answer_overload(&pending, now),
        };
        let Some(pending) = self.server.user(handle) else { return };
        let tag = impp_model::hex(&rand::random::<[u8; 8]>());
        let name = resource.address.to_string();
        let published = publish(&mut self.events.agent.published, &pending.request, &name, &tag, now);
        let response = answer(pending, &published, &tag).encode();
        self.server.respond(handle, response, now);
        if published.is_ok() {
            self.tell_watchers(&name);
        }
    }

    fn tell_watchers(&mut self, presentity: &str) {
        let (news, watchers) = (self.events.agent.news(presentity), self.events.agent.watchers.get(presentity));
        let Ok(address) = presentity.parse() else { return };
        let target = Endpoint::bare(address);
        let watchers = watchers.into_iter().flatten().filter(|&watcher| {
            let agent = &self.events.agent;
            agent.may_watch(&target.address, watcher)
        });
        for watcher in watchers.cloned().collect::<Vec<_>>() {
            self.report(Endpoint::bare(watcher), target.clone(), Standing::Active { expires: None }, news.clone());
        }
    }

    /// Takes a subscribe operation to a presentity that publishes here.
    pub(super) fn handle_agent_delivery(&mut self, delivery: Delivery) {
        let Operation::Subscribe(subscribe) = &*delivery.operation.clone() else { return };
        let SubscribeOperation { watcher, target, wish, .. } = &**subscribe;
        let name = target.address.to_string();
        delivery.settle(Outcome::Success(Proof::Recipient));
        let agent = &mut self.events.agent;
        let expires = match wish {
            Wish::Watch(duration) | Wish::Extend(duration) => *duration,
            Wish::Standing => Duration::from_secs(super::DEFAULT_EXPIRES.into()),
            Wish::Fetch => Duration::ZERO,
            Wish::Pause | Wish::Cancel => {
                if let Some(watchers) = agent.watchers.get_mut(&name) {
                    watchers.remove(&watcher.address);
                    if watchers.is_empty() {
                        agent.watchers.remove(&name);
                    }
                }
                return;
            }
            Wish::Check => return,
        };
        if !expires.is_zero() {
            agent.watchers.entry(name.clone()).or_default().insert(watcher.address.clone());
        }
        let (standing, news) = match (expires.is_zero(), agent.may_watch(&target.address, &watcher.address)) {
            (true, true) => (Standing::Ended { reason: EndReason::Timeout, retry_after: None }, agent.news(&name)),
            (true, false) => (Standing::Ended { reason: EndReason::Rejected, retry_after: None }, News::Nothing),
            (false, true) => (Standing::Active { expires: Some(expires) }, agent.news(&name)),
            (false, false) => (Standing::Pending { expires: Some(expires) }, News::Nothing),
        };
        self.report(watcher.clone(), target.clone(), standing, news);
    }

    /// Somebody watches: if he publishes here, whom he watches may watch him, from now on and over restarts.
    pub(super) fn approve_contact(&mut self, user: &Endpoint, contact: &Endpoint) {
        let agent = &mut self.events.agent;
        if !agent.serves(user)
            || agent.may_watch(&user.address, &contact.address)
            || agent.approved.len() >= MAX_APPROVED
        {
            return;
        }
        let key = approval_key(&user.address, &contact.address);
        agent.approved.insert(key.clone());
        let name = user.address.to_string();
        let waits = agent.watchers.get(&name).is_some_and(|watchers| watchers.contains(&contact.address));
        let news = agent.news(&name);
        // Without the record he approves again with his next subscription.
        self.hub.keep(&key, Some(Vec::new()), Box::new(|_| {}));
        if waits {
            self.report(contact.clone(), user.clone(), Standing::Active { expires: None }, news);
        }
    }

    /// Ends publications that nobody has refreshed.
    pub(super) fn handle_agent_timeout(&mut self, now: Instant) {
        while let Some(resource) = self.events.agent.published.handle_timeout(now) {
            self.tell_watchers(&resource);
        }
    }
}

fn approval_key(presentity: &Address, watcher: &Address) -> Vec<u8> {
    // No address has control characters.
    [APPROVED, presentity.to_string().as_bytes(), b"\0", watcher.to_string().as_bytes()].concat()
}

/// Why a PUBLISH is refused.
enum Fault {
    Publish(PublishError),
    Body(Refusal),
    Header,
}

fn publish(
    published: &mut Publications<Document>,
    request: &Message,
    resource: &str,
    fresh: &str,
    now: Instant,
) -> Result<u32, Fault> {
    // RFC 3903 §6, step 4: exactly one entity tag.
    let tag = request.only(HeaderId::SipIfMatch).map_err(|_| Fault::Header)?;
    if tag.is_some_and(|tag| tag.contains(',')) {
        return Err(Fault::Header);
    }
    let expires = super::notifier::expires_of(request).map_err(|()| Fault::Header)?;
    let body = document(request).map_err(Fault::Body)?;
    if let Some(document) = &body {
        document.to_info(None).map_err(|error| Fault::Body(error.into()))?;
    }
    let publication = Publication { tag: tag.map(str::trim), expires, body };
    published.handle_publish(resource, publication, fresh, now).map_err(Fault::Publish)
}

fn answer<'a>(pending: &'a Pending, published: &Result<u32, Fault>, tag: &str) -> ResponseBuilder<'a> {
    match published {
        // PUB-003: with the tag that the next request must name.
        Ok(expires) => {
            let response = pending.response(200).header(HeaderId::SipEtag, tag);
            response.header(HeaderId::Expires, &expires.to_string())
        }
        Err(Fault::Publish(error)) => {
            let response = pending.response(error.status());
            match error {
                PublishError::TooBrief { least } => response.header(HeaderId::MinExpires, &least.to_string()),
                PublishError::Full => response.header(HeaderId::RetryAfter, super::super::inbound::OVERLOAD_PAUSE),
                PublishError::UnknownTag | PublishError::NoBody => response,
            }
        }
        Err(Fault::Body(refusal)) => refusal.add_accept(pending.response(refusal.status())),
        Err(Fault::Header) => pending.response(400),
    }
}
