//! `GET /api/v1/events`: what happens in the gateway, told while it happens.

use crate::api::Admin;
use crate::auth::Role;
use crate::problem::Problem;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use interwork::{Decision, Happening, Missed, Passage, Viewer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

/// Below the idle timeouts of common proxies (60 s and more) with room to spare.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams what happens from now on, until the client goes or falls behind.
///
/// `operation` when an operation was answered, or ended later; `peer` when a peer can be reached or no longer; `reload` when
/// the configuration was read anew; `dropped` as the last one, to a client for whom more than 1,024 events were waiting.
/// Comments keep the connection alive. What happened before is in `/api/v1/traces`: there are no event ids.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "operations", security((), ("token" = [])),
    responses(
        (status = 200, description = "Events `operation`, `peer`, `reload`, `dropped`, each with JSON data", content_type = "text/event-stream", body = String),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 503, description = "32 clients are told already", body = Problem),
    )
)]
pub(crate) async fn stream(State(admin): State<Admin>, Extension(role): Extension<Role>) -> Response {
    let Some(viewer) = admin.core.view() else {
        return Problem::new("too many clients watch already; close one").with(StatusCode::SERVICE_UNAVAILABLE);
    };
    // A first comment, so that clients and proxies see the stream begin at once.
    let opening = stream::iter([Ok(Event::default().comment("interlingua"))]);
    let events = opening.chain(events(viewer, role));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn events(viewer: Viewer, role: Role) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(viewer), move |viewer| async move {
        let mut viewer = viewer?;
        let (kind, data, viewer) = match viewer.next().await {
            Ok(happening) => {
                let (kind, data) = described(&happening, role);
                (kind, data, Some(viewer))
            }
            Err(missed @ Missed::TooSlow(count)) => {
                let note = format!("{missed}; connect again, and read /api/v1/traces for what happened meanwhile");
                ("dropped", json!({ "missed": count, "note": note }), None)
            }
            Err(Missed::Stopped) => return None,
        };
        Some((Ok(Event::default().event(kind).data(data.to_string())), viewer))
    })
}

fn described(happening: &Happening, role: Role) -> (&'static str, Value) {
    match happening {
        Happening::Operation(passage) => ("operation", operation(passage, role)),
        Happening::Peer { adapter, peer, state } => {
            ("peer", json!({ "at": seconds(SystemTime::now()), "adapter": adapter, "peer": peer, "state": state }))
        }
        Happening::Reloaded { applied, restart, problems } => (
            "reload",
            json!({ "at": seconds(SystemTime::now()), "taken_over": *problems == 0, "applied": applied, "restart": restart, "problems": problems }),
        ),
    }
}

fn operation(passage: &Passage, role: Role) -> Value {
    let choice = passage.decision.as_deref().and_then(|decision| decision.result.as_ref().ok());
    let operation = passage.operation.as_deref().filter(|_| role.sees_addresses());
    json!({
        "at": seconds(passage.at),
        "trace": passage.trace.to_string(),
        "kind": passage.kind.label(),
        "from": passage.from.as_str(), "to": passage.to.as_str(),
        "source": operation.map(|operation| operation.source().address.to_string()),
        "destination": operation.map(|operation| operation.destination().address.to_string()),
        "near": passage.near, "far": choice.map(|choice| &choice.adapter),
        "why": passage.decision.as_deref().map(Decision::why),
        "what": passage.what, "outcome": passage.outcome.label(), "reason": passage.outcome.reason(),
        "took_ms": passage.took.as_secs_f64() * 1000.0,
    })
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokens;
    use crate::auth::AdminToken;
    use crate::testkit::{admin, ask, on};
    use adapter_api::{HubCore, PeerState, Provenance, SourceProof, SpeaksFor, settle_channel};
    use axum::http::Method;
    use impp_model::{Address, Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation};
    use std::sync::Arc;

    fn message() -> Operation {
        let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
        Operation::Message(Box::new(MessageOperation {
            source: end("romeo@a.example"),
            destination: end("juliet@b.example"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "t1".into(),
            message: InstantMessage::new(Content::text("hello")),
        }))
    }

    fn provenance() -> Arc<Provenance> {
        Arc::new(Provenance {
            may_repeat: false,
            adapter: "sip".into(),
            peer: "192.0.2.1".into(),
            proof: SourceProof::None,
            speaks_for: SpeaksFor::Nobody,
        })
    }

    /// The events of a stream up to the first of this kind, as text.
    async fn heard(response: Response, kind: &str) -> String {
        let mut text = String::new();
        let mut frames = response.into_body().into_data_stream();
        let end = format!("event: {kind}\n");
        while let Some(frame) = frames.next().await {
            text.push_str(std::str::from_utf8(&frame.unwrap()).unwrap());
            if text.contains(&end) && text.ends_with("\n\n") {
                return text;
            }
        }
        panic!("ended without {kind}: {text}");
    }

    #[tokio::test]
    async fn operations_peers_and_reloads_are_told_and_addresses_only_to_the_full_role() {
        let tokens = Tokens { full: Some(AdminToken::new("full")), read: Some(AdminToken::new("read")) };
        let admin = Admin { tokens, ..admin() };
        let router = crate::router(admin.clone());
        let mut streams = Vec::new();
        for token in ["full", "read"] {
            let mut request = on(Method::GET, "/api/v1/events");
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            streams.push(ask(&router, request).await);
        }
        let (settle, _outcome) = settle_channel();
        admin.core.submit(message(), provenance(), settle);
        admin.core.peer_changed(&"sip".into(), "b.example", PeerState::Up);
        admin.core.reloaded(&["domain".to_owned()], &[], 0);
        for (response, sees) in streams.into_iter().zip([true, false]) {
            let text = heard(response, "reload").await;
            assert!(text.starts_with(": interlingua\n\n"), "{text}");
            let kinds: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
            assert_eq!(kinds, ["operation", "peer", "reload"], "{text}");
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(
                (&data["what"], &data["reason"], &data["from"]),
                (&json!("refused"), &data["reason"], &json!("a.example"))
            );
            assert_eq!(data["source"].as_str(), sees.then_some("romeo@a.example"), "{data}");
            assert_eq!(text.contains("juliet"), sees, "{text}");
        }
    }

    #[tokio::test]
    async fn a_client_that_falls_behind_is_told_so_and_ended_and_others_are_bounded() {
        let admin = admin();
        let router = crate::router(admin.clone());
        let slow = ask(&router, on(Method::GET, "/api/v1/events")).await;
        for _ in 0..1_025 {
            admin.core.reloaded(&[], &[], 1);
        }
        let text = heard(slow, "dropped").await;
        assert!(text.contains("\"missed\":1,"), "{text}");
        let mut others = Vec::new();
        for _ in 0..interwork::MAX_VIEWERS {
            others.push(ask(&router, on(Method::GET, "/api/v1/events")).await);
        }
        let refused = ask(&router, on(Method::GET, "/api/v1/events")).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        others.pop();
        assert_eq!(ask(&router, on(Method::GET, "/api/v1/events")).await.status(), StatusCode::OK);
    }
}
