//! The conformance kit, with a homeserver that does as it is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "helpers of tests")]

mod homeserver;

use adapter_api::testkit::{Kit, Verdict};
use homeserver::Homeserver;

#[tokio::test]
async fn matrix_passes_the_kit() {
    let report = Kit::default().judge(&mut Homeserver::new().await).await;
    assert!(report.passed(), "{report}");
    let left: Vec<_> = report.results.iter().filter(|result| result.verdict != Verdict::Passed).collect();
    let names: Vec<_> = left.iter().map(|result| result.case.as_str()).collect();
    // It lists every kind but one that the kit can't send, and has no devices.
    assert!(names.iter().all(|name| ["kinds", "devices"].contains(name)), "{report}");
}
