//! Date-times.

use impp_model::DateTime;
use impp_model::datetime::DateTimeReport;

/// Reads `input` as a date-time, and as two of them against each other.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let report = DateTimeReport::inspect(&text);
    let (first, second) = text.split_once(' ').unwrap_or((&text, ""));
    let Ok(time) = DateTime::parse(first) else { return };
    assert_eq!(time.as_str(), first, "the text is kept");
    assert!(time.nanos() < 1_000_000_000 && time.is_same_instant(&time), "an instant is one");
    if let Some(utc) = time.to_utc() {
        assert!(utc.as_str().ends_with('Z') && utc.is_pidf(), "UTC as PIDF writes it");
        assert_eq!(utc.epoch_seconds(), time.epoch_seconds(), "the same second");
        assert_eq!(DateTime::parse(utc.as_str()).as_ref(), Ok(&utc), "what is written reads back");
    }
    if let Ok(other) = DateTime::parse(second) {
        assert_eq!(time.cmp_instant(&other), other.cmp_instant(&time).reverse(), "an order");
        let apart = time.epoch_seconds().cmp(&other.epoch_seconds());
        assert!(apart.is_eq() || time.cmp_instant(&other) == apart, "seconds decide first");
    }
    drop(report);
}
