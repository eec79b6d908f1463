//! What `inspect cpim` prints: one object with its faults, in the names of the project's test vectors.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::error::{Deviation, ParseError};
use crate::imdn::ImdnHeaders;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::mime::Entity;
use crate::object::{Class, Package, SignedPart};
use crate::profile::Profile;

/// One object as it is seen by a strict reader and by a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpimReport {
    /// `body` when the object stood alone, `mime` under MIME headers, `smime` when signed or enveloped.
    pub framing: &'static str,
    /// `plain`, `signed` or `opaque`.
    pub class: &'static str,
    /// Octets of the input.
    pub length: usize,
    /// What a relay does, for every object.
    pub relay: &'static str,
    /// The letter of RFC 3862; absent for protected objects, which are not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<StrictReport>,
    /// What a gateway does that has to interpret an object with faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended: Option<String>,
    /// The message headers, as a gateway reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parsed: Option<ParsedReport>,
    /// The encapsulated entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentReport>,
    /// The class of the encapsulated entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_class: Option<&'static str>,
    /// What the signature covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_part: Option<SignedPartReport>,
    /// The signed object, to look at only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parsed_inner: Option<InnerReport>,
    /// Every fault with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultReport>,
}

/// Whether an object satisfies RFC 3862 and the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StrictReport {
    /// `ok` or `error`.
    pub result: &'static str,
    /// The code of the first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// Its line, when the fault is one of a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// The code.
    pub error: &'static str,
    /// The line, counted from 1.
    pub line: usize,
    /// Octets before it.
    pub position: usize,
    /// The fault in words.
    pub text: String,
    /// How it is read nevertheless, or `reject`.
    pub recommended: &'static str,
}

/// The message headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParsedReport {
    /// All, in order.
    pub headers: Vec<HeaderReport>,
    /// From.
    pub from: Vec<MailboxReport>,
    /// To.
    pub to: Vec<MailboxReport>,
    /// cc.
    pub cc: Vec<MailboxReport>,
    /// DateTime, as written.
    pub date_time: Vec<String>,
    /// Subject.
    pub subjects: Vec<SubjectReport>,
    /// NS.
    pub namespaces: Vec<NamespaceReport>,
    /// Require.
    pub require: Vec<RequirementReport>,
    /// Names of the headers outside the core set, as written.
    pub unrecognised: Vec<String>,
    /// The headers of RFC 5438.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imdn: Option<ImdnReport>,
}

/// One message header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderReport {
    /// As written.
    pub prefix: Option<String>,
    /// Without prefix.
    pub name: String,
    /// The namespace's URI, if the prefix has one.
    pub ns: Option<String>,
    /// Names and decoded values.
    pub params: Vec<(String, String)>,
    /// As written.
    pub value: String,
    /// Without escapes.
    pub decoded: String,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailboxReport {
    /// The name, decoded.
    pub formal_name: Option<String>,
    /// As written.
    pub uri: String,
}

/// A subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubjectReport {
    /// The language tag.
    pub lang: Option<String>,
    /// Decoded.
    pub text: String,
}

/// A namespace declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamespaceReport {
    /// `null` for the default namespace.
    pub prefix: Option<String>,
    /// As written.
    pub uri: String,
}

/// A required name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequirementReport {
    /// The URI of its namespace.
    pub ns: String,
    /// Its name there.
    pub name: String,
}

/// The headers of RFC 5438.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImdnReport {
    /// Message-ID.
    pub message_id: Option<String>,
    /// The values of Disposition-Notification in order, without parameters.
    pub disposition: Vec<String>,
    /// Original-To.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_to: Option<MailboxReport>,
    /// IMDN-Record-Route, top first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub record_route: Vec<MailboxReport>,
    /// IMDN-Route, top first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<MailboxReport>,
    /// What is wrong with them, in words; RFC 3862 has nothing against it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// The encapsulated entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContentReport {
    /// Names and unfolded values.
    pub headers: Vec<(String, String)>,
    /// Octets of the body.
    pub body_length: usize,
    /// The body, in its own transfer encoding.
    pub body_b64: String,
    /// The body as text, if it is UTF-8.
    pub body_text: Option<String>,
}

/// Where the signed octets stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedPartReport {
    /// Octets before them.
    pub offset: usize,
    /// Their number.
    pub length: usize,
}

/// The object inside a signed one, in pairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InnerReport {
    /// Formal name and URI.
    pub from: Vec<(Option<String>, String)>,
    /// Formal name and URI.
    pub to: Vec<(Option<String>, String)>,
    /// As written.
    pub date_time: Vec<String>,
    /// Language and text.
    pub subjects: Vec<(Option<String>, String)>,
    /// The body.
    pub body_b64: String,
}

impl CpimReport {
    /// Reads `octets`, alone or under MIME headers, and reports what was found; returns for any input.
    pub fn inspect(octets: &[u8], profile: Profile) -> Self {
        if !Package::begins(octets) {
            return Self::new("body", octets.len(), Class::Plain).judged(octets, profile);
        }
        match Package::parse(octets) {
            Ok(package) => Self::packaged(&package, profile),
            Err(error) => Self::new("mime", octets.len(), Class::Plain).refused(error),
        }
    }

    fn new(framing: &'static str, length: usize, class: Class) -> Self {
        Self {
            framing,
            class: class.label(),
            length,
            relay: "forward-octets-unchanged",
            strict: None,
            recommended: None,
            parsed: None,
            content: None,
            content_class: None,
            signed_part: None,
            parsed_inner: None,
            faults: Vec::new(),
        }
    }

    fn packaged(package: &Package<'_>, profile: Profile) -> Self {
        let length = package.octets().len();
        match package.class() {
            Class::Plain => {
                let report = Self::new("mime", length, Class::Plain);
                match package.object() {
                    Ok(object) => report.judged(&object, profile),
                    Err(error) => report.refused(error),
                }
            }
            Class::Opaque => Self::new("smime", length, Class::Opaque),
            Class::Signed => {
                let report = Self::new("smime", length, Class::Signed);
                match package.signed_part() {
                    Ok(part) => report.signed(part, profile),
                    Err(error) => report.refused(error),
                }
            }
        }
    }

    fn signed(mut self, part: SignedPart<'_>, profile: Profile) -> Self {
        self.signed_part = Some(SignedPartReport { offset: part.offset, length: part.octets.len() });
        let object = Package::parse(part.octets).and_then(|inner| inner.object());
        let Ok(object) = object else { return self };
        let read = Message::interpret(&object, profile);
        // What is inside is looked at, and judged only where a profile has a rule for protected objects.
        if let Some(error) = profile.protected(&read) {
            self = self.refused(error);
        }
        self.parsed_inner = read.ok().map(|(message, _)| inner(&message));
        self
    }

    fn judged(mut self, object: &[u8], profile: Profile) -> Self {
        let (result, deviations) = crate::read::read(object, profile);
        self.faults = deviations.iter().map(deviation).collect();
        let first = deviations.first().map(|deviation| deviation.error);
        match result {
            Ok(message) => {
                self.strict = Some(strict(first));
                self.recommended = deviations.first().map(|deviation| recommended(deviation).to_owned());
                self.parsed = Some(parsed(&message));
                self.content = Some(content(message.content()));
                self.content_class = Some(message.content().class().label());
                self
            }
            Err(error) => {
                let mut report = self.refused(error);
                report.strict = Some(strict(first.or(Some(error))));
                report
            }
        }
    }

    fn refused(mut self, error: ParseError) -> Self {
        self.strict = Some(strict(Some(error)));
        self.recommended = Some(REJECT.to_owned());
        self.faults.push(fault(error, REJECT));
        self
    }
}

const REJECT: &str = "reject";

fn strict(error: Option<ParseError>) -> StrictReport {
    StrictReport {
        result: if error.is_some() { "error" } else { "ok" },
        error: error.map(|error| error.kind.code()),
        line: error.filter(|error| error.kind.is_of_a_line()).map(|error| error.line),
    }
}

fn deviation(deviation: &Deviation) -> FaultReport {
    fault(deviation.error, recommended(deviation))
}

fn recommended(deviation: &Deviation) -> &'static str {
    deviation.remedy.text()
}

fn fault(error: ParseError, recommended: &'static str) -> FaultReport {
    let ParseError { kind, line, octet } = error;
    FaultReport { error: kind.code(), line, position: octet, text: kind.to_string(), recommended }
}

fn parsed(message: &Message<'_>) -> ParsedReport {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let unrecognised = message.headers().iter().filter(|header| header.core().is_none());
    ParsedReport {
        headers: message.headers().iter().map(header).collect(),
        from: message.froms().map(mailbox).collect(),
        to: message.to().map(mailbox).collect(),
        cc: message.cc().map(mailbox).collect(),
        date_time: message.date_times().map(str::to_owned).collect(),
        subjects: message
            .subjects()
            .map(|subject| SubjectReport { lang: owned(subject.language), text: subject.text.into_owned() })
            .collect(),
        namespaces: message
            .namespaces()
            .iter()
            .map(|declaration| NamespaceReport { prefix: owned(declaration.prefix), uri: declaration.uri.to_owned() })
            .collect(),
        require: message
            .required()
            .iter()
            .map(|required| RequirementReport { ns: required.namespace.to_owned(), name: required.name.to_owned() })
            .collect(),
        unrecognised: unrecognised.map(crate::Header::qualified_name).collect(),
        imdn: imdn(message),
    }
}

fn header(header: &crate::Header<'_>) -> HeaderReport {
    HeaderReport {
        prefix: header.prefix().map(str::to_owned),
        name: header.name().to_owned(),
        ns: header.namespace().map(str::to_owned),
        params: header.params().map(|param| (param.name.to_owned(), param.value().into_owned())).collect(),
        value: header.raw_value().to_owned(),
        decoded: header.value().into_owned(),
    }
}

fn mailbox(mailbox: Mailbox<'_>) -> MailboxReport {
    MailboxReport { formal_name: mailbox.formal_name.map(Cow::into_owned), uri: mailbox.uri.into_owned() }
}

fn imdn(message: &Message<'_>) -> Option<ImdnReport> {
    let headers = ImdnHeaders::of(message)?;
    Some(ImdnReport {
        message_id: headers.message_id.map(Cow::into_owned),
        disposition: headers.values,
        original_to: headers.original_to.map(mailbox),
        record_route: headers.record_route.into_iter().map(mailbox).collect(),
        route: headers.route.into_iter().map(mailbox).collect(),
        faults: headers.faults.iter().map(ToString::to_string).collect(),
    })
}

fn content(entity: &Entity<'_>) -> ContentReport {
    let headers = entity.headers().iter().map(|header| (header.name().to_owned(), header.value().into_owned()));
    ContentReport {
        headers: headers.collect(),
        body_length: entity.body().len(),
        body_b64: BASE64_STANDARD.encode(entity.body()),
        body_text: std::str::from_utf8(entity.body()).ok().map(str::to_owned),
    }
}

fn inner(message: &Message<'_>) -> InnerReport {
    let pair = |mailbox: Mailbox<'_>| (mailbox.formal_name.map(Cow::into_owned), mailbox.uri.into_owned());
    InnerReport {
        from: message.froms().map(pair).collect(),
        to: message.to().map(pair).collect(),
        date_time: message.date_times().map(str::to_owned).collect(),
        subjects: message
            .subjects()
            .map(|subject| (subject.language.map(str::to_owned), subject.text.into_owned()))
            .collect(),
        body_b64: BASE64_STANDARD.encode(message.content().body()),
    }
}
