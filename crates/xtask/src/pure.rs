//! `cargo xtask pure`: protocol machines hold no runtime, no socket and no clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::problem::Problem;

/// Looks at the dependency tree and the lint file of each machine crate.
pub(crate) fn run(root: &Path) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for name in MACHINES {
        if !root.join("crates").join(name).is_dir() {
            println!("{name}: not written yet");
            continue;
        }
        let dependencies = dependencies(root, name)?;
        println!("{name}: {} dependencies", dependencies.len());
        problems.extend(impure(name, &dependencies));
        problems.extend(lints(root, name));
    }
    Ok(problems)
}

/// The names of all crates that `name` links, itself excepted.
fn dependencies(root: &Path, name: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", name];
    let output = Command::new(cargo).current_dir(root).args(arguments).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next()).filter(|found| *found != name);
    Ok(names.filter(|found| !found.is_empty()).map(str::to_owned).collect())
}

fn impure(name: &str, dependencies: &BTreeSet<String>) -> Vec<Problem> {
    let file = format!("crates/{name}/Cargo.toml");
    let banned = dependencies.iter().filter(|found| is_banned(found));
    banned.map(|found| Problem::new(&file, 0, format!("a machine must not depend on {found}"))).collect()
}

fn is_banned(name: &str) -> bool {
    BANNED.contains(&name) || BANNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn lints(root: &Path, name: &str) -> Option<Problem> {
    let file = format!("crates/{name}/clippy.toml");
    match fs::read_to_string(root.join(&file)) {
        Ok(text) if text == LINTS => None,
        Ok(_) => Some(Problem::new(&file, 0, "differs from crates/xtask/machine-clippy.toml: copy that file")),
        Err(_) => Some(Problem::new(&file, 0, "is missing: copy crates/xtask/machine-clippy.toml")),
    }
}

/// The crates that do no I/O by the crate table of `crates/README.md`.
const MACHINES: &[&str] = &["impp-model", "strict-xml", "cpim", "pidf", "sip-proto", "xmpp-proto", "impp-resolve"];

/// Runtimes, sockets, TLS, disks, and sources of time or randomness.
const BANNED: &[&str] = &[
    "mio",
    "socket2",
    "smol",
    "polling",
    "rustix",
    "hyper",
    "reqwest",
    "axum",
    "rustls",
    "fjall",
    "getrandom",
    "chrono",
    "time",
    "tempfile",
];

/// Families of crates.
const BANNED_PREFIXES: &[&str] = &["tokio", "hickory-", "async-std", "async-io", "futures-executor", "native-tls"];

/// What each machine crate's `clippy.toml` says.
const LINTS: &str = include_str!("../machine-clippy.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_in_the_tree_is_a_problem() {
        let tree = BTreeSet::from(["bytes".to_owned(), "tokio".to_owned(), "tokio-util".to_owned()]);
        assert_eq!(impure("sip-proto", &tree).len(), 2);
    }

    #[test]
    fn plain_libraries_are_pure() {
        for name in ["bytes", "memchr", "serde", "async-trait", "thiserror", "quick-xml", "timer-wheel"] {
            assert!(!is_banned(name), "{name}");
        }
    }
}
