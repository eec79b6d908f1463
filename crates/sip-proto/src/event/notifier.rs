//! The notifier's side of one subscription: which NOTIFY goes out when.

use std::time::{Duration, Instant};

/// What a NOTIFY is to say; `B` is its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<B> {
    /// The value of Subscription-State.
    pub subscription: String,
    /// Whether it ends the subscription.
    pub last: bool,
    /// The body; none where nothing is told.
    pub body: Option<B>,
}

/// What the answer to a NOTIFY means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyAnswer {
    /// The subscription goes on.
    GoesOn,
    /// It is over: its record may go.
    Over,
}

/// The pause before a NOTIFY that failed goes once more; twice as long after each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest such pause: a watcher that is back sees the state within it, and one that is gone costs little until its
/// subscription expires.
const LONGEST_PAUSE: Duration = Duration::from_secs(160);

/// One subscription: one NOTIFY at a time, the newest state always last, and no more of them than the interval allows.
#[derive(Debug, Clone)]
pub struct Notifier<B> {
    /// Milliseconds: there may be very many of these.
    interval: u32,
    /// Whether the SUBSCRIBE has been answered.
    accepted: bool,
    waiting: Option<Box<Notice<B>>>,
    /// The one that waits answers a SUBSCRIBE, or ends the subscription: it does not wait for the interval.
    urgent: bool,
    under_way: Option<Box<Notice<B>>>,
    sent: Option<Instant>,
    /// How often in a row it failed.
    failures: u8,
}

impl<B: Clone> Notifier<B> {
    /// A subscription whose SUBSCRIBE is not answered yet.
    pub fn new(interval: Duration) -> Self {
        let interval = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        Self { interval, accepted: false, waiting: None, urgent: true, under_way: None, sent: None, failures: 0 }
    }

    /// The SUBSCRIBE is answered with 2xx: a NOTIFY follows at once (RFC 6665 §4.2.1.2).
    pub fn handle_accepted(&mut self) {
        self.accepted = true;
        self.urgent = true;
    }

    /// The state that watchers are to see. An older one that still waits is not sent (RFC 3856 §6.10).
    pub fn notify(&mut self, notice: Notice<B>) {
        let is_last = |notice: &Option<Box<Notice<B>>>| notice.as_ref().is_some_and(|notice| notice.last);
        if is_last(&self.waiting) || is_last(&self.under_way) {
            return;
        }
        self.urgent |= notice.last;
        // RFC 3856 §6.8: an empty one leaves the state as it was, which may not have been sent.
        let body = notice.body.or_else(|| self.waiting.take().and_then(|waiting| waiting.body));
        self.waiting = Some(Box::new(Notice { body, ..notice }));
    }

    /// The NOTIFY to send, if one is due.
    pub fn poll_notify(&mut self, now: Instant) -> Option<Notice<B>> {
        if self.poll_timeout(now).is_none_or(|due| due > now) {
            return None;
        }
        let notice = self.waiting.take()?;
        self.urgent = false;
        self.under_way = Some(notice.clone());
        self.sent = Some(now);
        Some(*notice)
    }

    /// When [`poll_notify`](Self::poll_notify) has something; `now` for what need not wait.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.accepted || self.under_way.is_some() || self.waiting.is_none() {
            return None;
        }
        Some(match self.sent {
            Some(sent) if !self.urgent => sent + self.pause(),
            Some(_) | None => now,
        })
    }

    /// Takes the final status of a NOTIFY, 503 for an error of the transport (RFC 3261 §8.1.3.1); none when there was no answer
    /// (Timer F).
    pub fn handle_answer(&mut self, status: Option<u16>) -> NotifyAnswer {
        let told = self.under_way.take();
        let fatal = status.is_none_or(super::ends_subscription);
        if fatal || told.as_ref().is_some_and(|notice| notice.last) {
            return NotifyAnswer::Over;
        }
        // Another failure says that this NOTIFY will never be taken; the next one may be.
        if !status.is_some_and(|status| status == 408 || (500..600).contains(&status)) {
            self.failures = 0;
            return NotifyAnswer::GoesOn;
        }
        self.failures = self.failures.saturating_add(1);
        match (&mut self.waiting, told) {
            (Some(newer), Some(told)) => newer.body = newer.body.take().or(told.body),
            (none @ None, told) => *none = told,
            (Some(_), None) => {}
        }
        NotifyAnswer::GoesOn
    }

    fn pause(&self) -> Duration {
        let interval = Duration::from_millis(self.interval.into());
        let Some(doublings) = self.failures.checked_sub(1) else { return interval };
        let longer = 1u32.checked_shl(doublings.into()).and_then(|factor| FIRST_PAUSE.checked_mul(factor));
        longer.map_or(LONGEST_PAUSE, |longer| longer.min(LONGEST_PAUSE)).max(interval)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;

    fn notice(body: Option<u8>, last: bool) -> Notice<u8> {
        Notice { subscription: if last { "terminated" } else { "active" }.to_owned(), last, body }
    }

    // checks: EVT-020, EVT-021
    #[test]
    fn rfc6665_s4_2_1_2_a_notify_follows_the_answer_at_once_and_never_goes_before_it() {
        let (mut notifier, now) = (Notifier::new(Duration::from_secs(5)), Instant::now());
        notifier.notify(notice(None, false));
        assert_eq!(notifier.poll_notify(now), None);
        notifier.handle_accepted();
        assert_eq!(notifier.poll_timeout(now), Some(now));
        assert!(notifier.poll_notify(now).is_some());
    }

    // checks: PRL-120, EVT-028, EVT-036
    #[test]
    fn rfc3856_s6_10_changes_are_told_together_and_the_last_one_is_never_lost() {
        let (mut notifier, now) = (Notifier::new(Duration::from_secs(5)), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        assert_eq!(notifier.poll_notify(now).unwrap().body, Some(1));
        for body in [2, 3] {
            notifier.notify(notice(Some(body), false));
        }
        notifier.notify(notice(None, false));
        assert_eq!(notifier.poll_notify(now), None, "one is under way");
        assert_eq!(notifier.handle_answer(Some(200)), NotifyAnswer::GoesOn);
        let due = now + Duration::from_secs(5);
        assert_eq!((notifier.poll_notify(now), notifier.poll_timeout(now)), (None, Some(due)));
        assert_eq!(notifier.poll_notify(due).unwrap().body, Some(3));
    }

    // checks: EVT-029, SIP-002
    #[test]
    fn rfc6665_s4_2_2_what_could_not_be_delivered_goes_again_after_ever_longer_pauses() {
        let (mut notifier, mut now) = (Notifier::new(Duration::ZERO), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        for seconds in [5, 10, 20, 40, 80, 160, 160, 160] {
            assert_eq!(notifier.poll_notify(now).unwrap().body, Some(1));
            assert_eq!(notifier.handle_answer(Some(503)), NotifyAnswer::GoesOn);
            assert_eq!(notifier.poll_timeout(now), Some(now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
        notifier.poll_notify(now).unwrap();
        notifier.notify(notice(None, false));
        notifier.handle_answer(Some(503));
        notifier.handle_accepted();
        assert_eq!(notifier.poll_notify(now).unwrap().body, Some(1), "a refresh proves that he is there");
        notifier.handle_answer(Some(200));
        assert_eq!(notifier.poll_timeout(now), None, "told");
        notifier.notify(notice(Some(2), false));
        assert_eq!(notifier.poll_timeout(now), Some(now), "the pauses begin anew");
        notifier.poll_notify(now).unwrap();
        notifier.handle_answer(Some(415));
        assert_eq!(notifier.poll_timeout(now), None, "the same document would be refused again");
    }

    // checks: EVT-010
    #[test]
    fn rfc6665_s4_4_1_a_newer_state_goes_in_place_of_the_one_that_failed() {
        let (mut notifier, now) = (Notifier::new(Duration::ZERO), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        notifier.poll_notify(now).unwrap();
        notifier.notify(notice(Some(2), false));
        notifier.handle_answer(Some(503));
        assert_eq!(notifier.poll_notify(now + FIRST_PAUSE).unwrap().body, Some(2));
        notifier.handle_answer(Some(503));
        notifier.notify(notice(None, true));
        let last = notifier.poll_notify(now).unwrap();
        assert_eq!((last.last, last.body), (true, Some(2)), "the last one does not wait");
        assert_eq!(notifier.handle_answer(Some(503)), NotifyAnswer::Over);
    }

    // checks: PRL-111, EVT-010, EVT-024, EVT-029
    #[test]
    fn rfc6665_s4_2_2_some_failures_and_the_last_notify_end_it() {
        let now = Instant::now();
        for (status, expected) in [
            (Some(200), NotifyAnswer::GoesOn),
            (Some(500), NotifyAnswer::GoesOn),
            (Some(481), NotifyAnswer::Over),
            (Some(404), NotifyAnswer::Over),
            (None, NotifyAnswer::Over),
        ] {
            let mut notifier = Notifier::new(Duration::ZERO);
            notifier.handle_accepted();
            notifier.notify(notice(Some(1), false));
            notifier.poll_notify(now).unwrap();
            assert_eq!(notifier.handle_answer(status), expected, "{status:?}");
        }
        let mut notifier = Notifier::new(Duration::from_secs(5));
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        notifier.poll_notify(now).unwrap();
        notifier.handle_answer(Some(200));
        notifier.notify(notice(Some(2), true));
        notifier.notify(notice(Some(3), false));
        let last = notifier.poll_notify(now).unwrap();
        assert_eq!((last.last, last.body), (true, Some(2)), "at once, and nothing after it");
        assert_eq!(notifier.handle_answer(Some(200)), NotifyAnswer::Over);
    }
}
