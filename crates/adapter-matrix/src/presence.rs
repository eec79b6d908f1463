//! Whom ghosts are shown to. Matrix shows a user's presence to everybody who shares a room with him, so a ghost shows
//! only what all of those may see.

use crate::mapping::to_presence;
use crate::rooms::Rooms;
use adapter_api::model::{Address, News, NotifyOperation, PresenceInfo, Standing};
use std::collections::BTreeMap;

/// What a ghost shows: Matrix's word for it, and a note.
pub(crate) type Shown = (&'static str, String);

/// Nothing.
pub(crate) const ABSENT: Shown = ("offline", String::new());

/// What watchers here were told of people elsewhere.
#[derive(Default)]
pub(crate) struct Watches(BTreeMap<Address, Ghost>);

#[derive(Default)]
struct Ghost {
    /// What each watcher may see.
    watchers: BTreeMap<Address, Shown>,
    shown: Option<Shown>,
}

/// Ghosts that are shown as present; a homeserver takes each for gone that does not say so every 30 s.
const MAX_SHOWN: usize = 2000;

impl Watches {
    /// A watcher was told something.
    pub(crate) fn told(&mut self, notify: &NotifyOperation) {
        let watchers = &mut self.0.entry(notify.target.address.clone()).or_default().watchers;
        let watcher = &notify.watcher.address;
        match &notify.standing {
            Standing::Active { .. } => {
                let state = match &notify.news {
                    News::Whole(info) => Some(to_presence(info)),
                    News::Device(tuple) => {
                        Some(to_presence(&PresenceInfo { tuples: vec![(**tuple).clone()], ..PresenceInfo::default() }))
                    }
                    News::Nothing => None,
                };
                let known = watchers.get(watcher).cloned();
                watchers.insert(watcher.clone(), state.or(known).unwrap_or(ABSENT));
            }
            Standing::Pending { .. } | Standing::Ended { .. } => drop(watchers.remove(watcher)),
        }
    }

    /// A watcher is none any longer.
    pub(crate) fn ended(&mut self, ghost: &Address, watcher: &Address) {
        if let Some(ghost) = self.0.get_mut(ghost) {
            ghost.watchers.remove(watcher);
        }
    }

    /// What a ghost has to show from here on, if that is something else than before.
    pub(crate) fn next_shown(&mut self, ghost: &Address, rooms: &Rooms) -> Option<Shown> {
        let present = self.0.values().filter(|ghost| ghost.is_present()).count();
        let entry = self.0.get_mut(ghost)?;
        let mut shown = entry.common(ghost, rooms);
        if shown != ABSENT && !entry.is_present() && present >= MAX_SHOWN {
            shown = ABSENT;
        }
        let before = entry.shown.replace(shown.clone());
        if entry.watchers.is_empty() && shown == ABSENT {
            self.0.remove(ghost);
        }
        (before.unwrap_or(ABSENT) != shown).then_some(shown)
    }

    /// Those who are shown as present, to say so again.
    pub(crate) fn present(&self) -> Vec<(Address, Shown)> {
        let shown = self.0.iter().filter_map(|(address, ghost)| Some((address.clone(), ghost.shown.clone()?)));
        shown.filter(|(_, shown)| *shown != ABSENT).collect()
    }
}

impl Ghost {
    fn is_present(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| *shown != ABSENT)
    }

    /// What everybody who would see it may see.
    fn common(&self, ghost: &Address, rooms: &Rooms) -> Shown {
        let mut states = rooms.users_of(ghost).filter(|room| room.joined).map(|room| self.watchers.get(&room.user));
        match states.next() {
            Some(Some(first)) if states.all(|state| state == Some(first)) => first.clone(),
            Some(_) | None => ABSENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::{Room, Watched};
    use adapter_api::Hub;
    use adapter_api::model::{Basic, Endpoint, PresenceTuple};
    use adapter_api::testkit::{KitHub, Records};
    use std::sync::Arc;

    fn address(text: &str) -> Address {
        Address::parse_bare(text).unwrap()
    }

    fn notify(watcher: &str, standing: Standing) -> NotifyOperation {
        let state = PresenceInfo { tuples: vec![PresenceTuple::new(None, Basic::Open)], ..PresenceInfo::default() };
        NotifyOperation {
            target: Endpoint::bare(address("romeo@b.example")),
            watcher: Endpoint::bare(address(watcher)),
            subscript_id: None,
            trans_id: "n".into(),
            standing,
            news: News::Whole(Arc::new(state)),
        }
    }

    #[test]
    fn a_ghost_shows_only_what_all_who_share_a_room_with_it_may_see() {
        let domain = "m.example".parse().unwrap();
        let (core, _submitted) = KitHub::new(&"m".into(), &domain, Arc::new(Records::default()));
        let hub = Hub::new(core, "m".into());
        let (mut rooms, mut watches, romeo) = (Rooms::default(), Watches::default(), address("romeo@b.example"));
        let enter = |rooms: &mut Rooms, user: &str| {
            let (id, user) = (format!("!{user}"), address(user));
            drop(rooms.put(
                &hub,
                Room { id, ghost: address("romeo@b.example"), user, joined: true, watched: Watched::No, watches: true },
            ));
        };
        let active = || Standing::Active { expires: None };
        enter(&mut rooms, "juliet@m.example");
        watches.told(&notify("juliet@m.example", active()));
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(("online", String::new())));
        assert_eq!(watches.next_shown(&romeo, &rooms), None);
        assert_eq!(watches.present().len(), 1);
        // Somebody who may not see him.
        enter(&mut rooms, "paris@m.example");
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(ABSENT));
        watches.told(&notify("paris@m.example", active()));
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(("online", String::new())));
        watches.told(&notify("juliet@m.example", Standing::Pending { expires: None }));
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(ABSENT));
        assert_eq!(watches.present(), []);
    }
}
