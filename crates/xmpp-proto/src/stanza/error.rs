//! Stanza errors (RFC 6120 §8.3).

use strict_xml::{Element, SharedStr};

use crate::named::named;
use crate::ns;

named! {
    /// RFC 6120 §8.3.3: the defined conditions.
    pub enum Condition {
        /// The request is malformed.
        BadRequest => "bad-request",
        /// A resource or session of that name exists.
        Conflict => "conflict",
        /// Not implemented by the addressee.
        FeatureNotImplemented => "feature-not-implemented",
        /// The sender lacks permission.
        Forbidden => "forbidden",
        /// The addressee is gone for good, perhaps to another address.
        Gone => "gone",
        /// The server failed.
        InternalServerError => "internal-server-error",
        /// No such address or item.
        ItemNotFound => "item-not-found",
        /// An address violates RFC 7622.
        JidMalformed => "jid-malformed",
        /// Understood, and not acceptable by the addressee's criteria.
        NotAcceptable => "not-acceptable",
        /// Nobody may do this.
        NotAllowed => "not-allowed",
        /// Credentials are needed first.
        NotAuthorized => "not-authorized",
        /// Against a local policy.
        PolicyViolation => "policy-violation",
        /// The addressee is away for the moment.
        RecipientUnavailable => "recipient-unavailable",
        /// To be sent elsewhere for a while.
        Redirect => "redirect",
        /// Registration is needed first.
        RegistrationRequired => "registration-required",
        /// The addressee's domain does not resolve.
        RemoteServerNotFound => "remote-server-not-found",
        /// The addressee's domain could not be reached in time.
        RemoteServerTimeout => "remote-server-timeout",
        /// The server is busy.
        ResourceConstraint => "resource-constraint",
        /// The service is not offered, or the addressee's existence is not disclosed.
        ServiceUnavailable => "service-unavailable",
        /// A subscription is needed first.
        SubscriptionRequired => "subscription-required",
        /// None of the others; also any that is not known.
        UndefinedCondition => "undefined-condition",
        /// Understood, but not at this time.
        UnexpectedRequest => "unexpected-request",
    }
}

named! {
    /// RFC 6120 §8.3.2: what the sender may do about an error.
    pub enum ErrorType {
        /// Retry with credentials.
        Auth => "auth",
        /// Do not retry.
        Cancel => "cancel",
        /// Go on: a warning only.
        Continue => "continue",
        /// Retry after changing what was sent.
        Modify => "modify",
        /// Retry later.
        Wait => "wait",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 recommends with the condition.
    pub const fn default_type(self) -> ErrorType {
        match self {
            Self::BadRequest | Self::JidMalformed | Self::NotAcceptable | Self::PolicyViolation | Self::Redirect => {
                ErrorType::Modify
            }
            Self::Forbidden | Self::NotAuthorized | Self::RegistrationRequired | Self::SubscriptionRequired => {
                ErrorType::Auth
            }
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorType::Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::UndefinedCondition => ErrorType::Cancel,
        }
    }
}

/// The `<error/>` child of an error stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What happened.
    pub condition: Condition,
    /// What the sender may do.
    pub kind: ErrorType,
    /// Where to turn to, with `gone` and `redirect`.
    pub address: Option<SharedStr>,
    /// For people; never interpreted.
    pub text: Option<SharedStr>,
    /// Language of `text`.
    pub text_lang: Option<SharedStr>,
    /// An application's own condition.
    pub application: Option<Element>,
    /// Who detected the error.
    pub by: Option<SharedStr>,
}

impl StanzaError {
    /// An error of the condition's recommended type.
    pub const fn new(condition: Condition) -> Self {
        Self {
            condition,
            kind: condition.default_type(),
            address: None,
            text: None,
            text_lang: None,
            application: None,
            by: None,
        }
    }

    /// Sets another type.
    #[must_use]
    pub const fn with_kind(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the text, in English.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<SharedStr>) -> Self {
        self.text = Some(text.into());
        self.text_lang = Some(SharedStr::constant("en"));
        self
    }

    /// Sets the new address of `gone` or `redirect`.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<SharedStr>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets the application's own condition.
    #[must_use]
    pub fn with_application(mut self, condition: Element) -> Self {
        self.application = Some(condition);
        self
    }

    /// Sets who detected the error.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<SharedStr>) -> Self {
        self.by = Some(by.into());
        self
    }

    /// Reads an `<error/>` element; what is missing or unknown becomes `undefined-condition` and its type.
    pub fn read(error: &Element) -> Self {
        let defined = error.elements().find(|child| child.ns == ns::STANZA_ERRORS && child.name != "text");
        // RFC 6120 §8.3.2: an unknown condition counts as undefined-condition.
        let condition =
            defined.and_then(|child| Condition::parse(&child.name)).unwrap_or(Condition::UndefinedCondition);
        let kind = error.attr("type").and_then(ErrorType::parse).unwrap_or(condition.default_type());
        let moved = matches!(condition, Condition::Gone | Condition::Redirect);
        let address = defined.filter(|_| moved).and_then(own_text);
        let text = error.child("text", ns::STANZA_ERRORS);
        Self {
            condition,
            kind,
            address,
            text: text.and_then(own_text),
            text_lang: text.and_then(Element::xml_lang).map(SharedStr::copy),
            application: error.elements().find(|child| child.ns != ns::STANZA_ERRORS && child.ns != error.ns).cloned(),
            by: error.attr("by").map(SharedStr::copy),
        }
    }

    /// The `<error/>` element, in the namespace of the stanza that is to carry it.
    pub fn to_element(&self, stanza_ns: impl Into<SharedStr>) -> Element {
        let mut error = Element::new("error", stanza_ns);
        if let Some(by) = &self.by {
            error.set_attr("by", by);
        }
        error.set_attr("type", self.kind.as_str());
        let mut condition = Element::new(self.condition.as_str(), ns::STANZA_ERRORS);
        if let Some(address) = &self.address {
            condition = condition.with_text(address);
        }
        error = error.with_child(condition);
        if let Some(text) = &self.text {
            let mut element = Element::new("text", ns::STANZA_ERRORS).with_text(text);
            if let Some(lang) = &self.text_lang {
                element.set_xml_lang(lang);
            }
            error = error.with_child(element);
        }
        match &self.application {
            Some(application) => error.with_child(application.clone()),
            None => error,
        }
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

/// The error stanza that answers a stanza, or `None` where none may be sent.
///
/// The original payload is not returned.
pub fn error_reply(stanza: &Element, error: &StanzaError) -> Option<Element> {
    // RFC 6120 §8.3.1: an error is never answered by an error; RFC 6120 §8.2.3: nor is the result of an iq.
    let answerable = match (stanza.name.as_str(), stanza.attr("type")) {
        (_, Some("error")) => false,
        ("iq", kind) => kind != Some("result"),
        ("message" | "presence", _) => true,
        _ => false,
    };
    answerable.then(|| {
        let mut reply = reply_to(stanza, "error");
        // RFC 6120 §8.3.1: the id of the stanza, empty if it had none.
        if reply.attr("id").is_none() {
            reply.set_attr("id", "");
        }
        let ns = reply.ns.clone();
        reply.with_child(error.to_element(ns))
    })
}

/// A stanza of the same name and id with addresses swapped.
pub(crate) fn reply_to(stanza: &Element, kind: &'static str) -> Element {
    let mut reply = Element::new(&stanza.name, &stanza.ns);
    for (name, original) in [("from", "to"), ("to", "from"), ("id", "id")] {
        if let Some(attr) = stanza.attrs.iter().find(|attr| attr.ns.is_empty() && attr.name == original) {
            reply.set_attr(name, &attr.value);
        }
    }
    reply.with_attr("type", kind)
}

fn own_text(element: &Element) -> Option<SharedStr> {
    let text = element.text();
    (!text.is_empty()).then(|| SharedStr::copy(&text))
}
