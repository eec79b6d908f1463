//! HTML from anywhere to XHTML-IM and plain text, and back, by an allow-list (XEP-0071).
//!
//! What is not on the list loses its tags and keeps its text; what never holds text for people (`script`, `style`)
//! loses both. Nothing that is left loads anything from outside, so there are no images.

mod html;

pub use html::parse;

use bytes::BytesMut;
use strict_xml::{Element, Node, SharedStr, write_element};

/// XEP-0071: the wrapper.
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";

/// The namespace of its content.
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Elements of the integration set that stay, but for `img`: a picture is an external load.
const ELEMENTS: &[&str] = &[
    "a",
    "blockquote",
    "br",
    "cite",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "span",
    "strong",
    "ul",
];

/// Elements that say the same as one of the set.
const SYNONYMS: &[(&str, &str)] = &[("b", "strong"), ("i", "em")];

/// Elements whose content is not for people.
const SILENT: &[&str] = &[
    "applet", "audio", "frameset", "head", "iframe", "noscript", "object", "script", "style", "svg", "template",
    "title", "video",
];

/// Elements that begin a line of their own in plain text.
const BLOCKS: &[&str] =
    &["blockquote", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "p", "pre", "tr", "ul"];

/// XEP-0071: the properties that a `style` may set.
const PROPERTIES: &[&str] = &[
    "background-color",
    "color",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "margin-left",
    "margin-right",
    "text-align",
    "text-decoration",
];

/// Where a link may lead: things that a person opens, never code.
const LINK_SCHEMES: &[&str] = &["http:", "https:", "im:", "mailto:", "sip:", "sips:", "tel:", "xmpp:"];

/// The `<html/>` payload for sanitized content.
pub fn wrap(content: Vec<Node>) -> Element {
    let mut body = Element::new("body", XHTML);
    body.children = content;
    Element::new("html", XHTML_IM).with_child(body)
}

/// The sanitized content of an `<html/>` payload, written as HTML; `None` when it has none.
pub fn unwrap(html: &Element) -> Option<String> {
    let body = html.child("body", XHTML)?;
    let mut out = BytesMut::new();
    for node in sanitize(&body.children) {
        match node {
            Node::Element(element) => write_element(&mut out, &element, XHTML),
            Node::Text(text) => strict_xml::escape_text(&mut out, &text),
        }
    }
    String::from_utf8(out.to_vec()).ok().filter(|text| !text.is_empty())
}

/// Copies what the allow-list lets pass.
pub fn sanitize(nodes: &[Node]) -> Vec<Node> {
    let mut kept = Vec::new();
    for node in nodes {
        match node {
            Node::Text(text) => kept.push(Node::Text(text.clone())),
            Node::Element(element) => match rule(&element.name) {
                Rule::Keep(name) => kept.push(Node::Element(keep(name, element))),
                Rule::Unwrap => kept.extend(sanitize(&element.children)),
                Rule::Drop => kept.extend(alternative_text(element)),
            },
        }
    }
    kept
}

/// Plain text of sanitized content.
pub fn to_text(nodes: &[Node]) -> String {
    let mut text = String::new();
    put_text(nodes, false, &mut text);
    text.truncate(text.trim_end().len());
    text
}

enum Rule {
    Keep(&'static str),
    Unwrap,
    Drop,
}

fn rule(name: &str) -> Rule {
    let name = SYNONYMS.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| to);
    match ELEMENTS.iter().find(|element| **element == name) {
        Some(element) => Rule::Keep(element),
        None if SILENT.contains(&name) || name == "img" => Rule::Drop,
        None => Rule::Unwrap,
    }
}

fn keep(name: &'static str, element: &Element) -> Element {
    let mut kept = Element::new(name, XHTML);
    if let Some(style) = element.attr("style").and_then(sanitize_style) {
        kept.set_attr("style", style);
    }
    if let (true, Some(href)) = (name == "a", element.attr("href").and_then(sanitize_link)) {
        kept.set_attr("href", SharedStr::copy(href));
    }
    kept.children = sanitize(&element.children);
    kept
}

/// A picture leaves the words that stand for it.
fn alternative_text(element: &Element) -> Option<Node> {
    let alt = element.attr("alt").filter(|alt| element.name == *"img" && !alt.is_empty())?;
    Some(Node::Text(SharedStr::copy(alt)))
}

fn sanitize_style(style: &str) -> Option<String> {
    let allowed = style.split(';').filter_map(|declaration| {
        let (property, value) = declaration.split_once(':')?;
        let (property, value) = (property.trim().to_ascii_lowercase(), value.trim());
        (PROPERTIES.contains(&&*property) && is_harmless(value)).then(|| format!("{property}: {value}"))
    });
    Some(allowed.collect::<Vec<_>>().join("; ")).filter(|style| !style.is_empty())
}

/// Values without functions but `rgb()`, escapes or quotes: nothing that loads or runs.
fn is_harmless(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " #%.,-+".contains(c);
    let inner = value.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(value);
    !inner.is_empty() && inner.chars().all(plain)
}

fn sanitize_link(href: &str) -> Option<&str> {
    let href = href.trim();
    let begins = |scheme: &str| href.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    (LINK_SCHEMES.iter().any(|scheme| begins(scheme)) && !href.contains(char::is_control)).then_some(href)
}

fn put_text(nodes: &[Node], preformatted: bool, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) if preformatted => out.push_str(text),
            Node::Text(text) => put_collapsed(text, out),
            Node::Element(element) if element.name == *"br" => end_line(out, true),
            Node::Element(element) => {
                let block = BLOCKS.contains(&element.name.as_str());
                if block {
                    end_line(out, false);
                }
                put_text(&element.children, preformatted || element.name == *"pre", out);
                if block {
                    end_line(out, false);
                }
            }
        }
    }
}

/// White space of HTML source is one space, and none at the start of a line.
fn put_collapsed(text: &str, out: &mut String) {
    for c in text.chars() {
        if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}

fn end_line(out: &mut String, even_if_empty: bool) {
    out.truncate(out.trim_end_matches(' ').len());
    if even_if_empty || !(out.is_empty() || out.ends_with('\n')) {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(html: &str) -> (String, String) {
        let content = sanitize(&parse(html));
        let text = to_text(&content);
        (unwrap(&wrap(content)).unwrap_or_default(), text)
    }

    // checks: CMP-040, IM-041
    #[test]
    fn rfc7572_s7_html_becomes_xhtml_im_and_text() {
        let (xhtml, text) = both("<p>Hi <b>Juliet</b><script>alert(1)</script></p>");
        assert_eq!(xhtml, "<p>Hi <strong>Juliet</strong></p>");
        assert_eq!(text, "Hi Juliet");
    }

    // checks: CMP-040
    #[test]
    fn nothing_active_or_external_passes() {
        let hostile = [
            ("<img src='http://x/y.png' alt='a cat'>", "a cat"),
            ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"),
            (
                "<a href=' HTTPS://example.com/?a&amp;b ' onclick=x>x</a>",
                "<a href='HTTPS://example.com/?a&amp;b'>x</a>",
            ),
            (
                "<span style='color: red; background: url(http://x); font-size:12pt'>x</span>",
                "<span style='color: red; font-size: 12pt'>x</span>",
            ),
            ("<span style='color: expression(alert(1))'>x</span>", "<span>x</span>"),
            ("<iframe src=x>y</iframe>z", "z"),
            ("<style>p{}</style><title>t</title>x<!-- c --><![CDATA[y]]>", "x"),
            ("<object><p>x</p></object>", ""),
            ("<font color=red><u>x</u></font>", "x"),
        ];
        for (html, expected) in hostile {
            assert_eq!(both(html).0, expected, "{html}");
        }
    }

    #[test]
    fn text_keeps_lines_and_collapses_space() {
        assert_eq!(both("<p>one\n  two</p> <p>three<br>four</p>").1, "one two\nthree\nfour");
        assert_eq!(both("<ul><li>a</li><li>b</li></ul>c").1, "a\nb\nc");
        assert_eq!(both("<pre>a  b\n c</pre>").1, "a  b\n c");
        assert_eq!(both("a&nbsp;&lt;b&gt; &#x1F44B;&#0;&bogus; & c").1, "a\u{a0}<b> \u{1F44B}\u{fffd}&bogus; & c");
    }

    #[test]
    fn xhtml_im_comes_back_as_html() {
        let payload = wrap(parse("<p onclick='x'>a &lt; b<br/><em>c</em></p>"));
        assert_eq!(unwrap(&payload).as_deref(), Some("<p>a &lt; b<br/><em>c</em></p>"));
        assert_eq!(unwrap(&Element::new("html", XHTML_IM)), None);
    }
}
