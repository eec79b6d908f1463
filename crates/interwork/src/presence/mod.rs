//! Presence (RFC 3859): who may watch whom, who does, and what they were told.
//!
//! One task, the [`Engine`](engine::Engine), holds a [`Watch`](watch::Watch) for each (WATCHER, PRESENTITY) and the records
//! of them in the store. Adapters reach it as they reach the rest of the hub, by submitting operations.

mod again;
mod bounds;
mod carry; // RFC 3859 §3.1
mod directed; // RFC 6121 §4.6
mod engine;
mod pair;
mod pairs;
mod people; // RFC 3857 §4.7.1
mod record;
mod state;
mod watch; // RFC 8048 §5

use adapter_api::{InstanceName, PeerState, Settle, TraceId};
use impp_model::{Address, Cause, Operation, Outcome};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(crate) use engine::Engine;
use pair::Pair;
pub(crate) use state::KeptState;
pub(crate) use watch::FAR_DURATION;

/// Bounds on what is kept for whom, and the pace of a restart.
#[derive(Debug, Clone, Copy)]
pub struct PresenceLimits {
    /// PRESENTITIES that one WATCHER may watch.
    pub per_watcher: usize,
    /// WATCHERS that one PRESENTITY may have.
    pub per_presentity: usize,
    /// Pairs whose WATCHERS are of one domain.
    pub per_domain: usize,
    /// So many pairs a second are asked for their state after a restart, or told anew when a link is up again.
    pub restart_rate: u32,
    /// Whether who may not watch can ask for the state once (RFC 8048 §7.1); the far side decides what it says.
    pub polls: bool,
}

impl Default for PresenceLimits {
    fn default() -> Self {
        Self { per_watcher: 1_000, per_presentity: 20_000, per_domain: 200_000, restart_rate: 2_000, polls: true }
    }
}

/// One pair, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct Subscription {
    /// The WATCHER.
    pub watcher: Address,
    /// The PRESENTITY.
    pub presentity: Address,
    /// The instance the watcher's operations come in through.
    pub adapter: InstanceName,
    /// The instance that reaches the presentity, when it is known.
    pub to: Option<InstanceName>,
    /// `none`, `asked`, `granted`.
    pub authorization: &'static str,
    /// How it stands with the presentity's side.
    pub state: &'static str,
    /// Subscriptions of the watcher's side.
    pub subscriptions: usize,
    /// Whether the presentity is there; none while that is not known.
    pub open: Option<bool>,
}

/// How many pairs there are of a kind: instance, `watcher` or `presentity`, state.
pub type SubscriptionCounts = BTreeMap<(InstanceName, &'static str, &'static str), usize>;

/// What happens to the engine.
pub(crate) enum Event {
    /// An operation from an adapter, admitted.
    Operation { trace: TraceId, operation: Box<Operation>, near: InstanceName, settle: Settle },
    /// What became of an operation that the engine sent.
    Settled(adapter_api::Token, Outcome),
    /// A route that had to be looked up is known.
    Routed(Box<Self>),
    /// A state of a pair was refused for the load it made.
    Missed(Pair),
    /// A peer of an instance can be reached, or can't.
    Link(InstanceName, String, PeerState),
    /// The pairs, of any address or of this one, at most so many.
    List(Option<Address>, usize, oneshot::Sender<(usize, Vec<Subscription>)>),
    /// The numbers.
    Count(oneshot::Sender<SubscriptionCounts>),
}

/// The way to the engine.
pub(crate) struct Presence {
    inbox: mpsc::UnboundedSender<Event>,
    /// Taken by the engine.
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
    queued: Arc<AtomicUsize>,
}

/// Operations, and word of missed ones, that wait for the engine; further ones are refused: some seconds of work at most.
const MAX_QUEUED: usize = 65_536;

impl Presence {
    pub(crate) fn new() -> Self {
        let (inbox, receiver) = mpsc::unbounded_channel();
        Self { inbox, receiver: Mutex::new(Some(receiver)), queued: Arc::default() }
    }

    /// Hands an admitted operation in; gives it back with the reason when the engine cannot have it.
    pub(crate) fn submit(
        &self,
        trace: TraceId,
        operation: Box<Operation>,
        near: InstanceName,
        settle: Settle,
    ) -> Result<(), (Box<Operation>, Settle, Cause)> {
        if !self.is_admitted() {
            return Err((operation, settle, Cause::Overload));
        }
        match self.inbox.send(Event::Operation { trace, operation, near, settle }) {
            Err(mpsc::error::SendError(Event::Operation { operation, settle, .. })) => {
                Err((operation, settle, Cause::ShuttingDown))
            }
            // What comes back is what was sent.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What was refused for its sender's rate is asked for when that has passed: no watcher stays with an older state.
    pub(crate) fn missed(&self, operation: &Operation) {
        let Operation::Notify(notify) = operation else { return };
        if self.is_admitted() {
            let pair = Pair::new(&notify.watcher.address, &notify.target.address);
            // Without an engine nobody watches.
            let _ = self.inbox.send(Event::Missed(pair));
        }
    }

    /// Whether one more may wait for the engine, which counts it as taken when it comes to it.
    fn is_admitted(&self) -> bool {
        let has_room = self.queued.fetch_add(1, Relaxed) < MAX_QUEUED;
        if !has_room {
            self.queued.fetch_sub(1, Relaxed);
        }
        has_room
    }

    pub(crate) fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        // Without an engine there is nothing to tell.
        let _ = self.inbox.send(Event::Link(adapter.clone(), peer.to_owned(), state));
    }

    pub(crate) async fn list(&self, of: Option<Address>, limit: usize) -> (usize, Vec<Subscription>) {
        let (reply, listed) = oneshot::channel();
        let _ = self.inbox.send(Event::List(of, limit, reply));
        tokio::time::timeout(PATIENCE, listed).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    pub(crate) async fn count(&self) -> SubscriptionCounts {
        let (reply, counted) = oneshot::channel();
        let _ = self.inbox.send(Event::Count(reply));
        tokio::time::timeout(PATIENCE, counted).await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// How long who asks for numbers waits for a busy engine.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::settle_channel;
    use impp_model::{EndReason, Endpoint, News, NotifyOperation, Standing};

    #[test]
    fn what_waits_for_a_busy_engine_is_bounded_whatever_it_is() {
        let presence = Presence::new();
        let end = |address: &str| Endpoint::bare(Address::parse_bare(address).unwrap());
        let notify = Operation::Notify(Box::new(NotifyOperation {
            target: end("juliet@example.com"),
            watcher: end("romeo@example.net"),
            subscript_id: None,
            trans_id: "t".into(),
            standing: Standing::Ended { reason: EndReason::Unknown, retry_after: None },
            news: News::Nothing,
        }));
        for _ in 0..MAX_QUEUED + 2 {
            presence.missed(&notify);
        }
        let (settle, _outcome) = settle_channel();
        let refused = presence.submit(TraceId(1), Box::new(notify.clone()), "sip".into(), settle);
        assert!(matches!(refused, Err((operation, _, Cause::Overload)) if *operation == notify));
        let receiver = presence.receiver.lock().take().unwrap();
        assert_eq!((receiver.len(), presence.queued.load(Relaxed)), (MAX_QUEUED, MAX_QUEUED));
    }
}
