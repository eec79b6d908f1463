//! From one complete element, or one document, to a tree.

use std::sync::Arc;

use memchr::{memchr, memchr_iter};

use crate::chars::{find_illegal, is_ncname, is_space};
use crate::tag::{RawAttr, RawName, TagScanner, resolve_attribute, resolve_reference};
use crate::token::{CDATA, Token, Tokens, end_name};
use crate::{Attr, Element, Limits, Node, Scope, SharedStr, XML_NS, XMLNS_NS, XmlError, XmlErrorKind};

/// Parses one complete element of a stream, which inherits the declarations of `scope`.
pub fn parse_element(input: &[u8], scope: &Scope, limits: &Limits) -> Result<Element, XmlError> {
    let text = checked_text(input, limits)?;
    if !text.starts_with('<') {
        return Err(XmlError::new(XmlErrorKind::OutsideRoot, 0));
    }
    Parser::new(text, 0, scope, limits, Kind::Stanza).run()
}

/// Parses one XML document, such as a PIDF body.
///
/// Besides what [`parse_element`] takes, allows a byte order mark, an XML declaration, white space around the root,
/// and comments and processing instructions, which are dropped. A document type declaration is refused.
pub fn parse_document(input: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    let text = checked_text(input, limits)?;
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    Parser::new(body, text.len() - body.len(), &NO_SCOPE, limits, Kind::Document).run()
}

/// Parses a start tag alone, with its declarations added to the scope it returns.
pub(crate) fn parse_start_tag(tag: &[u8], limits: &Limits) -> Result<(Element, SharedStr, Scope), XmlError> {
    let text = checked_text(tag, limits)?;
    let inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let inside = inside.ok_or(XmlError::new(XmlErrorKind::Tag, 0))?;
    let mut parser = Parser::new(text, 0, &NO_SCOPE, limits, Kind::Stanza);
    let (element, name) = parser.start_tag(inside, 1)?;
    let prefix = SharedStr::copy(name.prefix);
    Ok((element, prefix, parser.scope))
}

/// What the whole input must satisfy: length, UTF-8, characters.
fn checked_text<'a>(input: &'a [u8], limits: &Limits) -> Result<&'a str, XmlError> {
    let limit = limits.bytes();
    if input.len() > limit {
        return Err(XmlError::new(XmlErrorKind::TooLong { limit }, limit));
    }
    // RFC 6120 §11.6: UTF-8 only.
    let text = std::str::from_utf8(input).map_err(|error| XmlError::new(XmlErrorKind::Utf8, error.valid_up_to()))?;
    match find_illegal(text) {
        Some(at) => Err(XmlError::new(XmlErrorKind::Char, at)),
        None => Ok(text),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stanza,
    Document,
}

/// Character data gathered since the last tag.
#[derive(Default)]
enum Pending {
    #[default]
    None,
    Slice(usize, usize),
    Owned(String),
}

struct Open<'a> {
    element: Element,
    /// Its name as written, which the end tag repeats.
    name: &'a str,
    /// Declarations in force before this element.
    scope_len: usize,
}

struct Parser<'a> {
    text: &'a str,
    /// Position of `text` in the input.
    base: usize,
    whole: Arc<str>,
    /// Declarations of the stream.
    outer: &'a Scope,
    /// Declarations of the open elements.
    scope: Scope,
    limits: &'a Limits,
    kind: Kind,
    open: Vec<Open<'a>>,
    pending: Pending,
    root: Option<Element>,
    raw_attrs: Vec<RawAttr<'a>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, base: usize, outer: &'a Scope, limits: &'a Limits, kind: Kind) -> Self {
        Self {
            text,
            base,
            whole: Arc::from(text),
            outer,
            scope: Scope::new(),
            limits,
            kind,
            open: Vec::new(),
            pending: Pending::None,
            root: None,
            raw_attrs: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Element, XmlError> {
        let mut tokens = Tokens::new(self.text);
        loop {
            let at = tokens.position();
            match tokens.next_token().map_err(|kind| self.error(kind, at))? {
                Some(Token::Text(text)) => self.text(text, at)?,
                Some(Token::Start { inside, empty }) => self.start(inside, at, empty)?,
                Some(Token::End(inside)) => self.end_tag(inside, at)?,
                Some(Token::Reference(name)) => self.reference(name, at)?,
                Some(Token::Cdata(content)) => self.cdata(content, at)?,
                Some(Token::Comment) => self.dropped(XmlErrorKind::Comment, at)?,
                Some(Token::Instruction(inside)) => self.instruction(inside, at)?,
                None => return self.finish(),
            }
        }
    }

    fn start(&mut self, inside: &'a str, at: usize, empty: bool) -> Result<(), XmlError> {
        if self.root.is_some() {
            return Err(self.error(XmlErrorKind::OutsideRoot, at));
        }
        let limit = self.limits.depth();
        if self.open.len() >= limit {
            return Err(self.error(XmlErrorKind::TooDeep { limit }, at));
        }
        self.flush_text();
        let scope_len = self.scope.len();
        let (element, name) = self.start_tag(inside, at + 1)?;
        self.open.push(Open { element, name: name.written, scope_len });
        if empty { self.end(at) } else { Ok(()) }
    }

    /// Reads a start tag and puts its declarations in force.
    fn start_tag(&mut self, inside: &'a str, at: usize) -> Result<(Element, RawName<'a>), XmlError> {
        let mut scanner = TagScanner::new(inside, at);
        let name = scanner.name().map_err(|error| self.moved(error))?;
        let mut raw_attrs = std::mem::take(&mut self.raw_attrs);
        raw_attrs.clear();
        while let Some(attr) = scanner.attribute().map_err(|error| self.moved(error))? {
            let limit = self.limits.attributes();
            if raw_attrs.len() >= limit {
                return Err(self.error(XmlErrorKind::TooManyAttributes { limit }, attr.at));
            }
            // XML 1.0 §3.1: no name twice, before namespaces come into it.
            if raw_attrs.iter().any(|other| other.name.written == attr.name.written) {
                return Err(self.error(XmlErrorKind::DuplicateAttribute, attr.name.at));
            }
            raw_attrs.push(attr);
        }
        let mut plain = 0;
        for attr in &raw_attrs {
            match (attr.name.prefix, attr.name.local) {
                ("", "xmlns") => self.declare("", attr)?,
                ("xmlns", prefix) => self.declare(prefix, attr)?,
                _ => plain += 1,
            }
        }
        let mut element = Element {
            ns: self.namespace(&name, SharedStr::EMPTY)?,
            name: self.slice(name.at, name.local.len()),
            attrs: Vec::with_capacity(plain),
            children: Vec::new(),
        };
        for attr in raw_attrs.iter().filter(|attr| !is_declaration(attr)) {
            self.attribute(&mut element, attr)?;
        }
        self.raw_attrs = raw_attrs;
        Ok((element, name))
    }

    fn declare(&mut self, prefix: &str, attr: &RawAttr<'_>) -> Result<(), XmlError> {
        let ns = self.attribute_value(attr)?;
        // Namespaces in XML §3 and §2.2: reserved names, and no undeclaring of prefixes.
        let legal = match (prefix, ns.as_str()) {
            ("xml", uri) => uri == XML_NS,
            ("xmlns", _) | (_, XML_NS | XMLNS_NS) => false,
            ("", _) => true,
            (_, uri) => !uri.is_empty(),
        };
        if !legal {
            return Err(self.error(XmlErrorKind::NamespaceDeclaration, attr.at));
        }
        if ns.len() > Limits::NAMESPACE_BYTES {
            return Err(self.error(XmlErrorKind::NamespaceTooLong { limit: Limits::NAMESPACE_BYTES }, attr.at));
        }
        if self.scope.len() >= Limits::DECLARATIONS {
            return Err(self.error(XmlErrorKind::TooManyDeclarations { limit: Limits::DECLARATIONS }, attr.at));
        }
        let prefix = if prefix.is_empty() { SharedStr::EMPTY } else { self.slice(attr.name.at, prefix.len()) };
        self.scope.declare(prefix, ns);
        Ok(())
    }

    fn attribute(&self, element: &mut Element, attr: &RawAttr<'_>) -> Result<(), XmlError> {
        let ns = match attr.name.prefix {
            // Namespaces in XML §6.2: the default does not reach attributes.
            "" => SharedStr::EMPTY,
            _ => self.namespace(&attr.name, SharedStr::EMPTY)?,
        };
        if !ns.is_empty() && element.attr_ns(attr.name.local, &ns).is_some() {
            return Err(self.error(XmlErrorKind::DuplicateAttribute, attr.name.at));
        }
        let name = self.slice(attr.name.at, attr.name.local.len());
        element.attrs.push(Attr { name, ns, value: self.attribute_value(attr)? });
        Ok(())
    }

    fn attribute_value(&self, attr: &RawAttr<'_>) -> Result<SharedStr, XmlError> {
        let special = |byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r');
        if !attr.value.bytes().fold(false, |found, byte| found | special(byte)) {
            return Ok(self.slice(attr.at, attr.value.len()));
        }
        let mut value = String::with_capacity(attr.value.len());
        resolve_attribute(attr.value, attr.at, &mut value).map_err(|error| self.moved(error))?;
        Ok(SharedStr::from(value))
    }

    fn namespace(&self, name: &RawName<'_>, none: SharedStr) -> Result<SharedStr, XmlError> {
        match self.scope.lookup(name.prefix).or_else(|| self.outer.lookup(name.prefix)) {
            Some(ns) => Ok(ns.clone()),
            None if name.prefix.is_empty() => Ok(none),
            None => Err(self.error(XmlErrorKind::UndeclaredPrefix, name.at)),
        }
    }

    fn end_tag(&mut self, inside: &str, at: usize) -> Result<(), XmlError> {
        // XML 1.0 §3: the name of the start tag, and white space at most.
        match self.open.last() {
            Some(open) if open.name == end_name(inside) => self.end(at),
            Some(_) | None => Err(self.error(XmlErrorKind::EndTag, at)),
        }
    }

    fn end(&mut self, at: usize) -> Result<(), XmlError> {
        self.flush_text();
        let Open { element, scope_len, .. } = self.open.pop().ok_or_else(|| self.error(XmlErrorKind::EndTag, at))?;
        self.scope.truncate(scope_len);
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, token: &str, at: usize) -> Result<(), XmlError> {
        if self.open.is_empty() {
            let blank = self.kind == Kind::Document && token.bytes().all(is_space);
            return if blank { Ok(()) } else { Err(self.error(XmlErrorKind::OutsideRoot, at)) };
        }
        let bytes = token.as_bytes();
        let cdata_end =
            memchr_iter(b'>', bytes).find(|end| bytes.get(..*end).is_some_and(|before| before.ends_with(b"]]")));
        if let Some(end) = cdata_end {
            return Err(self.error(XmlErrorKind::CdataEndInText, at + end - 2));
        }
        self.push_text(token, at);
        Ok(())
    }

    fn cdata(&mut self, content: &str, at: usize) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(self.error(XmlErrorKind::OutsideRoot, at));
        }
        self.push_text(content, at + CDATA.len());
        Ok(())
    }

    fn reference(&mut self, name: &str, at: usize) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(self.error(XmlErrorKind::OutsideRoot, at));
        }
        let c = resolve_reference(name, at).map_err(|error| self.moved(error))?;
        self.pending_string().push(c);
        Ok(())
    }

    fn instruction(&self, inside: &str, at: usize) -> Result<(), XmlError> {
        let target = inside.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        match self.kind {
            // XML 1.0 §2.8: the declaration, only at the start of a document.
            Kind::Document if at == 0 && target == "xml" => {
                check_declaration(inside).map_err(|kind| self.error(kind, at))
            }
            // XML 1.0 §2.6: the target is a name and is not "xml".
            Kind::Document if is_ncname(target) && !target.eq_ignore_ascii_case("xml") => Ok(()),
            Kind::Document | Kind::Stanza => Err(self.error(XmlErrorKind::ProcessingInstruction, at)),
        }
    }

    fn dropped(&self, kind: XmlErrorKind, at: usize) -> Result<(), XmlError> {
        match self.kind {
            Kind::Document => Ok(()),
            Kind::Stanza => Err(self.error(kind, at)),
        }
    }

    fn push_text(&mut self, raw: &str, at: usize) {
        if raw.is_empty() {
            return;
        }
        let plain = memchr(b'\r', raw.as_bytes()).is_none();
        if plain && matches!(self.pending, Pending::None) {
            self.pending = Pending::Slice(at, at + raw.len());
            return;
        }
        let pending = self.pending_string();
        if plain {
            pending.push_str(raw);
        } else {
            // XML 1.0 §2.11: line ends become LF.
            pending.push_str(&raw.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }

    /// The pending text, made writable.
    fn pending_string(&mut self) -> &mut String {
        let text = match std::mem::take(&mut self.pending) {
            Pending::None => String::new(),
            Pending::Slice(from, to) => self.text.get(from..to).unwrap_or_default().to_owned(),
            Pending::Owned(text) => text,
        };
        self.pending = Pending::Owned(text);
        match &mut self.pending {
            Pending::Owned(text) => text,
            Pending::None | Pending::Slice(..) => unreachable!("assigned on the line above"),
        }
    }

    fn flush_text(&mut self) {
        let text = match std::mem::take(&mut self.pending) {
            Pending::None => return,
            Pending::Slice(from, to) => SharedStr::slice(&self.whole, from, to),
            Pending::Owned(text) => SharedStr::from(text),
        };
        if let Some(parent) = self.open.last_mut() {
            parent.element.children.push(Node::Text(text));
        }
    }

    fn finish(self) -> Result<Element, XmlError> {
        let incomplete = self.error(XmlErrorKind::Incomplete, self.text.len());
        if self.open.is_empty() { self.root.ok_or(incomplete) } else { Err(incomplete) }
    }

    fn slice(&self, at: usize, len: usize) -> SharedStr {
        SharedStr::slice(&self.whole, at, at + len)
    }

    fn error(&self, kind: XmlErrorKind, at: usize) -> XmlError {
        XmlError::new(kind, self.base + at)
    }

    fn moved(&self, error: XmlError) -> XmlError {
        XmlError { offset: self.base + error.offset, ..error }
    }
}

/// A document inherits no declarations.
static NO_SCOPE: Scope = Scope::new();

fn is_declaration(attr: &RawAttr<'_>) -> bool {
    attr.name.prefix == "xmlns" || (attr.name.prefix.is_empty() && attr.name.local == "xmlns")
}

/// Checks an XML declaration, between `<?` and `?>`: version 1.0, encoding UTF-8 or none, standalone either way.
pub(crate) fn check_declaration(inside: &str) -> Result<(), XmlErrorKind> {
    let mut scanner = TagScanner::new(inside, 2);
    let name = scanner.name().map_err(|error| error.kind)?;
    if name.local != "xml" || !name.prefix.is_empty() {
        return Err(XmlErrorKind::ProcessingInstruction);
    }
    // XML 1.0 §2.8: in this order, version required.
    let mut expected = ["version", "encoding", "standalone"].into_iter();
    let mut version = false;
    while let Some(attr) = scanner.attribute().map_err(|error| error.kind)? {
        if !attr.name.prefix.is_empty() || !expected.any(|name| name == attr.name.local) {
            return Err(XmlErrorKind::Tag);
        }
        match (attr.name.local, attr.value) {
            ("version", "1.0") => version = true,
            ("version", _) => return Err(XmlErrorKind::Version),
            ("encoding", value) if value.eq_ignore_ascii_case("utf-8") => {}
            ("encoding", _) => return Err(XmlErrorKind::Encoding),
            (_, "yes" | "no") => {}
            (_, _) => return Err(XmlErrorKind::Tag),
        }
    }
    if version { Ok(()) } else { Err(XmlErrorKind::Version) }
}
