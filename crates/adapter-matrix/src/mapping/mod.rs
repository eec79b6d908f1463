//! Matrix to operations and back: pure functions.

mod address;
mod error;
mod event;

pub(crate) use address::{Names, is_plain};
pub(crate) use error::{Refusal, retry_after};
pub(crate) use event::{MAX_BODY, Member, Seen, message_content, notice, read_event, read_state, to_presence};
