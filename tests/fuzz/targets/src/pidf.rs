//! Presence documents.

use impp_model::{Address, PresenceInfo};
use pidf::mapping::{to_cpp_document, to_document, to_info};
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

/// What a document says of devices makes a document that says the same.
fn mapped(parsed: &Parsed) {
    let info = to_info(&parsed.presence, None).value;
    let presentity = Address::parse_bare("a@example.com").expect("an address");
    for write in [to_document, to_cpp_document] {
        let octets = write(&presentity, &info, None).encode().expect("a state can be written");
        let again = pidf::parse(&octets).expect("the reader takes what the writer gives");
        assert_eq!(states(&to_info(&again.presence, None).value), states(&info), "the states of devices come back");
    }
}

/// All but the contact, which is made up where there is none.
fn states(info: &PresenceInfo) -> PresenceInfo {
    let mut info = info.clone();
    info.tuples.iter_mut().for_each(|tuple| tuple.contact = None);
    info
}
