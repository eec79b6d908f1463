//! Requests from SIP peers.

use crate::kit::{Gateway, Peer, message, status, text};
use adapter_api::{SourceProof, SpeaksFor};
use impp_model::{Outcome, Proof};
use sip_proto::header_id::HeaderId;

// checks: IM-030, IM-031, MSG-006, MSG-007, SIP-005, SIP-032, SIP-040, SEC-001
#[tokio::test]
async fn rfc3428_s7_a_message_is_handed_in_once_and_answered_by_its_outcome() {
    let (mut gateway, peer) = (Gateway::start().await, Peer::bind().await);
    let request = message(&peer, "1", "Neither, fair saint, if either thee dislike.");
    peer.send(gateway.udp, &request).await;
    let submitted = gateway.next().await;
    assert_eq!(submitted.operation.source.address.to_string(), "romeo@example.net");
    assert_eq!(submitted.operation.message.content.as_text(), Some("Neither, fair saint, if either thee dislike."));
    assert_eq!(submitted.provenance.proof, SourceProof::TrustedAddress);
    let SpeaksFor::Domains(domains) = &submitted.provenance.speaks_for else { panic!() };
    assert_eq!(domains[0].as_str(), "example.net");
    // A retransmission before the answer is absorbed.
    peer.send(gateway.udp, &request).await;
    submitted.settle.settle(Outcome::Success(Proof::Server));
    let (first, from) = peer.receive_from().await;
    assert_eq!((status(&first), from, first.body()), (202, gateway.udp, b"".as_slice()));
    let verified = first.verify().unwrap();
    assert_eq!((verified.to.tag().map(str::len), verified.via.branch()), (Some(16), Some("z9hG4bK1")));
    assert!(first.header(HeaderId::Contact).is_none());
    // One behind it gets the same octets.
    peer.send(gateway.udp, &request).await;
    assert_eq!(peer.receive().await.octets(), first.octets());
    assert!(gateway.is_quiet());
    assert_eq!(text(&first, HeaderId::CSeq).as_deref(), Some("1 MESSAGE"));
}
