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
mod collector {
    //! A collector that takes nothing but what the specification of OTLP/HTTP allows, in JSON.

    use std::collections::{BTreeMap, BTreeSet};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::thread;

    use serde_json::{Map, Value};

    /// A span as it came, and its resource.
    #[derive(Debug, Clone)]
    pub(super) struct Span {
        pub(super) trace: String,
        pub(super) id: String,
        pub(super) parent: Option<String>,
        pub(super) name: String,
        pub(super) kind: u64,
        pub(super) start: u64,
        pub(super) end: u64,
        pub(super) error: Option<String>,
        pub(super) attributes: BTreeMap<String, String>,
        pub(super) service: BTreeMap<String, String>,
    }

    /// Where it listens, and the spans that come.
    pub(super) fn start() -> (SocketAddr, Receiver<Span>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, spans) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = told.clone();
                thread::spawn(move || serve(stream, &told));
            }
        });
        (address, spans)
    }

    /// One connection, on which several requests may come.
    fn serve(stream: TcpStream, told: &Sender<Span>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                match line.trim_end() {
                    "" => break,
                    line => head.push(line.to_lowercase()),
                }
            }
            assert_eq!(head[0], "post /v1/traces http/1.1");
            assert!(head.contains(&"content-type: application/json".to_owned()), "{head:?}");
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            for span in spans_of(&serde_json::from_slice(&body).unwrap()) {
                // The test may be over.
                let _ = told.send(span);
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            (&stream).write_all(answer.as_bytes()).unwrap();
        }
    }

    fn spans_of(request: &Value) -> Vec<Span> {
        let mut found = Vec::new();
        for resource in entries(fields(request, &["resourceSpans"]), "resourceSpans") {
            let parts = fields(resource, &["resource", "scopeSpans", "schemaUrl"]);
            let service = attributes(fields(&parts["resource"], &["attributes"]));
            for scope in entries(parts, "scopeSpans") {
                let scope = fields(scope, &["scope", "spans", "schemaUrl"]);
                assert!(fields(&scope["scope"], &["name", "version"])["name"].is_string());
                found.extend(entries(scope, "spans").iter().map(|span| read(span, &service)));
            }
        }
        found
    }

    /// The fields of an object that has no others than these: a receiver in strict mode refuses them.
    fn fields<'v>(value: &'v Value, known: &[&str]) -> &'v Map<String, Value> {
        let fields = value.as_object().unwrap();
        assert!(fields.keys().all(|name| known.contains(&name.as_str())), "{known:?} and not {value}");
        fields
    }

    fn entries<'v>(fields: &'v Map<String, Value>, name: &str) -> &'v [Value] {
        fields[name].as_array().unwrap()
    }

    fn read(span: &Value, service: &BTreeMap<String, String>) -> Span {
        let known = ["traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"];
        let span = fields(span, &[&known[..], &["attributes", "status"]].concat());
        let status = fields(&span["status"], &["code", "message"]);
        let code = status.get("code").map_or(0, |code| code.as_u64().unwrap());
        assert!(code <= 2, "{status:?}");
        let (start, end) = (nanos(&span["startTimeUnixNano"]), nanos(&span["endTimeUnixNano"]));
        assert!(start <= end, "{span:?}");
        let kind = span["kind"].as_u64().unwrap();
        assert!((1..=5).contains(&kind), "{span:?}");
        Span {
            trace: id(&span["traceId"], 32),
            id: id(&span["spanId"], 16),
            parent: span.get("parentSpanId").map(|parent| id(parent, 16)),
            name: span["name"].as_str().filter(|name| !name.is_empty()).unwrap().to_owned(),
            kind,
            start,
            end,
            error: (code == 2).then(|| status["message"].as_str().unwrap().to_owned()),
            attributes: attributes(span),
            service: service.clone(),
        }
    }

    /// In JSON ids are hexadecimal, not base64, and of all zeros none is valid.
    fn id(value: &Value, digits: usize) -> String {
        let text = value.as_str().unwrap();
        assert!(text.len() == digits && text.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')), "{text}");
        assert!(text.chars().any(|digit| digit != '0'));
        text.to_owned()
    }

    /// Numbers of 64 bits are text.
    fn nanos(value: &Value) -> u64 {
        value.as_str().unwrap().parse().unwrap()
    }

    fn attributes(of: &Map<String, Value>) -> BTreeMap<String, String> {
        let mut seen = BTreeSet::new();
        let read = |attribute: &Value| {
            let pair = fields(attribute, &["key", "value"]);
            let (key, value) = (pair["key"].as_str().unwrap(), fields(&pair["value"], &["stringValue"]));
            assert!(!key.is_empty() && seen.insert(key.to_owned()), "{key:?} twice");
            (key.to_owned(), value["stringValue"].as_str().unwrap().to_owned())
        };
        entries(of, "attributes").iter().map(read).collect()
    }
}

#[cfg(feature = "otel")]
#[test]
fn a_collector_gets_a_span_for_each_leg_as_otlp_wants_it() {
    use std::time::{Duration, SystemTime};
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let (address, spans) = collector::start();
    let endpoint = format!("[trace]\notlp_endpoint = \"http://{address}/v1/traces\"\n");
    let mut gateway = Gateway::start(&format!("{HEAD}{DOMAINS}{endpoint}"));
    gateway.until("ready");
    let next = || spans.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    // The second one comes in a request of its own.
    for _ in 0..2 {
        let told = send(&gateway);
        let (near, far) = (next(), next());
        assert_eq!((near.name.as_str(), far.name.as_str()), ("message from native", "message to sip"));
        assert_eq!((near.kind, far.kind), (2, 3), "a server's, a client's");
        assert_eq!((&near.parent, &far.parent), (&None, &Some(near.id.clone())));
        assert_eq!(near.trace, far.trace);
        assert!(near.trace.ends_with(text(&told, "trace")), "`interlingua trace` finds it");
        assert!(near.start <= far.start && far.end <= near.end, "{near:?} {far:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        assert!((began..=now).contains(&u128::from(near.start)) && u128::from(near.end) <= now);
        for span in [&near, &far] {
            assert!(ids.insert(span.id.clone()), "each has an id of its own");
            assert_eq!(span.error.as_deref(), Some(text(&told, "reason")));
            assert_eq!(span.attributes["interlingua.reason"], text(&told, "reason"));
            assert_eq!(span.attributes["interlingua.to"], "sip.example");
            assert_eq!(span.service["service.name"], "interlingua");
            assert!(!format!("{span:?}").contains("alice"), "no user is named: {span:?}");
        }
    }
}
