//! Servers that want to know who we are: challenges answered, registrations, keep-alives, probes.

use crate::kit::{FakeDns, Gateway, Peer, cause, outcome, request, text};
use adapter_api::{Check, Configuration, Credentials, DomainEntry, Examine, Hop, Role, Tls, Trunk};
use impp_model::{Cause, Outcome, Proof};
use serde_json::json;
use sip_proto::build::ResponseBuilder;
use sip_proto::digest::{Hash, Password, Server, Verdict};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use std::net::SocketAddr;
use std::time::Duration;

/// The server of example.net, which knows the gateway as `gw` by a password.
struct Trusting {
    peer: Peer,
    digest: Server,
    password: Password,
    age: Duration,
}

impl Trusting {
    async fn bind(hashes: &[Hash]) -> Self {
        let digest = Server::new("example.net".to_owned(), hashes, [7; 32]);
        Self { peer: Peer::bind().await, digest, password: Password::new("secret"), age: Duration::from_secs(1) }
    }

    /// Answers the next request, challenging it until it is proven; the request that was.
    async fn admit(
        &mut self,
        proxy: bool,
        answer: impl Fn(ResponseBuilder<'_>) -> ResponseBuilder<'_>,
    ) -> (Message, u32) {
        let (header, status, asked) = if proxy {
            (HeaderId::ProxyAuthorization, 407, HeaderId::ProxyAuthenticate)
        } else {
            (HeaderId::Authorization, 401, HeaderId::WwwAuthenticate)
        };
        for challenged in 0.. {
            let (request, from) = self.peer.receive_from().await;
            let password = &self.password;
            let verdict = self.digest.verify(&request, header, |name| (name == "gw").then_some(password), self.age);
            if verdict == Verdict::Proven("gw".to_owned()) {
                let response = answer(ResponseBuilder::new(&request, 200).to_tag("peer")).encode();
                self.peer.socket.send_to(&response, from).await.unwrap();
                return (request, challenged);
            }
            let challenges = self.digest.challenges(verdict == Verdict::Stale, self.age);
            let response = ResponseBuilder::new(&request, status).to_tag("peer");
            let response = challenges.iter().fold(response, |response, value| response.header(asked, value));
            self.peer.socket.send_to(&response.encode(), from).await.unwrap();
        }
        unreachable!("challenged without end")
    }
}

fn credentials(password: &str) -> Option<Credentials> {
    Some(Credentials { username: "gw".into(), password: password.into(), realm: None })
}

/// A gateway with a trunk to example.net.
async fn gateway(trunk: Trunk, hop: &str) -> Gateway {
    gateway_trusting(trunk, hop, &[]).await
}

/// The same, with networks that may send as example.net.
async fn gateway_trusting(trunk: Trunk, hop: &str, trusted: &[&str]) -> Gateway {
    let entry = DomainEntry {
        name: "example.net".parse().unwrap(),
        own_name: None,
        role: Role::Local,
        adapter: Some("sip".into()),
        next_hop: Some(hop.into()),
        trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
    };
    let mut configuration = Configuration::new("gw.example.com".parse().unwrap(), vec![entry]);
    configuration.trunks.insert("example.net".parse().unwrap(), trunk);
    let tls = Tls::none("gw.example.com".parse().unwrap());
    Gateway::start_as(json!({}), FakeDns(Vec::new()), configuration, tls).await
}

fn hop(address: SocketAddr) -> String {
    format!("sip:{address};transport=udp")
}

fn cseq(request: &Message) -> u32 {
    request.cseq().unwrap().number
}

// checks: DIG-004, SIP-037, SIP-038
#[tokio::test]
async fn rfc3261_s22_2_a_challenge_is_answered_and_later_requests_carry_the_proof() {
    for (hashes, proxy) in [(&[Hash::Sha256, Hash::Md5][..], false), (&[Hash::Md5][..], true)] {
        let mut server = Trusting::bind(hashes).await;
        let to = hop(server.peer.address);
        let gateway = gateway(Trunk { credentials: credentials("secret"), ..Trunk::default() }, &to).await;
        let first = gateway.deliver(Hop::Fixed(to.clone().into()), |_| {});
        let (request, challenged) = server.admit(proxy, |response| response).await;
        assert_eq!((challenged, cseq(&request), request.body()), (1, 2, b"hi".as_slice()));
        let header = if proxy { HeaderId::ProxyAuthorization } else { HeaderId::Authorization };
        let wanted = if hashes.contains(&Hash::Sha256) { "algorithm=SHA-256" } else { "algorithm=MD5" };
        assert!(text(&request, header).unwrap().contains(wanted));
        assert_eq!(outcome(first).await, Outcome::Success(Proof::Recipient));
        let second = gateway.deliver(Hop::Fixed(to.into()), |_| {});
        let (request, challenged) = server.admit(proxy, |response| response).await;
        assert_eq!((challenged, cseq(&request)), (0, 1));
        assert_eq!(outcome(second).await, Outcome::Success(Proof::Recipient));
        // RFC 7616 §3.3: a nonce that is too old says so, and the message goes on with a fresh one.
        server.age += sip_proto::digest::NONCE_LIFETIME * 2;
        let third = gateway.deliver(Hop::Fixed(hop(server.peer.address).into()), |_| {});
        assert_eq!(server.admit(proxy, |response| response).await.1, 1);
        assert_eq!(outcome(third).await, Outcome::Success(Proof::Recipient));
    }
}

// checks: SIP-038
#[tokio::test]
async fn rfc3261_s22_1_a_wrong_password_is_tried_once() {
    let mut server = Trusting::bind(&[Hash::Sha256]).await;
    let to = hop(server.peer.address);
    let gateway = gateway(Trunk { credentials: credentials("wrong"), ..Trunk::default() }, &to).await;
    let settled = gateway.deliver(Hop::Fixed(to.into()), |_| {});
    for _ in 0..2 {
        let (request, from) = server.peer.receive_from().await;
        let challenges = server.digest.challenges(false, server.age);
        let response =
            ResponseBuilder::new(&request, 401).to_tag("p").header(HeaderId::WwwAuthenticate, &challenges[0]);
        server.peer.socket.send_to(&response.encode(), from).await.unwrap();
    }
    assert_eq!(cause(settled).await, Cause::NotAuthorized);
}

#[tokio::test]
async fn rfc3261_s10_2_the_gateway_registers_renews_and_takes_it_back() {
    let mut server = Trusting::bind(&[Hash::Sha256]).await;
    let trunk = Trunk { credentials: credentials("secret"), register: true, keep_alive: None };
    let mut gateway = gateway(trunk, &hop(server.peer.address)).await;
    let (first, challenged) = server.admit(false, |response| response.header(HeaderId::Expires, "2")).await;
    assert_eq!(
        (first.method(), first.request_uri(), challenged),
        (Some(&Method::Register), Some("sip:example.net"), 1)
    );
    let contact = text(&first, HeaderId::Contact).unwrap();
    assert_eq!(contact, format!("<sip:gw@{}>", gateway.udp));
    assert_eq!(first.to().unwrap().uri, "sip:gw@example.net");
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Up"));
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Held { seconds: 2 }"));
    // Granted for two seconds: renewed within these, under the same Call-ID and a higher number.
    let (again, challenged) = server.admit(false, |response| response.header(HeaderId::Expires, "3600")).await;
    assert_eq!((again.call_id().unwrap(), challenged), (first.call_id().unwrap(), 0));
    assert!(cseq(&again) > cseq(&first));
    gateway.trigger.shut_down();
    let (last, _) = server.admit(false, |response| response).await;
    assert_eq!((last.method(), text(&last, HeaderId::Expires).as_deref()), (Some(&Method::Register), Some("0")));
    assert!(cseq(&last) > cseq(&again));
    gateway.ended.await.unwrap();
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Held { seconds: 3600 }"));
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Ended"));
}

// checks: IM-030
#[tokio::test]
async fn rfc3261_s16_5_a_message_to_our_registered_contact_is_for_whom_to_names() {
    let mut server = Trusting::bind(&[Hash::Sha256]).await;
    let trunk = Trunk { credentials: credentials("secret"), register: true, keep_alive: None };
    let mut gateway = gateway_trusting(trunk, &hop(server.peer.address), &["127.0.0.0/8"]).await;
    let contact = format!("sip:gw@{}", gateway.udp);
    let plain = "Content-Type: text/plain\r\n";
    let via = format!("UDP {}", server.peer.address);
    let retargeted = |branch: &str| {
        request("MESSAGE", &contact, &via, branch, plain, "hi").replacen(
            "To: <sip:juliet@example.com>",
            "To: <sip:mercutio@example.org>",
            1,
        )
    };
    let (first, _) = server.admit(false, |response| response).await;
    assert_eq!(text(&first, HeaderId::Contact), Some(format!("<{contact}>")));
    let mut held = String::new();
    while !held.contains("Held") {
        held = gateway.events.recv().await.unwrap();
    }
    server.peer.send(gateway.udp, &retargeted("1")).await;
    let submitted = gateway.next().await;
    assert_eq!(submitted.operation.destination.address.to_string(), "mercutio@example.org");
    assert_eq!(submitted.operation.source.address.to_string(), "romeo@example.net");
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    // Any other user of the gateway's host is who the Request-URI says.
    let other = retargeted("2").replacen("sip:gw@", "sip:tybalt@", 1);
    server.peer.send(gateway.udp, &other).await;
    let submitted = gateway.next().await;
    assert_eq!(submitted.operation.destination.address.local(), "tybalt");
}

#[tokio::test]
async fn rfc3261_s10_2_7_a_refused_registration_is_tried_again_and_a_brief_one_made_longer() {
    let server = Trusting::bind(&[Hash::Sha256]).await;
    let trunk = Trunk { credentials: credentials("secret"), register: true, keep_alive: None };
    let _gateway = gateway(trunk, &hop(server.peer.address)).await;
    let (request, from) = server.peer.receive_from().await;
    assert_eq!(text(&request, HeaderId::Expires).as_deref(), Some("3600"));
    let brief = ResponseBuilder::new(&request, 423).to_tag("p").header(HeaderId::MinExpires, "7200").encode();
    server.peer.socket.send_to(&brief, from).await.unwrap();
    let (request, from) = server.peer.receive_from().await;
    assert_eq!(text(&request, HeaderId::Expires).as_deref(), Some("7200"));
    server.peer.answer(from, &request, 500).await;
    let (later, _) = server.peer.receive_from().await;
    assert!(cseq(&later) > cseq(&request));
}

#[tokio::test]
async fn rfc3261_s11_options_tell_whether_the_next_hop_answers() {
    let server = Trusting::bind(&[Hash::Sha256]).await;
    let trunk = Trunk { credentials: None, register: false, keep_alive: Some(Duration::from_millis(100)) };
    let mut gateway = gateway(trunk, &hop(server.peer.address)).await;
    // Whatever it says, it is there; 503 says that it serves nobody.
    for (status, state) in [(404, "Up"), (503, "Down"), (200, "Up")] {
        let (request, from) = server.peer.receive_from().await;
        assert_eq!((request.method(), request.request_uri()), (Some(&Method::Options), Some("sip:example.net")));
        server.peer.answer(from, &request, status).await;
        assert_eq!(gateway.events.recv().await, Some(format!("example.net {state}")));
    }
    // Nobody listens there any more: the kernel says so.
    drop(server);
    assert_eq!(gateway.events.recv().await.as_deref(), Some("example.net Down"));
}

#[tokio::test]
async fn a_probe_asks_the_server_of_a_domain() {
    let server = Trusting::bind(&[Hash::Sha256]).await;
    let gateway = gateway(Trunk::default(), &hop(server.peer.address)).await;
    let adapter = gateway.adapter.clone();
    let probe = Examine::Probe {
        domain: "example.net".parse().unwrap(),
        source: "gw.example.org".parse().unwrap(),
        hop: Hop::Fixed(hop(server.peer.address).into()).into(),
    };
    let probe = tokio::spawn(async move { adapter.examine(probe).await });
    let (request, from) = server.peer.receive_from().await;
    server.peer.answer(from, &request, 200).await;
    let found = probe.await.unwrap().checks;
    assert_eq!(found[0], Check::ok("server", format!("udp {}", server.peer.address)));
    assert!(found[1].verdict == adapter_api::Verdict::Ok && found[1].found.starts_with("answered 200"), "{found:?}");
}

// checks: SIP-008
#[tokio::test]
async fn rfc3261_s8_1_2_an_outbound_proxy_stands_in_route() {
    let server = Trusting::bind(&[Hash::Sha256]).await;
    let to = format!("sip:{};transport=udp;lr", server.peer.address);
    let gateway = gateway(Trunk::default(), &to).await;
    let settled = gateway.deliver(Hop::Fixed(to.clone().into()), |_| {});
    let (request, from) = server.peer.receive_from().await;
    assert_eq!(request.request_uri(), Some("sip:romeo@example.net"));
    assert_eq!(text(&request, HeaderId::Route), Some(format!("<{to}>")));
    server.peer.answer(from, &request, 200).await;
    assert_eq!(outcome(settled).await, Outcome::Success(Proof::Recipient));
}
