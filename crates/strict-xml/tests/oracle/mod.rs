//! rxml as a second opinion on what is well-formed and what it means.

use rxml::{Event, Parse, Parser};
use strict_xml::{Element, Node};

/// What rxml reads, as canonical text; `None` when it refuses.
pub(crate) fn rxml_reads(mut input: &[u8]) -> Option<String> {
    let mut parser = Parser::new();
    let mut out = String::new();
    let mut text = String::new();
    loop {
        let event = match parser.parse(&mut input, true) {
            Ok(Some(event)) => event,
            Ok(None) => return Some(out),
            Err(_) => return None,
        };
        if let Event::Text(_, piece) = &event {
            text.push_str(piece);
            continue;
        }
        put_text(&mut out, &std::mem::take(&mut text));
        match event {
            Event::StartElement(_, (ns, name), attrs) => {
                let attrs = attrs.iter().map(|((ns, name), value)| (ns.as_str(), name.as_str(), value.as_str()));
                put_start(&mut out, ns.as_str(), name.as_str(), attrs.collect());
            }
            Event::EndElement(_) => out.push(')'),
            Event::XmlDeclaration(..) | Event::Text(..) => {}
        }
    }
}

/// The same text from our tree.
pub(crate) fn canonical(element: &Element) -> String {
    let mut out = String::new();
    put_element(&mut out, element);
    out
}

fn put_element(out: &mut String, element: &Element) {
    let attrs = element.attrs.iter().map(|attr| (&*attr.ns, &*attr.name, &*attr.value)).collect();
    put_start(out, &element.ns, &element.name, attrs);
    for child in &element.children {
        match child {
            Node::Element(child) => put_element(out, child),
            Node::Text(text) => put_text(out, text),
        }
    }
    out.push(')');
}

fn put_start(out: &mut String, ns: &str, name: &str, mut attrs: Vec<(&str, &str, &str)>) {
    attrs.sort_unstable();
    out.push_str(&format!("({{{ns}}}{name} {attrs:?}"));
}

fn put_text(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str(&format!(" {text:?} "));
    }
}
