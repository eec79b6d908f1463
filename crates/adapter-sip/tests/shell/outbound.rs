//! Deliveries to SIP peers.

use crate::kit::{Gateway, Peer, outcome, text};
use impp_model::{Outcome, Proof};
use sip_proto::header_id::HeaderId;

// checks: IM-005, IM-014, MSG-002, SIP-008
#[tokio::test]
async fn rfc3428_s4_a_delivery_becomes_a_message_and_its_answer_the_outcome() {
    let (gateway, peer) = (Gateway::start().await, Peer::bind().await);
    for (status, proof) in [(200, Proof::Recipient), (202, Proof::Server)] {
        let settled = gateway.deliver(peer.hop(), |_| {});
        let (request, from) = peer.receive_from().await;
        let verified = request.verify().unwrap();
        assert_eq!((request.request_uri(), request.body(), from), (Some("sip:romeo@example.net"), b"hi".as_slice(), gateway.udp));
        assert_eq!(verified.from.uri, "sip:juliet@example.com");
        assert!(verified.via.sent_by_is("127.0.0.1", gateway.udp.port()));
        assert_eq!(text(&request, HeaderId::MaxForwards).as_deref(), Some("70"));
        peer.answer(from, &request, status).await;
        assert_eq!(outcome(settled).await, Outcome::Success(proof));
    }
}
