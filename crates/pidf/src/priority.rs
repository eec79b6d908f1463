//! Contact priorities.

use std::fmt;
use std::str::FromStr;

/// The priority of a contact: 0 to 1 with at most three decimals, spelled as it was written (RFC 3863 §4.1.5).
///
/// Priorities compare by value, and a contact without one is the lowest: `Option<Priority>` orders as the RFC says.
#[derive(Debug, Clone, Copy)]
pub struct Priority {
    thousandths: u16,
    /// Digits after the point; none without a point.
    decimals: Option<u8>,
}

/// Text that is no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number from 0 to 1 with at most three decimals")]
pub struct PriorityError;

impl Priority {
    /// The lowest that can be written.
    pub const ZERO: Self = Self { thousandths: 0, decimals: None };
    /// The highest.
    pub const ONE: Self = Self { thousandths: 1000, decimals: None };

    /// A priority of so many thousandths: `0`, `1`, or three decimals between. `None` above 1,000.
    pub const fn from_thousandths(thousandths: u16) -> Option<Self> {
        match thousandths {
            0 => Some(Self::ZERO),
            1..1000 => Some(Self { thousandths, decimals: Some(3) }),
            1000 => Some(Self::ONE),
            _ => None,
        }
    }

    /// Parses a priority; white space around it does not count, for the schema's type is a decimal.
    pub fn parse(text: &str) -> Result<Self, PriorityError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        // RFC 3863 §4.4 with erratum 1606: the point in the patterns is a point.
        let digits = decimals.unwrap_or_default();
        if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(PriorityError);
        }
        let fraction = digits.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let thousandths = match (whole, fraction) {
            ("0", fraction) => fraction,
            ("1", 0) => 1000,
            (_, _) => return Err(PriorityError),
        };
        Ok(Self { thousandths, decimals: decimals.and_then(|digits| u8::try_from(digits.len()).ok()) })
    }

    /// The value times 1,000.
    pub const fn thousandths(self) -> u16 {
        self.thousandths
    }
}

impl PartialEq for Priority {
    fn eq(&self, other: &Self) -> bool {
        self.thousandths == other.thousandths
    }
}

impl Eq for Priority {}

impl PartialOrd for Priority {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Priority {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.thousandths / 1000)?;
        let Some(decimals) = self.decimals else { return Ok(()) };
        let digits = format!("{:03}", self.thousandths % 1000);
        write!(f, ".{}", digits.get(..usize::from(decimals)).unwrap_or(&digits))
    }
}

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-11, X-11
    #[test]
    fn rfc3863_s4_1_5_three_decimals_from_0_to_1() {
        for text in ["0", "1", "0.", "0.0", "0.5", "0.021", "0.50", "1.", "1.0", "1.000"] {
            assert_eq!(Priority::parse(text).map(|priority| priority.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["", ".5", "05", "00", "2", "1.001", "-0", "+1", "0.1234", "1e0", "0,5", "0.5.", "high", "0.\u{661}"]
        {
            assert_eq!(Priority::parse(text), Err(PriorityError), "{text}");
        }
        assert_eq!(Priority::parse("\n 0.8 ").map(Priority::thousandths), Ok(800));
    }

    // checks: PD-11
    #[test]
    fn no_priority_is_the_lowest() {
        let [low, high] = ["0.1", "0.10"].map(|text| Priority::parse(text).unwrap());
        assert_eq!(low, high);
        assert!(None < Some(Priority::ZERO) && Some(Priority::ZERO) < Some(low) && low < Priority::ONE);
        assert_eq!(Priority::from_thousandths(7).map(|priority| priority.to_string()).as_deref(), Some("0.007"));
        assert_eq!(Priority::from_thousandths(1001), None);
    }
}
