//! The one pass over an object that both readings share.

use impp_model::DateTime;

use crate::chars;
use crate::error::{Deviation, ErrorKind, ParseError, Remedy};
use crate::header::{self, CoreHeader, Header, LANG};
use crate::limits::{MAX_HEADERS, MAX_NAMESPACES, MAX_OBJECT, MAX_PARAMS, MAX_REQUIREMENTS};
use crate::mailbox;
use crate::media::MediaType;
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
        let (mut rest, mut count) = (text, 0);
        while let Some(param) = rest.strip_prefix(';') {
            let at = base + text.len() - rest.len();
            if count == MAX_PARAMS {
                return Err(self.error(ErrorKind::TooMany { limit: MAX_PARAMS }, at));
            }
            count += 1;
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
        let content = match Entity::parse_at(octets, self.line + 1, self.at) {
            Ok(content) => content,
            Err(error) => return Err(self.untyped(octets, error)),
        };
        let mut types =
            content.headers().iter().enumerate().filter(|(_, header)| header.name().eq_ignore_ascii_case(CONTENT_TYPE));
        // RFC 3862 §2.4: no type is assumed.
        let Some((first, header)) = types.next() else {
            return Err(self.no_content_type());
        };
        // RFC 2045 §5.1: one media type; of two, readers would choose differently.
        let wrong =
            if MediaType::parse(&header.value()).is_none() { Some(first) } else { types.next().map(|(at, _)| at) };
        let Some(at) = wrong else { return Ok(content) };
        let before = content.headers().iter().take(at);
        let (line, octet) = before
            .fold((self.line + 1, self.at), |(line, octet), header| (line + header.lines(), octet + header.len()));
        Err(ParseError { kind: ErrorKind::ContentType, line, octet })
    }

    /// What is wrong with content that begins with another line than a MIME header: most of all it lacks its type.
    #[cold]
    fn untyped(&self, content: &[u8], error: ParseError) -> ParseError {
        let mut lines = content.split(|octet| *octet == b'\n').take_while(|line| !line.trim_ascii().is_empty());
        let is_type = |line: &[u8]| {
            let name = line.get(..CONTENT_TYPE.len()).unwrap_or_default();
            name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) && line.get(CONTENT_TYPE.len()) == Some(&b':')
        };
        let untyped = error.kind == ErrorKind::MimeHeader && !lines.any(is_type);
        if untyped { self.no_content_type() } else { error }
    }

    fn no_content_type(&self) -> ParseError {
        ParseError { kind: ErrorKind::NoContentType, line: self.line + 1, octet: self.at }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NamespaceDeclaration as Ns;

    const CONTENT: &str = "\r\nContent-Type: text/plain\r\n\r\nhi";

    /// Code, line and octet of every fault, the last of which refuses the object if the flag is set.
    fn faults(headers: &str) -> (Vec<(&'static str, usize, usize)>, bool) {
        let octets = format!("{headers}{CONTENT}");
        let (result, deviations) = read(octets.as_bytes(), Profile::Base);
        let refused = result.as_ref().err().copied();
        let errors = deviations.iter().map(|deviation| deviation.error).chain(refused);
        (errors.map(|error| (error.kind.code(), error.line, error.octet)).collect(), refused.is_some())
    }

    // checks: MF-10, MF-11, MF-12, MF-13, MF-14, MF-15, MF-20, MF-34, MF-43
    #[test]
    fn rfc3862_s2_2_structural_faults_refuse_the_object() {
        for (headers, code, line, octet) in [
            ("A: b\n", "E_NOT_CRLF", 1, 4),
            ("A: b\r\nC: d\n", "E_NOT_CRLF", 2, 10),
            ("A: b\r\n c\r\n", "E_LEADING_WS", 2, 6),
            ("\tA: b\r\n", "E_LEADING_WS", 1, 0),
            ("A: b\tc\r\n", "E_CTL", 1, 4),
            ("A: b\u{7f}\r\n", "E_CTL", 1, 4),
            ("A: b\r\r\n", "E_CTL", 1, 4),
            ("A b\r\n", "E_NO_COLON", 1, 3),
            (": b\r\n", "E_BAD_NAME", 1, 0),
            ("A : b\r\n", "E_BAD_NAME", 1, 1),
            ("\u{feff}A: b\r\n", "E_BAD_NAME", 1, 0),
            ("A:; a=b c\r\n", "E_PARAM", 1, 2),
            ("A:;a=b;c d\r\n", "E_PARAM", 1, 6),
            ("From: a\r\n", "E_MAILBOX", 1, 6),
            ("cc: \"a<b:c>\r\n", "E_STRING", 1, 11),
            ("To: <b c:d>\r\n", "E_URI", 1, 6),
            ("NS: a.b <urn:x:y>\r\n", "E_NS", 1, 4),
            ("NS:p <urn:x:y>\r\n", "E_NO_SP", 1, 3),
            ("Require: A,b c\r\n", "E_REQUIRE_SYNTAX", 1, 11),
            ("Require: A,p.b\r\n", "E_PREFIX_UNDECLARED", 1, 11),
            ("Require: p.b\r\nNS: p <urn:x:y>\r\n", "E_PREFIX_UNDECLARED", 1, 9),
        ] {
            assert_eq!(faults(headers), (vec![(code, line, octet)], true), "{headers:?}");
        }
        let (result, _) = read(b"A: \xc0\xaf\r\n\r\n", Profile::Base);
        assert_eq!(result.map_err(|error| (error.kind, error.octet)).err(), Some((ErrorKind::Utf8, 3)));
    }

    // checks: MF-18, MF-22, MF-25, MF-28, MF-46, MF-47
    #[test]
    fn rfc3862_s2_2_other_faults_are_read_past_and_told() {
        for (headers, code, line, octet) in [
            ("A: b \r\n", "E_TRAILING_WS", 1, 4),
            ("A:  b\r\n", "E_EXTRA_SP", 1, 3),
            ("A: \r\n", "E_EMPTY_VALUE", 1, 3),
            ("A:b\r\n", "E_NO_SP", 1, 2),
            ("Subject:;lang=fr\r\n", "E_NO_SP", 1, 16),
            ("Subject:;lang=f_r x\r\n", "E_LANG", 1, 8),
            ("Subject:;lang=fr;a=b x\r\n", "E_PARAM_NOT_ALLOWED", 1, 16),
            ("From:;lang=fr <a:b>\r\n", "E_PARAM_NOT_ALLOWED", 1, 5),
            ("DateTime: 2004-02-28T00:00:00\r\n", "E_DATETIME", 1, 29),
            ("a.b.c: d\r\n", "E_BAD_NAME", 1, 0),
            ("p.a: d\r\n", "E_PREFIX_UNDECLARED", 1, 0),
            ("NS: p<urn:x:y>\r\n", "E_NS", 1, 5),
            ("NS: p <urn:x:y>\r\nNS: p <urn:x:z>\r\n", "E_NS_REDECLARED", 2, 21),
            ("Require: A, B\r\n", "E_REQUIRE_SYNTAX", 1, 11),
            ("Require: A,,B\r\n", "E_REQUIRE_SYNTAX", 1, 11),
            ("To: Al<a:b>\r\n", "E_MAILBOX", 1, 4),
        ] {
            assert_eq!(faults(headers), (vec![(code, line, octet)], false), "{headers:?}");
        }
    }

    // checks: MF-03, CPM-004, X-09
    #[test]
    fn rfc3862_s2_4_the_content_has_a_type_after_a_blank_line() {
        let error = |octets: &str| read(octets.as_bytes(), Profile::Base).0.unwrap_err();
        let missing = error("A: b\r\n\r\nContent-ID: <a@b>\r\n\r\nhi");
        assert_eq!((missing.kind, missing.line, missing.octet), (ErrorKind::NoContentType, 3, 8));
        assert_eq!(error("A: b\r\n\r\n").kind, ErrorKind::NoContentType);
        let typed = |types: &str| {
            let error = error(&format!("A: b\r\n\r\nX: y\r\n z\r\n{types}\r\nhi"));
            (error.kind, error.line, error.octet)
        };
        assert_eq!(typed("Content-Type: garbage\r\n"), (ErrorKind::ContentType, 5, 18));
        assert_eq!(typed("Content-Type:\r\n"), (ErrorKind::ContentType, 5, 18));
        assert_eq!(typed("Content-Type: a/b\r\ncontent-type: a/b\r\n"), (ErrorKind::ContentType, 6, 37));
        assert_eq!(error("A: b\r\n").kind, ErrorKind::NoSeparator);
        assert_eq!(error("").kind, ErrorKind::NoSeparator);
        // RFC 5438 §7.2.1.1: its example lacks the blank line, so that its Content-type is a message header.
        let example = error("From: <im:b@c>\r\nContent-type: message/imdn+xml\r\n\r\n<imdn>\r\n</imdn>");
        assert_eq!((example.kind, example.line), (ErrorKind::NoContentType, 4));
        assert_eq!(error("A: b\r\n\r\nhello world").kind, ErrorKind::NoContentType);
        let typed = error("A: b\r\n\r\nContent-Type: text/plain\r\nhello\r\n\r\nhi");
        assert_eq!((typed.kind, typed.line), (ErrorKind::MimeHeader, 4));
    }

    // checks: MF-41, MF-42, MF-44, MF-45, MF-46, CPM-005
    #[test]
    fn rfc3862_s3_4_names_mean_what_was_declared_before_them() {
        let octets = format!(
            "NS: p <urn:x:1>\r\np.A: 1\r\nNS: <urn:x:2>\r\nFrom: not core\r\nNS: c <{0}>\r\nc.Subject: core\r\n\
             Require: B,p.C\r\nNS: p <urn:x:3>\r\np.A: 3\r\n{CONTENT}",
            namespace::CPIM
        );
        let (result, deviations) = read(octets.as_bytes(), Profile::Base);
        let message = result.unwrap();
        let meanings: Vec<_> = message.headers().iter().map(|header| header.namespace().unwrap()).collect();
        let core = namespace::CPIM;
        assert_eq!(meanings, [core, "urn:x:1", core, "urn:x:2", core, core, core, core, "urn:x:3"]);
        assert_eq!((message.from(), message.subjects().count()), (None, 1));
        let required = [("urn:x:2", "B"), ("urn:x:1", "C")].map(|(namespace, name)| Requirement { namespace, name });
        assert_eq!(message.required(), required);
        assert_eq!(message.namespaces().first(), Some(&Ns { prefix: Some("p"), uri: "urn:x:1" }));
        assert_eq!(deviations.len(), 1, "p is declared twice");
    }

    // checks: MF-16
    #[test]
    fn limits_are_on_the_object_and_not_on_its_lines() {
        let long = format!("Subject: {}\r\n{CONTENT}", "x".repeat(1 << 20));
        assert!(read(long.as_bytes(), Profile::Base).0.is_ok());
        let kind = |octets: String| read(octets.as_bytes(), Profile::Base).0.unwrap_err().kind;
        assert_eq!(kind("x".repeat(MAX_OBJECT + 1)), ErrorKind::TooLong { limit: MAX_OBJECT });
        assert_eq!(kind("A: b\r\n".repeat(MAX_HEADERS + 1)), ErrorKind::TooMany { limit: MAX_HEADERS });
        let declarations = "NS: <urn:x:y>\r\n".repeat(MAX_NAMESPACES + 1);
        assert_eq!(kind(declarations), ErrorKind::TooMany { limit: MAX_NAMESPACES });
        assert!(read(format!("A:{} b\r\n{CONTENT}", ";c=d".repeat(MAX_PARAMS)).as_bytes(), Profile::Base).0.is_ok());
        let params = format!("A:{} b\r\n", ";c=d".repeat(MAX_PARAMS + 1));
        assert_eq!(kind(params), ErrorKind::TooMany { limit: MAX_PARAMS });
        let required = format!("Require: {}a\r\n", "a,".repeat(MAX_REQUIREMENTS));
        assert_eq!(kind(required), ErrorKind::TooMany { limit: MAX_REQUIREMENTS });
    }
}
