use std::fmt;

use super::HeaderError;
use crate::{grammar, header_id::HeaderId};

/// A point in time as RFC 1123 writes it, GMT only (RFC 3261 §20.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    seconds: i64,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_A_DAY: i64 = 86_400;

impl Date {
    /// From seconds since 1970-01-01T00:00:00Z, brought into the years 0 to 9999 that the form can write.
    pub fn from_unix(seconds: i64) -> Self {
        Self { seconds: seconds.clamp(-62_167_219_200, 253_402_300_799) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.seconds
    }

    /// Parses the value; the day of the week must be a name but is not compared with the date.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        parse(grammar::trim(text)).ok_or(HeaderError::Syntax(HeaderId::Date))
    }
}

fn parse(text: &str) -> Option<Date> {
    let (week_day, rest) = text.split_once(", ")?;
    DAYS.iter().position(|name| week_day.eq_ignore_ascii_case(name))?;
    let mut fields = rest.split(' ');
    let day = digits(fields.next()?, 2)?;
    let month_name = fields.next()?;
    let month = MONTHS.iter().position(|name| month_name.eq_ignore_ascii_case(name))?;
    let year = digits(fields.next()?, 4)?;
    let time = fields.next()?;
    // RFC 3261 §20.17: no other zone is allowed.
    if fields.next() != Some("GMT") || fields.next().is_some() {
        return None;
    }
    let mut parts = time.split(':').map(|part| digits(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let month = i64::try_from(month).ok()? + 1;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || day < 1 || day > days_in(year, month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    Some(Date::from_unix(days * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second))
}

fn digits(text: &str, width: usize) -> Option<i64> {
    if text.len() != width {
        return None;
    }
    grammar::number(text).and_then(|number| i64::try_from(number).ok())
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years counted from March, in eras of 400.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds.div_euclid(SECONDS_A_DAY);
        let second = self.seconds.rem_euclid(SECONDS_A_DAY);
        let (year, month, day) = civil_from_days(days);
        // 1970-01-01 was a Thursday, the fourth name.
        let name = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
        let week_day = name(&DAYS, (days + 3).rem_euclid(7)).unwrap_or_default();
        let month = name(&MONTHS, month - 1).unwrap_or_default();
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{week_day}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_same_instant() {
        for (text, unix) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Sun, 22 Nov 2026 12:00:00 GMT", 1_795_348_800),
        ] {
            assert_eq!(Date::parse(text).unwrap().unix(), unix, "{text}");
            assert_eq!(Date::from_unix(unix).to_string(), text);
        }
    }

    // checks: TOR-025
    #[test]
    fn rfc3261_s20_17_only_gmt_and_real_dates() {
        for text in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Fri, 01 Jan 2010 16:00:00",
            "Fri, 30 Feb 2010 16:00:00 GMT",
            "Fri, 1 Jan 2010 16:00:00 GMT",
            "Foo, 01 Jan 2010 16:00:00 GMT",
            "Fri, 01 Jan 2010 24:00:00 GMT",
            "Fri, 01 Jan 2010 16:00 GMT",
            "2010-01-01T16:00:00Z",
            "",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
