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
    /// The homeserver has not yet taken what is shown.
    untold: bool,
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
        let changed = before.unwrap_or(ABSENT) != shown;
        entry.untold |= changed;
        if !changed {
            self.forget(ghost);
        }
        changed.then_some(shown)
    }

    /// Whether the homeserver took what a ghost has to show.
    pub(crate) fn taken(&mut self, ghost: &Address, shown: &Shown, taken: bool) {
        // Else something newer is on its way.
        if let Some(entry) = self.0.get_mut(ghost).filter(|entry| entry.shown.as_ref() == Some(shown)) {
            entry.untold = !taken;
            self.forget(ghost);
        }
    }

    /// Those whose state the homeserver has not taken; `again` also those who are shown as present.
    pub(crate) fn to_tell(&self, again: bool) -> Vec<(Address, Shown)> {
        let ghosts = self.0.iter().filter(|(_, ghost)| ghost.untold || again && ghost.is_present());
        ghosts.filter_map(|(address, ghost)| Some((address.clone(), ghost.shown.clone()?))).collect()
    }

    /// Forgets a ghost of whom there is nothing left to tell.
    fn forget(&mut self, ghost: &Address) {
        let idle = |entry: &Ghost| entry.watchers.is_empty() && !entry.untold && !entry.is_present();
        if self.0.get(ghost).is_some_and(idle) {
            self.0.remove(ghost);
        }
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
        watches.taken(&romeo, &("online", String::new()), true);
        assert_eq!((watches.to_tell(true).len(), watches.to_tell(false).len()), (1, 0));
        // Somebody who may not see him.
        enter(&mut rooms, "paris@m.example");
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(ABSENT));
        watches.told(&notify("paris@m.example", active()));
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(("online", String::new())));
        watches.told(&notify("juliet@m.example", Standing::Pending { expires: None }));
        assert_eq!(watches.next_shown(&romeo, &rooms), Some(ABSENT));
        // What the homeserver has not taken is known until it does, also of those who have no watchers.
        watches.taken(&romeo, &("online", String::new()), true);
        assert_eq!(watches.to_tell(false), [(romeo.clone(), ABSENT)], "something newer is shown");
        watches.taken(&romeo, &ABSENT, false);
        watches.ended(&romeo, &address("juliet@m.example"));
        watches.ended(&romeo, &address("paris@m.example"));
        assert_eq!(watches.next_shown(&romeo, &rooms), None);
        assert_eq!(watches.to_tell(false), [(romeo.clone(), ABSENT)]);
        watches.taken(&romeo, &ABSENT, true);
        assert!(watches.0.is_empty());
    }
}
