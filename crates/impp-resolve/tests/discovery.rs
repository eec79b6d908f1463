//! Discovery beyond the vectors: the source's network, own listeners, and the protocols' own location of servers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::sync::Arc;

use async_trait::async_trait;
use impp_model::Domain;
use impp_resolve::{
    Answer, Dns, DnsError, DnsFailure, Limits, Name, Options, Outcome, Protocol, Reason, RecordType, Resolution,
    Resolver, Service, SipLocation, Transport, Via, Zone, locate_sip, locate_xmpp,
};

const ALL: &[Transport] = &[Transport::Tls, Transport::Tcp, Transport::Udp];

fn zone(text: &str) -> Zone {
    Zone::parse(&format!("$ORIGIN example.com.\n{text}")).unwrap()
}

fn domain(text: &str) -> Domain {
    Domain::parse_host(text).unwrap()
}

async fn resolve(records: &str, source: Option<Protocol>, options: Options) -> Resolution {
    let resolver = Resolver::new(Arc::new(zone(records)), options);
    resolver.resolve(Service::Im, &domain("example.com"), source.as_ref(), &mut |_| 0).await
}

fn summary(resolution: &Resolution) -> Vec<String> {
    let target = |t: &impp_resolve::Target| match (t.transport, t.direct_tls) {
        (Some(transport), _) => format!("{}:{} {transport}", t.target, t.port),
        (None, Some(true)) => format!("{}:{} direct tls", t.target, t.port),
        (None, _) => format!("{}:{}", t.target, t.port),
    };
    resolution.targets.iter().map(target).collect()
}

const BOTH: &str = "
_xmpp-server._tcp SRV 0 0 5269 xmpp
_sip._udp SRV 0 0 5060 sip
xmpp A 192.0.2.1
sip A 192.0.2.2
";

// checks: ARC-003
#[tokio::test]
async fn rfc7247_s5_the_sources_own_discovery_goes_first() {
    for (source, expected) in [(Protocol::XMPP, "xmpp.example.com:5269"), (Protocol::SIP, "sip.example.com:5060 udp")] {
        let resolution = resolve(BOTH, Some(source.clone()), Options::default()).await;
        assert_eq!((resolution.protocol.as_ref(), resolution.via), (Some(&source), Some(Via::NativeSrv)));
        assert_eq!(summary(&resolution), [expected]);
    }
}

// checks: ARC-003, AR-09
#[tokio::test]
async fn without_any_service_record_the_domain_is_not_in_the_sources_network() {
    let resolution = resolve("@ A 192.0.2.1", Some(Protocol::SIP), Options::default()).await;
    assert_eq!((resolution.protocol, resolution.via), (Some(Protocol::XMPP), Some(Via::ImplicitSrv)));
}

// checks: AR-02
#[tokio::test]
async fn own_listeners_are_no_way_to_anybody() {
    let limits = Limits { own_listeners: vec!["192.0.2.2:5060".parse().unwrap()], ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let resolution = resolve(BOTH, Some(Protocol::SIP), options.clone()).await;
    assert_eq!((resolution.outcome, summary(&resolution)), (Outcome::Deliver, vec!["xmpp.example.com:5269".into()]));
    let only_us = "_im._sip SRV 0 0 5060 sip\nsip A 192.0.2.2";
    assert_eq!(resolve(only_us, None, options).await.reason, Some(Reason::OwnListener));
}

#[tokio::test]
async fn a_listener_on_all_addresses_is_found_at_this_hosts_own() {
    let limits = Limits {
        own_listeners: vec!["0.0.0.0:5060".parse().unwrap(), "[::]:5070".parse().unwrap()],
        ..Limits::default()
    };
    let options = Options { limits, ..Options::default() };
    for us in [
        "_im._sip SRV 0 0 5060 sip\nsip A 127.0.0.1",
        "_im._sip SRV 0 0 5060 sip\nsip A 127.1.2.3",
        "_im._sip SRV 0 0 5060 sip\nsip A 0.0.0.0",
        "_im._sip SRV 0 0 5070 sip\nsip AAAA ::1",
        "_im._sip SRV 0 0 5070 sip\nsip A 127.0.0.1",
        "_im._sip SRV 0 0 5060 sip\nsip AAAA ::ffff:127.0.0.1",
    ] {
        assert_eq!(resolve(us, None, options.clone()).await.reason, Some(Reason::OwnListener), "{us}");
    }
    for other in ["_im._sip SRV 0 0 5080 sip\nsip A 127.0.0.1", "_im._sip SRV 0 0 5060 sip\nsip A 192.0.2.1"] {
        assert_eq!(resolve(other, None, options.clone()).await.outcome, Outcome::Deliver, "{other}");
    }
}

#[tokio::test]
async fn a_listener_on_all_addresses_is_at_every_address_of_this_host() {
    let limits = Limits {
        own_listeners: vec!["0.0.0.0:5060".parse().unwrap()],
        is_here: |address| address == std::net::IpAddr::from([192, 0, 2, 1]),
        ..Limits::default()
    };
    let options = Options { limits, ..Options::default() };
    let us = "_im._sip SRV 0 0 5060 sip\nsip A 192.0.2.1";
    let found = resolve(us, None, options.clone()).await;
    assert_eq!(found.reason, Some(Reason::OwnListener));
    assert!(found.steps.iter().any(|step| step.result == "192.0.2.1:5060 skipped"), "{:?}", found.steps);
    let both = "_im._sip SRV 0 0 5060 sip\nsip A 192.0.2.1\nsip A 192.0.2.2";
    let found = resolve(both, None, options.clone()).await;
    assert_eq!(found.socket_addrs().collect::<Vec<_>>(), ["192.0.2.2:5060".parse().unwrap()]);
    let other_port = "_im._sip SRV 0 0 5080 sip\nsip A 192.0.2.1";
    assert_eq!(resolve(other_port, None, options).await.outcome, Outcome::Deliver);
}

// checks: AR-07
#[tokio::test]
async fn rfc3861_s4_an_alias_is_found_after_all_else() {
    let records =
        "@ CNAME example.net.\n_im._sip.example.net. SRV 0 0 5060 sip.example.net.\nsip.example.net. A 192.0.2.1";
    let resolution = resolve(records, None, Options::default()).await;
    assert_eq!(summary(&resolution), ["sip.example.net:5060"]);
    assert_eq!(resolution.tls_reference_identity, Some(domain("example.com")));
    let direct = resolve("_im._sip SRV 0 0 5060 sip\nsip A 192.0.2.1", None, Options::default()).await;
    assert!(!direct.queries.iter().any(|query| query.ends_with("CNAME")), "{:?}", direct.queries);
}

// checks: AR-12
#[tokio::test]
async fn a_protocol_whose_targets_have_no_address_gives_way_to_the_next() {
    let records = "_im._sip SRV 0 0 5060 gone\n_im._xmpp SRV 0 0 5269 xmpp\nxmpp AAAA 2001:db8::1";
    let resolution = resolve(records, None, Options::default()).await;
    assert_eq!((resolution.outcome, resolution.protocol), (Outcome::Deliver, Some(Protocol::XMPP)));
}

// checks: AR-12
#[tokio::test]
async fn the_number_of_targets_is_bounded() {
    let many: String = (0..50).map(|n| format!("_im._sip SRV {n} 0 5060 h{n}\nh{n} A 192.0.2.1\n")).collect();
    let resolution = resolve(&many, None, Options::default()).await;
    assert_eq!((resolution.targets.len(), resolution.queries.len()), (8, 17));
}

#[tokio::test]
async fn a_decision_lives_as_long_as_its_shortest_answer() {
    let records = "_im._sip 300 SRV 0 0 5060 sip\nsip 20 A 192.0.2.1";
    assert_eq!(resolve(records, None, Options::default()).await.ttl.as_secs(), 20);
    assert_eq!(resolve("", None, Options::default()).await.ttl.as_secs(), 30);
}

#[tokio::test]
async fn every_query_is_a_step_with_its_reason() {
    let resolution = resolve("@ A 192.0.2.1", None, Options::default()).await;
    let asked: Vec<_> = resolution.steps.iter().filter_map(|step| step.query.clone()).collect();
    assert_eq!(asked, resolution.queries);
    assert!(resolution.steps.iter().all(|step| !step.why.is_empty() && !step.result.is_empty()));
}

/// A server that fails for names that begin in one way.
struct Failing(Zone, &'static str);

#[async_trait]
impl Dns for Failing {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        if name.as_str().starts_with(self.1) {
            return Err(DnsError::Failure(DnsFailure::Timeout));
        }
        self.0.query(name, record_type).await
    }
}

// checks: AR-16
#[tokio::test]
async fn a_dns_failure_is_never_the_absence_of_a_record() {
    for failing in ["_im._sip", "_sips._tcp", "_xmpp-server", "xmpp.", "example.com"] {
        let records = if failing == "xmpp." { "_im._xmpp SRV 0 0 5269 xmpp" } else { "other A 192.0.2.1" };
        let dns = Arc::new(Failing(zone(records), failing));
        let resolver = Resolver::new(dns, Options::default());
        let resolution = resolver.resolve(Service::Im, &domain("example.com"), None, &mut |_| 0).await;
        assert_eq!(resolution.outcome, Outcome::TemporaryFailure, "{failing}");
        assert!(resolution.ttl.as_secs() <= 5);
    }
}

async fn sip(records: &str, location: SipLocation<'_>) -> Resolution {
    locate_sip(&zone(records), &location, &Limits::default(), &mut |_| 0).await
}

fn location(host: &Domain) -> SipLocation<'_> {
    SipLocation { host, port: None, transport: None, secure: false, supported: ALL }
}

const NAPTR: &str = r#"
@ NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp
@ NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp
_sips._tcp SRV 0 0 5061 p
_sip._tcp SRV 0 0 5070 p
_sip._udp SRV 0 0 5080 p
p A 192.0.2.40
"#;

// checks: LOC-001, LOC-002, LOC-003
#[tokio::test]
async fn rfc3263_s4_1_the_transport_is_found() {
    let host = domain("example.com");
    let any = location(&host);
    assert_eq!(summary(&sip(NAPTR, any).await), ["p.example.com:5061 tls"]);
    let no_tls = SipLocation { supported: &[Transport::Tcp, Transport::Udp], ..any };
    assert_eq!(summary(&sip(NAPTR, no_tls).await), ["p.example.com:5070 tcp"]);
    let secure = SipLocation { secure: true, ..any };
    assert_eq!(summary(&sip("_sip._tcp SRV 0 0 5070 p\n@ A 192.0.2.1", secure).await), ["example.com:5061 tls"]);
    let udp = SipLocation { transport: Some(Transport::Udp), ..any };
    let resolution = sip(NAPTR, udp).await;
    assert_eq!(summary(&resolution), ["p.example.com:5080 udp"]);
    assert_eq!(resolution.queries[0], "_sip._udp.example.com SRV");
    let udp_only = SipLocation { supported: &[Transport::Udp], ..any };
    assert_eq!(summary(&sip(NAPTR, udp_only).await), ["p.example.com:5080 udp"]);
}

// checks: LOC-001, LOC-004
#[tokio::test]
async fn rfc3263_s4_2_port_or_address_end_the_search() {
    let (name, four, six) = (domain("example.com"), domain("192.0.2.1"), domain("[2001:db8::1]"));
    let with_port = sip("@ A 192.0.2.9", SipLocation { port: Some(5090), ..location(&name) }).await;
    assert_eq!((summary(&with_port), with_port.via), (vec!["example.com:5090 udp".into()], Some(Via::Direct)));
    let numeric = sip("", location(&four)).await;
    assert_eq!(numeric.socket_addrs().collect::<Vec<_>>(), ["192.0.2.1:5060".parse().unwrap()]);
    assert!(numeric.queries.is_empty());
    let secure = sip("", SipLocation { secure: true, ..location(&six) }).await;
    assert_eq!(secure.socket_addrs().collect::<Vec<_>>(), ["[2001:db8::1]:5061".parse().unwrap()]);
    assert_eq!(secure.targets[0].transport, Some(Transport::Tls));
}

// checks: LOC-004
#[tokio::test]
async fn rfc3263_s4_2_without_records_the_domain_itself_is_used() {
    let host = domain("example.com");
    let resolution = sip("@ A 192.0.2.9", location(&host)).await;
    assert_eq!(summary(&resolution), ["example.com:5060 udp"]);
    assert_eq!(resolution.via, Some(Via::ImplicitSrv));
    assert_eq!(sip("", location(&host)).await.reason, Some(Reason::NotFound));
    assert_eq!(
        sip("_sip._udp SRV 0 0 0 .\n@ A 192.0.2.9", location(&host)).await.reason,
        Some(Reason::NativeNotOffered)
    );
}

async fn xmpp(records: &str, host: &str, direct_tls: bool) -> Resolution {
    locate_xmpp(&zone(records), &domain(host), direct_tls, &Limits::default(), &mut |_| 0).await
}

// checks: AR-24, AR-25, XST-040
#[tokio::test]
async fn xep0368_s3_both_kinds_of_record_are_mixed_if_both_are_of_use() {
    let records = "_xmpps-server._tcp SRV 5 0 5270 t\n_xmpp-server._tcp SRV 1 0 5269 s\nt A 192.0.2.1\ns A 192.0.2.2";
    let mixed = xmpp(records, "example.com", true).await;
    assert_eq!(summary(&mixed), ["s.example.com:5269", "t.example.com:5270 direct tls"]);
    assert_eq!(summary(&xmpp(records, "example.com", false).await), ["s.example.com:5269"]);
    let one_host = "_xmpps-server._tcp SRV 5 0 5270 s\n_xmpp-server._tcp SRV 1 0 5269 s\ns A 192.0.2.2";
    let resolution = xmpp(one_host, "example.com", true).await;
    assert_eq!((resolution.queries.len(), resolution.socket_addrs().count()), (4, 2));
    let refused = xmpp("_xmpp-server._tcp SRV 0 0 0 .\n@ A 192.0.2.1", "example.com", false).await;
    assert_eq!((refused.outcome, refused.reason), (Outcome::Failure, Some(Reason::NativeNotOffered)));
}

// checks: AR-24, AR-31
#[tokio::test]
async fn rfc6120_s3_2_2_without_records_the_registered_port_is_used() {
    let resolution = xmpp("@ AAAA 2001:db8::1", "example.com", true).await;
    assert_eq!(resolution.socket_addrs().collect::<Vec<_>>(), ["[2001:db8::1]:5269".parse().unwrap()]);
    assert_eq!(resolution.tls_reference_identity, Some(domain("example.com")));
    let literal = xmpp("", "127.0.0.1", true).await;
    assert_eq!(literal.socket_addrs().collect::<Vec<_>>(), ["127.0.0.1:5269".parse().unwrap()]);
}
