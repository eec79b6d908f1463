//! `tests/vectors/uri.json`: the SIP part of `other_schemes` and `equivalence`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use sip_proto::uri::{SipUri, Uri};

fn vectors(section: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/uri.json");
    let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all[section].as_array().unwrap().clone()
}

fn is_sip(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("sip")
}

// checks: ADR-032, TOR-009
#[test]
fn rfc3261_s19_1_1_other_schemes() {
    let mut run = 0;
    for vector in vectors("other_schemes") {
        let input = vector["input"].as_str().unwrap();
        if !is_sip(input) {
            continue;
        }
        run += 1;
        let uri = match SipUri::parse(input) {
            Ok(uri) => uri,
            Err(error) => {
                assert_eq!(vector["valid"], false, "{input}: {error}");
                continue;
            }
        };
        assert_eq!(vector["valid"], true, "{input}");
        assert_eq!(uri.scheme.as_str(), vector["scheme"], "{input}");
        assert_eq!(
            uri.user_decoded().map(|user| user.unwrap().into_owned()).as_deref(),
            vector["user"].as_str(),
            "{input}"
        );
        assert_eq!(uri.host.as_str(), vector["host"], "{input}");
        assert_eq!(uri.port.map(u64::from), vector["port"].as_u64(), "{input}");
        let params: BTreeMap<_, _> = uri.params().map(|param| (param.name, param.value.unwrap_or_default())).collect();
        let expected: BTreeMap<_, _> = vector["params"].as_object().into_iter().flatten().collect();
        assert_eq!(params.len(), expected.len(), "{input}");
        for (name, value) in expected {
            assert_eq!(params.get(name.as_str()).copied(), value.as_str(), "{input}");
        }
    }
    assert!(run >= 7, "{run} vectors");
}

// checks: URI-10, ADR-034
#[test]
fn rfc3261_s19_1_4_equivalence() {
    let mut run = 0;
    for vector in vectors("equivalence") {
        let (a, b) = (vector["a"].as_str().unwrap(), vector["b"].as_str().unwrap());
        if !is_sip(a) && !is_sip(b) {
            continue;
        }
        run += 1;
        let (left, right) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
        assert_eq!(left.equivalent(&right), vector["equivalent"].as_bool().unwrap(), "{a} {b}");
        assert_eq!(right.equivalent(&left), vector["equivalent"].as_bool().unwrap(), "{b} {a}");
    }
    assert!(run >= 10, "{run} vectors");
}
