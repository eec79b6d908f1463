use std::time::Duration;

use xmpp_proto::server::{LinkError, Output, PeerIdentity, Security, StreamFailure};
use xmpp_proto::stream::StreamCondition;

use crate::support::*;

// checks: XST-001
#[test]
fn rfc6120_s4_7_both_headers_name_both_ends() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    ends.exchange();
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
        xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='example.com' \
        to='example.net' version='1.0'>";
    // Bare, after TLS, after SASL.
    assert_eq!(ends.caller_wrote.matches(header).count(), 3);
    assert_eq!(ends.called_wrote.matches(" from='example.net' to='example.com' id='").count(), 3);
    assert_eq!(ends.called_wrote.matches(" version='1.0'>").count(), 3);
}

// checks: XST-002
#[test]
fn rfc6120_s4_7_3_each_stream_has_an_id_of_its_own() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    ends.exchange();
    let ids: Vec<_> = ends.called_wrote.split(" id='").skip(1).map(|rest| &rest[..32]).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((ids.len(), distinct.len()), (3, 3), "{ids:?}");
    assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
    let mut other = Ends::new(plain(CALLER), plain(CALLED));
    other.called = xmpp_proto::server::IncomingStream::new(
        std::sync::Arc::new(plain(CALLED)),
        xmpp_proto::server::Entropy::new([8; 32]),
        Security::Plain,
        other.now,
    );
    other.exchange();
    assert!(!ids.iter().any(|id| other.called_wrote.contains(id)));
}

// checks: XST-003
#[test]
fn rfc6120_s4_7_5_features_only_for_version_1() {
    let now = origin();
    let mut stream = incoming(lab(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.replace(" version='1.0'>", ">").as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.ends_with("'>") && !octets.contains("version='1.0'>") && !octets.contains("features"), "{octets}");
    assert_eq!(events, []);
    let mut stream = incoming(lab(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.replace("version='1.0'>", "version='1.7'>").as_bytes(), now);
    assert!(drained(|| stream.poll_output()).0.ends_with("</stream:features>"));
    let mut stream = incoming(lab(CALLED), Security::Plain, now);
    stream.handle_bytes(HEADER.replace("version='1.0'>", "version='x'>").as_bytes(), now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::UnsupportedVersion));
}

// checks: XST-003, DBK-002
#[test]
fn rfc6120_s4_7_5_a_peer_without_version_is_asked_by_dialback_at_once() {
    let now = origin();
    let mut stream = outgoing(lab(CALLER), Security::Plain, now);
    drained(|| stream.poll_output());
    let header = HEADER
        .replace(" version='1.0'>", " id='1'>")
        .replace("from='example.com' to='example.net'", "from='example.net'");
    stream.handle_bytes(header.as_bytes(), now);
    assert!(drained(|| stream.poll_output()).0.starts_with("<db:result from='example.com' to='example.net'>"));
}

// checks: XST-004, XST-010
#[test]
fn rfc6120_s4_9_1_2_faults_in_the_header_are_answered_behind_one() {
    for (header, condition, own) in [
        (HEADER.replace("to='example.net'", "to='other.example'"), StreamCondition::HostUnknown, "example.net"),
        (HEADER.replace("to='example.net'", ""), StreamCondition::HostUnknown, "example.net"),
        (HEADER.replace("from='example.com'", "from='a b'"), StreamCondition::InvalidFrom, "example.net"),
        (HEADER.replace("from='example.com'", "from='example.net'"), StreamCondition::InvalidFrom, "example.net"),
        (HEADER.replace("'jabber:server'", "'jabber:client'"), StreamCondition::InvalidNamespace, "example.net"),
        (HEADER.replace("etherx", "other"), StreamCondition::InvalidNamespace, "example.net"),
        (HEADER.replace("xmlns:stream", "xmlns:flow"), StreamCondition::BadNamespacePrefix, "example.net"),
        (HEADER.replace("<stream:stream", "<stream:river"), StreamCondition::BadFormat, "example.net"),
        ("<!DOCTYPE a []>".to_owned(), StreamCondition::RestrictedXml, "example.net"),
        ("GET / HTTP/1.1\r\n".to_owned(), StreamCondition::NotWellFormed, "example.net"),
        ("\u{16}\u{3}\u{1}".to_owned(), StreamCondition::NotWellFormed, "example.net"),
    ] {
        let now = origin();
        let mut stream = incoming(plain(CALLED), Security::Plain, now);
        stream.handle_bytes(header.as_bytes(), now);
        let (octets, events) = drained(|| stream.poll_output());
        assert_eq!(refusal(&events), Some(condition), "{header}");
        let (start, rest) = octets.split_once("<stream:error>").unwrap();
        assert!(start.contains(&format!(" from='{own}'")) && start.contains(" id='"), "{octets}");
        assert!(rest.ends_with("</stream:error></stream:stream>"), "{octets}");
        stream.handle_bytes(HEADER.as_bytes(), now);
        assert_eq!((stream.poll_output(), stream.poll_timeout()), (None, None));
    }
}

// checks: XST-004
#[test]
fn rfc6120_s4_9_1_3_an_unknown_host_is_answered_under_our_own_name() {
    let now = origin();
    let mut config = plain("gateway.example");
    config.hosts = [domain(CALLED)].into();
    let mut stream = incoming(config, Security::Plain, now);
    stream.handle_bytes(HEADER.replace("to='example.net'", "to='gateway.example'").as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert_eq!(refusal(&events), Some(StreamCondition::HostUnknown));
    assert!(octets.contains(" from='gateway.example' to='example.com' id='"), "{octets}");
}

#[test]
fn rfc6120_s4_7_1_a_receiver_answers_under_the_name_it_was_called_by() {
    let answer = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
        from='example.net' id='1' version='1.0'>";
    for (header, condition) in [
        (answer.replace(" id='1'", ""), StreamCondition::BadFormat),
        (answer.replace("from='example.net'", "from='other.example'"), StreamCondition::InvalidFrom),
    ] {
        let now = origin();
        let mut stream = outgoing(plain(CALLER), Security::Plain, now);
        stream.handle_bytes(header.as_bytes(), now);
        assert_eq!(drained(|| stream.poll_output()).1, []);
        stream.handle_bytes(b"<stream:features/>", now);
        assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(condition), "{header}");
        // What the peer says about it is heard, with features or without.
        for header in [header.clone(), header.replace(" version='1.0'", "")] {
            let mut stream = outgoing(plain(CALLER), Security::Plain, now);
            stream.handle_bytes(header.as_bytes(), now);
            let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
            stream.handle_bytes(error.as_bytes(), now);
            let told = LinkError::Peer(StreamCondition::HostUnknown.into());
            let expected = [Output::Failed(StreamFailure::Link(told)), Output::Closed];
            assert_eq!(drained(|| stream.poll_output()).1, expected);
        }
    }
}

#[test]
fn a_stream_that_proves_nothing_in_time_is_closed() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(PeerIdentity::default()), now);
    // A slow peer gains no time by sending something now and then.
    for (second, octet) in HEADER.as_bytes().iter().take(59).enumerate() {
        stream.handle_bytes(&[*octet], now + Duration::from_secs(second as u64));
    }
    let due = stream.poll_timeout().unwrap();
    assert_eq!(due, now + xmpp_proto::server::Times::OPEN);
    stream.handle_timeout(due);
    let (_, events) = drained(|| stream.poll_output());
    assert_eq!(events, [Output::Failed(StreamFailure::Link(LinkError::Timeout)), Output::Closed]);
}
