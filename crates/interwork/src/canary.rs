//! Canaries: a message, or a question about presence, of the gateway's own to an address that sends it back.
//!
//! They go the way that users' operations go and count nowhere among them: neither in the ledger nor in the metrics of
//! operations, and no queue keeps one. What comes back ends here: nothing that is addressed to a canary is ever answered
//! with an operation, so that two gateways, or a gateway and an echo, cannot begin to talk to each other for ever.

use crate::core::{Core, now};
use crate::explain::Sample;
use crate::traces::Beginning;
use crate::waiting::{Owner, Waiting};
use adapter_api::{InstanceName, Provenance, Role, TraceId};
use impp_model::{
    Address, Cause, Content, Domain, Endpoint, Failure, InstantMessage, MaxForwards, MessageOperation, Operation,
    Outcome, Proof, Side, SubscribeOperation, TransId, Wish,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// The local part, at a local domain, that canaries come from and are sent back to.
pub const CANARY: &str = "interlingua-canary";

/// Canaries under way at once: one of each kind for each of the peers that metrics name, and some for `doctor`.
const MAX_OPEN: usize = 512;
/// Domains of which the last canaries are remembered (DESIGN B4: at most 200 peers).
const MAX_PEERS: usize = 200;
/// How long the subscription of a canary lasts if nobody ends it: the shortest that SIP servers usually grant.
const SUBSCRIPTION: Duration = Duration::from_secs(60);

/// What became of one canary.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Its trace.
    pub trace: TraceId,
    /// How long it took there and back, or why it did not come back.
    pub result: Result<Duration, Failure>,
}

/// The last canary of one kind to one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCanary {
    /// The echo's domain.
    pub peer: Domain,
    /// What was sent.
    pub kind: Sample,
    /// How long it took, or the reason code of its failure.
    pub result: Result<Duration, &'static str>,
    /// When that was known.
    pub at: SystemTime,
    /// How many came back since the start.
    pub returned: u64,
    /// How many did not.
    pub lost: u64,
}

/// The canaries under way, and what became of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    open: Mutex<BTreeMap<u64, Open>>,
    last: Mutex<BTreeMap<(Domain, &'static str), LastCanary>>,
}

/// One that is under way.
#[derive(Debug)]
struct Open {
    echo: Address,
    from: Address,
    kind: Sample,
    since: Instant,
    /// What its way there ended with.
    arrived: Option<Outcome>,
    done: oneshot::Sender<Result<Duration, Failure>>,
}

impl Canaries {
    fn open(&self, trace: TraceId, open: Open) -> Result<(), Failure> {
        let mut all = self.open.lock();
        let same = |other: &Open| other.kind == Sample::Presence && other.kind == open.kind && other.echo == open.echo;
        if all.len() >= MAX_OPEN || all.values().any(same) {
            return Err(Failure::new(Side::Ours, Cause::Overload).with_text("another canary is under way"));
        }
        all.insert(trace.0, open);
        Ok(())
    }

    fn end(&self, trace: TraceId, result: Result<Duration, Failure>) {
        if let Some(open) = self.open.lock().remove(&trace.0) {
            // An error means that nobody waits any more.
            let _ = open.done.send(result);
        }
    }

    /// Its way there has ended; what failed comes back never.
    fn arrived(&self, trace: TraceId, outcome: &Outcome) {
        if let Outcome::Failure(failure) = outcome {
            return self.end(trace, Err((**failure).clone()));
        }
        if let Some(open) = self.open.lock().get_mut(&trace.0) {
            open.arrived = Some(outcome.clone());
        }
    }

    /// The canary that an operation from an echo brings back.
    fn brought_back(&self, operation: &Operation) -> Option<(TraceId, Result<Duration, Failure>)> {
        let (echo, to) = (&operation.source().address, &operation.destination().address);
        let text = match operation {
            Operation::Message(message) => message.message.content.as_text(),
            Operation::Disposition(_)
            | Operation::Composing(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => None,
        };
        let open = self.open.lock();
        let is_meant = |(trace, open): &(&u64, &Open)| {
            let comes_back = match (operation, open.kind) {
                (Operation::Message(_), Sample::Message) => {
                    text.is_some_and(|text| text.contains(&TraceId(**trace).to_string()))
                }
                // An error that came after the far server's word for it.
                (Operation::Disposition(word), Sample::Message) => word.disposition.failure().is_some(),
                (Operation::Notify(_) | Operation::Authorize(_), Sample::Presence) => true,
                (_, Sample::Message | Sample::Presence) => false,
            };
            comes_back && open.echo == *echo && open.from == *to
        };
        let (trace, found) = open.iter().find(is_meant)?;
        let refused = match operation {
            Operation::Disposition(word) => word.disposition.failure(),
            Operation::Authorize(authorize) => (!authorize.allow)
                .then(|| Failure::new(Side::Far, Cause::PolicyDenied).with_text("the echo lets nobody watch it")),
            Operation::Message(_)
            | Operation::Composing(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Publish(_)
            | _ => None,
        };
        Some((TraceId(*trace), refused.map_or_else(|| Ok(now().saturating_duration_since(found.since)), Err)))
    }

    fn remember(&self, peer: &Domain, kind: Sample, result: &Result<Duration, Failure>) {
        let mut last = self.last.lock();
        let key = (peer.clone(), kind.label());
        if last.len() >= 2 * MAX_PEERS && !last.contains_key(&key) {
            return;
        }
        let at = SystemTime::now();
        let new = || LastCanary { peer: peer.clone(), kind, result: Err(""), at, returned: 0, lost: 0 };
        let entry = last.entry(key).or_insert_with(new);
        entry.at = at;
        entry.result = result.as_ref().copied().map_err(|failure| failure.cause.code());
        match result {
            Ok(_) => entry.returned += 1,
            Err(_) => entry.lost += 1,
        }
    }
}

impl Core {
    /// Sends a canary from a local domain to an address that sends back what it gets, and waits for it.
    ///
    /// A message must come back with its text. Presence is asked for by a subscription, which any word of the echo about its
    /// presence answers and which ends then.
    pub async fn canary(&self, from: &Domain, echo: &Address, kind: Sample, limit: Duration) -> Canary {
        let trace = self.new_trace_id();
        let result = self.fly(trace, from, echo, kind, limit).await;
        self.canaries.open.lock().remove(&trace.0);
        self.canaries.remember(echo.domain(), kind, &result);
        let what = if result.is_ok() { "came back" } else { "did not come back" };
        let reason = result.as_ref().err().map_or("", |failure| failure.cause.code());
        self.traces.update(trace, |record| record.note(what, reason));
        if let Err(failure) = &result {
            tracing::warn!(%trace, kind = kind.label(), peer = %echo.domain(), reason, "a canary did not come back: {failure}");
        }
        Canary { trace, result }
    }

    /// The last canaries, by peer and kind.
    pub fn canaries(&self) -> Vec<LastCanary> {
        self.canaries.last.lock().values().cloned().collect()
    }

    async fn fly(
        &self,
        trace: TraceId,
        from: &Domain,
        echo: &Address,
        kind: Sample,
        limit: Duration,
    ) -> Result<Duration, Failure> {
        let own = |error| Failure::new(Side::Ours, Cause::InternalError).with_text(format!("{error}"));
        let from = Address::new(CANARY, from.clone()).map_err(own)?;
        let (near, operation) = (self.near_of(&from), canary(kind, trace, &from, echo, SUBSCRIPTION));
        let near = near.unwrap_or_else(|| InstanceName::from(CANARY));
        let book = self.rulebook();
        if let Err(cause) = book.policy.judge(&book.configuration, from.domain(), echo.domain(), operation.kind()).0 {
            return Err(Failure::new(Side::Near, cause));
        }
        let (done, result) = oneshot::channel();
        let (since, arrived) = (now(), None);
        self.canaries.open(trace, Open { echo: echo.clone(), from: from.clone(), kind, since, arrived, done })?;
        let at = SystemTime::now();
        self.traces.begin(&Beginning { id: trace, at, adapter: &near, peer: "", proof: None, operation: &operation });
        self.release(trace, operation, near.clone());
        let result = match tokio::time::timeout(limit, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::new(Side::Ours, Cause::ShuttingDown)),
            Err(_) => Err(self.not_back(trace)),
        };
        if kind == Sample::Presence {
            let mut end = canary(kind, trace, &from, echo, SUBSCRIPTION);
            if let Operation::Subscribe(subscribe) = &mut end {
                subscribe.wish = Wish::Cancel;
            }
            self.release(trace, end, near);
        }
        result
    }

    fn release(&self, trace: TraceId, operation: Operation, near: InstanceName) {
        let (operation, peer, owner) = (Arc::new(operation), Arc::from(""), Owner::Canary);
        self.route(Waiting { trace, operation, near, peer, owner, since: now(), once: None, repeat: false });
    }

    /// Why a canary that nobody refused did not come back in time.
    fn not_back(&self, trace: TraceId) -> Failure {
        let open = self.canaries.open.lock();
        let arrived = open.get(&trace.0).and_then(|open| open.arrived.as_ref());
        let (cause, text) = match arrived {
            Some(outcome) => (Cause::RemoteTimeout, format!("{} there, but not sent back in time", outcome.label())),
            None => (Cause::Unconfirmed, "nobody confirmed it in time".to_owned()),
        };
        Failure::new(Side::Far, cause).with_text(text)
    }

    /// What became of a canary on its way there.
    pub(crate) fn canary_arrived(&self, trace: TraceId, outcome: &Outcome) {
        self.traces.update(trace, |record| record.end(outcome.label(), outcome));
        self.canaries.arrived(trace, outcome);
    }

    /// Whether an operation is addressed to a canary of ours.
    pub(crate) fn is_for_canary(&self, operation: &Operation) -> bool {
        let to = &operation.destination().address;
        to.local() == CANARY
            && self.rules.load().configuration.domain(to.domain()).is_some_and(|entry| entry.role == Role::Local)
    }

    /// Takes what is addressed to a canary: what it brings back ends it, all else ends here.
    pub(crate) fn canary_heard(&self, trace: TraceId, operation: &Operation, provenance: &Provenance) -> Outcome {
        let outcome = match self.canaries.brought_back(operation) {
            Some((canary, result)) => {
                tracing::debug!(%trace, %canary, adapter = %provenance.adapter, "a canary came back");
                self.canaries.end(canary, result);
                Outcome::Success(Proof::Recipient)
            }
            None if is_about_flights(operation) => Outcome::HandedOver,
            // What no canary awaits is of somebody who should hear that nobody reads it, and that nobody can be watched here.
            None => {
                Failure::new(Side::Near, Cause::NotFound).with_text("nobody lives here: canaries come from here").into()
            }
        };
        self.traces.update(trace, |record| record.end("canary", &outcome));
        outcome
    }
}

/// What an echo may well say of a canary after its end; nothing is kept for it, so that it may end here in silence.
fn is_about_flights(operation: &Operation) -> bool {
    match operation {
        Operation::Disposition(_) | Operation::Composing(_) | Operation::Notify(_) => true,
        // That the subscription of a canary is over, as it asked for.
        Operation::Authorize(authorize) => !authorize.allow,
        Operation::Message(_) | Operation::Subscribe(_) | Operation::Publish(_) | _ => false,
    }
}

/// A message that names its trace and is stored nowhere, or a question about presence.
fn canary(kind: Sample, trace: TraceId, from: &Address, echo: &Address, duration: Duration) -> Operation {
    let (source, destination) = (Endpoint::bare(from.clone()), Endpoint::bare(echo.clone()));
    let trans_id = TransId::from(format!("canary-{trace}").as_str());
    match kind {
        Sample::Message => {
            let text = format!("canary {trace}: a gateway tries its way to you; send this text back");
            let mut message = InstantMessage::new(Content::text(&text));
            message.id = Some(format!("canary-{trace}").as_str().into());
            let max_forwards = MaxForwards::INITIAL;
            Operation::Message(Box::new(MessageOperation { source, destination, max_forwards, trans_id, message }))
        }
        Sample::Presence => Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: source,
            target: destination,
            wish: Wish::Watch(duration),
            subscript_id: format!("canary-{trace}").as_str().into(),
            trans_id,
        })),
    }
}
