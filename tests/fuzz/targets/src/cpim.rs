//! message/cpim objects, alone and under MIME headers.

use bytes::Bytes;
use cpim::report::CpimReport;
use cpim::{Draft, Message, Package, Profile, RelayView, Remedy, SignedPolicy, mapping};
use impp_model::{Address, DateTime, MessageOperation, TransId};

/// Reads `input` as an object in every profile, and as an object under MIME headers.
pub fn run(input: &[u8]) {
    let view = RelayView::new(input);
    assert_eq!(view.octets(), input, "a relay changes nothing");
    let _ = (view.lines().count(), view.first("From"), view.content());
    for profile in [Profile::Base, Profile::Msrp, Profile::Gateway] {
        object(input, profile);
    }
    operation(input);
    if let Ok(package) = Package::parse(input) {
        packaged(&package, input);
    }
}

/// What the hub can carry makes an object that says the same.
fn operation(input: &[u8]) {
    let im = |uri: &str| Address::from_im_uri(uri).ok();
    let Ok(mapped) = mapping::from_object(input, im, TransId::from("t")) else { return };
    let read = mapped.value.message;
    let Ok(written) = mapping::to_object(&MessageOperation { message: read.clone(), ..mapped.value }, None) else {
        return;
    };
    let again = mapping::from_object(&written.value, im, TransId::from("t")).expect("what was written can be read");
    // Only t and z become capitals (RFC 3339 §5.6).
    let capitals = |sent: Option<DateTime>| sent.map(|time| time.as_str().to_ascii_uppercase());
    assert_eq!(capitals(again.value.message.sent), capitals(read.sent), "the time is kept");
    assert!(again.value.message.subjects.len() <= read.subjects.len(), "no subject begins another header");
    let sealed = mapping::seal(Bytes::copy_from_slice(input));
    assert!(sealed.as_ref().and_then(mapping::unseal).is_none_or(|octets| octets == input), "sealed octets are kept");
}

fn object(input: &[u8], profile: Profile) {
    let report = CpimReport::inspect(input, profile);
    assert_eq!(report.length, input.len(), "a report is made of anything");
    let strict = Message::parse(input, profile);
    match Message::interpret(input, profile) {
        Ok((message, deviations)) => {
            assert_eq!(strict.is_ok(), deviations.is_empty(), "the readings differ where it is said");
            assert_eq!(message.octets(), input, "an object keeps its octets");
            let places = deviations.iter().map(|deviation| deviation.error.octet);
            assert!(places.max().is_none_or(|octet| octet <= input.len()), "faults are inside");
            written_anew(&message);
            wrapped(input);
        }
        Err(error) => assert!(strict.is_err() && error.octet <= input.len(), "the letter is never more lenient"),
    }
}

/// What a gateway reads it can write, and reads again the same.
fn written_anew(message: &Message<'_>) {
    let draft = Draft::like(message);
    let octets = draft.encode().expect("what was read can be written");
    let (again, deviations) = Message::interpret(&octets, Profile::Base).expect("what was written can be read");
    assert!(deviations.iter().all(|deviation| deviation.remedy == Remedy::Rfc3986), "by the letter, but for brackets");
    assert_eq!(again.to().count(), message.to().count(), "no address begins another");
    assert_eq!(again.required(), message.required(), "no requirement is lost");
    assert_eq!(again.content(), message.content(), "the content is untouched");
    assert_eq!(Draft::like(&again), draft, "nothing is lost on the second way");
}

fn wrapped(input: &[u8]) {
    let octets = Draft::around(input, false).encode().expect("an object can be wrapped");
    let wrapper = Message::parse(&octets, Profile::Base).expect("a wrapper is an object");
    assert_eq!(wrapper.content().body(), input, "the wrapped object is whole");
}

fn packaged(package: &Package<'_>, input: &[u8]) {
    assert_eq!(package.octets(), input, "a package keeps its octets");
    let _ = package.translatable(SignedPolicy::Refuse);
    let _ = package.translatable(SignedPolicy::DropSignature);
    if let Ok(part) = package.signed_part() {
        let there = input.get(part.offset..part.offset + part.octets.len());
        assert_eq!(there, Some(part.octets), "the signed part is where it is said to be");
    }
}
