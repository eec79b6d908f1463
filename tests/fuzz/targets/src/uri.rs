//! Addresses in all their spellings.

use impp_model::Address;
use impp_model::domain::Domain;
use impp_model::uri::{ImppUri, ImppUriReport, XmppUri, XmppUriReport, compare};
use sip_proto::uri::{Uri, decode, encode_user};
use xmpp_proto::jid::{Jid, escape, unescape};

/// Reads `input` as every kind of address.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    impp(text);
    xmpp(text);
    bare(text);
    sip(text);
    jid(text);
    // Two lines are two addresses to compare.
    if let Some((one, other)) = text.split_once('\n') {
        let forth = compare(one, other).and_then(Result::ok);
        let back = compare(other, one).and_then(Result::ok);
        assert_eq!(forth, back, "comparison is symmetric");
    }
}

fn impp(text: &str) {
    let _ = ImppUriReport::inspect(text);
    let Ok(uri) = ImppUri::parse(text) else { return };
    assert!(uri.is_equivalent(&uri), "a URI equals itself");
    assert!(!text.contains(['\r', '\n', '\0']), "no control character passes");
    let Some(canonical) = uri.canonical() else { return };
    let again = ImppUri::parse_opaque(&canonical);
    assert_eq!(again.as_ref().ok().and_then(ImppUri::address), uri.address(), "{canonical}: {again:?}");
    assert_eq!(again.ok().and_then(|again| again.canonical()), Some(canonical), "the canonical form is stable");
}

fn xmpp(text: &str) {
    let _ = XmppUriReport::inspect(text);
    if let Ok(uri) = XmppUri::parse(text) {
        assert!(uri.is_equivalent(&uri), "a URI equals itself");
    }
}

fn bare(text: &str) {
    if let Ok(domain) = Domain::parse_host(text) {
        assert_eq!(Domain::parse_host(domain.as_str()).as_ref(), Ok(&domain), "a domain reads back");
    }
    if let Ok(address) = Address::parse_bare(text) {
        assert_eq!(Address::parse_bare(&address.to_string()).as_ref(), Ok(&address), "an address reads back");
    }
}

fn sip(text: &str) {
    assert_eq!(decode(&encode_user(text)).as_deref(), Ok(text), "a user part decodes to what was encoded");
    let Ok(uri) = Uri::parse(text) else { return };
    assert!(uri.equivalent(&uri), "a URI equals itself");
    let written = uri.to_string();
    let again = Uri::parse(&written);
    assert!(again.is_ok_and(|again| again.equivalent(&uri)), "{written}");
    if let Some(sip) = uri.sip() {
        let _ = (sip.user_decoded(), sip.gr(), sip.transport(), sip.is_loose());
    }
}

fn jid(text: &str) {
    if let Ok(jid) = Jid::parse(text) {
        let written = jid.to_string();
        // RFC 7622 §3: what was enforced passes enforcement as it is.
        assert_eq!(Jid::parse(&written).as_ref(), Ok(&jid), "{written}");
        let _ = jid.local().map(unescape);
    }
    // XEP-0106 §3.2: what has no space at its edges survives escaping.
    if let Ok(escaped) = escape(text) {
        assert_eq!(unescape(&escaped).as_deref(), Ok(text));
    }
}
