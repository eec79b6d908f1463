//! Presence that a PRESENTITY shows somebody who does not watch (RFC 6121 §4.6): kept for a subscription that may follow.

use super::pair::Pair;
use super::watch::Known;
use impp_model::{Basic, News, PresenceInfo, Standing};
use std::collections::BTreeMap;

/// What was shown to whom; at most [`MAX_KEPT`].
#[derive(Debug, Default)]
pub(super) struct Directed {
    shown: BTreeMap<Pair, PresenceInfo>,
}

/// Pairs remembered; of further ones a subscription asks.
const MAX_KEPT: usize = 10_000;

impl Directed {
    /// Takes presence for a pair that has no record.
    pub(super) fn handle_notify(&mut self, pair: &Pair, standing: &Standing, news: &News) {
        let (Standing::Active { .. }, News::Device(tuple)) = (standing, news) else { return };
        if tuple.basic == Basic::Open {
            if self.shown.contains_key(pair) || self.shown.len() < MAX_KEPT {
                self.shown.entry(pair.clone()).or_default().set_device((**tuple).clone());
            }
            return;
        }
        let Some(info) = self.shown.get_mut(pair) else { return };
        // RFC 6121 §4.5: a bare address goes away with all of its resources.
        info.tuples.retain(|known| tuple.device.is_some() && known.device != tuple.device);
        if info.tuples.is_empty() {
            self.shown.remove(pair);
        }
    }

    /// What the watcher of a new record has been shown.
    pub(super) fn take(&mut self, pair: &Pair) -> Option<Known> {
        self.shown.remove(pair).map(|info| Known::from(&info))
    }

    /// Forgets what is of these pairs.
    pub(super) fn forget(&mut self, which: impl Fn(&Pair) -> bool) {
        self.shown.retain(|pair, _| !which(pair));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
