//! Durations in configuration: text with a unit, as `20ms`, `2s`, `5m`, `24h`; `0` needs none.
//!
//! ```text
//! #[serde(default = "default_hold", with = "adapter_api::duration")]
//! #[schemars(with = "String")]
//! hold_timeout: Duration,
//! ```
//!
//! Optional ones use [`optional`] and `#[schemars(with = "Option<String>")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Why text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// No digits in front.
    #[error("a duration begins with a whole number, as in \"2s\"")]
    Number,
    /// No unit, or an unknown one.
    #[error("{found:?} is no unit of time; write one of ms, s, m, h, d, as in \"20ms\", \"2s\", \"5m\", \"24h\"")]
    Unit {
        /// What stands after the digits.
        found: String,
    },
    /// Beyond [`MAX`].
    #[error("longer than {} days", MAX.as_secs() / DAY)]
    TooLong,
}

/// The longest duration that is accepted: no timer of the gateway runs longer, and sums of a few stay in range.
pub const MAX: Duration = Duration::from_secs(3650 * DAY);

/// Parses `2s` and the like.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(DurationError::Number)?;
    if number.is_empty() {
        return Err(DurationError::Number);
    }
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let unit = unit.trim_start();
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let (_, _, millis) =
        UNITS.iter().find(|(name, ..)| *name == unit).ok_or_else(|| DurationError::Unit { found: unit.to_owned() })?;
    let millis = number.checked_mul(*millis).ok_or(DurationError::TooLong)?;
    Some(Duration::from_millis(millis)).filter(|duration| *duration <= MAX).ok_or(DurationError::TooLong)
}

/// Writes a duration in the largest unit that keeps it whole; what is below a millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0".to_owned();
    }
    // `24h` reads better than `1d`: days only from two on.
    let fits = |least: u64, unit: u64| millis >= u128::from(least) && millis.is_multiple_of(u128::from(unit));
    UNITS
        .iter()
        .find(|(_, least, unit)| fits(*least, *unit))
        .map_or_else(|| format!("{millis}ms"), |(name, _, unit)| format!("{}{name}", millis / u128::from(*unit)))
}

/// Name, the least value in milliseconds that is written in it, its length in milliseconds.
const UNITS: [(&str, u64, u64); 5] = [
    ("d", 2 * DAY * 1000, DAY * 1000),
    ("h", 3_600_000, 3_600_000),
    ("m", 60_000, 60_000),
    ("s", 1000, 1000),
    ("ms", 1, 1),
];

/// Seconds in a day.
const DAY: u64 = 86_400;

/// For `#[serde(with = "adapter_api::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For `#[serde(with = "adapter_api::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = Duration;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration in quotes with its unit, as \"2s\"")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}

/// For `#[serde(with = "adapter_api::duration::optional")]` on an `Option<Duration>`.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    /// Writes the duration, or nothing.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::format(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration, if there is one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Inner(#[serde(with = "super")] Duration);
        Ok(Option::<Inner>::deserialize(deserializer)?.map(|inner| inner.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read_and_written() {
        for (text, millis) in
            [("20ms", 20), ("2s", 2000), ("5m", 300_000), ("24h", 86_400_000), ("2d", 172_800_000), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse(" 90 s "), Ok(Duration::from_secs(90)));
        assert_eq!(format(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn text_without_number_or_unit_is_refused() {
        assert_eq!(parse("s"), Err(DurationError::Number));
        assert_eq!(parse(""), Err(DurationError::Number));
        assert_eq!(parse("-2s"), Err(DurationError::Number));
        assert_eq!(parse("2"), Err(DurationError::Unit { found: String::new() }));
        assert_eq!(parse("1.5s"), Err(DurationError::Unit { found: ".5s".to_owned() }));
        assert_eq!(parse("2 weeks"), Err(DurationError::Unit { found: "weeks".to_owned() }));
        assert_eq!(parse("99999999999999999999s"), Err(DurationError::TooLong));
        assert_eq!(parse("3651d"), Err(DurationError::TooLong));
    }

    #[test]
    fn serde_reads_and_writes_text() {
        #[derive(Debug, PartialEq, Deserialize, serde::Serialize)]
        struct Example {
            #[serde(with = "crate::duration")]
            hold: Duration,
            #[serde(default, with = "crate::duration::optional")]
            limit: Option<Duration>,
        }
        let example: Example = serde_json::from_str(r#"{"hold":"2s"}"#).unwrap();
        assert_eq!(example, Example { hold: Duration::from_secs(2), limit: None });
        let example: Example = serde_json::from_str(r#"{"hold":"2s","limit":"1h"}"#).unwrap();
        assert_eq!(serde_json::to_string(&example).unwrap(), r#"{"hold":"2s","limit":"1h"}"#);
        assert!(serde_json::from_str::<Example>(r#"{"hold":2}"#).is_err());
    }
}
