//! Calls that are refused: one type for all of them, one form of answer.

use crate::mailbox::DeviceError;
use crate::mapping;
use crate::wire::Refused;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a bearer token is needed")]
    NoToken,
    #[error("no user has this token")]
    BadToken,
    #[error("no such call")]
    NotFound,
    #[error("this call does not take this method")]
    Method,
    #[error("{problem}")]
    Malformed { field: Option<String>, problem: String },
    #[error("more than {limit} octets")]
    TooLarge { field: Option<&'static str>, limit: usize },
    #[error("{0}")]
    MediaType(&'static str),
    #[error("the request body did not arrive in time")]
    SlowBody,
    #[error("too many messages of this user wait for their answers")]
    Busy,
    #[error(transparent)]
    Device(DeviceError),
}

impl Refusal {
    /// A parameter, field or header that can't be used.
    pub(crate) fn malformed(field: &str, problem: impl ToString) -> Self {
        Self::Malformed { field: Some(field.to_owned()), problem: problem.to_string() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed { .. } | Self::Device(DeviceError::NotSent) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Device(DeviceError::TooManyDevices { .. } | DeviceError::TooManyStreams { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoToken | Self::BadToken => "not-authorized",
            Self::NotFound => "no-such-call",
            Self::Method => "method-not-allowed",
            Self::Malformed { .. } | Self::Device(DeviceError::NotSent) => "bad-request",
            Self::TooLarge { .. } => "too-large",
            Self::MediaType(_) => "unsupported-media",
            Self::SlowBody => "timeout",
            Self::Busy => "too-many-in-flight",
            Self::Device(DeviceError::TooManyDevices { .. }) => "too-many-devices",
            Self::Device(DeviceError::TooManyStreams { .. }) => "too-many-streams",
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Malformed { field, .. } => field.clone(),
            Self::TooLarge { field, .. } => field.map(str::to_owned),
            Self::MediaType(_) => Some("Content-Type".to_owned()),
            Self::NoToken | Self::BadToken => Some("Authorization".to_owned()),
            Self::Device(DeviceError::NotSent) => Some("id".to_owned()),
            Self::Device(DeviceError::TooManyDevices { .. } | DeviceError::TooManyStreams { .. }) => {
                Some("device".to_owned())
            }
            Self::NotFound | Self::Method | Self::SlowBody | Self::Busy => None,
        }
    }

    /// After which time it is worth while to try again.
    fn pause(&self) -> Duration {
        match self {
            // As many devices as there may be are there until one has not been used for long.
            Self::Device(DeviceError::TooManyDevices { free_in, .. }) => *free_in,
            // Somebody has to close one, or its connection has to be found broken.
            Self::Device(DeviceError::TooManyStreams { .. }) => STREAM_PAUSE,
            Self::NoToken
            | Self::BadToken
            | Self::NotFound
            | Self::Method
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::MediaType(_)
            | Self::SlowBody
            | Self::Busy
            | Self::Device(DeviceError::NotSent) => BUSY_PAUSE,
        }
    }

    /// RFC 6750 §3: without a token the challenge names no error.
    fn challenge(&self) -> Option<&'static str> {
        match self.status() {
            StatusCode::UNAUTHORIZED if matches!(self, Self::NoToken) => Some("Bearer"),
            StatusCode::UNAUTHORIZED => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Refused {
        Refused { error: self.code().to_owned(), field: self.field(), problem: self.to_string() }
    }
}

impl From<mapping::Refusal> for Refusal {
    fn from(refusal: mapping::Refusal) -> Self {
        Self::Malformed { field: refusal.field().map(str::to_owned), problem: refusal.problem() }
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, retry_after(self.pause()));
        }
        response
    }
}

/// Whole seconds, rounded up.
pub(crate) fn retry_after(pause: Duration) -> HeaderValue {
    let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

/// A stream that its client has left is found broken within half a minute.
const STREAM_PAUSE: Duration = Duration::from_secs(30);

/// About as long as a held message takes to be settled.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_s10_2_3_who_is_refused_is_told_when_to_come_again() {
        let free_in = Duration::from_millis(3_599_001);
        for (error, seconds) in [
            (DeviceError::TooManyDevices { limit: 16, free_in }, "3600"),
            (DeviceError::TooManyStreams { limit: 32 }, "30"),
        ] {
            let refused = Refusal::from(error).into_response();
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.headers().get(header::RETRY_AFTER).unwrap(), seconds);
        }
        assert_eq!(Refusal::Busy.into_response().headers().get(header::RETRY_AFTER).unwrap(), "2");
    }
}
