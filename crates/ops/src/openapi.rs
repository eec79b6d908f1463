//! The OpenAPI document of the calls that exist.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Interlingua admin API", version = "1"),
    paths(
        crate::state::healthz,
        crate::state::readyz,
        crate::state::show_metrics,
        document,
        crate::state::status,
        crate::state::peers,
        crate::state::domains,
        crate::certificates::list,
        crate::state::configuration,
        crate::state::subscriptions,
        crate::doctor::last,
        crate::doctor::examine,
        crate::events::stream,
        crate::ways::explain,
        crate::ways::resolve,
        crate::ways::trace,
        crate::ways::traces,
        crate::queue::list,
        crate::queue::give_up,
        crate::queue::retry,
        crate::state::reload,
    ),
    modifiers(&Token)
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

pub(crate) fn described() -> openapi::OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "state", security((), ("token" = [])),
    responses((status = 200, description = "OpenAPI", body = Object))
)]
pub(crate) async fn document() -> Json<openapi::OpenApi> {
    Json(described())
}
