//! `store forget`: what is spooled about one person goes.

use std::fs;
use std::io;
use std::path::Path;

use impp_model::Address;
use serde_json::{Map, Value};
use store::{SealKey, Sealer};

use super::spool::{DAMAGED, NEXT, rewrite, said, written};
use super::spool_in;

/// Removes the records that name `address` from the spool in `data_dir`, and what of it cannot be read; how many records went.
/// No gateway may use the folder meanwhile. A crash leaves the old spool or the new one.
pub(crate) fn forget(data_dir: &Path, key: Option<&SealKey>, address: &Address) -> io::Result<u64> {
    for aside in [DAMAGED, NEXT].map(|name| data_dir.join(name)) {
        if fs::exists(&aside)? {
            fs::remove_file(&aside)?;
        }
    }
    let spool = spool_in(data_dir);
    if !fs::exists(&spool)? {
        return Ok(0);
    }
    let sealer = key.map(Sealer::new);
    let mut removed = 0;
    rewrite(&spool, |line| {
        let Some((lines, _)) = said(sealer.as_ref(), &line) else {
            removed += 1;
            return Vec::new();
        };
        let mut kept = Vec::new();
        for record in lines.split_inclusive(|octet| *octet == b'\n') {
            if names(record, address) {
                removed += 1;
            } else {
                kept.extend_from_slice(record);
            }
        }
        if kept.is_empty() { kept } else { written(sealer.as_ref(), &kept).into_owned() }
    })?;
    Ok(removed)
}

/// Whether a record is of the person, or has the address in an id; what others say in their messages is theirs.
fn names(record: &[u8], address: &Address) -> bool {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(record) else { return true };
    fields.remove("content");
    // It was read from JSON.
    store::names(&serde_json::to_vec(&fields).unwrap_or_default(), address)
}

#[cfg(test)]
mod tests {
    use super::super::spool::Spool;
    use super::*;

    const ROMEO: &str =
        "{\"n\":1,\"from\":\"romeo@a.example\",\"to\":\"x@b.example\",\"content\":{\"text\":\"secret\"}}\n";
    const TO_ROMEO: &str = "{\"n\":2,\"from\":\"x@b.example\",\"to\":\"romeo@a.example\"}\n";
    const OF_HIM: &str =
        "{\"n\":3,\"from\":\"x@b.example\",\"to\":\"y@b.example\",\"content\":{\"text\":\"ask romeo@a.example\"}}\n";
    const ANOTHER: &str = "{\"n\":4,\"from\":\"xromeo@a.example\",\"to\":\"romeo@a.example.org\"}\n";

    #[test]
    fn only_what_is_of_the_person_goes_with_and_without_a_key() {
        let romeo: Address = "romeo@a.example".parse().unwrap();
        for key in [None, Some(SealKey::new([7; store::KEY_LENGTH]))] {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(forget(folder.path(), key.as_ref(), &romeo).unwrap(), 0, "there is no spool");
            let path = spool_in(folder.path());
            let mut spool = Spool::open(&path, 10_000, key.as_ref()).unwrap();
            spool.append([ROMEO, OF_HIM].concat().as_bytes()).unwrap();
            spool.append(TO_ROMEO.as_bytes()).unwrap();
            spool.append(ANOTHER.as_bytes()).unwrap();
            for aside in [DAMAGED, NEXT] {
                fs::write(folder.path().join(aside), "whose?").unwrap();
            }
            assert_eq!(forget(folder.path(), key.as_ref(), &romeo).unwrap(), 2);
            let mut spool = Spool::open(&path, 10_000, key.as_ref()).unwrap();
            let left = spool.first().unwrap().unwrap();
            assert_eq!((left.lines, left.last), ([OF_HIM, ANOTHER].concat().into_bytes(), 4));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
            assert_eq!(forget(folder.path(), key.as_ref(), &romeo).unwrap(), 0);
        }
    }
}
