//! Peers that mean no good, and peers that know no better: each is refused with a reason, and nothing of it is carried.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "test code")]

mod common;
mod serving;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::text;
use serving::{CAROL, Gateway, HEAD, admin};

/// Long enough for a loaded machine; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long is listened for an answer that may not come.
const QUIET: Duration = Duration::from_millis(700);

/// A gateway that trusts this host for sip.example, and sends what is for far.example to `hop`.
fn config(name: &str, hop: SocketAddr) -> String {
    let domains = format!(
        r#"
[delivery]
hold_timeout = "1s"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:{hop};transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "far.example"
role = "remote"
adapter = "sip"
next_hop = "sip:{hop};transport=udp"
"#
    );
    HEAD.replace("gw.example.net", name) + &domains
}

struct Served {
    process: Gateway,
    udp: SocketAddr,
    tcp: SocketAddr,
    native: String,
    admin: String,
}

fn serve(name: &str, hop: SocketAddr) -> Served {
    serve_with(&config(name, hop))
}

fn serve_with(config: &str) -> Served {
    let mut gateway = Gateway::start(config);
    gateway.until("ready");
    let listener = |transport: &str| {
        let fits =
            |entry: &&serde_json::Value| text(entry, "message") == "listening" && text(entry, "transport") == transport;
        text(gateway.seen.iter().find(fits).unwrap(), "address").parse().unwrap()
    };
    let (udp, tcp) = (listener("udp"), listener("tcp"));
    let native = gateway.address("listening", "adapter_native");
    let admin = gateway.address("admin API, metrics and health checks", "interlingua");
    Served { process: gateway, udp, tcp, native, admin }
}

impl Served {
    /// How many operations came in with an outcome and reason.
    fn operations(&self, wanted: &[&str]) -> u64 {
        let metrics = admin(&self.admin, "/metrics");
        let lines = metrics.lines().filter(|line| line.starts_with("interlingua_operations_total{"));
        let of = lines.filter(|line| wanted.iter().all(|word| line.contains(word)));
        of.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// It still answers.
    fn is_alive(&self) -> bool {
        let peer = socket();
        status(&ask(
            &peer,
            self.udp,
            &request("OPTIONS", "sip:gw", "sip:x@sip.example", peer.local_addr().unwrap(), ""),
        )) == Some(200)
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A request with a branch of its own.
fn request(method: &str, uri: &str, from: &str, via: SocketAddr, body: &str) -> String {
    let id = format!("{:016x}", rand::random::<u64>());
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=f\r\nTo: <{uri}>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(peer: &UdpSocket, gateway: SocketAddr, request: &str) -> String {
    peer.send_to(request.as_bytes(), gateway).unwrap();
    loop {
        let answer = receive(peer).expect("an answer");
        if status(&answer) != Some(100) {
            return answer;
        }
    }
}

fn receive(peer: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 65_535];
    let (length, _) = peer.recv_from(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn status(response: &str) -> Option<u16> {
    response.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// What a connection answers to octets, until it is quiet or closed.
fn over_tcp(gateway: SocketAddr, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway).unwrap();
    // The gateway may close in the middle of what it refuses.
    let _ = stream.write_all(octets);
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 65_535]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

// checks: SEC-001
#[test]
fn a_from_that_the_connection_has_not_proven_is_refused_and_nothing_carried() {
    let gateway = serve("gw.example.net", "127.0.0.1:9".parse().unwrap());
    let peer = socket();
    let via = peer.local_addr().unwrap();
    for from in ["sip:a@other.example", "sip:carol@native.example", "sip:a@far.example"] {
        let answer = ask(&peer, gateway.udp, &request("MESSAGE", "sip:carol@native.example", from, via, "x"));
        assert_eq!(status(&answer), Some(403), "{from}: {answer}");
    }
    assert_eq!(gateway.operations(&["direction=\"in\"", "reason=\"source-not-proven\"", "outcome=\"refused\""]), 3);
    assert_eq!(gateway.operations(&["direction=\"out\""]), 0);
}

#[test]
fn a_domain_on_a_blocklist_is_refused_from_its_next_message_on_and_a_wrong_list_frees_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("blocked.txt");
    std::fs::write(&list, "# nobody yet\n").unwrap();
    let policy = format!("[policy]\nblocklists = [{list:?}]\n");
    let mut gateway = serve_with(&(config("gw.example.net", "127.0.0.1:9".parse().unwrap()) + &policy));
    let (peer, at) = (socket(), gateway.udp);
    let via = peer.local_addr().unwrap();
    let send = || {
        let sent = request("MESSAGE", "sip:nobody@native.example", "sip:a@sip.example", via, "x");
        status(&ask(&peer, at, &sent))
    };
    assert_eq!(send(), Some(604), "let pass as far as to the addressee, who is not there");
    std::fs::write(&list, "sip.example\n").unwrap();
    gateway.process.until("blocklists read again");
    assert_eq!(send(), Some(403));
    std::fs::write(&list, "no domain at all\n").unwrap();
    gateway.process.until("blocklists kept as they were; correct the file");
    assert_eq!(send(), Some(403));
    assert_eq!(gateway.operations(&["direction=\"in\"", "reason=\"policy-denied\"", "outcome=\"refused\""]), 2);
}

/// A MESSAGE whose length is told in a way that another reader could read otherwise, with a second one hidden in it.
fn smuggled(length: &str) -> Vec<u8> {
    let elsewhere = "127.0.0.1:9".parse().unwrap();
    let hidden = request("MESSAGE", "sip:carol@native.example", "sip:a@sip.example", elsewhere, "smuggled");
    let open = request("OPTIONS", "sip:gw", "sip:a@sip.example", elsewhere, "");
    open.replace("Content-Length: 0", &length.replace("LEN", &hidden.len().to_string()))
        .replace("/UDP", "/TCP")
        .into_bytes()
        .into_iter()
        .chain(hidden.replace("/UDP", "/TCP").into_bytes())
        .collect()
}

// checks: SIP-017
#[test]
fn rfc3261_s18_3_a_length_that_can_be_read_in_two_ways_carries_nothing() {
    let gateway = serve("gw.example.net", "127.0.0.1:9".parse().unwrap());
    let ambiguous = [
        "Content-Length: LEN\r\nContent-Length: 0",
        "Content-Length: 0\r\nl: LEN",
        "Content-Length: 0, LEN",
        "Content-Length: -1",
        "Content-Length: +0",
        "Content-Length: 0x0",
        "Content-Length: 0 0",
        "Content-Length: 99999999999999999999",
        "Content-Length: ",
    ];
    for length in ambiguous {
        let answer = over_tcp(gateway.tcp, &smuggled(length));
        assert!(!answer.contains("MESSAGE") && !answer.starts_with("SIP/2.0 2"), "{length}: {answer}");
    }
    // Told plainly, the same two are two requests.
    let answer = over_tcp(gateway.tcp, &smuggled("Content-Length: 0"));
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    // It is counted when it has ended, and so would be those before it.
    let until = Instant::now() + PATIENCE;
    while gateway.operations(&["direction=\"in\""]) == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(gateway.operations(&["direction=\"in\""]), 1);
    assert!(gateway.is_alive());
}

// checks: SEC-003
#[test]
fn what_a_sender_writes_begins_no_header_and_no_message() {
    let hop = socket();
    let gateway = serve("gw.example.net", hop.local_addr().unwrap());
    let evil = "a\\r\\nX-Evil: 1\\r\\nContent-Length: 0\\r\\n\\r\\nMESSAGE sip:x@sip.example SIP/2.0\\r\\n";
    let body = format!(
        r#"{{"to":"romeo@sip.example","content_type":"text/plain","body":"{evil}","subject":"{evil}","thread":"{evil}","lang":"{evil}"}}"#
    );
    let mut stream = TcpStream::connect(&gateway.native).unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CAROL}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let refused = {
        // Either it is refused whole, or it comes as one message without a line of the sender's making.
        hop.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let received = receive(&hop);
        if let Some(message) = &received {
            let (head, rest) = message.split_once("\r\n\r\n").unwrap();
            assert!(!head.lines().any(|line| line.starts_with("X-Evil")), "{message}");
            assert_eq!(head.matches("Content-Length:").count() + head.matches("\r\nl:").count(), 1 + subject_of(head));
            assert!(head.contains(&format!("Content-Length: {}", rest.len())), "{message}");
        }
        received.is_none()
    };
    let _ = stream.read_to_string(&mut answer);
    assert!(!refused || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

/// How often a subject, in one line, names the header.
fn subject_of(head: &str) -> usize {
    head.lines().filter(|line| line.starts_with("Subject:")).map(|line| line.matches("Content-Length:").count()).sum()
}

// checks: ARC-012, ARC-013, IM-15, INV-03
#[test]
fn rfc7247_s8_two_gateways_back_to_back_end_a_loop_within_one_round() {
    let (to_b, to_a) = (socket(), socket());
    let a = serve("a.example.net", to_b.local_addr().unwrap());
    let b = serve("b.example.net", to_a.local_addr().unwrap());
    let peer = socket();
    let via = peer.local_addr().unwrap();
    let (at_a, at_b) = (a.udp, b.udp);
    // What A sends to its hop goes to B, and the other way round, until the test ends.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    for (from, through, to) in [(&to_b, &to_a, at_b), (&to_a, &to_b, at_a)] {
        let (from, through, seen) = (from.try_clone().unwrap(), through.try_clone().unwrap(), seen.clone());
        std::thread::spawn(move || {
            while let Some(packet) = receive(&from) {
                if packet.starts_with("MESSAGE") {
                    let branch = packet.split("branch=").nth(1).unwrap_or_default().split([';', '\r']).next();
                    seen.lock().unwrap().insert((to, branch.unwrap_or_default().to_owned()));
                }
                let _ = through.send_to(packet.as_bytes(), to);
            }
        });
    }
    let answer = ask(&peer, at_a, &request("MESSAGE", "sip:x@far.example", "sip:romeo@sip.example", via, "round"));
    assert_eq!(status(&answer), Some(482), "{answer}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2, "to B and back, and no further: {seen:?}");
    assert_eq!(a.operations(&["direction=\"in\"", "outcome=\"refused\"", "reason=\"loop-detected\""]), 1);
}

// checks: SIP-017
#[test]
fn rfc4475_torture_messages_over_the_wire_carry_nothing_and_break_nothing() {
    let Some(cases) = common::torture() else {
        println!("not run: torture octets not present");
        return;
    };
    let gateway = serve("gw.example.net", "127.0.0.1:9".parse().unwrap());
    let begun = Instant::now();
    let judge = |(case, octets): &(serde_json::Value, Vec<u8>)| {
        socket().send_to(octets, gateway.udp).unwrap();
        let answer = over_tcp(gateway.tcp, octets);
        let is_wrong = status(&answer).is_some_and(|status| !is_allowed(case, octets, status));
        is_wrong.then(|| format!("{} {}: {answer}", text(case, "id"), case["acceptable_status"]))
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let judged: Vec<_> = cases.iter().map(|case| scope.spawn(|| judge(case))).collect();
        judged.into_iter().filter_map(|case| case.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(gateway.is_alive(), "after {:?}", begun.elapsed());
    assert_eq!(gateway.operations(&["direction=\"out\""]), 0);
    let carried = gateway.operations(&["direction=\"in\""]) - gateway.operations(&["reason=\"source-not-proven\""]);
    assert_eq!(carried, 0, "none of them comes from a domain that this host may speak for");
}

/// What the vector allows, what policy here says to sound requests (other methods, foreign sources), and what a stream says
/// to a message without a length (RFC 3261 §18.3).
fn is_allowed(case: &serde_json::Value, octets: &[u8], status: u16) -> bool {
    let head = String::from_utf8_lossy(octets).to_ascii_lowercase();
    if status == 400 && !["content-length", "\nl:", "\nl "].iter().any(|name| head.contains(name)) {
        return true;
    }
    let listed = case["acceptable_status"].as_array();
    let is_listed = listed.is_some_and(|statuses| statuses.iter().any(|allowed| *allowed == status));
    let is_sound = text(case, "parse") == "valid" || listed.is_some_and(|statuses| statuses.contains(&200.into()));
    is_listed || matches!(status, 403 | 405 | 481) && (listed.is_none_or(Vec::is_empty) || is_sound)
}

// checks: SIP-012, SIP-018
#[test]
fn rfc5118_s4_1_messages_come_and_go_over_ipv6() {
    let (Ok(hop), Ok(peer)) = (UdpSocket::bind("[::1]:0"), UdpSocket::bind("[::1]:0")) else {
        println!("not run: this host has no IPv6");
        return;
    };
    for socket in [&hop, &peer] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let config = config("gw.example.net", hop.local_addr().unwrap())
        .replace("127.0.0.1:0\", \"tcp:127.0.0.1:0", "[::1]:0\", \"tcp:[::1]:0");
    let gateway = serve_with(&config.replace("trusted = [\"127.0.0.1/32\"]", "trusted = [\"::1/128\"]"));
    assert!(gateway.udp.is_ipv6() && gateway.tcp.is_ipv6());
    let via = peer.local_addr().unwrap();
    let sent = request("MESSAGE", "sip:x@far.example", "sip:romeo@sip.example", via, "over IPv6");
    let forwarded = std::thread::scope(|scope| {
        let forwarded = scope.spawn(|| {
            let mut buffer = [0; 65_535];
            let (length, from) = hop.recv_from(&mut buffer).unwrap();
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let echoed = message
                .lines()
                .filter(|line| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
            let answer = echoed.fold("SIP/2.0 200 OK\r\n".to_owned(), |answer, line| answer + line + "\r\n");
            hop.send_to((answer + "Content-Length: 0\r\n\r\n").as_bytes(), from).unwrap();
            message
        });
        assert_eq!(status(&ask(&peer, gateway.udp, &sent)), Some(200));
        forwarded.join().unwrap()
    });
    assert!(forwarded.contains("Via: SIP/2.0/UDP [::1]:") && forwarded.ends_with("over IPv6"), "{forwarded}");
    // RFC 5118 §4.5: the brackets belong to the host, not to the address in received.
    let answer = over_tcp(
        gateway.tcp,
        request("OPTIONS", "sip:gw", "sip:a@sip.example", via, "").replace("/UDP", "/TCP").as_bytes(),
    );
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains("received=::1"), "{answer}");
}
