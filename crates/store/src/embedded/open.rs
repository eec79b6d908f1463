//! What both stores do when they are opened.

use std::io;
use std::sync::atomic::AtomicU64;

use crate::api::EngineError;
use crate::core::{Core, Heads};
use crate::data_dir::DataDirError;
use crate::engine::{Engine, Space};
use crate::seal::{SealKey, Sealer};
use crate::survey::{self, Opened};

/// Where the check record of the key lies.
const SEAL_CHECK: &[u8] = b"seal-check";
/// Where it is noted whether the store was made with a key.
const PLAIN: &[u8] = b"plain";

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The content is sealed and no key was given.
    #[error("the store is encrypted and no key is configured")]
    KeyMissing,
    /// The content is sealed with another key.
    #[error("the store is encrypted with another key")]
    KeyWrong,
    /// A key was given for a store that was made without one.
    #[error("the store was made without encryption; export it and import it into a new one")]
    KeyUnused,
    /// The engine can't open or read its files.
    #[error("the storage engine cannot open its files")]
    Engine(#[from] EngineError),
    /// A file beside the engine can't be used.
    #[error("cannot open the store's files")]
    Io(#[from] io::Error),
}

/// Checks the key, looks at every record, and unless `read_only` takes the result as the state from here on.
pub(super) fn open<E: Engine>(
    engine: E,
    key: Option<&SealKey>,
    watermark: Option<&[u64]>,
    read_only: bool,
    looked: &AtomicU64,
) -> Result<(Core<E>, Opened), OpenError> {
    let sealer = key.map(Sealer::new);
    check_key(&engine, sealer.as_ref())?;
    let (opened, heads): (Opened, Heads) = survey::survey(&engine, watermark, looked)?;
    if !read_only {
        survey::accept(&engine, &opened, &heads)?;
    }
    Ok((Core::new(engine, sealer, heads), opened))
}

fn check_key<E: Engine>(engine: &E, sealer: Option<&Sealer>) -> Result<(), OpenError> {
    let known = engine.read(Space::Meta, SEAL_CHECK, |record| sealer.is_some_and(|s| s.recognises(record)))?;
    let plain = engine.read(Space::Meta, PLAIN, |_| ())?;
    match (known, sealer, plain) {
        (Some(true), _, _) | (None, None, Some(())) => Ok(()),
        (Some(false), Some(_), _) => Err(OpenError::KeyWrong),
        (Some(false), None, _) => Err(OpenError::KeyMissing),
        (None, Some(_), Some(())) => Err(OpenError::KeyUnused),
        (None, Some(sealer), None) => Ok(note(engine, SEAL_CHECK, sealer.check_record())?),
        (None, None, None) => Ok(note(engine, PLAIN, Vec::new())?),
    }
}

fn note<E: Engine>(engine: &E, key: &[u8], value: Vec<u8>) -> Result<(), EngineError> {
    engine.apply(&[((Space::Meta, key.to_vec()), Some(value))])
}
