//! Who calls, and from which device.

use super::App;
use super::refusal::Refusal;
use crate::users::{Session, User};
use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use serde::Deserialize;
use std::sync::Arc;

/// The user whose token the request carries, and what that token opens.
pub(super) struct Caller(pub(super) Arc<User>, pub(super) Session);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let value = parts.headers.get(header::AUTHORIZATION).ok_or(Refusal::NoToken)?;
        let value = value.to_str().map_err(|_| Refusal::BadToken)?;
        // RFC 9110 §11.1: the scheme in any case, then one space or more.
        let (scheme, token) = value.split_once(' ').ok_or(Refusal::NoToken)?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Refusal::NoToken);
        }
        let (user, session) = app.shared.users.with_token(token.trim()).ok_or(Refusal::BadToken)?;
        Ok(Self(user, session))
    }
}

/// The device that `?device=` names, if it does.
pub(super) struct CallingDevice(pub(super) Option<Arc<str>>);

impl CallingDevice {
    /// The named device, else the default one.
    pub(super) fn or_main(self) -> Arc<str> {
        self.0.unwrap_or_else(|| DEFAULT_DEVICE.into())
    }
}

#[derive(Deserialize)]
struct DeviceQuery {
    device: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for CallingDevice {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<DeviceQuery>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Refusal::malformed("device", error.body_text()))?;
        match query.device {
            None => Ok(Self(None)),
            Some(device) => match device_problem(&device) {
                None => Ok(Self(Some(device.into()))),
                Some(problem) => Err(Refusal::malformed("device", problem)),
            },
        }
    }
}

fn device_problem(device: &str) -> Option<String> {
    if device.len() > MAX_DEVICE_LEN {
        return Some(format!("longer than {MAX_DEVICE_LEN} octets"));
    }
    impp_model::Device::new(device).err().map(|error| error.to_string())
}

/// The device of calls that name none.
const DEFAULT_DEVICE: &str = "main";

/// Room for a UUID and a readable prefix; kept for each device.
const MAX_DEVICE_LEN: usize = 64;
