//! Master files.

use impp_resolve::{Name, RecordType, Zone};

/// Reads `input` as a master file and asks for what its words name.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(zone) = Zone::parse(text) else { return };
    for name in text.split_ascii_whitespace().take(WORDS).filter_map(|word| Name::parse(word).ok()) {
        for record_type in [RecordType::Srv, RecordType::A, RecordType::Aaaa, RecordType::Naptr, RecordType::Cname] {
            if let Ok(answer) = zone.answer(&name, record_type) {
                assert!(!answer.records.is_empty(), "an answer has records");
            }
        }
    }
}

/// Names asked for.
const WORDS: usize = 32;
