//! Peers that are not who they say: refused with a reason, and nothing carried.

use std::sync::Arc;

use impp_model::{Cause, Outcome, Proof};
use serde_json::json;
use transport::tls::testkit::{Authority, Issued, San, Variant};

use crate::kit::{Names, Raw, SRV_TARGET, certificate, org, outcome};

const A: &str = "a.example";
const B: &str = "b.example";

/// What a sender hears whose own or whose peer's certificate is bad, where nothing else will do.
async fn judged(own: &Issued, theirs: &Issued, ca: &Authority) -> (Cause, String) {
    let names = Arc::<Names>::default();
    let strict = json!({"dialback": false});
    let a = org(A, own, ca, &names, strict.clone()).await;
    let mut b = org(B, theirs, ca, &names, strict).await;
    let told = outcome(a.send(B, "hello")).await;
    b.received_nothing().await;
    match told {
        Outcome::Failure(failure) => (failure.cause, failure.text.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

// checks: XST-008, XST-009, SEC-001
#[tokio::test]
async fn rfc6120_s13_7_a_server_with_a_bad_certificate_gets_nothing() {
    let (ca, stranger) = (Authority::new("CA"), Authority::new("other"));
    let own = certificate(&ca, A, &Variant::default());
    let cases = [
        (certificate(&ca, B, &Variant::expired()), "certificate-expired"),
        (certificate(&ca, B, &Variant::not_yet_valid()), "certificate-not-yet-valid"),
        (certificate(&ca, B, &Variant::self_signed()), "certificate-self-signed"),
        (certificate(&stranger, B, &Variant::default()), "certificate-untrusted"),
        (certificate(&ca, "other.example", &Variant::default()), "certificate-wrong-name"),
        // The right name, of another domain that we know.
        (certificate(&ca, A, &Variant::default()), "certificate-wrong-name"),
    ];
    for (theirs, reason) in cases {
        let (cause, text) = judged(&own, &theirs, &ca).await;
        assert_eq!(cause, Cause::LinkDown, "{reason}");
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

// checks: XST-008, LOC-005, SEC-001, INV-06
#[tokio::test]
async fn rfc6120_s13_7_2_a_foreign_host_named_by_srv_is_not_the_domain() {
    let ca = Authority::new("CA");
    let own = certificate(&ca, A, &Variant::default());
    // SRV leads to host.test, which proves to be that host, and a domain of its own; without DNSSEC anybody may have written the record.
    for host in [&[San::Dns(SRV_TARGET)][..], &[San::Dns(SRV_TARGET), San::Srv("_xmpp-server.other.example")]] {
        let (cause, text) = judged(&own, &ca.issue(host), &ca).await;
        assert_eq!((cause, text.contains("certificate-wrong-name")), (Cause::LinkDown, true), "{text}");
    }
    // A host that others run for the domain is taken by what it proves of the domain.
    let names = Arc::<Names>::default();
    let a = org(A, &own, &ca, &names, json!({"dialback": false})).await;
    let hosted = ca.issue(&[San::Dns(SRV_TARGET), San::Srv(&format!("_xmpp-server.{B}"))]);
    let mut b = org(B, &hosted, &ca, &names, json!({"dialback": false})).await;
    let told = a.send(B, "hello");
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
}

// checks: EXT-001, EXT-002
#[tokio::test]
async fn xep0178_s3_a_client_with_a_bad_certificate_says_nothing() {
    let (ca, stranger) = (Authority::new("CA"), Authority::new("other"));
    let theirs = certificate(&ca, B, &Variant::default());
    let cases = [
        certificate(&ca, A, &Variant::expired()),
        certificate(&ca, A, &Variant::self_signed()),
        certificate(&stranger, A, &Variant::default()),
        certificate(&ca, "other.example", &Variant::default()),
        certificate(&ca, B, &Variant::default()),
    ];
    for own in cases {
        let (cause, text) = judged(&own, &theirs, &ca).await;
        assert_eq!(cause, Cause::LinkDown, "{text}");
    }
}

fn message(from: &str) -> String {
    format!("<message from='{from}' to='juliet@{B}' id='1'><body>forged</body></message>")
}

// checks: DBK-002, DBK-003, SEC-001
#[tokio::test]
async fn xep0220_s2_a_forged_key_is_found_out_by_the_domain_itself() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let lab = json!({"require_tls": false});
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, lab.clone()).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, lab).await;
    let mut raw = Raw::connect(b.plain).await;
    raw.header(A, B).await;
    assert!(raw.hears("</stream:features>").await, "{}", raw.heard);
    raw.say(&format!("<db:result from='{A}' to='{B}'>{}</db:result>", "0".repeat(64))).await;
    assert!(raw.hears("type='invalid'").await || raw.hears("type=\"invalid\"").await, "{}", raw.heard);
    raw.say(&message(&format!("romeo@{A}"))).await;
    assert!(!raw.hears("never said").await, "the stream ends");
    b.received_nothing().await;
    assert!(b.proofs(A).is_empty(), "{:?}", b.proofs(A));
    drop(a);
}

// checks: XST-005, SMG-001
#[tokio::test]
async fn rfc6120_s13_12_a_stanza_before_any_proof_ends_the_stream() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let lab = json!({"require_tls": false});
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, lab).await;
    let mut raw = Raw::connect(b.plain).await;
    raw.header(A, B).await;
    raw.say(&message(&format!("romeo@{A}"))).await;
    assert!(raw.hears("not-authorized").await, "{}", raw.heard);
    b.received_nothing().await;
}

// checks: XST-006, XST-007
// checks: IM-19
#[tokio::test]
async fn rfc7590_s3_nothing_goes_in_clear_where_tls_is_required() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, json!({})).await;
    let mut raw = Raw::connect(b.plain).await;
    raw.header(A, B).await;
    assert!(raw.hears("<required/>").await, "{}", raw.heard);
    raw.say(&format!("<db:result from='{A}' to='{B}'>key</db:result>")).await;
    assert!(raw.hears("policy-violation").await, "{}", raw.heard);
    raw.say(&message(&format!("romeo@{A}"))).await;
    assert!(raw.hears("not-authorized").await, "{}", raw.heard);
    b.received_nothing().await;
}

// checks: XST-013, SEC-001
#[tokio::test]
async fn rfc6120_s8_1_2_2_a_proven_stream_carries_no_other_domain() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let lab = json!({"require_tls": false});
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, lab.clone()).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, lab).await;
    // A true key: made by the domain's own secret, as its gateway would send it, and caught on the way.
    let (mut raw, key) = caught_key(&a, &names, &b).await;
    raw.say(&format!("<db:result from='{A}' to='{B}'>{key}</db:result>")).await;
    assert!(raw.hears("type='valid'").await || raw.hears("type=\"valid\"").await, "{}", raw.heard);
    raw.say(&message(&format!("romeo@{A}"))).await;
    let came = b.received().await;
    assert_eq!(came.body, "forged");
    came.settle.settle(Outcome::Success(Proof::Recipient));
    raw.say(&message("mercutio@c.example")).await;
    assert!(raw.hears("invalid-from").await, "{}", raw.heard);
    b.received_nothing().await;
}

/// Stands between `a` and `b` with the id that `b` gave: what `a` makes of it is a key that is right for our own stream.
async fn caught_key(a: &crate::kit::Org, names: &Arc<Names>, b: &crate::kit::Org) -> (Raw, String) {
    let mut raw = Raw::connect(b.plain).await;
    raw.header(A, B).await;
    assert!(raw.hears("</stream:features>").await, "{}", raw.heard);
    let id = raw.heard.split_once("id='").map_or_else(|| raw.heard.split_once("id=\"").unwrap().1, |(_, rest)| rest);
    let id = id.split(['\'', '"']).next().unwrap().to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    names.set(B, listener.local_addr().unwrap().port(), false);
    let told = a.send(B, "caught");
    let (socket, _) = listener.accept().await.unwrap();
    let mut trap = Raw::over(socket);
    assert!(trap.hears("<stream:stream").await);
    trap.say(&format!(
        "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='{B}' to='{A}' id='{id}'>\
         <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
    ))
    .await;
    assert!(trap.hears("</db:result>").await, "{}", trap.heard);
    let (before, _) = trap.heard.split_once("</db:result>").unwrap();
    let key = before.rsplit('>').next().unwrap().to_owned();
    names.set(B, b.plain.port(), false);
    drop(told);
    (raw, key)
}
