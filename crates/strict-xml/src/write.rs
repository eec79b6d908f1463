//! Writing XML with correct namespaces into a buffer.

use bytes::{BufMut, BytesMut};

use crate::{Element, Node, XML_NS, escape_attr, escape_text};

/// Writes tags and text one after another, without a tree and without allocation of its own.
///
/// Names and namespaces are the caller's constants; values may hold anything.
///
/// ```
/// use bytes::BytesMut;
/// use strict_xml::XmlWriter;
///
/// let mut out = BytesMut::new();
/// let mut xml = XmlWriter::new(&mut out);
/// xml.start("message").attr("to", "juliet@example.com");
/// xml.start("body").text("1 < 2").end("body");
/// xml.end("message");
/// assert_eq!(&out[..], b"<message to='juliet@example.com'><body>1 &lt; 2</body></message>");
/// ```
#[derive(Debug)]
pub struct XmlWriter<'a> {
    out: &'a mut BytesMut,
    in_tag: bool,
}

impl<'a> XmlWriter<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out, in_tag: false }
    }

    /// Begins an element; `name` may carry a prefix that is in force.
    pub fn start(&mut self, name: &str) -> &mut Self {
        self.finish_tag();
        self.out.put_u8(b'<');
        self.out.put_slice(name.as_bytes());
        self.in_tag = true;
        self
    }

    /// Adds an attribute to the element just begun.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "attributes come before content");
        self.out.put_u8(b' ');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"='");
        escape_attr(self.out, value);
        self.out.put_u8(b'\'');
        self
    }

    /// Adds an attribute when there is a value.
    pub fn attr_opt(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.finish_tag();
        escape_text(self.out, text);
        self
    }

    /// Adds a complete element, whose parent is in the default namespace `ns`.
    pub fn element(&mut self, element: &Element, ns: &str) -> &mut Self {
        self.finish_tag();
        write_element(self.out, element, ns);
        self
    }

    /// Ends the element of this name.
    pub fn end(&mut self, name: &str) -> &mut Self {
        if self.in_tag {
            self.in_tag = false;
            self.out.put_slice(b"/>");
        } else {
            self.out.put_slice(b"</");
            self.out.put_slice(name.as_bytes());
            self.out.put_u8(b'>');
        }
        self
    }

    fn finish_tag(&mut self) {
        if self.in_tag {
            self.in_tag = false;
            self.out.put_u8(b'>');
        }
    }
}

/// Appends an element where `default_ns` is the default namespace in force.
pub fn write_element(out: &mut BytesMut, element: &Element, default_ns: &str) {
    debug_assert!(crate::is_ncname(&element.name), "element names are NCNames: {:?}", element.name);
    let ns = element.ns.as_str();
    out.put_u8(b'<');
    // The prefix `xml` is bound by definition, and its namespace may not be the default.
    if ns == XML_NS {
        out.put_slice(b"xml:");
    }
    out.put_slice(element.name.as_bytes());
    let inherited = ns == default_ns || ns == XML_NS;
    if !inherited {
        put_attr(out, "xmlns", ns);
    }
    write_attrs(out, element);
    if element.children.is_empty() {
        out.put_slice(b"/>");
        return;
    }
    out.put_u8(b'>');
    let inner_ns = if inherited { default_ns } else { ns };
    for child in &element.children {
        match child {
            Node::Element(child) => write_element(out, child, inner_ns),
            Node::Text(text) => escape_text(out, text),
        }
    }
    out.put_slice(b"</");
    if ns == XML_NS {
        out.put_slice(b"xml:");
    }
    out.put_slice(element.name.as_bytes());
    out.put_u8(b'>');
}

fn write_attrs(out: &mut BytesMut, element: &Element) {
    for (number, attr) in element.attrs.iter().enumerate() {
        debug_assert!(crate::is_ncname(&attr.name), "attribute names are NCNames: {:?}", attr.name);
        match attr.ns.as_str() {
            "" => put_attr(out, &attr.name, &attr.value),
            XML_NS => put_attr(out, &format!("xml:{}", attr.name), &attr.value),
            ns => {
                let prefix = format!("ns{number}");
                put_attr(out, &format!("xmlns:{prefix}"), ns);
                put_attr(out, &format!("{prefix}:{}", attr.name), &attr.value);
            }
        }
    }
}

fn put_attr(out: &mut BytesMut, name: &str, value: &str) {
    out.put_u8(b' ');
    out.put_slice(name.as_bytes());
    out.put_slice(b"='");
    escape_attr(out, value);
    out.put_u8(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Scope, parse_element};

    fn written(element: &Element, default_ns: &str) -> String {
        let mut out = BytesMut::new();
        write_element(&mut out, element, default_ns);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn namespaces_are_declared_where_they_change() {
        let element = Element::new("iq", "jabber:client").with_attr("id", "'1'").with_child(
            Element::new("query", "q").with_child(Element::new("item", "q")).with_child(Element::new("x", "")),
        );
        assert_eq!(
            written(&element, "jabber:client"),
            "<iq id='&apos;1&apos;'><query xmlns='q'><item/><x xmlns=''/></query></iq>"
        );
        assert!(written(&element, "").starts_with("<iq xmlns='jabber:client' id="));
    }

    #[test]
    fn attributes_of_other_namespaces_get_prefixes() {
        let mut element = Element::new("a", "");
        element.set_attr_ns("x", "urn:1", "1");
        element.set_xml_lang("en");
        element.set_attr_ns("x", "urn:2", "2");
        let text = written(&element, "");
        assert_eq!(text, "<a xmlns:ns0='urn:1' ns0:x='1' xml:lang='en' xmlns:ns2='urn:2' ns2:x='2'/>");
        assert_eq!(parse_element(text.as_bytes(), &Scope::new(), &Limits::default()), Ok(element));
    }

    #[test]
    fn elements_of_the_xml_namespace_keep_their_prefix() {
        let scope = Scope::with_default("d");
        let element = parse_element(b"<a><xml:b><c/></xml:b></a>", &scope, &Limits::default()).unwrap();
        let text = written(&element, "d");
        assert_eq!(text, "<a><xml:b><c/></xml:b></a>");
    }
}
