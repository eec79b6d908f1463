//! The dialogs of one role, found by their subscription's id and by Call-ID and tag. There may be hundreds of thousands, so each is
//! kept as one text with its subscription's id.

use hashbrown::{DefaultHashBuilder, HashTable};
use impp_model::{Address, Endpoint};
use slab::Slab;
use std::hash::BuildHasher;

use super::EventId;
use super::dialog::{Dialog, Kept, Protections, Role};

/// A [`Dialog`] and the id of its subscription in one piece; its numbers apart, for they change with each request.
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
    slots: Slab<T>,
    by_id: HashTable<u32>,
    by_dialog: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Between the parts of a packed dialog: none of them has control characters.
const SEPARATOR: char = '\n';

/// How a packed dialog begins as it is kept; what earlier releases have kept is JSON.
const FORMAT: u8 = 1;

/// Its flags.
const PRESENTITY: u8 = 1;
const SIGNATURE: u8 = 2;
const ENVELOPE: u8 = 4;

impl Packed {
    /// The dialog of a subscription, whose id has no control characters either: the hub makes it, or this adapter.
    pub(super) fn new(id: &EventId, dialog: &Dialog) -> Self {
        let ends = [dialog.watcher.address.to_string(), dialog.target.address.to_string()];
        let [watcher, target] = &ends;
        let Dialog { call_id, own_tag, remote_tag, remote_target, event_id, .. } = dialog;
        let parts = [id.as_str(), call_id, own_tag, watcher, target, remote_tag, remote_target, event_id];
        let routes = || dialog.routes.iter().map(String::as_str);
        let mut text = String::with_capacity(parts.into_iter().chain(routes()).map(|part| part.len() + 1).sum());
        for (number, part) in parts.into_iter().chain(routes()).enumerate() {
            if number > 0 {
                text.push(SEPARATOR);
            }
            text.push_str(part);
        }
        let (cseq, reserved, remote_cseq) = (dialog.cseq, dialog.reserved, dialog.remote_cseq);
        Self { text: text.into(), cseq, reserved, remote_cseq, protected: dialog.protected }
    }

    /// As it is kept: format, flags, numbers, and the text without the id, which is its key.
    pub(super) fn encode(&self, role: Role) -> Vec<u8> {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let Protections { signature, envelope } = self.protected;
        let flags = flag(role == Role::Presentity, PRESENTITY) | flag(signature, SIGNATURE) | flag(envelope, ENVELOPE);
        let text = self.text.split_once(SEPARATOR).map_or("", |(_, text)| text);
        let [reserved, remote_cseq] = [self.reserved, self.remote_cseq].map(u32::to_be_bytes);
        [&[FORMAT, flags][..], &reserved, &remote_cseq, text.as_bytes()].concat()
    }

    /// As it was kept under the id, going on after the end of its block.
    pub(super) fn decode(id: &EventId, octets: &[u8]) -> Option<(Role, Self)> {
        let Some(([FORMAT, flags], rest)) = octets.split_first_chunk() else {
            let Kept { role, mut dialog } = serde_json::from_slice(octets).ok()?;
            dialog.cseq = dialog.reserved;
            return Some((role, Self::new(id, &dialog)));
        };
        let (reserved, rest) = rest.split_first_chunk()?;
        let (remote_cseq, text) = rest.split_first_chunk()?;
        let [reserved, remote_cseq] = [reserved, remote_cseq].map(|number| u32::from_be_bytes(*number));
        let protected = Protections { signature: flags & SIGNATURE != 0, envelope: flags & ENVELOPE != 0 };
        let text = [id.as_str(), std::str::from_utf8(text).ok()?].join("\n").into();
        let role = if flags & PRESENTITY == 0 { Role::Watcher } else { Role::Presentity };
        Some((role, Self { text, cseq: reserved, reserved, remote_cseq, protected }))
    }

    /// The dialog as it is; nothing of it is shared with the packed one.
    pub(super) fn open(&self) -> Option<Dialog> {
        let mut parts = self.text.split(SEPARATOR).skip(1);
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

    /// Takes a dialog that was opened and changed; whether more than its numbers has.
    pub(super) fn close(&mut self, dialog: &Dialog) -> bool {
        let Dialog { call_id, own_tag, remote_tag, remote_target, event_id, routes, .. } = dialog;
        let mut parts = self.text.split(SEPARATOR).skip(1);
        let mut same = |part: &str| parts.next() == Some(part);
        let named = same(call_id) && same(own_tag);
        // Nobody's address changes within a dialog.
        let ends = parts.by_ref().take(2).count() == 2;
        let rest = [remote_tag, remote_target, event_id].into_iter().chain(routes).map(String::as_str);
        let is_same = named && ends && parts.eq(rest) && self.protected == dialog.protected;
        if is_same {
            (self.cseq, self.reserved, self.remote_cseq) = (dialog.cseq, dialog.reserved, dialog.remote_cseq);
        } else {
            *self = Self::new(&self.id().into(), dialog);
        }
        !is_same
    }

    /// The address of the watcher, as text.
    pub(super) fn watcher(&self) -> &str {
        self.part(3)
    }

    /// The other side's tag; empty until there is a dialog.
    pub(super) fn remote_tag(&self) -> &str {
        self.part(5)
    }

    /// The number of the last request of the other side.
    pub(super) fn remote_cseq(&self) -> u32 {
        self.remote_cseq
    }

    /// The subscription's.
    pub(super) fn id(&self) -> &str {
        self.part(0)
    }

    fn part(&self, number: usize) -> &str {
        self.text.split(SEPARATOR).nth(number).unwrap_or_default()
    }

    fn is(&self, call_id: &str, own_tag: &str) -> bool {
        self.names() == (call_id, own_tag)
    }

    fn names(&self) -> (&str, &str) {
        let mut parts = self.text.split(SEPARATOR).skip(1);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
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
        self.slots.get(self.slot(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &EventId) -> Option<&mut T> {
        let slot = self.slot(id)?;
        self.slots.get_mut(slot)
    }

    /// The subscription that a dialog is of.
    pub(super) fn find(&self, call_id: &str, own_tag: &str) -> Option<EventId> {
        let same = |slot: &u32| self.at(*slot).is_some_and(|packed| packed.is(call_id, own_tag));
        let slot = self.by_dialog.find(self.hasher.hash_one((call_id, own_tag)), same)?;
        self.at(*slot).map(|packed| packed.id().into())
    }

    /// Takes what is new, in place of what has the same id.
    pub(super) fn insert(&mut self, value: T) {
        self.remove(&value.packed().id().into());
        let by_dialog = self.hasher.hash_one(value.packed().names());
        let by_id = self.hasher.hash_one(value.packed().id());
        // The limit on dialogs is far below.
        let slot = u32::try_from(self.slots.insert(value)).unwrap_or(u32::MAX);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let at = |slot: &u32| slots.get(*slot as usize).map(T::packed);
        self.by_id.insert_unique(by_id, slot, |slot| at(slot).map_or(0, |packed| hasher.hash_one(packed.id())));
        let names = |slot: &u32| at(slot).map_or(0, |packed| hasher.hash_one(packed.names()));
        self.by_dialog.insert_unique(by_dialog, slot, names);
    }

    pub(super) fn remove(&mut self, id: &EventId) -> Option<T> {
        let slot = self.slot(id)?;
        let value = self.slots.try_remove(slot)?;
        let packed = value.packed();
        let (by_id, by_dialog) = (self.hasher.hash_one(packed.id()), self.hasher.hash_one(packed.names()));
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
        let same = |slot: &u32| self.at(*slot).is_some_and(|packed| packed.id() == id.as_str());
        self.by_id.find(self.hasher.hash_one(id.as_str()), same).map(|slot| *slot as usize)
    }

    fn at(&self, slot: u32) -> Option<&Packed> {
        self.slots.get(slot as usize).map(T::packed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Crowd, Watched, Watching};
    use super::*;
    use adapter_api::testkit::memory;

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

    #[global_allocator]
    static ALLOCATOR: memory::Counting = memory::Counting;

    /// As many as fill what the vectors reserve: what they reserve beyond is address space and nothing else.
    const MANY: isize = 65_536;

    /// Octets of a dialog: with those of its pair (`interwork`) at most 600.
    const MOST: isize = 265;

    /// A dialog with names as long as those of usual clients, and no route.
    fn usual(number: isize) -> Dialog {
        let end = |address: String| Endpoint::bare(address.parse().unwrap());
        Dialog {
            watcher: end(format!("juliet{number}@xmpp.example")),
            target: end(format!("romeo{number}@sip.example")),
            call_id: format!("{number:032x}"),
            own_tag: format!("{number:016x}"),
            remote_tag: format!("{number:08x}"),
            remote_target: format!("sip:romeo{number}@192.0.2.1:5060"),
            routes: Vec::new(),
            ..dialog(7)
        }
    }

    fn octets_each<T: InDialog>(make: impl Fn(Packed) -> T) -> isize {
        let (table, octets) = memory::held(|| {
            let mut table = Table::new();
            for number in 0..MANY {
                table.insert(make(Packed::new(&format!("{number:022x}").into(), &usual(number))));
            }
            table
        });
        drop(table);
        octets / MANY
    }

    // checks: REQ-2.2.2
    #[test]
    fn what_is_kept_for_each_dialog_is_small() {
        let mut crowd = Crowd::new(9);
        let watchers = (0..MANY).map(|number| usual(number).watcher.address.to_string()).collect::<Vec<_>>();
        let ((), counted) = memory::held(|| watchers.iter().for_each(|watcher| crowd.enter(watcher)));
        let watching = octets_each(|dialog| Watching { dialog, busy: None }) + counted / MANY;
        let hop = std::sync::Arc::new(adapter_api::Hop::Link);
        let watched = octets_each(|dialog| Watched { dialog, hop: hop.clone(), busy: None });
        println!("octets for each watcher {watching}, for each presentity {watched}");
        assert!(watching <= MOST && watched <= MOST, "{watching} {watched}");
    }

    #[test]
    fn a_dialog_comes_back_as_it_was_put_in() {
        for number in [0, 1] {
            let mut packed = Packed::new(&"an-id".into(), &dialog(number));
            assert_eq!(packed.open(), Some(dialog(number)));
            assert_eq!(packed.watcher(), dialog(number).watcher.address.to_string());
            assert_eq!((packed.remote_tag(), packed.remote_cseq()), ("far", 7));
            let counted = Dialog { cseq: 8, remote_cseq: 9, ..dialog(number) };
            assert_eq!((packed.close(&counted), packed.open()), (false, Some(counted)));
            let protected = Protections { signature: true, envelope: false };
            let accepting = Dialog { protected, ..dialog(number) };
            assert_eq!((packed.close(&accepting), packed.open()), (true, Some(accepting)));
            assert!(packed.close(&Dialog { remote_tag: String::new(), cseq: 9, ..dialog(number) }));
            assert_eq!((packed.id(), packed.remote_tag()), ("an-id", ""));
            assert_eq!(packed.open().map(|dialog| (dialog.remote_tag, dialog.cseq)), Some((String::new(), 9)));
        }
    }

    #[test]
    fn a_dialog_is_kept_with_its_role_and_goes_on_behind_its_block() {
        for (number, role) in [(0, Role::Watcher), (1, Role::Presentity)] {
            let before =
                Dialog { protected: Protections { signature: number == 1, envelope: number == 0 }, ..dialog(number) };
            let id = EventId::from("an-id");
            let (found, packed) = Packed::decode(&id, &Packed::new(&id, &before).encode(role)).unwrap();
            assert_eq!((found, packed.id()), (role, "an-id"));
            assert_eq!(packed.open(), Some(Dialog { cseq: 1000, ..before }));
        }
        let old = r#"{"role":"Presentity","dialog":{"watcher":{"address":"w@a.example","device":null},"target":{"address":"t@b.example","device":null},
            "call_id":"c","own_tag":"o","remote_tag":"r","remote_target":"sip:t@192.0.2.1","routes":["<sip:a;lr>"],"cseq":3,"reserved":1003,"remote_cseq":0}}"#;
        let (role, packed) = Packed::decode(&"i".into(), old.as_bytes()).unwrap();
        assert_eq!((role, packed.remote_tag(), packed.open().unwrap().cseq), (Role::Presentity, "r", 1003));
        for damaged in
            [&b""[..], &[FORMAT], &[FORMAT, 0, 0, 0, 0, 1, 0, 0, 0], &[FORMAT, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0xff]]
        {
            assert!(Packed::decode(&"i".into(), damaged).is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn dialogs_are_found_by_id_and_by_call_id_and_tag_until_they_are_removed() {
        let mut table = Table::new();
        for number in 0..100 {
            table.insert(Packed::new(&format!("id{number}").into(), &dialog(number)));
        }
        // In place of another.
        table.insert(Packed::new(&"id7".into(), &dialog(200)));
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
