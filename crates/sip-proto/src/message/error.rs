use crate::header_id::HeaderId;

/// Why octets are no message; `line` counts from 1, folded lines included, `offset` from the first octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing but empty lines.
    #[error("empty")]
    Empty,
    /// RFC 3261 §7.1, §7.2: neither request line nor status line.
    #[error("malformed start line")]
    StartLine,
    /// RFC 3261 §7.2: a status code outside 100 to 699.
    #[error("malformed status code")]
    Status,
    /// RFC 3261 §7: the empty line behind the headers is missing.
    #[error("headers do not end")]
    Unterminated,
    /// RFC 3261 §7: a line must end in CR LF.
    #[error("line {line}: bare CR or LF")]
    LineEnd {
        /// The line.
        line: usize,
    },
    /// RFC 3261 §7.3: no colon.
    #[error("line {line}: no colon")]
    Colon {
        /// The line.
        line: usize,
    },
    /// RFC 3261 §25.1: a header name is a token.
    #[error("line {line}: malformed header name")]
    Name {
        /// The line.
        line: usize,
    },
    /// RFC 3261 §25.1: a control octet outside a quoted pair.
    #[error("octet {offset}: control character")]
    Control {
        /// The octet.
        offset: usize,
    },
    /// RFC 3261 §25.1: a quoted string that does not end.
    #[error("{id} has an open quote")]
    Quote {
        /// The header.
        id: HeaderId,
    },
    /// RFC 3261 §20.14: Content-Length is no number, or one too large for any message.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Content-Length occurs twice: two readers could see two different messages.
    #[error("more than one Content-Length")]
    RepeatedContentLength,
    /// RFC 3261 §18.3: mandatory on a stream.
    #[error("no Content-Length on a stream")]
    NoContentLength,
    /// RFC 3261 §18.3: fewer octets than Content-Length says.
    #[error("body has {present} octets of {declared}")]
    Truncated {
        /// The value of Content-Length.
        declared: usize,
        /// The octets that are there.
        present: usize,
    },
    /// A local limit: start line and headers are too long.
    #[error("headers exceed {limit} octets")]
    HeadTooLarge {
        /// The limit.
        limit: usize,
    },
    /// A local limit: too many header lines.
    #[error("more than {limit} header lines")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// A local limit: the body is too long.
    #[error("body exceeds {limit} octets")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
}

impl ParseError {
    /// The status a request is answered with that fails so.
    pub const fn status(&self) -> u16 {
        match self {
            // RFC 3261 §21.5.7: longer than the server can take.
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => 513,
            // RFC 3261 §21.4.11: a body longer than the server is willing to take.
            Self::BodyTooLarge { .. } => 413,
            Self::Empty
            | Self::StartLine
            | Self::Status
            | Self::Unterminated
            | Self::LineEnd { .. }
            | Self::Colon { .. }
            | Self::Name { .. }
            | Self::Control { .. }
            | Self::Quote { .. }
            | Self::ContentLength
            | Self::RepeatedContentLength
            | Self::NoContentLength
            | Self::Truncated { .. } => 400,
        }
    }

    /// A stable word for logs, metrics and `inspect`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::StartLine => "start-line",
            Self::Status => "status-code",
            Self::Unterminated => "unterminated",
            Self::LineEnd { .. } => "line-end",
            Self::Colon { .. } => "colon",
            Self::Name { .. } => "header-name",
            Self::Control { .. } => "control",
            Self::Quote { .. } => "quote",
            Self::ContentLength => "content-length",
            Self::RepeatedContentLength => "repeated-content-length",
            Self::NoContentLength => "no-content-length",
            Self::Truncated { .. } => "truncated",
            Self::HeadTooLarge { .. } => "head-too-large",
            Self::TooManyHeaders { .. } => "too-many-headers",
            Self::BodyTooLarge { .. } => "body-too-large",
        }
    }
}
