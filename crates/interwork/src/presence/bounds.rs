//! How much of one PRESENTITY's state is kept: it is held for each watcher, and told to each.

use impp_model::{Basic, LangText, PresenceInfo};

/// Devices of one PRESENTITY: more than anybody has; each is told and stored one by one.
pub(super) const MAX_DEVICES: usize = 32;

/// Octets that the comments of one device have together: some sentences, in several languages.
const MAX_NOTES: usize = 2_048;

/// Comments of one device: each takes more memory than its text.
const MAX_LANGUAGES: usize = 16;

/// Leaves what there is room for: of too many devices those that are closed go, then the oldest. False when something went.
pub(super) fn fit(info: &mut PresenceInfo) -> bool {
    let mut excess = info.tuples.len().saturating_sub(MAX_DEVICES);
    let mut whole = excess == 0;
    info.tuples.retain(|tuple| {
        let goes = excess > 0 && tuple.basic == Basic::Closed;
        excess -= usize::from(goes);
        !goes
    });
    drop(info.tuples.drain(..excess));
    whole &= fit_notes(&mut info.notes);
    for tuple in &mut info.tuples {
        whole &= fit_notes(&mut tuple.notes);
    }
    if !whole {
        // The document would still say it.
        info.pidf = None;
    }
    whole
}

fn fit_notes(notes: &mut Vec<LangText>) -> bool {
    let mut whole = notes.len() <= MAX_LANGUAGES;
    notes.truncate(MAX_LANGUAGES);
    let mut room = MAX_NOTES;
    for note in &mut *notes {
        if note.text.len() > room {
            note.text.truncate(note.text.floor_char_boundary(room));
            whole = false;
        }
        room -= note.text.len();
    }
    if !whole {
        notes.retain(|note| !note.text.is_empty());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Device, PresenceTuple};

    fn tuple(number: usize, basic: Basic) -> PresenceTuple {
        PresenceTuple::new(Device::new(&format!("r{number}")).ok(), basic)
    }

    // checks: PRS-049
    #[test]
    fn of_too_many_devices_the_closed_and_then_the_oldest_go() {
        let mut info = PresenceInfo { pidf: Some(b"<presence/>"[..].into()), ..PresenceInfo::default() };
        info.tuples = (0..MAX_DEVICES).map(|number| tuple(number, Basic::Open)).collect();
        let full = info.clone();
        assert!(fit(&mut info));
        assert_eq!(info, full);
        info.tuples.push(tuple(100, Basic::Closed));
        assert!(!fit(&mut info));
        assert_eq!((&info.tuples, &info.pidf), (&full.tuples, &None), "the document says more");
        info.tuples.push(tuple(101, Basic::Open));
        assert!(!fit(&mut info));
        assert_eq!(info.tuples.len(), MAX_DEVICES);
        assert_eq!(info.tuples.first(), Some(&tuple(1, Basic::Open)));
        assert_eq!(info.tuples.last(), Some(&tuple(101, Basic::Open)));
    }

    #[test]
    fn the_comments_of_a_device_share_their_room() {
        let note = |text: String| LangText { language: None, text };
        let mut tuple = tuple(0, Basic::Open);
        tuple.notes = vec![note("a".repeat(MAX_NOTES - 3)), note("\u{fc}".repeat(9)), note("gone".to_owned())];
        let mut info = PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() };
        assert!(!fit(&mut info));
        let mut lengths: Vec<_> =
            info.tuples.iter().flat_map(|tuple| &tuple.notes).map(|note| note.text.len()).collect();
        assert_eq!(lengths.pop(), Some(1), "of the last one letter");
        assert_eq!(lengths, [MAX_NOTES - 3, 2]);
        info.notes = vec![note("b".to_owned()); MAX_LANGUAGES + 1];
        assert!(!fit(&mut info) && fit(&mut info));
        assert_eq!(info.notes.len(), MAX_LANGUAGES);
    }
}
