//! Single messages from XMPP to SIP (RFC 7572 §4), each vector a test.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::{Transport, play, play_all_over};
use conformance::suite::unlisted;

const SUITE: &str = "im-xmpp-to-sip";

/// Not played yet, with what is missing for it.
const LATER: &[(&str, &str)] = &[];

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("im_xmpp_to_sip.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: ARC-005
#[tokio::test]
async fn every_vector_over_tcp() {
    let except = [
        ("IMX-09", "the limit is that of UDP"),
        ("IMX-10", "the limit is that of UDP"),
        ("IMX-43", "the zone has SRV records for UDP"),
    ];
    play_all_over(Transport::Tcp, SUITE, &except).await;
}

// checks: IM-001, IM-002, IM-005, MSG-002, MSG-003, ADR-021
#[tokio::test]
async fn imx_01_basic_single_message_rfc7572_ex_1_2() {
    play(SUITE, "IMX-01").await;
}

// checks: IM-003, IM-004, IM-006, IM-007
#[tokio::test]
async fn imx_02_subject_thread_xml_lang_id() {
    play(SUITE, "IMX-02").await;
}

// checks: IM-004, IM-008
#[tokio::test]
async fn imx_03_thread_that_is_no_legal_call_id_is_mapped_to_a_stable_legal_one_and_back() {
    play(SUITE, "IMX-03").await;
}

// checks: IM-009, SIP-024
#[tokio::test]
async fn imx_04_two_messages_in_one_thread_are_not_merged_requests() {
    play(SUITE, "IMX-04").await;
}

// checks: ERR-007, IM-010
#[tokio::test]
async fn imx_05_error_message_is_never_forwarded() {
    play(SUITE, "IMX-05").await;
}

// checks: IM-010
#[tokio::test]
async fn imx_06_groupchat_message_to_a_plain_sip_user() {
    play(SUITE, "IMX-06").await;
}

// checks: IM-010
#[tokio::test]
async fn imx_07_headline_is_delivered_as_a_plain_message() {
    play(SUITE, "IMX-07").await;
}

// checks: IM-011, CMP-001
#[tokio::test]
async fn imx_08_stanza_without_body_creates_no_empty_message() {
    play(SUITE, "IMX-08").await;
}

// checks: IM-020, MSG-010
#[tokio::test]
async fn imx_09_too_large_for_pager_mode_policy_violation() {
    play(SUITE, "IMX-09").await;
}

// checks: IM-020, MSG-010
#[tokio::test]
async fn imx_10_size_limit_counts_the_whole_message_request_not_the_body() {
    play(SUITE, "IMX-10").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_20_sip_400_becomes_bad_request() {
    play(SUITE, "IMX-20").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_21_sip_403_becomes_forbidden() {
    play(SUITE, "IMX-21").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_23_sip_405_becomes_feature_not_implemented() {
    play(SUITE, "IMX-23").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_26_sip_415_becomes_not_acceptable() {
    play(SUITE, "IMX-26").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_27_sip_480_becomes_recipient_unavailable() {
    play(SUITE, "IMX-27").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_28_sip_488_becomes_not_acceptable() {
    play(SUITE, "IMX-28").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_29_sip_494_becomes_bad_request() {
    play(SUITE, "IMX-29").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_30_sip_500_becomes_internal_server_error() {
    play(SUITE, "IMX-30").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_31_sip_504_becomes_remote_server_timeout() {
    play(SUITE, "IMX-31").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_32_sip_600_becomes_recipient_unavailable() {
    play(SUITE, "IMX-32").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_33_sip_603_becomes_recipient_unavailable() {
    play(SUITE, "IMX-33").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_35_sip_606_becomes_not_acceptable() {
    play(SUITE, "IMX-35").await;
}

// checks: ERR-002, ERR-005, IM-013
#[tokio::test]
async fn imx_36_sip_607_becomes_recipient_unavailable() {
    play(SUITE, "IMX-36").await;
}

// checks: IM-014
#[tokio::test]
async fn imx_38_200_gives_no_stanza() {
    play(SUITE, "IMX-38").await;
}

// checks: IM-014, MSG-005, CMP-020
#[tokio::test]
async fn imx_39_202_gives_no_receipt() {
    play(SUITE, "IMX-39").await;
}

// checks: ERR-002
#[tokio::test]
async fn imx_41_302_becomes_redirect() {
    play(SUITE, "IMX-41").await;
}

// checks: ERR-002, DIG-004
#[tokio::test]
async fn imx_42_401_without_credentials() {
    play(SUITE, "IMX-42").await;
}

// checks: LOC-006
#[tokio::test]
async fn imx_43_503_fails_over_to_the_next_server_before_an_error_is_reported() {
    play(SUITE, "IMX-43").await;
}

// checks: ERR-002
#[tokio::test]
async fn imx_44_all_servers_answer_503() {
    play(SUITE, "IMX-44").await;
}

// checks: ADR-021, ADR-011
#[tokio::test]
async fn imx_45_escaped_localpart_in_from() {
    play(SUITE, "IMX-45").await;
}

// checks: ADR-016
#[tokio::test]
async fn imx_46_full_jid_of_the_sip_user_routes_to_the_gruu() {
    play(SUITE, "IMX-46").await;
}

// checks: MSG-011
#[tokio::test]
async fn imx_48_only_one_pending_out_of_dialog_message_per_uri() {
    play(SUITE, "IMX-48").await;
}

// checks: IM-001, IM-015
#[tokio::test]
async fn imx_49_xml_entities_are_resolved() {
    play(SUITE, "IMX-49").await;
}

// checks: IM-015, MSG-001
#[tokio::test]
async fn imx_50_content_length_counts_octets() {
    play(SUITE, "IMX-50").await;
}

// checks: IM-003, SEC-003
#[tokio::test]
async fn imx_51_header_injection_through_subject_is_neutralised() {
    play(SUITE, "IMX-51").await;
}

// checks: IM-007
#[tokio::test]
async fn imx_52_id_that_is_no_token_does_not_leak_into_the_branch_but_comes_back_on_error() {
    play(SUITE, "IMX-52").await;
}

// checks: ERR-006, ARC-004
#[tokio::test]
async fn imx_53_sip_domain_does_not_exist() {
    play(SUITE, "IMX-53").await;
}

// checks: ADR-012, ERR-002
#[tokio::test]
async fn imx_54_malformed_address_cannot_be_mapped() {
    play(SUITE, "IMX-54").await;
}
