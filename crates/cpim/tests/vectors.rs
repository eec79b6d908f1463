//! Walks `tests/vectors/cpim`: raw messages against what a strict reader and a gateway make of them.

use std::fs;
use std::path::{Path, PathBuf};

use cpim::report::CpimReport;
use cpim::{Package, Profile, RelayView};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/cpim")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the vectors are in the repository")).expect("they are JSON")
}

fn sha256(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Where `found` lacks or contradicts something that is expected; extra members are allowed.
fn differences(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                differences(&format!("{path}.{name}"), expected, found.get(name).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                differences(&format!("{path}[{number}]"), expected, found, out);
            }
        }
        // The long line stands in its vector as a description.
        (Value::String(text), Value::String(found)) if text.starts_with("<20000 x") && found.len() == 20_000 => {}
        _ if expected == found => {}
        _ => out.push(format!("{path}: expected {expected}, found {found}")),
    }
}

/// What a gateway does, as the first word of the recommendation says.
fn is_accepted(recommended: &str) -> bool {
    let word = recommended.to_ascii_lowercase();
    !word.starts_with("reject")
}

// checks: MF-01, MF-05, MF-10, MF-11, MF-12, MF-13, MF-14, MF-15, MF-16, MF-17, MF-18, MF-21, MF-22, MF-23, MF-28
// checks: MF-44, MF-45, MF-61, MF-63, MF-64, MP-01, MP-02, MP-10, SM-01, CPM-001, CPM-004, CPM-007, CPM-010, X-09
#[test]
fn vectors_read_as_they_say() {
    let mut failures = Vec::new();
    let index = json(&folder().join("index.json"));
    for entry in index["vectors"].as_array().expect("a list") {
        let name = entry["file"].as_str().expect("a name");
        let vector = json(&folder().join(name.replace(".cpim", ".json")));
        let octets = fs::read(folder().join(name)).expect("each has its octets");
        let profile = Profile::named(vector["profile"].as_str().expect("a name")).expect("a known profile");
        let report = serde_json::to_value(CpimReport::inspect(&octets, profile)).expect("serialisable");
        let mut found = Vec::new();
        for field in ["framing", "length", "relay", "strict", "parsed", "content", "parsed_inner"] {
            if let Some(expected) = vector.get(field) {
                differences(field, expected, &report[field], &mut found);
            }
        }
        if vector["strict"]["result"] == "error" && vector["strict"].get("line").is_none() {
            assert!(report["strict"].get("line").is_none(), "{name}: an error of the object has no line");
        }
        if let Some(expected) = vector["recommended"].as_str() {
            let told = report["recommended"].as_str().unwrap_or("reject");
            if is_accepted(expected) != is_accepted(told) || is_accepted(told) != report.get("parsed").is_some() {
                found.push(format!("recommended: expected {expected}, found {told}"));
            }
        }
        relayed(name, &vector, &octets);
        failures.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The octets come out as they went in, those of the signed part too.
fn relayed(name: &str, vector: &Value, octets: &[u8]) {
    let expected = vector["sha256"].as_str().expect("each vector has one");
    assert_eq!(sha256(RelayView::new(octets).octets()), expected, "{name}");
    if vector["framing"] == "body" {
        return;
    }
    let package = Package::parse(octets).expect("sound outer headers");
    assert_eq!(sha256(package.octets()), expected, "{name}");
    if let Some(signed) = vector.get("signed_part") {
        let part = package.signed_part().expect("two parts");
        assert_eq!(Some(part.offset as u64), signed["offset"].as_u64(), "{name}");
        assert_eq!(Some(sha256(part.octets).as_str()), signed["sha256"].as_str(), "{name}");
    }
}
