//! Keys that strangers bring, what they make the gateway do, and the sessions that proven peers resume.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use impp_model::{Cause, Failure, Side};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use transport::tls::testkit::{Authority, Variant};

use crate::kit::{Names, Org, PATIENCE, Raw, certificate, org};

const A: &str = "a.example";
const B: &str = "b.example";

/// A gateway that takes keys in clear.
async fn gateway(names: &Arc<Names>) -> Org {
    let ca = Authority::new("CA");
    org(B, &certificate(&ca, B, &Variant::default()), &ca, names, json!({"require_tls": false})).await
}

/// The server that the name system names for a domain.
async fn server_of(domain: &str, names: &Names) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    names.set(domain, listener.local_addr().unwrap().port(), false);
    listener
}

/// The next connection that the gateway makes there.
async fn called(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept()).await.expect("called in time").unwrap().0
}

/// A stream that says to be from [`A`].
async fn stream(to: SocketAddr) -> Raw {
    let mut raw = Raw::connect(to).await;
    raw.header(A, B).await;
    assert!(raw.hears("</stream:features>").await, "{}", raw.heard);
    raw
}

fn key_of(domain: &str) -> String {
    format!("<db:result from='{domain}' to='{B}'>{}</db:result>", "0".repeat(64))
}

/// Takes the next connection of the gateway and finds the key right that it asks about; the stream stays as it is.
async fn find_right(listener: &TcpListener) -> Raw {
    let mut server = Raw::over(called(listener).await);
    assert!(server.hears("version='1.0'>").await, "{}", server.heard);
    server
        .say(&format!(
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='{A}' to='{B}' id='s'>\
             <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
        ))
        .await;
    assert!(server.hears("</db:verify>").await, "{}", server.heard);
    let (_, question) = server.heard.split_once("<db:verify ").unwrap();
    let id = question.split_once(" id='").unwrap().1.split('\'').next().unwrap();
    server.say(&format!("<db:verify from='{A}' to='{B}' id='{id}' type='valid'/>")).await;
    server
}

/// A stream of [`A`] whose key was found right.
async fn proven(to: SocketAddr, listener: &TcpListener) -> (Raw, Raw) {
    let mut raw = stream(to).await;
    raw.say(&key_of(A)).await;
    let server = find_right(listener).await;
    assert!(raw.hears("type='valid'").await, "{}", raw.heard);
    (raw, server)
}

// checks: XST-031, DBK-003, DBK-005
#[tokio::test]
async fn xep0205_s3_an_address_causes_few_calls_and_may_ask_again_when_they_are_over() {
    const KEYS: usize = 32;
    let names = Arc::<Names>::default();
    let b = gateway(&names).await;
    let tarpit = server_of("tarpit.example", &names).await;
    let domains: Vec<_> = (0..3 * KEYS).map(|number| format!("d{number}.example")).collect();
    for domain in &domains {
        names.set(domain, tarpit.local_addr().unwrap().port(), false);
    }
    let (mut askers, mut held) = (Vec::new(), Vec::new());
    for few in domains.chunks(KEYS) {
        let mut raw = stream(b.plain).await;
        raw.say(&few.iter().map(|domain| key_of(domain)).collect::<String>()).await;
        if askers.len() < 2 {
            for _ in few {
                held.push(called(&tarpit).await);
            }
        } else {
            assert!(raw.hears_times("<resource-constraint", KEYS).await, "{}", raw.heard);
        }
        askers.push(raw);
    }
    drop(held);
    for raw in &mut askers {
        assert!(raw.hears_times("<error", KEYS).await, "{}", raw.heard);
    }
    let home = server_of(A, &names).await;
    askers[2].say(&key_of(A)).await;
    let _home = find_right(&home).await;
    assert!(askers[2].hears("type='valid'").await, "{}", askers[2].heard);
}

// checks: DBK-002, DBK-003
#[tokio::test]
async fn xep0220_s2_1_2_a_stream_that_is_being_closed_is_asked_nothing() {
    let names = Arc::<Names>::default();
    let b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let (_first, mut asked) = proven(b.plain, &home).await;
    assert!(asked.hears("</stream:stream>").await, "{}", asked.heard);
    // The first server does not end its side: another connection is made.
    let _second = proven(b.plain, &home).await;
}

/// The name under which a stream may be resumed.
async fn session(stream: &mut Raw) -> String {
    stream.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    assert!(stream.hears("<enabled ").await, "{}", stream.heard);
    stream.heard.rsplit_once(" id='").unwrap().1.split('\'').next().unwrap().to_owned()
}

// checks: SMG-002
#[tokio::test]
async fn xep0198_s5_of_many_broken_streams_the_last_may_be_resumed() {
    let names = Arc::<Names>::default();
    let b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let mut sessions = Vec::new();
    // More than are kept, and some whose end may not have been noticed.
    for _ in 0..12 {
        sessions.push(session(&mut proven(b.plain, &home).await.0).await);
    }
    let (mut last, _) = proven(b.plain, &home).await;
    let resume = |name: &str| format!("<resume xmlns='urn:xmpp:sm:3' previd='{name}' h='0'/>");
    last.say(&resume(&sessions[0])).await;
    assert!(last.hears("<item-not-found").await, "{}", last.heard);
    last.say(&resume(&sessions[11])).await;
    assert!(last.hears("<resumed ").await, "{}", last.heard);
}

// checks: SMG-002
#[tokio::test]
async fn xep0198_s5_a_wrong_name_takes_no_session_and_the_right_one_does() {
    let names = Arc::<Names>::default();
    let b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let (mut living, _) = proven(b.plain, &home).await;
    let name = session(&mut living).await;
    let (mut other, _) = proven(b.plain, &home).await;
    other.say("<resume xmlns='urn:xmpp:sm:3' previd='made-up' h='0'/>").await;
    assert!(other.hears("<item-not-found").await, "{}", other.heard);
    living.say("<r xmlns='urn:xmpp:sm:3'/>").await;
    assert!(living.hears("<a ").await, "{}", living.heard);
    other.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{name}' h='0'/>")).await;
    assert!(other.hears("<resumed ").await, "{}", other.heard);
    assert!(living.hears("<conflict").await, "{}", living.heard);
}

// checks: SMG-002
#[tokio::test]
async fn xep0198_s5_what_a_broken_stream_left_and_nothing_names_is_flagged_over_another() {
    let names = Arc::<Names>::default();
    let mut b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let message = |id: &str| format!("<message from='romeo@{A}/x' to='juliet@{B}'{id}><body>hello</body></message>");
    let (mut first, _) = proven(b.plain, &home).await;
    let name = session(&mut first).await;
    first.say(&message("")).await;
    let came = b.received().await;
    assert!(!came.provenance.may_repeat);
    drop(first);
    let _open = came.settle;
    // The session is resumed: what comes again has its number, and what does not is new.
    let (mut second, _) = proven(b.plain, &home).await;
    second.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{name}' h='0'/>")).await;
    assert!(second.hears("<resumed ").await, "{}", second.heard);
    second.say(&[message(""), message("")].concat()).await;
    let came = b.received().await;
    assert!(!came.provenance.may_repeat);
    // It breaks again, and its peer begins anew.
    drop(second);
    let _open_too = came.settle;
    let (mut third, _) = proven(b.plain, &home).await;
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        third.say(&[message(""), message(" id='m1'")].concat()).await;
        let nameless = b.received().await;
        let named = b.received().await;
        assert!(!named.provenance.may_repeat, "its id tells");
        if nameless.provenance.may_repeat {
            break;
        }
        // The gateway has yet to notice that the connection broke.
        assert!(std::time::Instant::now() < until, "not flagged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// checks: SMG-002
#[tokio::test]
async fn xep0198_s5_a_peer_that_begins_anew_while_its_stream_seems_to_live_may_repeat_until_it_resumes() {
    let names = Arc::<Names>::default();
    let mut b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let message = format!("<message from='romeo@{A}/x' to='juliet@{B}'><body>hello</body></message>");
    let (mut first, _) = proven(b.plain, &home).await;
    let name = session(&mut first).await;
    first.say(&message).await;
    let came = b.received().await;
    assert!(!came.provenance.may_repeat);
    let (mut second, _) = proven(b.plain, &home).await;
    second.say(&message).await;
    assert!(b.received().await.provenance.may_repeat, "as after a cut that only the peer has noticed");
    let (mut third, _) = proven(b.plain, &home).await;
    third.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{name}' h='0'/>")).await;
    assert!(third.hears("<resumed ").await, "{}", third.heard);
    assert!(first.hears("<conflict").await, "{}", first.heard);
    drop(first);
    // The first is the one that came, by its number.
    third.say(&message).await;
    for _ in 0..20 {
        third.say(&message).await;
        assert!(!b.received().await.provenance.may_repeat, "nor when the old connection has ended");
    }
    drop(came.settle);
}

/// Asks until the gateway has acknowledged `count` of its stanzas.
async fn acknowledged(stream: &mut Raw, count: usize) {
    let acknowledgement = format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>");
    for asked in 1..200 {
        stream.say("<r xmlns='urn:xmpp:sm:3'/>").await;
        assert!(stream.hears_times("<a ", asked).await, "{}", stream.heard);
        if stream.heard.contains(&acknowledgement) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never acknowledged: {}", stream.heard);
}

// checks: SMG-002, IM-013
#[tokio::test]
async fn xep0198_s5_what_is_answered_before_a_break_and_proven_after_the_resumption_is_acknowledged() {
    let names = Arc::<Names>::default();
    let mut b = gateway(&names).await;
    let home = server_of(A, &names).await;
    let (mut first, _) = proven(b.plain, &home).await;
    let name = session(&mut first).await;
    let (mut second, _) = proven(b.plain, &home).await;
    let message = |kind: &str| {
        format!("<message type='{kind}' from='romeo@{A}/x' to='juliet@{B}' id='{kind}'><body>hello</body></message>")
    };
    // One fails after the break; one has its answer at once, as has the ping.
    let stanzas = [
        message("chat"),
        message("groupchat"),
        format!("<iq type='get' from='romeo@{A}/x' to='{B}' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ]
    .concat();
    first.say(&stanzas).await;
    let came = b.received().await;
    drop(first);
    came.settle.settle(Failure::new(Side::Far, Cause::NotFound));
    // Nobody answers at home: the hub is to keep both errors.
    let until = std::time::Instant::now() + PATIENCE;
    while b.hub.owed.lock().unwrap().len() < 2 {
        assert!(std::time::Instant::now() < until, "the hub has not both errors");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    second.say(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{name}' h='0'/>")).await;
    assert!(second.hears("<resumed ").await && second.hears("h='0'").await, "{}", second.heard);
    second.say(&stanzas).await;
    let owed = std::mem::take(&mut *b.hub.owed.lock().unwrap());
    owed.into_iter().for_each(|(_, done)| done(true));
    acknowledged(&mut second, 3).await;
    b.received_nothing().await;
    assert!(b.hub.owed.lock().unwrap().is_empty(), "an error for what came again");
}
