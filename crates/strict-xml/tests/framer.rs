//! Streams cut into frames, whole and octet by octet.

use strict_xml::{Fault, Frame, Framer, Limits, XmlErrorKind as K, parse_element};

const OPEN: &str = "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version=\"1.0\">";

fn framer() -> Framer {
    Framer::new(Limits::default().with_bytes(10_000).with_depth(4).with_attributes(4))
}

/// A framer that has seen the stream tag.
fn open_framer() -> Framer {
    let mut framer = framer();
    framer.push(OPEN.as_bytes());
    assert!(matches!(framer.next_frame(), Ok(Some(Frame::Open(_)))));
    framer
}

/// All frames of the input, fed in portions.
fn frames(framer: &mut Framer, input: &[u8], portion: usize) -> Result<Vec<Frame>, K> {
    let mut frames = Vec::new();
    for octets in input.chunks(portion) {
        framer.push(octets);
        while let Some(frame) = framer.next_frame().map_err(|error| error.kind)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

fn element(text: &'static str) -> Frame {
    Frame::Element(text.as_bytes().into())
}

#[test]
fn a_whole_stream_in_any_portions() {
    let input = format!(
        "{OPEN}<message><body>a&gt;b</body></message><iq id='>'/> \n<a><![CDATA[<]]>]]]></a></stream:stream >rest"
    );
    for portion in 1..input.len() {
        let frames = frames(&mut framer(), input.as_bytes(), portion).unwrap();
        let [Frame::Open(tag), rest @ ..] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((&*tag.prefix, tag.element.attr("to")), ("stream", Some("example.com")));
        assert_eq!(tag.scope.resolve("stream"), Some("http://etherx.jabber.org/streams"));
        assert_eq!(tag.scope.default_ns(), "jabber:client");
        let rest: Vec<_> = rest.iter().filter(|frame| **frame != Frame::Whitespace).cloned().collect();
        let expected = [
            element("<message><body>a&gt;b</body></message>"),
            element("<iq id='>'/>"),
            element("<a><![CDATA[<]]>]]]></a>"),
            Frame::Close,
        ];
        assert_eq!(rest, expected, "portions of {portion}");
    }
}

// checks: XST-032
#[test]
fn rfc6120_s4_6_1_white_space_between_elements_is_a_keepalive() {
    let mut framer = open_framer();
    assert_eq!(frames(&mut framer, b" \r\n\t", 9), Ok(vec![Frame::Whitespace]));
    assert_eq!((framer.buffered(), framer.is_mid_element()), (0, false));
    assert_eq!(frames(&mut framer, b"<a/> <b/>", 9), Ok(vec![element("<a/>"), Frame::Whitespace, element("<b/>")]));
}

// checks: XST-020, XST-021, XST-022
#[test]
fn faults_are_found_before_an_element_is_complete() {
    for (input, kind) in [
        ("<a><!-", K::Comment),
        ("<!-", K::Comment),
        ("<!D", K::Declaration),
        ("<a><!E", K::Declaration),
        ("<a><![CDAT_", K::Declaration),
        ("<![CDATA[", K::OutsideRoot),
        ("<?", K::ProcessingInstruction),
        ("<a><?x", K::ProcessingInstruction),
        ("x", K::OutsideRoot),
        ("&amp;", K::OutsideRoot),
        ("< ", K::Tag),
        ("<>", K::Tag),
        ("<<", K::Tag),
        ("<a x='<", K::LessThanInAttribute),
        ("<a b='' c='' d='' e='' f='", K::TooManyAttributes { limit: 4 }),
        ("<a><a><a><a><a>", K::TooDeep { limit: 4 }),
        ("<a><a><a><a><a/>", K::TooDeep { limit: 4 }),
        ("</stream>", K::EndTag),
        ("</ stream:stream>", K::EndTag),
    ] {
        for portion in [1, 100] {
            let mut framer = open_framer();
            assert_eq!(frames(&mut framer, input.as_bytes(), portion), Err(kind.clone()), "{input}");
            framer.push(b"<a/>");
            assert!(framer.next_frame().is_err(), "an error is final: {input}");
            assert_eq!(framer.buffered(), 0, "{input}");
        }
    }
}

#[test]
fn faults_of_the_stream_tag() {
    for (input, kind) in [
        ("x", K::OutsideRoot),
        (" <?xml version='1.0'?>", K::ProcessingInstruction),
        ("<?xml version='1.0'?><?xml version='1.0'?>", K::ProcessingInstruction),
        ("<?xml version='1.0' encoding='utf-16'?>", K::Encoding),
        ("<?xml version='2.0'?>", K::Version),
        ("<?pi x?>", K::ProcessingInstruction),
        ("<!DOCTYPE a>", K::Declaration),
        ("<s:s>", K::UndeclaredPrefix),
        ("<s xmlns='u'/>", K::Tag),
        ("<s xmlns:p=''>", K::NamespaceDeclaration),
        ("</s>", K::Tag),
        ("\u{FEFF}<s>", K::OutsideRoot),
    ] {
        assert_eq!(frames(&mut framer(), input.as_bytes(), 1), Err(kind), "{input}");
    }
}

// checks: XST-030
#[test]
fn rfc6120_s13_12_what_is_half_open_never_grows_beyond_the_limit() {
    for (start, filler) in [("", "<a>"), ("<a>", "x"), ("<a x='", "x"), ("<a><![CDATA[", "x"), ("</", "x"), ("<", "a")]
    {
        let mut framer = open_framer();
        framer.push(start.as_bytes());
        let filler = if filler == "<a>" { " ".to_owned() } else { filler.repeat(100) };
        let mut most = 0;
        let error = loop {
            framer.push(filler.as_bytes());
            match framer.next_frame() {
                Ok(Some(Frame::Whitespace)) => break None,
                Ok(_) => most = most.max(framer.buffered()),
                Err(error) => break Some(error),
            }
        };
        assert!(most <= 10_000, "{start}: {most}");
        if let Some(error) = error {
            assert_eq!((error.kind.clone(), error.fault()), (K::TooLong { limit: 10_000 }, Fault::PolicyViolation));
        }
    }
    let mut framer = framer();
    assert_eq!(frames(&mut framer, "<?xml ".repeat(2_000).as_bytes(), 100), Err(K::TooLong { limit: 10_000 }));
}

// checks: XST-030
#[test]
fn the_limit_is_for_one_element_not_for_the_stream() {
    let mut framer = open_framer();
    let body = format!("<a>{}</a>", "x".repeat(9_993));
    assert_eq!(body.len(), 10_000);
    for _ in 0..20 {
        assert_eq!(frames(&mut framer, body.as_bytes(), 4096).map(|frames| frames.len()), Ok(1));
    }
    let longer = format!("<a>{}</a>", "x".repeat(9_994));
    assert_eq!(frames(&mut framer, longer.as_bytes(), 4096), Err(K::TooLong { limit: 10_000 }));
}

#[test]
fn a_restarted_stream_has_a_header_of_its_own() {
    let mut framer = open_framer();
    assert_eq!(frames(&mut framer, b"<success/>", 1), Ok(vec![element("<success/>")]));
    framer.restart();
    let frames = frames(&mut framer, b"<?xml version='1.0'?><s xmlns='u'><a/></s>", 1).unwrap();
    assert!(matches!(&frames[..], [Frame::Open(_), Frame::Element(_), Frame::Close]), "{frames:?}");
}

#[test]
fn faults_say_where_they_are() {
    let position = |framer: &mut Framer, input: &str| {
        framer.push(input.as_bytes());
        loop {
            match framer.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error.offset),
            }
        }
    };
    assert_eq!(position(&mut framer(), "<?xml version='1.0'?><s xmlns='u' a:b=''>"), Some(15));
    assert_eq!(position(&mut open_framer(), "<a/> <b><!--"), Some(5));
}

#[test]
fn after_the_end_nothing_is_kept() {
    let mut framer = open_framer();
    assert_eq!(frames(&mut framer, b"</stream:stream>\n<more/>", 99), Ok(vec![Frame::Close]));
    assert_eq!((framer.next_frame(), framer.buffered()), (Ok(None), 0));
}

#[test]
fn elements_parse_with_the_scope_of_their_stream() {
    let mut framer = framer();
    framer.push(OPEN.as_bytes());
    let Ok(Some(Frame::Open(tag))) = framer.next_frame() else { panic!("no stream tag") };
    framer.push(b"<stream:features/>");
    let Ok(Some(Frame::Element(octets))) = framer.next_frame() else { panic!("no element") };
    let features = parse_element(&octets, &tag.scope, &Limits::default()).unwrap();
    assert!(features.is("features", "http://etherx.jabber.org/streams"));
}
