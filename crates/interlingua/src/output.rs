//! What commands print: results on standard output, diagnostics on standard error.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Prints one JSON object.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    text(&serde_json::to_string(value).context("the result cannot be written as JSON")?)
}

/// Prints text and a line end. A reader that has gone away is no error.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let text = text.strip_suffix('\n').unwrap_or(text);
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a diagnostic.
pub(crate) fn diagnose(text: &str) {
    // There is no better place to complain that standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}
