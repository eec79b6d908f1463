//! What holds for every input: no panic, and text that is written is read back as the same value.

use impp_model::address::Address;
use impp_model::datetime::DateTime;
use impp_model::domain::Domain;
use impp_model::uri::{ImppUri, ImppUriReport, Scheme, XmppUri, XmppUriReport};
use proptest::prelude::*;

/// Text near to what is parsed, so that more than the first check is reached.
fn near(alphabet: &'static str) -> impl Strategy<Value = String> {
    let letters: Vec<char> = alphabet.chars().collect();
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(letters), 0..40).prop_map(|text| text.into_iter().collect()),
        1 => any::<String>(),
    ]
}

const URI_LETTERS: &str = "ab.@%4ZfF0?&=;:/#-_\"\\ü \u{0}";

proptest! {
    // checks: URI-07
    #[test]
    fn im_uris_are_read_without_panic_and_their_canonical_form_is_stable(rest in near(URI_LETTERS)) {
        let text = format!("im:{rest}");
        if let Ok(uri) = ImppUri::parse(&text) {
            prop_assert_eq!(ImppUri::parse_opaque(&text), Ok(uri.clone()));
            if let Some(canonical) = uri.canonical() {
                let again = ImppUri::parse(&canonical);
                prop_assert_eq!(again.as_ref().map(ImppUri::address), Ok(uri.address()));
                prop_assert_eq!(again.ok().and_then(|uri| uri.canonical()), Some(canonical));
            }
        }
        prop_assert!(serde_json::to_string(&ImppUriReport::inspect(&text)).is_ok());
    }

    #[test]
    fn a_uri_error_lies_within_the_text(rest in near(URI_LETTERS)) {
        for text in [format!("im:{rest}"), format!("xmpp:{rest}")] {
            let errors = [ImppUri::parse(&text).err(), XmppUri::parse(&text).err()];
            for error in errors.into_iter().flatten() {
                prop_assert!(text.is_char_boundary(error.position()), "{} {}", text, error);
            }
        }
    }

    // checks: URI-11
    #[test]
    fn xmpp_uris_are_read_without_panic(text in near(URI_LETTERS)) {
        let report = XmppUriReport::inspect(&format!("xmpp:{text}"));
        prop_assert!(serde_json::to_string(&report).is_ok());
    }

    // checks: ADR-022
    #[test]
    fn every_address_survives_its_uri_and_its_text(local in "[^\\p{Cc}]{1,40}", host in "[a-z]{1,9}\\.example") {
        let address = Address::new(&local, Domain::parse(&host).expect("a host name")).expect("no control character");
        for scheme in [Scheme::Im, Scheme::Pres] {
            let uri = ImppUri::parse_opaque(&address.to_uri(scheme));
            prop_assert_eq!(uri.as_ref().map(ImppUri::address), Ok(Some(&address)));
        }
        prop_assert_eq!(Address::parse_bare(&address.to_string()), Ok(address));
    }

    // checks: ADR-030, ADR-031
    #[test]
    fn a_domain_is_canonical_and_survives_unicode(text in near("aZ-.xn0ßüé。İ\u{200d}")) {
        if let Ok(domain) = Domain::parse_host(&text) {
            prop_assert!(domain.as_str().is_ascii());
            prop_assert_eq!(Domain::parse_host(domain.as_str()), Ok(domain.clone()));
            prop_assert_eq!(Domain::parse_host(&domain.to_unicode()), Ok(domain.clone()));
        }
    }

    // checks: DT-01, DT-08, DT-09
    #[test]
    fn date_times_survive_utc(
        seconds in -62_167_219_200_i64..253_402_300_800,
        nanos in 0..1_000_000_000_u32,
        offset in -1_439..1_440_i64,
    ) {
        let utc = DateTime::from_epoch(seconds, nanos).expect("within the years");
        prop_assert_eq!(DateTime::parse(utc.as_str()), Ok(utc.clone()));
        prop_assert_eq!((utc.epoch_seconds(), utc.nanos()), (seconds, nanos));
        if let Some(shifted) = DateTime::from_epoch(seconds + offset * 60, nanos) {
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
            let text = shifted.as_str().replace('Z', &format!("{sign}{hours:02}:{minutes:02}"));
            let local = DateTime::parse(&text).expect("another offset");
            prop_assert!(local.is_same_instant(&utc));
            prop_assert_eq!(local.to_utc(), Some(utc));
        }
    }

    #[test]
    fn date_times_are_read_without_panic(text in near("0123456789-:TtZz+. ")) {
        if let Ok(time) = DateTime::parse(&text) {
            prop_assert_eq!(time.as_str(), text);
        }
    }
}
