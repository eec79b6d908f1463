//! What holds for every master file: no panic, an error names a line of it, and a zone that is read answers.

use impp_resolve::{Name, RecordType, Zone};
use proptest::prelude::*;

fn near_a_zone() -> impl Strategy<Value = String> {
    let words = [
        "a",
        "@",
        "*",
        "example.com.",
        "b.",
        ".",
        "IN",
        "60",
        "1h",
        "A",
        "AAAA",
        "SRV",
        "CNAME",
        "NAPTR",
        "SOA",
        "TXT",
        "192.0.2.1",
        "::1",
        "0",
        "5060",
        "\"s\"",
        "\"\"",
        "$ORIGIN",
        "$TTL",
        "$INCLUDE",
        "(",
        ")",
        ";",
        "\"",
        "\\065",
        "\\.",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        " ",
        "ü",
        "\r\n",
        "\t",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_master_file_is_read_or_refused(text in prop_oneof![near_a_zone(), any::<String>()]) {
        match Zone::parse(&text) {
            Ok(zone) => {
                let name = Name::parse("a.example.com").expect("a name");
                for record_type in [RecordType::A, RecordType::Srv, RecordType::Cname] {
                    if let Ok(answer) = zone.answer(&name, record_type) {
                        prop_assert!(!answer.records.is_empty());
                    }
                }
            }
            Err(error) => prop_assert!(error.line <= text.lines().count().max(1) + 1, "{} {}", text, error),
        }
    }
}
