//! The admin API of a running gateway: its socket file, its two tokens, what is told live, what is written down.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use common::run;
use serde_json::Value;
use serving::{Gateway, HEAD};

/// A gateway with a socket file and both tokens, and the folder of it all.
fn start() -> (Gateway, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::write(path.join("read.token"), "look-only").unwrap();
    let admin = format!(
        "listen = \"unix:{}\"\nread_token_file = \"read.token\"\naudit_file = \"audit.log\"",
        path.join("admin.sock").display()
    );
    let mut gateway =
        Gateway::start_in(folder, &HEAD.replace("listen = \"127.0.0.1:0\"\ntoken_file", &(admin + "\ntoken_file")));
    gateway.until("ready");
    (gateway, path)
}

#[test]
fn the_socket_file_gives_all_rights_a_read_token_some_and_changes_are_written_down() {
    let (_gateway, folder) = start();
    let socket = format!("unix:{}", folder.join("admin.sock").display());
    let read = folder.join("read.token");
    let with = |call: &[&str], more: &[&str]| run(&[call, &["--admin", &socket, "--json"], more].concat());
    let looking = ["--token-file", read.to_str().unwrap()];
    assert_eq!(with(&["status"], &[]).json()["gateway"], "gw.example.net");
    assert_eq!(with(&["status"], &looking).code, 0);
    let refused = with(&["reload"], &looking);
    assert_eq!(refused.code, 1);
    assert!(refused.json()["error"].as_str().unwrap().contains("only look"), "{}", refused.stdout);
    assert_eq!(with(&["reload"], &[]).code, 0);
    assert_eq!(with(&["queue", "delete", "7"], &[]).code, 1);
    let audit = std::fs::read_to_string(folder.join("audit.log")).unwrap();
    let audit: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: Vec<_> =
        audit.iter().map(|row| (row["what"].as_str().unwrap(), row["result"].as_str().unwrap())).collect();
    assert_eq!(
        rows,
        [("POST /api/v1/reload", "403"), ("POST /api/v1/reload", "200"), ("DELETE /api/v1/queue/7", "404")]
    );
    assert!(audit[0]["who"].as_str().unwrap().starts_with("local user"), "{audit:?}");
}

#[test]
fn a_reload_by_signal_is_told_live_and_written_down() {
    let (mut gateway, folder) = start();
    let mut stream = UnixStream::connect(folder.join("admin.sock")).unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == ": interlingua"));
    gateway.signal("HUP");
    gateway.until("configuration loaded anew");
    assert!(lines.any(|line| line == "event: reload"));
    let data = lines.next().unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["taken_over"], true, "{data}");
    gateway.until("change");
    let audit = std::fs::read_to_string(folder.join("audit.log")).unwrap();
    assert!(audit.contains("\"who\":\"signal\",\"what\":\"reload\",\"result\":\"done\""), "{audit}");
}

#[test]
fn a_socket_file_that_a_crash_left_is_taken_over() {
    let (gateway, folder) = start();
    let config = std::fs::read_to_string(folder.join("gateway.toml")).unwrap();
    let kept = gateway.kill();
    assert!(folder.join("admin.sock").exists());
    let mut again = Gateway::start_in(kept, &config);
    again.until("ready");
    assert_eq!(run(&["status", "--admin", &format!("unix:{}", folder.join("admin.sock").display())]).code, 0);
}

#[test]
fn a_token_file_that_is_not_there_is_wrong_usage() {
    for call in [&["status"][..], &["send", "a@b.example", "x"]] {
        let run = run(&[call, &["--token-file", "/nowhere/token"]].concat());
        assert_eq!(run.code, 2, "{}", run.stderr);
    }
}
