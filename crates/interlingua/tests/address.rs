//! `interlingua address` on every vector.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use clap::ValueEnum;
use common::{list, run, text, vectors};
use interlingua::commands::address::{Form, map};
use serde_json::{Value, json};

fn form(vector: &Value) -> Form {
    match (text(vector, "direction"), text(&vector["options"], "scheme")) {
        ("sip-to-xmpp", _) => Form::Xmpp,
        (_, "") => Form::Sip,
        (_, scheme) => Form::from_str(scheme, true).unwrap(),
    }
}

/// Ambiguous vectors whose note recommends another value than the expected one.
const RECOMMENDED: [(&str, &str); 1] = [("ADRV-053", "sip:a/b@example.com")];

// checks: ADR-010, ADR-011, ADR-012, ADR-021, ADR-022, ADR-036
#[test]
fn every_vector_maps_as_expected() {
    let mut wrong = Vec::new();
    for vector in list(&vectors("address.json"), "vectors") {
        // A tel: URI needs a gateway for telephone numbers.
        if vector["options"].get("special").is_some() {
            continue;
        }
        let found = map(text(vector, "input"), form(vector));
        let recommended = RECOMMENDED.iter().find(|(id, _)| *id == text(vector, "id")).map(|(_, output)| *output);
        let good = match (&found, recommended.or(vector["expected"].as_str())) {
            (Ok(found), Some(expected)) => found == expected,
            (Err(error), None) => error.class == text(&vector["options"], "error"),
            (Ok(_), None) | (Err(_), Some(_)) => false,
        };
        if !good {
            wrong.push(format!("{} {}: {found:?}, not {}", text(vector, "id"), vector["input"], vector["expected"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: ADR-001
#[test]
fn im_and_pres_uris_map_as_recommended() {
    let vectors = vectors("uri.json");
    for vector in list(&vectors, "address_mapping") {
        let (input, form) = match text(vector, "direction") {
            "xmpp->im" => (text(vector, "jid"), Form::Im),
            _ => (text(vector, "uri"), Form::Xmpp),
        };
        // RFC 3922's own escapes are a later form of input.
        if !input.contains('#') {
            assert_eq!(map(input, form).as_deref(), Ok(text(vector, "recommended")), "{vector}");
        }
    }
    for vector in list(&vectors, "sip_xmpp_mapping") {
        if vector.get("sip").is_some() {
            assert_eq!(map(text(vector, "sip"), Form::Xmpp).as_deref(), Ok(text(vector, "jid")), "{vector}");
        } else {
            assert_eq!(map(text(vector, "jid"), Form::Im).as_deref(), Ok(text(vector, "im_recommended")), "{vector}");
        }
    }
}

#[test]
fn the_command_prints_one_object() {
    let good = run(&["address", "sip:f%C3%BC@sip.example", "--to", "xmpp", "--json"]);
    let expected = json!({"input": "sip:f%C3%BC@sip.example", "output": "fü@sip.example", "error": null});
    assert_eq!((good.code, good.json()), (0, expected));
    let bad = run(&["address", "sip:a%FFb@example.net", "--to", "xmpp", "--json"]);
    assert_eq!((bad.code, bad.json()["output"].is_null()), (1, true));
    assert_eq!(text(&bad.json()["error"], "class"), "utf8");
    let plain = run(&["address", "romeo@example.net/phone", "--to", "sip"]);
    assert_eq!((plain.code, plain.stdout.trim_end()), (0, "sip:romeo@example.net;gr=phone"));
    assert_eq!(run(&["address", "romeo@example.net", "--to", "nowhere"]).code, 2);
}
