//! Documents of one PRESENTITY in time.

use std::time::{Duration, SystemTime};

use impp_model::DateTime;

use crate::model::Presence;

/// Timestamps for the documents of one PRESENTITY, of which no two are the same (RFC 3863 §4.1.7).
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let mut stamps = pidf::Stamps::default();
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
/// assert_eq!(stamps.next(now).unwrap().as_str(), "2001-09-09T01:46:40Z");
/// assert_eq!(stamps.next(now).unwrap().as_str(), "2001-09-09T01:46:40.001Z");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    last: Option<DateTime>,
}

impl Stamps {
    /// Goes on after the last document that was sent, for example before a restart.
    pub fn after(last: DateTime) -> Self {
        Self { last: Some(last) }
    }

    /// The time to write into the next document: `now`, or just after the last one when the clock has not gone on.
    ///
    /// `None` outside the years 0000 to 9999.
    pub fn next(&mut self, now: SystemTime) -> Option<DateTime> {
        let now = DateTime::from_system_time(now);
        let later = now.filter(|now| self.last.as_ref().is_none_or(|last| now.cmp_instant(last).is_gt()));
        let next = match (later, &self.last) {
            (Some(now), _) => now,
            (None, Some(last)) => DateTime::from_system_time(last.to_system_time()?.checked_add(STEP)?)?,
            (None, None) => return None,
        };
        self.last = Some(next.clone());
        Some(next)
    }

    /// The time of the last document.
    pub fn last(&self) -> Option<&DateTime> {
        self.last.as_ref()
    }
}

/// What a clock reading keeps: milliseconds.
const STEP: Duration = Duration::from_millis(1);

/// Tells outdated documents of one PRESENTITY from news, as a watcher has to; a relay passes both on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freshness {
    newest: Option<DateTime>,
}

impl Freshness {
    /// Whether the document is to be taken: not when all its timestamps are older than one received before.
    pub fn takes(&mut self, presence: &Presence) -> bool {
        // RFC 3863 §6: outdated information should be ignored. Documents without timestamps cannot be judged.
        match (presence.newest_timestamp(), &self.newest) {
            (Some(newest), Some(known)) if newest.cmp_instant(known).is_lt() => false,
            (Some(newest), _) => {
                self.newest = Some(newest.clone());
                true
            }
            (None, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tuple;
    use impp_model::Basic;

    fn at(text: &str) -> DateTime {
        DateTime::parse(text).unwrap()
    }

    // checks: PD-13, PRS-048
    #[test]
    fn rfc3863_s4_1_7_successive_documents_never_repeat_a_timestamp() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut stamps = Stamps::default();
        let mut last: Option<DateTime> = None;
        // The clock stands, goes on by less than a step, goes back, goes on.
        for nanos in [5_000_000_000_u64, 5_000_000_000, 5_000_400_000, 1, 5_001_000_000, 9_000_000_000, 9_000_000_001] {
            let next = stamps.next(start + Duration::from_nanos(nanos)).unwrap();
            assert!(next.is_pidf());
            assert!(last.is_none_or(|last| next.cmp_instant(&last).is_gt()), "{next} is later");
            last = Some(next);
        }
        let last = last.unwrap();
        let mut restarted = Stamps::after(last.clone());
        assert!(restarted.next(start).unwrap().cmp_instant(&last).is_gt());
        assert_eq!(Stamps::after(at("9999-12-31T23:59:59.999Z")).next(start), None);
        let mut leap = Stamps::after(at("2016-12-31T23:59:60.5Z"));
        assert_eq!(
            leap.next(start + Duration::ZERO).map(|next| next.to_string()).as_deref(),
            Some("2023-11-14T22:13:20Z")
        );
    }

    // checks: PD-14
    #[test]
    fn rfc3863_s6_outdated_documents_are_ignored() {
        let document = |time: Option<&str>| {
            let mut presence = Presence::new("pres:a@example.com");
            presence.tuples.push(Tuple { timestamp: time.map(at), ..Tuple::new("t", Basic::Open) });
            presence
        };
        let mut freshness = Freshness::default();
        assert!(freshness.takes(&document(None)));
        assert!(freshness.takes(&document(Some("2024-01-01T12:00:00Z"))));
        assert!(freshness.takes(&document(Some("2024-01-01T13:00:00+01:00"))), "the same instant is no older");
        assert!(!freshness.takes(&document(Some("2024-01-01T11:59:59.999Z"))));
        assert!(freshness.takes(&document(None)));
        assert!(freshness.takes(&document(Some("2024-01-01T12:00:00.001Z"))));
    }
}
