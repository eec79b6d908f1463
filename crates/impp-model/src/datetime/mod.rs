//! Date-times of RFC 3339, kept as they were written.

mod calendar;
mod error;
mod parse;
mod report;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use calendar::Civil;
pub use error::{DateTimeError, Field};
pub use report::{DateTimeReport, OffsetReport};

/// A date-time by RFC 3339 §5.6, with the text it was made from.
///
/// `==` compares spellings, so that a relayed document's time is known to be unchanged; instants are compared by
/// [`is_same_instant`](Self::is_same_instant) and [`cmp_instant`](Self::cmp_instant).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DateTime {
    text: Arc<str>,
    seconds: i64,
    fraction_len: usize,
    offset: Offset,
    leap_second: bool,
}

/// How local time differs from UTC (RFC 3339 §4.2, §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offset {
    /// `Z`: written in UTC.
    Utc,
    /// Local time minus UTC in minutes, from -1439 to 1439; `+00:00` is 0.
    Minutes(i16),
    /// `-00:00`: the time is UTC, the local offset is not known.
    Unknown,
}

impl Offset {
    /// Minutes to subtract from the written time to get UTC.
    pub fn minutes(self) -> i16 {
        match self {
            Self::Utc | Self::Unknown => 0,
            Self::Minutes(minutes) => minutes,
        }
    }
}

impl DateTime {
    /// Parses a date-time, in which `t` and `z` may be lower case.
    ///
    /// A second 60 is taken at the end of any UTC month, announced or not, since a receiver cannot know (RFC 3339 §D).
    pub fn parse(text: &str) -> Result<Self, DateTimeError> {
        parse::parse(text)
    }

    /// The date-time of so many seconds after 1970-01-01T00:00:00Z, in UTC; nanoseconds count forward.
    ///
    /// The fraction is as short as it can be. `None` outside the years 0000 to 9999.
    pub fn from_epoch(seconds: i64, nanos: u32) -> Option<Self> {
        let fraction = format!("{nanos:09}");
        Self::in_utc(seconds, false, fraction.trim_end_matches('0'))
    }

    /// The date-time of a clock reading in UTC, cut to milliseconds.
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let (seconds, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()).ok()?, after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let whole = -i64::try_from(before.as_secs()).ok()?;
                match before.subsec_nanos() {
                    0 => (whole, 0),
                    nanos => (whole - 1, NANOS_PER_SECOND - nanos),
                }
            }
        };
        Self::from_epoch(seconds, nanos - nanos % NANOS_PER_MILLI)
    }

    /// The same instant written in UTC with capital `T` and `Z`, as XEP-0082 §3.2 and RFC 3923 §6.9 want it.
    ///
    /// `None` if the offset moves it out of the years 0000 to 9999.
    pub fn to_utc(&self) -> Option<Self> {
        if self.is_xmpp_e2e() && self.is_pidf() {
            return Some(self.clone());
        }
        Self::in_utc(self.seconds, self.leap_second, self.fraction().unwrap_or_default())
    }

    fn in_utc(seconds: i64, leap_second: bool, fraction: &str) -> Option<Self> {
        // A leap second is folded onto the second after it, and written as the 60th of the minute before.
        let civil = Civil::from_epoch(seconds - i64::from(leap_second));
        let (y, mo, d) = (u16::try_from(civil.year).ok().filter(|year| *year <= 9999)?, civil.month, civil.day);
        let (h, mi, s) = (civil.hour, civil.minute, civil.second + u8::from(leap_second));
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}{point}{fraction}Z").into();
        Some(Self { text, seconds, fraction_len: fraction.len(), offset: Offset::Utc, leap_second })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Seconds since 1970-01-01T00:00:00Z without the fraction; a leap second counts as the second after it.
    pub fn epoch_seconds(&self) -> i64 {
        self.seconds
    }

    /// The digits after the point.
    pub fn fraction(&self) -> Option<&str> {
        self.text.get(FRACTION_AT..FRACTION_AT + self.fraction_len).filter(|digits| !digits.is_empty())
    }

    /// The fraction in nanoseconds, further digits cut off.
    pub fn nanos(&self) -> u32 {
        let digits = self.fraction().unwrap_or_default().bytes().chain(std::iter::repeat(b'0'));
        digits.take(9).fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'))
    }

    /// The offset from UTC as written.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Whether this is a 60th second.
    pub fn is_leap_second(&self) -> bool {
        self.leap_second
    }

    /// Whether this is one of the leap seconds inserted until 2016 (RFC 3339 §D and IERS bulletins).
    pub fn is_announced_leap_second(&self) -> bool {
        self.leap_second && calendar::is_announced_leap_second(self.seconds)
    }

    /// RFC 3863 §4.1.7: whether `T` and `Z` are capitals, as PIDF demands.
    pub fn is_pidf(&self) -> bool {
        !self.text.contains(['t', 'z'])
    }

    /// RFC 3923 §6.9: whether this is in UTC without an offset.
    pub fn is_xmpp_e2e(&self) -> bool {
        self.offset == Offset::Utc
    }

    /// Which of two instants is earlier, exact to the last digit of the fraction.
    pub fn cmp_instant(&self, other: &Self) -> Ordering {
        self.instant_key().cmp(&other.instant_key())
    }

    /// Whether both name one instant.
    pub fn is_same_instant(&self, other: &Self) -> bool {
        self.cmp_instant(other).is_eq()
    }

    /// A leap second sorts before the ordinary second that shares its number.
    fn instant_key(&self) -> (i64, bool, &str) {
        (self.seconds, !self.leap_second, self.fraction().unwrap_or_default().trim_end_matches('0'))
    }

    /// The instant as a clock reading; within a leap second, the clock stands at the second after it.
    ///
    /// `None` if the platform's clock does not reach so far.
    pub fn to_system_time(&self) -> Option<SystemTime> {
        let nanos = if self.leap_second { 0 } else { self.nanos() };
        let magnitude = Duration::from_secs(self.seconds.unsigned_abs());
        let whole = if self.seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(magnitude)?
        } else {
            SystemTime::UNIX_EPOCH.checked_add(magnitude)?
        };
        whole.checked_add(Duration::from_nanos(nanos.into()))
    }
}

/// Octets before the fraction's digits in every date-time that has some.
const FRACTION_AT: usize = "2004-08-13T13:40:00.".len();

const NANOS_PER_SECOND: u32 = 1_000_000_000;
const NANOS_PER_MILLI: u32 = 1_000_000;

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateTime({})", self.text)
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        Self::parse(text)
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        DateTime::parse(text).unwrap()
    }

    // checks: DT-08
    #[test]
    fn rfc3339_s4_3_text_and_offset_are_kept() {
        let unknown = at("2004-08-13T00:00:00-00:00");
        assert_eq!((unknown.as_str(), unknown.offset()), ("2004-08-13T00:00:00-00:00", Offset::Unknown));
        assert_ne!(unknown, at("2004-08-13T00:00:00+00:00"));
        assert!(unknown.is_same_instant(&at("2004-08-13T00:00:00Z")));
    }

    // checks: DT-09
    #[test]
    fn fractions_are_compared_to_the_last_digit() {
        let long = at("2004-08-13T13:40:00.1234567890123Z");
        assert_eq!(long.nanos(), 123_456_789);
        assert_eq!(long.cmp_instant(&at("2004-08-13T13:40:00.1234567890124Z")), Ordering::Less);
        assert!(at("2004-08-13T13:40:00.50Z").is_same_instant(&at("2004-08-13T13:40:00.5Z")));
    }

    // checks: DT-05
    #[test]
    fn a_leap_second_sorts_between_its_neighbours() {
        let leap = at("2016-12-31T23:59:60.5Z");
        assert!(leap.is_announced_leap_second());
        assert!(!at("2030-12-31T23:59:60Z").is_announced_leap_second());
        assert_eq!(leap.cmp_instant(&at("2016-12-31T23:59:59.9Z")), Ordering::Greater);
        assert_eq!(leap.cmp_instant(&at("2017-01-01T00:00:00Z")), Ordering::Less);
        assert_eq!(leap.to_system_time(), at("2017-01-01T00:00:00Z").to_system_time());
    }

    // checks: DT-02, DT-12
    #[test]
    fn xep0082_s3_2_instants_are_written_in_utc() {
        let utc = |text| at(text).to_utc().map(|t| t.to_string());
        assert_eq!(utc("1990-12-31t15:59:60.25-08:00").as_deref(), Some("1990-12-31T23:59:60.25Z"));
        assert_eq!(utc("1937-01-01T12:00:27.87+00:20").as_deref(), Some("1937-01-01T11:40:27.87Z"));
        assert_eq!(utc("2004-02-29T23:59:59z").as_deref(), Some("2004-02-29T23:59:59Z"));
        assert_eq!(utc("9999-12-31T23:59:59-00:01"), None);
        assert_eq!(utc("0000-01-01T00:00:00+00:01"), None);
    }

    #[test]
    fn clock_readings_round_trip_to_the_millisecond() {
        for seconds in [-62_167_219_200, -1, 0, 951_782_399, 253_402_300_799] {
            let time = DateTime::from_epoch(seconds, 250_000_000).unwrap();
            assert_eq!((time.epoch_seconds(), time.nanos()), (seconds, 250_000_000));
            assert_eq!(DateTime::parse(time.as_str()), Ok(time.clone()));
            assert_eq!(DateTime::from_system_time(time.to_system_time().unwrap()), Some(time));
        }
        assert_eq!(DateTime::from_epoch(0, 0).unwrap().as_str(), "1970-01-01T00:00:00Z");
        assert_eq!(DateTime::from_epoch(253_402_300_800, 0), None);
    }

    #[test]
    fn a_date_time_is_one_string_in_json() {
        let time = at("2004-08-13T13:40:00.0+02:00");
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2004-08-13T13:40:00.0+02:00\"");
        assert_eq!(serde_json::from_str::<DateTime>(&json).unwrap(), time);
    }
}
