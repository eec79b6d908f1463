//! A gateway without adapters, and requests to its API without a socket.

use crate::{Admin, Audit, Configured, Doctor, Readiness, Tokens};
use adapter_api::{Configuration, Dns};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use impp_model::Domain;
use impp_resolve::{Answer, DnsError, Name, RecordType};
use interwork::{
    Core, CoreConfig, DeliveryLimits, Policy, PresenceLimits, RateLimits, RoutingConfig, Rulebook, Storage,
};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Ledger, Limits, MemoryStore, Shard, SteadyClock, TraceLimits, TraceLog};
use transport::Tls;

struct Nothing;

#[async_trait]
impl Dns for Nothing {
    async fn query(&self, _: &Name, _: RecordType) -> Result<Answer, DnsError> {
        Err(DnsError::NxDomain { ttl: None })
    }
}

struct Fixed;

impl Configured for Fixed {
    fn show(&self) -> Value {
        json!({})
    }

    fn reload(&self) -> Result<Value, Value> {
        Ok(json!({ "applied": [] }))
    }
}

#[async_trait]
impl Doctor for Fixed {
    fn last(&self) -> Value {
        Value::Null
    }

    async fn examine(&self, domains: Vec<Domain>) -> Option<Value> {
        Some(json!({ "checks": domains.iter().map(Domain::as_str).collect::<Vec<_>>() }))
    }
}

/// A hub that knows no adapter and has forgotten everything.
fn core_on(store: Arc<MemoryStore>, limits: Limits) -> Arc<Core> {
    let configuration = Arc::new(Configuration::new(Domain::parse_host("gw.example").unwrap(), Vec::new()));
    let rules = Rulebook {
        configuration: configuration.clone(),
        routing: RoutingConfig::default(),
        policy: Policy::default(),
        rates: RateLimits::default(),
    };
    let config = CoreConfig {
        configuration: tokio::sync::watch::Sender::new(configuration),
        rules,
        presence: PresenceLimits::default(),
        delivery: DeliveryLimits::default(),
        discovery: impp_resolve::Limits::default(),
        traces: 100,
    };
    let clock = SteadyClock::start();
    let now = clock.at(tokio::time::Instant::now().into_std());
    let (ledger, _) = Ledger::open(store.clone(), Shard::all(), limits, now).unwrap();
    let traces = TraceLog::open(store, TraceLimits::default()).unwrap();
    Core::new(config, Vec::new(), Arc::new(Nothing), Storage { ledger, clock, traces }, 1)
}

/// What an API without tokens shows of it.
pub(crate) fn admin() -> Admin {
    admin_on(Arc::new(MemoryStore::new()))
}

/// The same on a store of the test's own.
pub(crate) fn admin_on(store: Arc<MemoryStore>) -> Admin {
    admin_with(store, Limits::default())
}

/// The same with bounds of the test's own.
pub(crate) fn admin_with(store: Arc<MemoryStore>, limits: Limits) -> Admin {
    Admin {
        core: core_on(store, limits),
        tls: Arc::new(Tls::none(Domain::parse_host("gw.example").unwrap())),
        readiness: Readiness::default(),
        configured: Arc::new(Fixed),
        doctor: Arc::new(Fixed),
        tokens: Tokens::default(),
        audit: Audit::default(),
        version: "0",
    }
}

pub(crate) fn on(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Response {
    TowerToHyperService::new(router.clone()).call(request).await.unwrap()
}

pub(crate) async fn body(response: Response) -> Value {
    let octets = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&octets).unwrap()
}
