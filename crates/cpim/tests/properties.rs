//! Promises over generated objects and over damaged ones.

use bytes::BytesMut;
use cpim::composing::{IsComposing, State};
use cpim::e2e;
use cpim::imdn::{Imdn, ImdnSubject, Notification, Status};
use cpim::report::CpimReport;
use cpim::{
    Draft, Mailbox, Message, OtherHeader, OtherValue, Package, Profile, QualifiedName, RelayView, Remedy,
    escape_string, escape_value, representable, unescape,
};
use impp_model::DateTime;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Any text, with the characters that mean something here made likely.
fn text() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        4 => prop::sample::select("\r\n\t\u{0}\u{7f}\\\"'<>:;,. u0\u{85}🎉é".chars().collect::<Vec<_>>()),
        2 => proptest::char::range('a', 'z'),
        1 => any::<char>(),
    ];
    vec(c, 1..12).prop_map(|chars| chars.into_iter().collect())
}

/// Text that a header value can hold.
fn value() -> impl Strategy<Value = String> {
    text().prop_filter_map("a value", |text| {
        let text = representable(&text);
        (!text.is_empty()).then(|| text.to_owned())
    })
}

fn uri() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9+.-]{0,4}:[A-Za-z0-9;/?:@&=+$,_.!~*'()-]{1,12}(%[0-9A-F]{2})?"
}

fn mailbox() -> impl Strategy<Value = Mailbox<'static>> {
    (option::of(text()), uri()).prop_map(|(name, uri)| match name {
        Some(name) => Mailbox::new(uri).with_name(name),
        None => Mailbox::new(uri),
    })
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+^_`|~-]{1,8}".prop_filter("no core header", |name| cpim::CoreHeader::named(name).is_none())
}

fn language() -> impl Strategy<Value = String> {
    "[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,2}"
}

fn other() -> impl Strategy<Value = OtherHeader> {
    let params = vec((name().prop_filter("no language", |name| name != "lang"), text()), 0..3);
    let value = value().prop_map(|text| {
        let mut escaped = BytesMut::new();
        escape_value(&mut escaped, &text);
        OtherValue::Escaped(String::from_utf8(escaped.to_vec()).expect("escaping keeps UTF-8"))
    });
    let name = (prop::bool::ANY, name()).prop_map(|(prefixed, name)| match prefixed {
        true => QualifiedName::new("p", name),
        false => QualifiedName::plain(name),
    });
    (name, params, value).prop_map(|(name, params, value)| OtherHeader { name, params, value })
}

fn date_time() -> impl Strategy<Value = DateTime> {
    (-62_167_219_200i64..253_402_300_800, 0u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_epoch(seconds, nanos).expect("years 0000 to 9999"))
}

fn draft() -> impl Strategy<Value = Draft> {
    let addresses = (option::of(mailbox()), vec(mailbox(), 0..3), vec(mailbox(), 0..2));
    let subjects = vec((option::of(language()), value()), 0..3);
    let require = vec(name().prop_map(|name| QualifiedName::new("p", name)), 0..3);
    let body = vec(any::<u8>(), 0..40);
    (addresses, option::of(date_time()), subjects, require, vec(other(), 0..4), body).prop_map(
        |((from, to, cc), date_time, subjects, require, others, body)| Draft {
            from,
            to,
            cc,
            date_time,
            subjects,
            namespaces: vec![(Some("p".to_owned()), "urn:example:p".to_owned())],
            require,
            others,
            ..Draft::with_content("text/plain; charset=utf-8", &[("Content-ID", "<1@example.com>")], &body)
                .expect("sound MIME headers")
        },
    )
}

/// A name of nothing but nothing is not written.
fn shown(mailbox: &Mailbox<'static>) -> Mailbox<'static> {
    let mut shown = mailbox.clone();
    shown.formal_name = shown.formal_name.filter(|name| !name.is_empty());
    shown
}

/// Lines that look like those of objects, mixed with noise.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"From: Al <im:a@example.com>\r\n".to_vec()),
        Just(b"To: \"B, C\" <im:b@example.org>\r\n".to_vec()),
        Just(b"NS: p <urn:example:p>\r\n".to_vec()),
        Just(b"NS: q<urn:example:q>\r\n".to_vec()),
        Just(b"NS: p <urn:example:r>\r\n".to_vec()),
        Just(b"NS: <urn:example:s>\r\n".to_vec()),
        Just(b"p.X:;a=\"b\\\"c\";lang=en v\\u0041\\\r\n".to_vec()),
        Just(b"q.Y: \"a\\\\b\" \\q\r\n".to_vec()),
        Just(b"z.Z: undeclared\r\n".to_vec()),
        Just(b"Subject:;lang=fr;x=y  salut \r\n".to_vec()),
        Just(b"Subject:;lang=fr_FR salut\r\n".to_vec()),
        Just(b"Subject: \r\n".to_vec()),
        Just(b"DateTime: 2004-08-13t13:40:00z\r\n".to_vec()),
        Just(b"DateTime: yesterday\r\n".to_vec()),
        Just(b"Require: From, p.F,,\r\n".to_vec()),
        Just(b"a.b.c: d\r\n".to_vec()),
        Just(b"X:y\r\n".to_vec()),
        Just(b"\r\nContent-Type: text/plain\r\n\r\n".to_vec()),
        Just(b"\r\nContent-type: message/cpim;\r\n a=b\r\n\r\n".to_vec()),
        Just(b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n".to_vec()),
        Just(b"\r\n--b\r\n".to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// A sound object with a few octets replaced, removed or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![prop::sample::select(b" \t\r\n\\\"<>:;,.=#%[]\x80\xc3".to_vec()), any::<u8>()];
    vec((0..SOUND.len(), 0..3u8, octet), 0..5).prop_map(|changes| {
        let mut octets = SOUND.as_bytes().to_vec();
        for (at, kind, octet) in changes {
            let at = at.min(octets.len() - 1);
            let end = at + usize::from(kind != 1);
            octets.splice(at..end, (kind != 2).then_some(octet));
        }
        octets
    })
}

const SOUND: &str = "From: Al B. <im:a@example.com>\r\nTo: \"C, \\\"D\\\"\"<im:b%20c@example.org>\r\n\
    cc: \u{fc} <sip:x@[::1]>\r\nNS: p <urn:example:p>\r\nDateTime: 2008-04-04T12:16:49.5-05:00\r\n\
    Subject:;lang=zh-Hant a\\u00e9\\n\r\nRequire: p.F,From\r\np.X:;a=b;c=\"d e\" v\r\n\r\n\
    Content-Type: text/plain;\r\n charset=utf-8\r\nContent-ID: <1@b>\r\n\r\nbody\r\n";

// The properties say nothing of objects that are all refused, or all by the letter.
#[test]
fn the_objects_are_partly_sound_partly_read_and_partly_refused() {
    let mut runner = TestRunner::deterministic();
    for (inputs, name) in [(damaged().boxed(), "damaged"), (mutated().boxed(), "mutated")] {
        let (mut letter, mut read, mut around) = (0, 0, 0);
        for _ in 0..1000 {
            let octets = inputs.new_tree(&mut runner).unwrap().current();
            let result = Message::interpret(&octets, Profile::Base);
            letter += usize::from(result.as_ref().is_ok_and(|(_, deviations)| deviations.is_empty()));
            read += usize::from(result.is_ok());
            around += usize::from(Package::parse(&octets).is_ok());
        }
        assert!(
            (50..=950).contains(&read) && letter < read,
            "{name}: {letter} by the letter, {read} read, {around} packages"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // checks: MF-30, MF-36
    #[test]
    fn what_is_escaped_reads_back(text in text()) {
        let mut out = BytesMut::new();
        escape_value(&mut out, &text);
        prop_assert!(!out.iter().any(|octet| *octet < 0x20 || *octet == 0x7f));
        prop_assert_eq!(unescape(std::str::from_utf8(&out).unwrap()), text.as_str());
        let mut string = BytesMut::new();
        escape_string(&mut string, &text);
        let mailbox = format!("{}<im:a@b>", std::str::from_utf8(&string).unwrap());
        prop_assert_eq!(Mailbox::parse(&mailbox).unwrap().formal_name.unwrap(), text);
    }

    // checks: MF-17, MF-60
    #[test]
    fn a_written_object_reads_as_what_it_was_made_of(draft in draft()) {
        let octets = draft.encode().unwrap();
        let message = Message::parse(&octets, Profile::Base).unwrap();
        prop_assert_eq!(message.from(), draft.from.as_ref().map(shown));
        prop_assert_eq!(message.to().collect::<Vec<_>>(), draft.to.iter().map(shown).collect::<Vec<_>>());
        prop_assert_eq!(message.date_time(), draft.date_time.clone());
        let subjects: Vec<_> =
            message.subjects().map(|found| (found.language.map(str::to_owned), found.text.into_owned())).collect();
        prop_assert_eq!(subjects, draft.subjects.clone());
        let others: Vec<_> = message.headers().iter().filter(|header| header.core().is_none()).collect();
        prop_assert_eq!(others.len(), draft.others.len());
        for (found, made) in others.iter().zip(&draft.others) {
            prop_assert_eq!((found.prefix(), found.name()), (made.name.prefix.as_deref(), made.name.name.as_str()));
            let params: Vec<_> = found.params().map(|param| (param.name.to_owned(), param.value().into_owned())).collect();
            prop_assert_eq!(&params, &made.params);
        }
        prop_assert_eq!(message.required().len(), draft.require.len());
        prop_assert_eq!(message.content().octets(), &draft.content[..]);
        // Read, write, read: nothing is lost on the way.
        let again = Draft::like(&message);
        let rewritten = again.encode().unwrap();
        let reread = Message::parse(&rewritten, Profile::Base).unwrap();
        prop_assert_eq!(Draft::like(&reread), again);
    }

    // checks: MF-05, MF-06
    #[test]
    fn a_wrapped_object_is_whole(draft in draft()) {
        let octets = draft.encode().unwrap();
        let mut around = Draft::around(&octets, false);
        around.from = Some(Mailbox::new("im:gateway@example.com"));
        let wrapper = around.encode().unwrap();
        let message = Message::parse(&wrapper, Profile::Base).unwrap();
        prop_assert!(message.content().is(cpim::MEDIA_TYPE));
        prop_assert_eq!(message.content().body(), &octets[..]);
        let package = Draft::around(message.content().octets(), true).encode().unwrap();
        let nested = Message::parse(&package, Profile::Base).unwrap();
        prop_assert_eq!(nested.content().octets(), message.content().octets());
    }

    // checks: MF-05, MF-17, SM-02
    #[test]
    fn no_input_panics_and_none_is_changed(octets in prop_oneof![damaged(), mutated()]) {
        prop_assert_eq!(RelayView::new(&octets).octets(), &octets[..]);
        let _ = (RelayView::new(&octets).lines().count(), RelayView::new(&octets).content());
        for profile in [Profile::Base, Profile::Msrp, Profile::Gateway] {
            let report = CpimReport::inspect(&octets, profile);
            prop_assert_eq!(report.length, octets.len());
            let strict = Message::parse(&octets, profile);
            match Message::interpret(&octets, profile) {
                Ok((message, deviations)) => {
                    prop_assert_eq!(strict.is_ok(), deviations.is_empty());
                    prop_assert_eq!(message.octets(), &octets[..]);
                    // What a gateway reads it can write, and what it writes reads by the letter, but for the
                    // brackets of IPv6 addresses, which RFC 2396 does not have.
                    let rewritten = Draft::like(&message).encode().unwrap();
                    let (again, deviations) = Message::interpret(&rewritten, Profile::Base).unwrap();
                    prop_assert!(deviations.iter().all(|deviation| deviation.remedy == Remedy::Rfc3986));
                    prop_assert_eq!(again.to().count(), message.to().count());
                    prop_assert_eq!(again.required(), message.required());
                    prop_assert_eq!(again.content(), message.content());
                    prop_assert_eq!(Draft::like(&again), Draft::like(&message));
                }
                Err(error) => {
                    prop_assert!(strict.is_err());
                    prop_assert!(error.octet <= octets.len());
                    prop_assert!(error.line <= octets.len() + 1);
                }
            }
        }
        if let Ok(package) = Package::parse(&octets) {
            prop_assert_eq!(package.octets(), &octets[..]);
            if let Ok(part) = package.signed_part() {
                prop_assert_eq!(&octets[part.offset..part.offset + part.octets.len()], part.octets);
            }
        }
    }

    // checks: IMDN-006
    #[test]
    fn a_written_notification_reads_back(id in "[!-~]{1,20}", subject in option::of("[ -~\u{e9}]{0,20}"), status in 0..9usize) {
        let (notification, status) = [
            (Notification::Delivery, Status::Delivered),
            (Notification::Delivery, Status::Failed),
            (Notification::Delivery, Status::Forbidden),
            (Notification::Display, Status::Displayed),
            (Notification::Display, Status::Error),
            (Notification::Processing, Status::Processed),
            (Notification::Processing, Status::Stored),
            (Notification::Processing, Status::Error),
            (Notification::Delivery, Status::Error),
        ][status].clone();
        let imdn = Imdn {
            message_id: id,
            date_time: "2008-04-04T12:16:49-05:00".into(),
            recipient_uri: Some("im:b@example.org".into()),
            original_recipient_uri: None,
            subject: subject.map(|text| ImdnSubject { language: None, text }),
            notification,
            status,
        };
        prop_assert_eq!(Imdn::parse(&imdn.encode().unwrap()), Ok(imdn));
    }

    // checks: ISC-001
    #[test]
    fn a_written_status_reads_back(active in prop::bool::ANY, refresh in option::of(1..u32::MAX), time in option::of(date_time())) {
        let state = if active { State::Active } else { State::Idle };
        let status = IsComposing { state, last_active: time, content_type: Some("text/plain".into()), refresh };
        prop_assert_eq!(IsComposing::parse(&status.encode()), Ok(status));
    }

    #[test]
    fn documents_of_noise_never_panic(noise in vec(any::<u8>(), 0..60), text in text()) {
        let _ = (Imdn::parse(&noise), IsComposing::parse(&noise));
        let document = format!("<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>{text}</message-id></imdn>");
        prop_assert!(Imdn::parse(document.as_bytes()).is_err());
    }

    // checks: XE-06
    #[test]
    fn what_xml_carries_comes_out_whole(octets in damaged()) {
        let mut out = BytesMut::new();
        match e2e::wrap(&mut out, &octets) {
            Ok(()) => {
                let scope = strict_xml::Scope::new();
                let element = strict_xml::parse_element(&out, &scope, &strict_xml::Limits::default()).unwrap();
                let carried = e2e::unwrap(&element).unwrap();
                prop_assert_eq!(&carried[..], &octets[..]);
            }
            Err(_) => prop_assert!(out.is_empty()),
        }
    }
}
