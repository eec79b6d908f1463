//! Traces for OpenTelemetry: one span for each leg of an operation, in one trace, by OTLP over HTTP in JSON.
//!
//! Spans are made of what the hub tells those who watch it, so that nothing is measured twice and a collector that is slow
//! costs no message anything. A span names domains and reason codes, and no user.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use impp_model::Outcome;
use interwork::{Core, Happening, Missed, Passage, Trace};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Spans in one request, and how long the first of them waits for others.
const BATCH: usize = 256;
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the hub is watched again, when it could not be.
const PAUSE: Duration = Duration::from_secs(5);

/// Sends spans to `endpoint` until it is dropped.
pub(crate) async fn export(core: Arc<Core>, endpoint: String, version: &'static str) {
    let client = match reqwest::Client::builder().no_proxy().timeout(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no traces are exported"),
    };
    let gateway = core.rulebook().configuration.gateway.to_string();
    let mut failing = false;
    loop {
        let Some(mut viewer) = core.view() else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        loop {
            let mut spans = Vec::new();
            let mut until = None;
            while spans.len() < BATCH {
                let told = match until {
                    None => viewer.next().await,
                    Some(until) => match tokio::time::timeout_at(until, viewer.next()).await {
                        Ok(told) => told,
                        Err(_) => break,
                    },
                };
                match told {
                    Ok(happening) => {
                        if let Happening::Operation(passage) = &*happening {
                            spans.extend(spans_of(passage, core.traces().find(&passage.trace.to_string()).as_ref()));
                            until = until.or(Some(Instant::now() + LINGER));
                        }
                    }
                    Err(Missed::TooSlow(missed)) => tracing::warn!(missed, "operations without spans"),
                    Err(Missed::Stopped) => return,
                }
            }
            let request = request(&gateway, version, spans);
            let sent = client.post(&endpoint).json(&request).send().await.and_then(reqwest::Response::error_for_status);
            match (&sent, failing) {
                (Err(error), false) => tracing::warn!(%error, "the collector takes no spans"),
                (Ok(_), true) => tracing::info!("the collector takes spans again"),
                (Ok(_), false) | (Err(_), true) => {}
            }
            failing = sent.is_err();
        }
    }
}

/// The spans of one passage: of the leg it came in by, and of the leg it went out by. What was stored has had the first already.
fn spans_of(passage: &Passage, trace: Option<&Trace>) -> Vec<Value> {
    let id = passage.trace.0;
    let near = span_id(id, 0);
    let stored = trace.is_some_and(|trace| {
        let earlier = trace.events.iter().filter(|event| event.what == "spooled").count();
        earlier > usize::from(passage.what == "spooled")
    });
    let began = passage.at.checked_sub(passage.took).unwrap_or(passage.at);
    let mut spans = Vec::new();
    let kind = passage.kind.label();
    if !stored {
        spans.push(span(passage, near, None, 2, &format!("{kind} from {}", passage.near), began));
    }
    let far = passage.decision.as_ref().and_then(|decision| decision.result.as_ref().ok());
    if let Some(choice) = far {
        let routed = trace.and_then(|trace| {
            let last = trace.events.iter().rev().find(|event| event.what == "routed")?;
            trace.at.checked_add(last.after)
        });
        let routed = routed.unwrap_or(began);
        let number = trace.map_or(1, |trace| trace.events.len() as u64);
        let name = format!("{kind} to {}", choice.adapter);
        spans.push(span(passage, span_id(id, number), Some(near), 3, &name, routed.min(passage.at)));
    }
    spans
}

/// `kind`: 2 is a server's, 3 a client's (OTLP's `SpanKind`).
fn span(passage: &Passage, id: u64, parent: Option<u64>, kind: u8, name: &str, began: SystemTime) -> Value {
    let why = passage.decision.as_ref().map(|decision| decision.why().to_owned());
    let texts = [
        ("interlingua.kind", Some(passage.kind.label().to_owned())),
        ("interlingua.from", Some(passage.from.to_string())),
        ("interlingua.to", Some(passage.to.to_string())),
        ("interlingua.event", Some(passage.what.to_owned())),
        ("interlingua.outcome", Some(passage.outcome.label().to_owned())),
        ("interlingua.reason", Some(passage.outcome.reason().to_owned()).filter(|reason| !reason.is_empty())),
        ("interlingua.why", why),
    ];
    let attributes: Vec<_> = texts.into_iter().filter_map(|(key, text)| Some(attribute(key, &text?))).collect();
    let failed = matches!(passage.outcome, Outcome::Failure(_));
    let mut span = json!({
        "traceId": format!("{:032x}", passage.trace.0),
        "spanId": format!("{id:016x}"),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(began),
        "endTimeUnixNano": nanos(passage.at),
        "attributes": attributes,
        "status": if failed { json!({ "code": 2, "message": passage.outcome.reason() }) } else { json!({}) },
    });
    if let (Some(parent), Some(fields)) = (parent, span.as_object_mut()) {
        fields.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
    }
    span
}

/// A number for each span of a trace, never zero.
fn span_id(trace: u64, number: u64) -> u64 {
    // An odd factor of large difference: neighbours get ids that have nothing in common.
    (trace.wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).max(1)
}

fn request(gateway: &str, version: &str, spans: Vec<Value>) -> Value {
    let attributes = [
        attribute("service.name", "interlingua"),
        attribute("service.instance.id", gateway),
        attribute("service.version", version),
    ];
    let scopes = [json!({ "scope": { "name": "interlingua" }, "spans": spans })];
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": scopes }] })
}

fn attribute(key: &str, text: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": text } })
}

/// OTLP writes 64-bit numbers as text.
fn nanos(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Cause, Domain, Failure, Kind, Side};
    use interwork::Decision;
    use serde_json::json;

    /// A passage that took two seconds, and its trace with these events, each a second after the one before.
    fn passed(what: &'static str, outcome: Outcome, events: &[&'static str]) -> (Passage, Trace) {
        let decision: Decision = serde_json::from_value(json!({
            "steps": ["domain xmpp.example: adapter office"],
            "result": { "Ok": { "adapter": "office", "hop": "link" } },
        }))
        .unwrap();
        let domain = |name: &str| Domain::parse_host(name).unwrap();
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let took = Duration::from_secs(events.len() as u64);
        let events: Vec<_> = (1..)
            .zip(events)
            .map(|(after, what)| json!({ "after": { "secs": after, "nanos": 0 }, "what": what, "reason": "" }))
            .collect();
        let trace = json!({
            "id": 255, "at": { "secs_since_epoch": 1000, "nanos_since_epoch": 0 }, "kind": "message", "adapter": "sip", "peer": "192.0.2.1",
            "proof": null, "message_id": null, "from": "sip.example", "to": "xmpp.example", "decision": null, "outcome": null,
            "took": null, "events": events,
        });
        let passage = Passage {
            trace: adapter_api::TraceId(255),
            kind: Kind::Message,
            near: "sip".into(),
            from: domain("sip.example"),
            to: domain("xmpp.example"),
            operation: None,
            decision: Some(Arc::new(decision)),
            what,
            outcome,
            at: began + took,
            took,
        };
        (passage, serde_json::from_value(trace).unwrap())
    }

    fn times(span: &Value) -> (u64, u64) {
        let seconds = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap() / 1_000_000_000;
        (seconds("startTimeUnixNano"), seconds("endTimeUnixNano"))
    }

    #[test]
    fn each_leg_is_a_span_and_both_are_of_one_trace() {
        let (passage, trace) = passed("delivered", Outcome::HandedOver, &["routed", "delivered"]);
        let spans = spans_of(&passage, Some(&trace));
        let [near, far] = &spans[..] else { panic!("{spans:#?}") };
        assert_eq!((&near["name"], &far["name"]), (&json!("message from sip"), &json!("message to office")));
        assert!(spans.iter().all(|span| span["traceId"] == "000000000000000000000000000000ff"));
        assert_eq!((&near["parentSpanId"], &far["parentSpanId"]), (&Value::Null, &near["spanId"]));
        assert_ne!(near["spanId"], far["spanId"]);
        assert_eq!((times(near), times(far)), ((1_000, 1_002), (1_001, 1_002)), "the second begins when it was routed");
        assert_eq!(near["status"], json!({}));
    }

    #[test]
    fn what_was_stored_has_its_first_leg_once_and_a_failure_its_reason() {
        let (spooled, trace) = passed("spooled", Outcome::Indeterminant, &["routed", "spooled"]);
        assert_eq!(spans_of(&spooled, Some(&trace)).len(), 2);
        let failure = Failure::new(Side::Far, Cause::NotFound).into();
        let (ended, trace) = passed("failed", failure, &["routed", "spooled", "routed", "failed"]);
        let spans = spans_of(&ended, Some(&trace));
        let [far] = &spans[..] else { panic!("{spans:#?}") };
        assert_eq!(far["status"], json!({ "code": 2, "message": "item-not-found" }));
        assert_eq!(times(far), (1_003, 1_004));
    }

    #[test]
    fn a_request_says_whose_spans_they_are() {
        let request = request("gw.example", "1.2", vec![json!({})]);
        let resource = &request["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][1], attribute("service.instance.id", "gw.example"));
        assert_eq!(resource["scopeSpans"][0]["spans"], json!([{}]));
    }
}
