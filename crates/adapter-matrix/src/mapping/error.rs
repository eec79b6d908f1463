//! What the homeserver refuses, and why: Matrix client-server API, standard error response.

use adapter_api::model::{Cause, Failure, Retry, Side};
use serde::Deserialize;
use std::time::Duration;

/// An answer that is no success.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) errcode: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

/// The longest text of the homeserver that is passed on.
const MAX_TEXT: usize = 200;

/// How long to wait where the homeserver asks for it and does not say how long.
const PAUSE: Duration = Duration::from_secs(5);

/// No homeserver asks for more, and no message waits for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl Refusal {
    /// Whether it is about too many requests, and how long to wait.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let limited = self.status == 429 || self.errcode == "M_LIMIT_EXCEEDED";
        limited.then(|| self.retry_after_ms.map_or(PAUSE, Duration::from_millis).min(LONGEST_PAUSE))
    }

    /// Reads an answer; `wait` are the seconds of its header, for where the body says nothing.
    pub(crate) fn read(status: u16, body: &[u8], wait: Option<u64>) -> Self {
        // What is no JSON says no more than its status.
        let read: Self = serde_json::from_slice(body).unwrap_or_default();
        let retry_after_ms = read.retry_after_ms.or(wait.map(|seconds| seconds.saturating_mul(1000)));
        Self { status, retry_after_ms, ..read }
    }

    /// The same in the hub's terms.
    pub(crate) fn to_failure(&self) -> Failure {
        let (side, cause) = self.cause();
        let text = format!("{} {}", self.errcode, self.error).trim().chars().take(MAX_TEXT).collect::<String>();
        let failure = Failure::new(side, cause).with_native("matrix", self.errcode.clone());
        let failure = if text.is_empty() { failure } else { failure.with_text(text) };
        match self.pause() {
            Some(pause) => failure.with_retry(Retry::After(pause)),
            None => failure,
        }
    }

    fn cause(&self) -> (Side, Cause) {
        let far = |cause| (Side::Far, cause);
        match self.errcode.as_str() {
            "M_FORBIDDEN" | "M_GUEST_ACCESS_FORBIDDEN" => far(Cause::Forbidden),
            "M_NOT_FOUND" => far(Cause::NotFound),
            "M_USER_DEACTIVATED" => far(Cause::Gone),
            "M_LIMIT_EXCEEDED" | "M_RESOURCE_LIMIT_EXCEEDED" => far(Cause::ResourceConstraint),
            "M_TOO_LARGE" => far(Cause::TooLarge),
            "M_BAD_JSON" | "M_NOT_JSON" | "M_INVALID_PARAM" | "M_MISSING_PARAM" | "M_BAD_STATE" => {
                far(Cause::BadRequest)
            }
            "M_UNRECOGNIZED" => far(Cause::NotImplemented),
            "M_CONSENT_NOT_GIVEN" | "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM" => far(Cause::PolicyViolation),
            // Ours to repair: the token, the namespace, a ghost that the homeserver took away.
            "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => (Side::Ours, Cause::NotAuthorized),
            "M_EXCLUSIVE" | "M_USER_SUSPENDED" | "M_USER_LOCKED" => (Side::Ours, Cause::NotAllowed),
            _ => far(self.cause_of_status()),
        }
    }

    fn cause_of_status(&self) -> Cause {
        match self.status {
            401 | 403 => Cause::Forbidden,
            404 => Cause::NotFound,
            405 | 501 => Cause::NotImplemented,
            413 => Cause::TooLarge,
            429 => Cause::ResourceConstraint,
            502..=504 => Cause::RemoteTimeout,
            500..=599 => Cause::InternalError,
            400..=499 => Cause::BadRequest,
            _ => Cause::Undefined,
        }
    }
}

/// The seconds of a `Retry-After` header (RFC 9110 §10.2.3); a date there is not understood.
pub(crate) fn retry_after(header: Option<&str>) -> Option<u64> {
    header?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, json: &str) -> Refusal {
        Refusal::read(status, json.as_bytes(), None)
    }

    #[test]
    fn each_code_has_its_cause_and_what_has_none_that_of_its_status() {
        let cause = |status, code: &str| refusal(status, &format!(r#"{{"errcode":"{code}"}}"#)).to_failure().cause;
        assert_eq!(cause(403, "M_FORBIDDEN"), Cause::Forbidden);
        assert_eq!(cause(413, "M_TOO_LARGE"), Cause::TooLarge);
        assert_eq!(cause(401, "M_UNKNOWN_TOKEN"), Cause::NotAuthorized);
        assert_eq!(cause(502, ""), Cause::RemoteTimeout);
        assert_eq!(cause(500, "M_UNKNOWN"), Cause::InternalError);
        assert_eq!(cause(418, "IO.OWN"), Cause::BadRequest);
    }

    #[test]
    fn too_many_requests_say_how_long_to_wait() {
        let limited = refusal(429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"slow","retry_after_ms":1500}"#);
        assert_eq!(limited.pause(), Some(Duration::from_millis(1500)));
        assert_eq!(limited.to_failure().retry, Retry::After(Duration::from_millis(1500)));
        let header = Refusal::read(429, b"{}", retry_after(Some(" 7 ")));
        assert_eq!(header.pause(), Some(Duration::from_secs(7)));
        assert_eq!(refusal(429, "<html>").pause(), Some(PAUSE));
        assert_eq!(refusal(429, r#"{"retry_after_ms":99999999999}"#).pause(), Some(LONGEST_PAUSE));
        assert_eq!(refusal(403, r#"{"errcode":"M_FORBIDDEN"}"#).pause(), None);
    }
}
