//! RFC 3261 §10.2: when to register, and what came of it.

use crate::ids::RequestIds;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::uri::SipUri;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our place at one registrar.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) username: Arc<str>,
    /// RFC 3261 §10.2: all registrations of one run have one Call-ID, and each a higher CSeq.
    pub(super) ids: RequestIds,
    pub(super) cseq: u32,
    /// Seconds asked for; more where the registrar wants more.
    pub(super) wanted: u32,
    next: Option<Instant>,
    pause: Duration,
    /// The registrar has it.
    pub(super) held: bool,
    /// What the registrar has: where it sends what is for us.
    pub(super) contact: String,
}

impl Registration {
    pub(super) fn new(username: Arc<str>, now: Instant) -> Self {
        let ids = RequestIds::random(rand::random());
        let (next, pause, contact) = (Some(now), Duration::ZERO, String::new());
        Self { username, ids, cseq: 0, wanted: EXPIRES, next, pause, held: false, contact }
    }

    /// Whether a request with this Request-URI was sent to what is registered (RFC 3261 §16.5).
    pub(super) fn is_contact(&self, uri: &str) -> bool {
        let ours = SipUri::parse(&self.contact).ok().filter(|_| self.held);
        ours.is_some_and(|ours| SipUri::parse(uri).is_ok_and(|uri| uri.equivalent(&ours)))
    }

    /// When to register next; none while that is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// It is under way.
    pub(super) fn begin(&mut self) -> u32 {
        self.next = None;
        self.cseq += 1;
        self.cseq
    }

    /// Registered for this long: again before it ends.
    pub(super) fn granted(&mut self, seconds: u32, now: Instant) {
        self.pause = Duration::ZERO;
        self.held = true;
        // Four fifths of the time leave room for some tries.
        self.next = Some(now + (Duration::from_secs(seconds.into()) * 4 / 5).max(MIN_REFRESH));
    }

    /// Not registered: later, and each time later still (RFC 5626 §4.5). Returns how long that is.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>, now: Instant) -> Duration {
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        let jittered = self.pause.mul_f64(rand::random_range(0.5..=1.0));
        let pause = retry_after.map_or(jittered, |wanted| wanted.clamp(jittered, MAX_PAUSE));
        self.held = false;
        self.next = Some(now + pause);
        pause
    }

    /// RFC 3261 §21.4.17: the registrar wants longer registrations; at once, but not twice for the same wish.
    pub(super) fn too_brief(&mut self, response: &Message, now: Instant) -> bool {
        let least = response.header(HeaderId::MinExpires).and_then(|header| header.text().ok()?.trim().parse().ok());
        match least {
            Some(least) if least > self.wanted && least <= MAX_EXPIRES => {
                self.wanted = least;
                self.next = Some(now);
                true
            }
            Some(_) | None => false,
        }
    }
}

/// RFC 3261 §10.3: for how long a 200 grants our contact; its own parameter counts before the header.
pub(super) fn granted(response: &Message, contact: &str, wanted: u32) -> u32 {
    let ours = SipUri::parse(contact).ok();
    let mut contacts = response.addresses(HeaderId::Contact).filter_map(Result::ok);
    let found = contacts.find(|found| {
        let uri = SipUri::parse(found.uri).ok();
        uri.zip(ours.as_ref()).is_some_and(|(uri, ours)| uri.equivalent(ours))
    });
    let own = found.and_then(|found| found.params.get("expires")?.parse().ok());
    let header = || response.header(HeaderId::Expires).and_then(|header| header.text().ok()?.trim().parse().ok());
    own.or_else(header).unwrap_or(wanted)
}

/// RFC 3261 §10.2.1.1 recommends an hour.
const EXPIRES: u32 = 3600;

/// A registrar that wants more than a day keeps us longer than we may live.
const MAX_EXPIRES: u32 = 86_400;

/// A registrar that grants seconds must not make us flood it.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// The first pause after a failure: a restart takes about so long.
const MIN_PAUSE: Duration = Duration::from_secs(2);

/// RFC 5626 §4.5: max-time.
const MAX_PAUSE: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn response(lines: &str) -> Message {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:g@b>;tag=1\r\nTo: <sip:g@b>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn rfc3261_s10_2_4_it_is_renewed_before_it_ends() {
        let now = Instant::now();
        let mut place = Registration::new("gw".into(), now);
        assert_eq!((place.due(), place.begin(), place.due()), (Some(now), 1, None));
        let ours = "sip:gw@192.0.2.1:5060";
        let several = "Contact: <sip:gw@192.0.2.9:5060>;expires=5\r\nContact: <sip:gw@192.0.2.1:5060>;expires=60\r\n";
        for (lines, seconds) in [(several, 60), ("Expires: 120\r\n", 120), ("", 3600)] {
            assert_eq!(granted(&response(lines), ours, 3600), seconds, "{lines}");
        }
        place.granted(60, now);
        assert_eq!((place.due(), place.held), (Some(now + Duration::from_secs(48)), true));
    }

    #[test]
    fn rfc5626_s4_5_each_failure_doubles_the_pause() {
        let now = Instant::now();
        let mut place = Registration::new("gw".into(), now);
        let pauses: Vec<Duration> = (0..20).map(|_| place.failed(None, now)).collect();
        assert!(pauses[0] <= MIN_PAUSE && pauses[0] >= MIN_PAUSE / 2 && pauses[19] >= MAX_PAUSE / 2, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= MAX_PAUSE));
        place.granted(60, now);
        assert!(place.failed(None, now) <= MIN_PAUSE);
        assert_eq!(place.failed(Some(Duration::from_secs(600)), now), Duration::from_secs(600));
    }

    #[test]
    fn rfc3261_s21_4_17_a_longer_time_is_asked_for_once() {
        let now = Instant::now();
        let mut place = Registration::new("gw".into(), now);
        place.begin();
        assert!(place.too_brief(&response("Min-Expires: 7200\r\n"), now));
        assert_eq!((place.wanted, place.due()), (7200, Some(now)));
        assert!(!place.too_brief(&response("Min-Expires: 7200\r\n"), now));
        assert!(!place.too_brief(&response("Min-Expires: 999999\r\n"), now));
    }
}
