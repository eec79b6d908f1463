//! `interlingua doctor` in a small lab: all is well, and then one thing at a time is broken, which makes exactly one item fail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use common::{Run, list, run, text};
use serde_json::Value;
use transport::tls::testkit::{Authority, Issued, San, Variant};

/// How a server of XMPP answers who opens a stream.
#[derive(Debug, Clone, Copy)]
enum Xmpp {
    Dialback,
    NoProof,
    HostUnknown,
}

/// How a server answers a component.
#[derive(Debug, Clone, Copy)]
enum Component {
    Takes,
    Refuses(&'static str),
}

/// What is in the lab; every field can be broken.
struct Lab {
    zone: String,
    certificate: Issued,
    authority: Authority,
    sip: SocketAddr,
    xmpp: u16,
    component: u16,
    require_tls: bool,
    /// Where the gateway would listen; 0 for no port that can be asked.
    admin: u16,
}

/// A port of this host that nobody listens at.
fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers OPTIONS with `status`.
fn sip_server(status: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = std::str::from_utf8(&buffer[..length]).unwrap();
            let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
            let headers =
                request.lines().filter(|line| copied.iter().any(|name| line.starts_with(&format!("{name}:"))));
            let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
            let answer = format!("SIP/2.0 {status}\r\n{headers}Content-Length: 0\r\n\r\n");
            socket.send_to(answer.as_bytes(), from).unwrap();
        }
    });
    address
}

/// Serves connections, each by what `answer` says to all that was read.
fn server(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = converse(stream, &answer);
        }
    });
    port
}

fn converse(mut stream: TcpStream, answer: &impl Fn(&str) -> Option<String>) -> std::io::Result<()> {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        read.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        if let Some(said) = answer(&read) {
            stream.write_all(said.as_bytes())?;
            read.clear();
        }
    }
}

fn xmpp_server(how: Xmpp) -> u16 {
    let dialback = if matches!(how, Xmpp::NoProof) { "" } else { " xmlns:db='jabber:server:dialback'" };
    let behind = match how {
        Xmpp::Dialback | Xmpp::NoProof => "<stream:features/>",
        Xmpp::HostUnknown => {
            "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        }
    };
    server(move |read| {
        read.contains("<stream:stream").then(|| {
            format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:server'{dialback} \
                 xmlns:stream='http://etherx.jabber.org/streams' id='1' from='partner.example' version='1.0'>{behind}"
            )
        })
    })
}

fn component_server(how: Component) -> u16 {
    server(move |read| {
        if read.contains("<handshake>") {
            return Some(match how {
                Component::Takes => "<handshake/>".to_owned(),
                Component::Refuses(condition) => format!(
                    "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
                ),
            });
        }
        read.contains("<stream:stream").then(|| {
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' from='native.example' id='3BF96D32'>"
                .to_owned()
        })
    })
}

impl Lab {
    /// All is well.
    fn new() -> Self {
        let authority = Authority::new("CA");
        let mut lab = Self {
            zone: String::new(),
            certificate: authority.issue(&[San::Dns("sip.example"), San::Dns("gw.example")]),
            authority,
            sip: sip_server("200 OK"),
            xmpp: xmpp_server(Xmpp::Dialback),
            component: component_server(Component::Takes),
            require_tls: false,
            admin: 0,
        };
        // What is to be published is what is asked for.
        let report = lab.doctor(&[]).json();
        let lines = report["publish"].as_object().unwrap().values().flat_map(|lines| lines.as_array().unwrap());
        let lines: String = lines.map(|line| format!("{}\n", line.as_str().unwrap())).collect();
        lab.zone = format!(
            "gw.example. IN A 127.0.0.1\npeer.example. IN A 127.0.0.1\n\
             _xmpp-server._tcp.native.example. IN SRV 0 0 5269 peer.example.\n{lines}"
        );
        lab
    }

    fn doctor(&self, domains: &[&str]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let partner = format!("_xmpp-server._tcp.partner.example. IN SRV 0 0 {} peer.example.\n", self.xmpp);
        std::fs::write(path("lab.zone"), format!("$ORIGIN example.\n$TTL 60\n{}\n{partner}", self.zone)).unwrap();
        self.certificate.write(folder.path(), "gw");
        std::fs::write(path("ca.pem"), self.authority.pem()).unwrap();
        let config = format!(
            r#"
[gateway]
name = "gw.example"
[admin]
listen = "127.0.0.1:{}"
[dns]
zone_file = "lab.zone"
[tls]
trust = ["ca.pem"]
certificates = [{{ certificate = "gw.pem", private_key = "gw.key" }}]
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
[adapter.xmpp]
type = "xmpp"
listen = ["tcp:127.0.0.1:5269"]
require_tls = {}
[adapter.office]
type = "xmpp-component"
connect = "127.0.0.1:{}"
domain = "native.example"
secret = "x"
[adapter.native]
type = "native"
listen = "127.0.0.1:8081"
[[adapter.native.user]]
address = "carol@native.example"
token = "x"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:{};transport=udp"
[[domain]]
name = "office.example"
adapter = "office"
[[domain]]
name = "partner.example"
role = "remote"
adapter = "xmpp"
[[domain]]
name = "native.example"
role = "remote"
adapter = "native"
"#,
            self.admin, self.require_tls, self.component, self.sip
        );
        std::fs::write(path("gateway.toml"), config).unwrap();
        let file = path("gateway.toml");
        run(&[&["doctor"], domains, &["--config", file.to_str().unwrap(), "--json"]].concat())
    }

    /// The one item that fails, with its domain and remedy.
    fn failure(&self, what: &str) -> (String, String, String) {
        let run = self.doctor(&[]);
        assert_eq!(run.code, 1, "{what}: {}{}", run.stdout, run.stderr);
        let report = run.json();
        let found = failures(&report);
        assert_eq!(found.len(), 1, "{what}: {found:#?}");
        found.into_iter().next().unwrap()
    }
}

fn failures(report: &Value) -> Vec<(String, String, String)> {
    let failed = list(report, "checks").iter().filter(|check| text(check, "verdict") == "fail");
    let row = |check: &Value| {
        let text = |key: &str| text(check, key).to_owned();
        (text("domain"), text("item"), format!("{} -> {}", text("found"), text("remedy")))
    };
    failed.map(row).collect()
}

#[test]
fn a_lab_in_order_has_a_verdict_for_each_item_and_none_fails() {
    let lab = Lab::new();
    let run = lab.doctor(&[]);
    let report = run.json();
    assert_eq!((run.code, failures(&report)), (0, vec![]), "{report:#}");
    let items: Vec<_> =
        list(&report, "checks").iter().map(|check| (text(check, "domain"), text(check, "item"))).collect();
    for item in [
        ("gw.example", "address"),
        ("sip.example", "_xmpp-server._tcp.sip.example SRV"),
        ("sip.example", "_im._xmpp.sip.example SRV"),
        ("sip.example", "certificate names"),
        ("sip.example", "certificate expiry"),
        ("sip.example", "certificate chain"),
        ("sip.example", "certificate purposes"),
        ("sip.example", "options"),
        ("office.example", "_sip._udp.office.example SRV"),
        ("office.example", "office.example NAPTR"),
        ("office.example", "component secret"),
        ("partner.example", "proof"),
        ("native.example", "users"),
    ] {
        assert!(items.contains(&item), "{item:?} in {items:#?}");
    }
    // Only what was asked about, and strangers by their own discovery.
    let asked = lab.doctor(&["partner.example"]).json();
    assert!(list(&asked, "checks").iter().all(|check| text(check, "domain") == "partner.example"), "{asked:#}");
    let stranger = lab.doctor(&["nowhere.example"]);
    assert_eq!((stranger.code, failures(&stranger.json())[0].1.as_str()), (1, "route"));
}

#[test]
fn a_gateway_that_cannot_be_asked_is_not_passed_over() {
    let mut lab = Lab::new();
    lab.admin = closed();
    assert_eq!(lab.doctor(&[]).code, 0, "nobody listens: this process looks by itself");
    for status in ["401 Unauthorized", "503 Service Unavailable"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        lab.admin = server(move |read| read.contains("\r\n\r\n").then(|| answer.clone()));
        let run = lab.doctor(&[]);
        let (code, error) = (run.code, text(&run.json(), "error").to_owned());
        assert!(code != 0 && error.contains("a gateway answers at") && error.contains("--apart"), "{status}: {error}");
        let flags = ["--token-file", "--admin"].iter().any(|flag| error.contains(flag));
        assert!(!flags && error.contains("admin."), "keys of the file, for doctor has no such flags: {error}");
        assert_eq!(lab.doctor(&["--apart"]).code, 0, "{status}");
    }
}

#[test]
fn what_is_missing_in_name_service_fails_and_the_line_given_repairs_it() {
    let needed = "_xmpp-server._tcp.sip.example.";
    for (what, broken) in [("gone", ""), ("elsewhere", "_xmpp-server._tcp.sip.example. IN SRV 0 0 5222 peer.example.")]
    {
        let mut lab = Lab::new();
        let kept: Vec<_> = lab.zone.lines().filter(|line| !line.starts_with(needed)).map(str::to_owned).collect();
        lab.zone = format!("{}\n{broken}\n", kept.join("\n"));
        let (domain, item, remedy) = lab.failure(what);
        assert_eq!((domain.as_str(), item.as_str()), ("sip.example", "_xmpp-server._tcp.sip.example SRV"), "{what}");
        lab.zone = format!("{}\n{}\n", kept.join("\n"), remedy.split_once("publish: ").unwrap().1);
        assert_eq!(lab.doctor(&[]).code, 0, "{remedy}");
    }
    let mut lab = Lab::new();
    lab.zone = lab.zone.replace("gw.example. IN A 127.0.0.1\n", "");
    let (domain, item, remedy) = lab.failure("no address");
    assert_eq!((domain.as_str(), item.as_str()), ("gw.example", "address"));
    let line = remedy.split_once("publish: ").unwrap().1.replace("ADDRESS", "127.0.0.1");
    lab.zone.push_str(&format!("{line}\n"));
    assert_eq!(lab.doctor(&[]).code, 0, "{line}");
}

#[test]
fn each_fault_of_our_certificate_fails_its_own_item() {
    let names = [San::Dns("sip.example"), San::Dns("gw.example")];
    let for_clients = Variant { for_clients: true, ..Variant::default() };
    let stranger = Authority::new("another CA");
    for (item, remedy, issue) in [
        ("certificate names", "order one with the name sip.example", 0),
        ("certificate expiry", "renew", 1),
        ("certificate chain", "intermediate", 2),
        ("certificate chain", "[tls] trust", 3),
        ("certificate purposes", "serverAuth", 4),
    ] {
        let mut lab = Lab::new();
        lab.certificate = match issue {
            0 => lab.authority.issue(&[San::Dns("gw.example")]),
            1 => lab.authority.issue_variant(&names, &Variant::expired()),
            2 => lab.authority.issue_variant(&names, &Variant::self_signed()),
            3 => stranger.issue(&names),
            _ => lab.authority.issue_variant(&names, &for_clients),
        };
        let (domain, failed, said) = lab.failure(item);
        assert_eq!((domain.as_str(), failed.as_str()), ("sip.example", item), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn each_fault_of_a_peer_fails_its_own_item() {
    type Break = fn(&mut Lab);
    let table: [(&str, &str, &str, Break); 8] = [
        ("sip.example", "server", "next_hop", |lab| lab.sip.set_port(closed())),
        ("partner.example", "server", "open the port", |lab| lab.xmpp = closed()),
        ("partner.example", "stream", "must serve partner.example", |lab| lab.xmpp = xmpp_server(Xmpp::HostUnknown)),
        ("partner.example", "tls", "STARTTLS", |lab| lab.require_tls = true),
        ("partner.example", "proof", "with the name sip.example", |lab| lab.xmpp = xmpp_server(Xmpp::NoProof)),
        ("office.example", "server", "start the XMPP server", |lab| lab.component = closed()),
        ("office.example", "component secret", "the same secret", |lab| {
            lab.component = component_server(Component::Refuses("not-authorized"));
        }),
        ("office.example", "component secret", "add a component native.example", |lab| {
            lab.component = component_server(Component::Refuses("host-unknown"));
        }),
    ];
    for (domain, item, remedy, break_it) in table {
        let mut lab = Lab::new();
        break_it(&mut lab);
        let (at, failed, said) = lab.failure(item);
        assert_eq!((at.as_str(), failed.as_str()), (domain, item), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn a_server_that_refuses_us_is_something_to_look_at() {
    let mut lab = Lab::new();
    lab.sip = sip_server("403 Forbidden");
    let run = lab.doctor(&["sip.example"]);
    let report = run.json();
    let options = list(&report, "checks").iter().find(|check| text(check, "item") == "options").unwrap();
    assert_eq!((run.code, text(options, "verdict")), (0, "warn"), "{report:#}");
    assert!(text(options, "remedy").contains("let this gateway's address in"), "{options}");
}
