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
