//! The OpenAPI document of the calls that exist.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Interlingua native protocol", version = "1"),
    paths(
        super::messages::post,
        super::signals::post_composing,
        super::signals::post_disposition,
        super::events::stream,
        super::events::acknowledge,
        super::ws::upgrade,
        super::presence::put,
        super::presence::subscribe,
        super::presence::unsubscribe,
        super::presence::authorize,
        document
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

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "description", responses((status = 200, description = "OpenAPI")))]
pub(super) async fn document() -> Json<openapi::OpenApi> {
    Json(Document::openapi())
}
