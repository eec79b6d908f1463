//! A note beside the engine of how far each shard was durable.
//!
//! It is written after a commit has reached the disk and is itself never forced there, so it can lag behind the engine and
//! never runs ahead of it. An engine that is behind the note has lost its tail: fjall cuts a journal at damage in its middle
//! without a word (its issue 311), and what is left looks like an earlier, sound state.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::key::Shard;

const SLOTS: usize = Shard::COUNT as usize;
const LENGTH: usize = SLOTS * 8 + 4;

/// The open note.
pub(crate) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens or makes the note, and reads what it says; `None` when it is new or unreadable.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<[u64; SLOTS]>)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut octets = [0; LENGTH];
        let noted = match file.read_exact_at(&mut octets, 0) {
            Ok(()) => decode(&octets),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self { file }, noted))
    }

    /// Writes the note. A failure is logged, not told: it makes the note older, not wrong.
    pub(crate) fn note(&self, last: &[u64]) {
        let mut octets = Vec::with_capacity(LENGTH);
        for version in last {
            octets.extend_from_slice(&version.to_be_bytes());
        }
        octets.extend_from_slice(&crc32c::crc32c(&octets).to_be_bytes());
        if let Err(error) = self.file.write_all_at(&octets, 0) {
            tracing::warn!(%error, "store watermark not written");
        }
    }
}

fn decode(octets: &[u8; LENGTH]) -> Option<[u64; SLOTS]> {
    let (body, checksum) = octets.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let mut last = [0; SLOTS];
    for (slot, octets) in last.iter_mut().zip(body.as_chunks::<8>().0) {
        *slot = u64::from_be_bytes(*octets);
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_read_back_and_damage_makes_it_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let (watermark, noted) = Watermark::open(&path).unwrap();
        assert_eq!(noted, None);
        let last = std::array::from_fn(|slot| slot as u64 * 3);
        watermark.note(&last);
        assert_eq!(Watermark::open(&path).unwrap().1, Some(last));
        watermark.file.write_all_at(b"x", 9).unwrap();
        assert_eq!(Watermark::open(&path).unwrap().1, None);
    }
}
