//! `interlingua resolve` on every vector that needs no more than a zone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use common::{list, run, text, vectors};
use serde_json::{Value, json};

/// The zone of a vector as a master file.
fn master_file(zone: &[Value]) -> String {
    let field = |value: &Value| match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '!', '+']) => format!("\"{text}\""),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |row: &Value| {
        let fields: Vec<_> = row.as_array().unwrap().iter().map(field).collect();
        fields.join(" ")
    };
    format!("$TTL 60\n{}\n", zone.iter().map(row).collect::<Vec<_>>().join("\n"))
}

/// Options that the command line does not have: chosen weights, failing servers, bounds.
const BEYOND: [&str; 3] = ["draws", "max_targets", "check_cname"];

// checks: AR-01, AR-05, AR-06
#[test]
fn every_zone_vector_resolves_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (mut checked, vectors) = (0, vectors("srv.json"));
    for vector in list(&vectors, "vectors") {
        let options = &vector["options"];
        if vector.get("dns_errors").is_some() || BEYOND.iter().any(|key| options.get(key).is_some()) {
            continue;
        }
        let zone = folder.path().join("zone");
        std::fs::write(&zone, master_file(list(vector, "zone"))).unwrap();
        let supported: Vec<_> = list(options, "supported").iter().filter_map(Value::as_str).collect();
        let mut args = vec!["resolve", text(vector, "uri"), "--json", "--zone", zone.to_str().unwrap()];
        let supported = supported.join(",");
        args.extend(["--supported", &supported]);
        if options.get("native").is_none() {
            args.push("--no-native");
        }
        let config = folder.path().join("config.toml");
        if let Some(domain) = list(options, "local_domains").first() {
            std::fs::write(&config, local(domain.as_str().unwrap())).unwrap();
            args.extend(["--config", config.to_str().unwrap()]);
        }
        let found = run(&args);
        let (id, expected) = (text(vector, "id"), &vector["expected"]);
        let found_json = found.json();
        for key in ["outcome", "via", "protocol", "tls_reference_identity", "reason"] {
            assert_eq!(found_json.get(key), expected.get(key), "{id} {key}: {found_json}");
        }
        assert_eq!(targets(&found_json), targets(expected), "{id}");
        assert!(found_json["steps"].is_array(), "{id}");
        let good = ["deliver", "local"].contains(&text(expected, "outcome"));
        assert_eq!(found.code, i32::from(!good), "{id}");
        checked += 1;
    }
    assert!(checked >= 30, "{checked}");
}

fn local(domain: &str) -> String {
    format!(
        "[gateway]\nname = \"gw.example.net\"\n[adapter.sip]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:5060\"]\n\
         [[domain]]\nname = \"{domain}\"\nadapter = \"sip\"\n"
    )
}

/// The targets, with what the vectors state of them.
fn targets(resolution: &Value) -> Vec<Value> {
    let shown = |target: &Value| {
        json!([target["target"], target["port"], target["priority"], target["weight"], target["addresses"]])
    };
    list(resolution, "targets").iter().map(shown).collect()
}

#[test]
fn a_wrong_uri_is_refused_with_one_json_object() {
    let found = run(&["resolve", "im:@@", "--json"]);
    assert_eq!((found.code, text(&found.json(), "outcome")), (1, "failure"));
}
