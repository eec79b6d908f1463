//! Good and bad elements, judged by us and by rxml, and the stream error each fault gets.

mod oracle;

use oracle::{canonical, rxml_reads};
use strict_xml::{Fault, Limits, Scope, XmlErrorKind as K, parse_document, parse_element};

const GOOD: &[&str] = &[
    "<a/>",
    "<a></a>",
    "<a ></a >",
    "<a\n\tx='1'\r\ny = \"2\" />",
    "<a>text</a>",
    "<a>\u{1F600} é \u{FFFD} \u{7F} \u{85}</a>",
    "<a>&lt;&gt;&amp;&quot;&apos;</a>",
    "<a>&#65;&#x41;&#x1F600;&#9;&#10;&#13;</a>",
    "<a x='&lt;&gt;&amp;&quot;&apos;&#65;&#10;'/>",
    "<a x='1&#32;2\t3\n4\r\n5'/>",
    "<a>1\r\n2\r3\n4</a>",
    "<a><![CDATA[<b>&amp;]] ]>]]></a>",
    "<a><![CDATA[]]></a>",
    "<a>x<![CDATA[y]]>z&amp;<![CDATA[]]]]>w</a>",
    "<a>]] > ]>]] ></a>",
    "<a>></a>",
    "<a x='>'/>",
    "<a x='/'/>",
    "<a x=\"'\" y='\"'/>",
    "<a xmlns='u'><b/><c xmlns=''/><d xmlns='v'/></a>",
    "<p:a xmlns:p='u' p:x='1' x='2'/>",
    "<a xmlns:p='u' xmlns:q='v' p:x='1' q:x='2'/>",
    "<a xmlns='u' xmlns:p='u' x='1' p:x='2'/>",
    "<a xml:lang='en' xml:space='preserve'/>",
    "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
    "<a xmlns:p='u'><p:b xmlns:p='v'><p:c/></p:b><p:d/></a>",
    "<_a.b-c1 é='1'/>",
    "<名前/>",
    "<a><b><c/>x<d/></b>y</a>",
];

const BAD: &[(&str, K)] = &[
    ("", K::OutsideRoot),
    ("<", K::Incomplete),
    ("<a", K::Incomplete),
    ("<a>", K::Incomplete),
    ("<a><b></a>", K::EndTag),
    ("<a></b>", K::EndTag),
    ("<a/></a>", K::EndTag),
    ("</a>", K::EndTag),
    ("<a/><b/>", K::OutsideRoot),
    ("<a/>text", K::OutsideRoot),
    ("<a/>&amp;", K::OutsideRoot),
    ("text<a/>", K::OutsideRoot),
    ("<a>\u{0}</a>", K::Char),
    ("<a>\u{1F}</a>", K::Char),
    ("<a x='\u{B}'/>", K::Char),
    ("<a>\u{FFFE}</a>", K::Char),
    ("<a x='\u{FFFF}'/>", K::Char),
    ("<a>&#0;</a>", K::Char),
    ("<a>&#x1F;</a>", K::Char),
    ("<a x='&#xFFFF;'/>", K::Char),
    ("<a>&#xD800;</a>", K::Reference),
    ("<a>&#x110000;</a>", K::Reference),
    ("<a>&#X41;</a>", K::Reference),
    ("<a>&#;</a>", K::Reference),
    ("<a>&#x;</a>", K::Reference),
    ("<a>&;</a>", K::Reference),
    ("<a>& </a>", K::Reference),
    ("<a>&amp</a>", K::Reference),
    ("<a x='&amp'/>", K::Reference),
    ("<a>&nbsp;</a>", K::Entity),
    ("<a x='&xxe;'/>", K::Entity),
    ("<a x='<'/>", K::LessThanInAttribute),
    ("<a>]]></a>", K::CdataEndInText),
    ("<1a/>", K::Name),
    ("<a:b:c/>", K::Name),
    ("<:a/>", K::Name),
    ("<-a/>", K::Name),
    ("<a 1x='1'/>", K::Name),
    ("< a/>", K::Name),
    ("<a x='1'y='2'/>", K::Tag),
    ("<a x/>", K::Tag),
    ("<a x=1/>", K::Tag),
    ("<a x='1' x='2'/>", K::DuplicateAttribute),
    ("<a xmlns='u' xmlns='v'/>", K::DuplicateAttribute),
    ("<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>", K::DuplicateAttribute),
    ("<p:a/>", K::UndeclaredPrefix),
    ("<a p:x='1'/>", K::UndeclaredPrefix),
    ("<a><b xmlns:p='u'/><p:c/></a>", K::UndeclaredPrefix),
    ("<a xmlns:p=''/>", K::NamespaceDeclaration),
    ("<a xmlns:xml='u'/>", K::NamespaceDeclaration),
    ("<a xmlns:xmlns='u'/>", K::NamespaceDeclaration),
    ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", K::NamespaceDeclaration),
    ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", K::NamespaceDeclaration),
    ("<xmlns:a/>", K::UndeclaredPrefix),
    ("<a><!-- c --></a>", K::Comment),
    ("<a><!-- c</a>", K::Comment),
    ("<a><?pi x?></a>", K::ProcessingInstruction),
    ("<a><?pi</a>", K::ProcessingInstruction),
    ("<a><?xml version='1.0'?></a>", K::ProcessingInstruction),
    ("<a><!DOCTYPE a></a>", K::Declaration),
    ("<a><!ENTITY x 'y'></a>", K::Declaration),
    ("<a><![INCLUDE[x]]></a>", K::Declaration),
    ("<a><![cdata[x]]></a>", K::Declaration),
];

/// Against Namespaces in XML §3, rxml 0.14 takes these.
const RXML_TAKES: &[&str] = &["<a xmlns='u' xmlns='v'/>", "<a xmlns='http://www.w3.org/2000/xmlns/'/>"];

fn limits() -> Limits {
    Limits::default().with_depth(8).with_attributes(4)
}

// checks: XST-021
#[test]
fn good_elements_read_as_rxml_reads_them() {
    for input in GOOD {
        let element = parse_element(input.as_bytes(), &Scope::new(), &limits());
        let element = element.unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(Some(canonical(&element)), rxml_reads(input.as_bytes()), "{input}");
    }
}

// checks: XST-020, XST-021
#[test]
fn bad_elements_are_refused_as_rxml_refuses_them() {
    for (input, kind) in BAD {
        let error = parse_element(input.as_bytes(), &Scope::new(), &limits()).expect_err(input);
        assert_eq!(error.kind, *kind, "{input}");
        assert!(error.offset <= input.len(), "{input}: {error}");
        assert_eq!(rxml_reads(input.as_bytes()).is_none(), !RXML_TAKES.contains(input), "{input}");
    }
}

#[test]
fn line_ends_are_normalised() {
    let element = parse_element(b"<a x='1\r2\r\n3'>1\r2\r\n3&#13;</a>", &Scope::new(), &limits()).unwrap();
    assert_eq!((element.attr("x"), &*element.text()), (Some("1 2 3"), "1\n2\n3\r"));
}

// checks: XST-022
#[test]
fn rfc6120_s11_6_only_utf8() {
    for input in [&b"<a>\xFF</a>"[..], b"<a>\xC3</a>", b"<a>\xC0\xBC</a>", b"<a>\xED\xA0\x80</a>", b"\xFF\xFE<\0a\0"] {
        let error = parse_element(input, &Scope::new(), &limits()).unwrap_err();
        assert_eq!((error.kind.clone(), error.fault()), (K::Utf8, Fault::UnsupportedEncoding), "{error}");
        assert_eq!(rxml_reads(input), None);
    }
    // A byte order mark has no meaning within a stream.
    assert_eq!(parse_element("\u{FEFF}<a/>".as_bytes(), &Scope::new(), &limits()).unwrap_err().kind, K::OutsideRoot);
}

// checks: XST-030
#[test]
fn limits_are_exact() {
    let kind = |input: &str| parse_element(input.as_bytes(), &Scope::new(), &limits()).err().map(|error| error.kind);
    let nested = |depth| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(kind(&nested(8)), None);
    assert_eq!(kind(&nested(9)), Some(K::TooDeep { limit: 8 }));
    assert_eq!(kind("<x a='' b='' c='' d=''/>"), None);
    assert_eq!(kind("<x a='' b='' c='' d='' e=''/>"), Some(K::TooManyAttributes { limit: 4 }));
    let long = |len: usize| format!("<a>{}</a>", "x".repeat(len - 7));
    let small = Limits::default().with_bytes(10_000);
    assert!(parse_element(long(10_000).as_bytes(), &Scope::new(), &small).is_ok());
    let error = parse_element(long(10_001).as_bytes(), &Scope::new(), &small).unwrap_err();
    assert_eq!((error.kind.clone(), error.fault()), (K::TooLong { limit: 10_000 }, Fault::PolicyViolation));
}

// checks: XST-020
#[test]
fn rfc6120_s11_1_restricted_xml_is_told_from_malformed_xml() {
    for (input, kind) in BAD {
        let restricted = matches!(kind, K::Comment | K::ProcessingInstruction | K::Declaration | K::Entity);
        let expected = if restricted { Fault::RestrictedXml } else { Fault::NotWellFormed };
        let error = parse_element(input.as_bytes(), &Scope::new(), &limits()).expect_err(input);
        assert_eq!(error.fault(), expected, "{input}");
    }
}

// checks: XST-030
#[test]
fn namespaces_are_bounded() {
    let kind = |input: String| {
        let wide = Limits::default().with_attributes(1000);
        parse_element(input.as_bytes(), &Scope::new(), &wide).err().map(|error| (error.kind.clone(), error.fault()))
    };
    let declared = |count: usize| (0..count).map(|n| format!(" xmlns:p{n}='u'")).collect::<String>();
    assert_eq!(kind(format!("<a{}/>", declared(128))), None);
    assert_eq!(kind(format!("<a{}><b{}/><b{}/></a>", declared(100), declared(28), declared(28))), None);
    let too_many = Some((K::TooManyDeclarations { limit: 128 }, Fault::PolicyViolation));
    assert_eq!(kind(format!("<a{}><b{}/></a>", declared(100), declared(29))), too_many);
    assert_eq!(kind(format!("<a xmlns='{}'/>", "u".repeat(256))), None);
    let too_long = Some((K::NamespaceTooLong { limit: 256 }, Fault::PolicyViolation));
    assert_eq!(kind(format!("<a xmlns='{}'/>", "u".repeat(257))), too_long);
}

#[test]
fn elements_inherit_the_scope_they_are_given() {
    let mut scope = Scope::with_default("jabber:client");
    scope.declare("stream", "http://etherx.jabber.org/streams");
    let error = parse_element(b"<stream:error><x/></stream:error>", &scope, &limits()).unwrap();
    assert!(error.is("error", "http://etherx.jabber.org/streams"));
    assert!(error.child("x", "jabber:client").is_some());
    assert_eq!(scope.default_ns(), "jabber:client");
}

// checks: SEC-004
#[test]
fn documents_may_hold_what_stanzas_may_not_but_no_dtd() {
    let document = "\u{FEFF}<?xml version=\"1.0\" encoding='UTF-8' standalone='yes' ?>\n<!-- c -->\n<?pi x?><a> <!--c-->b<?p?> </a>\n<!-- -->\n";
    let element = parse_document(document.as_bytes(), &limits()).unwrap();
    assert_eq!(element.text(), " b ");
    assert_eq!(element.children.len(), 1);
    for (input, kind) in [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", K::Declaration),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", K::Declaration),
        ("<a>&b;</a>", K::Entity),
        ("<?xml version='2.0'?><a/>", K::Version),
        ("<?xml version='1.'?><a/>", K::Version),
        ("<?xml version='1.x'?><a/>", K::Version),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", K::Encoding),
        ("<?xml encoding='UTF-8'?><a/>", K::Version),
        ("<?xml version='1.0' encoding='UTF-8' version='1.0'?><a/>", K::Tag),
        ("<?xml?><a/>", K::Version),
        (" <?xml version='1.0'?><a/>", K::ProcessingInstruction),
        ("<a/><?xml version='1.0'?>", K::ProcessingInstruction),
        ("<a/><?XML x?>", K::ProcessingInstruction),
        ("<a><!-- -- --></a>", K::Comment),
        ("<a/>x", K::OutsideRoot),
        ("<a/><a/>", K::OutsideRoot),
        ("", K::Incomplete),
        ("<!-- -->", K::Incomplete),
    ] {
        assert_eq!(parse_document(input.as_bytes(), &limits()).map_err(|error| error.kind), Err(kind), "{input}");
    }
}
