//! Walks what `tests/vectors/uri.json` says of `im:`, `pres:` and `xmpp:`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::Path;

use impp_model::address::Address;
use impp_model::uri::{ImppUriReport, XmppUriReport, compare};
use serde_json::Value;

fn entries(section: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/uri.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file[section].as_array().unwrap().clone()
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field].as_str().unwrap()
}

/// Asserts that the report has every field of the entry but those that only explain it.
fn assert_reported(report: &Value, entry: &Value) {
    for (field, expected) in entry.as_object().unwrap() {
        if !["id", "ambiguous", "note", "readings"].contains(&field.as_str()) {
            assert_eq!(report.get(field), Some(expected), "{} {field}", entry["id"]);
        }
    }
}

// checks: URI-01, URI-02, URI-03, URI-04, URI-05, URI-06, URI-07, URI-08, URI-09
#[test]
fn im_and_pres_uris_are_reported_as_expected() {
    for entry in entries("vectors") {
        let report = serde_json::to_value(ImppUriReport::inspect(text(&entry, "input"))).unwrap();
        assert_reported(&report, &entry);
    }
}

// checks: URI-11
#[test]
fn xmpp_uris_are_reported_as_expected() {
    let xmpp: Vec<_> = entries("other_schemes").into_iter().filter(|e| text(e, "input").starts_with("xmpp:")).collect();
    assert!(xmpp.len() >= 3);
    for entry in xmpp {
        let report = serde_json::to_value(XmppUriReport::inspect(text(&entry, "input"))).unwrap();
        assert_reported(&report, &entry);
    }
}

// checks: URI-05, URI-09, MOD-02
// checks: MOD-01
#[test]
fn equivalence_is_decided_as_expected() {
    let mut decided = 0;
    for entry in entries("equivalence") {
        if let Some(equivalent) = compare(text(&entry, "a"), text(&entry, "b")) {
            assert_eq!(equivalent, Ok(entry["equivalent"].as_bool().unwrap()), "{}", entry["id"]);
            decided += 1;
        }
    }
    assert!(decided >= 8, "{decided}");
}

// checks: XM-02, XM-03, XM-04, ADR-022
#[test]
fn addresses_map_to_and_from_im_uris_as_recommended() {
    for entry in entries("address_mapping") {
        let id = &entry["id"];
        if entry["direction"] == "xmpp->im" {
            let (bare, _resource) = split_resource(text(&entry, "jid"));
            let address = Address::parse_bare(&unescape(bare)).unwrap();
            assert_eq!(address.to_im_uri(), text(&entry, "recommended"), "{id}");
        } else {
            let address = Address::from_im_uri(text(&entry, "uri")).unwrap();
            let jid = format!("{}@{}", escape(address.local()), address.domain());
            assert_eq!(jid, text(&entry, "recommended"), "{id}");
        }
    }
}

// checks: ADR-022, AMB-03
#[test]
fn rfc7247_s6_5_dots_stay_in_im_uris() {
    let with_im: Vec<_> =
        entries("sip_xmpp_mapping").into_iter().filter(|e| e.get("im_recommended").is_some()).collect();
    assert!(!with_im.is_empty());
    for entry in with_im {
        let address = Address::parse_bare(text(&entry, "jid")).unwrap();
        assert_eq!(address.to_im_uri(), text(&entry, "im_recommended"));
    }
}

fn split_resource(jid: &str) -> (&str, Option<&str>) {
    jid.split_once('/').map_or((jid, None), |(bare, resource)| (bare, Some(resource)))
}

/// RFC 3922 §3.2, enough for the vectors.
fn unescape(jid: &str) -> String {
    jid.replace("#26;", "&").replace("#27;", "'").replace("#2f;", "/")
}

/// XEP-0106 §4.2, enough for the vectors.
fn escape(local: &str) -> String {
    local.chars().fold(String::new(), |mut out, c| {
        if " \"&'/:<>@".contains(c) {
            out.push_str(&format!("\\{:02x}", u32::from(c)));
        } else {
            out.push(c);
        }
        out
    })
}
