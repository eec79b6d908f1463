//! Subscriptions of a gateway that runs, as operators see them: the commands, the metrics, the dry run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::time::{Duration, Instant};

use common::{list, run, text};
use serde_json::{Value, json};
use serving::{CAROL, Gateway, HEAD, admin, native};

const DORA: &str = "dora-token";

const MORE: &str = r#"
[[adapter.native.user]]
address = "dora@native.example"
token = "dora-token"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:127.0.0.1:9;transport=udp"
trusted = ["127.0.0.1/32"]
"#;

/// The status of a call of the native API.
fn call(address: &str, token: &str, head: &str, body: &Value) -> String {
    native(address, token, head, &body.to_string()).split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn operators_see_who_watches_whom_and_how_it_stands() {
    let mut gateway = Gateway::start(&(HEAD.to_owned() + MORE));
    gateway.until("ready");
    let (at, api) = (
        gateway.address("listening", "adapter_native"),
        gateway.address("admin API, metrics and health checks", "interlingua"),
    );
    let folder = gateway.folder.as_ref().unwrap().path().to_owned();
    let (token, file) = (folder.join("admin.token"), folder.join("gateway.toml"));
    let url = format!("http://{api}");
    let ask = |args: &[&str]| {
        let connected = ["--admin", &url, "--token-file", token.to_str().unwrap(), "--json"];
        run(&[args, &connected].concat()).json()
    };

    let state = json!({ "basic": "open", "note": "in the garden" });
    assert_eq!(call(&at, DORA, "PUT /v1/presence", &state), "200");
    let target = json!({ "target": "dora@native.example" });
    assert_eq!(call(&at, CAROL, "POST /v1/subscriptions", &target), "201");
    let allowed = json!({ "watcher": "carol@native.example", "allow": true });
    assert_eq!(call(&at, DORA, "POST /v1/authorizations", &allowed), "200");
    let end = Instant::now() + Duration::from_secs(30);
    let row = loop {
        let found = ask(&["subscriptions", "--of", "carol@native.example"]);
        let row = list(&found, "subscriptions").first().cloned().unwrap_or_default();
        if row["authorization"] == "granted" && row["open"] == true {
            break row;
        }
        assert!(Instant::now() < end, "{found}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((text(&row, "watcher"), text(&row, "presentity")), ("carol@native.example", "dora@native.example"));
    assert_eq!((text(&row, "adapter"), text(&row, "to"), &row["subscriptions"]), ("native", "native", &json!(1)));
    assert_eq!(ask(&["status"])["subscriptions"], 1);
    let metrics = admin(&api, "/metrics");
    for role in ["watcher", "presentity"] {
        let line = format!("interlingua_subscriptions{{adapter=\"native\",role=\"{role}\",state=\"active\"}} 1");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }

    let explain = |from: &str, to: &str| {
        run(&["explain", from, to, "--kind", "presence", "--config", file.to_str().unwrap(), "--json"])
    };
    let way = explain("dora@native.example", "romeo@sip.example");
    assert_eq!((way.code, text(&way.json(), "verdict")), (0, "watched-if-authorized"), "{}", way.stdout);
    assert_eq!(text(&way.json(), "kind"), "presence");
    let refused = explain("a@one.example", "b@two.example");
    assert_eq!((refused.code, text(&refused.json(), "verdict")), (1, "relay-denied"), "{}", refused.stdout);
}
