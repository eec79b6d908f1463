//! Gateways that serve, each in a process of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod component;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use crate::common::{command, text};
use serde_json::Value;

/// A gateway in a process of its own, its log as JSON.
pub struct Gateway {
    pub child: Child,
    pub log: Lines<BufReader<ChildStderr>>,
    /// What was read of the log.
    pub seen: Vec<Value>,
    pub folder: Option<tempfile::TempDir>,
}

/// For an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the admin API wants to see.
pub const ADMIN: &str = "admin-token";

/// The token of carol@native.example.
pub const CAROL: &str = "carol-token";

/// What the configurations of these tests begin with: one adapter each for SIP and native, on any free ports.
pub const HEAD: &str = r#"
[gateway]
name = "gw.example.net"
[admin]
listen = "127.0.0.1:0"
token_file = "admin.token"
[log]
format = "json"
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
[adapter.native]
type = "native"
listen = "127.0.0.1:0"
[[adapter.native.user]]
address = "carol@native.example"
token = "carol-token"
"#;

impl Gateway {
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    pub fn start_in(folder: tempfile::TempDir, config: &str) -> Self {
        std::fs::write(folder.path().join("admin.token"), ADMIN).unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = command(&["serve", "--config", file.to_str().unwrap()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log, seen: Vec::new(), folder: Some(folder) }
    }

    /// Reads the log up to a line with this message.
    pub fn until(&mut self, message: &str) {
        for line in self.log.by_ref() {
            let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let found = text(&entry, "message") == message;
            self.seen.push(entry);
            if found {
                return;
            }
        }
        panic!("the log ended without {message:?}: {:?}", self.seen);
    }

    /// The address in a line that was read, by its message and the crate that wrote it.
    pub fn address(&self, message: &str, of: &str) -> String {
        let fits = |entry: &&Value| text(entry, "message") == message && text(entry, "target").starts_with(of);
        self.seen.iter().find(fits).map(|entry| text(entry, "address").to_owned()).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.take().unwrap()
    }

    pub fn exit_code(mut self) -> Option<i32> {
        let rest: Vec<_> = self.log.by_ref().map_while(Result::ok).collect();
        let code = self.child.wait().unwrap().code();
        assert!(code.is_some(), "{rest:?}");
        code
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer of the native API at `address` to a call, which `head` begins: method and path.
pub fn native(address: &str, token: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The body of an answer of the admin API.
pub fn admin(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
