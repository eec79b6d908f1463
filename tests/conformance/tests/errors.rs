//! RFC 7247 §7 through the hub: an error of one side, its cause, and the error of the other side.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail like the test")]

use adapter_sip::mapping::error as sip;
use adapter_xmpp::mapping::error as xmpp;
use conformance::suite::file;
use impp_model::{Cause, Failure, Side};
use serde_json::Value;
use xmpp_proto::stanza::{Condition, ErrorType, StanzaError};

fn rows<'v>(file: &'v Value, table: &str) -> &'v Vec<Value> {
    file[table].as_array().unwrap()
}

fn condition(name: &str) -> Condition {
    *Condition::ALL.iter().find(|condition| condition.as_str() == name).unwrap_or_else(|| panic!("{name}"))
}

/// What the vectors leave open, by section 8 of the interworking rules: AMB-11, AMB-12 and AMB-13.
const DECIDED: &[(&str, u16)] = &[
    ("not-authorized", 403),
    ("registration-required", 403),
    ("remote-server-timeout", 504),
    ("unexpected-request", 400),
];

// checks: ERR-001, ERR-003, ERR-004, ERR-011, AMB-11, AMB-12, AMB-13
#[test]
fn rfc7247_s7_1_a_stanza_error_becomes_a_status() {
    let file = file("errors.json");
    let rows = rows(&file, "xmpp_to_sip");
    assert_eq!(rows.len(), Condition::ALL.len());
    for row in rows {
        let name = row["condition"].as_str().unwrap();
        let mut error = StanzaError::new(condition(name));
        if error.condition == Condition::Redirect {
            error = error.with_address("xmpp:romeo@other.example.net");
        }
        let failure = xmpp::from_stanza_error(&error);
        for (key, full) in [("sip_for_bare_jid", false), ("sip_for_full_jid", true)] {
            let table = u16::try_from(row[key].as_u64().unwrap()).unwrap();
            let decided = DECIDED.iter().find(|(other, _)| *other == name).map_or(table, |(_, status)| *status);
            let listed = decided == table || row["alternatives"].as_array().unwrap().contains(&decided.into());
            assert!(listed, "{name}: {decided} is no alternative of the vector");
            assert_eq!(sip::to_sip_status(&failure, full), decided, "{} {key}", row["id"]);
        }
    }
}

// checks: ERR-003
#[test]
fn rfc7247_s7_1_note_3_gone_with_an_address_is_301() {
    let gone = StanzaError::new(Condition::Gone);
    let moved = gone.clone().with_address("xmpp:romeo@other.example.net");
    assert_eq!(sip::to_sip_status(&xmpp::from_stanza_error(&gone), false), 410);
    let failure = xmpp::from_stanza_error(&moved);
    assert_eq!(sip::to_sip_status(&failure, false), 301);
    assert_eq!(failure.redirect.map(|to| to.to_string()).as_deref(), Some("romeo@other.example.net"));
}

// checks: ERR-002
#[test]
fn rfc7247_s7_2_a_status_becomes_a_stanza_error() {
    let file = file("errors.json");
    let listed = rows(&file, "sip_to_xmpp").iter().chain(rows(&file, "unlisted_codes"));
    for row in listed {
        let code = row["sip"].as_str().map_or_else(|| row["sip"].to_string(), |class| class.replace("xx", "99"));
        let failure = sip::from_sip_status(code.parse().unwrap(), "Words", None, None).unwrap();
        let error = xmpp::to_stanza_error(&failure);
        assert_eq!(error.condition.as_str(), row["condition"].as_str().unwrap(), "{code}");
        assert_eq!(error.kind.as_str(), row["type"].as_str().unwrap(), "{code}");
        assert_eq!(error.text.as_deref(), Some("Words"), "{code}");
    }
}

// checks: ERR-002, ERR-003
#[test]
fn rfc7247_s7_2_note_1_the_new_address_goes_along() {
    let address = || Some("romeo@other.example.net".parse().unwrap());
    let error = |status| xmpp::to_stanza_error(&sip::from_sip_status(status, "", address(), None).unwrap());
    for status in [301, 302] {
        assert_eq!(error(status).address.as_deref(), Some("xmpp:romeo@other.example.net"), "{status}");
    }
    assert_eq!(error(410).address, None);
}

// checks: ERR-009
#[test]
fn rfc6120_s8_3_3_each_condition_has_its_usual_type() {
    let file = file("errors.json");
    for cause in Cause::ALL {
        let error = xmpp::to_stanza_error(&Failure::new(Side::Far, *cause));
        let usual = file["error_types"][error.condition.as_str()].as_str().unwrap();
        assert_eq!(error.kind.as_str(), usual, "{cause}");
        assert_ne!(error.kind, ErrorType::Continue);
    }
}

// checks: ERR-010
#[test]
fn rfc4475_s3_1_2_19_what_is_no_final_failure_gives_no_error() {
    for status in [0, 99, 100, 180, 200, 202, 299, 700, 999] {
        assert_eq!(sip::from_sip_status(status, "", None, None), None, "{status}");
    }
}

// checks: ERR-005
#[test]
fn words_pass_in_both_directions_as_one_short_line() {
    let long = format!("no\r\n such {}", "\u{fc}".repeat(300));
    let error = StanzaError::new(Condition::ItemNotFound).with_text(long.clone());
    let phrase = sip::to_phrase(&xmpp::from_stanza_error(&error)).unwrap();
    let text = xmpp::to_stanza_error(&sip::from_sip_status(404, &long, None, None).unwrap()).text.unwrap();
    for line in [phrase.as_str(), &*text] {
        assert!(
            line.starts_with("no   such \u{fc}") && line.len() <= 256 && !line.contains(char::is_control),
            "{line}"
        );
    }
}
