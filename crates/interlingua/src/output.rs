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

/// What others wrote, as it can be shown on a terminal: control characters are named, and further lines are set in, so that
/// no message looks like two.
pub(crate) fn foreign(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' => shown.push_str("\n    "),
            '\t' => shown.push(c),
            _ if c.is_control() => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Prints a diagnostic.
pub(crate) fn diagnose(text: &str) {
    // There is no better place to complain that standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn what_others_wrote_commands_no_terminal() {
        assert_eq!(foreign("a\u{1b}[31mb\tc"), "a\\u{1b}[31mb\tc");
        assert_eq!(foreign("hi\r\nromeo@sip.example: pay me"), "hi\n    romeo@sip.example: pay me");
        assert_eq!(foreign("Grüße 😀"), "Grüße 😀");
    }
}
