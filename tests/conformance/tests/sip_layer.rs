//! The SIP layer under the messages (RFC 3261), each vector a test.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::play;
use conformance::suite::unlisted;

const SUITE: &str = "sip-layer";

/// All vectors are played.
const LATER: &[(&str, &str)] = &[];

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("sip_layer.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: SIP-030, EVT-030
#[tokio::test]
async fn spl_01_options() {
    play(SUITE, "SPL-01").await;
}

// checks: SIP-012, SIP-013
#[tokio::test]
async fn spl_02_rport_and_received() {
    play(SUITE, "SPL-02").await;
}

// checks: SIP-021
#[tokio::test]
async fn spl_04_unknown_method() {
    play(SUITE, "SPL-04").await;
}

// checks: TOR-030
#[tokio::test]
async fn spl_06_cseq_method_mismatch() {
    play(SUITE, "SPL-06").await;
}

// checks: SIP-029
#[tokio::test]
async fn spl_08_cancel_of_a_message_has_no_effect() {
    play(SUITE, "SPL-08").await;
}

// checks: SIP-015
#[tokio::test]
async fn spl_09_response_with_a_foreign_sent_by_is_dropped() {
    play(SUITE, "SPL-09").await;
}

// checks: SIP-022, TOR-035
#[tokio::test]
async fn spl_10_unknown_uri_scheme() {
    play(SUITE, "SPL-10").await;
}

// checks: SIP-042, SIP-043
#[tokio::test]
async fn spl_11_no_early_100_on_udp_and_never_408_to_a_message() {
    play(SUITE, "SPL-11").await;
}

// checks: OUT-001
#[tokio::test]
async fn spl_12_crlf_ping() {
    play(SUITE, "SPL-12").await;
}

// checks: SIP-010
#[tokio::test]
async fn spl_13_leading_crlf_before_a_request_is_ignored() {
    play(SUITE, "SPL-13").await;
}

// checks: TLS-003, TLS-004
#[tokio::test]
async fn spl_14_wildcard_certificate_is_no_sip_domain_identity() {
    play(SUITE, "SPL-14").await;
}

// checks: TLS-001
#[tokio::test]
async fn spl_15_san_with_sip_uri_wins_over_dns() {
    play(SUITE, "SPL-15").await;
}

// checks: DIG-001, DIG-002
#[tokio::test]
async fn spl_16_two_challenges_order_by_preference() {
    play(SUITE, "SPL-16").await;
}

// checks: WSS-001, WSS-002, WSS-003
#[tokio::test]
async fn spl_17_websocket() {
    play(SUITE, "SPL-17").await;
}

// checks: TOR-101
#[tokio::test]
async fn spl_18_ipv6_request_uri() {
    play(SUITE, "SPL-18").await;
}

// checks: SEC-004
#[tokio::test]
async fn spl_20_dtd_in_a_pidf_body_is_refused() {
    play(SUITE, "SPL-20").await;
}
