//! `interlingua serve` and the commands that talk to a running gateway.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;
mod serving;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use common::{command, run, text};
use serde_json::Value;
use serving::component::component;
use serving::{ADMIN, CAROL, Gateway, HEAD};

/// The configuration of most tests here.
fn config() -> String {
    let domains = r#"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
"#;
    [HEAD, domains].concat()
}

/// The status line of an answer to a plain GET.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_gateway_serves_until_sigterm_and_answers_the_commands() {
    let mut gateway = Gateway::start(&config());
    gateway.until("ready");
    let admin = gateway.address("admin API, metrics and health checks", "interlingua");
    let native = gateway.address("listening", "adapter_native");
    assert!(get(&admin, "/readyz").contains("200") && get(&admin, "/healthz").contains("200"));
    assert!(get(&admin, "/metrics").contains("401"));
    let (native, admin) = (format!("http://{native}"), format!("http://{admin}"));
    let as_carol = ["--server", &native, "--token", CAROL];

    let mut watching = command(&[&["watch", "--count", "1", "--json"], &as_carol[..]].concat());
    let watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let sent = run(&[&["send", "carol@native.example", "Grüße 👋", "--json"], &as_carol[..]].concat());
    assert_eq!((sent.code, text(&sent.json(), "status")), (0, "success"), "{}", sent.stdout);
    let watched = watching.wait_with_output().unwrap();
    let watched: Value = serde_json::from_slice(&watched.stdout).unwrap();
    assert_eq!((text(&watched, "type"), text(&watched["data"], "body")), ("message", "Grüße 👋"));

    let failed = run(&[&["send", "nobody@native.example", "x"], &as_carol[..]].concat());
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("item-not-found"), "{}", failed.stdout);
    let unknown = run(&["send", "nobody@native.example", "x", "--server", &native, "--token", "wrong"]);
    assert_eq!(unknown.code, 1);

    let token = gateway.folder.as_ref().unwrap().path().join("admin.token");
    let as_admin = ["--admin", &admin, "--token-file", token.to_str().unwrap(), "--json"];
    let status = run(&[&["status"], &as_admin[..]].concat());
    assert_eq!((status.code, status.json()["ready"].as_bool()), (0, Some(true)), "{}", status.stdout);
    let trace = run(&[&["trace", text(&sent.json(), "trace")], &as_admin[..]].concat());
    assert_eq!((trace.code, text(&trace.json(), "trace")), (0, text(&sent.json(), "trace")));
    assert_eq!((text(&trace.json(), "near_link"), text(&trace.json(), "acknowledge")), ("repeatable", "device"));
    let by_request = run(&[&["trace", text(&sent.json(), "trans_id")], &as_admin[..]].concat());
    assert_eq!(text(&by_request.json(), "trace"), text(&sent.json(), "trace"));
    assert_eq!(run(&[&["trace", "0000"], &as_admin[..]].concat()).code, 1);
    assert_eq!(run(&["status", "--admin", &admin]).code, 1);
    let at = admin.trim_start_matches("http://");
    let answer = |path: &str| serving::admin(at, path).split_once("\r\n\r\n").unwrap().1.to_owned();
    let shown: Value = serde_json::from_str(&answer("/api/v1/config")).unwrap();
    assert_eq!(text(&shown["gateway"], "name"), "gw.example.net");
    assert_eq!(text(&shown["adapter"]["native"]["user"][0], "token"), "(hidden)");
    assert!(!shown.to_string().contains(CAROL));
    let resolved: Value = serde_json::from_str(&answer("/api/v1/resolve?uri=im:carol@native.example")).unwrap();
    assert_eq!((text(&resolved, "uri"), text(&resolved, "outcome")), ("im:carol@native.example", "local"));

    gateway.signal("HUP");
    gateway.until("configuration loaded anew");
    gateway.signal("TERM");
    gateway.until("stopped");
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_held_message_is_settled_before_the_end() {
    let mut gateway = Gateway::start(&config());
    gateway.until("ready");
    let admin = format!("http://{}", gateway.address("admin API, metrics and health checks", "interlingua"));
    let native = format!("http://{}", gateway.address("listening", "adapter_native"));
    let token = gateway.folder.as_ref().unwrap().path().join("admin.token");
    // Nobody watches, so the message is held until its time is over.
    let mut sending = command(&["send", "carol@native.example", "x", "--json", "--server", &native, "--token", CAROL]);
    let sending = sending.stdout(Stdio::piped()).spawn().unwrap();
    let status = ["status", "--json", "--admin", &admin, "--token-file", token.to_str().unwrap()];
    let held = (0..1000).any(|_| run(&status).json()["held"].as_u64() == Some(1));
    assert!(held);
    gateway.signal("TERM");
    let told = sending.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((text(&told, "status"), text(&told, "reason")), ("failure", "recipient-unavailable"));
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_component_link_that_was_never_up_keeps_it_from_being_ready() {
    // Bound but never accepted from: the link gets no stream.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = format!(
        "[adapter.office]\ntype = \"xmpp-component\"\nconnect = \"{}\"\ndomain = \"sip.example\"\nsecret = \"x\"\n",
        silent.local_addr().unwrap()
    );
    let mut gateway = Gateway::start(&[config(), link].concat());
    gateway.until("listening; ready when each component link has been up");
    let admin = gateway.address("admin API, metrics and health checks", "interlingua");
    assert!(get(&admin, "/readyz").contains("503") && get(&admin, "/healthz").contains("200"));
    gateway.signal("INT");
    assert_eq!(gateway.exit_code(), Some(0));
}

const SPOOLING: &str = r#"
[adapter.office]
type = "xmpp-component"
connect = "ADDRESS"
domain = "native.example"
secret = "x"
[[domain]]
name = "xmpp.example"
adapter = "office"
[delivery]
hold_timeout = "100ms"
"#;

#[test]
fn what_was_accepted_survives_a_kill_and_arrives_once_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config().replacen("[admin]", "data_dir = \"data\"\n[admin]", 1)
        + &SPOOLING.replace("ADDRESS", &listener.local_addr().unwrap().to_string());
    let mut gateway = Gateway::start(&config);
    gateway.until("listening; ready when each component link has been up");
    let native = format!("http://{}", gateway.address("listening", "adapter_native"));
    for text in ["one", "two", "three", "four", "five"] {
        let sent = ["send", "juliet@xmpp.example", text, "--json", "--server", &native, "--token", CAROL];
        let sent = run(&sent);
        assert_eq!(text_of(&sent.json()), "indeterminant", "{}{}", sent.stdout, sent.stderr);
    }
    let config_file = gateway.folder.as_ref().unwrap().path().join("gateway.toml");
    let second = run(&["serve", "--config", config_file.to_str().unwrap()]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("in use by process"), "{}", second.stderr);

    let admin = format!("http://{}", gateway.address("admin API, metrics and health checks", "interlingua"));
    let token = gateway.folder.as_ref().unwrap().path().join("admin.token");
    let as_admin = ["--admin", &admin, "--token-file", token.to_str().unwrap(), "--json"];
    let queue = |action: &[&str]| run(&[&["queue"], action, &as_admin[..]].concat());
    let listed = queue(&[]).json();
    let last = text(&listed["entries"][4], "entry").to_owned();
    let first = text(&listed["entries"][0], "entry");
    let behind = format!("entry {first}, which is before it between the same two addresses");
    assert_eq!(text(&listed["entries"][1], "waits_for"), behind, "{listed:#}");
    let in_words = run(&["queue", "--admin", &admin, "--token-file", token.to_str().unwrap()]).stdout;
    assert!(in_words.contains(&format!("waits_for: {behind}")), "{in_words}");
    assert_eq!((&listed["total"], text(&listed["entries"][4], "state")), (&Value::from(5), "waiting"));
    assert_eq!((queue(&["retry", &last]).code, queue(&["delete", &last]).code), (0, 0));
    assert_eq!(queue(&["delete", "ffff"]).code, 1);
    // The notice to the sender of the deleted one waits for a device of hers.
    let waiting = |origin: &str| {
        let listed = queue(&[]).json();
        listed["entries"].as_array().unwrap().iter().filter(|entry| text(entry, "origin") == origin).count()
    };
    assert!((0..200).any(|_| waiting("peer") == 4));
    assert_eq!(waiting("gateway"), 1);

    let folder = gateway.kill();
    let received = component(listener).0;
    let mut gateway = Gateway::start_in(folder, &config);
    for text in ["one", "two", "three", "four"] {
        assert_eq!(received.recv_timeout(Duration::from_secs(60)).unwrap(), text);
    }
    gateway.until("ready");
    let admin = format!("http://{}", gateway.address("admin API, metrics and health checks", "interlingua"));
    let token = gateway.folder.as_ref().unwrap().path().join("admin.token");
    let status = ["status", "--json", "--admin", &admin, "--token-file", token.to_str().unwrap()];
    let ledger = (0..200).map(|_| run(&status).json()["ledger"].clone()).find(|ledger| ledger["pending"] == 0).unwrap();
    assert_eq!(ledger["delivered"], Value::from(4));
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(received.try_recv().is_err(), "nothing twice");
}

fn text_of(told: &Value) -> &str {
    text(told, "status")
}

#[test]
fn a_start_that_fails_names_the_key_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(folder.path().join("admin.token"), ADMIN).unwrap();
    let native = config().replace("listen = \"127.0.0.1:0\"\n[[adapter", &format!("listen = \"{address}\"\n[[adapter"));
    let admin = config().replacen("127.0.0.1:0", &address, 1);
    let sip = config().replacen("\"tcp:127.0.0.1:0\"", &format!("\"ws:{address}\", \"tcp:127.0.0.1:0\""), 1);
    for (config, key) in [(native, "adapter.native.listen:"), (admin, "admin.listen"), (sip, "adapter.sip.listen[1]:")]
    {
        std::fs::write(&file, config).unwrap();
        let failed = run(&["serve", "--config", file.to_str().unwrap()]);
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert!(failed.stderr.contains(key) && failed.stderr.contains("choose another address"), "{}", failed.stderr);
    }
    std::fs::write(&file, "[gateway]\nnam = 1\n").unwrap();
    let failed = run(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("gateway.nam") && failed.stderr.contains("did you mean"), "{}", failed.stderr);
}

#[test]
fn the_demonstration_ends_well() {
    let demo = run(&["demo", "--exit"]);
    assert_eq!(demo.code, 0, "{}{}", demo.stdout, demo.stderr);
    for pair in ["sip -> xmpp", "sip -> native", "xmpp -> sip", "xmpp -> native", "native -> sip", "native -> xmpp"] {
        let delivered =
            |line: &str| line.starts_with(pair) && line.contains(" delivered ") && line.contains(" ms  why ");
        assert!(demo.stdout.lines().any(delivered), "{pair}: {}", demo.stdout);
    }
    assert_eq!(demo.stdout.lines().filter(|line| line.contains(" refused ")).count(), 3, "{}", demo.stdout);
    assert_eq!(demo.stdout.lines().filter(|line| line.contains(" seen ")).count(), 6, "{}", demo.stdout);
    assert!(demo.stdout.contains("15 of 15 as expected"));
}
