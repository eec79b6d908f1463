//! What a configuration means: everything that can be judged before the gateway starts.

mod domains;
mod effect;
mod hops;
mod listeners;
mod tables;

use std::path::Path;

use serde_json::Value;

use super::problem::{Key, Problem};
use super::{Config, read};
use crate::adapters::Configured;

/// Adds what is wrong to `problems`, what is odd but works to `warnings`.
pub(super) fn check(
    config: &mut Config,
    adapters: &[(String, Box<dyn Configured>)],
    folder: &Path,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    tables::make_absolute(config, folder);
    let mut check = Check { config, adapters, problems, warnings };
    check.tables();
    check.adapters();
    check.listeners();
    check.domains();
    check.routes();
    check.native_users();
    check.effects();
    check.unwise();
}

struct Check<'c> {
    config: &'c Config,
    adapters: &'c [(String, Box<dyn Configured>)],
    problems: &'c mut Vec<Problem>,
    warnings: &'c mut Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: Key, problem: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(key, problem, remedy));
    }

    fn warning(&mut self, key: Key, problem: impl Into<String>, remedy: impl Into<String>) {
        self.warnings.push(Problem::new(key, problem, remedy));
    }

    /// Reports `name` if no adapter table has it.
    fn known_adapter(&mut self, key: Key, name: &str) {
        if self.config.adapter.contains_key(name) {
            return;
        }
        let names: Vec<_> = self.config.adapter.keys().map(String::as_str).collect();
        let remedy = match read::nearest(name, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => format!("add a table [adapter.{name}]"),
            None => format!("add a table [adapter.{name}], or write one of: {}", names.join(", ")),
        };
        self.problem(key, format!("there is no [adapter.{name}]"), remedy);
    }

    /// A text value of an adapter's table.
    fn adapter_text(&self, adapter: &str, key: &str) -> Option<&str> {
        self.config.adapter.get(adapter)?.get(key).and_then(Value::as_str)
    }
}
