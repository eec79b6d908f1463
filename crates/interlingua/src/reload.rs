//! A changed configuration file taken over by a gateway that runs: as a whole, or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use adapter_api::AdapterError;
use interwork::{Core, Rulebook};
use parking_lot::Mutex;
use serde_json::{Value, json};
use transport::Tls;

use crate::adapters::{Configured, Live, TakeOver};
use crate::canaries::{self, Planned};
use crate::config::{self, Checked, Config, Key, Problem, Report};
use crate::{blocklists, gateway, logging};

/// What a running gateway was configured with, and how it learns that this has changed.
pub(crate) struct Reloader {
    /// None: there is no file to read again.
    file: Option<PathBuf>,
    running: Mutex<Config>,
    core: Arc<Core>,
    tls: Arc<Tls>,
    /// The adapters that take over changes, by name.
    live: Vec<(String, Arc<dyn Live>)>,
}

/// What became of a changed file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// The keys that changed and are in use now.
    pub(crate) applied: Vec<String>,
    /// The keys that changed and wait for a restart.
    pub(crate) restart: Vec<String>,
    /// What came of it where that is no key's own value: of an adapter's users, how many are new.
    pub(crate) details: Vec<String>,
    /// What is odd, but works.
    pub(crate) warnings: Vec<Problem>,
}

/// What the adapters that run are to take over, by their names, and the keys that this is about.
#[derive(Default)]
struct Prepared {
    take_over: Vec<(String, TakeOver)>,
    keys: Vec<String>,
}

/// Keys, and tables with all that is in them, that change without a restart.
const LIVE: &[&str] = &["domain", "route", "routing", "policy", "tls", "log.level"];

/// What of these waits for one all the same: an order may be under way.
const NOT_LIVE: &str = "tls.acme";

impl Reloader {
    pub(crate) fn new(
        file: Option<PathBuf>,
        config: Config,
        core: Arc<Core>,
        tls: Arc<Tls>,
        live: Vec<(String, Arc<dyn Live>)>,
    ) -> Self {
        Self { file, running: Mutex::new(config), core, tls, live }
    }

    /// Reads the file again; nothing changes if any of it is wrong.
    pub(crate) fn reload(&self) -> Result<Reloaded, Report> {
        let Some(file) = &self.file else {
            let problem = "this gateway runs without a configuration file";
            return Err(self.refused(vec![Problem::new(Key::default(), problem, "run one with `interlingua serve`")]));
        };
        let Checked { config, adapters, warnings } = config::load(file)?;
        let mut running = self.running.lock();
        let problems = new_adapters(&running, &config);
        if !problems.is_empty() {
            return Err(self.refused(problems));
        }
        let blocklist = blocklists::read(&config.policy.blocklists).map_err(|problem| {
            self.refused(vec![Problem::new(Key::parse("policy.blocklists"), problem, "correct the file")])
        })?;
        let Prepared { take_over, keys: tables } = self.prepare(&running, &config, &adapters)?;
        let is_live = |key: &String| is_live(key) || tables.iter().any(|table| table == key);
        let (mut applied, restart): (Vec<_>, _) = differences(&running, &config).into_iter().partition(is_live);
        let next = taken_over(&running, config, &tables);
        self.tls.configure(next.tls.settings()).map_err(|errors| {
            let problem = |error: transport::tls::TlsFileError| {
                Problem::new(Key::parse("tls"), error.to_string(), error.remedy())
            };
            self.refused(errors.into_iter().map(problem).collect())
        })?;
        // From here on nothing fails.
        self.core.replace_rulebook(gateway::rulebook(&next, blocklist));
        logging::set_level(&next.log.level);
        *running = next;
        let mut details = Vec::new();
        for (name, take_over) in take_over {
            if let Some((key, done)) = take_over() {
                let key = format!("adapter.{name}.{key}");
                details.push(format!("{key}: {done}"));
                // A token file may have changed whose name has not.
                if !applied.contains(&key) {
                    applied.push(key);
                }
            }
        }
        Ok(Reloaded { applied, restart, details, warnings })
    }

    /// Reads what adapters take over; nothing changes yet.
    fn prepare(
        &self,
        running: &Config,
        config: &Config,
        adapters: &[(String, Box<dyn Configured>)],
    ) -> Result<Prepared, Report> {
        let mut prepared = Prepared::default();
        for (name, live) in &self.live {
            let Some((_, table)) = adapters.iter().find(|(other, _)| other == name) else { continue };
            let kind = |config: &Config| config.adapter.get(name).and_then(|table| table.get("type")).cloned();
            if kind(running) != kind(config) {
                continue;
            }
            let refused = |error: AdapterError| {
                let key = Key::parse("adapter").name(name);
                self.refused(vec![Problem::new(key, error.to_string(), "correct the key")])
            };
            prepared.take_over.push((name.clone(), live.prepare(&**table).map_err(refused)?));
            prepared.keys.extend(table.live_keys().iter().map(|key| format!("adapter.{name}.{key}")));
        }
        Ok(prepared)
    }

    /// The same, written down and told to those who watch.
    pub(crate) fn told(&self) -> Result<Reloaded, Report> {
        let result = tell(self.reload());
        match &result {
            Ok(done) => self.core.reloaded(&done.applied, &done.restart, 0),
            Err(report) => self.core.reloaded(&[], &[], report.problems.len()),
        }
        result
    }

    /// What is in use.
    pub(crate) fn running(&self) -> Config {
        self.running.lock().clone()
    }

    /// The canaries to be sent all the time.
    pub(crate) fn canaries(&self) -> Vec<Planned> {
        canaries::planned(&self.running.lock())
    }

    /// The hub that it configures.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The files of `[policy] blocklists` in use.
    pub(crate) fn blocklists(&self) -> Vec<PathBuf> {
        self.running.lock().policy.blocklists.clone()
    }

    /// Reads the blocklists again; the text says which file and line is wrong, and the list stays.
    pub(crate) fn reload_blocklists(&self) -> Result<usize, String> {
        let running = self.running.lock();
        let list = blocklists::read(&running.policy.blocklists)?;
        let domains = list.len();
        let book = (*self.core.rulebook()).clone();
        self.core.replace_rulebook(Rulebook { policy: gateway::policy(&running.policy, list), ..book });
        Ok(domains)
    }

    fn refused(&self, problems: Vec<Problem>) -> Report {
        Report { file: self.file.clone().unwrap_or_default(), problems, warnings: Vec::new() }
    }
}

impl ops::Configured for Reloader {
    fn show(&self) -> Value {
        // It can be written as JSON: it was read from it.
        let mut shown = serde_json::to_value(&*self.running.lock()).unwrap_or_default();
        hide_secrets(&mut shown, &Key::default());
        shown
    }

    fn reload(&self) -> Result<Value, Value> {
        match self.told() {
            Ok(Reloaded { applied, restart, details, warnings }) => {
                let done = json!({ "applied": applied, "restart": restart, "details": details, "warnings": warnings });
                Ok(done)
            }
            Err(report) => Err(json!({ "problems": report.problems })),
        }
    }
}

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

fn hide_secrets(value: &mut Value, key: &Key) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| hide_secrets(value, &key.name(name))),
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(number, item)| hide_secrets(item, &key.index(number)));
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if key.is_secret() {
                *value = HIDDEN.into();
            }
        }
    }
}

/// Writes down what became of a reload, whoever asked for it.
fn tell(result: Result<Reloaded, Report>) -> Result<Reloaded, Report> {
    match &result {
        Ok(Reloaded { applied, restart, details, warnings }) => {
            for warning in warnings {
                tracing::warn!(key = %warning.key, line = warning.line, remedy = warning.remedy, "{}", warning.problem);
            }
            for detail in details {
                tracing::info!("{detail}");
            }
            tracing::info!(applied = applied.join(" "), "configuration loaded anew");
            if !restart.is_empty() {
                tracing::warn!(keys = restart.join(" "), "these changes wait for a restart");
            }
        }
        Err(report) => {
            for problem in &report.problems {
                tracing::error!(key = %problem.key, line = problem.line, remedy = problem.remedy, "{}", problem.problem);
            }
            tracing::error!("the configuration in use stays: the changed one is refused");
        }
    }
    result
}

fn is_live(key: &str) -> bool {
    let below = |live: &&str| key == *live || key.strip_prefix(*live).is_some_and(|rest| rest.starts_with('.'));
    LIVE.iter().any(below) && !below(&NOT_LIVE)
}

/// The configuration in use from now on: what waits for a restart stays as it is. `tables` are the keys of adapters that do not.
fn taken_over(running: &Config, new: Config, tables: &[String]) -> Config {
    let mut adapter = running.adapter.clone();
    for key in tables {
        let Some((name, key)) = key.strip_prefix("adapter.").and_then(|key| key.rsplit_once('.')) else { continue };
        let Some(table) = adapter.get_mut(name).and_then(Value::as_object_mut) else { continue };
        match new.adapter.get(name).and_then(|table| table.get(key)) {
            Some(value) => drop(table.insert(key.to_owned(), value.clone())),
            None => drop(table.shift_remove(key)),
        }
    }
    let Config { domain, route, routing, policy, tls, log, .. } = new;
    let tls = config::Tls { acme: running.tls.acme.clone(), ..tls };
    let log = config::Log { level: log.level, ..running.log.clone() };
    Config { domain, route, routing, policy, tls, log, adapter, ..running.clone() }
}

/// Adapters start with the gateway: until then nothing can be sent to a new one.
fn new_adapters(running: &Config, new: &Config) -> Vec<Problem> {
    let is_new = |name: &Option<String>| name.as_ref().is_some_and(|name| !running.adapter.contains_key(name));
    let problem = |key: String, name: &Option<String>| {
        let mut problem = Problem::new(
            Key::parse(&key),
            "this adapter does not run yet",
            "restart the gateway to start it, or leave the domain where it is until then",
        );
        problem.value = name.as_ref().map(|name| format!("{name:?}"));
        problem
    };
    let domains = new.domain.iter().enumerate().filter(|(_, table)| is_new(&table.adapter));
    let domains = domains.map(|(number, table)| problem(format!("domain[{number}].adapter"), &table.adapter));
    let routes = new.route.iter().enumerate().filter(|(_, table)| is_new(&table.adapter));
    let routes = routes.map(|(number, table)| problem(format!("route[{number}].adapter"), &table.adapter));
    domains.chain(routes).collect()
}

/// The keys in which two configurations differ; a list is one key.
fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut found = Vec::new();
    // Both can be written as JSON: they were read from it.
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) {
        compare("", &old, &new, &mut found);
    }
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let (Value::Object(olds), Value::Object(news)) = (old, new) else {
        if old != new {
            found.push(path.to_owned());
        }
        return;
    };
    let names = olds.keys().chain(news.keys().filter(|name| !olds.contains_key(*name)));
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (olds.get(name), news.get(name)) {
            (Some(old), Some(new)) => compare(&path, old, new, found),
            (_, _) => found.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(text: &str) -> Config {
        let base =
            "[gateway]\nname = \"gw.example.net\"\n[adapter.sip]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:0\"]\n";
        config::load_text(&format!("{base}{text}"), Path::new("gateway.toml")).unwrap().config
    }

    #[test]
    fn differences_are_named_by_key_and_lists_as_a_whole() {
        let old = config("[log]\nlevel = \"info\"\n[[domain]]\nname = \"a.example\"\nadapter = \"sip\"\n");
        let new = config(
            "[log]\nlevel = \"debug\"\nformat = \"json\"\n[[domain]]\nname = \"b.example\"\nadapter = \"sip\"\n\
             [delivery]\nhold_timeout = \"3s\"\n",
        );
        let (live, restart): (Vec<_>, Vec<_>) = differences(&old, &new).into_iter().partition(|key| is_live(key));
        assert_eq!(
            (live, restart),
            (
                vec!["log.level".to_owned(), "domain".to_owned()],
                vec!["log.format".to_owned(), "delivery.hold_timeout".to_owned()]
            )
        );
        let next = taken_over(&old, new.clone(), &[]);
        assert_eq!(differences(&next, &new), ["log.format", "delivery.hold_timeout"]);
    }

    #[test]
    fn a_domain_cannot_move_to_an_adapter_that_does_not_run() {
        let old = config("[[domain]]\nname = \"a.example\"\nadapter = \"sip\"\n");
        let new = config(
            "[adapter.second]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:0\"]\n[[domain]]\nname = \"a.example\"\nadapter = \"second\"\n\
             [[domain]]\nname = \"b.example\"\nadapter = \"sip\"\n",
        );
        let problems = new_adapters(&old, &new);
        assert_eq!(problems.iter().map(|problem| problem.key.to_string()).collect::<Vec<_>>(), ["domain[0].adapter"]);
        assert!(new_adapters(&new, &old).is_empty());
    }

    #[test]
    fn only_whole_names_are_live() {
        assert!(is_live("domain") && is_live("policy.rule") && is_live("tls.trust"));
        assert!(!is_live("tls.acme") && !is_live("tls.acme.domains"));
        assert!(!is_live("log") && !is_live("log.format") && !is_live("domains") && !is_live("adapter.tls"));
    }
}
