//! Lines on disk, for a consumer that is away.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::line::PIECE;

/// One file of lines: appended at its end, read from its beginning, emptied when all of it was read.
///
/// After a restart it is read from the beginning: what the consumer has seen already comes again under the same numbers.
pub(super) struct Spool {
    file: File,
    length: u64,
    /// How much of it the consumer has.
    taken: u64,
    limit: u64,
}

impl Spool {
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut length = file.metadata()?.len();
        // A crash may have left a part of a line.
        let mut last = [b'\n'];
        while length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            if last == [b'\n'] {
                break;
            }
            length -= 1;
        }
        file.set_len(length)?;
        Ok(Self { file, length, taken: 0, limit })
    }

    pub(super) fn has_lines(&self) -> bool {
        self.taken < self.length
    }

    pub(super) fn has_room(&self) -> bool {
        self.length < self.limit
    }

    /// Appends whole lines; durable when it returns.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines).and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// The first lines that the consumer has not taken, and the number of the last of them.
    pub(super) fn first(&mut self) -> io::Result<(Vec<u8>, u64)> {
        let mut most = PIECE as u64;
        loop {
            let mut lines = Vec::new();
            self.file.seek(SeekFrom::Start(self.taken))?;
            (&self.file).take(most).read_to_end(&mut lines)?;
            match lines.iter().rposition(|octet| *octet == b'\n') {
                Some(end) => {
                    lines.truncate(end + 1);
                    let last = lines.trim_ascii_end().rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
                    let number = serde_json::from_slice::<serde_json::Value>(last)?.get("n").and_then(|n| n.as_u64());
                    return Ok((lines, number.unwrap_or_default()));
                }
                None if lines.len() as u64 == most => most *= 2,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// The consumer has so many octets more.
    pub(super) fn gone(&mut self, octets: usize) -> io::Result<()> {
        self.taken += octets as u64;
        if self.taken >= self.length {
            self.file.set_len(0)?;
            (self.length, self.taken) = (0, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_their_order_once_and_after_a_crash_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.spool");
        let mut spool = Spool::open(&path, 100).unwrap();
        assert!(!spool.has_lines());
        spool.append(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
        let (lines, last) = spool.first().unwrap();
        assert_eq!((lines.as_slice(), last), (&b"{\"n\":1}\n{\"n\":2}\n"[..], 2));
        spool.append(b"{\"n\":3}\n").unwrap();
        spool.gone(lines.len()).unwrap();
        assert_eq!(spool.first().unwrap(), (b"{\"n\":3}\n".to_vec(), 3));
        drop(spool);
        std::fs::write(&path, b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\"").unwrap();
        let mut spool = Spool::open(&path, 100).unwrap();
        let (lines, last) = spool.first().unwrap();
        assert_eq!((lines.len(), last), (24, 3), "the part of a line is gone");
        spool.gone(lines.len()).unwrap();
        assert!(!spool.has_lines() && spool.has_room());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        spool.append(&[b'\n'; 100]).unwrap();
        assert!(!spool.has_room());
    }
}
