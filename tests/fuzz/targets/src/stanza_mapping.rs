//! Stanzas as operations, and these in every other protocol.

use adapter_xmpp::mapping::{address, message, presence, signal};
use impp_model::{DateTime, PresenceInfo, TransId};
use strict_xml::{Limits, Scope, parse_element};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{self, Stanza};

use crate::carried;

/// Reads `input` as a message with what it reports, or as presence.
pub fn run(input: &[u8]) {
    let element = parse_element(input, &Scope::with_default("jabber:server"), &Limits::default());
    match element.map(Stanza::from_element) {
        Ok(Ok(Stanza::Message(stanza))) => said(&stanza),
        Ok(Ok(Stanza::Presence(stanza))) => shown(&stanza),
        Ok(Ok(Stanza::Iq(_)) | Err(_)) | Err(_) => {}
    }
}

fn said(stanza: &stanza::Message) {
    let Ok((from, to)) = message::addresses(stanza) else { return };
    if let Ok(Some(mapped)) = message::from_stanza(stanza, &from, &to, TransId::from("t")) {
        carried::message(&mapped.value);
    }
    let at = || DateTime::parse("2026-11-22T12:00:00Z").ok();
    let told = signal::from_stanza(stanza, &from, &to, &TransId::from("t"), at);
    told.iter().for_each(carried::operation);
}

fn shown(stanza: &stanza::Presence) {
    let address = |name| stanza.element().attr(name).and_then(|text| Jid::parse(text).ok());
    let (Some(from), Some(to)) = (address("from"), address("to")) else { return };
    let (Ok(presentity), Ok(watcher)) = (address::from_jid(&from), address::from_jid(&to)) else { return };
    if let Ok(Some(mapped)) = presence::from_stanza(stanza, &from) {
        let info = PresenceInfo { tuples: vec![mapped.value], ..PresenceInfo::default() };
        carried::presence(&info, &presentity, &watcher);
    }
}
