//! RFC 5922 and RFC 5923: domain certificates, both ways.

use crate::kit::{FakeDns, Gateway, PATIENCE, Wire, cause, message_of, outcome, request, status};
use adapter_api::{Examine, Hop, SourceProof, SpeaksFor, Target, Tls, Transport};
use async_trait::async_trait;
use impp_model::{Cause, Outcome, Proof};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use transport::dane::{DaneError, SecureDns, Secured, Tlsa};
use transport::tls::testkit::{Authority, Issued, San, Variant};
use transport::tls::{Handshake, TlsAcceptor};

const LISTEN: [&str; 4] = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "wss:127.0.0.1:0"];

/// A gateway and its peers, whose certificates come from one authority.
struct World {
    gateway: Gateway,
    authority: Authority,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::begin(None).await
    }

    /// One whose name system is asked for signatures.
    async fn signed(dns: Signed) -> Self {
        Self::begin(Some(dns)).await
    }

    async fn begin(dns: Option<Signed>) -> Self {
        let (authority, folder) = (Authority::new("CA"), tempfile::tempdir().unwrap());
        let own = authority.issue(&[San::Dns("gw.example.com"), San::Dns("example.com")]);
        let settings = authority.settings(folder.path(), &[("gw", &own)]);
        let tls = Tls::load(settings, "gw.example.com".parse().unwrap()).unwrap();
        let tls = match dns {
            Some(dns) => tls.with_dnssec(Arc::new(dns)),
            None => tls,
        };
        let more = serde_json::json!({ "listen": LISTEN });
        let gateway = Gateway::start_in(more, FakeDns(Vec::new()), &[], tls).await;
        Self { gateway, authority, folder }
    }

    /// A peer that shows a certificate with these names.
    fn peer(&self, names: &[San<'_>], variant: &Variant) -> Arc<Tls> {
        self.shows(&self.authority.issue_variant(names, variant))
    }

    /// A peer that shows a certificate.
    fn shows(&self, issued: &Issued) -> Arc<Tls> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let settings = self.authority.settings(&folder, &[("peer", issued)]);
        Arc::new(Tls::load(settings, "peer.invalid".parse().unwrap()).unwrap())
    }

    async fn connect(&self, peer: &Tls, listener: &str) -> Handshake<TcpStream> {
        let stream = TcpStream::connect(self.gateway.listeners[listener]).await.unwrap();
        peer.connect(stream, &"gw.example.com".parse().unwrap(), None, &[]).await.unwrap()
    }
}

fn text(branch: &str) -> String {
    let lines = "Content-Type: text/plain\r\n";
    request("MESSAGE", "sip:juliet@example.com", "TLS proxy.example.net;alias", branch, lines, "hi")
}

fn located(address: SocketAddr) -> Hop {
    let target = Target { host: "srv.example".into(), address, transport: Some(Transport::Tls) };
    Hop::Located { domain: "example.net".parse().unwrap(), targets: vec![target] }
}

// checks: TLS-001, TLS-005, TLS-006, SEC-001
#[tokio::test]
async fn rfc5922_s7_4_a_certificate_proves_the_domains_it_names() {
    let mut world = World::new().await;
    let peer = world.peer(&[San::Dns("example.net")], &Variant::default());
    let handshake = world.connect(&peer, "tls").await;
    assert_eq!(handshake.peer.sip(&"gw.example.com".parse().unwrap()), Ok(()), "the gateway shows its own");
    let mut wire = Wire::new(handshake.stream);
    wire.send(text("1")).await;
    let submitted = world.gateway.next().await;
    assert_eq!(submitted.provenance.proof, SourceProof::Certificate);
    let SpeaksFor::Domains(domains) = &submitted.provenance.speaks_for else { panic!() };
    assert_eq!(domains.iter().map(|domain| domain.as_str()).collect::<Vec<_>>(), ["example.net"]);
    submitted.settle.settle(Outcome::Success(Proof::Server));
    assert_eq!(status(&wire.receive().await), 202);
    // Another domain over the same connection is not proven by it.
    wire.send(text("2").replace("romeo@example.net", "romeo@example.org")).await;
    let submitted = world.gateway.next().await;
    assert!(matches!(submitted.provenance.speaks_for, SpeaksFor::Nobody));
}

// checks: TLS-002, TLS-003, TLS-005, SEC-001
#[tokio::test]
async fn rfc5922_s7_2_what_does_not_name_the_domain_proves_nothing() {
    let mut world = World::new().await;
    let good = Variant::default();
    let cases: [(&[San<'_>], Variant); 6] = [
        (&[San::Dns("*.net"), San::Dns("*.example.net")], good.clone()),
        (&[San::Uri("sip:other.example"), San::Dns("example.net")], good.clone()),
        (&[San::Uri("sip:romeo@example.net")], good),
        (&[San::Dns("example.net")], Variant::expired()),
        (&[San::Dns("example.net")], Variant::not_yet_valid()),
        (&[San::Dns("example.net")], Variant::self_signed()),
    ];
    for (names, variant) in cases {
        let peer = world.peer(names, &variant);
        let mut wire = Wire::new(world.connect(&peer, "tls").await.stream);
        wire.send(text("1")).await;
        let submitted = world.gateway.next().await;
        assert_eq!(submitted.provenance.proof, SourceProof::None, "{names:?}");
        assert!(matches!(submitted.provenance.speaks_for, SpeaksFor::Nobody), "{names:?}");
    }
    let nobody = Tls::none("peer.invalid".parse().unwrap());
    let mut wire = Wire::new(world.connect(&nobody, "tls").await.stream);
    wire.send(text("1")).await;
    assert_eq!(world.gateway.next().await.provenance.proof, SourceProof::None);
}

// checks: TLS-004, LOC-005, RUSE-001, INV-06
#[tokio::test]
async fn rfc5922_s7_3_the_server_must_be_the_domain_that_was_looked_up() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let delivered = world.gateway.deliver(located(address), |_| {});
    let server = TlsAcceptor::new(world.peer(&[San::Dns("example.net")], &Variant::default()), &[]);
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let handshake = server.accept(stream).await.unwrap();
    assert_eq!(handshake.peer.sip(&"example.com".parse().unwrap()), Ok(()), "the source's certificate is shown");
    let mut wire = Wire::new(handshake.stream);
    let request = wire.receive().await;
    let via = request.top_via().unwrap();
    assert_eq!((via.transport, via.alias()), ("TLS", true));
    wire.answer(&request, 200).await;
    assert_eq!(outcome(delivered).await, Outcome::Success(Proof::Recipient));
    // RFC 5626 §4.2: the connection is used again.
    let again = world.gateway.deliver(located(address), |_| {});
    let request = wire.receive().await;
    wire.answer(&request, 202).await;
    assert_eq!(outcome(again).await, Outcome::Success(Proof::Server));
}

// checks: TLS-003, TLS-004, SEC-002
// checks: REQ-5.1.1
#[tokio::test]
async fn rfc5922_s7_3_nothing_is_sent_to_anybody_else() {
    let world = World::new().await;
    let good = Variant::default();
    let cases: [(&[San<'_>], Variant); 4] = [
        (&[San::Dns("*.example.net"), San::Dns("srv.example")], good.clone()),
        (&[San::Uri("sip:other.example"), San::Dns("example.net")], good),
        (&[San::Dns("example.net")], Variant::expired()),
        (&[San::Dns("example.net")], Variant::self_signed()),
    ];
    for (names, variant) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let delivered = world.gateway.deliver(located(listener.local_addr().unwrap()), |_| {});
        let server = TlsAcceptor::new(world.peer(names, &variant), &[]);
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        if let Ok(handshake) = server.accept(stream).await {
            assert!(Wire::new(handshake.stream).is_closed_unused().await, "{names:?}");
        }
        assert_eq!(cause(delivered).await, Cause::RemoteNotFound, "{names:?}");
    }
}

/// A name system that signs everything: one server of example.net at this address, and what it says of its certificates.
struct Signed(SocketAddr, Result<Vec<Tlsa>, DaneError>);

#[async_trait]
impl SecureDns for Signed {
    async fn srv(&self, name: &str) -> Result<Secured<(String, u16)>, DaneError> {
        assert_eq!(name, "_sips._tcp.example.net");
        Ok(Secured { records: vec![("srv.example.".to_owned(), self.0.port())], is_secure: true })
    }
    async fn addresses(&self, name: &str) -> Result<Secured<IpAddr>, DaneError> {
        assert_eq!(name, "srv.example");
        Ok(Secured { records: vec![self.0.ip()], is_secure: true })
    }
    async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError> {
        assert_eq!(name, format!("_{}._tcp.srv.example", self.0.port()));
        self.1.clone().map(|records| Secured { records, is_secure: true })
    }
}

/// RFC 6698 §2.1: the whole certificate, as it is.
fn tlsa(usage: u8, issued: &Issued) -> Tlsa {
    Tlsa { usage, selector: 0, matching: 0, data: issued.certificate().to_vec() }
}

/// A server whose certificate no authority has issued, and where it listens.
async fn stranger() -> (Issued, TcpListener, SocketAddr) {
    let issued = Authority::new("other").issue_variant(&[San::Dns("whoever.example")], &Variant::self_signed());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (issued, listener, address)
}

// checks: TLS-004, LOC-005
#[tokio::test]
async fn rfc7673_s4_2_the_name_system_may_vouch_for_a_server_in_place_of_an_authority() {
    let (theirs, listener, address) = stranger().await;
    let world = World::signed(Signed(address, Ok(vec![tlsa(3, &theirs)]))).await;
    let delivered = world.gateway.deliver(located(address), |_| {});
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut wire = Wire::new(TlsAcceptor::new(world.shows(&theirs), &[]).accept(stream).await.unwrap().stream);
    let request = wire.receive().await;
    wire.answer(&request, 200).await;
    assert_eq!(outcome(delivered).await, Outcome::Success(Proof::Recipient));
}

// checks: TLS-004, SEC-002
#[tokio::test]
async fn rfc7673_s3_4_what_the_name_system_says_of_another_or_cannot_say_forbids_the_server() {
    let (other, ..) = stranger().await;
    let failures = [DaneError::Bogus("it".to_owned()), DaneError::Failure("it".to_owned())];
    let mentions = [Ok(vec![tlsa(3, &other)]), Ok(vec![tlsa(1, &other)])].into_iter();
    for said in mentions.chain(failures.map(Err)) {
        let (_, listener, address) = stranger().await;
        let world = World::signed(Signed(address, said.clone())).await;
        let delivered = world.gateway.deliver(located(address), |_| {});
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        // The domain's own certificate, of an authority that is trusted.
        let server = TlsAcceptor::new(world.peer(&[San::Dns("example.net")], &Variant::default()), &[]);
        if let Ok(handshake) = server.accept(stream).await {
            assert!(said.is_ok() && Wire::new(handshake.stream).is_closed_unused().await, "{said:?}");
        }
        assert_eq!(cause(delivered).await, Cause::LinkDown, "{said:?}");
    }
}

// checks: TLS-004, LOC-005
#[tokio::test]
async fn rfc5922_s7_3_a_signed_srv_record_makes_no_host_the_domain() {
    let (_, listener, address) = stranger().await;
    let world = World::signed(Signed(address, Ok(vec![]))).await;
    let delivered = world.gateway.deliver(located(address), |_| {});
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let server = TlsAcceptor::new(world.peer(&[San::Dns("srv.example")], &Variant::default()), &[]);
    if let Ok(handshake) = server.accept(stream).await {
        assert!(Wire::new(handshake.stream).is_closed_unused().await);
    }
    assert_eq!(cause(delivered).await, Cause::RemoteNotFound);
}

#[tokio::test]
async fn explain_says_what_the_name_system_vouches_for() {
    let (theirs, _, address) = stranger().await;
    let bogus = DaneError::Bogus("it".to_owned());
    for (said, text) in [
        (
            Ok(vec![tlsa(3, &theirs)]),
            "DANE-EE record found, signed: the certificate of srv.example must be one of these",
        ),
        (Ok(vec![]), "srv.example is signed, and no TLSA record is there"),
        (Err(bogus.clone()), &*format!("{bogus}: nothing is sent")),
    ] {
        let world = World::signed(Signed(address, said)).await;
        let operation = Box::new(message_of(false, |_| {}));
        let findings =
            world.gateway.adapter.examine(Examine::DryRun { operation, hop: Arc::new(located(address)) }).await;
        let found = findings.findings.iter().find(|finding| finding.what == "dane");
        assert_eq!(found.map(|finding| &*finding.value), Some(text));
    }
}

// checks: RUSE-001, RUSE-002, RUSE-003, RUSE-004
#[tokio::test]
async fn rfc5923_s8_2_requests_go_back_over_a_proven_connection_that_offers_it() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let offer = |branch: &str| text(branch).replace("TLS proxy.example.net", &format!("TLS {address}"));
    // A stranger's offer is not heeded: the gateway connects itself.
    let stranger = Tls::none("peer.invalid".parse().unwrap());
    let mut unproven = Wire::new(world.connect(&stranger, "tls").await.stream);
    unproven.send(offer("1")).await;
    world.gateway.next().await.settle.settle(Outcome::Success(Proof::Server));
    unproven.receive().await;
    let refused = world.gateway.deliver(located(address), |_| {});
    drop(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap());
    assert_eq!(cause(refused).await, Cause::LinkDown);
    // The domain's own is.
    let peer = world.peer(&[San::Dns("example.net")], &Variant::default());
    let mut proven = Wire::new(world.connect(&peer, "tls").await.stream);
    proven.send(offer("2")).await;
    world.gateway.next().await.settle.settle(Outcome::Success(Proof::Server));
    proven.receive().await;
    let delivered = world.gateway.deliver(located(address), |_| {});
    let request = proven.receive().await;
    proven.answer(&request, 200).await;
    assert_eq!(outcome(delivered).await, Outcome::Success(Proof::Recipient));
    // Gone, it is replaced by one of our own.
    drop(proven);
    let again = world.gateway.deliver(located(address), |_| {});
    let cause = cause(again).await;
    assert!(matches!(cause, Cause::LinkDown | Cause::Unconfirmed), "{cause:?}");
}

// checks: WSS-001, WSS-004
#[tokio::test]
async fn rfc7118_s4_1_websockets_over_tls() {
    use futures_util::{SinkExt, StreamExt};
    let mut world = World::new().await;
    let browser = Tls::none("peer.invalid".parse().unwrap());
    let stream = world.connect(&browser, "wss").await.stream;
    let mut handshake = "wss://gw.example.com/".into_client_request().unwrap();
    handshake.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(handshake, stream).await.unwrap();
    let sent = text("1").replace("TLS proxy.example.net;alias", "WSS a.invalid;rport");
    socket.send(tokio_tungstenite::tungstenite::Message::Text(sent.into())).await.unwrap();
    world.gateway.next().await.settle.settle(Outcome::Success(Proof::Server));
    let answer = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(answer.into_text().unwrap().starts_with("SIP/2.0 202"));
}

// checks: TLS-005
#[tokio::test]
async fn what_speaks_no_tls_is_closed_and_harms_nobody() {
    let mut world = World::new().await;
    let mut plain = Wire::connect(world.gateway.listeners["tls"]).await;
    plain.send(text("1")).await;
    assert!(plain.is_closed_unused().await);
    assert!(world.gateway.is_quiet());
}
