//! Presence that a PRESENTITY shows somebody who does not watch (RFC 6121 §4.6): kept for a subscription that may follow.

use super::bounds::fit;
use super::pair::Pair;
use super::watch::Known;
use impp_model::{Basic, Domain, News, PresenceInfo, Standing};
use std::collections::BTreeMap;

/// What was shown to whom; at most [`MAX_KEPT`].
#[derive(Debug, Default)]
pub(super) struct Directed {
    shown: BTreeMap<Pair, PresenceInfo>,
    /// How many there are of the PRESENTITIES of a domain.
    of_domain: BTreeMap<Domain, usize>,
}

/// Pairs remembered; of further ones a subscription asks.
const MAX_KEPT: usize = 10_000;

/// Pairs whose PRESENTITIES are of one domain: none takes the room of the others.
const MAX_OF_DOMAIN: usize = 1_000;

impl Directed {
    /// Takes presence for a pair that has no record; false when something of it, or of what was shown before, goes.
    pub(super) fn handle_notify(&mut self, pair: &Pair, standing: &Standing, news: &News) -> bool {
        let (Standing::Active { .. }, News::Device(tuple)) = (standing, news) else { return true };
        if tuple.basic == Basic::Open {
            if !self.shown.contains_key(pair) {
                let domain = pair.target.domain();
                let of_domain = self.of_domain.get(domain).copied().unwrap_or_default();
                if self.shown.len() >= MAX_KEPT || of_domain >= MAX_OF_DOMAIN {
                    return false;
                }
                self.of_domain.insert(domain.clone(), of_domain + 1);
            }
            let info = self.shown.entry(pair.clone()).or_default();
            info.set_device((**tuple).clone());
            return fit(info);
        }
        let Some(info) = self.shown.get_mut(pair) else { return true };
        // RFC 6121 §4.5: a bare address goes away with all of its resources.
        info.tuples.retain(|known| tuple.device.is_some() && known.device != tuple.device);
        if info.tuples.is_empty() {
            self.remove(pair);
        }
        true
    }

    fn remove(&mut self, pair: &Pair) -> Option<PresenceInfo> {
        let info = self.shown.remove(pair)?;
        match self.of_domain.get_mut(pair.target.domain()) {
            Some(several @ 2..) => *several -= 1,
            Some(_) | None => drop(self.of_domain.remove(pair.target.domain())),
        }
        Some(info)
    }

    /// Whether something was shown.
    pub(super) fn knows(&self, pair: &Pair) -> bool {
        self.shown.contains_key(pair)
    }

    /// What was shown, for who asks once: he may ask again.
    pub(super) fn look(&self, pair: &Pair) -> Option<Known> {
        self.shown.get(pair).map(Known::from)
    }

    /// What the watcher of a new record has been shown.
    pub(super) fn take(&mut self, pair: &Pair) -> Option<Known> {
        self.remove(pair).map(|info| Known::from(&info))
    }

    /// Forgets what is of these pairs.
    pub(super) fn forget(&mut self, which: impl Fn(&Pair) -> bool) {
        let gone: Vec<Pair> = self.shown.keys().filter(|pair| which(pair)).cloned().collect();
        for pair in gone {
            self.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::bounds::MAX_DEVICES;
    use impp_model::{Device, PresenceTuple};

    // checks: PRS-055
    #[test]
    fn rfc6121_s4_6_what_was_shown_is_remembered_until_it_is_taken_back() {
        let (mut directed, active) = (Directed::default(), Standing::Active { expires: None });
        let pair = Pair::new(&"w@a.example".parse().unwrap(), &"t@b.example".parse().unwrap());
        let told = |directed: &mut Directed, device: Option<&str>, basic| {
            let tuple = PresenceTuple::new(device.map(|device| Device::new(device).unwrap()), basic);
            directed.handle_notify(&pair, &active, &News::Device(Box::new(tuple)));
        };
        for device in ["a", "b", "a"] {
            told(&mut directed, Some(device), Basic::Open);
        }
        told(&mut directed, Some("b"), Basic::Closed);
        let shown = directed.take(&pair).unwrap().info();
        assert_eq!(
            shown.tuples.iter().map(|tuple| tuple.device.clone().unwrap()).collect::<Vec<_>>(),
            [Device::new("a").unwrap()]
        );
        assert!(directed.take(&pair).is_none(), "the record has it");
        told(&mut directed, Some("a"), Basic::Open);
        told(&mut directed, None, Basic::Closed);
        assert!(directed.take(&pair).is_none(), "everything is gone");
        told(&mut directed, Some("a"), Basic::Open);
        directed.forget(|pair| pair.target.domain().as_str() == "b.example");
        assert!(directed.take(&pair).is_none());
    }

    // checks: PRS-055
    #[test]
    fn rfc6121_s4_6_one_domain_does_not_take_the_room_of_the_others() {
        let mut directed = Directed::default();
        let mut show = |target: &str, device: &str| {
            let pair = Pair::new(&"w@a.example".parse().unwrap(), &target.parse().unwrap());
            let tuple = PresenceTuple::new(Device::new(device).ok(), Basic::Open);
            let kept =
                directed.handle_notify(&pair, &Standing::Active { expires: None }, &News::Device(Box::new(tuple)));
            (pair, kept)
        };
        assert!((0..MAX_OF_DOMAIN).all(|number| show(&format!("t{number}@b.example"), "a").1));
        assert!(!show("late@b.example", "a").1 && show("t@c.example", "a").1);
        assert!((1..MAX_DEVICES).all(|number| show("t@c.example", &format!("r{number}")).1));
        let (pair, kept) = show("t@c.example", "one-more");
        assert!(!kept);
        assert_eq!(directed.take(&pair).unwrap().info().tuples.len(), MAX_DEVICES);
        directed.forget(|pair| pair.target.domain().as_str() == "b.example");
        assert!(directed.shown.is_empty() && directed.of_domain.is_empty());
    }
}
