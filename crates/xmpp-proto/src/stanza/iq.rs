//! Requests and their answers (RFC 6120 §8.2.3).

use strict_xml::{Element, SharedStr};

use super::common::stanza_common;
use super::error::reply_to;
use crate::named::named;
use crate::ns;

named! {
    /// RFC 6120 §8.2.3.
    pub enum IqType {
        /// Asks for information.
        Get => "get",
        /// Asks for a change.
        Set => "set",
        /// Answers.
        Result => "result",
        /// Refuses.
        Error => "error",
    }
}

/// An `<iq/>`; it has a type and an id, and a request has exactly one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iq {
    pub(super) element: Element,
    pub(super) kind: IqType,
}

stanza_common!(Iq);

impl Iq {
    /// A request; `kind` is get or set.
    pub fn request(kind: IqType, id: impl Into<SharedStr>, payload: Element) -> Self {
        let element = Element::new("iq", ns::CLIENT).with_attr("id", id).with_attr("type", kind.as_str());
        Self { element: element.with_child(payload), kind }
    }

    /// The type.
    pub const fn kind(&self) -> IqType {
        self.kind
    }

    /// Whether exactly one answer is due.
    pub const fn is_request(&self) -> bool {
        matches!(self.kind, IqType::Get | IqType::Set)
    }

    /// The one payload of a request, or what a result brings.
    pub fn query(&self) -> Option<&Element> {
        self.element.elements().next()
    }

    /// The result that answers this request; `None` when this is no request.
    pub fn result(&self, payload: Option<Element>) -> Option<Self> {
        self.is_request().then(|| {
            let element = reply_to(&self.element, IqType::Result.as_str());
            let element = match payload {
                Some(payload) => element.with_child(payload),
                None => element,
            };
            Self { element, kind: IqType::Result }
        })
    }
}
