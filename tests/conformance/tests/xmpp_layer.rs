//! Vectors of XMPP that need the whole gateway; those of one stream are played with its machine alone.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::play;
use conformance::suite::unlisted;

const SUITE: &str = "xmpp-layer";

const STREAM: &str = "of one stream or component: crates/xmpp-proto/tests";

/// Played elsewhere.
const LATER: &[(&str, &str)] = &[
    ("XML-04", STREAM),
    ("XML-08", STREAM),
    ("XML-09", STREAM),
    ("XML-11", STREAM),
    ("XML-12", STREAM),
    ("XML-13", STREAM),
    ("XML-14", STREAM),
    ("XML-15", STREAM),
    ("XML-16", STREAM),
    ("XML-17", STREAM),
    ("XML-18", STREAM),
    ("XML-19", STREAM),
    ("XML-26", STREAM),
    ("XML-27", STREAM),
    ("XML-28", STREAM),
];

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("xmpp_layer.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_played_elsewhere_is_named_there() {
    let there = [
        include_str!("../../../crates/xmpp-proto/tests/server/vectors.rs"),
        include_str!("../../../crates/xmpp-proto/src/caps.rs"),
    ];
    for (id, _) in LATER {
        assert!(there.iter().any(|tests| tests.contains(&format!("\"{id}\""))), "{id}");
    }
}

// checks: DSC-006
#[tokio::test]
async fn xml_25_ping() {
    play(SUITE, "XML-25").await;
}

// checks: XSU-004
#[tokio::test]
async fn xml_29_subscribe_for_an_authorized_contact_is_auto_answered() {
    play(SUITE, "XML-29").await;
}

// checks: XSU-005
#[tokio::test]
async fn xml_30_second_subscribe_while_pending_is_not_repeated_to_sip() {
    play(SUITE, "XML-30").await;
}

// checks: XSU-002
#[tokio::test]
async fn xml_31_subscribe_to_a_full_jid() {
    play(SUITE, "XML-31").await;
}
