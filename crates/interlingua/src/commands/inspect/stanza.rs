//! `interlingua inspect stanza`

use serde_json::{Value, json};
use strict_xml::{Element, Fault, Limits, Scope, parse_element};
use xmpp_proto::ns;
use xmpp_proto::stanza::{Stanza, StanzaFault};

/// The stanza, or why it is none. Without a namespace it is taken to be in `jabber:client`.
pub fn inspect(input: &[u8]) -> Value {
    let element = match parse_element(input.trim_ascii(), &Scope::with_default(ns::CLIENT), &Limits::default()) {
        Ok(element) => element,
        Err(error) => {
            let found =
                json!({ "class": xml_class(error.fault()), "text": error.to_string(), "position": error.offset });
            return json!({ "result": "error", "error": found, "parsed": null });
        }
    };
    match Stanza::from_element(element) {
        Ok(stanza) => json!({ "result": "ok", "error": null, "parsed": parsed(stanza.element()) }),
        Err(rejected) => {
            let found = json!({ "class": stanza_class(rejected.fault), "text": rejected.to_string(), "position": 0 });
            json!({ "result": "error", "error": found, "parsed": parsed(&rejected.element) })
        }
    }
}

fn parsed(element: &Element) -> Value {
    let attrs: serde_json::Map<_, _> =
        element.attrs.iter().map(|attr| (attr.name.to_string(), json!(attr.value.as_str()))).collect();
    let children: Vec<_> = element.elements().map(parsed).collect();
    json!({ "name": element.name.as_str(), "ns": element.ns.as_str(), "attrs": attrs, "text": element.text(), "children": children })
}

fn stanza_class(fault: StanzaFault) -> &'static str {
    match fault {
        StanzaFault::Kind => "not-a-stanza",
        StanzaFault::IqId => "iq-id",
        StanzaFault::IqType => "iq-type",
        StanzaFault::IqPayload => "iq-payload",
        StanzaFault::PresenceType => "presence-type",
    }
}

fn xml_class(fault: Fault) -> &'static str {
    match fault {
        Fault::NotWellFormed => "not-well-formed",
        Fault::RestrictedXml => "restricted-xml",
        Fault::UnsupportedEncoding => "unsupported-encoding",
        Fault::PolicyViolation => "policy-violation",
    }
}
