use xmpp_proto::server::{LinkError, NotSent, Output, PeerIdentity, Security, StreamFailure};
use xmpp_proto::stream::{StreamCondition, StreamError};

use crate::support::*;

// checks: XST-005
#[test]
fn rfc6120_s13_12_no_stanza_before_a_pair_is_proven() {
    let now = origin();
    for identity in [PeerIdentity::default(), certificate(CALLER)] {
        for stanza in ["<message from='a@example.com' to='b@example.net'/>", "<iq/>", "<presence/>"] {
            let mut stream = incoming(server(CALLED), Security::Tls(identity.clone()), now);
            stream.handle_bytes(HEADER.as_bytes(), now);
            stream.handle_bytes(stanza.as_bytes(), now);
            assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::NotAuthorized), "{stanza}");
        }
    }
}

// checks: XST-010, XST-011, XST-012, XST-013, XST-020, XST-021, XST-022, XST-030
#[test]
fn rfc6120_s4_9_3_faults_in_an_open_stream_end_it() {
    let long = format!("<message from='a@example.com' to='b@example.net'><body>{}</body>", "x".repeat(300_000));
    for (octets, condition) in [
        ("<message to='b@example.net'/>", StreamCondition::ImproperAddressing),
        ("<message from='a@example.com'/>", StreamCondition::ImproperAddressing),
        ("<message from='a@other.example' to='b@example.net'/>", StreamCondition::InvalidFrom),
        ("<message from='a@example.com.' to='b@other.example'/>", StreamCondition::HostUnknown),
        ("<message from='other.example/a@example.com' to='b@example.net'/>", StreamCondition::InvalidFrom),
        ("<message from='example.com@other.example' to='b@example.net'/>", StreamCondition::InvalidFrom),
        ("<message from='a@example.com' to='example.net@other.example'/>", StreamCondition::HostUnknown),
        ("<message from='' to='b@example.net'/>", StreamCondition::InvalidFrom),
        ("<message xmlns='jabber:client' from='a@example.com' to='b@example.net'/>", StreamCondition::InvalidNamespace),
        ("<query/>", StreamCondition::UnsupportedStanzaType),
        ("<x xmlns='urn:example:x'/>", StreamCondition::UnsupportedStanzaType),
        ("<stream:features/>", StreamCondition::UnsupportedStanzaType),
        ("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", StreamCondition::UnsupportedStanzaType),
        ("<a xmlns='urn:xmpp:sm:3' h='0'/>", StreamCondition::UnsupportedStanzaType),
        ("<a xmlns='urn:xmpp:sm:3'/>", StreamCondition::BadFormat),
        ("<db:result from='example.com' to='example.net' type='x'/>", StreamCondition::ImproperAddressing),
        ("<message><!-- c --></message>", StreamCondition::RestrictedXml),
        ("<message>&x;</message>", StreamCondition::RestrictedXml),
        ("<message><a></b></message>", StreamCondition::NotWellFormed),
        ("<message>\u{1}</message>", StreamCondition::NotWellFormed),
        ("words", StreamCondition::NotWellFormed),
        (long.as_str(), StreamCondition::PolicyViolation),
    ] {
        let now = origin();
        let mut stream = authenticated(plain(CALLED), now);
        stream.handle_bytes(octets.as_bytes(), now);
        let (sent, events) = drained(|| stream.poll_output());
        let shown = &octets[..octets.len().min(80)];
        assert_eq!(refusal(&events), Some(condition), "{shown}");
        assert_eq!(events.len(), 2, "nothing is carried: {shown}");
        assert!(sent.starts_with("<stream:error>") && sent.ends_with("</stream:stream>"), "{sent}");
        assert_eq!(stream.poll_timeout(), None);
    }
}

// checks: XST-030
#[test]
fn rfc6120_s13_12_the_unproven_send_10000_octets_and_no_more() {
    let now = origin();
    let key =
        |length: usize| format!("<db:result from='example.com' to='example.net'>{}</db:result>", " ".repeat(length));
    for (length, is_refused) in [(9_900, false), (10_000, true)] {
        let mut stream = incoming(plain(CALLED), Security::Tls(PeerIdentity::default()), now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        drained(|| stream.poll_output());
        stream.handle_bytes(key(length).as_bytes(), now);
        let condition = refusal(&drained(|| stream.poll_output()).1);
        assert_eq!(condition == Some(StreamCondition::PolicyViolation), is_refused, "{length}");
    }
}

// checks: XST-011
#[test]
fn rfc6120_s4_9_1_1_the_peers_error_ends_the_stream() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    ends.called.refuse(StreamError::new(StreamCondition::SystemShutdown), ends.now);
    let [at_caller, at_called] = ends.exchange();
    let told = StreamError::new(StreamCondition::SystemShutdown);
    let failed = |error| Output::Failed(StreamFailure::Link(error));
    assert_eq!(at_caller, [failed(LinkError::Peer(told.clone())), Output::Closed]);
    assert_eq!(at_called, [failed(LinkError::Refused(told)), Output::Closed]);
    let late = message("a@example.com", "b@example.net", "late");
    assert_eq!(ends.caller.send(&late, None, ends.now), Err(NotSent::NotOpen));
}

// checks: XST-033
#[test]
fn rfc6120_s4_4_both_ends_close_and_nothing_on_the_way_is_lost() {
    let mut ends = Ends::open(plain(CALLER), plain(CALLED));
    let now = ends.now;
    ends.caller.send(&message("a@example.com", "b@example.net", "last"), None, now).unwrap();
    ends.called.close(now);
    let [at_caller, at_called] = ends.exchange();
    assert_eq!(at_caller, [Output::Closed]);
    assert_eq!(bodies(&at_called), ["last"]);
    assert_eq!(at_called.last(), Some(&Output::Closed));
}

// checks: XST-015
#[test]
fn rfc6120_s8_1_5_the_streams_language_is_the_default() {
    let now = origin();
    let mut stream = incoming(plain(CALLED), Security::Tls(certificate(CALLER)), now);
    let header = HEADER.replace(" version='1.0'>", " xml:lang='de' version='1.0'>");
    stream.handle_bytes(header.as_bytes(), now);
    stream.handle_bytes(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", now);
    stream.handle_bytes(header.as_bytes(), now);
    drained(|| stream.poll_output());
    stream.handle_bytes(b"<message from='a@example.com' to='b@example.net'/><message from='a@example.com' to='b@example.net' xml:lang='fr'/>", now);
    let langs: Vec<_> = drained(|| stream.poll_output())
        .1
        .iter()
        .map(|event| match event {
            Output::Stanza { element, .. } => element.xml_lang().map(str::to_owned),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(langs, [Some("de".to_owned()), Some("fr".to_owned())]);
}

// checks: XST-033
#[test]
fn rfc6120_s4_4_behind_our_end_nothing_goes() {
    let now = origin();
    let mut stream = outgoing(server(CALLER), Security::Plain, now);
    stream.close(now);
    assert!(drained(|| stream.poll_output()).0.ends_with("</stream:stream>"));
    let header = HEADER.replace("from='example.com' to='example.net'", "from='example.net' id='1'");
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    stream
        .handle_bytes(format!("{header}{features}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").as_bytes(), now);
    assert_eq!(stream.poll_output(), None);

    let mut stream = incoming(server(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.close(now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", now);
    stream.handle_bytes(b"<db:result from='example.com' to='example.net'>k</db:result>", now);
    assert_eq!(stream.poll_output(), None);
    stream.handle_bytes(b"</stream:stream>", now);
    assert_eq!(drained(|| stream.poll_output()), (String::new(), vec![Output::Closed]));
}

#[test]
fn while_tls_has_the_connection_the_end_is_silent() {
    let now = origin();
    let in_handshake = || {
        let mut stream = incoming(server(CALLED), Security::Plain, now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        stream.handle_bytes(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", now);
        drained(|| stream.poll_output());
        stream
    };
    let mut stream = in_handshake();
    stream.close(now);
    assert_eq!(drained(|| stream.poll_output()), (String::new(), vec![Output::Closed]));
    let mut stream = in_handshake();
    let shutdown = StreamError::new(StreamCondition::SystemShutdown);
    stream.refuse(shutdown.clone(), now);
    let failed = Output::Failed(StreamFailure::Link(LinkError::Refused(shutdown)));
    assert_eq!(drained(|| stream.poll_output()), (String::new(), vec![failed, Output::Closed]));
    stream.handle_tls(certificate(CALLER), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    assert_eq!(stream.poll_output(), None);
}

#[test]
fn without_a_secret_there_is_no_dialback() {
    let now = origin();
    let mut config = server(CALLED);
    config.dialback_secret = None;
    let mut stream = incoming(config, Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    let (octets, _) = drained(|| stream.poll_output());
    assert!(!octets.contains("dialback"), "{octets}");
    stream.handle_bytes(b"<db:verify from='example.com' to='example.net' id='1'>k</db:verify>", now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::UnsupportedStanzaType));
}

// checks: XST-030, SMG-002
#[test]
fn one_users_stanza_beyond_a_limit_does_not_end_the_stream_of_all() {
    let now = origin();
    let mut stream = authenticated(server(CALLED), now);
    stream.handle_bytes(b"<enable xmlns='urn:xmpp:sm:3'/>", now);
    drained(|| stream.poll_output());
    let deep = format!("{}{}", "<x>".repeat(100), "</x>".repeat(100));
    let stanza = |from: &str| format!("<message from='{from}' to='b@example.net' id='1'>{deep}</message>");
    stream.handle_bytes(stanza("a@example.com").as_bytes(), now);
    let (_, events) = drained(|| stream.poll_output());
    let [Output::Excess { element, number: Some(1) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((element.attr("id"), element.children.len()), (Some("1"), 0));
    stream.handle_settled(1, now);
    stream.handle_bytes(b"<r xmlns='urn:xmpp:sm:3'/>", now);
    assert_eq!(drained(|| stream.poll_output()).0, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    // It is judged like any other, and an unreadable start tag is nobody's.
    let attributes: String = (0..100).map(|number| format!(" a{number}=''")).collect();
    for (octets, condition) in [
        (stanza("a@other.example"), StreamCondition::InvalidFrom),
        (format!("<message{attributes}/>"), StreamCondition::PolicyViolation),
    ] {
        let mut stream = authenticated(server(CALLED), now);
        stream.handle_bytes(octets.as_bytes(), now);
        assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(condition));
    }
    let mut stream = incoming(server(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    stream.handle_bytes(deep.as_bytes(), now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(StreamCondition::PolicyViolation));
}
