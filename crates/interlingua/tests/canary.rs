//! Canaries through a gateway that runs: `doctor` asks it, it sends them all the time, metrics show them, no user's traffic does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use common::{command, list, run, text};
use serde_json::{Value, json};
use serving::{CAROL, Gateway, HEAD, admin};

const DOMAINS: &str = r#"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:127.0.0.1:9;transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "native.example"
adapter = "native"
echo = "carol@native.example"
"#;

/// A user that sends back what it gets and lets everybody watch it.
fn echo(native: &str) -> Child {
    let server = format!("http://{native}");
    let mut watching = command(&["watch", "--json", "--server", &server, "--token", CAROL]);
    let mut child = watching.stdout(Stdio::piped()).spawn().unwrap();
    let (lines, native) = (BufReader::new(child.stdout.take().unwrap()).lines(), native.to_owned());
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap();
            let data = &event["data"];
            match text(&event, "type") {
                "message" => {
                    let back = json!({ "to": data["from"], "content_type": "text/plain", "body": data["body"] });
                    serving::native(&native, CAROL, "POST /v1/messages", &back.to_string());
                }
                "subscription" if data["state"] == "requested" => {
                    let allowed = json!({ "watcher": data["watcher"], "allow": true });
                    serving::native(&native, CAROL, "POST /v1/authorizations", &allowed.to_string());
                }
                _ => {}
            }
        }
    });
    child
}

struct World {
    gateway: Gateway,
    admin: String,
    echo: Option<Child>,
}

impl World {
    fn start(domains: &str, with_echo: bool) -> Self {
        // The file must tell where the API listens.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let admin = format!("127.0.0.1:{port}");
        let head = HEAD.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{admin}\""), 1);
        let mut gateway = Gateway::start(&(head + domains));
        gateway.until("ready");
        let native = gateway.address("listening", "adapter_native");
        Self { gateway, admin, echo: with_echo.then(|| echo(&native)) }
    }

    fn doctor(&self, more: &[&str]) -> common::Run {
        let file = self.gateway.folder.as_ref().unwrap().path().join("gateway.toml");
        run(&[&["doctor", "native.example", "--config", file.to_str().unwrap(), "--json"], more].concat())
    }

    fn metrics(&self) -> String {
        admin(&self.admin, "/metrics")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in self.echo.iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn verdict<'r>(report: &'r Value, item: &str) -> (&'r str, &'r str) {
    let check = list(report, "checks").iter().find(|check| text(check, "item") == item).unwrap();
    (text(check, "verdict"), text(check, "found"))
}

#[test]
fn doctor_has_the_running_gateway_send_a_canary_there_and_back() {
    let world = World::start(DOMAINS, true);
    // The echo may not be connected yet: then the message would find no device.
    let report = loop {
        let report = world.doctor(&[]).json();
        if verdict(&report, "canary message").0 == "ok" {
            break report;
        }
    };
    assert!(text(&report, "by").contains("running gateway"), "{report:#}");
    assert!(verdict(&report, "canary message").1.starts_with("back from carol@native.example"), "{report:#}");
    assert_eq!(verdict(&report, "canary presence").0, "ok", "{report:#}");
    let metrics = world.metrics();
    for line in [
        "interlingua_canary_up{peer=\"native.example\",kind=\"message\"} 1",
        "interlingua_canary_up{peer=\"native.example\",kind=\"presence\"} 1",
        "interlingua_ledger_accepted_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("interlingua_operations_total{adapter"), "{metrics}");
    // What the doctor found is there for the console, too.
    let last = admin(&world.admin, "/api/v1/doctor");
    assert!(last.contains("canary presence") && last.contains("\"verdict\":\"ok\""), "{last}");
    let apart = world.doctor(&["--apart"]).json();
    assert_eq!(verdict(&apart, "canary message").0, "warn", "{apart:#}");
}

#[test]
fn an_echo_that_says_nothing_fails_exactly_the_canary() {
    let world = World::start(DOMAINS, false);
    let found = world.doctor(&[]);
    let report = found.json();
    assert_eq!(found.code, 1, "{report:#}");
    let is_canary = |check: &&Value| text(check, "verdict") == "fail" && text(check, "item").starts_with("canary");
    let failed: Vec<_> = list(&report, "checks").iter().filter(is_canary).collect();
    let items: Vec<_> = failed.iter().map(|check| text(check, "item")).collect();
    assert_eq!(items, ["canary message", "canary presence"], "{report:#}");
    assert!(failed.iter().all(|check| text(check, "remedy").contains("interlingua trace")), "{failed:#?}");
}

#[test]
fn canaries_are_sent_all_the_time_where_it_is_configured() {
    let world = World::start(&format!("{DOMAINS}canary_every = \"10s\"\n"), true);
    loop {
        let metrics = world.metrics();
        if metrics.contains("interlingua_canary_up{peer=\"native.example\",kind=\"message\"} 1") {
            assert!(metrics.contains("interlingua_canary_round_trip_seconds{peer=\"native.example\""), "{metrics}");
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}
