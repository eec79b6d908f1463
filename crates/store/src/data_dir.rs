//! The data directory: one process at a time, one format, older formats migrated beside a copy.
//!
//! ```text
//! LOCK             held while a process uses the directory; its process number for people
//! store/FORMAT     the number of the format
//! store/...        the engine's files and the watermark
//! store.format-N/  what a migration started from; an operator may delete it
//! store.next/      a migration or a rewriting under way; a start begins it anew
//! store.old/       what was rewritten; a start removes it
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// The format that this version writes: 1 had a record for each end, each claim and each message that a late error could be
/// about; 2 has one for all of a commit.
pub const FORMAT: u32 = 2;
const LOCK: &str = "LOCK";
const STORE: &str = "store";
const NEXT: &str = "store.next";
const OLD: &str = "store.old";
const FORMAT_FILE: &str = "FORMAT";
/// Octets of a format or lock file that are read.
const MAX_SMALL_FILE: u64 = 64;

/// A locked data directory of the current format.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    migrated_from: Option<u32>,
    /// Unlocked when it closes.
    _lock: File,
}

/// One step from a format to the next.
pub struct Migration {
    /// The format that it reads; it writes the one after.
    pub from: u32,
    /// Changes the store in this folder, which is a copy.
    pub run: fn(&Path) -> io::Result<()>,
}

/// The steps that this version knows.
///
/// From 1: the ledger reads its records beside its own, writes none and lets them go in their time.
pub const MIGRATIONS: &[Migration] = &[Migration { from: 1, run: |_| Ok(()) }];

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process uses it.
    #[error("{path} is in use by {}", match process { Some(id) => format!("process {id}"), None => "another process".to_owned() })]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Its process number, as it wrote it.
        process: Option<u32>,
    },
    /// A newer version has written it.
    #[error("{path} has format {found}; this version knows formats up to {known}")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// Too old: a version in between must migrate it.
    #[error("{path} has format {found}, which this version can't migrate")]
    Older {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The format file says no number.
    #[error("{path} says no format")]
    FormatFile {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses something.
    #[error("{path}: {what}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Opens or makes the directory, and migrates it if it has an older format.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        Self::open_format(root, FORMAT, MIGRATIONS)
    }

    /// The same for another format and its migrations.
    pub fn open_format(root: &Path, format: u32, migrations: &[Migration]) -> Result<Self, DataDirError> {
        fs::create_dir_all(root).map_err(io_error(root, "cannot make the directory"))?;
        let lock = lock(root)?;
        let mut data_dir = Self { root: root.to_owned(), migrated_from: None, _lock: lock };
        data_dir.settle(format, migrations)?;
        Ok(data_dir)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// The format it had, when opening it migrated it.
    pub fn migrated_from(&self) -> Option<u32> {
        self.migrated_from
    }

    /// Brings the store folder to `format`.
    fn settle(&mut self, format: u32, migrations: &[Migration]) -> Result<(), DataDirError> {
        let (store, next) = (self.store(), self.root.join(NEXT));
        if !exists(&store)? && exists(&next.join(FORMAT_FILE))? {
            // A crash came between the two renames of a migration.
            rename(&next, &store)?;
            sync_folder(&self.root)?;
        }
        remove_folder(&next)?;
        if exists(&store)? {
            remove_folder(&self.root.join(OLD))?;
        } else {
            return self.create(&store, format);
        }
        let path = store.join(FORMAT_FILE);
        if !exists(&path)? && is_empty(&store)? {
            // A crash came while it was made.
            return write_format(&store, format);
        }
        let found = read_format(&path)?;
        match found.cmp(&format) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(DataDirError::Newer { path: self.root.clone(), found, known: format }),
            std::cmp::Ordering::Less => self.migrate(found, format, migrations),
        }
    }

    fn create(&self, store: &Path, format: u32) -> Result<(), DataDirError> {
        fs::create_dir(store).map_err(io_error(store, "cannot make the folder"))?;
        write_format(store, format)?;
        sync_folder(&self.root)
    }

    /// Lets `fill` make a new store folder, and puts it in the place of the one there is, which goes.
    pub(crate) fn replace<E: From<DataDirError>>(&self, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        let (store, next, old) = (self.store(), self.root.join(NEXT), self.root.join(OLD));
        let format = read_format(&store.join(FORMAT_FILE))?;
        remove_folder(&next)?;
        fs::create_dir(&next).map_err(io_error(&next, "cannot make the folder"))?;
        fill(&next)?;
        write_format(&next, format)?;
        self.swap(&store, &old, &next)?;
        Ok(remove_folder(&old)?)
    }

    /// Puts `next` in the place of `store`, which becomes `kept`. A start completes it.
    fn swap(&self, store: &Path, kept: &Path, next: &Path) -> Result<(), DataDirError> {
        remove_folder(kept)?;
        rename(store, kept)?;
        rename(next, store)?;
        sync_folder(&self.root)
    }

    /// Migrates a copy and puts it in place; the original stays under another name.
    fn migrate(&mut self, found: u32, format: u32, migrations: &[Migration]) -> Result<(), DataDirError> {
        let (store, next) = (self.store(), self.root.join(NEXT));
        let steps: Vec<_> = (found..format).map(|from| migrations.iter().find(|step| step.from == from)).collect();
        if steps.iter().any(Option::is_none) {
            return Err(DataDirError::Older { path: self.root.clone(), found });
        }
        copy_folder(&store, &next)?;
        let copied = next.join(FORMAT_FILE);
        // Without it, a start takes the copy for unfinished.
        fs::remove_file(&copied).map_err(io_error(&copied, "cannot remove"))?;
        for step in steps.into_iter().flatten() {
            (step.run)(&next).map_err(io_error(&next, "migration failed"))?;
        }
        write_format(&next, format)?;
        let kept = self.root.join(format!("{STORE}.format-{found}"));
        self.swap(&store, &kept, &next)?;
        self.migrated_from = Some(found);
        Ok(())
    }
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error(&path, "cannot open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = read_small(&mut file).ok().and_then(|text| text.trim().parse().ok());
            return Err(DataDirError::InUse { path: root.to_owned(), process });
        }
        Err(TryLockError::Error(source)) => return Err(io_error(&path, "cannot lock")(source)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(io_error(&path, "cannot write"))?;
    Ok(file)
}

fn read_format(path: &Path) -> Result<u32, DataDirError> {
    let mut file = File::open(path).map_err(io_error(path, "cannot read"))?;
    let text = read_small(&mut file).map_err(io_error(path, "cannot read"))?;
    text.trim().parse().map_err(|_| DataDirError::FormatFile { path: path.to_owned() })
}

fn write_format(store: &Path, format: u32) -> Result<(), DataDirError> {
    let path = store.join(FORMAT_FILE);
    let new = store.join("FORMAT.new");
    let write = || {
        let mut file = File::create(&new)?;
        writeln!(file, "{format}")?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(io_error(&path, "cannot write"))?;
    sync_folder(store)
}

fn read_small(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_SMALL_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), DataDirError> {
    fs::create_dir(to).map_err(io_error(to, "cannot make the folder"))?;
    for entry in fs::read_dir(from).map_err(io_error(from, "cannot read"))? {
        let entry = entry.map_err(io_error(from, "cannot read"))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            let copy = || fs::copy(&path, &target).and_then(|_| File::open(&target)?.sync_all());
            copy().map_err(io_error(&path, "cannot copy"))?;
        }
    }
    sync_folder(to)
}

fn sync_folder(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error(path, "cannot force to disk"))
}

fn remove_folder(path: &Path) -> Result<(), DataDirError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, "cannot remove")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), DataDirError> {
    fs::rename(from, to).map_err(io_error(from, "cannot rename"))
}

fn exists(path: &Path) -> Result<bool, DataDirError> {
    path.try_exists().map_err(io_error(path, "cannot look at"))
}

fn is_empty(path: &Path) -> Result<bool, DataDirError> {
    let mut entries = fs::read_dir(path).map_err(io_error(path, "cannot read"))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "FORMAT.new")))
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { path: path.to_owned(), what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// A step from a format 0 that kept its greeting in another file.
    const STEP: Migration = Migration { from: 0, run: |store| fs::rename(store.join("old"), store.join("new")) };

    fn version_0(root: &Path) {
        fs::create_dir_all(root.join("store/deep")).unwrap();
        fs::write(root.join("store/FORMAT"), "0\n").unwrap();
        fs::write(root.join("store/old"), "hello").unwrap();
        fs::write(root.join("store/deep/more"), "more").unwrap();
    }

    #[test]
    fn a_second_opener_is_told_the_first_ones_process() {
        let folder = folder();
        let first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { process: Some(id), .. } if id == std::process::id()));
        drop(first);
        assert!(DataDir::open(folder.path()).is_ok());
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let folder = folder();
        drop(DataDir::open_format(folder.path(), 7, &[]).unwrap());
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::Newer { found: 7, known: FORMAT, .. }));
        assert_eq!(fs::read_to_string(folder.path().join("store/FORMAT")).unwrap(), "7\n");
    }

    #[test]
    fn an_older_format_is_migrated_beside_a_copy() {
        let folder = folder();
        version_0(folder.path());
        let data_dir = DataDir::open_format(folder.path(), 1, &[STEP]).unwrap();
        assert_eq!(data_dir.migrated_from(), Some(0));
        assert_eq!(fs::read_to_string(data_dir.store().join("new")).unwrap(), "hello");
        assert_eq!(fs::read_to_string(data_dir.store().join("deep/more")).unwrap(), "more");
        assert_eq!(fs::read_to_string(folder.path().join("store.format-0/old")).unwrap(), "hello");
        drop(data_dir);
        assert_eq!(DataDir::open_format(folder.path(), 1, &[STEP]).unwrap().migrated_from(), None);
    }

    #[test]
    fn a_migration_that_fails_or_breaks_off_leaves_the_original() {
        let folder = folder();
        version_0(folder.path());
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Older { found: 0, .. })));
        let failing = Migration { from: 0, run: |_| Err(io::Error::other("no")) };
        assert!(matches!(DataDir::open_format(folder.path(), 1, &[failing]), Err(DataDirError::Io { .. })));
        assert_eq!(fs::read_to_string(folder.path().join("store/old")).unwrap(), "hello");
        // What is left of it does not disturb the next.
        let data_dir = DataDir::open_format(folder.path(), 1, &[STEP]).unwrap();
        assert_eq!(fs::read_to_string(data_dir.store().join("new")).unwrap(), "hello");
    }

    #[test]
    fn a_crash_between_the_renames_is_completed() {
        let folder = folder();
        version_0(folder.path());
        drop(DataDir::open_format(folder.path(), 1, &[STEP]).unwrap());
        fs::rename(folder.path().join("store"), folder.path().join("store.next")).unwrap();
        let data_dir = DataDir::open_format(folder.path(), 1, &[STEP]).unwrap();
        assert_eq!(fs::read_to_string(data_dir.store().join("new")).unwrap(), "hello");
    }

    #[test]
    fn a_format_that_is_no_number_is_refused() {
        let folder = folder();
        version_0(folder.path());
        fs::write(folder.path().join("store/FORMAT"), "one").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::FormatFile { .. })));
    }
}
