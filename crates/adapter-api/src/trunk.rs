//! `[domain.trunk]`: how this gateway makes itself known to the server of a domain.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the server of a domain wants before it takes anything, and how it is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trunk {
    /// What to answer its challenges with.
    pub credentials: Option<Credentials>,
    /// Whether to register there, so that it sends back what is for us.
    pub register: bool,
    /// How often to ask whether it answers; none: never.
    pub keep_alive: Option<Duration>,
}

/// A user name and password, as the server knows us.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name; also the user part of the address that is registered.
    pub username: Arc<str>,
    /// The password.
    pub password: Arc<str>,
    /// The realm, when no other may ask.
    pub realm: Option<Arc<str>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What became of the last try to register at a trunk's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// The server has it, for so many seconds from then.
    Held {
        /// As granted.
        seconds: u32,
    },
    /// The server said no.
    Refused {
        /// Its answer.
        status: u16,
    },
    /// Nobody answered.
    Unanswered,
    /// It was taken back.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { username: "gw".into(), password: "hidden".into(), realm: None };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
