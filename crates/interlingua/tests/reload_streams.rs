//! Whatever a reload changes, streams stay: SIP over TLS, a component link and a native user's events, all three opened once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::{command, run, text};
use serde_json::Value;
use serving::component::component;
use serving::{CAROL, Gateway, HEAD};
use sip_proto::digest::{Account, Client, Password, Tries};
use sip_proto::message::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::Tls;
use transport::tls::testkit::{Authority, Issued, San};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A SIP client on one connection.
struct Sip<S> {
    stream: S,
    sent: u32,
}

/// Where its messages go.
const TO: &str = "sip:carol@native.example";

impl<S: AsyncRead + AsyncWrite + Unpin> Sip<S> {
    /// The answer to a MESSAGE with this text and header.
    async fn message(&mut self, from: &str, header: &str, said: &str) -> Message {
        self.sent += 1;
        let (number, length) = (self.sent, said.len());
        let request = format!(
            "MESSAGE {TO} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKreload{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{from}>;tag=1\r\nTo: <{TO}>\r\nCall-ID: reload-{number}\r\nCSeq: {number} MESSAGE\r\n{header}\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{said}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        loop {
            let answer = self.answer().await;
            if code(&answer) >= 200 {
                return answer;
            }
        }
    }

    async fn answer(&mut self) -> Message {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let octet = tokio::time::timeout(PATIENCE, self.stream.read_u8()).await.unwrap();
            read.push(octet.expect("the connection stays"));
        }
        Message::parse(read.into()).unwrap()
    }

    /// The same for who has a password.
    async fn message_with(&mut self, from: &str, password: &str, said: &str) -> u16 {
        let challenged = self.message(from, "", said).await;
        if code(&challenged) != 401 {
            return code(&challenged);
        }
        let user = from.split('@').next().unwrap();
        let mut client = Client::new(Account::new(user, Password::new(password)));
        client.handle_challenge(&mut Tries::default(), &challenged, "c").unwrap();
        let (id, value) = client.authorize("MESSAGE", TO, said.as_bytes()).remove(0);
        code(&self.message(from, &format!("{}: {value}\r\n", id.name()), said).await)
    }
}

fn code(answer: &Message) -> u16 {
    answer.status().unwrap().code()
}

/// What of the configuration changes.
#[derive(Clone, Default)]
struct Parts {
    log: &'static str,
    certificate: &'static str,
    sip: &'static str,
    rest: String,
}

struct Lab {
    gateway: Gateway,
    folder: PathBuf,
    admin: String,
    native: String,
    office: String,
    received: mpsc::Receiver<String>,
    links: Arc<AtomicUsize>,
    watching: Child,
    watched: mpsc::Receiver<Value>,
    said: u32,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.watching.kill();
        let _ = self.watching.wait();
    }
}

const DOMAINS: &str = r#"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "pw.example"
adapter = "sip"
[[domain]]
name = "xmpp.example"
adapter = "office"
"#;

fn config(parts: &Parts, office: &str) -> String {
    let Parts { log, certificate, sip, rest } = parts;
    let head = HEAD
        .replace("[log]\n", &format!("[log]\nlevel = \"{log}\"\n"))
        .replace("\"tcp:127.0.0.1:0\"]\n", &format!("\"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n{sip}\n"));
    format!(
        "{head}[adapter.office]\ntype = \"xmpp-component\"\nconnect = \"{office}\"\ndomain = \"native.example\"\nsecret = \"x\"\n\
         [tls]\ntrust = [\"ca.pem\"]\ncertificates = [{{ certificate = \"{certificate}.pem\", private_key = \"{certificate}.key\" }}]\n\
         {DOMAINS}{rest}"
    )
}

impl Lab {
    fn start(folder: tempfile::TempDir, parts: &Parts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let office = listener.local_addr().unwrap().to_string();
        let (received, links) = component(listener);
        let path = folder.path().to_owned();
        let mut gateway = Gateway::start_in(folder, &config(parts, &office));
        gateway.until("ready");
        let native = format!("http://{}", gateway.address("listening", "adapter_native"));
        let admin = format!("http://{}", gateway.address("admin API, metrics and health checks", "interlingua"));
        let mut watching = command(&["watch", "--json", "--server", &native, "--token", CAROL]);
        let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        let (told, watched) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if told.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { gateway, folder: path, admin, native, office, received, links, watching, watched, said: 0 }
    }

    fn listener(&self, transport: &str) -> String {
        let fits = |entry: &&Value| text(entry, "message") == "listening" && text(entry, "transport") == transport;
        self.gateway.seen.iter().find(fits).map(|entry| text(entry, "address").to_owned()).unwrap()
    }

    /// The keys that are in use now, those that wait for a restart, and what is said of them.
    fn reload(&self, parts: &Parts) -> [Vec<String>; 3] {
        std::fs::write(self.folder.join("gateway.toml"), config(parts, &self.office)).unwrap();
        let token = self.folder.join("admin.token");
        let done = run(&["reload", "--admin", &self.admin, "--token-file", token.to_str().unwrap(), "--json"]);
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        let names = |key: &str| {
            let names = done.json()[key].as_array().unwrap().clone();
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        ["applied", "restart", "details"].map(names)
    }

    /// Changes something that is taken over at once; what was said of it.
    fn apply(&self, parts: &Parts, keys: &[&str]) -> Vec<String> {
        let [applied, restart, details] = self.reload(parts);
        assert_eq!((applied, restart), (keys.iter().map(|key| (*key).to_owned()).collect(), Vec::new()));
        details
    }

    fn words(&mut self) -> String {
        self.said += 1;
        format!("words {}", self.said)
    }

    /// A message that carol sends to the far end of the component link; whether it got there.
    fn reaches(&mut self, to: &str) -> bool {
        let words = self.words();
        run(&["send", to, &words, "--server", &self.native, "--token", CAROL]).code == 0
            && self.received.recv_timeout(PATIENCE).unwrap() == words
    }

    /// All three streams carry something, and are those from the beginning.
    async fn is_well<S: AsyncRead + AsyncWrite + Unpin>(&mut self, sip: &mut Sip<S>) {
        let words = self.words();
        let answer = sip.message("alice@sip.example", "", &words).await;
        assert!((200..300).contains(&code(&answer)), "{}", code(&answer));
        let event = self.watched.recv_timeout(PATIENCE).expect("carol's stream stays");
        assert_eq!(text(&event["data"], "body"), words);
        assert!(self.reaches("juliet@xmpp.example"));
        assert_eq!(self.links.load(Ordering::SeqCst), 1, "the component link stays");
    }
}

/// A connection with TLS, and the certificate that it was shown.
async fn connect(
    folder: &Path,
    authority: &Authority,
    address: &str,
) -> (Sip<impl AsyncRead + AsyncWrite + Unpin>, Vec<u8>) {
    let tls = Tls::load(authority.settings(folder, &[]), "client.invalid".parse().unwrap()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = tls.connect(stream, &"gw.example.net".parse().unwrap(), None, &[]).await.unwrap();
    let shown = handshake.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (Sip { stream: handshake.stream, sent: 0 }, shown)
}

fn issue(authority: &Authority, folder: &Path, name: &str) -> Issued {
    let issued = authority.issue(&[San::Dns("gw.example.net"), San::Dns("sip.example"), San::Dns("pw.example")]);
    issued.write(folder, name);
    issued
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_reload_changes_the_streams_stay() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("CA"));
    let path = folder.path().to_owned();
    authority.settings(&path, &[]);
    let (old, new) = (issue(&authority, &path, "old"), issue(&authority, &path, "new"));
    let same = Parts { log: "info", certificate: "old", ..Parts::default() };
    let mut lab = Lab::start(folder, &same);
    let address = lab.listener("tls");
    let (mut sip, shown) = connect(&path, &authority, &address).await;
    assert_eq!(shown, old.certificate());
    lab.is_well(&mut sip).await;

    // The log's level: what is below it is not heard, not even of the reload.
    lab.apply(&Parts { log: "error", ..same.clone() }, &["log.level"]);
    lab.is_well(&mut sip).await;
    lab.apply(&same, &["log.level"]);
    lab.gateway.until("configuration loaded anew");
    let told = lab.gateway.seen.iter().filter(|entry| text(entry, "message") == "configuration loaded anew");
    assert_eq!(told.map(|entry| text(entry, "applied")).collect::<Vec<_>>(), ["log.level"]);

    // Policy: a rule, and a list.
    std::fs::write(path.join("blocked.txt"), "sip.example\n").unwrap();
    for (rest, key) in [
        ("[[policy.rule]]\nfrom = \"sip.example\"\nkinds = [\"message\"]\naction = \"deny\"\n", "policy.rule"),
        ("[policy]\nblocklists = [\"blocked.txt\"]\n", "policy.blocklists"),
    ] {
        lab.apply(&Parts { rest: rest.to_owned(), ..same.clone() }, &[key]);
        assert_eq!(code(&sip.message("alice@sip.example", "", "denied").await), 403, "{key}");
        lab.apply(&same, &[key]);
        lab.is_well(&mut sip).await;
    }

    // Routes, domains, and what is looked up without them.
    for (rest, key, to) in [
        ("[[route]]\nto = \"*.far.example\"\nadapter = \"office\"\n", "route", "x@a.far.example"),
        ("[[domain]]\nname = \"new.example\"\nrole = \"remote\"\nadapter = \"office\"\n", "domain", "x@new.example"),
    ] {
        lab.apply(&Parts { rest: rest.to_owned(), ..same.clone() }, &[key]);
        assert!(lab.reaches(to), "{key}");
        lab.apply(&same, &[key]);
        lab.is_well(&mut sip).await;
    }
    lab.apply(
        &Parts { rest: "[routing]\nsupported = [\"_xmpp\"]\n".to_owned(), ..same.clone() },
        &["routing.supported"],
    );
    lab.apply(&same, &["routing.supported"]);

    // Users with passwords.
    let bob = "bob@pw.example";
    assert_eq!(sip.message_with(bob, "one", "x").await, 403, "nobody can prove it");
    let users = Parts {
        sip: "[[adapter.sip.user]]\naddress = \"bob@pw.example\"\npassword_file = \"bob.password\"",
        ..same.clone()
    };
    std::fs::write(path.join("bob.password"), "one").unwrap();
    let said = |counts: &str| vec![format!("adapter.sip.user: {counts}")];
    assert_eq!(lab.apply(&users, &["adapter.sip.user"]), said("1 added, 0 gone, 0 changed, 0 as before"));
    assert!((200..300).contains(&sip.message_with(bob, "one", "proven").await));
    assert_eq!(text(&lab.watched.recv_timeout(PATIENCE).unwrap()["data"], "body"), "proven");
    std::fs::write(path.join("bob.password"), "two").unwrap();
    assert_eq!(lab.apply(&users, &["adapter.sip.user"]), said("0 added, 0 gone, 1 changed, 0 as before"));
    assert_eq!(sip.message_with(bob, "one", "x").await, 401);
    assert!((200..300).contains(&sip.message_with(bob, "two", "proven again").await));
    assert_eq!(text(&lab.watched.recv_timeout(PATIENCE).unwrap()["data"], "body"), "proven again");
    assert_eq!(lab.apply(&same, &["adapter.sip.user"]), said("0 added, 1 gone, 0 changed, 0 as before"));
    assert_eq!(sip.message_with(bob, "two", "x").await, 403);
    lab.is_well(&mut sip).await;

    // Certificates: another file, and another one in the same file.
    let renewed = Parts { certificate: "new", ..same.clone() };
    lab.apply(&renewed, &["tls.certificates"]);
    assert_eq!(connect(&path, &authority, &address).await.1, new.certificate());
    lab.is_well(&mut sip).await;
    let newest = issue(&authority, &path, "new");
    lab.apply(&renewed, &[]);
    let (mut second, shown) = connect(&path, &authority, &address).await;
    assert_eq!(shown, newest.certificate());
    let answer = second.message("alice@sip.example", "", "over the new one").await;
    assert!((200..300).contains(&code(&answer)), "{}", code(&answer));
    assert_eq!(text(&lab.watched.recv_timeout(PATIENCE).unwrap()["data"], "body"), "over the new one");
    lab.is_well(&mut sip).await;
}

#[test]
fn what_waits_for_a_restart_is_named_key_by_key() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("CA"));
    let path = folder.path().to_owned();
    authority.settings(&path, &[]);
    issue(&authority, &path, "old");
    let same = Parts { log: "info", certificate: "old", ..Parts::default() };
    let mut lab = Lab::start(folder, &same);
    let rest = "[delivery]\nhold_timeout = \"3s\"\n[trace]\nrecent = 7\n[presence]\npolls = false\n[dns]\nzone_file = \"lab.zone\"\n\
        [archive]\nto = \"http://127.0.0.1:9/\"\n[gateway.limits]\nmessages = 7\n[adapter.native.limits]\nmax_devices = 3\n\
        [adapter.late]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:0\"]\n[policy]\nrates = { per_source = 1000 }\n";
    std::fs::write(path.join("lab.zone"), "$ORIGIN example.\n$TTL 60\n@ IN SOA ns host 1 60 60 60 60\n").unwrap();
    let changed = Parts { sip: "realm = \"other.example\"", rest: rest.to_owned(), ..same.clone() };
    let [applied, restart, _] = lab.reload(&changed);
    assert_eq!(applied, ["policy.rates.per_source"], "the rest of the file is in use all the same");
    let restart: BTreeSet<_> = restart.iter().map(String::as_str).collect();
    let keys = [
        "adapter.late",
        "adapter.native.limits",
        "adapter.sip.realm",
        "archive",
        "delivery.hold_timeout",
        "dns.zone_file",
        "gateway.limits.messages",
        "presence.polls",
        "trace.recent",
    ];
    assert_eq!(restart, keys.into());
    lab.gateway.until("these changes wait for a restart");
    let named = text(lab.gateway.seen.last().unwrap(), "keys").to_owned();
    assert!(keys.iter().all(|key| named.split(' ').any(|found| found == *key)), "{named}");
    // They go on waiting: the next reload says so again.
    assert_eq!(lab.reload(&changed)[1].len(), keys.len());
    assert_eq!(lab.reload(&same)[1], Vec::<String>::new());
}
