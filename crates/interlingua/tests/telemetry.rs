//! Spans on their way to a collector, and the same reason codes wherever somebody looks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use common::{run, text};
use serde_json::Value;
use serving::{CAROL, Gateway, HEAD, admin};

/// A SIP domain behind a port where nobody listens.
const DOMAINS: &str = r#"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:127.0.0.1:9;transport=tcp"
trusted = ["127.0.0.1/32"]
"#;

fn send(gateway: &Gateway) -> Value {
    let native = format!("http://{}", gateway.address("listening", "adapter_native"));
    run(&["send", "alice@sip.example", "x", "--server", &native, "--token", CAROL, "--json"]).json()
}

#[test]
fn answers_logs_metrics_and_traces_give_one_reason() {
    let mut gateway = Gateway::start(&format!("{HEAD}{DOMAINS}"));
    gateway.until("ready");
    let told = send(&gateway);
    let reason = text(&told, "reason").to_owned();
    assert_eq!((text(&told, "status"), reason.is_empty()), ("failure", false), "{told}");
    gateway.until("not delivered");
    let logged = gateway.seen.last().unwrap();
    assert_eq!((text(logged, "reason"), text(logged, "trace")), (reason.as_str(), text(&told, "trace")), "{logged}");
    let address = gateway.address("admin API, metrics and health checks", "interlingua");
    let metrics = admin(&address, "/metrics");
    assert!(metrics.contains(&format!("outcome=\"failed\",reason=\"{reason}\"")), "{metrics}");
    let trace = admin(&address, &format!("/api/v1/trace/{}", text(&told, "trace")));
    assert!(trace.contains(&format!("\"reason\":\"{reason}\"")), "{trace}");
}

#[cfg(feature = "otel")]
#[test]
fn a_collector_gets_a_span_for_each_leg() {
    use std::io::{Read, Write};
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("[trace]\notlp_endpoint = \"http://{}/v1/traces\"\n", collector.local_addr().unwrap());
    let mut gateway = Gateway::start(&format!("{HEAD}{DOMAINS}{endpoint}"));
    gateway.until("ready");
    let told = send(&gateway);
    let (mut stream, _) = collector.accept().unwrap();
    let (mut request, mut buffer) = (String::new(), [0; 65536]);
    let body = loop {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{request}");
        request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        if let Some(body) = request.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()) {
            break body;
        }
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let body: Value = body;
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| text(span, "name")).collect();
    assert_eq!(names, ["message from native", "message to sip"], "{body:#}");
    assert!(spans.iter().all(|span| text(span, "traceId").ends_with(text(&told, "trace"))));
    assert_eq!(text(&spans[1]["status"], "message"), text(&told, "reason"));
    assert!(!body.to_string().contains("alice"), "{body:#}");
}
