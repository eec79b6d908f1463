//! The header Subscription-State.

use std::fmt;

use crate::grammar::{Cursor, trim};
use crate::header::{HeaderError, Params};
use crate::header_id::HeaderId;

/// RFC 6665 §4.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted and served.
    Active,
    /// Received, and not decided upon.
    Pending,
    /// Over.
    Terminated,
}

/// A Subscription-State.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// The state; an unknown one counts as active (RFC 6665 §4.1.3).
    pub state: State,
    /// Seconds it lasts.
    pub expires: Option<u32>,
    /// Why it is over, as written.
    pub reason: Option<&'a str>,
    /// Seconds before which it may not be tried again.
    pub retry_after: Option<u32>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads the header's value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let (state, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let malformed = HeaderError::Syntax(HeaderId::SubscriptionState);
        let mut cursor = Cursor::new(rest);
        let params = Params::take(&mut cursor).filter(|_| cursor.is_done()).ok_or(malformed)?;
        let state = match trim(state) {
            "" => return Err(malformed),
            word if word.eq_ignore_ascii_case("pending") => State::Pending,
            word if word.eq_ignore_ascii_case("terminated") => State::Terminated,
            _ => State::Active,
        };
        let seconds = |name: &str| params.get(name).and_then(|text| text.parse().ok());
        let (expires, retry_after) = (seconds("expires"), seconds("retry-after"));
        Ok(Self { state, expires, reason: params.get("reason"), retry_after })
    }
}

impl fmt::Display for SubscriptionState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Active => "active",
            State::Pending => "pending",
            State::Terminated => "terminated",
        })?;
        if let Some(reason) = self.reason {
            write!(f, ";reason={reason}")?;
        }
        if let Some(expires) = self.expires {
            write!(f, ";expires={expires}")?;
        }
        match self.retry_after {
            Some(seconds) => write!(f, ";retry-after={seconds}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: EVT-016, EVT-025
    #[test]
    fn rfc6665_s4_1_3_states_are_read_and_written() {
        for text in ["active;expires=60", "pending;expires=3600", "terminated;reason=probation;retry-after=5"] {
            assert_eq!(SubscriptionState::parse(text).unwrap().to_string(), text);
        }
        let odd = SubscriptionState::parse("Terminated ; reason=timeout ; x=y").unwrap();
        assert_eq!((odd.state, odd.reason, odd.expires), (State::Terminated, Some("timeout"), None));
        assert_eq!(SubscriptionState::parse("waiting").unwrap().state, State::Active);
        assert!(SubscriptionState::parse("").is_err());
    }
}
