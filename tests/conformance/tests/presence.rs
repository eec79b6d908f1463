//! Presence between SIP and XMPP (RFC 8048), each vector a test.
//!
//! The cases are checked against the vectors: what is missing is printed as it must stand here.

use conformance::play::{Transport, play_over};
use conformance::suite::unlisted;

const SUITE: &str = "presence";

/// All vectors are played.
const LATER: &[(&str, &str)] = &[];

async fn play(suite: &str, id: &str) {
    play_over(Transport::Tcp, suite, id).await;
}

#[test]
fn every_vector_has_its_test() {
    let wrong = unlisted(SUITE, include_str!("presence.rs"), LATER);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// checks: PRS-010, PRS-011, EVT-001, EVT-002
#[tokio::test]
async fn prx_01_subscribe_becomes_subscribe_rfc8048_ex_1_2() {
    play(SUITE, "PRX-01").await;
}

// checks: PRS-012, EVT-011
#[tokio::test]
async fn prx_02_pending_stays_silent() {
    play(SUITE, "PRX-02").await;
}

// checks: XSU-006
// checks: PRS-013, PRS-014, PRS-042, PRS-045
#[tokio::test]
async fn prx_03_first_active_notify_subscribed_then_presence() {
    play(SUITE, "PRX-03").await;
}

// checks: PRS-017, EVT-014
#[tokio::test]
async fn prx_08_423_is_retried_with_min_expires() {
    play(SUITE, "PRX-08").await;
}

// checks: PRS-017, EVT-008
#[tokio::test]
async fn prx_09_481_on_refresh_new_subscription_authorization_kept() {
    play(SUITE, "PRX-09").await;
}

// checks: PRS-018, EVT-012
#[tokio::test]
async fn prx_10_terminated_rejected() {
    play(SUITE, "PRX-10").await;
}

// checks: EVT-012
#[tokio::test]
async fn prx_12_terminated_probation_retry_after() {
    play(SUITE, "PRX-12").await;
}

// checks: AMB-04
// checks: PRS-020, PRS-021, EVT-010
#[tokio::test]
async fn prx_13_unsubscribe() {
    play(SUITE, "PRX-13").await;
}

// checks: PRS-050
#[tokio::test]
async fn prx_14_probe_without_dialog_polls() {
    play(SUITE, "PRX-14").await;
}

// checks: PRS-015, PRS-061
#[tokio::test]
async fn prx_15_refresh_is_preceded_by_a_probe_of_the_xmpp_user() {
    play(SUITE, "PRX-15").await;
}

// checks: PRS-015, PRS-061
#[tokio::test]
async fn prx_16_no_refresh_for_a_user_who_is_gone() {
    play(SUITE, "PRX-16").await;
}

// checks: PRS-041
#[tokio::test]
async fn prx_17_closed_becomes_unavailable_ex_20_21() {
    play(SUITE, "PRX-17").await;
}

// checks: PRS-047
#[tokio::test]
async fn prx_19_tuple_vanishes() {
    play(SUITE, "PRX-19").await;
}

// checks: SIP-035
#[tokio::test]
async fn prx_22_old_notify() {
    play(SUITE, "PRX-22").await;
}

// checks: PRS-060
#[tokio::test]
async fn prx_23_user_of_a_foreign_domain_may_not_use_the_gateway() {
    play(SUITE, "PRX-23").await;
}

// checks: EVT-006
#[tokio::test]
async fn prx_24_timer_n() {
    play(SUITE, "PRX-24").await;
}

// checks: EVT-003, EVT-032, EVT-035
// checks: PRS-030, PRS-031, EVT-020, EVT-021, EVT-025
#[tokio::test]
async fn prs_01_subscribe_200_pending_notify_at_once_xmpp_subscribe() {
    play(SUITE, "PRS-01").await;
}

// checks: PRS-033
#[tokio::test]
async fn prs_03_refused_ex_15_16() {
    play(SUITE, "PRS-03").await;
}

// checks: PRS-040, PRS-043, PRS-044, PRS-045, PRS-046, PRS-048
#[tokio::test]
async fn prs_04_presence_becomes_notify_with_pidf_ex_18_19() {
    play(SUITE, "PRS-04").await;
}

// checks: PRS-046
#[tokio::test]
async fn prs_05_negative_priority_is_omitted() {
    play(SUITE, "PRS-05").await;
}

// checks: PRS-047, PRS-049
#[tokio::test]
async fn prs_07_two_resources_complete_document() {
    play(SUITE, "PRS-07").await;
}

// checks: PRS-044
#[tokio::test]
async fn prs_08_resource_that_is_no_xs_id() {
    play(SUITE, "PRS-08").await;
}

// checks: PRS-035, EVT-024
#[tokio::test]
async fn prs_10_unsubscribe_keeps_the_xmpp_authorization_ex_17() {
    play(SUITE, "PRS-10").await;
}

// checks: PRS-051, EVT-024
#[tokio::test]
async fn prs_11_poll_ex_24_25() {
    play(SUITE, "PRS-11").await;
}

// checks: EVT-022
#[tokio::test]
async fn prs_12_unknown_event_package() {
    play(SUITE, "PRS-12").await;
}

// checks: EVT-022
#[tokio::test]
async fn prs_13_no_event_header() {
    play(SUITE, "PRS-13").await;
}

// checks: EVT-027
#[tokio::test]
async fn prs_15_too_short() {
    play(SUITE, "PRS-15").await;
}

// checks: EVT-027
#[tokio::test]
async fn prs_16_one_hour_is_never_too_short() {
    play(SUITE, "PRS-16").await;
}

// checks: EVT-028
#[tokio::test]
async fn prs_17_notify_rate() {
    play(SUITE, "PRS-17").await;
}

// checks: EVT-029
#[tokio::test]
async fn prs_18_481_to_notify_ends_the_subscription() {
    play(SUITE, "PRS-18").await;
}

// checks: PRS-062
#[tokio::test]
async fn prs_19_presence_is_never_sent_to_another_watcher() {
    play(SUITE, "PRS-19").await;
}

// checks: PRS-055
#[tokio::test]
async fn prs_20_directed_presence_without_a_subscription() {
    play(SUITE, "PRS-20").await;
}

// checks: EVT-024, PRS-035
#[tokio::test]
async fn prs_21_expiry() {
    play(SUITE, "PRS-21").await;
}

// checks: PRS-032, XSU-004
#[tokio::test]
async fn prs_22_server_auto_replies_subscribed() {
    play(SUITE, "PRS-22").await;
}

// checks: PUB-006
#[tokio::test]
async fn prs_23_publish_without_body_and_without_etag() {
    play(SUITE, "PRS-23").await;
}

// checks: PUB-004
#[tokio::test]
async fn prs_24_publish_with_an_unknown_etag() {
    play(SUITE, "PRS-24").await;
}

// checks: PUB-003, PUB-005
#[tokio::test]
async fn prs_25_publish_initial() {
    play(SUITE, "PRS-25").await;
}

// checks: PUB-002
#[tokio::test]
async fn prs_26_publish_unknown_event() {
    play(SUITE, "PRS-26").await;
}
