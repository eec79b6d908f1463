//! What an operator hears of certificates that end.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
mod serving;

use std::time::{Duration, SystemTime};

use common::text;
use serving::{Gateway, HEAD, admin};
use transport::tls::testkit::{Authority, San, Variant};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn certificates_that_end_soon_or_have_ended_are_told_in_the_log_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, now) = (Authority::new("CA"), SystemTime::now());
    let soon = Variant { validity: (now - DAY, now + DAY * 5 + DAY / 2), ..Variant::default() };
    let issue = |name: &str, domain: &str, variant: &Variant| {
        authority.issue_variant(&[San::Dns(domain)], variant).write(folder.path(), name);
    };
    issue("soon", "soon.example", &soon);
    issue("over", "over.example", &Variant::expired());
    issue("good", "gw.example.net", &Variant::default());
    let certificate = |name: &str| format!("{{ certificate = \"{name}.pem\", private_key = \"{name}.key\" }}");
    let config = format!(
        "{HEAD}\n[[domain]]\nname = \"native.example\"\nadapter = \"native\"\n[tls]\ncertificates = [{}]\n",
        ["soon", "over", "good"].map(certificate).join(", ")
    );
    let mut gateway = Gateway::start_in(folder, &config);
    for told in ["ready", "this certificate has expired: peers refuse it"] {
        if !gateway.seen.iter().any(|entry| text(entry, "message") == told) {
            gateway.until(told);
        }
    }
    let told = |message: &str| {
        let found = gateway.seen.iter().filter(|entry| text(entry, "message").starts_with(message));
        found.map(|entry| (text(entry, "level"), text(entry, "names"), entry["days"].as_u64())).collect::<Vec<_>>()
    };
    assert_eq!(told("this certificate expires soon"), [("WARN", "soon.example", Some(5))]);
    assert_eq!(told("this certificate has expired"), [("ERROR", "over.example", None)]);
    let address = gateway.address("admin API, metrics and health checks", "interlingua");
    let metrics = admin(&address, "/metrics");
    let expiry = |file: &str| {
        let wanted = format!("interlingua_certificate_expiry_seconds{{certificate=\"{file}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap().parse::<f64>().unwrap()
    };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(expiry("over.pem") < now && expiry("soon.pem") > now && expiry("good.pem") > expiry("soon.pem"));
}
