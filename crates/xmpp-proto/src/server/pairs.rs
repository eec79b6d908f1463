//! Which domains may send to which over one stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use super::MAX_PAIRS;
use crate::jid::Domain;

/// A sender's domain and an addressee's (XEP-0220 §1.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Whose stanzas.
    pub from: Domain,
    /// To whom.
    pub to: Domain,
}

impl Pair {
    /// The same domains, the other way.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// How the peer is proven to be the domain it speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Its certificate, by SASL EXTERNAL.
    External,
    /// Its certificate: it was called under this name, or asked by dialback and needed no calling back (XEP-0344).
    Certificate,
    /// Its authoritative server knew the key (XEP-0220).
    Dialback,
    /// It answered where the name system says the domain is served.
    Discovery,
}

impl Proof {
    /// The label in logs, traces and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Certificate => "certificate",
            Self::Dialback => "dialback",
            Self::Discovery => "discovery",
        }
    }
}

/// Whether stanzas of a pair may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// The sender's domain is proven, and not for this addressee.
    WrongTo,
    /// The sender's domain is not proven.
    WrongFrom,
}

/// The pairs of one direction.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    proven: BTreeMap<Domain, BTreeMap<Domain, Proof>>,
    proven_count: usize,
    pending: BTreeMap<Pair, Instant>,
    /// The pending ones by deadline, with some that are pending no more.
    deadlines: VecDeque<(Instant, Pair)>,
}

impl Pairs {
    pub(super) fn is_empty(&self) -> bool {
        self.proven_count == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.proven_count + self.pending.len() >= MAX_PAIRS
    }

    pub(super) fn is_pending(&self, pair: &Pair) -> bool {
        self.pending.contains_key(pair)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_proven(&self, pair: &Pair) -> bool {
        self.proven.get(&pair.from).is_some_and(|to| to.contains_key(&pair.to))
    }

    /// All proven pairs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Pair, Proof)> {
        self.proven
            .iter()
            .flat_map(|(from, tos)| tos.iter().map(|(to, proof)| (Pair { from: from.clone(), to: to.clone() }, *proof)))
    }

    /// Judges two domains as written in a stanza.
    pub(super) fn passage(&self, from: &str, to: &str) -> Passage {
        // Nearly all are written in canonical form.
        let known = |from: &str, to: &str| match self.proven.get(from) {
            Some(tos) if tos.contains_key(to) => Passage::Open,
            Some(_) => Passage::WrongTo,
            None => Passage::WrongFrom,
        };
        match known(from, to) {
            Passage::Open => Passage::Open,
            otherwise @ (Passage::WrongTo | Passage::WrongFrom) => match (Domain::parse(from), Domain::parse(to)) {
                (Ok(from), Ok(to)) => known(from.as_str(), to.as_str()),
                (Ok(from), Err(_)) => known(from.as_str(), ""),
                (Err(_), Ok(_) | Err(_)) => otherwise,
            },
        }
    }

    /// Awaits a verdict; there must be room.
    pub(super) fn await_verdict(&mut self, pair: Pair, deadline: Instant) {
        self.pending.insert(pair.clone(), deadline);
        self.deadlines.push_back((deadline, pair));
    }

    /// The verdict came, whichever it is; whether it was awaited.
    pub(super) fn settle(&mut self, pair: &Pair) -> bool {
        let awaited = self.pending.remove(pair).is_some();
        if self.pending.is_empty() {
            self.deadlines.clear();
        }
        awaited
    }

    pub(super) fn prove(&mut self, pair: Pair, proof: Proof) {
        self.pending.remove(&pair);
        if self.proven.entry(pair.from).or_default().insert(pair.to, proof).is_none() {
            self.proven_count += 1;
        }
    }

    /// Takes out one pair whose verdict is overdue.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Pair> {
        while let Some((deadline, pair)) = self.deadlines.pop_front_if(|(deadline, _)| *deadline <= now) {
            if self.pending.get(&pair) == Some(&deadline) {
                self.pending.remove(&pair);
                return Some(pair);
            }
        }
        None
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Takes out all pairs without verdict.
    pub(super) fn take_pending(&mut self) -> impl Iterator<Item = Pair> + use<> {
        self.deadlines.clear();
        std::mem::take(&mut self.pending).into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pair(from: &str, to: &str) -> Pair {
        Pair { from: Domain::parse(from).unwrap(), to: Domain::parse(to).unwrap() }
    }

    // checks: XST-012, XST-013
    #[test]
    fn rfc6120_s8_1_1_domains_are_compared_in_canonical_form() {
        let mut pairs = Pairs::default();
        pairs.prove(pair("straße.de", "b.example"), Proof::External);
        assert_eq!(pairs.passage("straße.de", "b.example"), Passage::Open);
        assert_eq!(pairs.passage("xn--strae-oqa.de", "B.EXAMPLE."), Passage::Open);
        assert_eq!(pairs.passage("strasse.de", "b.example"), Passage::WrongFrom);
        assert_eq!(pairs.passage("Straße.de", "c.example"), Passage::WrongTo);
        assert_eq!(pairs.passage("Straße.de", ""), Passage::WrongTo);
        assert_eq!(pairs.passage("", "b.example"), Passage::WrongFrom);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn verdicts_are_awaited_for_a_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut pairs = Pairs::default();
        let [a, b, c] = ["a.example", "b.example", "c.example"].map(|from| pair(from, "d.example"));
        pairs.await_verdict(a.clone(), now + second);
        pairs.await_verdict(b.clone(), now + second * 2);
        pairs.await_verdict(c.clone(), now + second * 2);
        assert!(pairs.settle(&a) && !pairs.settle(&a));
        assert_eq!(pairs.overdue(now + second), None);
        pairs.prove(c.clone(), Proof::Dialback);
        assert_eq!(pairs.overdue(now + second * 2), Some(b));
        assert_eq!(pairs.overdue(now + second * 2), None);
        assert_eq!((pairs.next_deadline(), pairs.pending()), (None, 0));
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [(c, Proof::Dialback)]);
    }
}
