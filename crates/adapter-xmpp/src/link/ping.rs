//! Pings whose answers prove what was written before them (XEP-0199).

use strict_xml::Element;
use xmpp_proto::ns;
use xmpp_proto::stanza::{Iq, IqType};

/// What the ids of pings begin with.
const PING_PREFIX: &str = "ilb";

/// XEP-0199 §4.2.
pub(super) fn ping(from: &str, to: &str, id: &str) -> Iq {
    let request = Iq::request(IqType::Get, id.to_owned(), Element::new("ping", ns::PING));
    request.with_from(from.to_owned()).with_to(to.to_owned())
}

pub(super) fn ping_id(number: u64, nonce: u32) -> String {
    format!("{PING_PREFIX}-{nonce:08x}-{number}")
}

pub(super) fn parse_ping_id(id: &str, nonce: u32) -> Option<u64> {
    let (prefix, rest) = id.split_once('-')?;
    let (own, number) = rest.split_once('-')?;
    if prefix != PING_PREFIX || u32::from_str_radix(own, 16) != Ok(nonce) {
        return None;
    }
    number.parse().ok()
}
