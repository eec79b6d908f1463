/// A date and time of day without offset.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl Civil {
    /// Seconds since 1970-01-01T00:00:00 in the proleptic Gregorian calendar.
    pub(super) fn to_epoch(&self) -> i64 {
        let time_of_day = (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60 + i64::from(self.second);
        days_since_epoch(self.year, self.month, self.day) * SECONDS_PER_DAY + time_of_day
    }

    /// The inverse of [`to_epoch`](Self::to_epoch).
    pub(super) fn from_epoch(seconds: i64) -> Self {
        let (year, month, day) = date_of_day(seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let small = |value: i64| u8::try_from(value).unwrap_or_default();
        let (hour, minute, second) = (small(of_day / 3600), small(of_day / 60 % 60), small(of_day % 60));
        Self { year, month, day, hour, minute, second }
    }
}

/// How many days a month has, 0 if there is no such month (RFC 3339 §5.7, §C).
pub(super) fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Whether a second ends a UTC month, `seconds` being the one after it.
pub(super) fn begins_month(seconds: i64) -> bool {
    seconds.rem_euclid(SECONDS_PER_DAY) == 0 && date_of_day(seconds.div_euclid(SECONDS_PER_DAY)).2 == 1
}

/// Whether a leap second was inserted just before `seconds`.
pub(super) fn is_announced_leap_second(seconds: i64) -> bool {
    let (year, month, _) = date_of_day(seconds.div_euclid(SECONDS_PER_DAY));
    let years = match month {
        1 => LEAP_SECONDS_DECEMBER,
        7 => LEAP_SECONDS_JUNE,
        _ => return false,
    };
    begins_month(seconds) && years.contains(&(year - i64::from(month == 1)))
}

/// Days from 1970-01-01, by counting years from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - DAYS_TO_EPOCH
}

/// Year, month and day of a day counted from 1970-01-01.
fn date_of_day(day: i64) -> (i64, u8, u8) {
    let day = day + DAYS_TO_EPOCH;
    let (cycle, of_cycle) = (day.div_euclid(DAYS_PER_400_YEARS), day.rem_euclid(DAYS_PER_400_YEARS));
    let year_of_cycle = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let day_of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or_default(), u8::try_from(day_of_month).unwrap_or_default())
}

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_PER_400_YEARS: i64 = 146_097;

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

/// Years whose June ended with a leap second.
const LEAP_SECONDS_JUNE: &[i64] = &[1972, 1981, 1982, 1983, 1985, 1992, 1993, 1994, 1997, 2012, 2015];

/// Years whose December ended with one.
const LEAP_SECONDS_DECEMBER: &[i64] =
    &[1972, 1973, 1974, 1975, 1976, 1977, 1978, 1979, 1987, 1989, 1990, 1995, 1998, 2005, 2008, 2016];

#[cfg(test)]
mod tests {
    use super::*;

    // checks: DT-04
    #[test]
    fn rfc3339_sc_days_follow_one_another() {
        let mut day = days_since_epoch(0, 1, 1);
        for year in 0..=2400 {
            for month in 1..=12 {
                for day_of_month in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day_of_month), day);
                    assert_eq!(date_of_day(day), (year, month, day_of_month));
                    day += 1;
                }
            }
        }
    }
}
