//! What commands read: a file, else standard input.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

/// All octets of the file; without one, of standard input.
pub(crate) fn read(file: Option<&Path>) -> Result<Vec<u8>> {
    match file {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display())),
        None => {
            let mut octets = Vec::new();
            std::io::stdin().lock().read_to_end(&mut octets).context("cannot read standard input")?;
            Ok(octets)
        }
    }
}
