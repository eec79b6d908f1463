//! A forgiving reader of HTML: it never fails, and its tree is never deeper or larger than its limits.

use strict_xml::{Element, Node};

use super::XHTML;

/// Elements open at once; deeper ones lose their tags. Formatted messages nest about five deep.
const MAX_DEPTH: usize = 32;

/// Elements that have no content.
const VOID: &[&str] = &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"];

/// Elements whose content is not markup, up to their own end tag.
const RAW: &[&str] = &["script", "style", "title"];

/// The longest reference that is looked for, with its semicolon.
const MAX_REFERENCE: usize = 12;

/// Reads HTML into a tree of lower-case elements; attributes with odd names are left out.
pub fn parse(html: &str) -> Vec<Node> {
    let mut tree = Tree { open: Vec::new(), top: Vec::new() };
    let mut rest = html;
    while !rest.is_empty() {
        rest = match rest.strip_prefix('<') {
            Some(tag) => tree.markup(tag),
            None => {
                let (text, tail) = rest.split_at_checked(rest.find('<').unwrap_or(rest.len())).unwrap_or((rest, ""));
                tree.text(decode(text));
                tail
            }
        };
    }
    tree.finish()
}

struct Tree {
    open: Vec<Element>,
    top: Vec<Node>,
}

impl Tree {
    /// Takes what follows a `<`, and returns what follows the markup.
    fn markup<'a>(&mut self, rest: &'a str) -> &'a str {
        if let Some(comment) = rest.strip_prefix("!--") {
            return after(comment, "-->");
        }
        if let Some(section) = rest.strip_prefix("![CDATA[") {
            return after(section, "]]>");
        }
        match rest.chars().next() {
            Some('!' | '?') => after(rest, ">"),
            Some('/') => {
                let (name, _) = name(rest.get(1..).unwrap_or_default());
                self.close(&name);
                after(rest, ">")
            }
            Some(c) if c.is_ascii_alphabetic() => self.start(rest),
            // A lone `<` is text, as browsers take it.
            Some(_) | None => {
                self.text("<".into());
                rest
            }
        }
    }

    fn start<'a>(&mut self, rest: &'a str) -> &'a str {
        let (name, rest) = name(rest);
        let mut element = Element::new(name.clone(), XHTML);
        let (rest, self_closed) = attributes(rest, &mut element);
        if RAW.contains(&&*name) {
            return after_end_tag(rest, &name);
        }
        if self_closed || VOID.contains(&&*name) || self.open.len() >= MAX_DEPTH {
            self.push(Node::Element(element));
        } else {
            self.open.push(element);
        }
        rest
    }

    fn close(&mut self, name: &str) {
        // An end tag without start is ignored; one that skips levels closes them.
        if let Some(at) = self.open.iter().rposition(|element| element.name == *name) {
            while self.open.len() > at {
                self.pop();
            }
        }
    }

    fn text(&mut self, text: String) {
        self.push(Node::Text(text.into()));
    }

    fn pop(&mut self) {
        if let Some(element) = self.open.pop() {
            self.push(Node::Element(element));
        }
    }

    fn push(&mut self, node: Node) {
        self.open.last_mut().map_or(&mut self.top, |element| &mut element.children).push(node);
    }

    fn finish(mut self) -> Vec<Node> {
        while !self.open.is_empty() {
            self.pop();
        }
        self.top
    }
}

/// Reads attributes up to the end of the tag; returns what follows and whether the tag closed itself.
fn attributes<'a>(mut rest: &'a str, element: &mut Element) -> (&'a str, bool) {
    loop {
        rest = rest.trim_start();
        if let Some(tail) = rest.strip_prefix('>') {
            return (tail, false);
        }
        if let Some(tail) = rest.strip_prefix("/>") {
            return (tail, true);
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=>/".contains(c)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if name.is_empty() {
            // A stray slash or equals sign, or the end of the text.
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return ("", false);
            }
            rest = chars.as_str();
            continue;
        }
        rest = match tail.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, tail) = attribute_value(value.trim_start());
                let name = name.to_ascii_lowercase();
                // Three are ever looked at; others, with whatever name, are not kept.
                if let Some(name) = ["alt", "href", "style"].into_iter().find(|known| *known == name) {
                    element.set_attr(name, decode(value));
                }
                tail
            }
            None => tail,
        };
    }
}

fn attribute_value(rest: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = rest.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// The letters and digits of a tag's name, in lower case, and what follows.
fn name(rest: &str) -> (String, &str) {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (name.to_ascii_lowercase(), rest)
}

fn after<'a>(rest: &'a str, mark: &str) -> &'a str {
    rest.split_once(mark).map_or("", |(_, tail)| tail)
}

fn after_end_tag<'a>(mut rest: &'a str, element: &str) -> &'a str {
    while let Some((_, tail)) = rest.split_once("</") {
        if name(tail).0 == element {
            return after(tail, ">");
        }
        rest = tail;
    }
    ""
}

/// Resolves character references; what is none stays as it is written.
fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('&') {
        out.push_str(before);
        let window = tail.get(..tail.floor_char_boundary(MAX_REFERENCE)).unwrap_or_default();
        match window.split_once(';').and_then(|(name, _)| Some((character(name)?, name.len() + 1))) {
            Some((c, length)) => {
                out.push(c);
                rest = tail.get(length..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    let code = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => return named(name),
    };
    Some(char::from_u32(code).filter(|c| strict_xml::is_xml_char(*c)).unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "auml" => '\u{e4}',
        "ouml" => '\u{f6}',
        "uuml" => '\u{fc}',
        "Auml" => '\u{c4}',
        "Ouml" => '\u{d6}',
        "Uuml" => '\u{dc}',
        "szlig" => '\u{df}',
        "eacute" => '\u{e9}',
        "hellip" => '\u{2026}',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "lsquo" => '\u{2018}',
        "rsquo" => '\u{2019}',
        "ldquo" => '\u{201c}',
        "rdquo" => '\u{201d}',
        "euro" => '\u{20ac}',
        "copy" => '\u{a9}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::xhtml::{sanitize, to_text};

    #[test]
    fn broken_markup_is_read_somehow() {
        let text = |html: &str| to_text(&sanitize(&parse(html)));
        assert_eq!(text("a < b"), "a < b");
        assert_eq!(text("<p>a<b>b</p>c"), "ab\nc");
        assert_eq!(text("</x></p>a"), "a");
        assert_eq!(text("<a href='x"), "");
        assert_eq!(text("<p"), "");
        assert_eq!(text("<"), "<");
        assert_eq!(text("<p / = x>a"), "a");
        assert_eq!(text("<script>x"), "");
        assert_eq!(text("<!-- x"), "");
    }

    #[test]
    fn depth_is_bounded() {
        fn depth(nodes: &[Node]) -> usize {
            nodes.iter().filter_map(Node::as_element).map(|e| 1 + depth(&e.children)).max().unwrap_or(0)
        }
        let tree = parse(&"<div>".repeat(100_000));
        assert_eq!(depth(&tree), MAX_DEPTH + 1);
    }
}
