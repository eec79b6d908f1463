//! The command line as a whole: what it lists, how it ends, and `explain`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use common::{repository, run, text};

#[test]
fn help_lists_every_command() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    let commands = [
        "serve",
        "check",
        "demo",
        "address",
        "inspect",
        "translate",
        "resolve",
        "explain",
        "send",
        "watch",
        "status",
        "peers",
        "trace",
        "store",
        "config",
        "adapter",
    ];
    for command in commands {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
        assert_eq!(run(&[command, "--help"]).code, 0, "{command}");
    }
    assert_eq!(run(&["--version"]).code, 0);
}

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        &[][..],
        &["nonsense"],
        &["serve"],
        &["address"],
        &["inspect", "cpim", "--profile", "x"],
        &["resolve"],
        &["send"],
        &["store", "check"],
        &["store", "export", "--data-dir", "x", "--json"],
    ] {
        let wrong = run(args);
        assert_eq!(wrong.code, 2, "{args:?}");
        assert!(wrong.stdout.is_empty() && !wrong.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn no_server_is_a_failure_with_a_hint() {
    let failed = run(&["send", "a@b.example", "x", "--token", "t", "--server", "http://127.0.0.1:9"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("--server"), "{}", failed.stderr);
    let failed = run(&["status", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("--admin"), "{}", failed.stderr);
}

#[test]
fn a_message_is_explained_without_sending_it() {
    let config = repository("configs/quickstart.toml");
    let config = config.to_str().unwrap();
    let found = run(&["explain", "romeo@sip.example", "juliet@xmpp.example", "--config", config, "--json"]);
    let explanation = found.json();
    assert_eq!((found.code, text(&explanation, "verdict")), (0, "delivered-if-confirmed"));
    assert!(explanation["findings"]["findings"].as_array().is_some_and(|findings| !findings.is_empty()));
    // Neither end is local here: no relay.
    let refused = run(&["explain", "a@one.example", "im:b@two.example", "--config", config]);
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("relay-denied"), "{}", refused.stdout);
    assert_eq!(run(&["explain", "romeo@sip.example", "@", "--config", config]).code, 1);
    // What the adapter would refuse is refused.
    let ghost = run(&["explain", "romeo@sip.example", "ghost@native.example", "--config", config, "--json"]);
    assert_eq!((ghost.code, text(&ghost.json(), "verdict")), (1, "item-not-found"), "{}", ghost.stdout);
}

#[test]
fn whoever_asks_for_json_gets_it_when_something_fails_too() {
    let failed = run(&["status", "--admin", "http://127.0.0.1:9", "--json"]);
    assert_eq!(failed.code, 1);
    assert!(text(&failed.json(), "error").contains("--admin"), "{}", failed.stdout);
    let failed = run(&["explain", "a b", "c@d", "--config", "nowhere.toml", "--json"]);
    assert!(failed.code == 1 && failed.json()["error"].is_string(), "{}", failed.stdout);
    assert_eq!(run(&["status", "--admin", "foo"]).code, 2, "no URL");
}

const LINKS: &str = r#"
[gateway]
name = "gw.example.net"
[admin]
listen = "127.0.0.1:0"
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
[adapter.office]
type = "xmpp-component"
connect = "127.0.0.1:5347"
domain = "sip.example"
secret = "x"
acknowledge = "none"
[adapter.xmpp]
type = "xmpp"
listen = ["tcp:127.0.0.1:0"]
require_tls = false
[[adapter.xmpp.peer]]
domain = "quiet.example"
acknowledge = "none"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:127.0.0.1:5060;transport=udp"
[[domain]]
name = "xmpp.example"
adapter = "office"
[[domain]]
name = "quiet.example"
role = "remote"
adapter = "xmpp"
next_hop = "xmpp:127.0.0.1:5269"
[[domain]]
name = "usual.example"
role = "remote"
adapter = "xmpp"
next_hop = "xmpp:127.0.0.1:5269"
[policy.rates]
per_source = 5
"#;

#[test]
fn links_are_explained_by_who_confirms_and_who_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, LINKS).unwrap();
    let config = file.to_str().unwrap();
    let explain = |from: &str, to: &str| run(&["explain", from, to, "--config", config, "--json"]).json();
    for (from, to, acknowledge, near_link) in [
        ("romeo@sip.example", "juliet@xmpp.example", "none", "repeatable"),
        ("romeo@sip.example", "juliet@quiet.example", "none", "repeatable"),
        ("romeo@sip.example", "juliet@usual.example", "barrier", "repeatable"),
        ("juliet@xmpp.example", "romeo@sip.example", "answer", "unrepeatable"),
        ("juliet@usual.example", "romeo@sip.example", "answer", "where_managed"),
    ] {
        let found = explain(from, to);
        let said = (text(&found, "acknowledge"), text(&found, "near_link"));
        assert_eq!(said, (acknowledge, near_link), "{from} {to}: {found}");
        assert_eq!(found["rates"], serde_json::json!({"per_source": 5, "per_domain": null}));
    }
    let shown = run(&["explain", "juliet@xmpp.example", "romeo@sip.example", "--config", config]).stdout;
    assert!(shown.contains("near link       unrepeatable: "), "{shown}");
    assert!(shown.contains("rates           each sender: 5 a second; each domain: no limit"), "{shown}");
    assert!(shown.contains("acknowledgement the next hop's final response"), "{shown}");
    let shown = run(&["explain", "romeo@sip.example", "juliet@quiet.example", "--config", config]).stdout;
    assert!(shown.contains("handed over"), "{shown}");
}
