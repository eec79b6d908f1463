//! The subscriber's side of one subscription: what answers and NOTIFY requests mean for its dialog.

use std::time::Instant;

use super::{TIMER_N, ends_subscription};

/// What the answer to a SUBSCRIBE means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseVerdict {
    /// Accepted; a NOTIFY is to come.
    Accepted,
    /// The same again, for so many seconds at least (423).
    Longer(u32),
    /// The dialog is unknown there: again with a new one.
    NewDialog,
    /// The presentity's side refuses for good (RFC 8048 §5.2.2).
    Denied,
    /// The dialog is over; nothing is said of another one.
    Over,
    /// This request failed; a dialog that was there goes on.
    Failed,
}

/// What to do with a NOTIFY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyVerdict {
    /// Answer 200 and read it.
    Take,
    /// Answer 481: of another fork (RFC 3856 §6.9), or too late.
    Unknown,
    /// Answer 500: older than one that came before (RFC 3261 §12.2.2).
    Old,
}

/// One subscription and its dialog, once a NOTIFY has made it (RFC 6665 §4.4.1).
#[derive(Debug, Clone)]
pub struct Subscriber {
    remote_tag: Option<Box<str>>,
    remote_cseq: Option<u32>,
    /// Timer N: when a NOTIFY must have come.
    notify_due: Option<Instant>,
    over: bool,
    lengthened: bool,
}

impl Subscriber {
    /// A subscription whose SUBSCRIBE goes out at `now`.
    pub fn new(now: Instant) -> Self {
        Self { remote_tag: None, remote_cseq: None, notify_due: Some(now + TIMER_N), over: false, lengthened: false }
    }

    /// One [at rest](Self::is_at_rest), whose dialog was made; `remote_cseq` is the number of the last NOTIFY, where it is known.
    pub fn restored(remote_tag: &str, remote_cseq: Option<u32>) -> Self {
        Self { remote_tag: Some(remote_tag.into()), remote_cseq, notify_due: None, over: false, lengthened: false }
    }

    /// Whether there is a dialog and nothing is waited for: its tag and number say all there is to know.
    pub fn is_at_rest(&self) -> bool {
        self.remote_tag.is_some() && self.notify_due.is_none() && !self.over
    }

    /// The other side's tag, once there is a dialog.
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    /// A SUBSCRIBE goes out again, in the dialog.
    pub fn handle_sent(&mut self, now: Instant) {
        self.notify_due = Some(now + TIMER_N);
    }

    /// Takes the final status of a SUBSCRIBE; `min_expires` is what a 423 says.
    pub fn handle_response(&mut self, status: u16, min_expires: Option<u32>) -> ResponseVerdict {
        // RFC 6665 §8.3.1: 202 is as good as 200.
        if (200..300).contains(&status) {
            return ResponseVerdict::Accepted;
        }
        if let (423, Some(seconds), false) = (status, min_expires, self.lengthened) {
            self.lengthened = true;
            return ResponseVerdict::Longer(seconds);
        }
        self.notify_due = None;
        if matches!(status, 403 | 489 | 603) {
            self.over = true;
            return ResponseVerdict::Denied;
        }
        if self.remote_tag.is_none() {
            self.over = true;
            return ResponseVerdict::Failed;
        }
        if status == 481 {
            self.over = true;
            return ResponseVerdict::NewDialog;
        }
        self.over = ends_subscription(status);
        if self.over { ResponseVerdict::Over } else { ResponseVerdict::Failed }
    }

    /// Takes the tag and the number of a NOTIFY for this subscription.
    pub fn handle_notify(&mut self, from_tag: &str, cseq: u32) -> NotifyVerdict {
        // RFC 3261 §12: without a tag there is no dialog.
        let other = self.remote_tag.as_deref().is_some_and(|tag| tag != from_tag);
        if self.over || other || from_tag.is_empty() {
            return NotifyVerdict::Unknown;
        }
        // COMPAT Kamailio 5.6: two states that come at once may go out under one number, so the same number is read again; what
        // is only repeated changes nothing.
        if self.remote_cseq.is_some_and(|last| cseq < last) {
            return NotifyVerdict::Old;
        }
        self.remote_cseq = Some(cseq);
        self.remote_tag = Some(from_tag.into());
        self.notify_due = None;
        NotifyVerdict::Take
    }

    /// When Timer N fires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.notify_due
    }

    /// Whether Timer N has fired: the subscription has failed (RFC 6665 §4.1.2.4).
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let fired = self.notify_due.is_some_and(|due| due <= now);
        if fired {
            self.notify_due = None;
            self.over = true;
        }
        fired
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;
    use ResponseVerdict as R;

    // checks: PRL-002, PRL-007, PRL-008, PRL-009, PRL-010, PRL-011, EVT-005, EVT-008, EVT-014, PRS-016, PRS-017, AMB-17
    #[test]
    fn rfc6665_s4_1_2_2_what_each_status_means_for_a_new_dialog_and_for_a_refresh() {
        let now = Instant::now();
        let verdict = |status, refresh: bool| {
            let mut subscriber = Subscriber::new(now);
            if refresh {
                subscriber.handle_notify("t", 1);
                subscriber.handle_sent(now);
            }
            subscriber.handle_response(status, Some(7200))
        };
        for refresh in [false, true] {
            assert_eq!([200, 202].map(|status| verdict(status, refresh)), [R::Accepted; 2]);
            assert_eq!([403, 489, 603].map(|status| verdict(status, refresh)), [R::Denied; 3]);
            assert_eq!(verdict(423, refresh), R::Longer(7200));
            assert_eq!([500, 503].map(|status| verdict(status, refresh)), [R::Failed; 2]);
        }
        assert_eq!(verdict(481, true), R::NewDialog);
        assert_eq!(verdict(481, false), R::Failed);
        assert_eq!([404, 405, 410, 416, 480, 482, 485, 501, 604].map(|status| verdict(status, true)), [R::Over; 9]);
        let mut subscriber = Subscriber::new(now);
        subscriber.handle_response(423, Some(7200));
        assert_eq!(subscriber.handle_response(423, Some(9000)), R::Failed, "once is enough");
    }

    // checks: PRL-003, PRL-027, PRL-028, PRL-029, PRL-030, EVT-007, EVT-009, EVT-013, EVT-036
    #[test]
    fn rfc6665_s4_1_3_the_first_notify_makes_the_dialog_others_are_unknown_or_old() {
        let mut subscriber = Subscriber::new(Instant::now());
        assert_eq!(subscriber.handle_notify("", 5), NotifyVerdict::Unknown, "no dialog can come of it");
        assert!(!subscriber.is_at_rest());
        assert_eq!(subscriber.handle_notify("a", 5), NotifyVerdict::Take, "before any answer");
        assert!(subscriber.is_at_rest());
        assert_eq!(subscriber.handle_notify("b", 1), NotifyVerdict::Unknown, "another fork");
        assert_eq!(subscriber.handle_notify("a", 4), NotifyVerdict::Old);
        assert_eq!(subscriber.handle_notify("a", 5), NotifyVerdict::Take, "again, or another under the same number");
        assert_eq!(subscriber.handle_notify("a", 6), NotifyVerdict::Take);
        assert_eq!(subscriber.remote_tag(), Some("a"));
        let mut again = Subscriber::restored("a", Some(6));
        assert!(again.is_at_rest());
        assert_eq!(
            [("b", 7), ("a", 5)].map(|(tag, number)| again.handle_notify(tag, number)),
            [NotifyVerdict::Unknown, NotifyVerdict::Old]
        );
        assert_eq!(again.handle_notify("a", 7), NotifyVerdict::Take);
    }

    // checks: PRL-012, EVT-006
    #[test]
    fn rfc6665_s4_1_2_4_without_a_notify_the_subscription_fails() {
        let now = Instant::now();
        let mut subscriber = Subscriber::new(now);
        subscriber.handle_response(200, None);
        assert!(!subscriber.handle_timeout(now));
        let due = subscriber.poll_timeout().unwrap();
        assert_eq!(due, now + TIMER_N);
        assert!(subscriber.handle_timeout(due));
        assert_eq!(subscriber.handle_notify("a", 1), NotifyVerdict::Unknown, "too late");
    }
}
