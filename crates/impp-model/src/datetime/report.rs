use serde::{Serialize, Serializer};

use super::{DateTime, Offset};

/// What `inspect datetime --json` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum DateTimeReport {
    /// The text is a date-time.
    Valid {
        /// The text looked at.
        input: String,
        /// Always true.
        valid: bool,
        /// Minutes, or the word `unknown`.
        offset: OffsetReport,
        /// [`DateTime::epoch_seconds`].
        epoch_seconds: i64,
        /// The digits after the point.
        fraction: Option<String>,
        /// Whether the second is a 60th.
        is_leap_second: bool,
        /// Whether PIDF allows it.
        pidf_valid: bool,
        /// Whether XMPP's end-to-end objects allow it.
        xmpp_e2e_valid: bool,
    },
    /// The text is not a date-time.
    Invalid {
        /// The text looked at.
        input: String,
        /// Always false.
        valid: bool,
        /// The error's class ([`DateTimeError::code`](super::DateTimeError::code)).
        error: &'static str,
        /// Why not, in words.
        reason: String,
        /// Octets before the error.
        position: usize,
    },
}

/// An offset, serialised as a number of minutes or as `"unknown"`.
#[derive(Debug)]
pub struct OffsetReport(Offset);

impl Serialize for OffsetReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Offset::Unknown => serializer.serialize_str("unknown"),
            Offset::Utc | Offset::Minutes(_) => serializer.serialize_i16(self.0.minutes()),
        }
    }
}

impl DateTimeReport {
    /// Parses `input` and reports what was found.
    pub fn inspect(input: &str) -> Self {
        match DateTime::parse(input) {
            Ok(time) => Self::Valid {
                input: input.into(),
                valid: true,
                offset: OffsetReport(time.offset()),
                epoch_seconds: time.epoch_seconds(),
                fraction: time.fraction().map(Into::into),
                is_leap_second: time.is_leap_second(),
                pidf_valid: time.is_pidf(),
                xmpp_e2e_valid: time.is_xmpp_e2e(),
            },
            Err(error) => Self::Invalid {
                input: input.into(),
                valid: false,
                error: error.code(),
                reason: error.to_string(),
                position: error.position(),
            },
        }
    }
}
