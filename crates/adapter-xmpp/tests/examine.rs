//! Dry runs.

#[cfg(test)]
mod support;

use std::sync::Arc;

use adapter_api::{Acknowledgement, Examine, Hop, Repetition, SendsAs};
use impp_model::{Domain, Operation};
use serde_json::json;
use support::{DOMAIN, config, operation, start};

#[tokio::test]
async fn a_dry_run_tells_addresses_size_and_losses() {
    let gateway = start(config(1, json!({})));
    let mut operation = operation("hello");
    operation.message.receipts.processing = true;
    let request =
        Examine::DryRun { operation: Box::new(Operation::Message(Box::new(operation))), hop: Arc::new(Hop::Link) };
    let findings = gateway.adapter.examine(request).await;
    let value = |what: &str| {
        let found = findings.findings.iter().find(|finding| finding.what == what);
        found.map(|finding| finding.value.clone()).unwrap_or_default()
    };
    assert_eq!(value("source"), "romeo@sip.example.com");
    assert_eq!(value("destination"), "juliet@example.com");
    assert!(value("size").ends_with("of at most 262144 octets"));
    assert!(value("acknowledgement").starts_with("barrier"));
    assert_eq!(value("link"), "down");
    assert_eq!(findings.dropped, ["receipts"]);
}

// checks: XE-04, XE-05
#[tokio::test]
async fn rfc3923_s8_a_dry_run_measures_the_protected_object_and_refuses_what_xml_would_change() {
    let gateway = start(config(1, json!({})));
    let mut found = Vec::new();
    for content in [&b"AAAA".repeat(200)[..], b"\0\x01\x02"] {
        let entity = [b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\n", content].concat();
        let mut operation = operation("");
        operation.message.sealed = cpim::mapping::seal(entity.into());
        assert!(operation.message.sealed.is_some());
        let request =
            Examine::DryRun { operation: Box::new(Operation::Message(Box::new(operation))), hop: Arc::new(Hop::Link) };
        found.push(gateway.adapter.examine(request).await.findings);
    }
    let value = |at: usize, what: &str| {
        let mut findings = found[at].iter();
        findings.find(|finding| finding.what == what).map(|finding| finding.value.clone()).unwrap_or_default()
    };
    let octets: usize = value(0, "size").split(' ').next().unwrap().parse().unwrap();
    assert!((900..1400).contains(&octets), "the object's 800 and the stanza around them: {octets}");
    assert_eq!((value(0, "refused"), value(1, "size")), (String::new(), String::new()));
    assert!(value(1, "refused").starts_with("unsupported-media"), "{}", value(1, "refused"));
}

#[tokio::test]
async fn capabilities_follow_the_configuration() {
    let gateway = start(config(1, json!({"acknowledge": "none"})));
    let capabilities = gateway.adapter.capabilities();
    assert_eq!(capabilities.acknowledgement, Acknowledgement::None);
    assert_eq!(capabilities.sends_as, SendsAs::Domains(vec![Domain::parse(DOMAIN).unwrap()]));
    assert!(
        !capabilities.answers_each && capabilities.repetition == Repetition::Unrepeatable && capabilities.standing_link
    );
}
