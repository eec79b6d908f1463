//! The order within a (source, destination) pair while some of it is under way and some goes to the ledger (DESIGN A5).

use crate::sync::{Mutex, MutexGuard};
use adapter_api::TraceId;
use std::collections::{HashMap, VecDeque};
use store::{Pair, Shard};

/// The operations of each pair that are under way or about to be spooled, oldest first.
#[derive(Debug)]
pub(crate) struct Order<T> {
    shards: Vec<Mutex<Lanes<T>>>,
}

type Lanes<T> = HashMap<Pair, Lane<T>>;

#[derive(Debug)]
struct Lane<T> {
    places: VecDeque<Place<T>>,
    parked: usize,
}

#[derive(Debug)]
enum Place<T> {
    /// Handed to an adapter.
    UnderWay {
        trace: TraceId,
        /// Whether the journal has no room for it.
        is_unwritten: bool,
    },
    /// For the ledger, as soon as nothing is before it; boxed, for most places never hold one.
    Parked(Box<T>),
}

/// Where an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To its adapter.
    Now,
    /// Behind others that wait.
    Behind,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { shards: Shard::all().map(|_| Mutex::default()).collect() }
    }
}

impl<T> Order<T> {
    /// Takes a place for an operation that is about to be handed on, unless others of its pair wait.
    pub(crate) fn enter(&self, pair: Pair, trace: TraceId, spooled: impl FnOnce() -> bool) -> Turn {
        let Some(mut lanes) = self.lanes(pair) else { return Turn::Now };
        if spooled() || lanes.get(&pair).is_some_and(|lane| lane.parked > 0) {
            return Turn::Behind;
        }
        lanes.entry(pair).or_default().places.push_back(Place::UnderWay { trace, is_unwritten: false });
        Turn::Now
    }

    /// Parks an operation in its place if it has one, else at the end; `spool` gets those that nothing is before any more.
    ///
    /// Under the pair's lock, so that they reach the ledger in their order.
    pub(crate) fn park(&self, pair: Pair, trace: TraceId, parked: T, spool: impl FnMut(T)) {
        let Some(mut lanes) = self.lanes(pair) else { return };
        let lane = lanes.entry(pair).or_default();
        match lane.places.iter_mut().find(|place| place.is(trace)) {
            Some(place) => *place = Place::Parked(Box::new(parked)),
            None => lane.places.push_back(Place::Parked(Box::new(parked))),
        }
        lane.parked += 1;
        release(&mut lanes, pair, spool);
    }

    /// An operation has ended.
    pub(crate) fn leave(&self, pair: Pair, trace: TraceId, spool: impl FnMut(T)) {
        let Some(mut lanes) = self.lanes(pair) else { return };
        let Some(lane) = lanes.get_mut(&pair) else { return };
        if let Some(place) = lane.places.iter().position(|place| place.is(trace)) {
            lane.places.remove(place);
        }
        release(&mut lanes, pair, spool);
    }

    /// Whether an operation that is under way may be journalled: not when one before it is not, for in the ledger it would then
    /// stand before that.
    pub(crate) fn may_write(&self, pair: Pair, trace: TraceId) -> bool {
        let Some(lanes) = self.lanes(pair) else { return true };
        let Some(lane) = lanes.get(&pair) else { return true };
        let before = lane.places.iter().take_while(|place| !place.is(trace));
        !before.into_iter().any(|place| matches!(place, Place::UnderWay { is_unwritten: true, .. }))
    }

    /// An operation that is under way is not journalled.
    pub(crate) fn unwritten(&self, pair: Pair, trace: TraceId) {
        let Some(mut lanes) = self.lanes(pair) else { return };
        let places = lanes.get_mut(&pair).into_iter().flat_map(|lane| &mut lane.places);
        for place in places {
            if let Place::UnderWay { trace: under_way, is_unwritten } = place
                && *under_way == trace
            {
                *is_unwritten = true;
            }
        }
    }

    /// How many of a pair are parked.
    pub(crate) fn parked(&self, pair: Pair) -> usize {
        let Some(lanes) = self.lanes(pair) else { return 0 };
        lanes.get(&pair).map_or(0, |lane| lane.parked)
    }

    fn lanes(&self, pair: Pair) -> Option<MutexGuard<'_, Lanes<T>>> {
        Some(self.shards.get(usize::from(pair.shard().number()))?.lock())
    }
}

impl<T> Place<T> {
    fn is(&self, trace: TraceId) -> bool {
        matches!(self, Self::UnderWay { trace: under_way, .. } if *under_way == trace)
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), parked: 0 }
    }
}

fn release<T>(lanes: &mut Lanes<T>, pair: Pair, mut spool: impl FnMut(T)) {
    let Some(lane) = lanes.get_mut(&pair) else { return };
    while let Some(Place::Parked(_)) = lane.places.front() {
        lane.parked -= 1;
        if let Some(Place::Parked(parked)) = lane.places.pop_front() {
            spool(*parked);
        }
    }
    if lane.places.is_empty() {
        lanes.remove(&pair);
    }
}
