//! One user's event log and its devices' places in it: a bounded machine without I/O, clock or lock.

use crate::wire::EventId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The events of one user, in one total order, and how far each device has acknowledged them.
///
/// `P` is what waits for an event's acknowledgement; it is handed back exactly once, by [`acknowledge`](Self::acknowledge)
/// or [`give_up`](Self::give_up). Events that somebody waits for are never evicted.
#[derive(Debug)]
pub(crate) struct Mailbox<P> {
    bounds: Bounds,
    last: EventId,
    /// The highest event that was handed to any device.
    sent: EventId,
    /// Everything up to here was acknowledged by some device, or is gone.
    settled: EventId,
    octets: usize,
    events: BTreeMap<EventId, Entry<P>>,
    devices: BTreeMap<Arc<str>, Device>,
}

/// What a mailbox may hold.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) events: usize,
    pub(crate) octets: usize,
    pub(crate) devices: usize,
    pub(crate) device_expiry: Duration,
}

/// One event as devices receive it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    /// `message`, `disposition`, `composing`, `presence` or `subscription`.
    pub(crate) kind: &'static str,
    /// The data: JSON on one line.
    pub(crate) data: Box<str>,
}

#[derive(Debug)]
struct Entry<P> {
    event: Arc<Event>,
    sent: bool,
    waiting: Option<P>,
}

#[derive(Debug)]
struct Device {
    /// Acknowledged up to here.
    cursor: EventId,
    streams: usize,
    last_used: Instant,
}

/// Why a device can't take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error("the user has {limit} devices already; one that is not used loses its place in {} s", free_in.as_secs())]
    TooManyDevices { limit: usize, free_in: Duration },
    #[error("the user has {limit} open streams already")]
    TooManyStreams { limit: usize },
    #[error("no device of this user has been sent an event of this id")]
    NotSent,
}

/// How far an event got that nobody acknowledged in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A device was sent it, and may have shown it.
    Sent,
    /// A device was connected, but the event had not been written to it: it is withdrawn.
    Unsent,
    /// No device was connected: it is withdrawn.
    NoDevice,
}

/// Two for each device: one that serves, and one left over from before a change of network.
const MAX_STREAMS: usize = 2 * crate::config::MAX_DEVICES;

impl<P> Mailbox<P> {
    /// An empty log whose ids follow `start`.
    pub(crate) fn new(bounds: Bounds, start: EventId) -> Self {
        Self {
            bounds,
            last: start,
            sent: start,
            settled: start,
            octets: 0,
            events: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.devices.values().map(|device| device.streams).sum()
    }

    /// Appends an event for which `waiting` wants to know; gives it back when the log has no room.
    pub(crate) fn append(&mut self, kind: &'static str, data: Box<str>, waiting: P) -> Result<EventId, P> {
        if !self.make_room(data.len()) {
            return Err(waiting);
        }
        Ok(self.push(kind, data, Some(waiting)))
    }

    /// Appends an event that nobody waits for; `None` when the log has no room.
    pub(crate) fn append_news(&mut self, kind: &'static str, data: Box<str>) -> Option<EventId> {
        self.make_room(data.len()).then(|| self.push(kind, data, None))
    }

    fn push(&mut self, kind: &'static str, data: Box<str>, waiting: Option<P>) -> EventId {
        let id = EventId(self.last.0 + 1);
        self.last = id;
        self.octets += data.len();
        let event = Arc::new(Event { id, kind, data });
        self.events.insert(id, Entry { event, sent: false, waiting });
        id
    }

    /// Evicts the oldest events that nobody waits for until another of `octets` fits.
    fn make_room(&mut self, octets: usize) -> bool {
        while self.events.len() >= self.bounds.events || self.octets + octets > self.bounds.octets {
            let Some(id) = self.events.iter().find(|(_, entry)| entry.waiting.is_none()).map(|(id, _)| *id) else {
                return false;
            };
            self.remove(id);
        }
        true
    }

    fn remove(&mut self, id: EventId) -> Option<Entry<P>> {
        let entry = self.events.remove(&id)?;
        self.octets -= entry.event.data.len();
        Some(entry)
    }

    /// Opens a stream for `device` and tells after which event it begins.
    ///
    /// That is `after`, if the client names an event it has seen, else what the device has acknowledged; a new device
    /// begins with what no device has acknowledged. Each stream is ended by [`close`](Self::close).
    pub(crate) fn open(
        &mut self,
        device: &Arc<str>,
        after: Option<EventId>,
        now: Instant,
    ) -> Result<EventId, DeviceError> {
        if self.streams() >= MAX_STREAMS {
            return Err(DeviceError::TooManyStreams { limit: MAX_STREAMS });
        }
        let sent = self.sent;
        let device = self.device(device, now)?;
        device.streams += 1;
        Ok(after.filter(|after| *after <= sent).unwrap_or(device.cursor))
    }

    /// Ends one stream of `device`.
    pub(crate) fn close(&mut self, device: &str, now: Instant) {
        if let Some(device) = self.devices.get_mut(device) {
            device.streams = device.streams.saturating_sub(1);
            device.last_used = now;
        }
    }

    /// The device of that name, made when it is new and there is room.
    fn device(&mut self, name: &Arc<str>, now: Instant) -> Result<&mut Device, DeviceError> {
        if !self.devices.contains_key(name) {
            if self.devices.len() >= self.bounds.devices {
                let expiry = self.bounds.device_expiry;
                self.devices.retain(|_, device| device.streams > 0 || now.duration_since(device.last_used) < expiry);
            }
            if self.devices.len() >= self.bounds.devices {
                let idle = |device: &Device| now.duration_since(device.last_used);
                let idlest = self.devices.values().filter(|device| device.streams == 0).map(idle).max();
                // Where each is connected, the first place can be free so long after it goes.
                let free_in = self.bounds.device_expiry.saturating_sub(idlest.unwrap_or_default());
                return Err(DeviceError::TooManyDevices { limit: self.bounds.devices, free_in });
            }
        }
        let cursor = self.settled;
        let device = self.devices.entry(Arc::clone(name)).or_insert(Device { cursor, streams: 0, last_used: now });
        device.last_used = now;
        Ok(device)
    }

    /// The next event after `position`, which counts as sent to a device from then on.
    pub(crate) fn next(&mut self, position: EventId) -> Option<Arc<Event>> {
        let (_, entry) = self.events.range_mut(EventId(position.0.saturating_add(1))..).next()?;
        entry.sent = true;
        self.sent = self.sent.max(entry.event.id);
        Some(Arc::clone(&entry.event))
    }

    /// Takes `device`'s word that it has processed everything up to `id`; returns its place, and who waited for that.
    pub(crate) fn acknowledge(
        &mut self,
        device: &Arc<str>,
        id: EventId,
        now: Instant,
    ) -> Result<(EventId, Vec<(EventId, P)>), DeviceError> {
        if id > self.sent {
            return Err(DeviceError::NotSent);
        }
        let device = self.device(device, now)?;
        device.cursor = device.cursor.max(id);
        let cursor = device.cursor;
        self.settled = self.settled.max(id);
        let waiting = self
            .events
            .range_mut(..=id)
            .filter(|(_, entry)| entry.sent)
            .filter_map(|(id, entry)| entry.waiting.take().map(|waiting| (*id, waiting)))
            .collect();
        self.drop_finished();
        Ok((cursor, waiting))
    }

    /// Forgets what every device has acknowledged.
    fn drop_finished(&mut self) {
        let Some(all) = self.devices.values().map(|device| device.cursor).min() else { return };
        let finished: BTreeSet<_> =
            self.events.range(..=all).filter(|(_, e)| e.waiting.is_none()).map(|(id, _)| *id).collect();
        for id in finished {
            self.remove(id);
        }
    }

    /// Stops waiting for event `id`; `None` when nobody waits for it. What no device was sent is withdrawn.
    pub(crate) fn give_up(&mut self, id: EventId) -> Option<(P, Fate)> {
        let entry = self.events.get_mut(&id)?;
        let waiting = entry.waiting.take()?;
        if entry.sent {
            return Some((waiting, Fate::Sent));
        }
        self.remove(id);
        let fate = if self.streams() > 0 { Fate::Unsent } else { Fate::NoDevice };
        Some((waiting, fate))
    }

    /// The events that somebody waits for.
    pub(crate) fn waiting(&self) -> Vec<EventId> {
        self.events.iter().filter(|(_, entry)| entry.waiting.is_some()).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { events: 3, octets: 100, devices: 2, device_expiry: Duration::from_secs(60) };

    struct Fixture {
        mailbox: Mailbox<u32>,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self { mailbox: Mailbox::new(BOUNDS, EventId(100)), now: Instant::now() }
        }

        fn append(&mut self, waiting: u32) -> EventId {
            self.mailbox.append("message", "{}".into(), waiting).unwrap()
        }

        fn open(&mut self, device: &str, after: Option<u64>) -> Result<EventId, DeviceError> {
            self.mailbox.open(&device.into(), after.map(EventId), self.now)
        }

        fn ack(&mut self, device: &str, id: u64) -> Result<Vec<u32>, DeviceError> {
            let (_, waiting) = self.mailbox.acknowledge(&device.into(), EventId(id), self.now)?;
            Ok(waiting.into_iter().map(|(_, waiting)| waiting).collect())
        }

        fn read_all(&mut self, mut position: EventId) -> Vec<u64> {
            let mut ids = Vec::new();
            while let Some(event) = self.mailbox.next(position) {
                position = event.id;
                ids.push(event.id.0);
            }
            ids
        }
    }

    #[test]
    fn events_are_ordered_and_any_device_acknowledges_all_up_to_an_id() {
        let mut f = Fixture::new();
        f.append(1);
        f.append(2);
        f.append(3);
        let phone = f.open("phone", None).unwrap();
        assert_eq!(f.read_all(phone), [101, 102, 103]);
        assert_eq!(f.ack("tablet", 102), Ok(vec![1, 2]));
        assert_eq!(f.ack("phone", 103), Ok(vec![3]));
        assert_eq!(f.ack("phone", 103), Ok(vec![]));
    }

    #[test]
    fn each_device_has_its_own_place() {
        let mut f = Fixture::new();
        f.append(1);
        f.append(2);
        let (phone, tablet) = (f.open("phone", None).unwrap(), f.open("tablet", None).unwrap());
        f.read_all(phone);
        f.ack("phone", 101).unwrap();
        assert_eq!(f.read_all(tablet), [101, 102]);
        let phone = f.open("phone", None).unwrap();
        assert_eq!(f.read_all(phone), [102]);
        let resumed = f.open("tablet", Some(101)).unwrap();
        assert_eq!(f.read_all(resumed), [102]);
        let unknown = f.open("tablet", Some(u64::MAX)).unwrap();
        assert_eq!(f.read_all(unknown), [101, 102]);
    }

    #[test]
    fn a_new_device_begins_with_what_nobody_acknowledged() {
        let mut f = Fixture::new();
        f.append(1);
        let phone = f.open("phone", None).unwrap();
        f.read_all(phone);
        f.ack("phone", 101).unwrap();
        f.append(2);
        let tablet = f.open("tablet", None).unwrap();
        assert_eq!(f.read_all(tablet), [102]);
    }

    #[test]
    fn what_was_not_sent_can_not_be_acknowledged() {
        let mut f = Fixture::new();
        f.append(1);
        assert_eq!(f.ack("phone", 101), Err(DeviceError::NotSent));
        assert_eq!(f.ack("phone", u64::MAX), Err(DeviceError::NotSent));
        assert_eq!(f.mailbox.waiting(), [EventId(101)]);
    }

    #[test]
    fn what_no_device_was_sent_is_withdrawn_at_the_deadline() {
        let mut f = Fixture::new();
        let first = f.append(1);
        assert_eq!(f.mailbox.give_up(first), Some((1, Fate::NoDevice)));
        assert_eq!(f.mailbox.give_up(first), None);
        let position = f.open("phone", None).unwrap();
        let second = f.append(2);
        assert_eq!(f.mailbox.give_up(second), Some((2, Fate::Unsent)));
        assert_eq!(f.read_all(position), [0; 0]);
        let third = f.append(3);
        assert_eq!(f.read_all(position), [third.0]);
        assert_eq!(f.mailbox.give_up(third), Some((3, Fate::Sent)));
        assert_eq!(f.ack("phone", third.0), Ok(vec![]), "told as failed: the late word changes nothing");
    }

    #[test]
    fn a_full_log_evicts_what_nobody_waits_for_and_else_refuses() {
        let mut f = Fixture::new();
        f.open("tablet", None).unwrap();
        let phone = f.open("phone", None).unwrap();
        f.append(1);
        f.append(2);
        f.append(3);
        assert_eq!(f.mailbox.append("message", "{}".into(), 4), Err(4));
        f.read_all(phone);
        f.ack("phone", 101).unwrap();
        assert_eq!(f.append(4), EventId(104));
        assert_eq!(f.mailbox.waiting().len(), 3);
    }

    #[test]
    fn octets_are_bounded_too() {
        let mut f = Fixture::new();
        assert_eq!(f.mailbox.append("message", "x".repeat(101).into(), 1), Err(1));
        f.mailbox.append("message", "x".repeat(60).into(), 1).unwrap();
        assert_eq!(f.mailbox.append("message", "x".repeat(60).into(), 2), Err(2));
    }

    #[test]
    fn what_every_device_acknowledged_is_forgotten() {
        let mut f = Fixture::new();
        for waiting in 0..100 {
            let id = f.append(waiting);
            let position = f.open("phone", None).unwrap();
            f.read_all(position);
            assert_eq!(f.ack("phone", id.0), Ok(vec![waiting]));
            f.mailbox.close("phone", f.now);
            assert!(f.mailbox.events.is_empty() && f.mailbox.octets == 0);
        }
    }

    #[test]
    fn devices_and_streams_are_bounded_and_disused_devices_make_room() {
        let mut f = Fixture::new();
        f.open("phone", None).unwrap();
        f.open("tablet", None).unwrap();
        f.mailbox.close("tablet", f.now);
        f.now += Duration::from_secs(20);
        let free_in = Duration::from_secs(40);
        assert_eq!(f.open("watch", None), Err(DeviceError::TooManyDevices { limit: 2, free_in }));
        f.now += BOUNDS.device_expiry;
        assert!(f.open("watch", None).is_ok(), "the tablet's time is over");
        f.now += BOUNDS.device_expiry;
        let both = f.open("tablet", None);
        assert!(matches!(both, Err(DeviceError::TooManyDevices { limit: 2, .. })), "both hold streams: {both:?}");
        for _ in 2..MAX_STREAMS {
            f.open("phone", None).unwrap();
        }
        assert_eq!(f.open("phone", None), Err(DeviceError::TooManyStreams { limit: MAX_STREAMS }));
    }
}
