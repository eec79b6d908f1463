//! `HickoryDns` against a small name server on loopback that answers from a zone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV};
use hickory_proto::rr::{Name as WireName, RData, Record as WireRecord, RecordType as WireType};
use impp_model::Domain;
use impp_resolve::{
    Dns, DnsError, DnsFailure, Limits, Name, Outcome, Record, RecordType, Transport, Zone, locate_sip, locate_xmpp,
};
use tokio::net::UdpSocket;
use transport::{DnsSettings, HickoryDns, bind_udp};

const ZONE: &str = r#"
$ORIGIN example.com.
$TTL 300
@ NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp
_sip._udp SRV 1 2 5070 Sip
sip 40 A 127.0.0.2
sip AAAA 2001:db8::2
alias CNAME sip
"#;

/// Names that a server may answer with an error, or not at all.
const SERVFAIL: &str = "servfail.example.com.";
const REFUSED: &str = "refused.example.com.";
const SILENT: &str = "silent.example.com.";

struct Server {
    addr: SocketAddr,
    queries: Arc<AtomicUsize>,
}

/// Serves the zone until the test ends.
fn serve(zone: &str) -> Server {
    let (zone, queries) = (Zone::parse(zone).unwrap(), Arc::new(AtomicUsize::new(0)));
    let socket = UdpSocket::from_std(bind_udp("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let (addr, counter) = (socket.local_addr().unwrap(), queries.clone());
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            let request = Message::from_vec(&buffer[..length]).unwrap();
            if let Some(response) = respond(&zone, &request) {
                socket.send_to(&response.to_vec().unwrap(), peer).await.unwrap();
            }
        }
    });
    Server { addr, queries }
}

fn respond(zone: &Zone, request: &Message) -> Option<Message> {
    let query = &request.queries[0];
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let mut response = Message::response(request.metadata.id, OpCode::Query);
    response.add_query(query.clone());
    response.metadata.recursion_available = true;
    match asked.as_str() {
        SILENT => return None,
        SERVFAIL => response.metadata.response_code = ResponseCode::ServFail,
        REFUSED => response.metadata.response_code = ResponseCode::Refused,
        _ => answer(zone, query.name(), query.query_type(), &mut response),
    }
    Some(response)
}

fn answer(zone: &Zone, asked: &WireName, wire_type: WireType, response: &mut Message) {
    let record_type = match wire_type {
        WireType::SRV => RecordType::Srv,
        WireType::NAPTR => RecordType::Naptr,
        WireType::A => RecordType::A,
        WireType::AAAA => RecordType::Aaaa,
        WireType::CNAME => RecordType::Cname,
        other => panic!("{other}"),
    };
    match zone.answer(&Name::parse(&asked.to_ascii()).unwrap(), record_type) {
        Ok(found) => {
            let ttl = u32::try_from(found.ttl.as_secs()).unwrap();
            for record in &found.records {
                response.add_answer(WireRecord::from_rdata(asked.clone(), ttl, rdata(record)));
                if let (Record::Cname(target), true) = (record, wire_type != WireType::CNAME) {
                    answer(zone, &wire(target), wire_type, response);
                }
            }
        }
        Err(error) => {
            if matches!(error, DnsError::NxDomain { .. }) {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            let apex = WireName::from_str("example.com.").unwrap();
            let soa = SOA::new(apex.clone(), apex.clone(), 1, 3600, 600, 86_400, 17);
            response.add_authority(WireRecord::from_rdata(apex, 17, RData::SOA(soa)));
        }
    }
}

fn wire(name: &Name) -> WireName {
    WireName::from_str(&format!("{name}.")).unwrap()
}

fn rdata(record: &Record) -> RData {
    match record {
        Record::A(address) => RData::A(A(*address)),
        Record::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Record::Cname(target) => RData::CNAME(CNAME(wire(target))),
        Record::Srv(srv) => RData::SRV(SRV::new(srv.priority, srv.weight, srv.port, wire(&srv.target))),
        Record::Naptr(naptr) => RData::NAPTR(NAPTR::new(
            naptr.order,
            naptr.preference,
            naptr.flags.as_bytes().into(),
            naptr.service.as_bytes().into(),
            naptr.regexp.as_bytes().into(),
            wire(&naptr.replacement),
        )),
    }
}

/// Waits long: on a loaded machine an answer takes its time.
fn resolver(server: &Server) -> HickoryDns {
    waiting(server, Duration::from_secs(30))
}

fn waiting(server: &Server, timeout: Duration) -> HickoryDns {
    HickoryDns::new(&DnsSettings { nameservers: vec![server.addr], timeout, retries: 0 }).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

// checks: AR-11, AR-22
#[tokio::test]
async fn every_type_of_record_arrives_with_its_lifetime() {
    let zone = Zone::parse(ZONE).unwrap();
    let dns = resolver(&serve(ZONE));
    for (owner, record_type) in [
        ("example.com", RecordType::Naptr),
        ("_sip._udp.example.com", RecordType::Srv),
        ("sip.example.com", RecordType::A),
        ("sip.example.com", RecordType::Aaaa),
        ("alias.example.com", RecordType::Cname),
    ] {
        let (found, expected) =
            (dns.query(&name(owner), record_type).await.unwrap(), zone.answer(&name(owner), record_type));
        let expected = expected.unwrap();
        assert_eq!(found.records, expected.records, "{owner}");
        assert!(found.ttl <= expected.ttl && found.ttl + Duration::from_secs(5) >= expected.ttl, "{:?}", found.ttl);
    }
}

// checks: AR-15
#[tokio::test]
async fn an_alias_leads_to_the_records_of_its_target() {
    let answer = resolver(&serve(ZONE)).query(&name("alias.example.com"), RecordType::A).await.unwrap();
    assert!(answer.records.contains(&Record::A("127.0.0.2".parse().unwrap())));
}

// checks: AR-16
#[tokio::test]
async fn absence_and_failure_are_told_apart() {
    let server = serve(ZONE);
    let dns = resolver(&server);
    let error = async |owner: &str| dns.query(&name(owner), RecordType::Srv).await.unwrap_err();
    let ttl = Some(Duration::from_secs(17));
    assert_eq!(error("nobody.example.com").await, DnsError::NxDomain { ttl });
    assert_eq!(error("sip.example.com").await, DnsError::NoRecords { ttl });
    assert_eq!(error("servfail.example.com").await, DnsError::Failure(DnsFailure::ServFail));
    assert_eq!(error("refused.example.com").await, DnsError::Failure(DnsFailure::Refused));
    let impatient = waiting(&server, Duration::from_millis(200));
    let silent = impatient.query(&name("silent.example.com"), RecordType::Srv).await;
    assert!(matches!(silent, Err(DnsError::Failure(_))), "{silent:?}");
    let too_long = format!("{}.example.com", ["a".repeat(63).as_str(); 4].join("."));
    assert_eq!(error(&too_long).await, DnsError::NxDomain { ttl: None });
}

#[tokio::test]
async fn answers_are_kept() {
    let server = serve(ZONE);
    let dns = resolver(&server);
    for _ in 0..3 {
        dns.query(&name("sip.example.com"), RecordType::A).await.unwrap();
    }
    assert_eq!(server.queries.load(Ordering::Relaxed), 1);
    dns.clear_cache();
    dns.query(&name("sip.example.com"), RecordType::A).await.unwrap();
    assert_eq!(server.queries.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_burst_of_queries_is_answered() {
    let zone: String = (0..500).map(|n| format!("h{n}.example.com. A 127.0.0.1\n")).collect();
    let dns = resolver(&serve(&zone));
    let queries = (0..500).map(|n| {
        let dns = dns.clone();
        tokio::spawn(async move { dns.query(&name(&format!("h{n}.example.com")), RecordType::A).await.is_ok() })
    });
    for answered in queries.collect::<Vec<_>>() {
        assert!(answered.await.unwrap());
    }
}

// checks: LOC-001, AR-24
#[tokio::test]
async fn servers_are_located_over_the_wire() {
    let dns = resolver(&serve(ZONE));
    let domain = Domain::parse("example.com").unwrap();
    let location = impp_resolve::SipLocation {
        host: &domain,
        port: None,
        transport: None,
        secure: false,
        supported: &[Transport::Udp, Transport::Tcp],
    };
    let sip = locate_sip(&dns, &location, &Limits::default(), &mut |_| 0).await;
    let expected: [SocketAddr; 2] = ["127.0.0.2:5070".parse().unwrap(), "[2001:db8::2]:5070".parse().unwrap()];
    assert_eq!((sip.outcome, sip.socket_addrs().collect::<Vec<_>>()), (Outcome::Deliver, expected.to_vec()));
    let xmpp = locate_xmpp(&dns, &domain, true, &Limits::default(), &mut |_| 0).await;
    assert_eq!(xmpp.outcome, Outcome::Failure);
}
