//! What is wrong with a request, as JSON, whatever it was.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The body of every answer that is no success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// The parameter that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What is wrong, for a person.
    problem: String,
}

impl Problem {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    /// About one parameter.
    pub(crate) fn of(field: &str, problem: impl std::fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), problem: problem.to_string() }
    }

    pub(crate) fn with(self, status: StatusCode) -> Response {
        (status, Json(self)).into_response()
    }

    pub(crate) fn bad_request(self) -> Response {
        self.with(StatusCode::BAD_REQUEST)
    }
}

/// The parameters of a call; what is wrong in them is said as every problem is.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => {
                let text = error.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::of("query", text).bad_request())
            }
        }
    }
}
