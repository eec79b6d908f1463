//! `store export` and `store import`: JSON lines.
//!
//! The first line is `{"interlingua_store":1,"content":BOOL}`; each further line is a record. Without content a line says what
//! kind of record it is and names no address, only domains; with content it can be imported.

use std::io::{BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::api::{Batch, Expect, Store, StoreError, commit_and_wait};
use crate::key::{Shard, Table};
use crate::ledger::{about, walk};

/// The form of the lines.
const FORM: u32 = 1;
/// Records of one commit of an import.
const IMPORT_BATCH: usize = 256;

/// Why an export or import ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// The store refuses or fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lines can't be written or read.
    #[error("cannot write or read the lines")]
    Io(#[from] std::io::Error),
    /// A line is not what it should be.
    #[error("line {line}: not a record of an export")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with its JSON, if that is it.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The lines were exported without content.
    #[error("the export has no content; make one with content")]
    NoContent,
    /// The store has records already.
    #[error("the store is not empty")]
    NotEmpty,
}

#[derive(Serialize, Deserialize)]
struct Header {
    interlingua_store: u32,
    content: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    table: Table,
    shard: u16,
    /// Base64.
    key: String,
    /// Octets of the value.
    size: usize,
    /// The value in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What the value is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<serde_json::Value>,
}

/// Writes every record as a line, with what it holds only if `content`; returns how many.
///
/// An export with content is not encrypted, whatever the store is.
pub fn export(store: &dyn Store, content: bool, out: &mut dyn Write) -> Result<u64, PortableError> {
    write_line(out, &Header { interlingua_store: FORM, content })?;
    let mut written = 0;
    for (table, shard) in places() {
        let mut result = Ok(());
        walk(store, shard, table, |key, record| {
            let line = Line {
                table,
                shard: shard.number(),
                key: STANDARD.encode(key),
                size: record.value.len(),
                value: content.then(|| STANDARD.encode(&record.value)),
                about: about(table, &record.value),
            };
            if result.is_ok() {
                result = write_line(out, &line);
                written += 1;
            }
        })?;
        result?;
    }
    Ok(written)
}

/// Puts every record of an export into an empty store; returns how many. Takes over all shards.
pub fn import(store: &dyn Store, lines: &mut dyn BufRead) -> Result<u64, PortableError> {
    for (table, shard) in places() {
        if !store.scan(shard, table, b"", None, 1)?.is_empty() {
            return Err(PortableError::NotEmpty);
        }
    }
    let mut lines = lines.lines().zip(1..);
    let header: Header = match lines.next() {
        Some((text, line)) => parse(&text?, line)?,
        None => return Err(PortableError::Line { line: 1, source: None }),
    };
    if header.interlingua_store != FORM {
        return Err(PortableError::Line { line: 1, source: None });
    }
    if !header.content {
        return Err(PortableError::NoContent);
    }
    let mut batches = Batches::new(store)?;
    for (text, line) in lines {
        batches.put(parse(&text?, line)?, line)?;
    }
    batches.finish()
}

/// One open batch for each shard.
struct Batches<'a> {
    store: &'a dyn Store,
    open: Vec<Batch>,
    records: u64,
}

impl<'a> Batches<'a> {
    fn new(store: &'a dyn Store) -> Result<Self, PortableError> {
        let mut open = Vec::new();
        for shard in Shard::all() {
            let fence = store.position(shard).0.next();
            store.acquire(shard, fence)?;
            open.push(Batch::new(shard, fence));
        }
        Ok(Self { store, open, records: 0 })
    }

    fn put(&mut self, record: Line, line: usize) -> Result<(), PortableError> {
        let wrong = || PortableError::Line { line, source: None };
        let shard = Shard::new(record.shard).ok_or_else(wrong)?;
        let key = STANDARD.decode(record.key).map_err(|_| wrong())?;
        let value = record.value.and_then(|value| STANDARD.decode(value).ok()).ok_or_else(wrong)?;
        let batch = self.open.get_mut(shard.index()).ok_or_else(wrong)?;
        batch.put_if(record.table, key, Expect::Absent, value);
        self.records += 1;
        if batch.operations.len() >= IMPORT_BATCH {
            let full = std::mem::replace(batch, Batch::new(batch.shard, batch.fence));
            commit_and_wait(self.store, full)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<u64, PortableError> {
        for batch in self.open {
            commit_and_wait(self.store, batch)?;
        }
        Ok(self.records)
    }
}

fn places() -> impl Iterator<Item = (Table, Shard)> {
    Table::ALL.into_iter().flat_map(|table| Shard::all().map(move |shard| (table, shard)))
}

fn write_line<T: Serialize>(out: &mut dyn Write, line: &T) -> Result<(), PortableError> {
    let mut octets = serde_json::to_vec(line).map_err(std::io::Error::from)?;
    octets.push(b'\n');
    Ok(out.write_all(&octets)?)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, line: usize) -> Result<T, PortableError> {
    serde_json::from_str(text).map_err(|error| PortableError::Line { line, source: Some(error) })
}
