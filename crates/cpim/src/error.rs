//! Why octets are not a message/cpim object, and what a gateway does about it.

use crate::header::CoreHeader;

/// A place where octets differ from RFC 3862.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, octet {octet}: {kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The line, counted from 1.
    pub line: usize,
    /// Octets before the fault, counted from the start of the object.
    pub octet: usize,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// RFC 3862 §2.2.
    #[error("the line ends with LF alone: end every line with CR LF")]
    NotCrlf,
    /// RFC 3862 §2.
    #[error("the object ends before the blank line that follows the message headers")]
    NoSeparator,
    /// RFC 3862 §2.2: folding included.
    #[error("the line begins with white space: message headers are not folded nor indented")]
    LeadingSpace,
    /// RFC 3862 §2.2.
    #[error("the value ends with a space")]
    TrailingSpace,
    /// RFC 3862 §2.2.
    #[error("more than one space before the value")]
    ExtraSpace,
    /// RFC 3862 §2.2, §3.6.
    #[error("the value is empty")]
    EmptyValue,
    /// RFC 3862 §2.2, §2.3.
    #[error("a control character must be escaped")]
    Control,
    /// RFC 3862 §2.2, RFC 3629 §4.
    #[error("not well-formed UTF-8")]
    Utf8,
    /// RFC 3862 §2.2.
    #[error("the line has no colon, so it is no header")]
    NoColon,
    /// RFC 3862 §3.1.
    #[error("not a header name: [prefix \".\"] name, without spaces or separators")]
    HeaderName,
    /// RFC 3862 §2.2.
    #[error("a single space must stand before the value")]
    NoSpace,
    /// RFC 3862 §3.6.
    #[error("malformed parameter: ;name=token or ;name=\"string\"")]
    Parameter,
    /// RFC 3862 §4.
    #[error("this header does not take this parameter")]
    ParameterNotAllowed,
    /// RFC 3066 §2.1.
    #[error("malformed language tag")]
    Language,
    /// RFC 3862 §4.1.
    #[error("not an address: [formal name] <URI>")]
    Mailbox,
    /// RFC 3862 §3.6.
    #[error("the quoted string has no end")]
    String,
    /// RFC 3862 §3.6, RFC 2396 §3.
    #[error("not an absolute URI without fragment")]
    Uri,
    /// RFC 3862 §4.4.
    #[error("not a date-time of RFC 3339")]
    DateTime,
    /// RFC 3862 §4.6.
    #[error("not a namespace declaration: [prefix] <URI>")]
    Namespace,
    /// RFC 3862 §3.4.
    #[error("the prefix is declared twice")]
    NamespaceRedeclared,
    /// RFC 3862 §3.4.
    #[error("the prefix is used before any NS header declares it")]
    PrefixUndeclared,
    /// RFC 3862 §4.7.
    #[error("not a list of header names separated by commas alone")]
    RequireSyntax,
    /// RFC 2045 §3.
    #[error("the content has a line before its blank line that is no MIME header")]
    MimeHeader,
    /// RFC 3862 §2.4.
    #[error("the content has no Content-Type")]
    NoContentType,
    /// RFC 3862 §2.4, RFC 2045 §5.1: another than one media type.
    #[error("the Content-Type of the content is no media type, or stands there twice")]
    ContentType,
    /// The profile demands a header that is not there.
    #[error("the {0} header is missing")]
    MissingHeader(CoreHeader),
    /// The profile allows a header once.
    #[error("the {0} header stands there twice")]
    RepeatedHeader(CoreHeader),
    /// The outer MIME headers announce something else.
    #[error("not a message/cpim object, signed or enveloped object")]
    NotCpim,
    /// RFC 3862 §7.1: an outer transfer encoding that cannot be reversed.
    #[error("the transfer encoding cannot be reversed")]
    TransferEncoding,
    /// RFC 1847 §2.1.
    #[error("multipart/signed without two parts between its boundaries")]
    SignedParts,
    /// A local limit.
    #[error("longer than {limit} octets")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A local limit.
    #[error("more than {limit} headers, parameters, namespaces or required names")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl ErrorKind {
    /// The code of the error, stable for scripts.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotCrlf => "E_NOT_CRLF",
            Self::NoSeparator => "E_NO_SEPARATOR",
            Self::LeadingSpace => "E_LEADING_WS",
            Self::TrailingSpace => "E_TRAILING_WS",
            Self::ExtraSpace => "E_EXTRA_SP",
            Self::EmptyValue => "E_EMPTY_VALUE",
            Self::Control => "E_CTL",
            Self::Utf8 => "E_UTF8",
            Self::NoColon => "E_NO_COLON",
            Self::HeaderName => "E_BAD_NAME",
            Self::NoSpace => "E_NO_SP",
            Self::Parameter => "E_PARAM",
            Self::ParameterNotAllowed => "E_PARAM_NOT_ALLOWED",
            Self::Language => "E_LANG",
            Self::Mailbox => "E_MAILBOX",
            Self::String => "E_STRING",
            Self::Uri => "E_URI",
            Self::DateTime => "E_DATETIME",
            Self::Namespace => "E_NS",
            Self::NamespaceRedeclared => "E_NS_REDECLARED",
            Self::PrefixUndeclared => "E_PREFIX_UNDECLARED",
            Self::RequireSyntax => "E_REQUIRE_SYNTAX",
            Self::MimeHeader => "E_MIME",
            Self::NoContentType => "E_NO_CONTENT_TYPE",
            Self::ContentType => "E_CONTENT_TYPE",
            Self::MissingHeader(_) => "E_MISSING_HEADER",
            Self::RepeatedHeader(_) => "E_DUP_HEADER",
            Self::NotCpim => "E_NOT_CPIM",
            Self::TransferEncoding => "E_TRANSFER_ENCODING",
            Self::SignedParts => "E_SIGNED_PARTS",
            Self::TooLong { .. } => "E_TOO_LONG",
            Self::TooMany { .. } => "E_TOO_MANY",
        }
    }

    /// Whether the fault is in one line of the message headers, rather than in the object as a whole or its content.
    pub fn is_of_a_line(self) -> bool {
        !matches!(
            self,
            Self::MimeHeader
                | Self::NoContentType
                | Self::ContentType
                | Self::MissingHeader(_)
                | Self::RepeatedHeader(_)
                | Self::NotCpim
                | Self::TransferEncoding
                | Self::SignedParts
                | Self::TooLong { .. }
        )
    }
}

/// A place where an object differs from RFC 3862 and that a gateway reads nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// What is wrong, and where.
    pub error: ParseError,
    /// How it is read.
    pub remedy: Remedy,
}

/// How an interpreter reads what differs from RFC 3862; the octets stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// A space at the end, or several at the start, is not part of the value.
    DropSpace,
    /// The value is the empty text.
    EmptyValue,
    /// The missing space counts as there.
    AssumeSpace,
    /// The parameter is not looked at.
    IgnoreParameter,
    /// The language belongs to the formal name.
    LanguageOfName,
    /// The header is not looked at.
    IgnoreHeader,
    /// The header counts as unknown.
    Unrecognised,
    /// Everything before `<` is the formal name.
    LooseName,
    /// Brackets in the URI are those of RFC 3986.
    Rfc3986,
    /// The URI is an IRI; its octets beyond ASCII are percent-encoded when written.
    Iri,
    /// The prefix counts although no space follows it.
    AssumePrefix,
    /// Declarations hold from their line on.
    SequentialScope,
    /// Spaces around the commas are not part of the names.
    TrimNames,
    /// An empty element names nothing.
    SkipElement,
    /// The first header counts; for Subject the first without language.
    UseFirst,
}

impl Remedy {
    /// The remedy in words, beginning with `accept` when the header's value is used.
    pub fn text(self) -> &'static str {
        match self {
            Self::DropSpace => "accept, ignore the surplus space for interpretation",
            Self::EmptyValue => "accept, value \"\"",
            Self::AssumeSpace => "accept as if the space were there; preserve octets",
            Self::IgnoreParameter => "accept, ignore the parameter",
            Self::LanguageOfName => "accept; lang applies to the Formal-name",
            Self::IgnoreHeader => "ignore the header",
            Self::Unrecognised => "treat as unrecognised header",
            Self::LooseName => "accept: everything before \"<\" is the display name",
            Self::Rfc3986 => "accept (RFC3986 syntax)",
            Self::Iri => "accept as IRI and percent-encode when generating",
            Self::AssumePrefix => "accept as prefix",
            Self::SequentialScope => "accept, sequential scoping",
            Self::TrimNames => "accept, ignore the spaces around names",
            Self::SkipElement => "accept, skip empty element",
            Self::UseFirst => "accept, use first",
        }
    }
}
