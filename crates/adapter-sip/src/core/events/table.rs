//! The dialogs of one role, found by their subscription's id and by Call-ID and tag. There may be hundreds of thousands, so each is
//! kept as one text.

use hashbrown::{DefaultHashBuilder, HashTable};
use impp_model::{Address, Endpoint};
use slab::Slab;
use std::hash::BuildHasher;

use super::EventId;
use super::dialog::{Dialog, Protections};

/// A [`Dialog`] in one piece; its numbers apart, for they change with each request.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    text: Box<str>,
    cseq: u32,
    reserved: u32,
    remote_cseq: u32,
    protected: Protections,
}

/// What goes with a dialog.
pub(super) trait InDialog {
    fn packed(&self) -> &Packed;
}

/// Dialogs and what goes with them.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Slab<(EventId, T)>,
    by_id: HashTable<u32>,
    by_dialog: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Between the parts of a packed dialog: none of them has control characters.
const SEPARATOR: char = '\n';

impl Packed {
    /// The dialog as it is; nothing of it is shared with the packed one.
    pub(super) fn open(&self) -> Option<Dialog> {
        let mut parts = self.text.split(SEPARATOR);
        let mut next = || parts.next().map(str::to_owned);
        let (call_id, own_tag, watcher, target, remote_tag, remote_target, event_id) =
            (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
        let end = |text: &str| Some(Endpoint::bare(Address::parse_bare(text).ok()?));
        Some(Dialog {
            watcher: end(&watcher)?,
            target: end(&target)?,
            call_id,
            own_tag,
            remote_tag,
            remote_target,
            event_id,
            routes: parts.map(str::to_owned).collect(),
            cseq: self.cseq,
            reserved: self.reserved,
            remote_cseq: self.remote_cseq,
            protected: self.protected,
        })
    }

    /// Takes a dialog that was opened and changed; mostly its numbers alone have.
    pub(super) fn close(&mut self, dialog: &Dialog) {
        let Dialog { call_id, own_tag, remote_tag, remote_target, event_id, routes, .. } = dialog;
        let mut parts = self.text.split(SEPARATOR);
        let mut same = |part: &str| parts.next() == Some(part);
        let named = same(call_id) && same(own_tag);
        // Nobody's address changes within a dialog.
        let ends = parts.by_ref().take(2).count() == 2;
        let rest = [remote_tag, remote_target, event_id].into_iter().chain(routes).map(String::as_str);
        if named && ends && parts.eq(rest) {
            (self.cseq, self.reserved, self.remote_cseq) = (dialog.cseq, dialog.reserved, dialog.remote_cseq);
        } else {
            *self = dialog.into();
        }
    }

    /// The address of the watcher, as text.
    pub(super) fn watcher(&self) -> &str {
        self.text.split(SEPARATOR).nth(2).unwrap_or_default()
    }

    fn is(&self, call_id: &str, own_tag: &str) -> bool {
        self.names() == (call_id, own_tag)
    }

    fn names(&self) -> (&str, &str) {
        let mut parts = self.text.splitn(3, SEPARATOR);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }
}

impl From<&Dialog> for Packed {
    fn from(dialog: &Dialog) -> Self {
        let ends = [dialog.watcher.address.to_string(), dialog.target.address.to_string()];
        let [watcher, target] = &ends;
        let Dialog { call_id, own_tag, remote_tag, remote_target, event_id, .. } = dialog;
        let parts = [call_id, own_tag, watcher, target, remote_tag, remote_target, event_id];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for (number, part) in parts.into_iter().chain(&dialog.routes).enumerate() {
            if number > 0 {
                text.push(SEPARATOR);
            }
            text.push_str(part);
        }
        let (cseq, reserved, remote_cseq) = (dialog.cseq, dialog.reserved, dialog.remote_cseq);
        Self { text: text.into(), cseq, reserved, remote_cseq, protected: dialog.protected }
    }
}

impl<T: InDialog> Table<T> {
    pub(super) fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { slots: Slab::new(), by_id: HashTable::new(), by_dialog: HashTable::new(), hasher }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.slot(id).is_some()
    }

    pub(super) fn get(&self, id: &EventId) -> Option<&T> {
        Some(&self.slots.get(self.slot(id)?)?.1)
    }

    pub(super) fn get_mut(&mut self, id: &EventId) -> Option<&mut T> {
        let slot = self.slot(id)?;
        Some(&mut self.slots.get_mut(slot)?.1)
    }

    /// The subscription that a dialog is of.
    pub(super) fn find(&self, call_id: &str, own_tag: &str) -> Option<EventId> {
        let same = |slot: &u32| self.at(*slot).is_some_and(|(_, value)| value.packed().is(call_id, own_tag));
        let slot = self.by_dialog.find(self.hasher.hash_one((call_id, own_tag)), same)?;
        self.at(*slot).map(|(id, _)| id.clone())
    }

    /// Takes what is new, in place of what has this id.
    pub(super) fn insert(&mut self, id: EventId, value: T) {
        self.remove(&id);
        let by_dialog = self.hasher.hash_one(value.packed().names());
        let by_id = self.hasher.hash_one(&id);
        // The limit on dialogs is far below.
        let slot = u32::try_from(self.slots.insert((id, value))).unwrap_or(u32::MAX);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let at = |slot: &u32| slots.get(*slot as usize);
        self.by_id.insert_unique(by_id, slot, |slot| at(slot).map_or(0, |(id, _)| hasher.hash_one(id)));
        let names = |slot: &u32| at(slot).map_or(0, |(_, value)| hasher.hash_one(value.packed().names()));
        self.by_dialog.insert_unique(by_dialog, slot, names);
    }

    pub(super) fn remove(&mut self, id: &EventId) -> Option<T> {
        let slot = self.slot(id)?;
        let (id, value) = self.slots.try_remove(slot)?;
        let (by_id, by_dialog) = (self.hasher.hash_one(&id), self.hasher.hash_one(value.packed().names()));
        let same = |other: &u32| *other as usize == slot;
        if let Ok(entry) = self.by_id.find_entry(by_id, same) {
            entry.remove();
        }
        if let Ok(entry) = self.by_dialog.find_entry(by_dialog, same) {
            entry.remove();
        }
        Some(value)
    }

    fn slot(&self, id: &EventId) -> Option<usize> {
        let same = |slot: &u32| self.at(*slot).is_some_and(|(other, _)| other == id);
        self.by_id.find(self.hasher.hash_one(id), same).map(|slot| *slot as usize)
    }

    fn at(&self, slot: u32) -> Option<&(EventId, T)> {
        self.slots.get(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl InDialog for Packed {
        fn packed(&self) -> &Packed {
            self
        }
    }

    fn dialog(number: u32) -> Dialog {
        let end = |address: String| Endpoint::bare(address.parse().unwrap());
        Dialog {
            watcher: end(format!("juliet{number}@example.com")),
            target: end("romeo@example.net".to_owned()),
            call_id: format!("call{number}"),
            own_tag: "own".into(),
            remote_tag: "far".into(),
            remote_target: "sip:romeo@192.0.2.1".into(),
            event_id: if number == 1 { "7".into() } else { String::new() },
            routes: if number == 0 { Vec::new() } else { vec!["<sip:a;lr>".into(), "<sip:b;lr>".into()] },
            cseq: number,
            reserved: 1000,
            remote_cseq: 7,
            protected: Protections::default(),
        }
    }

    // checks: REQ-2.2.2
    #[test]
    fn what_is_kept_for_each_dialog_is_small() {
        assert_eq!(std::mem::size_of::<Packed>(), 32);
        assert!(std::mem::size_of::<(EventId, super::super::Watching)>() <= 112);
        assert!(std::mem::size_of::<(EventId, super::super::Watched)>() <= 152);
        let octets = Packed::from(&Dialog { routes: Vec::new(), ..dialog(7) }).text.len();
        assert!(octets < 100, "{octets}");
    }

    #[test]
    fn a_dialog_comes_back_as_it_was_put_in() {
        for number in [0, 1] {
            let mut packed = Packed::from(&dialog(number));
            assert_eq!(packed.open(), Some(dialog(number)));
            assert_eq!(packed.watcher(), dialog(number).watcher.address.to_string());
            packed.close(&Dialog { remote_tag: String::new(), cseq: 9, ..dialog(number) });
            assert_eq!(packed.open().map(|dialog| (dialog.remote_tag, dialog.cseq)), Some((String::new(), 9)));
        }
    }

    #[test]
    fn dialogs_are_found_by_id_and_by_call_id_and_tag_until_they_are_removed() {
        let mut table = Table::new();
        for number in 0..100 {
            table.insert(format!("id{number}").into(), Packed::from(&dialog(number)));
        }
        // In place of another.
        table.insert("id7".into(), Packed::from(&dialog(200)));
        assert_eq!((table.len(), table.find("call7", "own"), table.find("call8", "other")), (100, None, None));
        assert_eq!(table.find("call200", "own"), Some("id7".into()));
        for number in 0..100 {
            assert!(table.contains(&format!("id{number}").into()));
            assert!(table.remove(&format!("id{number}").into()).is_some());
        }
        assert_eq!((table.len(), table.by_id.len(), table.by_dialog.len()), (0, 0, 0));
        assert_eq!(table.find("call200", "own"), None);
    }
}
