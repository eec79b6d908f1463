use super::calendar::{Civil, begins_month, days_in_month};
use super::{DateTime, DateTimeError, Field, Offset};

pub(super) fn parse(text: &str) -> Result<DateTime, DateTimeError> {
    let mut scan = Scanner { octets: text.as_bytes(), at: 0 };
    let (year, month, day) = scan.date()?;
    scan.expect(b"Tt")?;
    let (hour, minute, second) = scan.time()?;
    let fraction_len = scan.fraction()?;
    let offset = scan.offset()?;
    scan.end()?;

    let leap_second = second == 60;
    let local = Civil { year, month, day, hour, minute, second };
    let seconds = local.to_epoch() - i64::from(offset.minutes()) * 60;
    // RFC 3339 §5.7: second 60 only ends a UTC month, whatever the offset makes of it locally.
    if leap_second && !begins_month(seconds) {
        return Err(DateTimeError::LeapSecond);
    }
    Ok(DateTime { text: text.into(), seconds, fraction_len, offset, leap_second })
}

/// Where the seconds stand in every date-time.
pub(super) const SECOND_AT: usize = "2004-08-13T13:40:".len();

struct Scanner<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn date(&mut self) -> Result<(i64, u8, u8), DateTimeError> {
        let century = self.number(Field::Month, 0, 99)?;
        let year = i64::from(century) * 100 + i64::from(self.number(Field::Month, 0, 99)?);
        self.expect(b"-")?;
        let month = self.number(Field::Month, 1, 12)?;
        self.expect(b"-")?;
        let day = self.number(Field::Day, 1, days_in_month(year, month))?;
        Ok((year, month, day))
    }

    fn time(&mut self) -> Result<(u8, u8, u8), DateTimeError> {
        let hour = self.number(Field::Hour, 0, 23)?;
        self.expect(b":")?;
        let minute = self.number(Field::Minute, 0, 59)?;
        self.expect(b":")?;
        Ok((hour, minute, self.number(Field::Second, 0, 60)?))
    }

    /// How many digits follow the point; there may be none of both.
    fn fraction(&mut self) -> Result<usize, DateTimeError> {
        if self.peek() != Some(b'.') {
            return Ok(0);
        }
        self.at += 1;
        let start = self.at;
        while self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(DateTimeError::Syntax { at: start }) } else { Ok(self.at - start) }
    }

    fn offset(&mut self) -> Result<Offset, DateTimeError> {
        let sign = self.expect(b"Zz+-")?;
        if matches!(sign, b'Z' | b'z') {
            return Ok(Offset::Utc);
        }
        let hours = self.number(Field::OffsetHour, 0, 23)?;
        self.expect(b":")?;
        let minutes = i16::from(hours) * 60 + i16::from(self.number(Field::OffsetMinute, 0, 59)?);
        Ok(match (sign, minutes) {
            // RFC 3339 §4.3: the local offset is not known.
            (b'-', 0) => Offset::Unknown,
            (b'-', minutes) => Offset::Minutes(-minutes),
            (_, minutes) => Offset::Minutes(minutes),
        })
    }

    fn end(&self) -> Result<(), DateTimeError> {
        if self.at == self.octets.len() { Ok(()) } else { Err(self.syntax()) }
    }

    /// Two digits within a range.
    fn number(&mut self, field: Field, min: u8, max: u8) -> Result<u8, DateTimeError> {
        let at = self.at;
        let value = self.digit()? * 10 + self.digit()?;
        if (min..=max).contains(&value) { Ok(value) } else { Err(DateTimeError::Range { at, field }) }
    }

    fn digit(&mut self) -> Result<u8, DateTimeError> {
        Ok(self.expect(b"0123456789")? - b'0')
    }

    fn expect(&mut self, any_of: &[u8]) -> Result<u8, DateTimeError> {
        match self.peek() {
            Some(octet) if any_of.contains(&octet) => {
                self.at += 1;
                Ok(octet)
            }
            Some(_) | None => Err(self.syntax()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn syntax(&self) -> DateTimeError {
        DateTimeError::Syntax { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: DT-01, DT-03, DT-05, DT-07
    #[test]
    fn errors_name_field_and_position() {
        let refused = |text| parse(text).unwrap_err();
        assert_eq!(refused("2004-08-13 13:40:00Z"), DateTimeError::Syntax { at: 10 });
        assert_eq!(refused("2004-02-30T00:00:00Z"), DateTimeError::Range { at: 8, field: Field::Day });
        assert_eq!(refused("2004-08-13T24:00:00Z"), DateTimeError::Range { at: 11, field: Field::Hour });
        assert_eq!(refused("2004-08-13T13:40:00.Z"), DateTimeError::Syntax { at: 20 });
        assert_eq!(refused("2004-08-13T13:40:00+08:60"), DateTimeError::Range { at: 23, field: Field::OffsetMinute });
        assert_eq!(refused("2016-12-30T23:59:60Z"), DateTimeError::LeapSecond);
        assert_eq!(refused("2016-12-31T23:59:60+01:00"), DateTimeError::LeapSecond);
    }
}
