//! Two gateways.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::{SourceProof, SpeaksFor};
use impp_model::{Cause, Failure, Outcome, Proof, Side};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use transport::tls::testkit::{Authority, Variant};

use crate::kit::{Names, Org, PATIENCE, Relay, certificate, org, outcome};

const A: &str = "a.example";
const B: &str = "b.example";

async fn pair(variants: [Variant; 2], config: serde_json::Value) -> [Org; 2] {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let a = org(A, &certificate(&ca, A, &variants[0]), &ca, &names, config.clone()).await;
    let b = org(B, &certificate(&ca, B, &variants[1]), &ca, &names, config).await;
    [a, b]
}

fn good() -> [Variant; 2] {
    [Variant::default(), Variant::default()]
}

/// Sends both ways; how each was proven to the other.
async fn exchange(a: &mut Org, b: &mut Org) -> [SourceProof; 2] {
    let mut proofs = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let ends = [&mut *a, &mut *b];
        let told = ends[from].send(&ends[to].domain.clone(), "hello");
        let [a, b] = ends;
        let (sender, receiver) = if from == 0 { (a, b) } else { (b, a) };
        let came = receiver.received().await;
        assert_eq!(came.body, "hello");
        assert_eq!(came.from, format!("romeo@{}", sender.domain));
        assert!(matches!(&came.provenance.speaks_for, SpeaksFor::Domains(domains) if domains.len() == 1));
        proofs.push(came.provenance.proof);
        came.settle.settle(Outcome::Success(Proof::Recipient));
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    }
    [proofs[0], proofs[1]]
}

// checks: EXT-001, EXT-003, XST-001, XST-006, XST-007, XST-008, SMG-001, SMG-002
#[tokio::test]
async fn rfc6120_s13_7_two_gateways_by_certificates_and_stream_management() {
    let [mut a, mut b] = pair(good(), json!({"dialback": false})).await;
    assert_eq!(exchange(&mut a, &mut b).await, [SourceProof::Certificate; 2]);
    assert!(a.proofs(B).iter().all(|(_, protection)| protection == "TLS 1.3"), "{:?}", a.proofs(B));
    assert!(b.proofs(A).contains(&("external".to_owned(), "TLS 1.3".to_owned())), "{:?}", b.proofs(A));
    a.stop.shut_down();
    a.running.await.unwrap();
}

// checks: XST-001, XST-008
#[tokio::test]
async fn rfc6120_s3_2_1_two_gateways_over_ipv6() {
    let (ca, names) = (Authority::new("CA"), Arc::new(Names::ipv6()));
    let mut a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, json!({})).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, json!({})).await;
    assert!(a.plain.is_ipv6() && b.plain.is_ipv6());
    assert_eq!(exchange(&mut a, &mut b).await, [SourceProof::Certificate; 2]);
}

#[tokio::test]
async fn xep0198_s4_what_is_on_disk_is_acknowledged_and_its_error_comes_later() {
    let [mut a, mut b] = pair(good(), json!({})).await;
    let told = a.send(B, "hello");
    let came = b.received().await;
    came.settle.keeper().kept();
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    came.settle.settle(Failure::new(Side::Far, Cause::RemoteNotFound));
    let late = a.received().await;
    assert!(late.body.ends_with(Cause::RemoteNotFound.code()), "{}", late.body);
}

// checks: BID-001, BID-002
#[tokio::test]
async fn xep0288_s2_without_bidi_and_without_management_each_way_has_its_stream_and_barrier() {
    let [mut a, mut b] = pair(good(), json!({"bidi": false, "stream_management": false})).await;
    assert_eq!(exchange(&mut a, &mut b).await, [SourceProof::Certificate; 2]);
}

// checks: XST-040, XST-042
#[tokio::test]
async fn xep0368_s3_tls_from_the_first_octet() {
    let [mut a, mut b] = pair(good(), json!({"dialback": false})).await;
    a.names_direct(&b);
    b.names_direct(&a);
    assert_eq!(exchange(&mut a, &mut b).await, [SourceProof::Certificate; 2]);
}

// checks: DBK-001, DBK-002, DBK-003
#[tokio::test]
async fn xep0220_s2_dialback_over_tls_where_certificates_prove_nothing() {
    let [mut a, mut b] = pair([Variant::self_signed(), Variant::expired()], json!({})).await;
    assert_eq!(exchange(&mut a, &mut b).await, [SourceProof::Dialback; 2]);
    assert!(b.proofs(A).contains(&("dialback".to_owned(), "TLS 1.3".to_owned())), "{:?}", b.proofs(A));
}

// checks: IM-19, REQ-5.2.1
#[tokio::test]
async fn what_is_for_proven_peers_goes_over_starttls_and_to_nobody_whom_dialback_alone_proves() {
    let [a, mut b] = pair(good(), json!({})).await;
    let told = a.send_proven(B, "proven");
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    for direct in [false, true] {
        let [a, mut b] = pair([Variant::default(), Variant::self_signed()], json!({})).await;
        if direct {
            a.names_direct(&b);
        }
        let told = a.send(B, "over dialback");
        b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
        // The same stream, and what it is not for.
        let refused = outcome(a.send_proven(B, "secret")).await;
        assert!(matches!(refused, Outcome::Failure(failure) if failure.cause == Cause::PolicyDenied));
        b.received_nothing().await;
    }
}

// checks: AR-23
#[tokio::test]
async fn rfc6120_s3_2_1_a_server_that_takes_connections_and_leads_nowhere_gives_way_to_the_next() {
    let [a, mut b] = pair(good(), json!({})).await;
    let useless = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [useless.local_addr().unwrap().port(), b.plain.port()];
    let calls = tokio::spawn(async move {
        let mut calls = 0;
        while let Ok((socket, _)) = useless.accept().await {
            calls += 1;
            drop(socket);
            if calls > 1 {
                break;
            }
        }
        calls
    });
    let Outcome::Failure(first) = outcome(a.send_by(B, "first", &ports)).await else { panic!("it was carried") };
    assert_eq!(first.cause, Cause::LinkDown);
    let arrivals = b.arrivals(1);
    // What comes before the pause between two calls is over fails as the first did.
    let tries = async {
        while outcome(a.send_by(B, "second", &ports)).await != Outcome::Success(Proof::Server) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, tries).await.expect("the next one is tried");
    assert_eq!(arrivals.await.unwrap(), ["second"]);
    assert!(!calls.is_finished(), "the useless one was not called again");
}

// checks: AR-23
#[tokio::test]
async fn a_server_that_is_useless_to_one_domain_comes_first_for_another() {
    let [a, mut b] = pair(good(), json!({})).await;
    // It takes connections and says nothing.
    let next = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [b.plain.port(), next.local_addr().unwrap().port()];
    a.names_at("hostile.example", b.plain.port());
    assert!(matches!(outcome(a.send("hostile.example", "x")).await, Outcome::Failure(_)), "b does not serve it");
    let told = a.send_by(B, "first", &ports);
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
}

#[tokio::test]
async fn a_failure_comes_back_as_an_error() {
    let [a, mut b] = pair(good(), json!({})).await;
    let told = a.send(B, "hello");
    b.received().await.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    assert!(matches!(outcome(told).await, Outcome::Failure(failure) if failure.cause == Cause::NotFound));
}

// checks: CMP-023, ERR-007
#[tokio::test]
async fn an_error_about_no_open_message_goes_to_the_hub_with_its_reason() {
    for config in [json!({}), json!({"stream_management": false})] {
        let [a, mut b] = pair(good(), config).await;
        let told = a.tell_failure(B, "m1", Cause::NotFound);
        let came = b.received().await;
        assert_eq!((came.body.as_str(), came.from.as_str()), ("m1 item-not-found", "romeo@a.example"));
        assert!(matches!(&came.provenance.speaks_for, SpeaksFor::Domains(domains) if domains.len() == 1));
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    }
}

// checks: XST-016
#[tokio::test]
async fn rfc6120_s10_1_messages_keep_their_order() {
    let [a, mut b] = pair(good(), json!({})).await;
    let told: Vec<_> = (0..200).map(|number| a.send(B, &number.to_string())).collect();
    for number in 0..200 {
        let came = b.received().await;
        assert_eq!(came.body, number.to_string());
        came.settle.settle(Outcome::Success(Proof::Recipient));
    }
    for told in told {
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    }
}

#[tokio::test]
async fn presence_is_proven_so_that_a_broken_stream_loses_no_state() {
    for managed in [true, false] {
        let [a, b] = pair(good(), json!({"stream_management": managed})).await;
        assert_eq!(outcome(a.tell_unavailable(B)).await, Outcome::Success(Proof::Server));
        b.stop.shut_down();
        b.running.await.unwrap();
        // The hub sends again what has failed, as it then is.
        assert!(matches!(outcome(a.tell_unavailable(B)).await, Outcome::Failure(_)));
    }
}

// checks: SMG-002, XST-034
#[tokio::test]
async fn a_gateway_that_comes_back_is_called_again() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let own = certificate(&ca, B, &Variant::default());
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, json!({})).await;
    let mut b = org(B, &own, &ca, &names, json!({})).await;
    let told = a.send(B, "one");
    b.received().await.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    b.stop.shut_down();
    b.running.await.unwrap();
    let gone = a.send(B, "two");
    assert!(matches!(outcome(gone).await, Outcome::Failure(_)));
    let mut again = org(B, &own, &ca, &names, json!({})).await;
    // Each try fails at once, until the pause after the first failure is over.
    while again.submitted.is_empty() {
        drop(a.send(B, "three"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(again.received().await.body, "three");
}

// checks: SMG-002, XST-016
#[tokio::test]
async fn xep0198_s5_severed_streams_are_resumed_in_both_roles_and_nothing_overtakes() {
    const ROUNDS: usize = 3;
    const EACH: usize = 20;
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let mut a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, json!({})).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, json!({})).await;
    let relays = [Relay::to(a.plain).await, Relay::to(b.plain).await];
    names.set(A, relays[0].port, false);
    names.set(B, relays[1].port, false);
    exchange(&mut a, &mut b).await;
    let arrivals = [a.arrivals(ROUNDS * EACH), b.arrivals(ROUNDS * EACH)];
    let mut told = Vec::new();
    for number in 0..ROUNDS * EACH {
        // Some before the break, some while the streams are made again.
        if number % EACH == EACH / 2 {
            relays.iter().for_each(Relay::sever);
        }
        told.push(a.send(B, &number.to_string()));
        told.push(b.send(A, &number.to_string()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for arrivals in arrivals {
        let expected: Vec<_> = (0..ROUNDS * EACH).map(|number| number.to_string()).collect();
        assert_eq!(arrivals.await.unwrap(), expected);
    }
    for told in told {
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    }
}

// checks: SMG-002
#[tokio::test]
async fn xep0198_s5_what_the_hub_has_taken_is_not_handed_in_again_after_a_break() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, json!({})).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, json!({})).await;
    let relay = Relay::to(b.plain).await;
    names.set(B, relay.port, false);
    let mut told: Vec<_> = ["one", "two", "three"].map(|body| a.send(B, body)).into();
    let [one, two, three] = [b.received().await, b.received().await, b.received().await];
    let delivered = || Outcome::Success(Proof::Recipient);
    two.settle.settle(delivered());
    relay.sever();
    one.settle.settle(delivered());
    told.push(a.send(B, "four"));
    // What the peer writes again has no id that anybody looked at.
    let four = b.received().await;
    assert_eq!(four.body, "four");
    three.settle.settle(delivered());
    four.settle.settle(delivered());
    for told in told {
        assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
    }
    b.received_nothing().await;
}

/// Those that `org` gave to the hub, by the ids of their messages; the hub says that they are on disk.
fn keep_owed(org: &Org) -> Vec<String> {
    let owed = std::mem::take(&mut *org.hub.owed.lock().unwrap());
    let keep = |(word, done): (impp_model::DispositionOperation, adapter_api::StateDone)| {
        done(true);
        word.message_id.map(|id| id.as_str().to_owned()).unwrap_or_default()
    };
    owed.into_iter().map(keep).collect()
}

// checks: SMG-002, IM-013
#[tokio::test]
async fn a_message_that_failed_is_acknowledged_when_its_error_is_on_disk_or_has_arrived() {
    let (ca, names) = (Authority::new("CA"), Arc::<Names>::default());
    let one_way = json!({"bidi": false});
    let a = org(A, &certificate(&ca, A, &Variant::default()), &ca, &names, one_way.clone()).await;
    let mut b = org(B, &certificate(&ca, B, &Variant::default()), &ca, &names, one_way).await;
    // The way back to a is not to be had.
    names.set(A, 1, false);
    let mut told = a.send(B, "hello");
    b.received().await.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    let kept = loop {
        let owed = b.hub.owed.lock().unwrap().len();
        assert!(told.try_recv().is_err(), "acknowledged while nothing but memory held the error");
        if owed > 0 {
            break keep_owed(&b);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(kept, ["hello"]);
    assert_eq!(outcome(told).await, Outcome::Success(Proof::Server));
}
