use xmpp_proto::sasl::SaslCondition;
use xmpp_proto::server::{Flow, Output, PeerIdentity, Proof, Security, StreamFailure};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

fn auth(identity: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{identity}</auth>")
}

// checks: EXT-001, EXT-002, EXT-003
#[test]
fn xep0178_s3_both_ends_prove_themselves_by_certificate() {
    let mut ends = Ends::new(plain(CALLER), plain(CALLED));
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, [proven(Flow::Sending, forth(), Proof::Certificate)]);
    assert_eq!(at_called, [proven(Flow::Receiving, forth(), Proof::External)]);
    assert!(ends.caller_wrote.contains(&auth("ZXhhbXBsZS5jb20=")), "{}", ends.caller_wrote);
    assert!(!ends.caller_wrote.contains("db:result"));
    let [_, at_called] = ends.say("hi < there", 0);
    assert_eq!(bodies(&at_called), ["hi < there"]);
}

// checks: EXT-001
#[test]
fn xep0178_s3_external_is_offered_to_whom_the_certificate_names() {
    let now = origin();
    for (identity, is_offered) in [
        (certificate(CALLER), true),
        (certificate("*.com"), false),
        (certificate("other.example"), false),
        (PeerIdentity::default(), false),
    ] {
        let mut stream = incoming(plain(CALLED), Security::Tls(identity), now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        assert_eq!(drained(|| stream.poll_output()).0.contains("EXTERNAL"), is_offered);
    }
    let mut stream = incoming(plain(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.replace("from='example.com'", "").as_bytes(), now);
    assert!(!drained(|| stream.poll_output()).0.contains("EXTERNAL"));
}

// checks: EXT-002
#[test]
fn xep0178_s3_another_identity_is_refused_and_dialback_may_follow() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(certificate("other.example")), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    stream.handle_bytes(auth("=").as_bytes(), now);
    let refused = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    assert_eq!(drained(|| stream.poll_output()), (refused.to_owned(), vec![]));
    // The certificate's own name is not the stream's.
    stream.handle_bytes(auth("b3RoZXIuZXhhbXBsZQ==").as_bytes(), now);
    let (octets, _) = drained(|| stream.poll_output());
    assert!(octets.contains("<invalid-authzid/>") && octets.ends_with("</stream:stream>"), "{octets}");

    let mut config = plain(CALLED);
    config.policy.dialback = false;
    let mut stream = incoming(config, Security::Tls(certificate("other.example")), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(auth("=").as_bytes(), now);
    assert!(drained(|| stream.poll_output()).0.ends_with("</stream:stream>"));
}

// checks: EXT-002, DBK-002
#[test]
fn xep0178_s3_a_caller_whose_certificate_is_refused_goes_on_by_dialback() {
    let now = origin();
    let features = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
        xmlns:db='jabber:server:dialback' from='example.net' id='1' version='1.0'><stream:features><mechanisms \
        xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
    let failure = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    let mut stream = outgoing(plain(CALLER), Security::Tls(certificate(CALLED)), now);
    stream.handle_bytes(features.as_bytes(), now);
    stream.handle_bytes(failure, now);
    assert!(drained(|| stream.poll_output()).0.contains("<db:result from='example.com' to='example.net'>"));
    let mut config = plain(CALLER);
    config.dialback_secret = None;
    let mut stream = outgoing(config, Security::Tls(certificate(CALLED)), now);
    stream.handle_bytes(features.as_bytes(), now);
    stream.handle_bytes(failure, now);
    let failed = Output::Failed(StreamFailure::Sasl(SaslCondition::NotAuthorized));
    assert_eq!(drained(|| stream.poll_output()).1, [failed, Output::Closed]);
}

// checks: EXT-003
#[test]
fn rfc6120_s6_3_2_the_new_stream_is_between_the_same() {
    for (header, condition) in [
        (HEADER.replace("from='example.com'", "from='other.example'"), StreamCondition::InvalidFrom),
        (HEADER.replace("to='example.net'", "to='second.example'"), StreamCondition::HostUnknown),
    ] {
        let now = origin();
        let mut config = plain(CALLED);
        config.hosts.insert(domain("second.example"));
        let mut stream = incoming(config, Security::Tls(certificate(CALLER)), now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        stream.handle_bytes(auth("=").as_bytes(), now);
        stream.handle_bytes(header.as_bytes(), now);
        let events = drained(|| stream.poll_output()).1;
        assert_eq!(refusal(&events), Some(condition));
        assert!(!events.iter().any(|event| matches!(event, Output::Proven { .. })));
    }
}

// checks: EXT-003
#[test]
fn rfc6120_s6_3_2_once_is_enough() {
    let now = origin();
    let mut stream = authenticated(plain(CALLED), now);
    stream.handle_bytes(auth("=").as_bytes(), now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::PolicyViolation));
}

// checks: XST-007
#[test]
fn rfc6120_s6_3_4_no_external_without_tls() {
    let now = origin();
    let mut stream = incoming(lab(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    assert!(!drained(|| stream.poll_output()).0.contains("mechanism"));
    stream.handle_bytes(auth("=").as_bytes(), now);
    assert!(drained(|| stream.poll_output()).0.contains("<encryption-required/>"));
}

#[test]
fn nobody_speaks_for_our_own_domains() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(certificate(CALLED)), now);
    stream.handle_bytes(HEADER.replace("from='example.com'", "").as_bytes(), now);
    stream.handle_bytes(auth("ZXhhbXBsZS5uZXQ=").as_bytes(), now);
    assert!(drained(|| stream.poll_output()).0.contains("<invalid-authzid/>"));
    stream.handle_bytes(b"<db:result from='example.net' to='example.net'>k</db:result>", now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<not-acceptable ") && events.is_empty(), "{octets}");
}
