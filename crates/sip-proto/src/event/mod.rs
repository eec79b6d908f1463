//! Event notification (RFC 6665): what a notifier and a subscriber decide, without their messages.
//!
//! Neither machine sends or reads anything or looks at a clock; the caller builds the requests and feeds the answers.

mod notifier; // RFC 6665 §4.2
mod publications; // RFC 3903
mod state; // RFC 6665 §4.1.3
mod subscriber; // RFC 6665 §4.1

pub use notifier::{Notice, Notifier, NotifyAnswer};
pub use publications::{Publication, PublicationLimits, Publications, PublishError};
pub use state::{State, SubscriptionState};
pub use subscriber::{NotifyVerdict, ResponseVerdict, Subscriber};

use std::time::Duration;

/// RFC 6665 §4.1.2.4, Timer N: 64 times T1.
pub const TIMER_N: Duration = Duration::from_secs(32);

/// RFC 6665 §4.2.1.1: no duration from here on is ever too short.
pub const NEVER_TOO_BRIEF: u32 = 3600;

/// RFC 6665 §4.1.2.2, §4.2.2: whether a failure takes the subscription with it.
pub fn ends_subscription(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}
