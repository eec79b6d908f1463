//! Configured next hops: looked up once for all messages until the answer expires.

use super::Id;
use crate::core::Core;
use crate::core::hop::{FixedHop, Located};
use crate::core::route::Place;
use impp_model::{Cause, Failure, Side};
use impp_resolve::Limits;
use std::sync::Arc;
use std::time::Instant;

/// A configured next hop.
#[derive(Debug)]
pub(super) enum KnownHop {
    /// An address: nothing to look up.
    Direct(Arc<[Place]>),
    /// Being looked up for these.
    Asking(Vec<Id>),
    /// Looked up.
    Found { located: Located, until: Instant },
    /// Not usable as it is written.
    Bad,
}

/// The answer to a look-up.
#[derive(Debug)]
pub(crate) struct LocatedHop {
    text: Arc<str>,
    located: Located,
}

/// Configured hops remembered; there are as many as domains with a `next_hop`.
const MAX_HOPS: usize = 1024;

impl Core {
    pub(in crate::core) fn find_hop(&mut self, id: Id, text: &Arc<str>, now: Instant) {
        let hops = &mut self.outbounds.hops;
        if !hops.contains_key(text) {
            if hops.len() >= MAX_HOPS {
                hops.retain(|_, hop| matches!(hop, KnownHop::Asking(_)));
            }
            hops.insert(text.clone(), KnownHop::of(text));
        }
        match hops.get_mut(text) {
            Some(KnownHop::Direct(places)) => {
                let places = places.clone();
                self.try_places(id, places, now);
            }
            Some(KnownHop::Found { located, until }) if *until > now => {
                let result = located.result.clone();
                self.handle_found(id, result, now);
            }
            Some(KnownHop::Asking(waiting)) => {
                waiting.push(id);
                if waiting.len() == 1 {
                    self.ask(text);
                }
            }
            Some(hop @ KnownHop::Found { .. }) => {
                *hop = KnownHop::Asking(vec![id]);
                self.ask(text);
            }
            Some(KnownHop::Bad) | None => {
                let failure =
                    Failure::new(Side::Ours, Cause::NoRoute).with_text("next_hop is no SIP URI over a known transport");
                self.finish(id, failure.into());
            }
        }
    }

    /// Looks a configured hop up in a task of its own: once for all messages until the answer expires.
    fn ask(&self, text: &Arc<str>) {
        let (Some(hop), text, sender) = (FixedHop::parse(text), text.clone(), self.outbounds.located.clone()) else {
            return;
        };
        let dns = self.context.dns.clone();
        let limits = Limits { own_listeners: self.outbounds.own_listeners.clone(), ..Limits::default() };
        tokio::spawn(async move {
            let located = hop.locate(&*dns, &limits).await;
            // The core is gone when nobody listens.
            let _ = sender.send(LocatedHop { text, located }).await;
        });
    }

    /// Takes the answer to a look-up.
    pub(in crate::core) fn handle_located(&mut self, found: LocatedHop, now: Instant) {
        let LocatedHop { text, located } = found;
        let result = located.result.clone();
        let known = KnownHop::Found { until: now + located.ttl, located };
        if let Some(KnownHop::Asking(waiting)) = self.outbounds.hops.insert(text, known) {
            for id in waiting {
                self.handle_found(id, result.clone(), now);
            }
        }
    }

    fn handle_found(&mut self, id: Id, result: Result<Arc<[Place]>, Cause>, now: Instant) {
        match result {
            Ok(places) => self.try_places(id, places, now),
            Err(cause) => self.finish(id, Failure::new(Side::Far, cause).into()),
        }
    }
}

impl KnownHop {
    fn of(text: &str) -> Self {
        match FixedHop::parse(text) {
            Some(hop) => hop.place().map_or(Self::Asking(Vec::new()), |place| Self::Direct(Arc::new([place]))),
            None => Self::Bad,
        }
    }
}
