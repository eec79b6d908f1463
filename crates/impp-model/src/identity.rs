//! The id under which a message goes on: what a later error, a report or a repeat names it by (RFC 3860 §3.1, RFC 5438 §6.3).

use crate::MessageOperation;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Ids are echoed by every client; longer ones are replaced.
const MAX_ID_LEN: usize = 256;

/// Keeps these ids apart from other uses of the hash.
const CONTEXT: &[u8] = b"interlingua message id v1\0";

impl MessageOperation {
    /// The id under which every far side knows the message: its sender's own where any protocol can carry it, else a pure
    /// function of the source and what identifies the message on its near side, so that a repeat has it again.
    pub fn carried_id(&self) -> Cow<'_, str> {
        match &self.message.id {
            Some(id) if is_portable(id.as_str()) => id.as_str().into(),
            Some(id) => self.derived_id(id.as_str()).into(),
            None => self.derived_id(self.trans_id.as_str()).into(),
        }
    }

    fn derived_id(&self, near_id: &str) -> String {
        let fields = [self.source.address.local(), self.source.address.domain().as_str(), near_id];
        let hash = fields.iter().fold(Sha256::new_with_prefix(CONTEXT), |hash, field| {
            hash.chain_update(field.len().to_be_bytes()).chain_update(field)
        });
        // 128 bits, so that no two messages share one.
        hex(hash.finalize().first_chunk::<16>().map_or(&[], <[u8; 16]>::as_slice))
    }
}

/// Octets as lower-case hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let digits: Vec<u8> = octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect();
    String::from_utf8(digits).unwrap_or_default()
}

/// Whether an id can stand in a header and in an XML attribute alike.
fn is_portable(id: &str) -> bool {
    // XML 1.0 §2.2: U+FFFE and U+FFFF are no characters.
    let portable = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    !id.is_empty() && id.len() <= MAX_ID_LEN && id.chars().all(portable)
}

#[cfg(test)]
mod tests {
    use crate::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation};

    fn message(from: &str, id: Option<&str>, trans_id: &str) -> MessageOperation {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        MessageOperation {
            source: end(from),
            destination: end("juliet@example.com"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: trans_id.into(),
            message: InstantMessage { id: id.map(Into::into), ..InstantMessage::new(Content::text("hi")) },
        }
    }

    // checks: IM-007
    #[test]
    fn an_id_is_carried_or_replaced_always_by_the_same() {
        assert_eq!(message("a@example.net", Some("m 1"), "t").carried_id(), "m 1");
        let long = "x".repeat(257);
        for odd in [None, Some(""), Some("a\nb"), Some("a\u{ffff}"), Some(long.as_str())] {
            let id = message("a@example.net", odd, "t").carried_id().into_owned();
            assert_eq!(id.len(), 32);
            assert_eq!(id, message("a@example.net", odd, "t").carried_id());
            assert_ne!(id, message("b@example.net", odd, "t").carried_id());
        }
        assert_ne!(message("a@example.net", None, "t").carried_id(), message("a@example.net", None, "u").carried_id());
    }
}
