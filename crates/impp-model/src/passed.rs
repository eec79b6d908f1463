//! Which gateways an operation has passed: the memory that a protocol without hop count lacks.

use crate::{Address, Domain};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One gateway's mark on an operation between two addresses.
///
/// It holds the addresses as RFC 5393 §4.2 has a branch hold what a loop would bring back unchanged: a gateway that is
/// passed again for another addressee sees another mark, for lists and forwarding legitimately lead back (RFC 3860 §3.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark(u64);

/// The marks of the gateways passed so far, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed(Vec<Mark>);

/// Why an operation may not pass this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// It was here before, from the same source to the same destination.
    #[error("it has passed this gateway before")]
    Again,
    /// It has passed too many gateways.
    #[error("it has passed {MAX_MARKS} gateways")]
    TooMany,
}

/// Gateways on one way: two translate there and back, a third and a fourth are odd, more are a mistake; the marks take
/// 136 octets of a request that must not pass 1300.
pub const MAX_MARKS: usize = 8;

/// Hex digits of a mark.
const DIGITS: usize = 16;

impl Mark {
    /// The mark of `gateway` on what goes from `source` to `destination`; the same in every process and release.
    pub fn of(gateway: &Domain, source: &Address, destination: &Address) -> Self {
        let parts = [
            gateway.as_str(),
            source.local(),
            source.domain().as_str(),
            destination.local(),
            destination.domain().as_str(),
        ];
        // FNV-1a: a mark is found again, it proves nothing.
        let octets = parts.iter().flat_map(|part| part.bytes().chain([0]));
        Self(octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)))
    }
}

impl Passed {
    /// Reads marks as they are written; what is no mark is left out, and of too many the first stay.
    pub fn parse(text: &str) -> Self {
        let mark = |word: &str| {
            let written = word.len() == DIGITS && word.bytes().all(|octet| octet.is_ascii_hexdigit());
            u64::from_str_radix(word, 16).ok().filter(|_| written).map(Mark)
        };
        Self(text.split([' ', ',']).filter_map(mark).take(MAX_MARKS).collect())
    }

    /// Whether no gateway was passed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the mark of the gateway that is being passed.
    pub fn pass(&mut self, mark: Mark) -> Result<(), PassError> {
        match (self.0.contains(&mark), self.0.len()) {
            (true, _) => Err(PassError::Again),
            (false, MAX_MARKS..) => Err(PassError::TooMany),
            (false, _) => {
                self.0.push(mark);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mark(mark)) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{mark:016x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(gateway: &str, from: &str, to: &str) -> Mark {
        let address = |text: &str| Address::parse_bare(text).unwrap();
        Mark::of(&Domain::parse_host(gateway).unwrap(), &address(from), &address(to))
    }

    // checks: IM-14, IM-15
    #[test]
    fn a_gateway_knows_what_it_has_passed_and_not_what_goes_elsewhere() {
        let mut passed = Passed::default();
        passed.pass(mark("gw.example", "a@one.example", "b@two.example")).unwrap();
        passed.pass(mark("other.example", "a@one.example", "b@two.example")).unwrap();
        let mut read = Passed::parse(&passed.to_string());
        assert_eq!(read, passed);
        assert_eq!(read.pass(mark("gw.example", "a@one.example", "b@two.example")), Err(PassError::Again));
        read.pass(mark("gw.example", "a@one.example", "c@two.example")).unwrap();
    }

    #[test]
    fn the_mark_of_a_release_is_that_of_the_next() {
        let mut passed = Passed::default();
        passed.pass(mark("gw.example", "a@one.example", "b@two.example")).unwrap();
        assert_eq!(passed.to_string(), "2c207b9532eb1988");
    }

    #[test]
    fn marks_are_bounded_and_rubbish_is_left_out() {
        let text = (0..50).map(|n| format!("{n:016x}")).collect::<Vec<_>>().join(", ");
        let mut passed = Passed::parse(&text);
        assert_eq!(passed.to_string().split(' ').count(), MAX_MARKS);
        assert_eq!(passed.pass(mark("gw.example", "a@one.example", "b@two.example")), Err(PassError::TooMany));
        assert!(Passed::parse("1, +000000000000001, zz, 00000000000000010, \r\n").is_empty());
    }
}
