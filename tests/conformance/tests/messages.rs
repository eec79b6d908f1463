//! Plays of this project's own, beside the shared vectors: `plays/messages.json`.
//!
//! The cases are checked against the file: what is missing is printed as it must stand here.

use conformance::play::play;
use conformance::suite::unlisted;

const SUITE: &str = "messages";

#[test]
fn every_play_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("messages.rs"), &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: MSG-014, ADR-024
#[tokio::test]
async fn plm_01_from_and_to_are_sip_uris_and_no_routing_header_is_there() {
    play(SUITE, "PLM-01").await;
}

// checks: ADR-010, SIP-022
#[tokio::test]
async fn plm_02_an_im_uri_names_the_same_inbox() {
    play(SUITE, "PLM-02").await;
}

// checks: ADR-035, SIP-022
#[tokio::test]
async fn plm_03_a_telephone_number_without_a_gateway_for_it_is_refused() {
    play(SUITE, "PLM-03").await;
}

// checks: CMP-061
#[tokio::test]
async fn plm_04_a_correction_is_a_message_with_the_whole_new_text() {
    play(SUITE, "PLM-04").await;
}

// checks: CMP-063
#[tokio::test]
async fn plm_05_a_reply_is_sent_with_the_text_it_quotes() {
    play(SUITE, "PLM-05").await;
}

// checks: CMP-060
#[tokio::test]
async fn plm_06_a_file_is_its_address_once() {
    play(SUITE, "PLM-06").await;
}

// checks: CMP-062
#[tokio::test]
async fn plm_07_a_reaction_without_text_is_dropped() {
    play(SUITE, "PLM-07").await;
}

// checks: CMP-065
#[tokio::test]
async fn plm_08_a_retraction_without_text_is_dropped() {
    play(SUITE, "PLM-08").await;
}

// checks: ERR-002, ERR-005, ERR-008
#[tokio::test]
async fn plm_09_a_refused_message_is_told_once_to_the_device_that_sent_it() {
    play(SUITE, "PLM-09").await;
}

// checks: IM-033, IM-034, IM-035, IM-036, IM-037
#[tokio::test]
async fn plm_10_subject_language_thread_and_id_come_along() {
    play(SUITE, "PLM-10").await;
}

// checks: IM-043
#[tokio::test]
async fn plm_11_a_declared_charset_is_recoded() {
    play(SUITE, "PLM-11").await;
}

// checks: IM-043, SIP-026
#[tokio::test]
async fn plm_12_an_unknown_charset_is_refused() {
    play(SUITE, "PLM-12").await;
}

// checks: SIP-027
#[tokio::test]
async fn plm_13_proxy_require_is_not_for_us() {
    play(SUITE, "PLM-13").await;
}

// checks: SIP-017
#[tokio::test]
async fn plm_14_a_datagram_shorter_than_it_says_is_refused() {
    play(SUITE, "PLM-14").await;
}

// checks: SEC-001
#[tokio::test]
async fn plm_15_a_sender_of_a_domain_that_is_not_proven_is_refused() {
    play(SUITE, "PLM-15").await;
}

// checks: IM-038, SIP-022
#[tokio::test]
async fn plm_16_the_request_uri_names_the_addressee_and_the_to_does_not() {
    play(SUITE, "PLM-16").await;
}

// checks: IM-045
#[tokio::test]
async fn plm_17_an_empty_message_is_accepted_and_makes_no_stanza() {
    play(SUITE, "PLM-17").await;
}

// checks: MSG-012
#[tokio::test]
async fn plm_18_a_message_of_many_octets_is_taken() {
    play(SUITE, "PLM-18").await;
}

// checks: TOR-014
#[tokio::test]
async fn plm_19_a_request_with_a_via_that_cannot_be_read_is_told_so() {
    play(SUITE, "PLM-19").await;
}

// checks: SIP-021, ERR-011
#[tokio::test]
async fn plm_20_a_known_method_that_is_not_served() {
    play(SUITE, "PLM-20").await;
}

// checks: IM-006, IM-012
#[tokio::test]
async fn plm_21_the_body_in_the_language_of_the_stanza_is_sent() {
    play(SUITE, "PLM-21").await;
}

// checks: CMP-050
#[tokio::test]
async fn plm_22_a_delayed_message_says_since_when() {
    play(SUITE, "PLM-22").await;
}

// checks: ERR-003
#[tokio::test]
async fn plm_23_301_tells_the_new_address() {
    play(SUITE, "PLM-23").await;
}

// checks: ERR-003
#[tokio::test]
async fn plm_24_410_tells_no_address() {
    play(SUITE, "PLM-24").await;
}

// checks: ERR-007
#[tokio::test]
async fn plm_25_an_error_without_an_open_message_stays_unanswered() {
    play(SUITE, "PLM-25").await;
}

// checks: SEC-001
#[tokio::test]
async fn plm_26_a_sender_in_a_foreign_domain_of_another_network_is_refused() {
    play(SUITE, "PLM-26").await;
}

// checks: CMP-024, IMDN-002
#[tokio::test]
async fn plm_27_a_notification_becomes_a_receipt_and_is_answered_by_none() {
    play(SUITE, "PLM-27").await;
}

// checks: CMP-024
#[tokio::test]
async fn plm_28_a_notification_of_failure_becomes_an_error_with_the_original_id() {
    play(SUITE, "PLM-28").await;
}

// checks: CPM-006
#[tokio::test]
async fn plm_29_a_header_that_must_be_understood_and_is_not() {
    play(SUITE, "PLM-29").await;
}

// checks: CMP-003
#[tokio::test]
async fn plm_30_composing_ends_with_its_refresh_interval() {
    play(SUITE, "PLM-30").await;
}

// checks: CMP-060
#[tokio::test]
async fn plm_31_a_file_elsewhere_is_its_address_and_marked_as_a_file() {
    play(SUITE, "PLM-31").await;
}

// checks: CMP-024
#[tokio::test]
async fn plm_32_a_displayed_notification_becomes_a_marker_processed_becomes_nothing() {
    play(SUITE, "PLM-32").await;
}
