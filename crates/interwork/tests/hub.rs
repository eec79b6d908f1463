//! Admission, routing, delivery and answers.

#![allow(clippy::unwrap_used, reason = "a test's own data")]

mod common;

use adapter_api::{DomainPattern, Hop, HubCore, Provenance, SourceProof, SpeaksFor, settle_channel};
use common::{PLENTY, Table, World, from_sip, from_xmpp, message, next, text_of, tuned, world, world_with};
use impp_model::{Address, Cause, Failure, Outcome, Proof, Side};
use interwork::{DeliveryLimits, Rule, Sample};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};

fn keeping_nothing(dns: Table, room: usize, delivery: DeliveryLimits) -> World {
    let nothing = Limits { records: 0, ..Limits::default() };
    world_with(dns, room, Arc::new(MemoryStore::new()), SteadyClock::start(), nothing, delivery)
}

// checks: IM-08, IM-10, IM-12
// checks: REQ-4.2.1
#[tokio::test]
async fn rfc3860_s3_4_1_the_answer_waits_for_the_far_sides_indication() {
    let world = world(Table::new(0), PLENTY);
    let (settle, mut outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "hi"), from_sip(), settle);
    assert!(outcome.try_recv().is_err());
    assert_eq!(world.core.held(), 1);
    let delivery = world.xmpp.take().pop().unwrap();
    assert_eq!(*delivery.hop, Hop::Link);
    delivery.settle(Outcome::Success(Proof::Server));
    assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
    let totals = world.core.ledger().totals();
    assert_eq!((totals.accepted(), totals.delivered, totals.pending), (1, 1, 0));
    let trace = world.core.traces().find("hi").unwrap();
    assert!(trace.decision.unwrap().why().contains("adapter xmpp"));
    assert!(world.sip.take().is_empty());
}

// checks: SEC-001, IM-07
// checks: REQ-5.4.3
#[tokio::test]
async fn what_may_not_pass_is_refused_before_any_lookup() {
    let world = world(Table::new(0), PLENTY);
    let cases = [
        ("a@xmpp.example", "b@far.example", Cause::SourceNotProven),
        ("a@other.example", "b@xmpp.example", Cause::SourceNotProven),
    ];
    for (from, to, cause) in cases {
        let (settle, outcome) = settle_channel();
        world.core.submit(message(from, to, "x"), from_sip(), settle);
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("{from} to {to} was not refused") };
        assert_eq!(failure.cause, cause, "{from} to {to}");
    }
    assert_eq!(world.core.ledger().totals().accepted(), 0);
}

// checks: REQ-2.3.5, REQ-5.4.10
#[tokio::test]
async fn there_is_no_open_relay() {
    let world = world(Table::new(PLENTY), PLENTY);
    let stranger = Arc::new(Provenance {
        may_repeat: false,
        adapter: "xmpp".into(),
        peer: "server.example".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Patterns([DomainPattern::Any].into()),
    });
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@one.example", "b@two.example", "x"), stranger, settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("relayed") };
    assert_eq!(failure.cause, Cause::RelayDenied);
}

// checks: AR-03, AR-06, IM-16
#[tokio::test]
async fn rfc3861_s4_those_who_wait_for_a_lookup_keep_their_order() {
    let world = world(Table::new(0), PLENTY);
    let mut outcomes = Vec::new();
    for number in 0..20 {
        let (settle, outcome) = settle_channel();
        world.core.submit(message("a@sip.example", "b@far.example", &number.to_string()), from_sip(), settle);
        outcomes.push(outcome);
    }
    assert!(world.xmpp.take().is_empty());
    world.dns.permits.add_permits(PLENTY);
    let mut seen = Vec::new();
    while seen.len() < 20 {
        tokio::task::yield_now().await;
        for delivery in world.xmpp.take() {
            seen.push(text_of(&delivery));
            delivery.settle(Outcome::Success(Proof::Server));
        }
    }
    assert_eq!(seen, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
    }
}

// checks: AR-16, AR-17
#[tokio::test]
async fn a_dns_failure_is_told_as_one_and_absence_as_absence() {
    for (fails, cause) in [(true, Cause::DnsFailure), (false, Cause::RemoteNotFound)] {
        let world = keeping_nothing(Table { fails, ..Table::new(PLENTY) }, PLENTY, DeliveryLimits::default());
        let (settle, outcome) = settle_channel();
        world.core.submit(message("a@sip.example", "b@nowhere.example", "x"), from_sip(), settle);
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not refused") };
        assert_eq!(failure.cause, cause);
    }
}

// checks: AR-12
#[tokio::test]
async fn a_domain_that_resolves_to_this_gateway_is_a_loop_and_told_at_once() {
    let own = impp_resolve::Limits { own_listeners: vec!["0.0.0.0:5269".parse().unwrap()], ..Default::default() };
    let world = tuned(Table::new(PLENTY), |config| config.discovery = own);
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "x"), from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not refused") };
    assert_eq!(failure.cause, Cause::Loop);
    assert!(world.xmpp.take().is_empty());
    let trace = world.core.traces().find("x").unwrap();
    let steps = trace.decision.unwrap().steps.clone();
    assert!(steps.iter().any(|step| step.contains("it is a listener of this gateway")), "{steps:?}");
    let queries: u64 = world.core.dns_queries().iter().map(|(_, count)| count).sum();
    assert!(queries >= 2, "each query is counted");
}

// checks: REQ-5.2.1, IM-19
#[tokio::test]
async fn who_proves_its_peers_is_told_what_a_rule_wants_proven() {
    for (require_tls, to) in [(true, "b@far.example"), (false, "b@far.example"), (true, "b@xmpp.example")] {
        let any = DomainPattern::Any;
        let (kinds, action) = (Vec::new(), interwork::Action::Allow);
        let rule = Rule { from: any.clone(), to: any, kinds, action, max_content: None, require_tls, rate: None };
        let world = tuned(Table::new(PLENTY), |config| config.rules.policy.rules = vec![rule]);
        let told = world.submit("a@sip.example", to, "x", from_sip());
        let delivery = next(&world.xmpp).await;
        // Our own networks are reached by links of the operator's choice.
        assert_eq!(delivery.proven_only, require_tls && to == "b@far.example");
        delivery.settle(Outcome::Success(Proof::Server));
        assert_eq!(told.await, Ok(Outcome::Success(Proof::Server)));
    }
}

// checks: ARC-013, IM-15
#[tokio::test]
async fn rfc7247_s8_what_has_passed_this_gateway_does_not_pass_again() {
    let world = world(Table::new(0), PLENTY);
    let (settle, _first) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let delivery = world.xmpp.take().pop().unwrap();
    let came_back = (*delivery.operation).clone();
    let (settle, outcome) = settle_channel();
    world.core.submit(came_back.clone(), from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("it went round") };
    assert_eq!((failure.cause, failure.side), (Cause::Loop, Side::Near));
    assert!(world.xmpp.take().is_empty());
    // A list or a forwarding leads back here for somebody else, which is no loop.
    let mut forwarded = came_back;
    forwarded.destination_mut().address = Address::parse_bare("c@xmpp.example").unwrap();
    let (settle, _held) = settle_channel();
    world.core.submit(forwarded, from_sip(), settle);
    assert_eq!(world.xmpp.take().len(), 1);
}

/// example.com in both networks; on the SIP side the others see it as sip.example.com.
fn one_name_twice(config: &mut interwork::CoreConfig) {
    let mut configuration = (*config.rules.configuration).clone();
    let name = |text: &str| impp_model::Domain::parse_host(text).unwrap();
    for entry in &mut configuration.domains {
        if entry.name == name("sip.example") {
            (entry.name, entry.own_name) = (name("sip.example.com"), Some(name("example.com")));
        } else {
            entry.name = name("example.com");
        }
    }
    config.rules.configuration = Arc::new(configuration);
}

// checks: REQ-2.1.4
#[tokio::test]
async fn a_domain_in_two_networks_has_two_names_and_each_network_its_own() {
    let world = tuned(Table::new(0), one_name_twice);
    let speaks = |adapter: &str| {
        let domain = impp_model::Domain::parse_host("example.com").unwrap();
        let speaks_for = SpeaksFor::Domains([domain].into());
        let (adapter, proof) = (adapter.into(), SourceProof::TrustedAddress);
        Arc::new(Provenance { may_repeat: false, adapter, peer: "p".into(), proof, speaks_for })
    };
    let (settle, _held) = settle_channel();
    world.core.submit(message("alice@example.com", "bob@example.com", "1"), speaks("sip"), settle);
    let (settle, _held) = settle_channel();
    world.core.submit(message("bob@example.com", "alice@sip.example.com", "2"), speaks("xmpp"), settle);
    let ends = |operation: &impp_model::Operation| {
        (operation.source().address.to_string(), operation.destination().address.to_string())
    };
    let to_xmpp = world.xmpp.take().pop().unwrap();
    assert_eq!(ends(&to_xmpp.operation), ("alice@sip.example.com".to_owned(), "bob@example.com".to_owned()));
    let to_sip = world.sip.take().pop().unwrap();
    assert_eq!(ends(&to_sip.operation), ("bob@example.com".to_owned(), "alice@example.com".to_owned()));
    // Nobody on the other side may take the shown name for his own.
    let (settle, outcome) = settle_channel();
    let any = SpeaksFor::Patterns([DomainPattern::Any].into());
    let stranger = Provenance { speaks_for: any, ..(*speaks("xmpp")).clone() };
    world.core.submit(message("eve@sip.example.com", "bob@example.com", "3"), Arc::new(stranger), settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("spoofed") };
    assert_eq!(failure.cause, Cause::SourceNotProven);
    let told = world.core.explain(
        Address::parse_bare("bob@example.com").unwrap(),
        Address::parse_bare("alice@sip.example.com").unwrap(),
        Sample::Message,
    );
    let told = told.await;
    assert!(told.steps.iter().any(|step| step.contains("is example.com in its own network")), "{:?}", told.steps);
}

/// Goes on under another policy.
fn under(world: &World, policy: interwork::Policy) {
    let book = (*world.core.rulebook()).clone();
    world.core.replace_rulebook(interwork::Rulebook { policy, ..book });
}

#[tokio::test]
async fn a_changed_domain_is_decided_anew_and_adapters_hear_of_it() {
    let world = world(Table::new(0), PLENTY);
    let hop_of_next = |id: &str| {
        let (settle, _held) = settle_channel();
        world.core.submit(message("bob@xmpp.example", "alice@sip.example", id), from_xmpp(), settle);
        let delivery = world.sip.take().pop().unwrap();
        let hop = delivery.hop.clone();
        delivery.settle(Outcome::Success(Proof::Recipient));
        hop
    };
    assert_eq!(*hop_of_next("1"), Hop::Fixed("sip:192.0.2.1".into()));
    let mut seen = world.core.configuration();
    let book = (*world.core.rulebook()).clone();
    let mut configuration = (*book.configuration).clone();
    configuration.domains[0].next_hop = Some("sip:192.0.2.2".into());
    world.core.replace_rulebook(interwork::Rulebook { configuration: Arc::new(configuration), ..book });
    assert_eq!(*hop_of_next("2"), Hop::Fixed("sip:192.0.2.2".into()));
    assert!(seen.has_changed().unwrap());
    assert_eq!(seen.borrow_and_update().domains[0].next_hop.as_deref(), Some("sip:192.0.2.2"));
}

#[tokio::test]
async fn policy_can_be_replaced_while_the_hub_runs() {
    let world = world(Table::new(0), PLENTY);
    let blocklist = Arc::new(interwork::Blocklist::parse("xmpp.example").unwrap());
    under(&world, interwork::Policy { blocklist, ..Default::default() });
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not refused") };
    assert_eq!(failure.cause, Cause::PolicyDenied);
    under(&world, interwork::Policy::default());
    let (settle, _held) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "2"), from_sip(), settle);
    assert_eq!(world.xmpp.take().len(), 1);
}

#[tokio::test]
async fn a_full_adapter_is_overload_and_a_dropped_delivery_is_told_as_unconfirmed() {
    let world = keeping_nothing(Table::new(0), 1, DeliveryLimits::default());
    let (settle, first) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let (settle, second) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "2"), from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = second.await else { panic!("accepted without room") };
    assert_eq!((failure.side, failure.cause), (Side::Ours, Cause::Overload));
    drop(world.xmpp.take());
    // Nothing keeps the message, so its sender must not hear that it was accepted.
    let Ok(Outcome::Failure(failure)) = first.await else { panic!("accepted and lost") };
    assert_eq!((failure.side, failure.cause), (Side::Ours, Cause::Unconfirmed));
    let totals = world.core.ledger().totals();
    assert_eq!((totals.failed, totals.pending), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_the_new_and_waits_for_the_held() {
    let world = world(Table::new(0), PLENTY);
    let (settle, held) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let core = world.core.clone();
    let drained = tokio::spawn(async move { core.drain(Duration::from_secs(5)).await });
    while !world.core.is_draining() {
        tokio::task::yield_now().await;
    }
    let (settle, late) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "2"), from_sip(), settle);
    assert_eq!(late.await, Ok(Failure::new(Side::Ours, Cause::ShuttingDown).into()));
    world.xmpp.take().pop().unwrap().settle(Outcome::Success(Proof::Server));
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(held.await, Ok(Outcome::Success(Proof::Server)));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_those_who_wait_for_a_lookup() {
    let world = world(Table::new(0), PLENTY);
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "1"), from_sip(), settle);
    let core = world.core.clone();
    let drained = tokio::spawn(async move { core.drain(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!drained.is_finished(), "its sender has not been answered");
    world.dns.permits.add_permits(PLENTY);
    while world.core.held() == 0 {
        tokio::task::yield_now().await;
    }
    world.xmpp.take().pop().unwrap().settle(Outcome::Success(Proof::Server));
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_of_those_who_still_wait_for_a_lookup() {
    let world = world(Table::new(0), PLENTY);
    for text in ["1", "2"] {
        let (settle, _) = settle_channel();
        world.core.submit(message("a@sip.example", "b@far.example", text), from_sip(), settle);
    }
    assert_eq!(world.core.drain(Duration::from_secs(1)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_up_too_late_is_not_sent_and_its_sender_told() {
    let limits = DeliveryLimits { hold_timeout: Duration::from_millis(20), ..DeliveryLimits::default() };
    let world = keeping_nothing(Table::new(0), PLENTY, limits);
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "1"), from_sip(), settle);
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.dns.permits.add_permits(PLENTY);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not told") };
    assert_eq!(failure.cause, Cause::DnsFailure);
    assert!(world.xmpp.take().is_empty(), "its sender may send it again");
    // A moment later it is asked anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (settle, _) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "2"), from_sip(), settle);
    while world.core.held() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.xmpp.take().len(), 1);
}

#[tokio::test]
async fn explain_says_who_is_exempt_from_confirming() {
    let world = common::exempting();
    let address = |text: &str| Address::parse_bare(text).unwrap();
    let verdict = async |from, to| world.core.explain(address(from), address(to), Sample::Message).await.verdict;
    assert_eq!(verdict("a@sip.example", "b@xmpp.example").await, "handed-over");
    assert_eq!(verdict("b@xmpp.example", "a@sip.example").await, "delivered-if-confirmed");
    assert_eq!(verdict("a@sip.example", "b@far.example").await, "delivered-if-confirmed");
}

#[tokio::test]
async fn explain_takes_the_same_decision_and_sends_nothing() {
    let world = world(Table::new(PLENTY), PLENTY);
    let address = |text: &str| Address::parse_bare(text).unwrap();
    let told = world.core.explain(address("a@sip.example"), address("b@far.example"), Sample::Message).await;
    assert_eq!(told.verdict, "delivered-if-confirmed");
    assert!(told.steps.iter().any(|step| step.contains("_im._xmpp.far.example SRV")), "{:?}", told.steps);
    assert_eq!(told.decision.unwrap().result.unwrap().adapter.as_str(), "xmpp");
    let told = world.core.explain(address("a@far.example"), address("b@nowhere.example"), Sample::Message).await;
    assert_eq!(told.verdict, Cause::RelayDenied.code());
    assert!(world.xmpp.take().is_empty());
}
