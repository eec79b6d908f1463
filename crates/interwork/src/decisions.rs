//! Decisions kept for as long as what they rest on holds, refusals too.

use crate::routing::Decision;
use adapter_api::InstanceName;
use impp_model::Domain;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a decision depends on: the instance it came in through and both domains.
pub(crate) type PairOfDomains = (InstanceName, Domain, Domain);

/// At most [`CAPACITY`] decisions; beyond that the one that ends soonest goes first.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    entries: HashMap<PairOfDomains, Entry>,
    by_end: BTreeSet<(Instant, PairOfDomains)>,
    edition: Edition,
}

/// Which configuration decisions were made by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edition(u64);

#[derive(Debug)]
struct Entry {
    end: Instant,
    decision: Arc<Decision>,
}

/// Some ten megabytes, and more pairs of domains than a gateway serves in an hour.
const CAPACITY: usize = 10_000;
/// How long a decision of the configuration alone is kept; it would be made again just so.
const FIXED: Duration = Duration::from_secs(24 * 3600);

impl Decisions {
    pub(crate) fn get(&self, pair: &PairOfDomains, now: Instant) -> Option<Arc<Decision>> {
        self.entries.get(pair).filter(|entry| now < entry.end).map(|entry| entry.decision.clone())
    }

    /// The edition that a decision made now is of.
    pub(crate) fn edition(&self) -> Edition {
        self.edition
    }

    /// Forgets all: the configuration is another one.
    pub(crate) fn renew(&mut self) {
        *self = Self { edition: Edition(self.edition.0.wrapping_add(1)), ..Self::default() };
    }

    /// Keeps a decision, unless the configuration has changed since it was begun.
    pub(crate) fn put(&mut self, pair: PairOfDomains, decision: Arc<Decision>, edition: Edition, now: Instant) {
        if edition != self.edition {
            return;
        }
        if let Some(old) = self.entries.remove(&pair) {
            self.by_end.remove(&(old.end, pair.clone()));
        }
        while self.entries.len() >= CAPACITY
            && let Some((_, soonest)) = self.by_end.pop_first()
        {
            self.entries.remove(&soonest);
        }
        let end = decision.valid_until.unwrap_or(now + FIXED);
        self.by_end.insert((end, pair.clone()));
        self.entries.insert(pair, Entry { end, decision });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::domain;
    use impp_model::{Cause, Failure, Side};

    fn pair(number: usize) -> PairOfDomains {
        ("sip".into(), domain("a.example"), domain(&format!("d{number}.example")))
    }

    fn until(end: Instant) -> Arc<Decision> {
        let result = Err(Failure::new(Side::Far, Cause::RemoteNotFound));
        Arc::new(Decision { steps: Vec::new(), result, valid_until: Some(end) })
    }

    #[test]
    fn a_decision_ends_with_what_it_rests_on() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        decisions.put(pair(1), until(now + Duration::from_secs(5)), Edition::default(), now);
        assert!(decisions.get(&pair(1), now + Duration::from_secs(4)).is_some());
        assert!(decisions.get(&pair(1), now + Duration::from_secs(5)).is_none());
    }

    #[test]
    fn what_was_decided_by_an_older_configuration_is_not_kept() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        let (before, end) = (decisions.edition(), now + Duration::from_secs(5));
        decisions.put(pair(1), until(end), before, now);
        decisions.renew();
        decisions.put(pair(2), until(end), before, now);
        assert!(decisions.get(&pair(1), now).is_none() && decisions.get(&pair(2), now).is_none());
        decisions.put(pair(2), until(end), decisions.edition(), now);
        assert!(decisions.get(&pair(2), now).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_soonest_to_end_goes() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        for number in 0..=CAPACITY {
            let life = Duration::from_secs(if number == 7 { 1 } else { 60 });
            decisions.put(pair(number), until(now + life), Edition::default(), now);
        }
        assert_eq!(decisions.entries.len(), CAPACITY);
        assert_eq!(decisions.by_end.len(), CAPACITY);
        assert!(decisions.get(&pair(7), now).is_none());
        assert!(decisions.get(&pair(8), now).is_some());
    }
}
