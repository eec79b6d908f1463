//! RFC 7247 §7: failures as SIP status codes, and back. Both tables are total.

use impp_model::{Cause, Failure, Retry, Side};
use std::time::Duration;

/// The protocol's name in [`impp_model::NativeCode`].
pub const PROTOCOL: &str = "sip";

/// The status that tells a SIP sender of `failure`; `full` when the sender addressed one device (RFC 7247 §7.1).
///
/// Never 408 (RFC 4320 §4.2), and never a status whose mandatory header this gateway could not fill in.
pub fn to_sip_status(failure: &Failure, full: bool) -> u16 {
    let status = native_status(failure).unwrap_or_else(|| cause_status(failure.cause, full));
    sendable(status, failure)
}

/// The status a SIP peer gave, when the far side is SIP, too.
fn native_status(failure: &Failure) -> Option<u16> {
    let native = failure.native.as_ref().filter(|native| native.protocol == PROTOCOL)?;
    native.code.parse().ok().filter(|status| (300..700).contains(status))
}

// RFC 7247 §7.1 table 2; notes 1, 2 and 5 tell one device from an address.
fn cause_status(cause: Cause, full: bool) -> u16 {
    let by_device = |device, address| if full { device } else { address };
    match cause {
        Cause::BadRequest
        | Cause::Conflict
        | Cause::AddressMalformed
        | Cause::SubscriptionRequired
        | Cause::Undefined
        | Cause::UnexpectedRequest => 400,
        Cause::NotImplemented => by_device(405, 501),
        Cause::Forbidden => by_device(403, 603),
        Cause::Gone => 410,
        // Other addressees can be written to: 503 would keep this peer from all of them.
        Cause::InternalError | Cause::ResourceConstraint | Cause::HopBacklog => 500,
        Cause::NotFound => by_device(404, 604),
        Cause::NotAcceptable => by_device(406, 606),
        Cause::NotAllowed
        | Cause::PolicyViolation
        | Cause::SourceNotProven
        | Cause::RelayDenied
        | Cause::PolicyDenied
        | Cause::Withdrawn => 403,
        // RFC 3261 §21.4.2, §21.4.8: 401 and 407 need a challenge, which this gateway can't make for the far side.
        Cause::NotAuthorized | Cause::RegistrationRequired => 403,
        Cause::RecipientUnavailable => by_device(480, 600),
        Cause::Redirect => 302,
        Cause::RemoteNotFound | Cause::NoRoute => 404,
        // RFC 4320 §4.2: in place of 408.
        Cause::RemoteTimeout | Cause::LinkDown | Cause::Unconfirmed => 504,
        Cause::DnsFailure => 480,
        Cause::ServiceUnavailable => by_device(405, 403),
        Cause::HopsExhausted => 483,
        Cause::Loop => 482,
        Cause::UnsupportedMedia => 415,
        Cause::TooLarge => 413,
        Cause::Overload | Cause::ShuttingDown => 503,
    }
}

/// Replaces what may not be sent as it is.
fn sendable(status: u16, failure: &Failure) -> u16 {
    match status {
        // RFC 7247 §7.1 note 3: an address makes 301 of 410 and none makes 410 of 301.
        410 if failure.redirect.is_some() => 301,
        301 if failure.redirect.is_none() => 410,
        300..=399 if failure.redirect.is_none() => 480,
        // RFC 3261 §21.4.2, §21.4.8: no challenge of another's realm can be answered here.
        401 | 407 => 403,
        // RFC 3261 §21.4.15, §21.4.16, §21.4.17: they speak of headers that the near side did not send.
        420 | 421 | 423 => 500,
        408 => 504,
        // RFC 7247 §7.1 note 5: 503 would stop all traffic to this gateway; only its own overload means that.
        503 if native_status(failure).is_some() => 500,
        other => other,
    }
}

/// How many seconds the sender is asked to wait, where `status` may carry Retry-After (RFC 3261 §20.33).
pub fn retry_after(failure: &Failure, status: u16) -> Option<u32> {
    let Retry::After(pause) = failure.retry else { return None };
    let seconds = u32::try_from(pause.as_secs().max(1)).unwrap_or(u32::MAX);
    matches!(status, 404 | 413 | 480 | 486 | 500 | 503 | 600 | 603).then_some(seconds)
}

/// The Reason-Phrase for a person, if the far side gave any words (RFC 7247 §7).
pub fn to_phrase(failure: &Failure) -> Option<String> {
    failure.text.as_deref().map(clean_phrase).filter(|phrase| !phrase.is_empty())
}

/// Words for one line: control characters become spaces, and no more than `MAX_PHRASE` octets stay.
pub fn clean_phrase(text: &str) -> String {
    let mut phrase = String::with_capacity(text.len().min(MAX_PHRASE));
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    for character in text.chars() {
        if phrase.len() + character.len_utf8() > MAX_PHRASE {
            break;
        }
        phrase.push(if character.is_control() { ' ' } else { character });
    }
    phrase
}

/// A line for a person; longer ones are cut.
const MAX_PHRASE: usize = 256;

/// What a final response to a MESSAGE means, or `None` when it is no failure: below 300, or no status at all.
///
/// `redirect` is the address of its Contact, `pause` that of Retry-After.
pub fn from_sip_status(
    status: u16,
    phrase: &str,
    redirect: Option<impp_model::Address>,
    pause: Option<Duration>,
) -> Option<Failure> {
    let cause = status_cause(status)?;
    let retry = match status {
        // DESIGN A5: these may pass; all others are final.
        430 | 500 | 503 | 504 => pause.map_or(Cause::InternalError.usual_retry(), Retry::After),
        408 => Cause::RemoteTimeout.usual_retry(),
        _ => Retry::Never,
    };
    let mut failure = Failure::new(Side::Far, cause).with_retry(retry).with_native(PROTOCOL, status.to_string());
    failure.uncertain = may_hide_an_arrival(status, pause);
    let phrase = clean_phrase(phrase);
    failure.text = (!phrase.is_empty()).then_some(phrase);
    // RFC 7247 §7.2 note 1: 410 carries no address.
    failure.redirect = redirect.filter(|_| (300..400).contains(&status));
    Some(failure)
}

/// Whether a server that answers so may have sent the request on before.
///
// RFC 3261 §16.7, §16.9: a proxy answers with 500 for a branch that was refused with 503, whose connection broke or that an
// ICMP error was about, and none of these knows whether the request was taken. §21.5.4: 503 without Retry-After is 500, and
// with it the server speaks of itself, which serves nobody. RFC 5626 §11.5: 430 is about a flow that failed, with what was in it.
fn may_hide_an_arrival(status: u16, pause: Option<Duration>) -> bool {
    match status {
        430 | 500 => true,
        503 => pause.is_none(),
        _ => false,
    }
}

// RFC 7247 §7.2 table 3; RFC 4475 §3.1.2.19: what is no status is no answer.
fn status_cause(status: u16) -> Option<Cause> {
    Some(match status {
        301 | 410 => Cause::Gone,
        380 => Cause::NotAcceptable,
        300..400 => Cause::Redirect,
        401 => Cause::NotAuthorized,
        403 => Cause::Forbidden,
        404 | 481 | 484 | 485 | 604 => Cause::NotFound,
        405 | 420 | 439 | 501 => Cause::NotImplemented,
        406 | 415 | 416 | 421 | 482 | 483 | 488 | 505 | 606 => Cause::NotAcceptable,
        407 => Cause::RegistrationRequired,
        408 | 504 => Cause::RemoteTimeout,
        413 | 414 | 440 | 489 | 513 => Cause::PolicyViolation,
        423 => Cause::ResourceConstraint,
        430 | 480 | 486 | 487 => Cause::RecipientUnavailable,
        491 => Cause::UnexpectedRequest,
        400..500 => Cause::BadRequest,
        502 => Cause::RemoteNotFound,
        500..600 => Cause::InternalError,
        600..700 => Cause::RecipientUnavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_s21_5_4_only_503_with_retry_after_says_that_nothing_was_sent_on() {
        let uncertain = |status, pause| from_sip_status(status, "", None, pause).unwrap().may_have_arrived();
        let pause = Some(Duration::from_secs(9));
        assert!([430, 500, 503, 504, 408].iter().all(|status| uncertain(*status, None)));
        assert!(uncertain(500, pause) && uncertain(430, pause) && !uncertain(503, pause));
        assert!([404, 480, 486, 501, 502, 603].iter().all(|status| !uncertain(*status, None)), "these are final");
    }

    // checks: SIP-042, ERR-004, ERR-011, AMB-11, AMB-12
    #[test]
    fn no_cause_gives_a_status_that_cannot_be_sent() {
        for cause in Cause::ALL {
            for full in [false, true] {
                let status = to_sip_status(&Failure::new(Side::Far, *cause), full);
                assert!((400..700).contains(&status), "{cause}: {status} without an address");
                assert!(![401, 407, 408, 420, 423].contains(&status), "{cause}: {status}");
                assert_eq!(status == 503, matches!(cause, Cause::Overload | Cause::ShuttingDown), "{cause}");
            }
        }
    }

    // checks: SIP-042, ERR-004, AMB-11, AMB-12
    #[test]
    fn a_sip_status_comes_back_as_it_was_where_it_may() {
        let through = |status| to_sip_status(&from_sip_status(status, "x", None, None).unwrap(), false);
        for status in [400, 404, 405, 415, 480, 486, 488, 500, 513, 600, 603, 606] {
            assert_eq!(through(status), status);
        }
        let replaced = [(401, 403), (407, 403), (408, 504), (503, 500), (302, 480), (301, 410), (420, 500)];
        for (status, sent) in replaced {
            assert_eq!(through(status), sent, "{status}");
        }
    }

    // checks: ERR-003
    #[test]
    fn rfc7247_s7_1_note_3_an_address_decides_between_301_and_410() {
        let mut failure = Failure::new(Side::Far, Cause::Gone);
        assert_eq!(to_sip_status(&failure, false), 410);
        failure.redirect = Some("romeo@other.example".parse().unwrap());
        assert_eq!(to_sip_status(&failure, false), 301);
        let moved = from_sip_status(301, "", failure.redirect.clone(), None).unwrap();
        assert_eq!((moved.cause, &moved.redirect), (Cause::Gone, &failure.redirect));
        assert_eq!(from_sip_status(410, "", failure.redirect, None).unwrap().redirect, None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let retry = |status, pause| from_sip_status(status, "", None, pause).unwrap().retry;
        let pause = Duration::from_secs(90);
        assert_eq!(retry(503, Some(pause)), Retry::After(pause));
        assert!(matches!(retry(500, None), Retry::After(_)));
        for status in [404, 480, 486, 603, 482] {
            assert_eq!(retry(status, Some(pause)), Retry::Never, "{status}");
        }
        let failure = Failure::new(Side::Ours, Cause::Overload).with_retry(Retry::After(Duration::from_millis(10)));
        assert_eq!((retry_after(&failure, 503), retry_after(&failure, 504)), (Some(1), None));
    }

    // checks: ERR-005, SEC-003
    #[test]
    fn phrases_are_one_clean_line() {
        assert_eq!(clean_phrase(" a\r\nVia: b\u{0} "), "a  Via: b");
        assert_eq!(clean_phrase(&"ü".repeat(200)).len(), 256);
        assert!(clean_phrase(&format!("a{}", "ü".repeat(200))).len() < 256);
    }

    #[test]
    fn no_failure_comes_of_success_or_of_no_status() {
        for status in [0, 99, 100, 200, 202, 299, 700, 999] {
            assert_eq!(from_sip_status(status, "", None, None), None, "{status}");
        }
    }
}
