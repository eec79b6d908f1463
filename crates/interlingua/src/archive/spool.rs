//! Lines on disk, for a consumer that is away.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use store::{SealKey, Sealer};

use super::line::PIECE;

/// One file of lines: appended at its end, read from its beginning, emptied when all of it was read.
///
/// With a key a line of the file is a piece of lines, sealed, in base64; what an earlier release has written in clear is
/// sealed when it is opened. After a restart the file is read from the beginning: what the consumer has seen already comes again
/// under the same numbers.
pub(super) struct Spool {
    file: File,
    path: PathBuf,
    sealer: Option<Sealer>,
    length: u64,
    /// How much of it the consumer has.
    taken: u64,
    limit: u64,
}

/// Lines for the consumer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) lines: Vec<u8>,
    /// The number of the last of them.
    pub(super) last: u64,
    /// How much of the file they are.
    pub(super) octets: u64,
}

/// What stands for the name of a record in the seal of a piece.
const SEALED_AS: &[u8] = b"archive.spool";

/// The file beside the spool with what could not be read of it.
pub(super) const DAMAGED: &str = "archive.spool.damaged";

/// The spool that is to take the place of the old one.
pub(super) const NEXT: &str = "archive.spool.next";

impl Spool {
    pub(super) fn open(path: &Path, limit: u64, key: Option<&SealKey>) -> io::Result<Self> {
        let sealer = key.map(Sealer::new);
        let mut file = append_to(path)?;
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
        if let Some(sealer) = &sealer {
            // Without room for it they are read as they are.
            match seal_old(&mut file, path, sealer) {
                Ok(()) => length = file.metadata()?.len(),
                Err(error) => tracing::warn!(%error, "what the archive's spool has in clear cannot be sealed"),
            }
        }
        Ok(Self { file, path: path.to_owned(), sealer, length, taken: 0, limit })
    }

    pub(super) fn has_lines(&self) -> bool {
        self.taken < self.length
    }

    pub(super) fn has_room(&self) -> bool {
        self.length < self.limit
    }

    /// Appends whole lines; durable when it returns.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = written(self.sealer.as_ref(), lines);
        if let Err(error) = self.file.write_all(&written).and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += written.len() as u64;
        Ok(())
    }

    /// The first lines that the consumer has not taken; none if all that was left could not be read, and was put aside.
    pub(super) fn first(&mut self) -> io::Result<Option<First>> {
        while self.has_lines() {
            let chunk = self.chunk()?;
            let mut first = First { lines: Vec::new(), last: 0, octets: 0 };
            for line in chunk.split_inclusive(|octet| *octet == b'\n') {
                match said(self.sealer.as_ref(), line) {
                    Some((lines, last)) => {
                        first.lines.extend_from_slice(&lines);
                        first.last = last;
                        first.octets += line.len() as u64;
                    }
                    None if first.octets == 0 => {
                        self.put_aside(line)?;
                        self.gone(line.len() as u64)?;
                    }
                    None => break,
                }
            }
            if first.octets > 0 {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// The next lines of the file: no more than [`PIECE`], unless one alone is longer.
    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut most = PIECE as u64;
        loop {
            let mut chunk = Vec::new();
            self.file.seek(SeekFrom::Start(self.taken))?;
            (&self.file).take(most).read_to_end(&mut chunk)?;
            match chunk.iter().rposition(|octet| *octet == b'\n') {
                Some(end) => {
                    chunk.truncate(end + 1);
                    return Ok(chunk);
                }
                None if chunk.len() as u64 == most => most *= 2,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn put_aside(&self, line: &[u8]) -> io::Result<()> {
        let path = self.path.with_file_name(DAMAGED);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(line).and_then(|()| file.sync_data())?;
        tracing::error!(
            octets = line.len(),
            "a part of the archive's spool cannot be read, or not with this key: it was moved to {}",
            path.display()
        );
        Ok(())
    }

    /// The consumer has so many octets of the file more.
    pub(super) fn gone(&mut self, octets: u64) -> io::Result<()> {
        self.taken += octets;
        if self.taken >= self.length {
            self.file.set_len(0)?;
            (self.length, self.taken) = (0, 0);
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Seals the lines that an earlier release has written in clear: they are the first.
fn seal_old(file: &mut File, path: &Path, sealer: &Sealer) -> io::Result<()> {
    let mut first = [0];
    file.seek(SeekFrom::Start(0))?;
    if file.read(&mut first)? == 0 || !is_clear(&first) {
        return Ok(());
    }
    rewrite(path, |line| if is_clear(&line) { written(Some(sealer), &line).into_owned() } else { line })?;
    *file = append_to(path)?;
    Ok(())
}

/// Puts another file in the place of a spool, with what `change` makes of its lines. A crash leaves the old one or the new one.
pub(super) fn rewrite(path: &Path, change: impl FnMut(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
    let next = path.with_file_name(NEXT);
    if let Err(error) = write_next(path, &next, change) {
        // It may be that there is none.
        let _ = fs::remove_file(&next);
        return Err(error);
    }
    fs::rename(&next, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write_next(path: &Path, next: &Path, mut change: impl FnMut(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
    let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(next)?;
    let mut new = BufWriter::new(new);
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let mut line = line?;
        line.push(b'\n');
        new.write_all(&change(line))?;
    }
    new.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Whether a line of the file is a record as it is: base64 has no such character.
fn is_clear(line: &[u8]) -> bool {
    line.starts_with(b"{")
}

/// What a file holds for these lines.
pub(super) fn written<'l>(sealer: Option<&Sealer>, lines: &'l [u8]) -> Cow<'l, [u8]> {
    let Some(sealer) = sealer else { return Cow::Borrowed(lines) };
    let mut line = BASE64_STANDARD.encode(sealer.seal(SEALED_AS, lines)).into_bytes();
    line.push(b'\n');
    Cow::Owned(line)
}

/// The lines that a line of the file stands for, and the number of the last of them; `None` if it cannot be read.
pub(super) fn said<'l>(sealer: Option<&Sealer>, line: &'l [u8]) -> Option<(Cow<'l, [u8]>, u64)> {
    #[derive(Deserialize)]
    struct Numbered {
        n: u64,
    }
    let lines = if is_clear(line) {
        Cow::Borrowed(line)
    } else {
        let sealed = BASE64_STANDARD.decode(line.strip_suffix(b"\n")?).ok()?;
        Cow::Owned(sealer?.open(SEALED_AS, &sealed).ok()?)
    };
    let last = lines.strip_suffix(b"\n")?.rsplit(|octet| *octet == b'\n').next()?;
    let Numbered { n } = serde_json::from_slice(last).ok()?;
    Some((lines, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_their_order_once_and_after_a_crash_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.spool");
        let mut spool = Spool::open(&path, 100, None).unwrap();
        assert!(!spool.has_lines());
        spool.append(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
        let two = First { lines: b"{\"n\":1}\n{\"n\":2}\n".to_vec(), last: 2, octets: 16 };
        assert_eq!(spool.first().unwrap(), Some(two));
        spool.append(b"{\"n\":3}\n").unwrap();
        spool.gone(16).unwrap();
        assert_eq!(spool.first().unwrap().unwrap().lines, b"{\"n\":3}\n");
        drop(spool);
        std::fs::write(&path, b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\"").unwrap();
        let mut spool = Spool::open(&path, 100, None).unwrap();
        let three = spool.first().unwrap().unwrap();
        assert_eq!((three.octets, three.last), (24, 3), "the part of a line is gone");
        spool.gone(three.octets).unwrap();
        assert!(!spool.has_lines() && spool.has_room());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        spool.append(&[b'\n'; 100]).unwrap();
        assert!(!spool.has_room());
    }

    #[test]
    fn with_a_key_nothing_stands_there_in_clear_and_what_did_before_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.spool");
        let key = SealKey::new([7; store::KEY_LENGTH]);
        std::fs::write(&path, "{\"n\":1,\"from\":\"old@a.example\"}\n{\"n\":2,\"from\":\"torn@").unwrap();
        let mut spool = Spool::open(&path, 10_000, Some(&key)).unwrap();
        spool.append(b"{\"n\":2,\"from\":\"new@a.example\"}\n{\"n\":3}\n").unwrap();
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(!file.contains('@') && file.lines().count() == 2, "{file}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let first = spool.first().unwrap().unwrap();
        let expected = "{\"n\":1,\"from\":\"old@a.example\"}\n{\"n\":2,\"from\":\"new@a.example\"}\n{\"n\":3}\n";
        assert_eq!((std::str::from_utf8(&first.lines).unwrap(), first.last), (expected, 3));
        assert_eq!(first.octets, std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn what_cannot_be_read_is_put_aside_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.spool");
        let key = |octet| SealKey::new([octet; store::KEY_LENGTH]);
        for (octet, line) in [(7, "{\"n\":1}\n"), (8, "{\"n\":2}\n"), (7, "{\"n\":3}\n"), (8, "{\"n\":4}\n")] {
            Spool::open(&path, 10_000, Some(&key(octet))).unwrap().append(line.as_bytes()).unwrap();
        }
        let mut spool = Spool::open(&path, 10_000, Some(&key(7))).unwrap();
        for number in [1, 3] {
            let first = spool.first().unwrap().unwrap();
            assert_eq!(first.last, number);
            spool.gone(first.octets).unwrap();
        }
        assert_eq!(spool.first().unwrap(), None);
        assert!(!spool.has_lines());
        let aside = std::fs::read(folder.path().join(DAMAGED)).unwrap();
        let numbers: Vec<_> = aside
            .split_inclusive(|octet| *octet == b'\n')
            .map(|line| said(Some(&Sealer::new(&key(8))), line).unwrap().1)
            .collect();
        assert_eq!(numbers, [2, 4]);
    }
}
