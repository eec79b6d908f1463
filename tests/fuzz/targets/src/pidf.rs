//! Presence documents.

use pidf::mapping::{DeviceState, States};
use pidf::report::PidfReport;
use pidf::{Parsed, RelayView, WarningKind};

/// Reads `input` as a document, without and with a charset.
pub fn run(input: &[u8]) {
    assert_eq!(RelayView::new(input, None).octets(), input, "a relay changes nothing");
    let _ = PidfReport::inspect(input, Some("application/pidf+xml; charset=iso-8859-1"));
    let _ = PidfReport::inspect(input, Some(pidf::DIFF_MEDIA_TYPE));
    if let Ok(parsed) = pidf::parse(input) {
        assert!(parsed.warnings.iter().all(|warning| warning.octet <= input.len()), "faults have places");
        written(&parsed);
        mapped(&parsed);
    }
}

/// What is written reads back, the second time with nothing mended any more.
fn written(first: &Parsed) {
    let Ok(octets) = first.presence.encode() else { return };
    let second = pidf::parse(&octets).expect("the reader takes what the writer gives");
    let again = second.presence.encode().expect("what was written can be written");
    assert_eq!(pidf::parse(&again).map(|third| third.presence).as_ref(), Ok(&second.presence), "writing is stable");
    if !first.warnings.iter().any(|warning| MENDED.contains(&warning.kind)) {
        assert_eq!(first.presence, second.presence, "nothing changes on the way");
    }
}

/// Faults that a writer mends.
const MENDED: [WarningKind; 5] = [
    WarningKind::IdNotNcname,
    WarningKind::DuplicateId,
    WarningKind::PersonIdMissing,
    WarningKind::DeviceIdMissing,
    WarningKind::Order,
];

/// The state of a device comes back from the tuple that tells it.
fn mapped(parsed: &Parsed) {
    let States::Devices(states) = States::of(&parsed.presence, None) else { return };
    for state in states {
        let tuple = state.to_tuple(Some("im:a@example.com"), None);
        assert_eq!(
            DeviceState::of(&tuple, None).map(|back| back.device),
            Some(state.device),
            "a device keeps its name"
        );
    }
}
