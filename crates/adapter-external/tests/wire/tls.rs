//! The listener for adapters on other machines: whoever does not prove its name is refused, with a reason.

use crate::gate::{Gate, PATIENCE};
use adapter_api::model::Domain;
use adapter_api::{Adapter, Examine, Hop, Tls};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::tls::testkit::{Authority, Issued, San, Variant};

const NAME: [San<'static>; 1] = [San::Dns("raw.adapters.example")];

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A gateway that takes `raw.adapters.example` under `ours` alone, and shows a certificate of a public authority.
async fn gate(ours: &Authority, public: &Authority) -> Gate {
    let folder = tempfile::tempdir().unwrap();
    let shown = public.issue(&[San::Dns("gw.example")]);
    let tls = Tls::load(public.settings(folder.path(), &[("gw", &shown)]), domain("gw.example")).unwrap();
    let authority = folder.path().join("adapters-ca.pem");
    std::fs::write(&authority, ours.pem()).unwrap();
    Gate::open_in(folder, Arc::new(tls), |config| {
        config.socket_file = None;
        config.listen = Some("tls:127.0.0.1:0".parse().unwrap());
        config.client_authority_file = Some(authority);
        config.client_name = Some(domain("raw.adapters.example"));
        assert_eq!(config.problems(), []);
    })
    .await
}

/// What `explain` shows of the last connection.
async fn refused(gate: &Gate) -> Option<String> {
    let request =
        Examine::Probe { source: domain("kit.example"), domain: domain("raw.example"), hop: Arc::new(Hop::Link) };
    let findings = gate.adapter.examine(request).await;
    let found = findings.findings.into_iter().find(|found| found.what == "connection")?;
    found.value.strip_prefix("refused or cut: ").map(str::to_owned)
}

/// Waits for the reason of a connection that has just ended.
async fn reason(gate: &Gate) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(reason) = refused(gate).await {
            return reason;
        }
        assert!(Instant::now() < until, "no reason");
        tokio::task::yield_now().await;
    }
}

/// A client with this certificate, or none, is cut; gives the reason.
async fn cut(shown: Option<&Issued>) -> String {
    cut_by(&Authority::new("ours"), shown).await
}

async fn cut_by(ours: &Authority, shown: Option<&Issued>) -> String {
    let public = Authority::new("public");
    let gate = gate(ours, &public).await;
    let folder = tempfile::tempdir().unwrap();
    let own: Vec<_> = shown.map(|issued| ("own", issued)).into_iter().collect();
    let tls = Tls::load(public.settings(folder.path(), &own), domain("raw.adapters.example")).unwrap();
    let stream = TcpStream::connect(gate.adapter.listening_at().await.unwrap()).await.unwrap();
    let mut stream = tls.connect(stream, &domain("gw.example"), None, &[b"h2"]).await.unwrap().stream;
    assert!(stream.read_u8().await.is_err());
    let reason = reason(&gate).await;
    gate.stop().await;
    reason
}

#[tokio::test]
async fn a_client_that_does_not_prove_the_name_is_refused_with_a_reason() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("ours"));
    assert_eq!(cut(None).await, "certificate-missing");
    assert_eq!(cut_by(&ours, Some(&foreign.issue(&NAME))).await, "certificate-untrusted");
    assert_eq!(cut_by(&ours, Some(&ours.issue_variant(&NAME, &Variant::expired()))).await, "certificate-expired");
    let early = ours.issue_variant(&NAME, &Variant::not_yet_valid());
    assert_eq!(cut_by(&ours, Some(&early)).await, "certificate-not-yet-valid");
    let other = ours.issue(&[San::Dns("other.adapters.example")]);
    assert_eq!(cut_by(&ours, Some(&other)).await, "certificate-wrong-name");
}

#[tokio::test]
async fn whom_the_gateway_trusts_elsewhere_is_refused_here() {
    let (ours, public) = (Authority::new("ours"), Authority::new("public"));
    assert_eq!(cut_by(&ours, Some(&public.issue(&NAME))).await, "certificate-untrusted");
}

#[tokio::test]
async fn nothing_is_said_in_clear() {
    let gate = gate(&Authority::new("ours"), &Authority::new("public")).await;
    let mut stream = TcpStream::connect(gate.adapter.listening_at().await.unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It may end by a reset.
    let _ = stream.read_to_end(&mut answer).await;
    // A TLS alert, if anything.
    assert!(answer.first().is_none_or(|first| *first == 21), "{answer:?}");
    assert_eq!(reason(&gate).await, "tls");
    gate.stop().await;
}
