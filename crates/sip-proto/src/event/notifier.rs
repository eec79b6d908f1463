//! The notifier's side of one subscription: which NOTIFY goes out when.

use super::{State, SubscriptionState};
use std::time::{Duration, Instant};

/// What a NOTIFY is to say; `B` is its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<B> {
    /// How the subscription stands; the terminated one is the last.
    pub state: State,
    /// When it ends by itself.
    pub until: Option<Instant>,
    /// Why it is over.
    pub reason: Option<&'static str>,
    /// Seconds before which it may not be tried again.
    pub retry_after: Option<u32>,
    /// The body; none where nothing is told.
    pub body: Option<B>,
}

impl<B> Notice<B> {
    /// The value of Subscription-State in a NOTIFY that goes out at `now`.
    pub fn subscription_state(&self, now: Instant) -> String {
        let left = |until: Instant| until.saturating_duration_since(now).as_millis().div_ceil(1000);
        let expires = self.until.map(|until| u32::try_from(left(until)).unwrap_or(u32::MAX));
        let Self { state, reason, retry_after, .. } = *self;
        SubscriptionState { state, expires, reason, retry_after }.to_string()
    }

    fn is_last(&self) -> bool {
        self.state == State::Terminated
    }
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

/// The longest pause that a watcher may ask for: as long as a subscription lasts by default.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The longest pause before the last NOTIFY that a watcher may ask for, as long as it is without asking: a dialog that is over is
/// kept for minutes, not for hours.
const LONGEST_ASKED_OF_LAST: Duration = Duration::from_secs(40);

/// How often the last NOTIFY goes again: for somewhat more than a minute, for nobody keeps the dialog but for it.
const LAST_REPEATS: u8 = 4;

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
    /// The pause before the next one counts from here: the last one, or later where the watcher asked for it.
    since: Option<Instant>,
    /// How often in a row it failed.
    failures: u8,
}

impl<B: Clone> Notifier<B> {
    /// A subscription whose SUBSCRIBE is not answered yet.
    pub fn new(interval: Duration) -> Self {
        let interval = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        Self { interval, accepted: false, waiting: None, urgent: true, under_way: None, since: None, failures: 0 }
    }

    /// The SUBSCRIBE is answered with 2xx: a NOTIFY follows at once (RFC 6665 §4.2.1.2).
    pub fn handle_accepted(&mut self) {
        self.accepted = true;
        self.urgent = true;
    }

    /// The state that watchers are to see. An older one that still waits is not sent (RFC 3856 §6.10).
    pub fn notify(&mut self, notice: Notice<B>) {
        if self.is_ending() {
            return;
        }
        self.urgent |= notice.is_last();
        // RFC 3856 §6.8: an empty one leaves the state as it was, which may not have been sent.
        let body = notice.body.or_else(|| self.waiting.take().and_then(|waiting| waiting.body));
        self.waiting = Some(Box::new(Notice { body, ..notice }));
    }

    /// Whether the last NOTIFY waits or is under way.
    pub fn is_ending(&self) -> bool {
        [&self.waiting, &self.under_way].into_iter().flatten().any(|notice| notice.is_last())
    }

    /// The NOTIFY to send, if one is due.
    pub fn poll_notify(&mut self, now: Instant) -> Option<Notice<B>> {
        if self.poll_timeout(now).is_none_or(|due| due > now) {
            return None;
        }
        let notice = self.waiting.take()?;
        self.urgent = false;
        self.under_way = Some(notice.clone());
        self.since = Some(now);
        Some(*notice)
    }

    /// When [`poll_notify`](Self::poll_notify) has something; `now` for what need not wait.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.accepted || self.under_way.is_some() || self.waiting.is_none() {
            return None;
        }
        Some(match self.since {
            Some(since) if !self.urgent => since + self.pause(),
            Some(_) | None => now,
        })
    }

    /// From when on one like it that was just [accepted](Self::handle_accepted) can stand for this one; none while something waits
    /// or is under way.
    pub fn at_rest_from(&self, now: Instant) -> Option<Instant> {
        let at_rest = self.accepted && self.waiting.is_none() && self.under_way.is_none();
        at_rest.then(|| self.since.map_or(now, |since| since + self.pause()))
    }

    /// Takes the final status of a NOTIFY, 503 for an error of the transport (RFC 3261 §8.1.3.1); none when there was no answer
    /// (Timer F). `pause` is what its Retry-After asks for.
    pub fn handle_answer(&mut self, status: Option<u16>, pause: Option<Duration>, now: Instant) -> NotifyAnswer {
        let told = self.under_way.take();
        let passes = status.is_some_and(|status| status == 408 || (500..600).contains(&status));
        let fatal = status.is_none_or(super::ends_subscription);
        let is_last = told.as_ref().is_some_and(|notice| notice.is_last());
        if fatal || (is_last && (!passes || self.failures >= LAST_REPEATS)) {
            return NotifyAnswer::Over;
        }
        // Another failure says that this NOTIFY will never be taken; the next one may be.
        if !passes {
            self.failures = 0;
            return NotifyAnswer::GoesOn;
        }
        self.failures = self.failures.saturating_add(1);
        match (&mut self.waiting, told) {
            (Some(newer), Some(told)) => newer.body = newer.body.take().or(told.body),
            (none @ None, told) => *none = told,
            (Some(_), None) => {}
        }
        // RFC 3261 §20.33: not before it was asked for.
        let longest = if is_last { LONGEST_ASKED_OF_LAST } else { LONGEST_ASKED };
        if let Some(least) = pause.map(|pause| now + pause.min(longest)) {
            self.since = self.since.max(least.checked_sub(self.pause()));
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
        let state = if last { State::Terminated } else { State::Active };
        Notice { state, until: None, reason: None, retry_after: None, body }
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
        assert_eq!(notifier.handle_answer(Some(200), None, now), NotifyAnswer::GoesOn);
        let due = now + Duration::from_secs(5);
        assert_eq!((notifier.poll_notify(now), notifier.poll_timeout(now)), (None, Some(due)));
        assert_eq!(notifier.poll_notify(due).unwrap().body, Some(3));
        assert_eq!(notifier.at_rest_from(due), None, "one is under way");
        notifier.handle_answer(Some(200), None, due);
        assert_eq!(notifier.at_rest_from(due), Some(due + Duration::from_secs(5)));
    }

    // checks: EVT-029, SIP-002
    #[test]
    fn rfc6665_s4_2_2_what_could_not_be_delivered_goes_again_after_ever_longer_pauses() {
        let (mut notifier, mut now) = (Notifier::new(Duration::ZERO), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        for seconds in [5, 10, 20, 40, 80, 160, 160, 160] {
            assert_eq!(notifier.poll_notify(now).unwrap().body, Some(1));
            assert_eq!(notifier.handle_answer(Some(503), None, now), NotifyAnswer::GoesOn);
            assert_eq!(notifier.poll_timeout(now), Some(now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
        notifier.poll_notify(now).unwrap();
        notifier.notify(notice(None, false));
        notifier.handle_answer(Some(503), None, now);
        notifier.handle_accepted();
        assert_eq!(notifier.poll_notify(now).unwrap().body, Some(1), "a refresh proves that he is there");
        notifier.handle_answer(Some(200), None, now);
        assert_eq!(notifier.poll_timeout(now), None, "told");
        notifier.notify(notice(Some(2), false));
        assert_eq!(notifier.poll_timeout(now), Some(now), "the pauses begin anew");
        notifier.poll_notify(now).unwrap();
        notifier.handle_answer(Some(415), None, now);
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
        notifier.handle_answer(Some(503), None, now);
        assert_eq!(notifier.poll_notify(now + FIRST_PAUSE).unwrap().body, Some(2));
        notifier.handle_answer(Some(503), None, now);
        notifier.notify(notice(None, true));
        let last = notifier.poll_notify(now).unwrap();
        assert_eq!((last.is_last(), last.body), (true, Some(2)), "the last one does not wait");
    }

    // checks: EVT-024, EVT-029, SIP-002
    #[test]
    fn rfc6665_s4_2_2_the_last_one_is_repeated_for_a_while_when_it_could_not_be_delivered() {
        let (mut notifier, mut now) = (Notifier::new(Duration::ZERO), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(None, true));
        for seconds in [5, 10, 20, 40] {
            assert!(notifier.poll_notify(now).unwrap().is_last());
            assert_eq!(notifier.handle_answer(Some(503), None, now), NotifyAnswer::GoesOn);
            notifier.notify(notice(Some(1), false));
            assert_eq!(notifier.poll_timeout(now), Some(now + Duration::from_secs(seconds)), "and nothing after it");
            now += Duration::from_secs(seconds);
        }
        assert!(notifier.poll_notify(now).unwrap().is_last());
        assert_eq!(notifier.handle_answer(Some(503), None, now), NotifyAnswer::Over);
    }

    // checks: EVT-029, SIP-002
    #[test]
    fn rfc3261_s20_33_who_asks_for_a_pause_has_it() {
        let (mut notifier, now) = (Notifier::new(Duration::from_secs(5)), Instant::now());
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        for (asked, given) in [(90, 90), (1, 10), (86_400, 3600)] {
            notifier.poll_notify(now + LONGEST_ASKED * 2).unwrap();
            notifier.since = Some(now);
            notifier.handle_answer(Some(503), Some(Duration::from_secs(asked)), now);
            assert_eq!(notifier.poll_timeout(now), Some(now + Duration::from_secs(given)), "{asked}");
        }
        notifier.handle_accepted();
        assert_eq!(notifier.poll_timeout(now), Some(now), "a refresh is answered at once");
        assert!(!notifier.is_ending());
        notifier.notify(notice(None, true));
        notifier.poll_notify(now).unwrap();
        notifier.failures = 0;
        notifier.handle_answer(Some(503), Some(LONGEST_ASKED), now);
        let due = now + Duration::from_secs(40);
        assert_eq!(
            (notifier.poll_timeout(now), notifier.is_ending()),
            (Some(due), true),
            "nobody keeps the dialog long"
        );
    }

    // checks: EVT-025
    #[test]
    fn rfc6665_s4_1_3_a_repeat_says_how_long_the_subscription_lasts_from_then_on() {
        let now = Instant::now();
        let lasting = Notice { until: Some(now + Duration::from_secs(60)), ..notice(None, false) };
        let said = |seconds| lasting.subscription_state(now + Duration::from_millis(seconds));
        assert_eq!([said(0), said(500), said(59_000)], ["active;expires=60", "active;expires=60", "active;expires=1"]);
        assert_eq!(said(70_000), "active;expires=0");
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
            assert_eq!(notifier.handle_answer(status, None, now), expected, "{status:?}");
        }
        let mut notifier = Notifier::new(Duration::from_secs(5));
        notifier.handle_accepted();
        notifier.notify(notice(Some(1), false));
        notifier.poll_notify(now).unwrap();
        notifier.handle_answer(Some(200), None, now);
        notifier.notify(notice(Some(2), true));
        notifier.notify(notice(Some(3), false));
        let last = notifier.poll_notify(now).unwrap();
        assert_eq!((last.is_last(), last.body), (true, Some(2)), "at once, and nothing after it");
        assert_eq!(notifier.handle_answer(Some(200), None, now), NotifyAnswer::Over);
    }
}
