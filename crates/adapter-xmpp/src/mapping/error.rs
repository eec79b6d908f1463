//! Failures and stanza errors (RFC 7247 §7, RFC 6120 §8.3): total tables in both directions.

use std::borrow::Cow;

use impp_model::uri::XmppUri;
use impp_model::{Address, Cause, DispositionOperation, Failure, MessageId, Retry, Side};
use strict_xml::{Element, SharedStr};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Condition, ErrorType, Message, MessageType, StanzaError};

use super::address::{self, AddressError, to_jid};

/// The protocol whose codes [`Failure::native`] carries here: the error's type, for another XMPP adapter.
const PROTOCOL: &str = "xmpp";

/// Words for a person are cut to this many octets: a line or two in any client.
const MAX_TEXT_LEN: usize = 256;

/// The error stanza about a message that went from `to` to `from` (RFC 6120 §8.3.1), with its id if it has one.
pub fn error_message(from: &str, to: &str, id: &str, failure: &Failure) -> Element {
    let mut message = Message::new(MessageType::Error).with_from(SharedStr::copy(from)).with_to(SharedStr::copy(to));
    // RFC 6120 §8.1.3: a message need not have one, and an empty one names nothing.
    if !id.is_empty() {
        message = message.with_id(SharedStr::copy(id));
    }
    let message = message.into_element();
    let ns = message.ns.clone();
    message.with_child(to_stanza_error(failure).to_element(ns))
}

/// The same for word of a failure that comes late.
pub fn to_error_message(word: &DispositionOperation, failure: &Failure) -> Result<Element, AddressError> {
    let (from, to) = (to_jid(&word.source)?, to_jid(&word.destination)?);
    let id = word.message_id.as_ref().map_or("", MessageId::as_str);
    Ok(error_message(from.as_str(), to.as_str(), id, failure))
}

/// The stanza error that tells of a failure.
pub fn to_stanza_error(failure: &Failure) -> StanzaError {
    let condition = condition_of(failure.cause);
    let mut error = StanzaError::new(condition);
    if let Some(kind) = native_kind(failure) {
        error = error.with_kind(kind);
    }
    // RFC 6120 §8.3.3.5, §8.3.3.14: the new address is the condition's character data.
    if let (Condition::Gone | Condition::Redirect, Some(new)) = (condition, &failure.redirect)
        && let Ok(uri) = address::to_xmpp_uri(new)
    {
        error = error.with_address(uri);
    }
    match &failure.text {
        Some(text) if !text.is_empty() => error.with_text(tidy(text).into_owned()),
        Some(_) | None => error,
    }
}

/// The failure that a message of type error tells of.
pub fn failure_of(message: &Message) -> Failure {
    match message.error() {
        Some(error) => from_stanza_error(&error),
        None => Failure::new(Side::Far, Cause::Undefined),
    }
}

/// The failure that a stanza error tells of.
pub fn from_stanza_error(error: &StanzaError) -> Failure {
    let cause = cause_of(error.condition);
    let mut failure = Failure::new(Side::Far, cause).with_native(PROTOCOL, error.kind.as_str());
    // DESIGN A5: of XMPP's conditions only `remote-server-timeout` and `resource-constraint` may pass.
    if !matches!(cause, Cause::RemoteTimeout | Cause::ResourceConstraint) {
        failure = failure.with_retry(Retry::Never);
    }
    failure.text = error.text.as_deref().filter(|text| !text.is_empty()).map(|text| tidy(text).into_owned());
    failure.redirect = error.address.as_deref().and_then(new_address);
    failure
}

/// RFC 7247 §7.2 for the standard conditions; for the hub's own causes the condition that RFC 7247 gives for the SIP
/// status of the same meaning.
pub fn condition_of(cause: Cause) -> Condition {
    match cause {
        Cause::BadRequest => Condition::BadRequest,
        Cause::Conflict => Condition::Conflict,
        Cause::NotImplemented => Condition::FeatureNotImplemented,
        // A source that is not proven is refused as SIP refuses it: 403.
        Cause::Forbidden | Cause::SourceNotProven => Condition::Forbidden,
        Cause::Gone => Condition::Gone,
        Cause::InternalError => Condition::InternalServerError,
        Cause::NotFound => Condition::ItemNotFound,
        Cause::AddressMalformed => Condition::JidMalformed,
        // RFC 7247 §7.2: 482, 483 and 415.
        Cause::NotAcceptable | Cause::Loop | Cause::HopsExhausted | Cause::UnsupportedMedia => Condition::NotAcceptable,
        Cause::NotAllowed | Cause::RelayDenied => Condition::NotAllowed,
        Cause::NotAuthorized => Condition::NotAuthorized,
        // RFC 7572 §6; RFC 7247 §7.2: 413.
        Cause::PolicyViolation | Cause::PolicyDenied | Cause::Withdrawn | Cause::TooLarge => Condition::PolicyViolation,
        Cause::RecipientUnavailable => Condition::RecipientUnavailable,
        Cause::Redirect => Condition::Redirect,
        Cause::RegistrationRequired => Condition::RegistrationRequired,
        Cause::RemoteNotFound | Cause::NoRoute => Condition::RemoteServerNotFound,
        // RFC 6120 §10.4.3: the domain exists, and no stream to it could be had.
        Cause::RemoteTimeout | Cause::DnsFailure | Cause::LinkDown | Cause::Unconfirmed => {
            Condition::RemoteServerTimeout
        }
        Cause::ResourceConstraint | Cause::Overload | Cause::HopBacklog | Cause::ShuttingDown => {
            Condition::ResourceConstraint
        }
        Cause::ServiceUnavailable => Condition::ServiceUnavailable,
        Cause::SubscriptionRequired => Condition::SubscriptionRequired,
        Cause::Undefined => Condition::UndefinedCondition,
        Cause::UnexpectedRequest => Condition::UnexpectedRequest,
    }
}

/// RFC 7247 §7.1: each condition has a cause of its own.
pub fn cause_of(condition: Condition) -> Cause {
    match condition {
        Condition::BadRequest => Cause::BadRequest,
        Condition::Conflict => Cause::Conflict,
        Condition::FeatureNotImplemented => Cause::NotImplemented,
        Condition::Forbidden => Cause::Forbidden,
        Condition::Gone => Cause::Gone,
        Condition::InternalServerError => Cause::InternalError,
        Condition::ItemNotFound => Cause::NotFound,
        Condition::JidMalformed => Cause::AddressMalformed,
        Condition::NotAcceptable => Cause::NotAcceptable,
        Condition::NotAllowed => Cause::NotAllowed,
        Condition::NotAuthorized => Cause::NotAuthorized,
        Condition::PolicyViolation => Cause::PolicyViolation,
        Condition::RecipientUnavailable => Cause::RecipientUnavailable,
        Condition::Redirect => Cause::Redirect,
        Condition::RegistrationRequired => Cause::RegistrationRequired,
        Condition::RemoteServerNotFound => Cause::RemoteNotFound,
        Condition::RemoteServerTimeout => Cause::RemoteTimeout,
        Condition::ResourceConstraint => Cause::ResourceConstraint,
        Condition::ServiceUnavailable => Cause::ServiceUnavailable,
        Condition::SubscriptionRequired => Cause::SubscriptionRequired,
        Condition::UndefinedCondition => Cause::Undefined,
        Condition::UnexpectedRequest => Cause::UnexpectedRequest,
    }
}

fn native_kind(failure: &Failure) -> Option<ErrorType> {
    let native = failure.native.as_ref().filter(|native| native.protocol == PROTOCOL)?;
    // RFC 6120 §8.3.2: `continue` is a warning, and this did fail.
    ErrorType::parse(&native.code).filter(|kind| *kind != ErrorType::Continue)
}

/// An `xmpp:` URI, as RFC 6120 asks for, or a bare JID, as others write it.
fn new_address(text: &str) -> Option<Address> {
    let jid = match XmppUri::parse(text) {
        Ok(uri) => Jid::from_parts(Some(&uri.local?), uri.domain?.as_str(), None).ok()?,
        Err(_) => Jid::parse(text).ok()?,
    };
    address::from_jid(&jid).ok().map(|endpoint| endpoint.address)
}

/// Cuts text that a person may read, and makes one line of it.
fn tidy(text: &str) -> Cow<'_, str> {
    let cut = text.get(..text.floor_char_boundary(MAX_TEXT_LEN)).unwrap_or_default();
    if cut.contains(char::is_control) { cut.replace(char::is_control, " ").into() } else { cut.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: ERR-001, ERR-002
    #[test]
    fn every_condition_comes_back_as_itself() {
        for condition in Condition::ALL {
            let error = StanzaError::new(*condition);
            assert_eq!(to_stanza_error(&from_stanza_error(&error)), error);
        }
    }

    // checks: XM-17
    #[test]
    fn rfc3922_s6_1_refused_subscriptions_have_their_conditions() {
        assert_eq!(condition_of(Cause::NotFound), Condition::ItemNotFound);
        assert_eq!(condition_of(Cause::Forbidden), Condition::Forbidden);
        assert_eq!(condition_of(Cause::Conflict), Condition::Conflict);
    }

    // checks: ERR-009
    #[test]
    fn every_cause_has_a_condition_with_its_usual_type() {
        for cause in Cause::ALL {
            let error = to_stanza_error(&Failure::new(Side::Ours, *cause));
            assert_eq!(error.kind, error.condition.default_type(), "{cause}");
        }
    }

    // checks: XEX-010
    #[test]
    fn xep0191_s3_4_what_a_user_has_blocked_is_not_tried_again() {
        let blocked = from_stanza_error(&StanzaError::new(Condition::ServiceUnavailable));
        assert_eq!(blocked.retry, impp_model::Retry::Never);
    }

    // checks: XST-035
    #[test]
    fn rfc6120_s10_4_3_who_cannot_be_found_is_told_from_who_cannot_be_reached() {
        let of = |cause| to_stanza_error(&Failure::new(Side::Far, cause)).condition;
        for cause in [Cause::RemoteNotFound, Cause::NoRoute] {
            assert_eq!(of(cause), Condition::RemoteServerNotFound, "{cause}");
        }
        for cause in [Cause::RemoteTimeout, Cause::DnsFailure, Cause::LinkDown, Cause::Unconfirmed] {
            assert_eq!(of(cause), Condition::RemoteServerTimeout, "{cause}");
        }
    }

    // checks: ERR-003
    #[test]
    fn rfc7247_s7_gone_and_redirect_carry_the_new_address() {
        let mut failure = Failure::new(Side::Far, Cause::Redirect);
        failure.redirect = Some(Address::parse_bare("o'malley@other.example.net").unwrap());
        let error = to_stanza_error(&failure);
        assert_eq!(error.address.as_deref(), Some("xmpp:o%5C27malley@other.example.net"));
        assert_eq!(from_stanza_error(&error).redirect, failure.redirect);
        let bare = StanzaError::new(Condition::Gone).with_address("romeo@example.org/x");
        assert_eq!(from_stanza_error(&bare).redirect, Some(Address::parse_bare("romeo@example.org").unwrap()));
        let nonsense = StanzaError::new(Condition::Gone).with_address("\u{0}/");
        assert_eq!(from_stanza_error(&nonsense).redirect, None);
    }

    // checks: ERR-005
    #[test]
    fn text_is_one_short_line() {
        let failure = Failure::new(Side::Far, Cause::RecipientUnavailable).with_text("Temporarily\r\nUnavailable");
        assert_eq!(to_stanza_error(&failure).text.as_deref(), Some("Temporarily  Unavailable"));
        let long = Failure::new(Side::Far, Cause::Gone).with_text("\u{fc}".repeat(500));
        assert_eq!(to_stanza_error(&long).text.map(|t| t.len()), Some(MAX_TEXT_LEN));
    }

    #[test]
    fn the_type_of_an_error_survives_between_xmpp_adapters() {
        let error = StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait);
        assert_eq!(to_stanza_error(&from_stanza_error(&error)).kind, ErrorType::Wait);
        let warning = StanzaError::new(Condition::Gone).with_kind(ErrorType::Continue);
        assert_eq!(to_stanza_error(&from_stanza_error(&warning)).kind, ErrorType::Cancel);
    }
}
