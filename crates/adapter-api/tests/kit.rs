//! The kit itself: a sound adapter passes it, and each of its cases fails an adapter that is wrong in that way.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "helpers of tests")]

mod pipe;

use adapter_api::testkit::{CASES, Kit, Report, Verdict};
use pipe::Pipe;
use std::time::Duration;

#[tokio::test]
async fn a_sound_adapter_passes_every_case() {
    let report = Kit::default().judge(&mut Pipe::new(None)).await;
    assert!(report.results.iter().all(|result| result.verdict == Verdict::Passed), "{report}");
    assert_eq!(report.results.len(), CASES.len());
}

#[tokio::test]
async fn each_case_fails_an_adapter_that_is_wrong_in_its_way() {
    for case in CASES {
        let kit = Kit::default().patience(Duration::from_millis(600)).only([case.name]);
        let report = kit.judge(&mut Pipe::new(Some(case.name))).await;
        let verdict = report.verdict(case.name).unwrap();
        assert!(matches!(verdict, Verdict::Failed { .. }), "{}: {verdict:?}", case.name);
        assert!(!report.passed() && report.failures().count() == 1);
    }
}

#[tokio::test]
async fn word_that_is_owed_without_its_flag_fails() {
    let kit = Kit::default().patience(Duration::from_millis(600)).only(["owed"]);
    let report = kit.judge(&mut Pipe::new(Some("owed-unflagged"))).await;
    let verdict = report.verdict("owed").unwrap();
    assert!(matches!(verdict, Verdict::Failed { expected, .. } if expected.starts_with("a flag")), "{verdict:?}");
}

#[tokio::test]
async fn a_report_says_case_rule_and_expectation_and_survives_json() {
    let kit = Kit::default().patience(Duration::from_millis(600)).only(["delivered", "refused"]);
    let report = kit.judge(&mut Pipe::new(Some("delivered"))).await;
    let text = report.to_string();
    for part in [
        "FAIL  delivered",
        "rule      DESIGN A5",
        "expected  an outcome that fits",
        "found     HandedOver",
        "pipe: 1 passed, 1 failed, 0 not applicable",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = report.to_json();
    assert_eq!((json["passed"].as_bool(), json["results"][0]["verdict"].as_str()), (Some(false), Some("failed")));
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}
