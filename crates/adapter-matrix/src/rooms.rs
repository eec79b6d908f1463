//! Which room is whose: one for each user of the homeserver and each address elsewhere.

use adapter_api::Hub;
use adapter_api::model::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// A room of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    /// Its id.
    pub(crate) id: String,
    /// Who is elsewhere.
    pub(crate) ghost: Address,
    /// The user of the homeserver.
    pub(crate) user: Address,
    /// Whether the user is in it; else invited.
    pub(crate) joined: bool,
    /// Whether the one elsewhere watches the user.
    pub(crate) watched: Watched,
    /// Whether the user watches him: he opened the room.
    pub(crate) watches: bool,
}

/// What a watcher elsewhere may see of the user: by an invitation he asks, and coming is consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Watched {
    /// Nobody asked.
    No,
    /// The user has not come yet.
    Asked,
    /// His state.
    Allowed,
}

/// All rooms, as the records of this instance have them.
#[derive(Default)]
pub(crate) struct Rooms {
    by_id: BTreeMap<String, Room>,
    /// By ghost and user.
    by_pair: BTreeMap<Address, BTreeMap<Address, String>>,
}

/// Rooms that are remembered; who writes for the first time beyond that is refused.
pub(crate) const MAX_ROOMS: usize = 100_000;

/// What keys of records of rooms begin with.
const KEY: u8 = b'r';

impl Rooms {
    /// Reads what an earlier life has kept.
    pub(crate) fn load(records: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut rooms = Self::default();
        for (_, value) in records.iter().filter(|(key, _)| key.first() == Some(&KEY)) {
            if let Ok(room) = serde_json::from_slice::<Room>(value) {
                rooms.insert(room);
            }
        }
        rooms
    }

    pub(crate) fn is_full(&self) -> bool {
        self.by_id.len() >= MAX_ROOMS
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Room> {
        self.by_id.get(id)
    }

    /// The room of the two.
    pub(crate) fn of(&self, ghost: &Address, user: &Address) -> Option<&Room> {
        self.by_id.get(self.by_pair.get(ghost)?.get(user)?)
    }

    /// Those who have a room with a ghost.
    pub(crate) fn users_of(&self, ghost: &Address) -> impl Iterator<Item = &Room> {
        let rooms = self.by_pair.get(ghost).into_iter().flat_map(BTreeMap::values);
        rooms.filter_map(|id| self.by_id.get(id))
    }

    /// Puts a room, in place of another one of the same two; the receiver hears when that is durable.
    pub(crate) fn put(&mut self, hub: &Hub, room: Room) -> oneshot::Receiver<bool> {
        let (done, durable) = oneshot::channel();
        let value = serde_json::to_vec(&room).unwrap_or_default();
        // Not everybody waits for it.
        hub.keep(
            &key(&room.ghost, &room.user),
            Some(value),
            Box::new(|kept| {
                let _ = done.send(kept);
            }),
        );
        self.insert(room);
        durable
    }

    /// Changes a room.
    pub(crate) fn change(&mut self, hub: &Hub, id: &str, change: impl FnOnce(&mut Room)) {
        if let Some(mut room) = self.by_id.get(id).cloned() {
            change(&mut room);
            if self.by_id.get(id) != Some(&room) {
                drop(self.put(hub, room));
            }
        }
    }

    /// Forgets a room; gives it.
    pub(crate) fn remove(&mut self, hub: &Hub, id: &str) -> Option<Room> {
        let room = self.by_id.remove(id)?;
        if let Some(users) = self.by_pair.get_mut(&room.ghost) {
            users.remove(&room.user);
            if users.is_empty() {
                self.by_pair.remove(&room.ghost);
            }
        }
        hub.keep(&key(&room.ghost, &room.user), None, Box::new(|_| {}));
        Some(room)
    }

    fn insert(&mut self, room: Room) {
        let earlier = self.by_pair.entry(room.ghost.clone()).or_default().insert(room.user.clone(), room.id.clone());
        if let Some(earlier) = earlier.filter(|earlier| *earlier != room.id) {
            self.by_id.remove(&earlier);
        }
        self.by_id.insert(room.id.clone(), room);
    }
}

/// Keys hold no address in clear.
fn key(ghost: &Address, user: &Address) -> Vec<u8> {
    let mut hash = Sha256::new();
    for address in [ghost.to_string(), user.to_string()] {
        hash.update(address.len().to_be_bytes());
        hash.update(address);
    }
    let mut key = vec![KEY];
    key.extend(hash.finalize().iter().take(16));
    key
}
