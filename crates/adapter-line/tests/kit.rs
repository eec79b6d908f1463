//! The conformance kit.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod users;

use adapter_api::testkit::Kit;
use users::Users;

#[tokio::test]
async fn the_example_passes_the_kit() {
    let report = Kit::default().judge(&mut Users::new()).await;
    assert!(report.passed(), "{report}");
}
