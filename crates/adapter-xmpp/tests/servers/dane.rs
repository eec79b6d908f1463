//! Servers for which the name system vouches, proven by DNSSEC.

use std::sync::Arc;

use adapter_api::SourceProof;
use impp_model::{Cause, Outcome, Proof};
use serde_json::json;
use transport::dane::Tlsa;
use transport::tls::testkit::{Authority, Issued, San, Variant};

use crate::kit::{Names, Org, SRV_TARGET, Signed, certificate, org, outcome};

const A: &str = "a.example";
const B: &str = "b.example";

/// RFC 6698 §2.1: the whole certificate, as it is.
fn tlsa(usage: u8, issued: &Issued) -> Tlsa {
    Tlsa { usage, selector: 0, matching: 0, data: issued.certificate().to_vec() }
}

/// A gateway that demands proof, and its peer, of which the name system says `signed`.
async fn pair(theirs: &Issued, signed: Signed) -> [Org; 2] {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    *names.signed.lock().unwrap() = signed;
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, json!({"dialback": false})).await;
    // The peer takes anybody whose certificate is good.
    let b = org(B, theirs, &ca, &names, json!({"dialback": false, "bidi": false})).await;
    [a, b]
}

/// How the peer was proven when a text was delivered to it.
async fn proven([a, mut b]: [Org; 2]) -> String {
    let told = a.send(B, "hello");
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    let (by, protection) = a.proofs(B).remove(0);
    assert_eq!(protection, "TLS 1.3");
    by
}

async fn refused([a, mut b]: [Org; 2], reason: &str) {
    let Outcome::Failure(failure) = outcome(a.send(B, "hello")).await else { panic!("carried") };
    let text = failure.text.unwrap_or_default();
    assert!(failure.cause == Cause::LinkDown && text.contains(reason), "{reason}: {text}");
    b.received_nothing().await;
    assert!(a.proofs(B).is_empty());
}

// checks: XST-008
#[tokio::test]
async fn rfc7671_s5_1_certificates_that_the_name_system_vouches_for_need_no_authority_name_or_date() {
    let stranger = Authority::new("other");
    for variant in [Variant::default(), Variant::self_signed(), Variant::expired()] {
        let theirs = stranger.issue_variant(&[San::Dns("whoever.example")], &variant);
        let signed = Signed::All(vec![tlsa(3, &theirs)]);
        assert_eq!(proven(pair(&theirs, signed).await).await, "dane");
    }
}

// checks: XST-008
#[tokio::test]
async fn rfc7673_s4_2_another_certificate_than_the_one_vouched_for_gets_nothing() {
    let (stranger, other) = (Authority::new("other"), Authority::new("third").issue(&[San::Dns(B)]));
    let theirs = stranger.issue_variant(&[San::Dns(B)], &Variant::self_signed());
    for usage in 0..=3 {
        refused(pair(&theirs, Signed::All(vec![tlsa(usage, &other)])).await, "certificate-dane").await;
    }
    // Constraints upon authorities: the right certificate, which no trusted authority has issued.
    refused(pair(&theirs, Signed::All(vec![tlsa(1, &theirs)])).await, "certificate-dane").await;
}

// checks: XST-008
#[tokio::test]
async fn rfc7673_s3_1_wrong_signatures_end_the_matter_and_absent_ones_prove_nothing() {
    let theirs = Authority::new("other").issue_variant(&[San::Dns(B)], &Variant::self_signed());
    refused(pair(&theirs, Signed::Wrongly).await, "dnssec-bogus").await;
    refused(pair(&theirs, Signed::Nothing).await, "certificate-self-signed").await;
}

// checks: XST-008
#[tokio::test]
async fn rfc7673_s4_1_a_secure_srv_record_makes_the_hosts_name_count() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    *names.signed.lock().unwrap() = Signed::All(vec![]);
    let strict = json!({"dialback": false, "bidi": false});
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, strict.clone()).await;
    let b = org(B, &certificate(&ca, SRV_TARGET, &Variant::default()), &ca, &names, strict).await;
    assert_eq!(proven([a, b]).await, "dnssec-host");
}

/// A caller that shows `own`, of which the name system says this, and whom it calls, perhaps with TLS from the first octet: a
/// gateway whose own records are right.
async fn caller(own: &Issued, of_caller: Vec<Tlsa>, direct: bool) -> [Org; 2] {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let theirs = certificate(&ca, B, &Variant::default());
    *names.signed.lock().unwrap() = Signed::All([vec![tlsa(3, &theirs)], of_caller].concat());
    let one_way = json!({"dialback": false, "bidi": false});
    let a = org(A, own, &ca, &names, one_way.clone()).await;
    let b = org(B, &theirs, &ca, &names, one_way).await;
    if direct {
        a.names_direct(&b);
    }
    [a, b]
}

// checks: XST-008, EXT-001
#[tokio::test]
async fn rfc7712_s5_1_a_caller_is_proven_by_the_certificate_that_its_domain_has_published() {
    let own = Authority::new("other").issue_variant(&[San::Dns("whoever.example")], &Variant::self_signed());
    for direct in [false, true] {
        let [a, mut b] = caller(&own, vec![tlsa(3, &own)], direct).await;
        let told = a.send(B, "hello");
        let came = b.received().await;
        assert_eq!(came.provenance.proof, SourceProof::Certificate);
        came.settle.settle(Outcome::Success(Proof::Recipient));
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
        assert_eq!(b.proofs(A).remove(0).0, "dane", "direct: {direct}");
        // Nothing published, an authority, or one that wants an authority besides.
        for records in [vec![], vec![tlsa(2, &own)], vec![tlsa(1, &own)]] {
            let [a, mut b] = caller(&own, records, direct).await;
            let Outcome::Failure(failure) = outcome(a.send(B, "hello")).await else { panic!("carried") };
            assert_eq!(failure.cause, Cause::LinkDown);
            b.received_nothing().await;
            assert!(b.proofs(A).is_empty());
        }
    }
}

// checks: SEC-001
#[tokio::test]
async fn rfc7712_s5_1_a_certificate_counts_for_the_domain_that_has_published_it_alone() {
    let own = Authority::new("other").issue_variant(&[San::Dns("whoever.example")], &Variant::self_signed());
    for direct in [false, true] {
        let [a, mut b] = caller(&own, vec![tlsa(3, &own)], direct).await;
        // The records are those of other domains' servers.
        a.is_unheard_of();
        let Outcome::Failure(failure) = outcome(a.send(B, "hello")).await else { panic!("carried") };
        assert_eq!(failure.cause, Cause::LinkDown);
        b.received_nothing().await;
        assert!(b.proofs(A).is_empty());
    }
}

// checks: DBK-002
#[tokio::test]
async fn rfc7712_s4_3_a_caller_of_whom_the_name_system_says_nothing_may_prove_itself_by_dialback() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let own = Authority::new("other").issue_variant(&[San::Dns(A)], &Variant::self_signed());
    let one_way = json!({"bidi": false});
    let a = org(A, &own, &ca, &names, one_way.clone()).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, one_way).await;
    let told = a.send(B, "hello");
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    assert_eq!(b.proofs(A).remove(0).0, "dialback");
}

#[tokio::test]
async fn explain_says_what_the_name_system_vouches_for() {
    let theirs = Authority::new("other").issue_variant(&[San::Dns(B)], &Variant::self_signed());
    for (signed, text) in [
        (Signed::All(vec![tlsa(3, &theirs)]), "DANE-EE record found, signed"),
        (Signed::All(vec![]), "no TLSA record"),
        (Signed::Nothing, "nothing is signed"),
        (Signed::Wrongly, "dnssec-bogus"),
    ] {
        let [a, _b] = pair(&theirs, signed).await;
        let found = a.explained(B, "dane").await.unwrap_or_default();
        assert!(found.contains(text), "{text}: {found}");
    }
}
