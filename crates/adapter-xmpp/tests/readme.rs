//! The README says what the capabilities say.

use adapter_api::Carries;
use adapter_xmpp::FIELDS;

#[test]
fn the_table_of_fields_is_that_of_the_capabilities() {
    let readme = include_str!("../README.md");
    let table = readme.split("## ").find(|part| part.starts_with("What becomes of a message towards XMPP"));
    let rows: Vec<_> = table.unwrap_or_default().lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let expected: Vec<_> = FIELDS
        .iter()
        .map(|row| {
            let fares = match row.support {
                Carries::Carried => "carried",
                Carries::Degraded => "degraded",
                Carries::Dropped => "dropped",
            };
            format!("| {} | {fares} | {} |", row.field, row.note)
        })
        .collect();
    assert_eq!(rows, expected);
}
