//! A new object, composed from parts.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use impp_model::DateTime;

use crate::header::CoreHeader;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::mime::{CONTENT_TYPE, Entity};
use crate::namespace::CPIM;
use crate::write::{WriteError, Writer, check_mime, put_entity};

/// An object to be written, in the order From, To, cc, DateTime, Subject, NS, Require, others.
///
/// ```
/// use cpim::{Draft, Mailbox, Message, Profile};
///
/// let mut draft = Draft::with_content("text/plain; charset=utf-8", &[], "Hi".as_bytes())?;
/// draft.from = Some(Mailbox::new("im:juliet@example.com"));
/// draft.to.push(Mailbox::new("im:romeo@example.net").with_name("Romeo"));
/// let octets = draft.encode()?;
/// let message = Message::parse(&octets, Profile::Gateway).expect("what is written by the letter reads by the letter");
/// assert_eq!(message.content().body(), b"Hi");
/// # Ok::<(), cpim::WriteError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The originator.
    pub from: Option<Mailbox<'static>>,
    /// The recipients.
    pub to: Vec<Mailbox<'static>>,
    /// The recipients of copies.
    pub cc: Vec<Mailbox<'static>>,
    /// When it is sent.
    pub date_time: Option<DateTime>,
    /// Language and text.
    pub subjects: Vec<(Option<String>, String)>,
    /// Prefix and URI; each prefix once.
    pub namespaces: Vec<(Option<String>, String)>,
    /// What the recipient has to understand; prefixes are those of `namespaces`.
    pub require: Vec<QualifiedName>,
    /// Headers of other namespaces, and unknown ones.
    pub others: Vec<OtherHeader>,
    /// The whole MIME entity, whose octets are not touched.
    pub content: Bytes,
}

/// A header name with the prefix that [`Draft::namespaces`] declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedName {
    /// `None` for the default namespace.
    pub prefix: Option<String>,
    /// The name.
    pub name: String,
}

/// A header outside the core set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherHeader {
    /// Its name.
    pub name: QualifiedName,
    /// Names and decoded values of its parameters.
    pub params: Vec<(String, String)>,
    /// Its value.
    pub value: OtherValue,
}

/// The value of a header outside the core set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherValue {
    /// Text that is escaped when written.
    Text(String),
    /// An address.
    Mailbox(Mailbox<'static>),
    /// A value whose own syntax has strings and escapes, kept as it was read.
    Escaped(String),
}

impl QualifiedName {
    /// A name with its prefix.
    pub fn new(prefix: impl Into<String>, name: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), name: name.into() }
    }

    /// A name of the default namespace.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { prefix: None, name: name.into() }
    }
}

impl OtherHeader {
    /// A header of text without parameters.
    pub fn text(name: QualifiedName, text: impl Into<String>) -> Self {
        Self { name, params: Vec::new(), value: OtherValue::Text(text.into()) }
    }

    /// A header that holds an address.
    pub fn mailbox(name: QualifiedName, mailbox: Mailbox<'static>) -> Self {
        Self { name, params: Vec::new(), value: OtherValue::Mailbox(mailbox) }
    }
}

impl Draft {
    /// A draft without headers around new content.
    pub fn with_content(content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Self, WriteError> {
        check_mime(content_type, headers)?;
        let mut content = BytesMut::with_capacity(content_type.len() + body.len() + 64);
        put_entity(&mut content, content_type, headers, body);
        Ok(Self { content: content.freeze(), ..Self::default() })
    }

    /// A draft without headers around an existing object, whose octets stay as they are.
    ///
    /// This is how to change what an object says: it is the content of a new one (RFC 3862 §6). `packaged` tells that
    /// the octets begin with MIME headers of their own, as signed objects do.
    pub fn around(object: &[u8], packaged: bool) -> Self {
        if packaged {
            return Self { content: Bytes::copy_from_slice(object), ..Self::default() };
        }
        let mut content = BytesMut::with_capacity(object.len() + 32);
        put_entity(&mut content, MEDIA_TYPE, &[], object);
        Self { content: content.freeze(), ..Self::default() }
    }

    /// A new object that says what `message` says, with prefixes of its own and the same content octets.
    ///
    /// It is another object: signatures over the old one do not cover it. Passed over are ignored headers, those
    /// whose prefix was never declared, empty values, and all but the first From and DateTime. An IRI becomes the URI that is
    /// written for it (RFC 3987 §3.1).
    pub fn like(message: &Message<'_>) -> Self {
        let mut names = Prefixes::declared_by(message);
        let require = message.required().iter().map(|required| names.name(required.namespace, required.name)).collect();
        let own = message.headers().iter().filter(|header| header.core().is_none() && !header.is_ignored());
        let mut others = Vec::new();
        for header in own.filter(|header| !header.raw_value().is_empty()) {
            let Some(namespace) = header.namespace() else { continue };
            let params = header.params().map(|param| (param.name.to_owned(), param.value().into_owned())).collect();
            let value = OtherValue::Escaped(header.raw_value().to_owned());
            others.push(OtherHeader { name: names.name(namespace, header.name()), params, value });
        }
        let subjects = message.subjects().filter(|subject| !crate::representable(&subject.text).is_empty());
        let subjects = subjects
            .map(|subject| (subject.language.map(str::to_owned), crate::representable(&subject.text).to_owned()));
        Self {
            from: message.from().map(Mailbox::into_uri),
            to: message.to().map(Mailbox::into_uri).collect(),
            cc: message.cc().map(Mailbox::into_uri).collect(),
            // RFC 3339 §5.6: T and Z are written as capitals.
            date_time: message
                .date_time()
                .map(|time| DateTime::parse(&time.as_str().to_ascii_uppercase()).unwrap_or(time)),
            subjects: subjects.collect(),
            namespaces: names.0.into_iter().map(|(uri, prefix)| (Some(prefix), uri)).collect(),
            require,
            others,
            content: Bytes::copy_from_slice(message.content().octets()),
        }
    }

    /// The object's octets.
    ///
    /// # Errors
    ///
    /// The first part that RFC 3862 cannot express.
    pub fn encode(&self) -> Result<BytesMut, WriteError> {
        let mut out = BytesMut::with_capacity(self.content.len() + 512);
        self.encode_with(Writer::new(&mut out))?;
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.content);
        Ok(out)
    }

    /// Writes the message headers.
    pub fn encode_with(&self, mut writer: Writer<'_>) -> Result<(), WriteError> {
        self.check()?;
        if let Some(from) = &self.from {
            writer.from(from)?;
        }
        self.to.iter().try_for_each(|to| writer.to(to))?;
        self.cc.iter().try_for_each(|cc| writer.cc(cc))?;
        if let Some(time) = &self.date_time {
            writer.date_time(time);
        }
        self.subjects.iter().try_for_each(|(language, text)| writer.subject(language.as_deref(), text))?;
        self.namespaces.iter().try_for_each(|(prefix, uri)| writer.namespace(prefix.as_deref(), uri))?;
        if !self.require.is_empty() {
            writer.require(self.require.iter().map(|name| (name.prefix.as_deref(), name.name.as_str())))?;
        }
        for OtherHeader { name, params, value } in &self.others {
            let prefix = name.prefix.as_deref();
            match value {
                OtherValue::Text(text) => writer.header(prefix, &name.name, text)?,
                OtherValue::Mailbox(mailbox) => writer.mailbox(prefix, &name.name, mailbox)?,
                OtherValue::Escaped(value) => writer.escaped_header(prefix, &name.name, params, value)?,
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), WriteError> {
        // RFC 3862 §3.4: declared before it is used, and here exactly once.
        let declared = |prefix: &Option<String>| self.namespaces.iter().filter(|(other, _)| other == prefix).count();
        if self.namespaces.iter().any(|(prefix, _)| declared(prefix) != 1) {
            return Err(WriteError::Prefix);
        }
        let mut used = self.require.iter().chain(self.others.iter().map(|other| &other.name));
        if used.any(|name| name.prefix.is_some() && declared(&name.prefix) != 1) {
            return Err(WriteError::Prefix);
        }
        // A core header among the others would escape the checks of its syntax.
        let core = |other: &OtherHeader| self.is_core(&other.name);
        if self.others.iter().any(core) {
            return Err(WriteError::HeaderName);
        }
        let content = Entity::parse(&self.content).map_err(|_| WriteError::Content)?;
        content.header(CONTENT_TYPE).map(|_| ()).ok_or(WriteError::Content)
    }

    fn is_core(&self, name: &QualifiedName) -> bool {
        let uri = self.namespaces.iter().find(|(prefix, _)| *prefix == name.prefix).map(|(_, uri)| uri.as_str());
        let framework = name.prefix.is_none() && matches!(name.name.as_str(), "NS" | "Require");
        framework || (CoreHeader::named(&name.name).is_some() && uri.is_none_or(|uri| uri == CPIM))
    }
}

/// URIs and the prefix of each.
struct Prefixes(BTreeMap<String, String>);

impl Prefixes {
    /// The prefixes of a message, as far as each stands for one URI and each URI has one.
    fn declared_by(message: &Message<'_>) -> Self {
        let mut prefixes = Self(BTreeMap::new());
        for declaration in message.namespaces() {
            if let Some(prefix) = declaration.prefix.filter(|prefix| !prefixes.taken(prefix)) {
                prefixes.0.entry(declaration.uri.to_owned()).or_insert_with(|| prefix.to_owned());
            }
        }
        prefixes
    }

    fn name(&mut self, namespace: &str, name: &str) -> QualifiedName {
        if namespace == CPIM {
            return QualifiedName::plain(name);
        }
        if let Some(prefix) = self.0.get(namespace) {
            return QualifiedName::new(prefix, name);
        }
        let fresh = (1..).map(|number| format!("n{number}")).find(|prefix| !self.taken(prefix)).unwrap_or_default();
        self.0.insert(namespace.to_owned(), fresh.clone());
        QualifiedName::new(fresh, name)
    }

    fn taken(&self, prefix: &str) -> bool {
        self.0.values().any(|other| other == prefix)
    }
}

/// The media type of the objects of this crate, in the RFC's spelling.
pub const MEDIA_TYPE: &str = "Message/CPIM";
