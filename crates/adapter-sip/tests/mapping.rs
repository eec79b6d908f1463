//! The shared vectors, as far as one side of the hub can be judged by them.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use adapter_sip::mapping::{address, error};
use impp_model::{Cause, Failure, Side};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cause(condition: &str) -> Cause {
    // XMPP's name for it is the only one that the hub changes.
    let code = if condition == "jid-malformed" { "address-malformed" } else { condition };
    *Cause::ALL.iter().find(|cause| cause.code() == code).unwrap()
}

fn statuses(row: &Value, key: &str) -> Vec<u64> {
    let alternatives = row["alternatives"].as_array().into_iter().flatten();
    std::iter::once(&row[key]).chain(alternatives).filter_map(Value::as_u64).collect()
}

// checks: ERR-001, ERR-003, ERR-011
#[test]
fn rfc7247_s7_1_conditions_become_statuses() {
    let vectors = vectors("errors.json");
    let rows = vectors["xmpp_to_sip"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    for row in rows {
        let mut failure = Failure::new(Side::Far, cause(row["condition"].as_str().unwrap()));
        if failure.cause == Cause::Redirect {
            failure.redirect = Some("romeo@other.example".parse().unwrap());
        }
        for (key, full) in [("sip_for_bare_jid", false), ("sip_for_full_jid", true)] {
            let status = u64::from(error::to_sip_status(&failure, full));
            let listed = statuses(row, key);
            // The first is the table's; the others stand for what cannot be sent in answer to a MESSAGE.
            let sendable = listed.iter().find(|status| ![401, 407, 408, 491].contains(status));
            assert_eq!(Some(&status), sendable, "{} {key}", row["condition"]);
        }
    }
}

// checks: ERR-002
#[test]
fn rfc7247_s7_2_statuses_become_conditions() {
    let vectors = vectors("errors.json");
    let (listed, unlisted) =
        (vectors["sip_to_xmpp"].as_array().unwrap(), vectors["unlisted_codes"].as_array().unwrap());
    for row in listed.iter().chain(unlisted) {
        let named = || row["sip"].as_str().unwrap().replace("xx", "99").parse().unwrap();
        let status = row["sip"].as_u64().unwrap_or_else(named);
        let failure = error::from_sip_status(u16::try_from(status).unwrap(), "", None, None).unwrap();
        assert_eq!(failure.cause, cause(row["condition"].as_str().unwrap()), "{status}");
    }
}

/// A JID's parts, as the XMPP side would write them, without what only that side knows (case, PRECIS, U-labels).
fn parts(jid: &str) -> (String, String, Option<String>) {
    let (bare, resource) =
        jid.split_once('/').map_or((jid, None), |(bare, resource)| (bare, Some(resource.to_owned())));
    let (local, domain) = bare.split_once('@').unwrap();
    let mut local = local.to_owned();
    for (escape, character) in [
        ("\\20", " "),
        ("\\22", "\""),
        ("\\26", "&"),
        ("\\27", "'"),
        ("\\2f", "/"),
        ("\\3a", ":"),
        ("\\3c", "<"),
        ("\\3e", ">"),
        ("\\40", "@"),
        ("\\5c", "\\"),
    ] {
        local = local.replace(escape, character);
    }
    (local, domain.to_owned(), resource)
}

// checks: ADR-001, ADR-003, ADR-010, ADR-015, ADR-036
#[test]
fn rfc7247_s6_4_uris_become_addresses() {
    let vectors = vectors("address.json");
    let rows = vectors["vectors"].as_array().unwrap();
    let mut checked = 0;
    for row in rows.iter().filter(|row| row["direction"] == "sip-to-xmpp") {
        let (id, input) = (row["id"].as_str().unwrap(), row["input"].as_str().unwrap());
        let found = address::from_sip_uri(input);
        match (row["expected"].as_str(), &row["options"]["error"]) {
            // A domain alone is no address of a person; tel: needs a domain of its own.
            (Some(_), _) if !input.contains('@') => assert!(found.is_err(), "{id}"),
            (Some(expected), _) => {
                let (local, domain, resource) = parts(expected);
                let end = found.unwrap_or_else(|error| panic!("{id}: {error}"));
                let folded = |text: &str| precis(text);
                assert_eq!(folded(end.address.local()), folded(&local), "{id}");
                assert_eq!(end.address.domain().to_unicode(), domain, "{id}");
                assert_eq!(end.device.map(|device| device.as_str().to_owned()), resource, "{id}");
            }
            // What only JIDs refuse passes here.
            (None, error) if found.is_ok() => {
                assert!(["precis", "edge-space"].contains(&error.as_str().unwrap()), "{id}")
            }
            (None, error) => assert_eq!(found.unwrap_err().class(), error.as_str().unwrap(), "{id}"),
        }
        checked += 1;
    }
    assert!(checked > 40);
}

/// Stands in for PRECIS, which the XMPP side applies: case, width and composition of the few letters in the vectors.
fn precis(text: &str) -> String {
    text.to_lowercase().replace('\u{ff41}', "a").replace("e\u{301}", "é")
}

// checks: ADR-016, ADR-022, ADR-031
#[test]
fn rfc7247_s6_5_addresses_become_uris() {
    let vectors = vectors("address.json");
    let mut checked = 0;
    for row in vectors["vectors"].as_array().unwrap() {
        let sip = row["direction"] == "xmpp-to-sip" && row["options"].as_object().unwrap().is_empty();
        let (Some(expected), true) = (row["expected"].as_str(), sip) else { continue };
        let input = row["input"].as_str().unwrap();
        // Those two are decided before the SIP side sees them: case of an escape, and a domain without user.
        if input.contains("\\2F") || !input.split('/').next().unwrap().contains('@') {
            continue;
        }
        let (local, domain, resource) = parts(input);
        let end = impp_model::Endpoint {
            address: impp_model::Address::new(&local, domain.parse().unwrap()).unwrap(),
            device: resource.map(|device| impp_model::Device::new(&device).unwrap()),
        };
        assert_eq!(address::to_sip_uri(&end), expected, "{}", row["id"]);
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn the_readme_says_what_becomes_of_each_field() {
    let readme = std::fs::read_to_string(format!("{}/README.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rows =
        readme.lines().skip_while(|line| !line.starts_with("| field")).skip(2).take_while(|line| line.starts_with('|'));
    let documented: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let config = serde_json::from_value(serde_json::json!({ "listen": [] })).unwrap();
    let fields = adapter_sip::capabilities(&config).fields;
    let declared: Vec<Vec<String>> = fields
        .iter()
        .map(|field| {
            vec![field.field.to_string(), format!("{:?}", field.support).to_lowercase(), field.note.to_string()]
        })
        .collect();
    assert_eq!(documented, declared);
}
