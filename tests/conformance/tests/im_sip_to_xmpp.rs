//! Single messages from SIP to XMPP (RFC 7572 §5), each vector a test.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::{Transport, play, play_all_over};
use conformance::suite::unlisted;

const SUITE: &str = "im-sip-to-xmpp";

/// Not played yet, with what is missing for it.
const LATER: &[(&str, &str)] = &[];

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("im_sip_to_xmpp.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: ARC-005
#[tokio::test]
async fn every_vector_over_tcp() {
    let except = [("IMS-04", "retransmissions are for UDP"), ("IMS-18", "a connection has no end of a datagram")];
    play_all_over(Transport::Tcp, SUITE, &except).await;
}

// checks: ARC-005
#[tokio::test]
async fn every_vector_over_udp() {
    let except = [];
    play_all_over(Transport::Udp, SUITE, &except).await;
}

// checks: IM-030, IM-031, IM-033, MSG-006, MSG-007, SIP-040
#[tokio::test]
async fn ims_01_basic_message_rfc7572_ex_4_5() {
    play(SUITE, "IMS-01").await;
}

// checks: IM-032, ADR-015
#[tokio::test]
async fn ims_02_gr_of_the_sender_becomes_the_resource() {
    play(SUITE, "IMS-02").await;
}

// checks: SIP-005, SIP-006
#[tokio::test]
async fn ims_04_udp_retransmission_gives_one_stanza_and_the_same_response() {
    play(SUITE, "IMS-04").await;
}

// checks: SIP-024
#[tokio::test]
async fn ims_05_merged_request() {
    play(SUITE, "IMS-05").await;
}

// checks: ARC-010, SIP-023
#[tokio::test]
async fn ims_06_sips_request_is_not_translated() {
    play(SUITE, "IMS-06").await;
}

// checks: ARC-010
#[tokio::test]
async fn ims_07_sips_only_in_to_is_refused_too() {
    play(SUITE, "IMS-07").await;
}

// checks: SIP-026, IM-042
#[tokio::test]
async fn ims_08_unknown_content_type() {
    play(SUITE, "IMS-08").await;
}

// checks: IM-041, CMP-040
#[tokio::test]
async fn ims_09_text_html_becomes_xhtml_im_plus_plain_body() {
    play(SUITE, "IMS-09").await;
}

// checks: IM-044, XST-022
#[tokio::test]
async fn ims_12_control_characters_are_not_legal_xml() {
    play(SUITE, "IMS-12").await;
}

// checks: IM-044
#[tokio::test]
async fn ims_13_xml_metacharacters_are_escaped() {
    play(SUITE, "IMS-13").await;
}

// checks: SIP-031, ARC-012
#[tokio::test]
async fn ims_14_max_forwards_0_at_the_b2bua() {
    play(SUITE, "IMS-14").await;
}

// checks: SIP-025
#[tokio::test]
async fn ims_15_require_with_an_unknown_tag() {
    play(SUITE, "IMS-15").await;
}

// checks: SIP-016
#[tokio::test]
async fn ims_18_extra_octets_after_the_body_in_a_datagram_are_ignored() {
    play(SUITE, "IMS-18").await;
}

// checks: ERR-001, ERR-005
#[tokio::test]
async fn ims_20_xmpp_error_while_the_sip_transaction_is_still_open() {
    play(SUITE, "IMS-20").await;
}

// checks: MSG-008, MSG-009
#[tokio::test]
async fn ims_21_expired_message_is_not_delivered() {
    play(SUITE, "IMS-21").await;
}

// checks: CMP-050
#[tokio::test]
async fn ims_22_old_date_becomes_a_delay_element() {
    play(SUITE, "IMS-22").await;
}

// checks: ERR-006, SIP-042
#[tokio::test]
async fn ims_23_xmpp_domain_cannot_be_resolved() {
    play(SUITE, "IMS-23").await;
}

// checks: SIP-028
#[tokio::test]
async fn ims_26_to_tag_of_an_unknown_dialog() {
    play(SUITE, "IMS-26").await;
}

// checks: IM-046
#[tokio::test]
async fn ims_28_multipart_alternative() {
    play(SUITE, "IMS-28").await;
}

// checks: SIP-010, SIP-011
#[tokio::test]
async fn ims_29_compact_headers_folding_odd_case_lws() {
    play(SUITE, "IMS-29").await;
}

// checks: ADR-010, ADR-011
#[tokio::test]
async fn ims_30_user_part_with_escapes() {
    play(SUITE, "IMS-30").await;
}

// checks: ARC-012, SEC-001
#[tokio::test]
async fn ims_31_loop_own_message_comes_back() {
    play(SUITE, "IMS-31").await;
}
