//! Receipts, typing, message/cpim and what else crosses the networks beside text (rules CMP, IMDN, ISC, CPM), each vector a test.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::play;
use conformance::suite::unlisted;

const SUITE: &str = "cross";

/// Not played yet, with what is missing for it.
const LATER: &[(&str, &str)] = &[];

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("cross.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: CMP-020, CMP-021, CPM-001, CPM-005
#[tokio::test]
async fn crs_01_cpim_with_imdn_request_becomes_receipt_request_and_markable() {
    play(SUITE, "CRS-01").await;
}

// checks: CMP-022, IMDN-004, IMDN-005, IMDN-006
#[tokio::test]
async fn crs_02_receipt_becomes_delivery_notification() {
    play(SUITE, "CRS-02").await;
}

// checks: CMP-022, IMDN-006
#[tokio::test]
async fn crs_03_displayed_becomes_display_notification() {
    play(SUITE, "CRS-03").await;
}

// checks: IMDN-003, CMP-022
#[tokio::test]
async fn crs_04_no_second_delivery_notification() {
    play(SUITE, "CRS-04").await;
}

// checks: CMP-023, IMDN-007
#[tokio::test]
async fn crs_05_error_after_202_becomes_negative_delivery() {
    play(SUITE, "CRS-05").await;
}

// checks: CMP-025, IMDN-001
#[tokio::test]
async fn crs_07_xmpp_receipt_request_becomes_cpim_with_imdn() {
    play(SUITE, "CRS-07").await;
}

// checks: CMP-025, SIP-037
#[tokio::test]
async fn crs_08_peer_rejects_message_cpim_resend_as_text_plain_once() {
    play(SUITE, "CRS-08").await;
}

// checks: CMP-001, CMP-002
#[tokio::test]
async fn crs_09_iscomposing_in_pager_mode() {
    play(SUITE, "CRS-09").await;
}

// checks: CMP-005
#[tokio::test]
async fn crs_11_unknown_state_counts_as_idle() {
    play(SUITE, "CRS-11").await;
}

// checks: CMP-004
#[tokio::test]
async fn crs_12_415_to_iscomposing_stops_further_ones() {
    play(SUITE, "CRS-12").await;
}

// checks: CPM-003, SEC-001
#[tokio::test]
async fn crs_13_cpim_sender_is_not_trusted() {
    play(SUITE, "CRS-13").await;
}

// checks: CPM-007
#[tokio::test]
async fn crs_15_cpim_subject_with_language() {
    play(SUITE, "CRS-15").await;
}

// checks: CMP-060
#[tokio::test]
async fn crs_16_oob_file_link_goes_out_as_text() {
    play(SUITE, "CRS-16").await;
}

// checks: CMP-062
#[tokio::test]
async fn crs_18_reaction_without_body() {
    play(SUITE, "CRS-18").await;
}

// checks: CMP-063
#[tokio::test]
async fn crs_19_reply_fallback_is_kept_for_sip() {
    play(SUITE, "CRS-19").await;
}

// checks: CMP-070
#[tokio::test]
async fn crs_20_omemo_without_usable_body_is_not_sent_as_text() {
    play(SUITE, "CRS-20").await;
}

// checks: CMP-071
#[tokio::test]
async fn crs_21_s_mime_body_is_not_opened() {
    play(SUITE, "CRS-21").await;
}

// checks: CMP-072
#[tokio::test]
async fn crs_22_multipart_signed_text_is_shown_signature_dropped_or_carried() {
    play(SUITE, "CRS-22").await;
}

// checks: CMP-064
#[tokio::test]
async fn crs_23_carbons_and_private_hints_do_not_leak() {
    play(SUITE, "CRS-23").await;
}

// checks: CMP-064
#[tokio::test]
async fn crs_24_no_store_message_is_not_queued() {
    play(SUITE, "CRS-24").await;
}
