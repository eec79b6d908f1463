//! The gateway's own certificates.

use crate::api::Admin;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Each certificate with the names that it proves and how long it lasts; below zero, how long ago it ended.
#[utoipa::path(
    get, path = "/api/v1/certificates", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "The certificates", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn list(State(admin): State<Admin>) -> Json<Value> {
    let now = SystemTime::now();
    let rows = admin.tls.certificates().into_iter().map(|certificate| {
        let not_after = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "file": certificate.file, "names": certificate.names,
            "not_after": not_after, "expires_seconds": seconds_until(certificate.not_after, now),
        })
    });
    Json(json!({ "certificates": rows.collect::<Vec<_>>() }))
}

fn seconds_until(end: SystemTime, now: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    end.duration_since(now).map_or_else(|past| -seconds(past.duration()), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_the_past_is_negative() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(seconds_until(now + Duration::from_secs(5), now), 5);
        assert_eq!(seconds_until(now - Duration::from_secs(5), now), -5);
    }
}
