//! How much one sender, all senders of one domain, and one domain for another may hand in; what is beyond is refused before
//! it costs anything.

use crate::admission::Refusal;
use crate::policy::Rule;
use impp_model::{Address, Cause, Domain, Failure, Operation, Retry, Side};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Operations a second; none: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RateLimits {
    /// From one address.
    #[serde(rename = "per_source")]
    pub source: Option<NonZeroU32>,
    /// From all addresses of one domain together.
    #[serde(rename = "per_domain")]
    pub domain: Option<NonZeroU32>,
}

/// What came in lately, by sender and by domain.
#[derive(Debug)]
pub(crate) struct Rates {
    limits: RateLimits,
    sources: Option<Meter<Address>>,
    domains: Option<Meter<Domain>>,
    /// What the rules were, if one has a rate, and what came by each that has.
    rules: Vec<(Rule, Option<Meter<Pair>>)>,
}

/// Source and destination.
type Pair = (Domain, Domain);

/// So many seconds' worth may come at once: people write in spurts.
const BURST: u32 = 2;
/// Names that each of a meter's parts remembers: some 100 octets each, 16 parts. Beyond, new ones are not limited one by one;
/// their domain is.
const MAX_NAMES: usize = 16_384;
/// A power of two: enough that adapters' tasks rarely meet.
const PARTS: usize = 16;
/// Between looks through a full part for names that may be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

impl Rates {
    pub(crate) fn new(limits: RateLimits, rules: &[Rule]) -> Self {
        // All pairs together have the room of one meter, however many rules there are.
        let names = MAX_NAMES / rules.iter().filter(|rule| rule.rate.is_some()).count().max(1);
        let metered = rated(rules).iter().map(|rule| (rule.clone(), rule.rate.map(|rate| Meter::of(rate, names))));
        let (sources, domains) = (limits.source.map(Meter::new), limits.domain.map(Meter::new));
        Self { limits, sources, domains, rules: metered.collect() }
    }

    /// Whether it counts by these.
    pub(crate) fn is_of(&self, limits: RateLimits, rules: &[Rule]) -> bool {
        self.limits == limits && self.rules.iter().map(|(rule, _)| rule).eq(rated(rules))
    }

    /// Counts an operation that the rule at this place has let pass, or says when its sender may try again. A sender who
    /// sends too much takes nothing from his domain.
    pub(crate) fn count(&self, operation: &Operation, rule: Option<usize>, now: Instant) -> Result<(), Refusal> {
        let source = &operation.source().address;
        self.sources.as_ref().map_or(Ok(()), |meter| meter.count(source, now)).map_err(|wait| refusal(wait, SENDER))?;
        let domains = self.domains.as_ref();
        domains.map_or(Ok(()), |meter| meter.count(source.domain(), now)).map_err(|wait| refusal(wait, DOMAIN))?;
        let Some((_, Some(meter))) = rule.and_then(|index| self.rules.get(index)) else { return Ok(()) };
        let pair = (source.domain().clone(), operation.destination().address.domain().clone());
        meter.count(&pair, now).map_err(|wait| refusal(wait, PAIR))
    }
}

/// The rules, if any of them has a rate.
fn rated(rules: &[Rule]) -> &[Rule] {
    if rules.iter().any(|rule| rule.rate.is_some()) { rules } else { &[] }
}

const SENDER: &str = "too many messages from this sender";
const DOMAIN: &str = "too many messages from this domain";
const PAIR: &str = "too many messages from this domain to that";

fn refusal(wait: Duration, text: &str) -> Refusal {
    Failure::new(Side::Ours, Cause::Overload).with_retry(Retry::After(wait)).with_text(text)
}

/// The generic cell rate algorithm: each name has the moment at which its account is empty again.
#[derive(Debug)]
struct Meter<N> {
    /// Between two operations at the rate.
    interval: Duration,
    /// How far the account may be ahead of the time.
    ahead: Duration,
    hasher: RandomState,
    parts: Vec<Mutex<Part<N>>>,
    /// That each part remembers.
    names: usize,
}

#[derive(Debug)]
struct Part<N> {
    empty_at: HashMap<N, Instant>,
    swept: Option<Instant>,
}

impl<N: Clone + Eq + Hash> Meter<N> {
    fn new(rate: NonZeroU32) -> Self {
        Self::of(rate, MAX_NAMES)
    }

    fn of(rate: NonZeroU32, names: usize) -> Self {
        let interval = Duration::from_secs(1) / rate.get();
        let part = || Mutex::new(Part { empty_at: HashMap::new(), swept: None });
        let ahead = interval * (rate.get().saturating_mul(BURST) - 1);
        Self { interval, ahead, hasher: RandomState::new(), parts: (0..PARTS).map(|_| part()).collect(), names }
    }

    fn count(&self, name: &N, now: Instant) -> Result<(), Duration> {
        let index = usize::try_from(self.hasher.hash_one(name)).unwrap_or(0) % PARTS;
        let Some(mut part) = self.parts.get(index).map(Mutex::lock) else { return Ok(()) };
        if let Some(empty_at) = part.empty_at.get_mut(name) {
            let ahead = empty_at.saturating_duration_since(now);
            if ahead > self.ahead {
                return Err(ahead - self.ahead);
            }
            *empty_at = now + ahead + self.interval;
        } else if part.has_room(self.names, now) {
            part.empty_at.insert(name.clone(), now + self.interval);
        }
        Ok(())
    }
}

impl<N: Eq + Hash> Part<N> {
    /// Whether there is room for a further name, once those are forgotten whose account is empty.
    fn has_room(&mut self, names: usize, now: Instant) -> bool {
        let due = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP);
        if self.empty_at.len() >= names && due {
            self.swept = Some(now);
            self.empty_at.retain(|_, empty_at| *empty_at > now);
        }
        self.empty_at.len() < names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Action;
    use crate::testkit::message;
    use adapter_api::DomainPattern;

    fn rates(source: u32, domain: u32) -> Rates {
        Rates::new(RateLimits { source: NonZeroU32::new(source), domain: NonZeroU32::new(domain) }, &[])
    }

    fn wait(rates: &Rates, from: &str, now: Instant) -> Option<Duration> {
        let refused = rates.count(&message(from, "b@b.example"), None, now).err()?;
        assert_eq!((refused.cause, refused.side), (Cause::Overload, Side::Ours));
        match refused.retry {
            Retry::After(wait) => Some(wait),
            Retry::Never | Retry::NextTarget => panic!("{refused:?}"),
        }
    }

    #[test]
    fn two_seconds_worth_may_come_at_once_then_the_rate_holds() {
        let (rates, now) = (rates(10, 0), Instant::now());
        let taken = (0..100).filter(|_| wait(&rates, "a@a.example", now).is_none()).count();
        assert_eq!(taken, 20);
        let pause = wait(&rates, "a@a.example", now).unwrap();
        assert_eq!(pause, Duration::from_millis(100));
        assert_eq!(wait(&rates, "a@a.example", now + pause), None);
        assert!(wait(&rates, "a@a.example", now + pause).is_some());
        assert_eq!(wait(&rates, "c@a.example", now), None, "another sender");
    }

    #[test]
    fn a_flood_of_one_sender_leaves_his_domain_to_the_others() {
        let (rates, now) = (rates(1, 4), Instant::now());
        for _ in 0..100 {
            let _ = wait(&rates, "flood@a.example", now);
        }
        let others = (0..100).filter(|n| wait(&rates, &format!("u{n}@a.example"), now).is_none()).count();
        assert_eq!(others, 8 - 2);
        assert_eq!(wait(&rates, "u@b.example", now), None);
    }

    // checks: SEC-005
    #[test]
    fn each_pair_of_domains_that_a_rule_matches_has_the_rate_of_the_rule() {
        let rule = |rate| Rule {
            from: DomainPattern::Any,
            to: DomainPattern::Any,
            kinds: Vec::new(),
            action: Action::Allow,
            max_content: None,
            require_tls: false,
            rate: NonZeroU32::new(rate),
        };
        let (rules, now) = (vec![rule(0), rule(5)], Instant::now());
        let rates = Rates::new(RateLimits::default(), &rules);
        let taken = |from: &str, to: &str, rule| {
            (0..100).filter(|_| rates.count(&message(from, to), rule, now).is_ok()).count()
        };
        assert_eq!(taken("a@a.example", "b@b.example", Some(0)), 100, "the first rule has no rate");
        assert_eq!(taken("a@a.example", "b@b.example", Some(1)), 10);
        assert_eq!(taken("other@a.example", "other@b.example", Some(1)), 0, "the same pair");
        assert_eq!(taken("a@a.example", "b@c.example", Some(1)), 10);
        assert_eq!(taken("b@b.example", "a@a.example", Some(1)), 10);
        // Who reloads the same rules forgives nobody; without rates rules may change.
        assert!(rates.is_of(RateLimits::default(), &rules));
        assert!(!rates.is_of(RateLimits::default(), &[rule(0), rule(6)]));
        assert!(Rates::new(RateLimits::default(), &[rule(0)]).is_of(RateLimits::default(), &[]));
        let many = Rates::new(RateLimits::default(), &[rule(0), rule(5), rule(6), rule(7)]);
        let names: usize = many.rules.iter().filter_map(|(_, meter)| meter.as_ref()).map(|meter| meter.names).sum();
        assert!((MAX_NAMES - 3..=MAX_NAMES).contains(&names), "{names}: many rules take no more memory than one");
    }

    #[test]
    fn names_are_bounded_and_forgotten_when_their_account_is_empty() {
        let meter = Meter::<u64>::new(NonZeroU32::MIN);
        let now = Instant::now();
        let kept = || meter.parts.iter().map(|part| part.lock().empty_at.len()).sum::<usize>();
        for name in 0..(PARTS * MAX_NAMES * 2) as u64 {
            assert_eq!(meter.count(&name, now), Ok(()));
        }
        assert!(kept() <= PARTS * MAX_NAMES);
        for name in 0..1000 {
            let _ = meter.count(&(u64::MAX - name), now + Duration::from_secs(10));
        }
        assert!(kept() <= 1000, "{}", kept());
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        let (rates, now) = (rates(0, 0), Instant::now());
        assert!((0..1000).all(|_| wait(&rates, "a@a.example", now).is_none()));
    }
}
