//! Events that a homeserver tells.

use crate::carried;

/// Reads `input` as one event, and carries what it says.
pub fn run(input: &[u8]) {
    let (message, presence) = adapter_matrix::fuzz::event(input);
    if let Some(message) = message {
        carried::message(&message);
    }
    if let Some((user, info)) = presence {
        carried::presence(&info, &user, &user);
    }
}
