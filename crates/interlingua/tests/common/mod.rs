//! Runs the built binary.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test file uses a part of this")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run of the binary gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Standard output as one JSON object.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

pub fn run(args: &[&str]) -> Run {
    run_with(args, b"")
}

pub fn run_with(args: &[&str], input: &[u8]) -> Run {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    of(child.wait_with_output().unwrap())
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interlingua"));
    command.args(args).env_remove("RUST_LOG");
    command
}

fn of(output: Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A file of the test vectors.
pub fn vectors(name: &str) -> Value {
    let path = repository("tests/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The entries of a list in it.
pub fn list<'v>(vectors: &'v Value, key: &str) -> &'v [Value] {
    vectors.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The text under `key`.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The torture messages of RFC 4475 and RFC 5118 with what is said of them; `None` where the octets, which are third-party
/// and not part of this repository, are not at hand.
pub fn torture() -> Option<Vec<(Value, Vec<u8>)>> {
    let folder =
        std::env::var_os("INTERLINGUA_TORTURE").map_or_else(|| repository("../shared/vectors/torture"), PathBuf::from);
    let vectors = vectors("torture.json");
    let read = |case: &Value| {
        let raw = case.get("raw_fixed").or(case.get("raw")).and_then(Value::as_str)?;
        Some((case.clone(), std::fs::read(folder.join(raw)).ok()?))
    };
    list(&vectors, "rfc4475").iter().chain(list(&vectors, "rfc5118")).map(read).collect()
}
