use std::fmt;

/// Why text is not a date-time of RFC 3339; positions count octets from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateTimeError {
    /// RFC 3339 §5.6: another character than the grammar has there, or the end.
    #[error("octet {at}: not a date-time of RFC 3339")]
    Syntax {
        /// Where.
        at: usize,
    },
    /// RFC 3339 §5.7: a number that its field does not reach.
    #[error("octet {at}: {field} out of range")]
    Range {
        /// Where the number stands.
        at: usize,
        /// Which field.
        field: Field,
    },
    /// RFC 3339 §5.7: a second 60 other than at the end of a UTC month.
    #[error("octet 17: no leap second can be there")]
    LeapSecond,
}

impl DateTimeError {
    /// The code of the error, stable for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "E_SYNTAX",
            Self::Range { .. } => "E_RANGE",
            Self::LeapSecond => "E_LEAP_SECOND",
        }
    }

    /// Octets before the error.
    pub fn position(&self) -> usize {
        match *self {
            Self::Syntax { at } | Self::Range { at, .. } => at,
            Self::LeapSecond => super::parse::SECOND_AT,
        }
    }
}

/// A field of a date-time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 01 to 12.
    Month,
    /// 01 to the length of the month.
    Day,
    /// 00 to 23.
    Hour,
    /// 00 to 59.
    Minute,
    /// 00 to 60.
    Second,
    /// 00 to 23.
    OffsetHour,
    /// 00 to 59.
    OffsetMinute,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::OffsetHour => "hour of the offset",
            Self::OffsetMinute => "minute of the offset",
        })
    }
}
