//! Whole message/cpim and S/MIME objects through a running gateway, from socket to socket: octets in, octets out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "test code")]

mod common;
mod serving;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{command, text};
use serde_json::Value;
use serving::{CAROL, Gateway, HEAD};

/// Stands behind [`HEAD`].
const REST: &str = r#"
[adapter.office]
type = "xmpp-component"
connect = "XMPP"
domain = "LINK"
secret = "x"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:UDP;transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "other.example"
adapter = "sip"
next_hop = "sip:TCP;transport=tcp"
[[domain]]
name = "xmpp.example"
adapter = "office"
"#;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PLAIN: &str = "From: Romeo <im:romeo@sip.example>\r\nTo:  <im:bob@other.example>\r\nNS: x <urn:x>\r\nx.a: \\u0041\r\n\
    Subject:;lang=de Gr\u{fc}\u{df}e\r\n\r\nContent-type:   text/plain; charset=utf-8\r\nContent-ID: <1@sip.example>\r\n\r\nh\u{e9} ]]> <&\r\n";

const SIGNED_TYPE: &str = "multipart/signed; micalg=sha-256; protocol=\"application/pkcs7-signature\"; boundary=b";
const SIGNED: &str = "--b\r\nContent-Type: Message/CPIM\r\n\r\nFrom: <im:romeo@sip.example>\r\nTo: <im:juliet@xmpp.example>\r\n\r\n\
    Content-Type: text/plain\r\n\r\nh\u{e9} ]]> <& \r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--b--\r\n";

const ENVELOPED: &str = "From: <im:romeo@sip.example>\r\nTo: <im:juliet@xmpp.example>\r\n\r\n\
    Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n";

/// A gateway with all its peers.
struct World {
    gateway: Gateway,
    udp: UdpSocket,
    tcp: TcpListener,
    stanzas: Receiver<String>,
    link: TcpStream,
}

impl World {
    fn start() -> Self {
        Self::with_component("sip.example")
    }

    /// With a link to the XMPP network on which users of this domain speak.
    fn with_component(domain: &'static str) -> Self {
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        let xmpp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = |address: std::net::SocketAddr| address.to_string();
        let config = [HEAD, REST].concat().replace("XMPP", &at(xmpp.local_addr().unwrap()));
        let config = config.replace("LINK", domain);
        let config =
            config.replace("UDP", &at(udp.local_addr().unwrap())).replace("TCP", &at(tcp.local_addr().unwrap()));
        let ((seen, stanzas), (opened, link)) = (channel(), channel());
        std::thread::spawn(move || serve_component(domain, xmpp.accept().unwrap().0, &opened, &seen));
        let mut gateway = Gateway::start(&config);
        gateway.until("ready");
        let link = link.recv_timeout(PATIENCE).unwrap();
        Self { gateway, udp, tcp, stanzas, link }
    }

    /// Sends a MESSAGE of romeo's.
    fn send(&self, to: &str, content_type: &str, body: &str) {
        let branch = to.replace('@', "-");
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", self.udp.local_addr().unwrap());
        let request = format!(
            "MESSAGE sip:{to} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:romeo@sip.example>;tag=r\r\nTo: <sip:{to}>\r\n\
             Call-ID: c-{to}\r\nCSeq: 1 MESSAGE\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send_datagram(&request);
    }

    fn send_datagram(&self, message: &str) {
        let listener = self
            .gateway
            .seen
            .iter()
            .find(|entry| text(entry, "transport") == "udp" && text(entry, "target").starts_with("adapter_sip"));
        let gateway = listener
            .map_or_else(|| self.gateway.address("listening", "adapter_sip"), |it| text(it, "address").to_owned());
        self.udp.send_to(message.as_bytes(), gateway).unwrap();
    }

    /// Sends a request about presence, with these headers behind those that all have.
    fn send_event(&self, start: &str, headers: &str, body: &str) {
        let here = self.udp.local_addr().unwrap();
        self.send_datagram(&format!(
            "{start} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKevent\r\nMax-Forwards: 70\r\nContact: <sip:romeo@{here}>\r\n\
             Event: presence\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// The next request that is such a one; each is answered on the way, responses are left out.
    fn request(&self, is: impl Fn(&str) -> bool) -> String {
        let mut buffer = [0; 65536];
        loop {
            let (length, from) = self.udp.recv_from(&mut buffer).unwrap();
            let found = std::str::from_utf8(&buffer[..length]).unwrap();
            if found.starts_with("SIP/2.0") {
                continue;
            }
            self.udp.send_to(ok_to(found).as_bytes(), from).unwrap();
            if is(found) {
                return found.to_owned();
            }
        }
    }

    /// Sends a message as carol, without waiting for its outcome.
    fn post(&self, message: &Value) {
        let native = self.gateway.address("listening", "adapter_native");
        let message = message.to_string();
        std::thread::spawn(move || {
            let answer = serving::native(&native, CAROL, "POST /v1/messages", &message);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        });
    }

    /// The next datagram that begins so; requests are answered, interim responses left out.
    fn datagram(&self, start: &str) -> String {
        let mut buffer = [0; 65536];
        loop {
            let (length, from) = self.udp.recv_from(&mut buffer).unwrap();
            let found = std::str::from_utf8(&buffer[..length]).unwrap();
            if found.starts_with("MESSAGE") {
                self.udp.send_to(ok_to(found).as_bytes(), from).unwrap();
            }
            if found.starts_with(start) {
                return found.to_owned();
            }
            assert!(found.starts_with("SIP/2.0 1"), "{found}");
        }
    }

    /// The next MESSAGE over TCP.
    fn stream_message(&self) -> String {
        let (accepted, connection) = channel();
        let listener = self.tcp.try_clone().unwrap();
        std::thread::spawn(move || accepted.send(listener.accept().unwrap().0));
        let mut stream = connection.recv_timeout(PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
            let found = String::from_utf8_lossy(&seen).into_owned();
            if found.contains("\r\n\r\n")
                && body(&found).len() == header(&found, "Content-Length").parse::<usize>().unwrap()
            {
                stream.write_all(ok_to(&found).as_bytes()).unwrap();
                return found;
            }
        }
    }

    fn stanza(&self) -> String {
        self.stanzas.recv_timeout(PATIENCE).unwrap()
    }

    /// The next stanza in which this stands.
    fn stanza_with(&self, part: &str) -> String {
        std::iter::repeat_with(|| self.stanza()).find(|stanza| stanza.contains(part)).unwrap()
    }
}

/// Takes the component in, answers its pings and tells its messages and presence.
fn serve_component(
    domain: &str,
    mut stream: TcpStream,
    opened: &Sender<TcpStream>,
    stanzas: &Sender<String>,
) -> Option<()> {
    let between = |text: &str, before: &str, after: &str| {
        let rest = text.split_once(before)?.1;
        Some(rest.split_once(after)?.0.to_owned())
    };
    let (mut seen, mut buffer, mut open) = (String::new(), [0; 65536], false);
    write!(stream, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='{domain}' id='1'>").ok()?;
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        seen.push_str(std::str::from_utf8(&buffer[..read]).ok()?);
        if !open && let Some((_, rest)) = seen.split_once("</handshake>") {
            seen = rest.to_owned();
            open = true;
            write!(stream, "<handshake/>").ok()?;
            opened.send(stream.try_clone().ok()?).ok()?;
        }
        while open && let Some(end) = first_end(&seen) {
            let stanza: String = seen.drain(..end).collect();
            if !stanza.contains("<iq") {
                stanzas.send(stanza).ok()?;
            } else {
                let attribute = |name: &str| between(&stanza, &format!(" {name}='"), "'");
                let (id, to) = (attribute("id")?, attribute("to")?);
                write!(stream, "<iq type='result' id='{id}' from='{to}' to='{domain}'/>").ok()?;
            }
        }
    }
}

/// Where the first stanza ends.
fn first_end(seen: &str) -> Option<usize> {
    let start = seen.find('<')?;
    let tag_end = start + seen[start..].find('>')?;
    if seen[..tag_end].ends_with('/') {
        return Some(tag_end + 1);
    }
    let name = seen[start + 1..].split([' ', '>']).next()?;
    // A document inside an object has tags of its own.
    let end = format!("</{name}>");
    let at = seen.find(&end)?;
    let inside = match seen[..at].contains("<e2e ") {
        true => seen.find("]]></e2e>")?,
        false => at,
    };
    seen[inside..].find(&end).map(|at| inside + at + end.len())
}

fn header<'m>(message: &'m str, name: &str) -> &'m str {
    let line = |line: &'m str| line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name));
    message.split("\r\n").find_map(line).map(|(_, value)| value.trim()).unwrap_or_default()
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

fn ok_to(request: &str) -> String {
    let copied =
        ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(request, name))).concat();
    let to = header(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=p" };
    let dialog = match request.starts_with("SUBSCRIBE") {
        true => format!("Expires: 3600\r\nContact: {}\r\n", to.split(';').next().unwrap_or_default()),
        false => String::new(),
    };
    format!("SIP/2.0 200 OK\r\n{copied}To: {to}{tag}\r\n{dialog}Content-Length: 0\r\n\r\n")
}

/// The object inside a stanza, as an XML parser and RFC 3923 give it.
fn object(stanza: &str) -> String {
    let inside = stanza.split_once("xmpp-e2e'><![CDATA[").unwrap().1.split_once("]]></e2e>").unwrap().0;
    inside.replace("]]><![CDATA[", "")
}

// checks: MF-17, CPM-008, CMP-072
#[test]
fn rfc3862_s2_2_sip_to_sip_passes_message_cpim_and_signed_text_as_they_are() {
    let world = World::start();
    world.send("bob@other.example", "Message/CPIM", PLAIN);
    let came = world.stream_message();
    assert_eq!((header(&came, "Content-Type"), body(&came)), ("Message/CPIM", PLAIN));
    world.datagram("SIP/2.0 200");
}

// checks: XE-01, XE-04, XE-05, XE-06, CMP-072
#[test]
fn rfc3923_s8_signed_objects_pass_between_sip_and_xmpp_whole() {
    let mut world = World::start();
    world.send("juliet@xmpp.example", SIGNED_TYPE, SIGNED);
    let stanza = world.stanza();
    assert_eq!(object(&stanza), format!("Content-Type: {SIGNED_TYPE}\r\n\r\n{SIGNED}"));
    assert!(!stanza.contains("<body"), "{stanza}");
    world.datagram("SIP/2.0 20");
    // XML 1.0 §2.11: what a server passes on has lost its CR.
    let inside = object(&stanza).replace("\r\n", "\n").replace("]]>", "]]]]><![CDATA[>");
    write!(
        world.link,
        "<message from='juliet@xmpp.example/b' to='romeo@sip.example' id='m1'><body>a stand-in</body>\
         <e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'><![CDATA[{inside}]]></e2e></message>"
    )
    .unwrap();
    let came = world.datagram("MESSAGE");
    assert_eq!((header(&came, "Content-Type"), body(&came)), (SIGNED_TYPE, SIGNED));
}

// checks: XE-06, CMP-071, SM-03
#[test]
fn rfc3923_s6_4_enveloped_objects_go_into_xml_as_text_only() {
    let world = World::start();
    world.send("juliet@xmpp.example", "message/cpim", ENVELOPED);
    let stanza = world.stanza();
    assert_eq!(object(&stanza), format!("Content-Type: message/cpim\r\n\r\n{ENVELOPED}"));
    assert!(!stanza.contains("<body"), "{stanza}");
    world.datagram("SIP/2.0 20");
    world.send("romeo2@xmpp.example", "application/pkcs7-mime; smime-type=enveloped-data", "MIIB");
    let refused = world.datagram("SIP/2.0 415");
    assert!(!header(&refused, "Accept").is_empty(), "{refused}");
}

// checks: CMP-071, CMP-073, CPM-008
#[test]
fn native_users_get_the_whole_object_with_its_type() {
    let world = World::start();
    let native = format!("http://{}", world.gateway.address("listening", "adapter_native"));
    let mut watching = command(&["watch", "--count", "1", "--json", "--server", &native, "--token", "carol-token"]);
    let watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    world.send("carol@native.example", "message/cpim", PLAIN);
    let watched: Value = serde_json::from_slice(&watching.wait_with_output().unwrap().stdout).unwrap();
    let object = &watched["data"]["object"];
    let encoded = format!("Content-Transfer-Encoding: base64\r\n\r\n{}", text(object, "base64"));
    let octets = cpim::Entity::parse(encoded.as_bytes()).unwrap().decoded_body().unwrap().into_owned();
    assert_eq!((text(object, "content_type"), octets.as_slice()), ("message/cpim", PLAIN.as_bytes()));
    assert_eq!(text(&watched["data"], "body"), "h\u{e9} ]]> <&\n");
    world.datagram("SIP/2.0 20");
}

// checks: CMP-071, CMP-073, IM-18, SM-03
#[test]
fn rfc3860_s3_3_enveloped_objects_go_to_those_who_take_them_without_a_look() {
    let world = World::start();
    let media = "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m";
    world.send("bob@other.example", media, "MIIB");
    let came = world.stream_message();
    assert_eq!((header(&came, "Content-Type"), body(&came)), (media, "MIIB"));
    world.datagram("SIP/2.0 200");
}

// checks: XE-04, XE-05, SM-01, SM-02, SM-03, CMP-073, REQ-5.4.9, MSG-015
#[test]
fn rfc3862_s5_protected_objects_of_native_users_arrive_octet_for_octet() {
    let world = World::with_component("native.example");
    let send = |to: &str, content_type: &str, octets: &str| {
        let object = serde_json::json!({"content_type": content_type, "base64": BASE64_STANDARD.encode(octets)});
        world.post(&serde_json::json!({"to": to, "content_type": "text/plain", "body": "", "object": object}));
    };
    send("romeo@sip.example", SIGNED_TYPE, SIGNED);
    let came = world.datagram("MESSAGE");
    assert_eq!((header(&came, "Content-Type"), body(&came)), (SIGNED_TYPE, SIGNED));
    send("juliet@xmpp.example", SIGNED_TYPE, SIGNED);
    let stanza = world.stanza();
    assert_eq!(object(&stanza), format!("Content-Type: {SIGNED_TYPE}\r\n\r\n{SIGNED}"));
    assert!(stanza.contains("from='carol@") && !stanza.contains("<body"), "{stanza}");
    let media = "application/pkcs7-mime; smime-type=enveloped-data";
    send("romeo@sip.example", media, "MIIB");
    let came = world.request(|found| header(found, "Content-Type") == media);
    assert_eq!(body(&came), "MIIB");
    send("juliet@xmpp.example", media, "MIIB");
    let encoded = BASE64_STANDARD.encode("MIIB");
    let expected = format!("Content-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}");
    assert_eq!(object(&world.stanza()).trim_end(), expected);
}

/// A signed presence document.
const DOCUMENT: &str = "--b\r\nContent-Type: application/pidf+xml\r\n\r\n<?xml version='1.0'?>\r\n\
    <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:juliet@xmpp.example'><tuple id='b'><status><basic>open</basic>\
    </status></tuple></presence>\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--b--\r\n";

// checks: XE-02, XE-04, XE-05, XE-06, PR-17, EVT-031
#[test]
fn rfc3923_s4_1_protected_presence_of_an_xmpp_user_reaches_a_sip_watcher_whole() {
    let mut world = World::start();
    world.send_event(
        "SUBSCRIBE sip:juliet@xmpp.example",
        "From: <sip:romeo@sip.example>;tag=r\r\nTo: <sip:juliet@xmpp.example>\r\nCall-ID: w1\r\nCSeq: 1 SUBSCRIBE\r\n\
         Accept: application/pidf+xml, multipart/signed\r\nExpires: 3600\r\n",
        "",
    );
    world.stanza_with("type='subscribe'");
    let inside = format!("Content-Type: {SIGNED_TYPE}\r\n\r\n{DOCUMENT}").replace("\r\n", "\n");
    write!(
        world.link,
        "<presence type='subscribed' from='juliet@xmpp.example' to='romeo@sip.example'/>\
         <presence from='juliet@xmpp.example/b' to='romeo@sip.example'>\
         <e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'><![CDATA[{inside}]]></e2e></presence>"
    )
    .unwrap();
    let notify = world.request(|found| found.starts_with("NOTIFY") && !body(found).is_empty());
    assert_eq!((header(&notify, "Content-Type"), body(&notify)), (SIGNED_TYPE, DOCUMENT));
}

// checks: XE-02, XE-04, XE-05, XE-06, PR-15, PR-17
#[test]
fn rfc3923_s8_a_signed_document_of_a_sip_user_reaches_an_xmpp_watcher_whole() {
    let mut world = World::start();
    write!(world.link, "<presence type='subscribe' from='juliet@xmpp.example' to='romeo@sip.example'/>").unwrap();
    let subscribe = world.request(|found| found.starts_with("SUBSCRIBE"));
    let target = header(&subscribe, "Contact").trim_start_matches('<').trim_end_matches('>');
    let document = DOCUMENT.replace("juliet@xmpp", "romeo@sip");
    let notify = |cseq: u32, media: &str, body: &str| {
        let headers = format!(
            "From: <sip:romeo@sip.example>;tag=p\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\n\
             Subscription-State: active;expires=3600\r\nContent-Type: {media}\r\n",
            header(&subscribe, "From"),
            header(&subscribe, "Call-ID"),
        );
        world.send_event(&format!("NOTIFY {target}"), &headers, body);
    };
    notify(1, SIGNED_TYPE, &document);
    world.datagram("SIP/2.0 200");
    let stanza = world.stanza_with("<e2e");
    assert!(stanza.starts_with("<presence from='romeo@sip.example/b' to='juliet@xmpp.example"), "{stanza}");
    assert_eq!(object(&stanza), format!("Content-Type: {SIGNED_TYPE}\r\n\r\n{document}"));
}
