//! `interlingua translate` on the end-to-end vectors, as far as one message says it all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use common::{list, run_with, text, vectors};
use impp_model::Endpoint;
use interlingua::commands::translate::{Protocol, Setting, Translation, translate};
use regex_lite::Regex;
use serde_json::Value;
use sip_proto::message::Message;
use strict_xml::{Element, Limits, Scope, parse_element};

/// `clock` of env.json: 2026-11-22T12:00:00Z.
const NOW: u64 = 1_795_348_800;

fn setting() -> Setting {
    Setting {
        sender: Endpoint::bare("carol@native.example".parse().unwrap()),
        receiver: Endpoint::bare("dan@native.example".parse().unwrap()),
        gateway: "gw.example.com".to_owned(),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
    }
}

/// A value of the vectors' match language: text, `/regular expression/`, or a list of which one must match.
fn matches(expected: &Value, found: Option<&str>) -> bool {
    match expected {
        Value::Array(any) => any.iter().any(|expected| matches(expected, found)),
        Value::String(text) if text.is_empty() => found.unwrap_or_default().is_empty(),
        Value::String(text) => match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
            Some(regex) if text.len() > 2 => found.is_some_and(|found| Regex::new(regex).unwrap().is_match(found)),
            _ => found == Some(text),
        },
        Value::Number(number) => found == Some(&number.to_string()),
        _ => found.is_none(),
    }
}

fn xmpp_differs(expected: &Value, output: &str) -> Option<String> {
    let root = parse_element(output.as_bytes(), &Scope::with_default("jabber:client"), &Limits::default()).unwrap();
    for (name, value) in expected["attrs"].as_object().unwrap() {
        if !matches(value, root.attr(name)) {
            return Some(format!("attribute {name}: {:?}, not {value}", root.attr(name)));
        }
    }
    let missing = list(expected, "children").iter().find(|child| !has_child(&root, child));
    missing.map(|child| format!("no {child}"))
}

fn has_child(root: &Element, child: &Value) -> bool {
    let path = if child.get("path").is_some() { text(child, "path") } else { text(child, "name") };
    let mut found = vec![(root, false)];
    for name in path.split('/') {
        let below = found.iter().flat_map(|(element, known)| element.elements().map(move |below| (below, known)));
        let named = below.filter(|(element, _)| element.name == *name);
        // The namespace may be that of any element on the path.
        found = named.map(|(element, known)| (element, *known || text(child, "ns") == element.ns.as_str())).collect();
    }
    found.iter().any(|(element, known)| {
        let attrs = child.get("attrs").and_then(Value::as_object);
        (*known || child.get("ns").is_none())
            && child.get("text").is_none_or(|text| matches(text, Some(&element.text())))
            && attrs.into_iter().flatten().all(|(name, value)| matches(value, element.attr(name)))
    })
}

fn sip_differs(expected: &Value, output: &str) -> Option<String> {
    let request = Message::parse(Bytes::copy_from_slice(output.as_bytes())).unwrap();
    request.verify().unwrap();
    let header = |name: &str| {
        let found = request.all_headers().find(|header| header.name().eq_ignore_ascii_case(name));
        found.map(|header| header.display().into_owned())
    };
    if !matches(&expected["request_uri"], request.request_uri()) {
        return Some(format!("Request-URI {:?}", request.request_uri()));
    }
    for (name, value) in expected["headers"].as_object().unwrap() {
        if !matches(value, header(name).as_deref()) {
            return Some(format!("{name}: {:?}, not {value}", header(name)));
        }
    }
    if let Some(name) = list(expected, "absent_headers").iter().find(|name| header(name.as_str().unwrap()).is_some()) {
        return Some(format!("{name} is there"));
    }
    let body = std::str::from_utf8(request.body()).unwrap();
    let good = expected["body"].is_null() || matches(&expected["body"], Some(body));
    (!good).then(|| format!("body {body:?}"))
}

/// What the sender should be told, by the vector.
fn told(test: &Value) -> Option<&Value> {
    list(test, "expect")
        .iter()
        .find(|expected| text(expected, "what") == "response" || text(&expected["attrs"], "type") == "error")
}

fn differs(test: &Value) -> Option<String> {
    let stimulus = list(test, "stimulus").first()?;
    let (from, to) = match text(stimulus, "proto") {
        "sip" => (Protocol::Sip, Protocol::Xmpp),
        _ => (Protocol::Xmpp, Protocol::Sip),
    };
    let expected = list(test, "expect").iter().find(|expected| text(expected, "proto") != text(stimulus, "proto"))?;
    let found = translate(from, to, text(stimulus, "raw").as_bytes(), &setting());
    match (text(expected, "what"), &found) {
        ("stanza", Translation::Translated { output, .. }) => xmpp_differs(expected, output),
        ("request", Translation::Translated { output, .. }) => sip_differs(expected, output),
        ("none", Translation::Nothing { .. }) => None,
        ("none", Translation::Refused { sip_status, stanza_error, .. }) => match told(test) {
            Some(told) if text(told, "proto") == "sip" => {
                let status = sip_status.to_string();
                (!matches(&told["status"], Some(&status))).then(|| format!("told {status}, not {}", told["status"]))
            }
            Some(told) => {
                let condition = format!("error/{stanza_error}");
                let good = list(told, "children").iter().any(|child| text(child, "path") == condition);
                (!good).then(|| format!("told {condition}"))
            }
            None => Some(format!("{found:?}")),
        },
        ("none" | "stanza" | "request", _) => Some(format!("{found:?}")),
        _ => None,
    }
}

/// What needs more than the message: transactions, dialogs, routing, the way it came.
const BEYOND: [&str; 5] = ["IMS-15", "IMS-23", "IMS-26", "IMS-31", "IMX-53"];

// checks: IM-001, IM-003, IM-004, IM-030, IM-034, IM-035
#[test]
fn the_vectors_of_messages_translate_as_expected() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for suite in ["interwork/im-sip-to-xmpp.json", "interwork/im-xmpp-to-sip.json"] {
        for test in list(&vectors(suite), "tests") {
            let id = text(test, "id");
            if BEYOND.contains(&id) {
                continue;
            }
            checked += 1;
            wrong.extend(differs(test).map(|difference| format!("{id} {}: {difference}", text(test, "title"))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 50, "{checked}");
}

const STANZA: &str = "<message from='juliet@example.com/balcony' to='romeo@example.net' id='m1' xml:lang='en'>\
    <subject>S</subject><thread>t1</thread><body>Grüße 👋</body></message>";

#[test]
fn every_pair_of_protocols_is_translated_and_back() {
    let as_native = |translation: Translation| match translation {
        Translation::Translated { output, .. } => output,
        other => panic!("{other:?}"),
    };
    let native = as_native(translate(Protocol::Xmpp, Protocol::Native, STANZA.as_bytes(), &setting()));
    let event: Value = serde_json::from_str(&native).unwrap();
    assert_eq!((text(&event, "from"), text(&event, "body")), ("juliet@example.com", "Grüße 👋"));
    for via in [Protocol::Sip, Protocol::Xmpp] {
        let far = as_native(translate(Protocol::Native, via, native.as_bytes(), &setting()));
        let back = as_native(translate(via, Protocol::Native, far.as_bytes(), &setting()));
        let back: Value = serde_json::from_str(&back).unwrap();
        for key in ["from", "from_device", "to", "body", "subject", "thread", "lang"] {
            assert_eq!(back.get(key), event.get(key), "{key} by {via:?}: {back}");
        }
    }
}

#[test]
fn the_command_prints_one_object() {
    let run = run_with(&["translate", "--from", "xmpp", "--to", "sip", "--json"], STANZA.as_bytes());
    assert_eq!((run.code, text(&run.json(), "outcome")), (0, "translated"));
    assert!(run.json()["degraded"].is_array() && run.json()["dropped"].is_array());
    let groupchat = STANZA.replace("id='m1'", "type='groupchat'");
    let run = run_with(&["translate", "--from", "xmpp", "--to", "sip", "--json"], groupchat.as_bytes());
    let found = run.json();
    assert_eq!((run.code, text(&found, "outcome")), (1, "refused"));
    assert_eq!(text(&found, "stanza_error"), "service-unavailable");
    assert!(found["sip_status"].is_u64(), "{found}");
    let run = run_with(
        &["translate", "--from", "native", "--to", "xmpp", "--as", "carol@native.example"],
        br#"{"to":"juliet@example.com","content_type":"text/plain","body":"hi"}"#,
    );
    assert!(run.stdout.starts_with("<message") && run.stdout.contains("carol@native.example"), "{}", run.stdout);
}
