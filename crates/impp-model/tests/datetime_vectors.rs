//! Walks `tests/vectors/rfc3339.json`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::path::Path;

use impp_model::datetime::{DateTime, DateTimeReport};
use serde_json::Value;

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rfc3339.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

// checks: DT-01, DT-03, DT-04, DT-05, DT-06, DT-07, DT-08, DT-09, DT-10, DT-11, DT-12
#[test]
fn every_vector_is_reported_as_expected() {
    let fields =
        ["input", "valid", "offset", "epoch_seconds", "fraction", "is_leap_second", "pidf_valid", "xmpp_e2e_valid"];
    let file = vectors();
    for vector in file["vectors"].as_array().unwrap() {
        let input = vector["input"].as_str().unwrap();
        let report = serde_json::to_value(DateTimeReport::inspect(input)).unwrap();
        for field in fields {
            assert_eq!(report.get(field), vector.get(field), "{} {field}", vector["id"]);
        }
    }
}

// checks: DT-08
#[test]
fn equal_instants_are_equal() {
    for pair in vectors()["equal_instants"].as_array().unwrap() {
        let [a, b] = [0, 1].map(|i| DateTime::parse(pair[i].as_str().unwrap()).unwrap());
        assert!(a.is_same_instant(&b), "{a} {b}");
        assert_eq!(a.to_utc().unwrap().as_str(), b.to_utc().unwrap().as_str());
    }
}

// checks: DT-05
#[test]
fn listed_leap_seconds_are_announced_and_their_neighbours_not() {
    let file = vectors();
    let listed: Vec<&str> =
        file["leap_second_dates_utc"].as_array().unwrap().iter().map(|date| date.as_str().unwrap()).collect();
    for year in 1970..2040 {
        for month_end in ["06-30", "12-31", "03-31", "09-30"] {
            let date = format!("{year}-{month_end}");
            let time = DateTime::parse(&format!("{date}T23:59:60Z")).unwrap();
            assert_eq!(time.is_announced_leap_second(), listed.contains(&date.as_str()), "{date}");
        }
    }
}
