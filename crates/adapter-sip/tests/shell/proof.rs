//! Who a peer is, by its address or by digest, and how little a stranger gets.

use crate::kit::{FakeDns, Gateway, PATIENCE, Peer, message, request, status, text};
use adapter_api::{SourceProof, SpeaksFor, Tls};
use impp_model::{Outcome, Proof};
use sip_proto::digest::{Account, Challenge, Client, Password, Tries};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Trusts nobody, and knows Romeo and a trunk by their passwords.
async fn gateway() -> Gateway {
    let users = serde_json::json!({
        "digest": ["md5", "sha-256"],
        "user": [
            { "address": "romeo@example.net", "password": "montague" },
            { "domain": "trunk.example", "username": "trunk", "password": "secret" },
        ],
    });
    Gateway::start_in(users, FakeDns(Vec::new()), &[], Tls::none("gw.example.com".parse().unwrap())).await
}

/// A MESSAGE long enough for an answer with a challenge, with this header added.
fn from(peer: &Peer, branch: &str, header: &str) -> String {
    let via = format!("UDP {}", peer.address);
    let lines = format!("{header}User-Agent: {}\r\nContent-Type: text/plain\r\n", "x".repeat(300));
    request("MESSAGE", "sip:juliet@example.com", &via, branch, &lines, "hi")
}

fn answer(challenged: &Message, username: &str, password: &str) -> String {
    let mut client = Client::new(Account::new(username, Password::new(password)));
    client.handle_challenge(&mut Tries::default(), challenged, "c").unwrap();
    let (id, value) = client.authorize("MESSAGE", "sip:juliet@example.com", b"hi").remove(0);
    format!("{}: {value}\r\n", id.name())
}

// checks: DIG-001, DIG-002, SIP-020, SEC-001, MSG-015
#[tokio::test]
async fn rfc3261_s22_2_a_user_proves_itself_by_digest() {
    let (mut gateway, peer) = (gateway().await, Peer::bind().await);
    peer.send(gateway.udp, &from(&peer, "1", "")).await;
    let challenged = peer.receive().await;
    assert_eq!(status(&challenged), 401);
    let challenges: Vec<_> = challenged
        .headers(HeaderId::WwwAuthenticate)
        .map(|header| Challenge::parse(header.text().unwrap()).unwrap())
        .collect();
    let algorithms: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm.to_string()).collect();
    assert_eq!(algorithms, ["SHA-256", "MD5"]);
    assert_eq!(challenges[0].realm, "gw.example.com");
    let right = answer(&challenged, "romeo", "montague");
    peer.send(gateway.udp, &from(&peer, "2", &right)).await;
    let submitted = gateway.next().await;
    assert_eq!(submitted.provenance.proof, SourceProof::Digest);
    assert!(matches!(&submitted.provenance.speaks_for, SpeaksFor::Address(address) if address.local() == "romeo"));
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(status(&peer.receive().await), 200);
    // The same credentials again prove nothing.
    peer.send(gateway.udp, &from(&peer, "3", &right)).await;
    let again = peer.receive().await;
    let challenge = text(&again, HeaderId::WwwAuthenticate).unwrap();
    assert_eq!((status(&again), Challenge::parse(&challenge).unwrap().stale), (401, true));
    assert!(gateway.is_quiet());
}

// checks: SIP-005, DIG-001, SEC-006
#[tokio::test]
async fn rfc3261_s17_2_2_each_copy_of_a_users_request_is_answered_though_his_address_proves_nothing() {
    let (mut gateway, peer) = (gateway().await, Peer::bind().await);
    peer.send(gateway.udp, &from(&peer, "1", "")).await;
    let request = from(&peer, "2", &answer(&peer.receive().await, "romeo", "montague"));
    peer.send(gateway.udp, &request).await;
    gateway.next().await.settle.settle(Outcome::Success(Proof::Recipient));
    let first = peer.receive().await;
    assert_eq!(status(&first), 200);
    // More than strangers have answers in a burst.
    for copy in 0..100 {
        peer.send(gateway.udp, &request).await;
        assert_eq!(peer.receive().await.octets(), first.octets(), "{copy}");
    }
    assert!(gateway.is_quiet());
}

// checks: SEC-001
#[tokio::test]
async fn wrong_passwords_and_other_users_are_challenged_again() {
    let (mut gateway, peer) = (gateway().await, Peer::bind().await);
    peer.send(gateway.udp, &from(&peer, "1", "")).await;
    let challenged = peer.receive().await;
    let wrong = answer(&challenged, "romeo", "capulet");
    peer.send(gateway.udp, &from(&peer, "2", &wrong)).await;
    assert_eq!(status(&peer.receive().await), 401);
    // The trunk is who it says, and still not Romeo: the hub is told whom it speaks for, and refuses.
    let trunk = answer(&challenged, "trunk", "secret");
    peer.send(gateway.udp, &from(&peer, "3", &trunk)).await;
    let submitted = gateway.next().await;
    let SpeaksFor::Domains(domains) = &submitted.provenance.speaks_for else { panic!() };
    assert_eq!(domains[0].as_str(), "trunk.example");
}

// checks: SEC-006
#[tokio::test]
async fn a_stranger_gets_no_more_octets_than_it_sent_and_not_many() {
    let (mut gateway, peer) = (gateway().await, Peer::bind().await);
    let short = message(&peer, "s1", "hi");
    let options = request("OPTIONS", "sip:gw.example.com", &format!("UDP {}", peer.address), "s2", "", "");
    let unknown = request("NEWMETHOD", "sip:gw.example.com", &format!("UDP {}", peer.address), "s3", "", "");
    for (sent, expected) in [(&short, 403), (&options, 200), (&unknown, 501)] {
        peer.send(gateway.udp, sent).await;
        let answer = peer.receive().await;
        assert_eq!(status(&answer), expected);
        assert!(answer.octets().len() <= sent.len(), "{} after {}", answer.octets().len(), sent.len());
    }
    for number in 0..500 {
        let line = format!("UDP {}", peer.address);
        peer.send(gateway.udp, &request("OPTIONS", "sip:gw.example.com", &line, &format!("f{number}"), "", "")).await;
    }
    // What comes behind an answer over TCP came before it.
    let mut answers = 0;
    let mut buffer = vec![0; 4096];
    while timeout(PATIENCE / 10, peer.socket.recv_from(&mut buffer)).await.is_ok() {
        answers += 1;
    }
    assert!((1..150).contains(&answers), "{answers}");
    assert!(gateway.is_quiet());
}

// checks: SIP-014, SEC-006
#[tokio::test]
async fn rfc3261_s18_2_2_maddr_of_a_stranger_is_not_obeyed() {
    let (victim, peer) = (UdpSocket::bind("127.0.0.2:0").await.unwrap(), Peer::bind().await);
    let via = format!("UDP {};rport;maddr=127.0.0.2", peer.address)
        .replace(&peer.address.port().to_string(), &victim.local_addr().unwrap().port().to_string());
    let options = request("OPTIONS", "sip:gw.example.com", &via, "m1", "", "");
    let trusting = Gateway::start_with(serde_json::json!({}), FakeDns(Vec::new())).await;
    peer.send(trusting.udp, &options).await;
    let mut buffer = vec![0; 4096];
    let (octets, _) = timeout(PATIENCE, victim.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..octets].starts_with(b"SIP/2.0 200"), "a peer that is known is obeyed");
    let strict = gateway().await;
    peer.send(strict.udp, &options).await;
    assert_eq!(status(&peer.receive().await), 200, "a stranger's answer goes to the stranger");
}
