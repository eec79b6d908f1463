//! The XMPP half of the mapping against `tests/vectors`; the composition with SIP is tested where both halves meet.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use adapter_xmpp::mapping::{address, error, message};
use impp_model::{Cause, Content, Domain, Failure, LanguageTag, MessageOperation, Side, TransId};
use serde_json::Value;
use strict_xml::{Limits, Scope, parse_element};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Condition, Stanza};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");

fn load(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{VECTORS}{file}")).unwrap()).unwrap()
}

/// What an address is in the common form.
#[derive(Debug, PartialEq)]
struct Parts {
    local: Option<String>,
    domain: Domain,
    device: Option<String>,
}

/// What the other half makes of a URI of the vectors: decoded parts, or nothing where it refuses.
fn decoded(uri: &str) -> Option<Parts> {
    let (scheme, rest) = uri.split_once(':')?;
    if !["sip", "sips", "im", "pres"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return None;
    }
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user.split_once(':').map_or(user, |(user, _)| user)), host),
        None => (None, rest),
    };
    let (host, _) = host.split_once('?').unwrap_or((host, ""));
    let mut parts = host.split(';');
    let host = parts.next()?;
    let host = if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(host, _)| host) };
    let device = parts.find_map(|p| p.split_once('=').filter(|(n, _)| n.eq_ignore_ascii_case("gr"))).map(|(_, v)| v);
    Some(Parts {
        local: match user {
            Some(user) => Some(unescaped(user)?),
            None => None,
        },
        domain: Domain::parse_host(host).ok()?,
        device: match device {
            Some(device) => Some(unescaped(device)?),
            None => None,
        },
    })
}

fn unescaped(text: &str) -> Option<String> {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            octets.push(u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            octets.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(octets).ok()
}

fn accepted(vector: &Value) -> Vec<String> {
    let also = vector["accept_also"].as_array().unwrap().iter();
    std::iter::once(&vector["expected"]).chain(also).filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

// checks: ADR-010, ADR-011, ADR-012, ADR-013, ADR-014, ADR-015, ADR-030, ADR-032, ADR-033, ADR-036
#[test]
fn rfc7247_s6_4_foreign_addresses_become_jids() {
    let vectors = load("address.json");
    let mut checked = 0;
    for vector in vectors["vectors"].as_array().unwrap().iter().filter(|v| v["direction"] == "sip-to-xmpp") {
        let Some(parts) = decoded(vector["input"].as_str().unwrap()) else { continue };
        let jid = address::join(parts.local.as_deref(), &parts.domain, parts.device.as_deref());
        match jid {
            Ok(jid) => assert!(accepted(vector).iter().any(|text| text == jid.as_str()), "{}: {jid}", vector["id"]),
            Err(refused) => assert_eq!(refused.class(), vector["options"]["error"], "{}: {refused}", vector["id"]),
        }
        checked += 1;
    }
    assert!(checked >= 45, "only {checked} vectors");
}

// checks: ADR-020, ADR-021
#[test]
fn rfc7247_s6_5_jids_become_addresses_and_come_back() {
    let vectors = load("address.json");
    let mut checked = 0;
    for vector in vectors["vectors"].as_array().unwrap().iter().filter(|v| v["direction"] == "xmpp-to-sip") {
        let input = vector["input"].as_str().unwrap();
        checked += 1;
        let Ok(jid) = Jid::parse(input) else {
            assert_eq!(vector["options"]["error"], "jid-malformed", "{}", vector["id"]);
            continue;
        };
        let (local, domain) = address::split(&jid).unwrap();
        assert_eq!(address::join(local.as_deref(), &domain, jid.resource()).unwrap(), jid, "{}", vector["id"]);
        let parts = Parts { local: local.map(Into::into), domain, device: jid.resource().map(Into::into) };
        let matches = |uri: &String| {
            let expected = decoded(uri).unwrap();
            // ADR-016: only sip and sips URIs carry the device.
            let device = if uri.starts_with("sip") { &parts.device } else { &None };
            expected.local == parts.local && expected.domain == parts.domain && expected.device == *device
        };
        assert!(accepted(vector).iter().any(matches), "{}: {parts:?}", vector["id"]);
    }
    assert!(checked >= 35, "only {checked} vectors");
}

// checks: ERR-001, ERR-002, ERR-009
#[test]
fn rfc7247_s7_conditions_and_their_types() {
    let vectors = load("errors.json");
    let types: BTreeMap<String, String> = serde_json::from_value(vectors["error_types"].clone()).unwrap();
    for table in ["xmpp_to_sip", "sip_to_xmpp", "unlisted_codes"] {
        for row in vectors[table].as_array().unwrap() {
            let condition = Condition::parse(row["condition"].as_str().unwrap()).unwrap();
            let cause = error::cause_of(condition);
            let written = error::to_stanza_error(&Failure::new(Side::Far, cause));
            assert_eq!(written.condition, condition, "{row}");
            assert_eq!(written.kind.as_str(), types[condition.as_str()], "{row}");
            if let Some(kind) = row["type"].as_str() {
                assert_eq!(written.kind.as_str(), kind, "{row}");
            }
        }
    }
}

fn read(xml: &str) -> Result<Option<MessageOperation>, message::Refusal> {
    let element = parse_element(xml.as_bytes(), &Scope::with_default("jabber:client"), &Limits::default()).unwrap();
    let Ok(Stanza::Message(stanza)) = Stanza::from_element(element) else { panic!("{xml}") };
    let (from, to) = message::addresses(&stanza)?;
    Ok(message::from_stanza(&stanza, &from, &to, TransId::from("t"))?.map(|mapped| mapped.value))
}

// checks: IM-001, IM-003, IM-004, IM-006, IM-010, IM-011, IM-012, CMP-041, CMP-064, CMP-070
#[test]
fn rfc7572_s4_stanzas_become_what_the_sip_side_sends() {
    let vectors = load("interwork/im-xmpp-to-sip.json");
    let mut checked = 0;
    for test in vectors["tests"].as_array().unwrap() {
        let Some(xml) = test["stimulus"][0]["raw"].as_str().filter(|raw| raw.starts_with("<message")) else { continue };
        let expect = test["expect"].as_array().unwrap();
        let request = expect.iter().find(|e| e["what"] == "request" && e["method"] == "MESSAGE");
        let id = &test["id"];
        match (request, read(xml)) {
            (Some(request), Ok(Some(operation))) => check(id, request, &operation),
            (None, Ok(None)) => {}
            (None, Err(refusal)) => {
                let condition = error::condition_of(refusal.failure().cause);
                let paths = expect.iter().filter_map(|e| e["children"].as_array()).flatten();
                let told = paths.filter_map(|c| c["path"].as_str()).any(|p| p == format!("error/{condition}"));
                assert!(told, "{id}: {condition}");
            }
            // Refused further on: too large for SIP, no such domain, server down.
            (None, Ok(Some(_))) => assert!(["IMX-09", "IMX-44", "IMX-53"].contains(&id.as_str().unwrap()), "{id}"),
            (Some(_), other) => panic!("{id}: {other:?}"),
        }
        checked += 1;
    }
    assert!(checked >= 35, "only {checked} tests");
}

fn check(id: &Value, request: &Value, operation: &MessageOperation) {
    let message = &operation.message;
    if let Some(body) = request["body"].as_str() {
        assert_eq!(message.content.as_text(), Some(&*body.replace("\r\n", "\n")), "{id}");
    }
    let literal = |name: &str| request["headers"][name].as_str().filter(|v| !v.starts_with('/'));
    if let Some(subject) = literal("Subject") {
        assert_eq!(message.subjects.first().map(|s| s.text.as_str()), Some(subject), "{id}");
    }
    if let Some(call_id) = literal("Call-ID") {
        assert_eq!(message.thread.as_ref().map(|t| t.as_str()), Some(call_id), "{id}");
    }
    if let Some(language) = literal("Content-Language") {
        assert_eq!(message.content.language.as_ref().map(LanguageTag::as_str), Some(language), "{id}");
    }
    assert_eq!(&*message.content.media_type, Content::TEXT, "{id}");
    let uri = request["request_uri"].as_str().unwrap();
    assert_eq!(decoded(uri).unwrap().local.as_deref(), Some(operation.destination.address.local()), "{id}");
}

// checks: ERR-002
#[test]
fn every_cause_of_the_hub_has_a_condition() {
    let conditions: Vec<_> = Cause::ALL.iter().map(|cause| error::condition_of(*cause)).collect();
    assert!(Condition::ALL.iter().all(|condition| conditions.contains(condition)));
}
