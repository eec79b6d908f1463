//! One line: a verb and its fields.

use std::fmt;

/// A verb and its fields, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The verb, as `MSG`.
    pub verb: String,
    /// What follows.
    pub fields: Vec<String>,
}

/// Why text is not a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A backslash before something that it does not escape.
    #[error("unknown escape in field {field}")]
    Escape {
        /// Counted from the verb, which is 0.
        field: usize,
    },
    /// More than MAX_LINE_LEN octets.
    #[error("a line of more than {MAX_LINE_LEN} octets")]
    TooLong,
}

/// Room for a message of 64 KB in which every character is escaped, and its addresses.
pub(crate) const MAX_LINE_LEN: usize = 136 * 1024;

impl Line {
    /// A line of this verb.
    pub fn new<'a>(verb: &str, fields: impl IntoIterator<Item = &'a str>) -> Self {
        Self { verb: verb.to_owned(), fields: fields.into_iter().map(str::to_owned).collect() }
    }

    /// Reads a line without its end.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        if text.len() > MAX_LINE_LEN {
            return Err(LineError::TooLong);
        }
        let mut fields = Vec::new();
        for (field, escaped) in text.split(' ').enumerate() {
            fields.push(unescape(escaped).ok_or(LineError::Escape { field })?);
        }
        let verb = fields.remove(0);
        Ok(Self { verb, fields })
    }
}

impl fmt::Display for Line {
    /// Writes the line without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        self.fields.iter().try_for_each(|field| write!(f, " {}", escape(field)))
    }
}

fn escape(field: &str) -> String {
    if field.is_empty() {
        return "\\e".to_owned();
    }
    let mut escaped = String::with_capacity(field.len() + 8);
    for c in field.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ' ' => escaped.push_str("\\s"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next()? {
                '\\' => plain.push('\\'),
                's' => plain.push(' '),
                'n' => plain.push('\n'),
                'r' => plain.push('\r'),
                'e' => {}
                _ => return None,
            },
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_back_as_it_was() {
        let line = Line::new("MSG", ["", "a b", "\r\n", "\\s", "ü\0"]);
        assert_eq!(line.to_string(), "MSG \\e a\\sb \\r\\n \\\\s ü\0");
        assert_eq!(Line::parse(&line.to_string()), Ok(line));
    }

    #[test]
    fn other_escapes_and_long_lines_are_refused() {
        assert_eq!(Line::parse("MSG a\\x"), Err(LineError::Escape { field: 1 }));
        assert_eq!(Line::parse("MSG \\"), Err(LineError::Escape { field: 1 }));
        assert_eq!(Line::parse(&"x".repeat(MAX_LINE_LEN + 1)), Err(LineError::TooLong));
    }
}
