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
}
