//! Watchers whose side can be reached again: each is told anew what is true, so many a second and each once.

use super::Engine;
use crate::presence::pair::Pair;
use std::collections::BTreeSet;
use std::time::Duration;
use store::Timestamp;

/// The pairs whose watchers are to be told anew.
#[derive(Debug, Default)]
pub(super) struct Retell {
    pairs: BTreeSet<Pair>,
    /// The pace is kept from here on.
    since: Timestamp,
    /// How many were told since.
    told: u32,
}

/// What a busy moment has kept back follows at once; what a longer one has, at the pace.
const CATCH_UP: Duration = Duration::from_millis(100);

impl Retell {
    /// When the next one is due.
    pub(super) fn next_due(&self, pace: Duration) -> Option<Timestamp> {
        (!self.pairs.is_empty()).then(|| self.due(pace))
    }

    fn due(&self, pace: Duration) -> Timestamp {
        self.since.after(pace.saturating_mul(self.told))
    }

    fn push(&mut self, pair: Pair, pace: Duration, now: Timestamp) {
        if self.pairs.is_empty() && self.due(pace) < now {
            (self.since, self.told) = (now, 0);
        }
        self.pairs.insert(pair);
    }

    fn pop(&mut self, pace: Duration, now: Timestamp) -> Option<Pair> {
        let due = self.next_due(pace)?;
        if due > now {
            return None;
        }
        if now.since(due) > CATCH_UP {
            (self.since, self.told) = (now, 0);
        }
        self.told = self.told.saturating_add(1);
        self.pairs.pop_first()
    }
}

impl Engine<'_> {
    /// A link to the watcher's side is a new one: what it was told may be forgotten there.
    pub(super) fn tell_anew(&mut self, pair: Pair, now: Timestamp) {
        if self.pairs.get(&pair).is_some_and(|entry| entry.watch.is_told_anew()) {
            self.retell.push(pair, self.pace(), now);
        }
    }

    /// Tells those who are due.
    pub(super) fn handle_retell(&mut self, now: Timestamp) {
        while let Some(pair) = self.retell.pop(self.pace(), now) {
            let Some(entry) = self.touch(&pair) else { continue };
            let effects = entry.watch.handle_near_link_up(entry.sides, now);
            self.take(&pair, effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_told_once_at_the_pace() {
        let (mut retell, second) = (Retell::default(), Duration::from_secs(1));
        let pair = |name: &str| Pair::new(&name.parse().unwrap(), &"t@b.example".parse().unwrap());
        let start = Timestamp(0).after(second);
        for name in ["a@a.example", "b@a.example", "a@a.example", "c@a.example"] {
            retell.push(pair(name), second, start);
        }
        assert_eq!((retell.pop(second, start), retell.pop(second, start)), (Some(pair("a@a.example")), None));
        retell.push(pair("b@a.example"), second, start);
        assert_eq!(retell.next_due(second), Some(start.after(second)));
        let late = start.after(second * 9);
        assert_eq!((retell.pop(second, late), retell.pop(second, late)), (Some(pair("b@a.example")), None));
        assert_eq!(retell.pop(second, late.after(second)), Some(pair("c@a.example")));
        assert_eq!(retell.next_due(second), None);
    }

    #[test]
    fn a_pace_finer_than_the_clock_is_kept() {
        let (mut retell, pace, start) = (Retell::default(), Duration::from_micros(250), Timestamp(1000));
        for number in 0..100 {
            let watcher = format!("w{number}@a.example").parse().unwrap();
            retell.push(Pair::new(&watcher, &"t@b.example".parse().unwrap()), pace, start);
        }
        let mut told = |now| std::iter::from_fn(|| retell.pop(pace, now)).count();
        assert_eq!([told(start), told(Timestamp(1001)), told(Timestamp(1010))], [4, 4, 36]);
    }
}
