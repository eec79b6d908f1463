//! What the native protocol carries; the README's table is checked against this.

use crate::config::Limits;
use crate::mapping::field;
use adapter_api::{
    Acknowledgement, Capabilities, Carries, FieldSupport, PresenceCapabilities, Repetition, SendsAs, TellsFailure,
};
use impp_model::Kind;
use std::collections::BTreeMap;

/// Each field of an INSTANT MESSAGE and how it fares on the way to a native user.
pub(crate) const FIELDS: [FieldSupport; 19] = [
    FieldSupport::new(field::SOURCE_DEVICE, Carries::Carried, "from_device"),
    FieldSupport::new(field::DESTINATION_DEVICE, Carries::Degraded, "every device of the user gets the message"),
    FieldSupport::new(field::ID, Carries::Carried, "id"),
    FieldSupport::new(field::THREAD, Carries::Carried, "thread"),
    FieldSupport::new(field::SUBJECTS, Carries::Degraded, "the first one, without a language of its own"),
    FieldSupport::new(field::SENT, Carries::Carried, "sent"),
    FieldSupport::new(field::RECEIPTS, Carries::Carried, "receipts"),
    FieldSupport::new(field::CONTENT, Carries::Carried, "body, text only; other octets are refused"),
    FieldSupport::new(field::LANGUAGE, Carries::Carried, "lang"),
    FieldSupport::new(field::ALTERNATIVES, Carries::Degraded, "those that are text"),
    FieldSupport::new(field::CORRECTION, Carries::Carried, "replaces"),
    FieldSupport::new(field::REPLY, Carries::Carried, "reply_to"),
    FieldSupport::new(field::REACTION, Carries::Carried, "reactions"),
    FieldSupport::new(field::RETRACTION, Carries::Carried, "retracts"),
    FieldSupport::new(field::HINTS, Carries::Dropped, "they bind the gateway"),
    FieldSupport::new(field::FILES, Carries::Carried, "files"),
    FieldSupport::new(field::SEALED, Carries::Carried, "object, of S/MIME (RFC 3923); other schemes are refused"),
    FieldSupport::new(field::DISPOSITION, Carries::Carried, "the event disposition"),
    FieldSupport::new(field::COMPOSING, Carries::Carried, "the event composing, to devices that listen"),
];

/// The capabilities of an instance with these limits.
pub(crate) fn capabilities(limits: &Limits) -> Capabilities {
    Capabilities {
        protocol: "native".into(),
        srv_label: None,
        kinds: vec![Kind::Message, Kind::Disposition, Kind::Composing, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        transports: Vec::new(),
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Device,
        acknowledgement_of: BTreeMap::new(),
        answers_each: true,
        tells_failure: TellsFailure::Always,
        seals: vec![cpim::mapping::SEAL.into()],
        repetition: Repetition::Repeatable,
        standing_link: true,
        proves_peers: false,
        max_content: Some(limits.max_message),
        presence: Some(PresenceCapabilities { refreshed: false, publishes: true, devices: false, checked: false }),
        fields: FIELDS.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_same_table() {
        let readme = include_str!("../README.md");
        for FieldSupport { field, support, note } in &FIELDS {
            let support = match support {
                Carries::Carried => "carried",
                Carries::Degraded => "degraded",
                Carries::Dropped => "dropped",
            };
            let row = format!("| `{field}` | {support} | {note} |");
            assert!(readme.lines().any(|line| line == row), "README.md lacks: {row}");
        }
        let rows = readme.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
        assert_eq!(
            rows.filter(|row| ["carried", "degraded", "dropped"].iter().any(|w| row.contains(&format!("| {w} |"))))
                .count(),
            FIELDS.len()
        );
    }
}
