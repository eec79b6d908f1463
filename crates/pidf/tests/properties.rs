//! Whatever comes in, nothing panics; what is read is written so that it reads the same.

use std::time::{Duration, SystemTime};

use pidf::report::PidfReport;
use pidf::{
    Attr, Basic, Contact, Device, Element, Note, Person, Presence, Priority, RelayView, Tuple, namespace, parse,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use strict_xml::XML_NS;

const CASES: u32 = 64;

/// Text with all that an XML writer may trip over, but no characters that XML cannot hold.
fn text() -> impl Strategy<Value = String> {
    "[ a-zé<>&'\"\\]\\[\t\n\u{1F600}]{0,12}"
}

fn basic() -> impl Strategy<Value = Basic> {
    prop_oneof![Just(Basic::Open), Just(Basic::Closed)]
}

fn note() -> impl Strategy<Value = Note> {
    (proptest::option::of("[a-z]{2}"), text())
        .prop_map(|(lang, text)| Note::new(lang.map(Into::into), text.replace('\r', "\n")))
}

fn element() -> impl Strategy<Value = Element> {
    let ns = prop_oneof![
        Just(namespace::PIDF),
        Just(namespace::RPID),
        Just(namespace::JABBER_CLIENT),
        Just(""),
        Just("urn:example:<&'\">")
    ];
    let leaf = (ns.clone(), "[a-z]{7,9}", text()).prop_map(|(ns, name, text)| {
        let element = Element::new(name, ns).with_attr("a", text.clone());
        if text.is_empty() { element } else { element.with_text(text) }
    });
    leaf.prop_recursive(3, 8, 3, move |inner| {
        (ns.clone(), "[a-z]{7,9}", proptest::collection::vec(inner, 0..3)).prop_map(|(ns, name, children)| {
            let mut element = children.into_iter().fold(Element::new(name, ns), Element::with_child);
            element.set_attr_ns("b", "urn:example:attribute", "x");
            element
        })
    })
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let contact = ("[a-z:@]{1,8}", proptest::option::of(0_u16..=1000));
    let lists = (proptest::collection::vec(element(), 0..3), proptest::collection::vec(note(), 0..3));
    (basic(), proptest::option::of(contact), lists, 0_u64..4_000_000_000).prop_map(|(basic, contact, lists, time)| {
        let mut tuple = Tuple::new("t", basic);
        tuple.contact = contact.map(|(uri, priority)| Contact::new(uri, priority.and_then(Priority::from_thousandths)));
        let (extensions, notes) = lists;
        tuple.status.extensions = extensions.iter().cloned().map(Into::into).collect();
        tuple.extensions = extensions.into_iter().map(Into::into).collect();
        tuple.notes = notes;
        let mut stamps = pidf::Stamps::default();
        tuple.timestamp = stamps.next(SystemTime::UNIX_EPOCH + Duration::from_millis(time));
        tuple
    })
}

fn presence() -> impl Strategy<Value = Presence> {
    let person = proptest::option::of(proptest::collection::vec(element(), 0..3));
    let more = (proptest::option::of("[a-z]{2}"), proptest::option::of("urn:[a-z]{1,4}:x"), element());
    (proptest::collection::vec(tuple(), 0..3), proptest::collection::vec(note(), 0..2), person, more).prop_map(
        |(mut tuples, notes, person, (lang, device, other))| {
            for (number, tuple) in (1..).zip(&mut tuples) {
                tuple.id = format!("t{number}").into();
            }
            let mut presence = Presence::new("pres:a&b@example.com").with_tuples(tuples);
            // What has a language of its own keeps it, and what has none would inherit this one.
            if let Some(lang) = lang.filter(|_| notes.iter().all(|note| note.lang.is_some()))
                && presence.tuples.iter().flat_map(|tuple| &tuple.notes).all(|note| note.lang.is_some())
            {
                presence.attributes.push(Attr { name: "lang".into(), ns: XML_NS.into(), value: lang.into() });
            }
            presence.notes = notes;
            presence.devices = device
                .into_iter()
                .map(|id| {
                    let id = Element::new("deviceID", namespace::DATA_MODEL).with_text(id);
                    Device { id: Some("d".into()), elements: vec![id.into()], ..Device::default() }
                })
                .collect();
            // Behind notes and persons, and of a namespace that has a place there.
            presence.extensions = (other.ns != *namespace::PIDF).then(|| other.into()).into_iter().collect();
            presence.persons = person
                .into_iter()
                .map(|elements| Person {
                    id: Some("p".into()),
                    elements: elements.into_iter().map(Into::into).collect(),
                    ..Person::default()
                })
                .collect();
            presence
        },
    )
}

/// A document put together from pieces that belong in one, mostly sound.
fn document() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<tuple id='a'><status><basic>open</basic></status></tuple>"),
        Just(
            "<tuple id='b c' xmlns:x='urn:x'><status><x:s k='1'/><basic>closed</basic></status><x:y xml:lang=''/></tuple>"
        ),
        Just("<p:tuple id='d'><p:status xmlns:z='urn:z'><z:s><x:t xmlns:x='urn:own'/></z:s></p:status></p:tuple>"),
        Just(
            "<tuple id='e' xml:lang='fr'><status><basic> open </basic></status><note>n</note><note xml:lang=''/></tuple>"
        ),
        Just("<tuple id='f'><status><q xmlns=''><r xmlns='urn:r'/></q></status><contact priority='.5'/></tuple>"),
        Just("<tuple id='g'><contact> im:a </contact><status/><timestamp>2024-01-01T00:00:00Z</timestamp></tuple>"),
        Just("<d:person id='p'><d:timestamp/><r:mood><r:sad/></r:mood><!-- c --></d:person>"),
        Just("<d:device id='p'><d:deviceID>urn:x</d:deviceID></d:device>"),
        Just("<person xmlns='urn:ietf:params:xml:ns:pidf:data-model'><note>&#10;<![CDATA[<]]></note></person>"),
        Just("<note xml:lang='de'>&lt;</note>"),
        Just("<e:e p:mustUnderstand='1'>e:e<?pi x?></e:e>"),
        Just("text"),
    ];
    (proptest::collection::vec(piece, 0..6), any::<bool>()).prop_map(|(pieces, lang)| {
        format!(
            "<presence xmlns='{0}' xmlns:p='{0}' xmlns:d='{1}' xmlns:r='{2}' xmlns:e=\"urn:'&amp;\" entity='x'{3}>{4}</presence>",
            namespace::PIDF,
            namespace::DATA_MODEL,
            namespace::RPID,
            if lang { " xml:lang='en'" } else { "" },
            pieces.concat()
        )
    })
}

/// What is read, written and read again is the same from then on, and the same from the start if the ids were sound.
fn check_round_trip(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(first) = parse(octets) else { return Ok(()) };
    let Ok(written) = first.presence.encode() else { return Ok(()) };
    let second = parse(&written).map_err(|error| TestCaseError::fail(format!("the reader refuses: {error}")))?;
    let rewritten = second.presence.encode().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let third = parse(&rewritten).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&second.presence, &third.presence);
    let ids = ["W_ID_NOT_NCNAME", "W_PERSON_ID_MISSING", "W_DEVICE_ID_MISSING", "W_DUP_ID", "W_ORDER"];
    if !first.warnings.iter().any(|warning| ids.contains(&warning.kind.code())) {
        prop_assert_eq!(&first.presence, &second.presence);
    }
    Ok(())
}

// The properties say nothing of documents that are all refused, or cannot be written.
#[test]
fn the_documents_are_mostly_read_and_often_written() {
    let mut runner = TestRunner::deterministic();
    let mut written = 0;
    for _ in 0..500 {
        let text = document().new_tree(&mut runner).unwrap().current();
        written +=
            usize::from(parse(text.as_bytes()).expect("put together from sound pieces").presence.encode().is_ok());
    }
    assert!((150..500).contains(&written), "{written} of 500 are written");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    // checks: PD-05, PD-06, PD-07, PD-12, PD-22, PRS-048
    #[test]
    fn what_is_written_reads_the_same(presence in presence()) {
        let written = presence.encode().expect("a sound model");
        let parsed = parse(&written).expect("we read what we write");
        prop_assert_eq!(&parsed.presence, &presence);
        prop_assert_eq!(parsed.presence.encode(), Ok(written));
    }

    // checks: PD-20, PD-25, PD-26, REQ-3.1.1
    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(document in document()) {
        check_round_trip(document.as_bytes())?;
    }

    // checks: PD-26, PD-27
    #[test]
    fn mutated_documents_never_panic(document in document(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut octets = document.into_bytes();
        let at = at.index(octets.len());
        octets[at] = octet;
        check_round_trip(&octets)?;
        octets.truncate(at);
        check_round_trip(&octets)?;
    }

    // checks: PD-24, PD-27
    #[test]
    fn octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), charset in "[ -~]{0,20}") {
        let content_type = format!("application/pidf+xml; charset={charset}");
        prop_assert_eq!(RelayView::new(&octets, Some(&content_type)).octets(), &octets[..]);
        let report = PidfReport::inspect(&octets, Some(&content_type));
        prop_assert!(report.model.is_some() == (report.result == "accept"));
        check_round_trip(&octets)?;
    }
}
