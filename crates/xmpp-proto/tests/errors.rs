//! Error types against `tests/vectors/errors.json`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use xmpp_proto::stanza::{Condition, ErrorType, StanzaError};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/errors.json");

fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap()
}

// checks: ERR-009
#[test]
fn rfc6120_s8_3_3_each_condition_has_its_type() {
    let vectors = vectors();
    let types: BTreeMap<String, String> = serde_json::from_value(vectors["error_types"].clone()).unwrap();
    let ours: BTreeMap<String, String> =
        Condition::ALL.iter().map(|condition| (condition.to_string(), condition.default_type().to_string())).collect();
    assert_eq!(ours, types);
    assert_eq!(Condition::ALL.len() as u64, vectors["count_conditions"].as_u64().unwrap());
}

// checks: ERR-008
#[test]
fn rfc6120_s8_3_2_every_condition_and_type_is_written_and_read() {
    for condition in Condition::ALL {
        for kind in ErrorType::ALL {
            let error = StanzaError::new(*condition).with_kind(*kind);
            assert_eq!(StanzaError::read(&error.to_element("jabber:client")), error);
        }
    }
}

#[test]
fn conditions_of_the_mapping_tables_are_known() {
    let vectors = vectors();
    for table in ["xmpp_to_sip", "sip_to_xmpp", "unlisted_codes"] {
        let rows = vectors[table].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            if let Some(word) = row["condition"].as_str() {
                assert!(Condition::parse(word).is_some(), "{table}: {word}");
            }
            if let Some(word) = row["type"].as_str() {
                assert!(ErrorType::parse(word).is_some(), "{table}: {word}");
            }
        }
    }
}
