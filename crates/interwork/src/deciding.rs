//! Where an operation goes: at once where that is known, behind a look-up where it is not (DESIGN A4).

use crate::core::{Core, now};
use crate::decisions::{Edition, PairOfDomains};
use crate::routing::{Choice, Decision, Plan};
use crate::waiting::Waiting;
use adapter_api::Hop;
use impp_model::{Cause, Failure, Side};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

impl Core {
    pub(crate) fn route(&self, waiting: Waiting) {
        let pair = waiting.pair();
        if self.waiting_pairs.load(Relaxed) == 0
            && let Some(decision) = self.known_decision(&pair)
        {
            return self.dispatch(waiting, &decision);
        }
        self.decide(pair, waiting);
    }

    /// A decision that is there, or needs no look-up.
    pub(crate) fn ready_decision(&self, pair: &PairOfDomains) -> Option<Arc<Decision>> {
        self.known_decision(pair).or_else(|| self.decide_now(pair))
    }

    /// Looks a decision up and remembers it.
    pub(crate) async fn find(&self, pair: PairOfDomains) {
        let edition = self.edition();
        let decision = self.locate(&pair).await;
        self.remember(pair, decision, edition);
    }

    fn known_decision(&self, pair: &PairOfDomains) -> Option<Arc<Decision>> {
        self.decisions.read().get(pair, now())
    }

    /// Decides at once where configuration suffices; else joins those who wait for DNS, behind earlier ones.
    fn decide(&self, pair: PairOfDomains, waiting: Waiting) {
        let mut room = self.waiting.lock();
        if room.is_waiting(&pair) {
            if let Err(waiting) = room.join(&pair, waiting) {
                drop(room);
                self.counters.queue_full();
                self.refuse(*waiting, Failure::new(Side::Ours, Cause::Overload));
            }
            return;
        }
        if let Some(decision) = self.known_decision(&pair).or_else(|| self.decide_now(&pair)) {
            drop(room);
            return self.dispatch(waiting, &decision);
        }
        let opened = room.open(pair.clone(), waiting);
        if opened.is_ok() {
            self.waiting_pairs.fetch_add(1, Relaxed);
        }
        drop(room);
        match (opened, self.me()) {
            (Ok(()), Some(core)) => {
                tokio::spawn(async move { core.look_up(pair).await });
            }
            (Err(waiting), _) => {
                self.counters.queue_full();
                self.refuse(*waiting, Failure::new(Side::Ours, Cause::Overload));
            }
            (Ok(()), None) => {}
        }
    }

    fn decide_now(&self, pair: &PairOfDomains) -> Option<Arc<Decision>> {
        let (near, from, to) = pair;
        let (edition, book, mut steps) = (self.edition(), self.rules.load(), Vec::new());
        let result = match self.router(&book).plan(near, from, to, &mut steps) {
            Plan::Ready(result) => result,
            Plan::Native(_) | Plan::Discover(_) => return None,
        };
        let result = result.map(|(index, hop)| self.choice(index, hop));
        Some(self.remember(pair.clone(), Decision { steps, result, valid_until: None }, edition))
    }

    pub(crate) fn choice(&self, index: usize, hop: Hop) -> Choice {
        Choice { adapter: self.name_of(index), index, hop: Arc::new(hop) }
    }

    /// To be asked before a decision is begun.
    fn edition(&self) -> Edition {
        self.decisions.read().edition()
    }

    fn remember(&self, pair: PairOfDomains, decision: Decision, edition: Edition) -> Arc<Decision> {
        let decision = Arc::new(decision);
        self.decisions.write().put(pair, decision.clone(), edition, now());
        decision
    }

    async fn look_up(&self, pair: PairOfDomains) {
        // However many queries it takes: senders wait no longer, and what may pass is tried again.
        let (limit, edition) = (self.config.delivery.hold_timeout, self.edition());
        let decision = tokio::time::timeout(limit, self.locate(&pair)).await.unwrap_or_else(|_| too_slow(now()));
        let decision = self.remember(pair.clone(), decision, edition);
        // Those who came meanwhile go first; the pair is open again only when nobody is left.
        loop {
            let batch = self.waiting.lock().next_batch(&pair);
            if batch.is_empty() {
                self.waiting_pairs.fetch_sub(1, Relaxed);
                return;
            }
            for waiting in batch {
                self.dispatch(waiting, &decision);
            }
        }
    }
}

/// The decision about a domain that the name servers had no answer for in time.
fn too_slow(now: Instant) -> Decision {
    let text = "the lookup took too long; not sent";
    Decision {
        steps: vec![text.to_owned()],
        result: Err(Failure::new(Side::Far, Cause::DnsFailure).with_text(text)),
        valid_until: Some(now + TOO_SLOW),
    }
}

/// How long such a decision is kept: while a burst passes.
const TOO_SLOW: Duration = Duration::from_secs(1);
