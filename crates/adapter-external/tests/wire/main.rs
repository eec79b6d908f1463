//! The stream itself, octet for octet what a hostile, broken or honest process could send.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "helpers of tests")]

mod gate;
mod hostile;
mod resume;
mod safe;
mod supervised;
mod tls;
