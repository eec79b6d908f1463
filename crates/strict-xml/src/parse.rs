//! From one complete element, or one document, to a tree.

use std::sync::Arc;

use memchr::{memchr, memchr_iter};

use crate::chars::{find_illegal, is_ncname, is_space};
use crate::tag::{RawAttr, RawName, TagScanner, resolve_attribute, resolve_reference};
use crate::token::{CDATA, Token, Tokens, end_name};
use crate::tree::{FlatAttr, FlatDeclaration, FlatNode, NO_NS, Span, TEXT, XML, small};
use crate::{Element, Limits, Scope, SharedStr, Tree, XML_NS, XMLNS_NS, XmlError, XmlErrorKind};

/// Parses one complete element of a stream, which inherits the declarations of `scope`.
pub fn parse_element(input: &[u8], scope: &Scope, limits: &Limits) -> Result<Element, XmlError> {
    let text = checked_text(input, limits)?;
    if !text.starts_with('<') {
        return Err(XmlError::new(XmlErrorKind::OutsideRoot, 0));
    }
    build(text, 0, scope, limits, Kind::Stanza).map(|tree| tree.root().to_element())
}

/// Parses one XML document, such as a PIDF body.
///
/// Besides what [`parse_element`] takes, allows a byte order mark, an XML declaration, white space around the root,
/// and comments and processing instructions, which are dropped. A document type declaration is refused.
pub fn parse_document(input: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    Tree::parse_document(utf8(input, limits)?, limits).map(|tree| tree.root().to_element())
}

pub(crate) fn build_document(text: &str, limits: &Limits) -> Result<Tree, XmlError> {
    check_text(text, limits)?;
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    build(body, text.len() - body.len(), &NO_SCOPE, limits, Kind::Document)
}

/// Parses a start tag alone, with its declarations added to the scope it returns.
pub(crate) fn parse_start_tag(tag: &[u8], limits: &Limits) -> Result<(Element, SharedStr, Scope), XmlError> {
    let text = checked_text(tag, limits)?;
    let inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let inside = inside.ok_or(XmlError::new(XmlErrorKind::Tag, 0))?;
    let whole = Arc::from(text);
    let mut parser = Parser::new(text, &whole, 0, &NO_SCOPE, limits, Kind::Stanza);
    let name = parser.start_tag(inside, 1)?;
    let tree = parser.tree(&whole);
    let mut scope = Scope::new();
    tree.in_force().for_each(|(prefix, ns)| scope.declare(prefix, ns));
    Ok((tree.root().to_element(), SharedStr::copy(name.prefix), scope))
}

/// What the whole input must satisfy: length, UTF-8, characters.
fn checked_text<'a>(input: &'a [u8], limits: &Limits) -> Result<&'a str, XmlError> {
    let text = utf8(input, limits)?;
    check_text(text, limits)?;
    Ok(text)
}

fn utf8<'a>(input: &'a [u8], limits: &Limits) -> Result<&'a str, XmlError> {
    check_length(input.len(), limits)?;
    // RFC 6120 §11.6: UTF-8 only.
    std::str::from_utf8(input).map_err(|error| XmlError::new(XmlErrorKind::Utf8, error.valid_up_to()))
}

fn check_text(text: &str, limits: &Limits) -> Result<(), XmlError> {
    check_length(text.len(), limits)?;
    match find_illegal(text) {
        Some(at) => Err(XmlError::new(XmlErrorKind::Char, at)),
        None => Ok(()),
    }
}

fn check_length(length: usize, limits: &Limits) -> Result<(), XmlError> {
    let limit = limits.bytes();
    if length > limit { Err(XmlError::new(XmlErrorKind::TooLong { limit }, limit)) } else { Ok(()) }
}

fn build(text: &str, base: usize, outer: &Scope, limits: &Limits, kind: Kind) -> Result<Tree, XmlError> {
    let whole = Arc::from(text);
    let mut parser = Parser::new(text, &whole, base, outer, limits, kind);
    parser.run()?;
    Ok(parser.tree(&whole))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stanza,
    Document,
}

/// Character data gathered since the last tag.
#[derive(Clone, Copy)]
enum Pending {
    None,
    /// A range of the text.
    Slice(usize, usize),
    /// The end of the resolved values, from here on.
    Resolved(usize),
}

/// An element whose end tag is awaited.
struct Open<'a> {
    /// Its number among the nodes.
    node: usize,
    /// Its name as written, which the end tag repeats.
    name: &'a str,
    /// The innermost declaration in force before this element.
    outer: u32,
}

struct Parser<'a> {
    text: &'a str,
    /// A copy of the text, which the tree shares.
    whole: &'a Arc<str>,
    /// Position of `text` in the input.
    base: usize,
    /// Declarations of the stream.
    outer: &'a Scope,
    limits: &'a Limits,
    kind: Kind,
    open: Vec<Open<'a>>,
    pending: Pending,
    /// The innermost declaration in force, as its number and one.
    scope: u32,
    raw_attrs: Vec<RawAttr<'a>>,
    resolved: String,
    nodes: Vec<FlatNode>,
    attrs: Vec<FlatAttr>,
    declarations: Vec<FlatDeclaration>,
    namespaces: Vec<SharedStr>,
    /// Whether the text has `]` anywhere; most have none, and their texts need not be searched for `]]>`.
    brackets: bool,
    /// Whether it has CR anywhere.
    returns: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, whole: &'a Arc<str>, base: usize, outer: &'a Scope, limits: &'a Limits, kind: Kind) -> Self {
        let mut namespaces = Vec::with_capacity(8);
        namespaces.extend([SharedStr::EMPTY, SharedStr::constant(XML_NS)]);
        Self {
            text,
            whole,
            base,
            outer,
            limits,
            kind,
            open: Vec::with_capacity(8),
            pending: Pending::None,
            scope: 0,
            raw_attrs: Vec::with_capacity(8),
            resolved: String::new(),
            // Elements and texts alternate with tags: as many of them, or few more.
            nodes: Vec::with_capacity(memchr_iter(b'<', text.as_bytes()).count() + 1),
            attrs: Vec::with_capacity(text.len() / 64 + 1),
            declarations: Vec::with_capacity(8),
            namespaces,
            brackets: memchr(b']', text.as_bytes()).is_some(),
            returns: memchr(b'\r', text.as_bytes()).is_some(),
        }
    }

    fn tree(self, whole: &Arc<str>) -> Tree {
        let Self { resolved, nodes, attrs, declarations, namespaces, .. } = self;
        Tree { text: Arc::clone(whole), resolved, nodes, attrs, declarations, namespaces }
    }

    fn run(&mut self) -> Result<(), XmlError> {
        let mut tokens = Tokens::new(self.text);
        loop {
            let at = tokens.position();
            match tokens.next_token().map_err(|kind| self.error(kind, at))? {
                Some(Token::Text(text)) => self.text(text, at)?,
                Some(Token::Start { inside, empty }) => self.start(inside, at, tokens.position(), empty)?,
                Some(Token::End(inside)) => self.end_tag(inside, at, tokens.position())?,
                Some(Token::Reference(name)) => self.reference(name, at)?,
                Some(Token::Cdata(content)) => self.cdata(content, at)?,
                Some(Token::Comment) => self.dropped(XmlErrorKind::Comment, at)?,
                Some(Token::Instruction(inside)) => self.instruction(inside, at)?,
                None => return self.finish(),
            }
        }
    }

    fn start(&mut self, inside: &'a str, at: usize, end: usize, empty: bool) -> Result<(), XmlError> {
        if self.open.is_empty() && !self.nodes.is_empty() {
            return Err(self.error(XmlErrorKind::OutsideRoot, at));
        }
        let limit = self.limits.depth();
        if self.open.len() >= limit {
            return Err(self.error(XmlErrorKind::TooDeep { limit }, at));
        }
        self.flush_text();
        let (node, outer) = (self.nodes.len(), self.scope);
        let name = self.start_tag(inside, at + 1)?;
        if empty {
            self.close(node, outer, end);
        } else {
            self.open.push(Open { node, name: name.written, outer });
        }
        Ok(())
    }

    /// Reads a start tag and puts its declarations in force.
    fn start_tag(&mut self, inside: &'a str, at: usize) -> Result<RawName<'a>, XmlError> {
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
        for attr in &raw_attrs {
            match (attr.name.prefix, attr.name.local) {
                ("", "xmlns") => self.declare("", attr)?,
                ("xmlns", prefix) => self.declare(prefix, attr)?,
                _ => {}
            }
        }
        let ns = self.namespace(&name)?;
        let first = self.attrs.len();
        for attr in raw_attrs.iter().filter(|attr| !is_declaration(attr)) {
            self.attribute(first, attr)?;
        }
        self.raw_attrs = raw_attrs;
        self.nodes.push(FlatNode {
            span: Span::of_text(name.at, name.at + name.local.len()),
            ns,
            place: Span::of_text(at - 1, at - 1),
            next: 0,
            attrs: (small(first), small(self.attrs.len())),
            scope: self.scope,
        });
        Ok(name)
    }

    fn declare(&mut self, prefix: &str, attr: &RawAttr<'_>) -> Result<(), XmlError> {
        let value = self.attribute_value(attr)?;
        let ns = match value.range() {
            Ok((start, end)) => SharedStr::slice(self.whole, start, end),
            Err((start, end)) => SharedStr::copy(self.resolved.get(start..end).unwrap_or_default()),
        };
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
        if self.in_force() >= Limits::DECLARATIONS {
            return Err(self.error(XmlErrorKind::TooManyDeclarations { limit: Limits::DECLARATIONS }, attr.at));
        }
        let prefix =
            if prefix.is_empty() { Span::EMPTY } else { Span::of_text(attr.name.at, attr.name.at + prefix.len()) };
        let value = Span::of_text(attr.at, attr.at + attr.value.len());
        let number = if ns.is_empty() { NO_NS } else { small(self.namespaces.len()) };
        if number != NO_NS {
            self.namespaces.push(ns);
        }
        self.declarations.push(FlatDeclaration { prefix, value, ns: number, outer: self.scope });
        self.scope = small(self.declarations.len());
        Ok(())
    }

    /// The declarations in force, hidden ones counted.
    fn in_force(&self) -> usize {
        self.chain().count()
    }

    /// The declarations in force, the innermost first.
    fn chain(&self) -> impl Iterator<Item = &FlatDeclaration> {
        let get = |number: u32| self.declarations.get((number as usize).checked_sub(1)?);
        std::iter::successors(get(self.scope), move |declaration| get(declaration.outer))
    }

    /// Keeps an attribute of the element whose first one has this number.
    fn attribute(&mut self, first: usize, attr: &RawAttr<'_>) -> Result<(), XmlError> {
        // Namespaces in XML §6.2: the default does not reach attributes.
        let ns = if attr.name.prefix.is_empty() { NO_NS } else { self.namespace(&attr.name)? };
        let name = Span::of_text(attr.name.at, attr.name.at + attr.name.local.len());
        if ns != NO_NS && self.has_attribute(first, attr.name.local, ns) {
            return Err(self.error(XmlErrorKind::DuplicateAttribute, attr.name.at));
        }
        let value = self.attribute_value(attr)?;
        self.attrs.push(FlatAttr { name, ns, value });
        Ok(())
    }

    fn has_attribute(&self, first: usize, local: &str, ns: u32) -> bool {
        let uri = self.namespaces.get(ns as usize);
        let mut before = self.attrs.get(first..).unwrap_or_default().iter();
        before.any(|attr| attr.name.of(self.text) == local && self.namespaces.get(attr.ns as usize) == uri)
    }

    fn attribute_value(&mut self, attr: &RawAttr<'_>) -> Result<Span, XmlError> {
        if attr.plain {
            return Ok(Span::of_text(attr.at, attr.at + attr.value.len()));
        }
        let start = self.resolved.len();
        let base = self.base;
        resolve_attribute(attr.value, attr.at, &mut self.resolved)
            .map_err(|error| XmlError { offset: base + error.offset, ..error })?;
        Ok(Span::of_resolved(start, self.resolved.len()))
    }

    /// The number of the namespace that a name is in.
    fn namespace(&mut self, name: &RawName<'_>) -> Result<u32, XmlError> {
        if name.prefix == "xml" {
            return Ok(XML);
        }
        let declares = |declaration: &&FlatDeclaration| {
            let length = declaration.prefix.len();
            length == name.prefix.len() && (length == 0 || declaration.prefix.of(self.text) == name.prefix)
        };
        if let Some(declaration) = self.chain().find(declares) {
            return Ok(declaration.ns);
        }
        match self.outer.lookup(name.prefix) {
            Some(ns) => Ok(self.number(ns)),
            None if name.prefix.is_empty() => Ok(NO_NS),
            None => Err(self.error(XmlErrorKind::UndeclaredPrefix, name.at)),
        }
    }

    /// The number of a namespace that the stream declares.
    fn number(&mut self, ns: &SharedStr) -> u32 {
        let known = self.namespaces.iter().position(|known| known == ns);
        small(known.unwrap_or_else(|| {
            self.namespaces.push(ns.clone());
            self.namespaces.len() - 1
        }))
    }

    fn end_tag(&mut self, inside: &str, at: usize, end: usize) -> Result<(), XmlError> {
        // XML 1.0 §3: the name of the start tag, and white space at most.
        match self.open.pop() {
            Some(open) if open.name == end_name(inside) => {
                self.flush_text();
                self.close(open.node, open.outer, end);
                Ok(())
            }
            Some(_) | None => Err(self.error(XmlErrorKind::EndTag, at)),
        }
    }

    /// The element with this number is complete.
    fn close(&mut self, node: usize, outer: u32, end: usize) {
        let next = small(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(node) {
            node.next = next;
            node.place = Span::of_text(node.place.start(), end);
        }
        self.scope = outer;
    }

    fn text(&mut self, token: &str, at: usize) -> Result<(), XmlError> {
        if self.open.is_empty() {
            let blank = self.kind == Kind::Document && token.bytes().all(is_space);
            return if blank { Ok(()) } else { Err(self.error(XmlErrorKind::OutsideRoot, at)) };
        }
        if let Some(end) = self.brackets.then(|| token.find("]]>")).flatten() {
            return Err(self.error(XmlErrorKind::CdataEndInText, at + end));
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
        let plain = !self.returns || memchr(b'\r', raw.as_bytes()).is_none();
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
        let start = self.resolved.len();
        match self.pending {
            Pending::None => self.pending = Pending::Resolved(start),
            Pending::Slice(from, to) => {
                self.resolved.push_str(self.text.get(from..to).unwrap_or_default());
                self.pending = Pending::Resolved(start);
            }
            Pending::Resolved(_) => {}
        }
        &mut self.resolved
    }

    fn flush_text(&mut self) {
        let span = match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => return,
            Pending::Slice(from, to) => Span::of_text(from, to),
            Pending::Resolved(from) => Span::of_resolved(from, self.resolved.len()),
        };
        let next = small(self.nodes.len() + 1);
        self.nodes.push(FlatNode { span, ns: TEXT, place: Span::EMPTY, next, attrs: (0, 0), scope: 0 });
    }

    fn finish(&self) -> Result<(), XmlError> {
        if self.open.is_empty() && !self.nodes.is_empty() {
            return Ok(());
        }
        Err(self.error(XmlErrorKind::Incomplete, self.text.len()))
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

/// Checks an XML declaration, between `<?` and `?>`: version 1.x, encoding UTF-8 or none, standalone either way.
pub(crate) fn check_declaration(inside: &str) -> Result<(), XmlErrorKind> {
    // Nearly all documents begin so.
    if inside == "xml version=\"1.0\" encoding=\"UTF-8\"" {
        return Ok(());
    }
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
            // XML 1.0 §2.8: any 1.x is read as 1.0.
            ("version", value) if is_version(value) => version = true,
            ("version", _) => return Err(XmlErrorKind::Version),
            ("encoding", value) if value.eq_ignore_ascii_case("utf-8") => {}
            ("encoding", _) => return Err(XmlErrorKind::Encoding),
            (_, "yes" | "no") => {}
            (_, _) => return Err(XmlErrorKind::Tag),
        }
    }
    if version { Ok(()) } else { Err(XmlErrorKind::Version) }
}

fn is_version(value: &str) -> bool {
    let minor = value.strip_prefix("1.").unwrap_or_default();
    !minor.is_empty() && minor.bytes().all(|octet| octet.is_ascii_digit())
}
