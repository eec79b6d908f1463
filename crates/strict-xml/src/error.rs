//! Why input is refused, where, and which stream error tells the peer.

/// Refused input: what is wrong, and at which octet of the element or stream tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at octet {offset}")]
pub struct XmlError {
    /// What is wrong.
    pub kind: XmlErrorKind,
    /// Octets before the fault, counted from the start of the element (or of the stream, before its first element).
    pub offset: usize,
}

/// What is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlErrorKind {
    /// RFC 6120 §11.6.
    #[error("text is not UTF-8")]
    Utf8,
    /// The XML declaration names an encoding other than UTF-8.
    #[error("encoding is not UTF-8")]
    Encoding,
    /// RFC 6120 §11.5.
    #[error("version is not 1.x")]
    Version,
    /// XML 1.0 §2.2.
    #[error("character is not allowed in XML")]
    Char,
    /// A start, end or empty tag that XML 1.0 §3.1 does not allow.
    #[error("malformed tag")]
    Tag,
    /// Not an `NCName`, or more than one colon.
    #[error("malformed name")]
    Name,
    /// The end tag names another element.
    #[error("end tag does not match")]
    EndTag,
    /// `<` in an attribute value.
    #[error("'<' in an attribute value")]
    LessThanInAttribute,
    /// XML 1.0 §2.4.
    #[error("']]>' in text")]
    CdataEndInText,
    /// `&` that begins no complete reference.
    #[error("malformed reference")]
    Reference,
    /// RFC 6120 §11.1: a reference to an entity other than the five.
    #[error("entity reference")]
    Entity,
    /// The same attribute twice, after namespace expansion.
    #[error("duplicate attribute")]
    DuplicateAttribute,
    /// A prefix without declaration.
    #[error("undeclared prefix")]
    UndeclaredPrefix,
    /// `xmlns:p=''`, or `xml` and `xmlns` bound otherwise than reserved.
    #[error("illegal namespace declaration")]
    NamespaceDeclaration,
    /// Input ends before the element does.
    #[error("element is not complete")]
    Incomplete,
    /// Anything but white space outside the root element.
    #[error("content outside the root element")]
    OutsideRoot,
    /// RFC 6120 §11.1.
    #[error("comment")]
    Comment,
    /// RFC 6120 §11.1.
    #[error("processing instruction")]
    ProcessingInstruction,
    /// RFC 6120 §11.1; or another `<!` construct.
    #[error("document type or markup declaration")]
    Declaration,
    /// A local limit: octets.
    #[error("more than {limit} octets")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A local limit: nesting.
    #[error("elements nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A local limit: attributes of one element.
    #[error("more than {limit} attributes")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// A local limit: namespace declarations of an element and those around it.
    #[error("more than {limit} namespace declarations in force")]
    TooManyDeclarations {
        /// The limit.
        limit: usize,
    },
    /// A local limit: octets of a namespace name.
    #[error("namespace name longer than {limit} octets")]
    NamespaceTooLong {
        /// The limit.
        limit: usize,
    },
}

/// Which stream error condition answers the fault (RFC 6120 §4.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `not-well-formed`.
    NotWellFormed,
    /// `restricted-xml`.
    RestrictedXml,
    /// `unsupported-encoding`.
    UnsupportedEncoding,
    /// `policy-violation`.
    PolicyViolation,
}

impl XmlError {
    pub(crate) const fn new(kind: XmlErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// The stream error condition that fits.
    pub const fn fault(&self) -> Fault {
        use XmlErrorKind as K;
        match self.kind {
            // RFC 6120 §11.1: never sent, never accepted.
            K::Comment | K::ProcessingInstruction | K::Declaration | K::Entity => Fault::RestrictedXml,
            // RFC 6120 §11.6.
            K::Utf8 | K::Encoding => Fault::UnsupportedEncoding,
            // RFC 6120 §13.12.
            K::TooLong { .. }
            | K::TooDeep { .. }
            | K::TooManyAttributes { .. }
            | K::TooManyDeclarations { .. }
            | K::NamespaceTooLong { .. } => Fault::PolicyViolation,
            // RFC 6120 §11.3: also what is not namespace-well-formed.
            K::Version
            | K::Char
            | K::Tag
            | K::Name
            | K::EndTag
            | K::LessThanInAttribute
            | K::CdataEndInText
            | K::Reference
            | K::DuplicateAttribute
            | K::UndeclaredPrefix
            | K::NamespaceDeclaration
            | K::Incomplete
            | K::OutsideRoot => Fault::NotWellFormed,
        }
    }
}
