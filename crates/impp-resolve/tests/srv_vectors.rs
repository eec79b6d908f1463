//! Walks `tests/vectors/srv.json`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use impp_model::Domain;
use impp_resolve::{
    AliasCheck, Answer, Dns, DnsError, DnsFailure, Limits, Name, Naptr, Options, Protocol, Record, RecordType,
    Resolver, Srv, Zone,
};
use serde_json::Value;

/// A zone some of whose names do not answer.
struct VectorDns {
    zone: Zone,
    failures: BTreeMap<Name, DnsFailure>,
}

#[async_trait]
impl Dns for VectorDns {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        match self.failures.get(name) {
            Some(failure) => Err(DnsError::Failure(*failure)),
            None => self.zone.query(name, record_type).await,
        }
    }
}

impl VectorDns {
    fn new(vector: &Value) -> Self {
        let mut zone = Zone::new();
        for row in vector["zone"].as_array().unwrap() {
            zone.insert(name(&row[0]), Duration::from_secs(60), record(row));
        }
        let failures = vector.get("dns_errors").and_then(Value::as_object).into_iter().flatten();
        let failures = failures.map(|(owner, error)| (Name::parse(owner).unwrap(), failure(error))).collect();
        Self { zone, failures }
    }
}

fn failure(error: &Value) -> DnsFailure {
    match error.as_str().unwrap() {
        "SERVFAIL" => DnsFailure::ServFail,
        "TIMEOUT" => DnsFailure::Timeout,
        other => panic!("{other}"),
    }
}

fn name(value: &Value) -> Name {
    Name::parse(value.as_str().unwrap()).unwrap()
}

fn number(value: &Value) -> u16 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().into()
}

fn record(row: &Value) -> Record {
    match row[1].as_str().unwrap() {
        "A" => Record::A(text(&row[2]).parse().unwrap()),
        "AAAA" => Record::Aaaa(text(&row[2]).parse().unwrap()),
        "CNAME" => Record::Cname(name(&row[2])),
        "SRV" => Record::Srv(Srv {
            priority: number(&row[2]),
            weight: number(&row[3]),
            port: number(&row[4]),
            target: name(&row[5]),
        }),
        "NAPTR" => Record::Naptr(Naptr {
            order: number(&row[2]),
            preference: number(&row[3]),
            flags: text(&row[4]),
            service: text(&row[5]),
            regexp: text(&row[6]),
            replacement: name(&row[7]),
        }),
        other => panic!("{other}"),
    }
}

fn options(vector: &Value) -> Options {
    let given = &vector["options"];
    let flag = |name: &str| given.get(name).and_then(Value::as_bool).unwrap_or(false);
    let list = |name: &str| given.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut limits = Limits::default();
    if let Some(max) = given.get("max_targets") {
        limits.max_targets = usize::from(number(max));
    }
    Options {
        supported: list("supported").iter().map(|label| Protocol::parse(&text(label)).unwrap()).collect(),
        local_domains: list("local_domains").iter().map(|domain| Domain::parse(&text(domain)).unwrap()).collect(),
        native: flag("native"),
        alias_check: if flag("check_cname") { AliasCheck::First } else { AliasCheck::Never },
        limits,
        ..Options::default()
    }
}

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/srv.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

async fn resolve(vector: &Value) -> Value {
    resolve_with(vector, VectorDns::new(vector)).await
}

async fn resolve_with(vector: &Value, dns: VectorDns) -> Value {
    let resolver = Resolver::new(Arc::new(dns), options(vector));
    let draws = vector["options"].get("draws").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut draws = draws.iter().map(|draw| u32::from(number(draw)));
    let mut draw = |_| draws.next().unwrap_or(0);
    let resolution = resolver.resolve_uri(vector["uri"].as_str().unwrap(), None, &mut draw).await.unwrap();
    serde_json::to_value(resolution).unwrap()
}

// checks: AR-01, AR-02, AR-03, AR-04, AR-05, AR-06, AR-07, AR-08, AR-09, AR-11, AR-12, AR-13, AR-14, AR-16, AR-17
// checks: AR-20, AR-22, AR-24, AR-25, AR-26, AR-30, AR-31, LOC-001, LOC-003, LOC-004, LOC-005, LOC-008, XST-040
// checks: PR-16, INV-09
#[tokio::test]
async fn every_vector_resolves_as_expected() {
    for vector in vectors() {
        let mut actual = resolve(&vector).await;
        let steps = actual.as_object_mut().unwrap().remove("steps").unwrap();
        assert_eq!(actual, vector["expected"], "{} {}\n{steps:#}", vector["id"], vector["title"]);
    }
}

// checks: AR-16
#[tokio::test]
async fn whichever_query_fails_it_proves_no_absence() {
    let mut failed = 0;
    for vector in vectors() {
        for query in list(&resolve(&vector).await["queries"]) {
            let name = Name::parse(query.as_str().unwrap().split(' ').next().unwrap()).unwrap();
            let mut dns = VectorDns::new(&vector);
            dns.failures.insert(name, DnsFailure::ServFail);
            let outcome = &resolve_with(&vector, dns).await["outcome"];
            assert!(["deliver", "temporary-failure"].contains(&outcome.as_str().unwrap()), "{} {query}", vector["id"]);
            failed += 1;
        }
    }
    assert!(failed > 100, "{failed}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
