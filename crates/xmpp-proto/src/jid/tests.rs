use proptest::prelude::*;

use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refused(text: &str) -> JidError {
    Jid::parse(text).expect_err(text)
}

// checks: ADR-020
#[test]
fn rfc7622_s3_5_valid_addresses() {
    let cases = [
        ("juliet@example.com", Some("juliet"), "example.com", None),
        ("juliet@example.com/foo", Some("juliet"), "example.com", Some("foo")),
        ("juliet@example.com/foo bar", Some("juliet"), "example.com", Some("foo bar")),
        ("juliet@example.com/foo@bar", Some("juliet"), "example.com", Some("foo@bar")),
        ("foo\\20bar@example.com", Some("foo\\20bar"), "example.com", None),
        ("fussball@example.com", Some("fussball"), "example.com", None),
        ("fu\u{df}ball@example.com", Some("fu\u{df}ball"), "example.com", None),
        ("\u{3c0}@example.com", Some("\u{3c0}"), "example.com", None),
        ("king@example.com/\u{265a}", Some("king"), "example.com", Some("\u{265a}")),
        ("example.com", None, "example.com", None),
        ("example.com/foobar", None, "example.com", Some("foobar")),
        ("a.example.com/b@example.net", None, "a.example.com", Some("b@example.net")),
    ];
    for (text, local, domain, resource) in cases {
        let jid = jid(text);
        assert_eq!((jid.local(), jid.domain(), jid.resource()), (local, domain, resource), "{text}");
        assert_eq!(jid.as_str(), text);
    }
}

// checks: ADR-033
#[test]
fn rfc7622_s3_5_invalid_addresses() {
    let local = |found| JidError::Local(PartError::Character { found });
    assert_eq!(refused("\"juliet\"@example.com"), local('"'));
    assert_eq!(refused("foo bar@example.com"), local(' '));
    assert_eq!(refused("juliet@example.com/"), JidError::Resource(PartError::Empty));
    assert_eq!(refused("@example.com"), JidError::Local(PartError::Empty));
    assert_eq!(refused("/foobar"), JidError::Domain(PartError::Empty));
    assert_eq!(refused("henry\u{2163}@example.com"), local('\u{2163}'));
    assert_eq!(refused("\u{265a}@example.com"), local('\u{265a}'));
    assert_eq!(refused("a\u{0}b@example.com"), local('\u{0}'));
    assert_eq!(refused("a\u{ff06}b@example.com"), local('&'));
    assert_eq!(refused("a@example.com/b\u{7}"), JidError::Resource(PartError::Character { found: '\u{7}' }));
    assert_eq!(refused("a@b@example.com"), JidError::Domain(PartError::Label));
}

// checks: ADR-033
#[test]
fn rfc7622_s3_1_parts_have_1_to_1023_octets() {
    let long = "a".repeat(MAX_PART_LEN + 1);
    let too_long = PartError::TooLong { limit: MAX_PART_LEN };
    assert_eq!(refused(&format!("{long}@example.com")), JidError::Local(too_long));
    assert_eq!(refused(&format!("a@example.com/{long}")), JidError::Resource(too_long));
    assert_eq!(refused(&long), JidError::Domain(too_long));
    let fits = "a".repeat(MAX_PART_LEN);
    assert_eq!(jid(&format!("{fits}@example.com/{fits}")).resource(), Some(&*fits));
}

// checks: ADR-014
#[test]
fn rfc8265_s3_3_localparts_are_case_mapped_width_mapped_and_composed() {
    assert_eq!(jid("Alice@Example.COM/Home").as_str(), "alice@example.com/Home");
    assert_eq!(jid("\u{ff21}lice@example.net").as_str(), "alice@example.net");
    assert_eq!(jid("e\u{301}ve@example.net").as_str(), "\u{e9}ve@example.net");
    assert_eq!(jid("T\u{dc}R@example.net"), jid("t\u{fc}r@example.net"));
    assert_eq!(refused("\u{5d0}b@example.net"), JidError::Local(PartError::Bidi));
}

// U+13EB is in the tables, its lower case U+ABBB is not.
#[test]
fn rfc8264_s7_what_enforcement_makes_is_enforceable() {
    assert_eq!(refused("\u{13eb}@example.net"), JidError::Local(PartError::Character { found: '\u{abbb}' }));
    assert_eq!(refused("\u{abbb}@example.net"), JidError::Local(PartError::Character { found: '\u{abbb}' }));
    for c in ('\u{80}'..=char::MAX).filter(|c| c.is_alphabetic()) {
        if let Ok(jid) = Jid::parse(&format!("{c}@example.net")) {
            assert_eq!(Jid::parse(jid.as_str()), Ok(jid), "{c:?}");
        }
    }
}

// checks: ADR-030, ADR-032
#[test]
fn rfc7622_s3_2_domains_are_canonical() {
    assert_eq!(jid("u@xn--bcher-kva.example").as_str(), "u@b\u{fc}cher.example");
    assert_eq!(jid("u@B\u{dc}CHER.example"), jid("u@XN--BCHER-KVA.example"));
    assert_eq!(jid("u@stra\u{df}e.de").domain(), "stra\u{df}e.de");
    assert_eq!(jid("u@example.net.").as_str(), "u@example.net");
    assert_eq!(jid("u@192.0.2.1").domain(), "192.0.2.1");
    assert_eq!(jid("u@[2001:DB8:0::1]/r").bare(), "u@[2001:db8::1]");
    for bad in [
        "u@[::1",
        "u@[fe80::1%25eth0]",
        "u@a..b",
        "u@-a.example",
        "u@a b.example",
        "u@xn--a\u{fc}.example",
        "u@xn--xn--bchTr-kvVebchTr-kvVe",
    ] {
        assert_eq!(refused(bad), JidError::Domain(PartError::Label), "{bad}");
    }
}

// checks: ADR-032
#[test]
fn rfc7622_s3_2_what_is_canonical_already_is_judged_as_what_is_not() {
    let (label, name) = ("a".repeat(63), format!("{}a", "a.".repeat(512)));
    let texts = "a a.b a-b.c1 a.1 1.2.3.4 a. .a . a..b -a.b a-.b a.b- a.-b ab--c.d a.xn--a a--b.c a_b.c a---b.c ----";
    for text in
        texts.split_whitespace().chain([label.as_str(), &format!("{label}a.b"), &name, name.get(..1023).unwrap()])
    {
        assert_eq!(Jid::parse(text), Jid::parse(&text.to_ascii_uppercase()), "{text}");
    }
}

#[test]
fn rfc8265_s4_2_resources_keep_case_and_newer_code_points() {
    assert_eq!(jid("a@example.com/R\u{1F916}\u{1FAE0}").resource(), Some("R\u{1F916}\u{1FAE0}"));
    assert_eq!(jid("a@example.com/x\u{a0}y").resource(), Some("x y"));
    assert_eq!(refused("a@example.com/\u{fffe}"), JidError::Resource(PartError::Character { found: '\u{fffe}' }));
}

#[test]
fn bare_and_full_forms_convert() {
    let full = jid("a@example.com/x/y");
    assert_eq!((full.bare(), full.resource()), ("a@example.com", Some("x/y")));
    assert_eq!(full.to_bare(), jid("a@example.com"));
    assert_eq!(full.to_bare().with_resource("z").unwrap(), jid("a@example.com/z"));
    assert!(full.to_bare().is_bare() && !full.is_domain() && jid("example.com").is_domain());
}

// checks: ADR-011, ADR-013, AMB-14
#[test]
fn xep0106_s5_1_table_both_ways() {
    let cases = [
        ("space cadet", "space\\20cadet"),
        ("call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22"),
        ("at&t guy", "at\\26t\\20guy"),
        ("d'artagnan", "d\\27artagnan"),
        ("/.fanboy", "\\2f.fanboy"),
        ("::foo::", "\\3a\\3afoo\\3a\\3a"),
        ("<foo>", "\\3cfoo\\3e"),
        ("user@host", "user\\40host"),
        ("c:\\net", "c\\3a\\net"),
        ("c:\\\\net", "c\\3a\\\\net"),
        ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
        ("c:\\5commas", "c\\3a\\5c5commas"),
        ("\\27", "\\5c27"),
        ("plain", "plain"),
    ];
    for (plain, escaped) in cases {
        assert_eq!(escape(plain).as_deref(), Ok(escaped));
        assert_eq!(unescape(escaped).as_deref(), Ok(plain));
    }
}

// checks: ADR-021
#[test]
fn xep0106_s4_3_only_the_ten_sequences_in_lower_case_are_unescaped() {
    for kept in ["\\2plus\\2is\\4", "foob\\41r", "a\\2Fb", "a\\", "\\\\"] {
        assert_eq!(unescape(kept).as_deref(), Ok(kept));
    }
    assert_eq!(unescape("\\5c5c20").as_deref(), Ok("\\5c20"));
}

// checks: ADR-012
#[test]
fn xep0106_s3_2_no_space_at_an_edge() {
    for text in [" a", "a ", " "] {
        assert_eq!(escape(text), Err(EdgeSpace));
    }
    assert_eq!(unescape("\\20a"), Err(EdgeSpace));
    assert_eq!(unescape("a\\20"), Err(EdgeSpace));
}

// U+0387 becomes U+00B7, which stands between two l only.
#[test]
fn rfc8264_s7_the_class_is_checked_after_normalization() {
    assert!(Jid::parse("a@example.com/\u{387}").is_err());
    assert!(Jid::parse("a@example.com/\u{b7}").is_err());
    assert_eq!(Jid::parse("a@example.com/l\u{387}l").unwrap().as_str(), "a@example.com/l\u{b7}l");
}

proptest! {
    #[test]
    fn an_address_is_canonical_once_parsed(text in "\\PC{0,40}") {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(&Jid::parse(jid.as_str()).unwrap(), &jid);
        }
    }

    #[test]
    fn xep0106_s4_escaping_is_undone_by_unescaping(text in "[a-c0-9\\\\ \"&'/:<>@]{1,12}") {
        if let Ok(escaped) = escape(&text) {
            prop_assert!(enforceable(&escaped));
            prop_assert_eq!(unescape(&escaped).unwrap(), text.as_str());
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in any::<String>()) {
        let again = Jid::parse(&text).map(|jid| Jid::parse(jid.as_str()).map(|again| again == jid));
        prop_assert!(matches!(again, Err(_) | Ok(Ok(true))));
    }
}

fn enforceable(local: &str) -> bool {
    Jid::from_parts(Some(local), "example.com", None).is_ok()
}
