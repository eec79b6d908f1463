//! The one pass over an object that both readings share.

use impp_model::DateTime;

use crate::chars;
use crate::error::{Deviation, ErrorKind, ParseError, Remedy};
use crate::header::{self, CoreHeader, Header, LANG};
use crate::limits::{MAX_HEADERS, MAX_NAMESPACES, MAX_OBJECT, MAX_REQUIREMENTS};
use crate::mailbox;
use crate::message::{Message, Requirement};
use crate::mime::{CONTENT_TYPE, Entity};
use crate::namespace::{self, NamespaceDeclaration};
use crate::profile::Profile;

/// Reads as far as a reading is defensible, and tells where it was needed.
pub(crate) fn read(octets: &[u8], profile: Profile) -> (Result<Message<'_>, ParseError>, Vec<Deviation>) {
    let mut reader = Reader {
        octets,
        at: 0,
        line: 0,
        headers: Vec::new(),
        namespaces: vec![],
        required: vec![],
        deviations: vec![],
    };
    let content = reader.run(profile);
    let Reader { headers, namespaces, required, deviations, .. } = reader;
    (content.map(|content| Message { octets, headers, namespaces, required, content }), deviations)
}

struct Reader<'a> {
    octets: &'a [u8],
    /// Start of the line being read.
    at: usize,
    line: usize,
    headers: Vec<Header<'a>>,
    namespaces: Vec<NamespaceDeclaration<'a>>,
    required: Vec<Requirement<'a>>,
    deviations: Vec<Deviation>,
}

impl<'a> Reader<'a> {
    fn run(&mut self, profile: Profile) -> Result<Entity<'a>, ParseError> {
        if self.octets.len() > MAX_OBJECT {
            return Err(ParseError { kind: ErrorKind::TooLong { limit: MAX_OBJECT }, line: 1, octet: MAX_OBJECT });
        }
        self.headers.reserve(8);
        loop {
            let (line, next) = self.next_line()?;
            if line.is_empty() {
                profile.check(&self.headers, (self.line, self.at), &mut self.deviations)?;
                self.at = next;
                return self.content();
            }
            self.header(line)?;
            self.at = next;
        }
    }

    /// The line at hand without its CR LF, and where the next one begins.
    fn next_line(&mut self) -> Result<(&'a [u8], usize), ParseError> {
        self.line += 1;
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).ok_or_else(|| self.error(ErrorKind::NoSeparator, rest.len()))?;
        let line = rest.get(..end).unwrap_or_default();
        // RFC 3862 §2.2: CR LF and nothing else ends a line.
        let line = line.strip_suffix(b"\r").ok_or_else(|| self.error(ErrorKind::NotCrlf, end))?;
        Ok((line, self.at + end + 1))
    }

    fn header(&mut self, line: &'a [u8]) -> Result<(), ParseError> {
        if self.headers.len() == MAX_HEADERS {
            return Err(self.error(ErrorKind::TooMany { limit: MAX_HEADERS }, 0));
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(self.error(ErrorKind::LeadingSpace, 0));
        }
        if let Some(at) = chars::find_control(line) {
            return Err(self.error(ErrorKind::Control, at));
        }
        let line = std::str::from_utf8(line).map_err(|error| self.error(ErrorKind::Utf8, error.valid_up_to()))?;
        let colon = memchr::memchr(b':', line.as_bytes());
        let colon = colon.ok_or_else(|| self.error(ErrorKind::NoColon, line.len()))?;
        let (full_name, rest) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        let (prefix, name) = self.name(full_name)?;
        let (namespace, core) = self.meaning(prefix, name);
        let mut header = Header { prefix, name, namespace, params: "", value: "", core, ignored: false };
        let params_at = full_name.len() + 1;
        let value = self.params(&mut header, rest, params_at)?;
        let value_at = params_at + rest.len() - value.len();
        header.value = self.spaces(core, value, value_at)?;
        let value_at = value_at + value.len() - value.trim_start_matches(' ').len();
        self.value(&mut header, value_at)?;
        self.headers.push(header);
        Ok(())
    }

    /// The namespace of a name, and which core header it is.
    fn meaning(&mut self, prefix: Option<&str>, name: &str) -> (Option<&'a str>, Option<CoreHeader>) {
        let named = CoreHeader::named(name);
        match (prefix, named) {
            // Two dots.
            (None, None) if name.contains('.') => (None, None),
            // RFC 3862 §3.4 leaves open what becomes of NS and Require under another default namespace: they stay.
            (None, Some(CoreHeader::Ns | CoreHeader::Require)) => (Some(namespace::CPIM), named),
            _ => {
                let found = namespace::resolve(&self.namespaces, prefix);
                if found.is_none() {
                    self.deviate(ErrorKind::PrefixUndeclared, 0, Remedy::Unrecognised);
                }
                (found, named.filter(|_| found == Some(namespace::CPIM)))
            }
        }
    }

    fn name(&mut self, text: &'a str) -> Result<(Option<&'a str>, &'a str), ParseError> {
        if let Some(split) = chars::split_name(text) {
            return Ok(split);
        }
        let bad = text.bytes().position(|octet| !chars::is_name_octet(octet) && octet != b'.').unwrap_or(0);
        // RFC 3862 §3.1: one dot at most; names with more are another's business, as long as each part is a name.
        if text.split('.').all(chars::is_name) {
            self.deviate(ErrorKind::HeaderName, bad, Remedy::Unrecognised);
            return Ok((None, text));
        }
        Err(self.error(ErrorKind::HeaderName, bad))
    }

    /// Reads the parameters and returns what follows them.
    fn params(&mut self, header: &mut Header<'a>, text: &'a str, base: usize) -> Result<&'a str, ParseError> {
        let mut rest = text;
        while let Some(param) = rest.strip_prefix(';') {
            let at = base + text.len() - rest.len();
            rest = match header::parse_param(param) {
                Ok((param, after)) => {
                    self.allowed(header, param.name, rest.len() < text.len(), at);
                    after
                }
                // RFC 3862 §3.3: a tag that is none says nothing; Subject is optional, so it is passed over.
                Err(ErrorKind::Language) => {
                    self.deviate(ErrorKind::Language, at, Remedy::IgnoreHeader);
                    header.ignored = true;
                    let end = param.bytes().position(|octet| matches!(octet, b';' | b' ')).unwrap_or(param.len());
                    param.get(end..).unwrap_or_default()
                }
                Err(kind) => return Err(self.error(kind, at)),
            };
        }
        header.params = text.get(..text.len() - rest.len()).unwrap_or_default();
        Ok(rest)
    }

    // RFC 3862 §4: of the core headers only Subject has a parameter in its syntax, and only the language.
    fn allowed(&mut self, header: &Header<'_>, name: &str, repeated: bool, at: usize) {
        let remedy = match header.core {
            None => return,
            Some(CoreHeader::Subject) if name == LANG && !repeated => return,
            Some(CoreHeader::From | CoreHeader::To | CoreHeader::Cc) if name == LANG => Remedy::LanguageOfName,
            Some(_) => Remedy::IgnoreParameter,
        };
        self.deviate(ErrorKind::ParameterNotAllowed, at, remedy);
    }

    /// Takes the space before the value, and those that should not be there.
    fn spaces(&mut self, core: Option<CoreHeader>, text: &'a str, at: usize) -> Result<&'a str, ParseError> {
        let Some(value) = text.strip_prefix(' ') else {
            // A namespace or a requirement misread would change what other headers mean.
            if matches!(core, Some(CoreHeader::Ns | CoreHeader::Require)) {
                return Err(self.error(ErrorKind::NoSpace, at));
            }
            let remedy = if text.is_empty() { Remedy::EmptyValue } else { Remedy::AssumeSpace };
            self.deviate(ErrorKind::NoSpace, at, remedy);
            return Ok(text.trim_end_matches(' '));
        };
        if value.is_empty() {
            self.deviate(ErrorKind::EmptyValue, at + 1, Remedy::EmptyValue);
            return Ok(value);
        }
        if value.starts_with(' ') {
            self.deviate(ErrorKind::ExtraSpace, at + 1, Remedy::DropSpace);
        }
        if value.ends_with(' ') {
            self.deviate(ErrorKind::TrailingSpace, at + 1 + value.trim_end_matches(' ').len(), Remedy::DropSpace);
        }
        Ok(value.trim_matches(' '))
    }

    /// Checks a core header's value; `at` is its octet in the line.
    fn value(&mut self, header: &mut Header<'a>, at: usize) -> Result<(), ParseError> {
        match header.core {
            None | Some(CoreHeader::Subject) => Ok(()),
            Some(CoreHeader::From | CoreHeader::To | CoreHeader::Cc) => match mailbox::scan(header.value) {
                Ok(scanned) => {
                    self.note(scanned.oddity, at);
                    Ok(())
                }
                Err((kind, fault)) => Err(self.error(kind, at + fault)),
            },
            Some(CoreHeader::DateTime) => {
                if let Err(error) = DateTime::parse(header.value) {
                    self.deviate(ErrorKind::DateTime, at + error.position(), Remedy::IgnoreHeader);
                    header.ignored = true;
                }
                Ok(())
            }
            Some(CoreHeader::Ns) => self.declare(header.value, at),
            Some(CoreHeader::Require) => self.require(header.value, at),
        }
    }

    fn declare(&mut self, value: &'a str, at: usize) -> Result<(), ParseError> {
        let (declaration, oddity) =
            namespace::parse_declaration(value).map_err(|(kind, fault)| self.error(kind, at + fault))?;
        self.note(oddity, at);
        if self.namespaces.len() == MAX_NAMESPACES {
            return Err(self.error(ErrorKind::TooMany { limit: MAX_NAMESPACES }, 0));
        }
        let twice = |other: &NamespaceDeclaration<'_>| other.prefix.is_some() && other.prefix == declaration.prefix;
        if self.namespaces.iter().any(twice) {
            self.deviate(ErrorKind::NamespaceRedeclared, at, Remedy::SequentialScope);
        }
        self.namespaces.push(declaration);
        Ok(())
    }

    fn require(&mut self, value: &'a str, at: usize) -> Result<(), ParseError> {
        let mut item_at = at;
        for item in value.split(',').filter(|_| !value.is_empty()) {
            let name = item.trim_matches(' ');
            if name.is_empty() {
                self.deviate(ErrorKind::RequireSyntax, item_at, Remedy::SkipElement);
            } else {
                if name.len() != item.len() {
                    self.deviate(ErrorKind::RequireSyntax, item_at, Remedy::TrimNames);
                }
                self.required_name(name, item_at)?;
            }
            item_at += item.len() + 1;
        }
        Ok(())
    }

    fn required_name(&mut self, text: &'a str, at: usize) -> Result<(), ParseError> {
        let (prefix, name) = chars::split_name(text).ok_or_else(|| self.error(ErrorKind::RequireSyntax, at))?;
        // RFC 3862 §3.4: declared before it is used; a requirement that nobody can name is one that nobody satisfies.
        let namespace = namespace::resolve(&self.namespaces, prefix);
        let namespace = namespace.ok_or_else(|| self.error(ErrorKind::PrefixUndeclared, at))?;
        if self.required.len() == MAX_REQUIREMENTS {
            return Err(self.error(ErrorKind::TooMany { limit: MAX_REQUIREMENTS }, at));
        }
        self.required.push(Requirement { namespace, name });
        Ok(())
    }

    fn content(&self) -> Result<Entity<'a>, ParseError> {
        let octets = self.octets.get(self.at..).unwrap_or_default();
        let content = Entity::parse_at(octets, self.line + 1, self.at)?;
        // RFC 3862 §2.4: no type is assumed.
        match content.header(CONTENT_TYPE) {
            Some(_) => Ok(content),
            None => Err(ParseError { kind: ErrorKind::NoContentType, line: self.line + 1, octet: self.at }),
        }
    }

    fn note(&mut self, oddity: Option<(ErrorKind, usize, Remedy)>, base: usize) {
        if let Some((kind, at, remedy)) = oddity {
            self.deviate(kind, base + at, remedy);
        }
    }

    fn deviate(&mut self, kind: ErrorKind, at: usize, remedy: Remedy) {
        let error = self.error(kind, at);
        self.deviations.push(Deviation { error, remedy });
    }

    fn error(&self, kind: ErrorKind, at: usize) -> ParseError {
        ParseError { kind, line: self.line, octet: self.at + at }
    }
}
