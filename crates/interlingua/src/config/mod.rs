//! The configuration file: its types, how it is read, checked and explained.
//!
//! The types are the reference: `interlingua config reference` prints their documentation and defaults.

mod archive;
mod check;
mod document;
mod domains;
mod problem;
mod read;
mod reference;
mod schema;
mod tables;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use archive::{Archive, ArchiveTo, WhenAway};
pub use domains::{Action, DomainTable, Network, Pattern, PolicyRule, Role, RouteTable, TrunkTable};
pub(crate) use problem::count;
pub use problem::{Key, Problem, Report, Step};
pub(crate) use read::{nearest, read};
pub use reference::reference;
pub use schema::schema;
pub use tables::{
    Acme, AcmeChallenge, Admin, AdminListen, Delivery, Dns, ExternalAccount, Gateway, Log, LogFormat, Notice, Policy,
    PolicyRates, Presence, Relay, Routing, StoreLimits, Tls, Trace,
};

use crate::adapters::{self, Configured};
use document::Document;

/// A whole configuration file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This gateway itself.
    pub gateway: Gateway,
    /// The admin API, metrics and health checks.
    #[serde(default)]
    pub admin: Admin,
    /// What is logged, and how.
    #[serde(default)]
    pub log: Log,
    /// Name service.
    #[serde(default)]
    pub dns: Dns,
    /// Certificates, for every protocol that uses TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Protocol instances: `[adapter.NAME]` for each, with a `type`; the name is free. In the order of the file.
    #[serde(default)]
    #[schemars(skip)]
    pub adapter: Map<String, Value>,
    /// The domains that this gateway knows by name; the first table of a domain is the one that counts.
    #[serde(default)]
    pub domain: Vec<DomainTable>,
    /// Routes for domains without a table of their own; the first that matches wins. Without any: RFC 3861, then the
    /// discovery of the protocols themselves.
    #[serde(default)]
    pub route: Vec<RouteTable>,
    /// RFC 3861: how the protocol of an unknown domain is found.
    #[serde(default)]
    pub routing: Routing,
    /// How long a sender waits, and what is reported to whom.
    #[serde(default)]
    pub delivery: Delivery,
    /// How long is remembered where each message went.
    #[serde(default)]
    pub trace: Trace,
    /// Operations told to an archive outside, each when it is taken and when it ends. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// Subscriptions to presence.
    #[serde(default)]
    pub presence: Presence,
    /// Who may send what to whom.
    #[serde(default)]
    pub policy: Policy,
}

/// A configuration without problems, its adapter tables read by their factories.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// The adapter instances, by name.
    pub adapters: Vec<(String, Box<dyn Configured>)>,
    /// What is odd but works.
    pub warnings: Vec<Problem>,
}

/// Reads and checks the file at `path`.
///
/// The error holds all problems that were found, not only the first.
pub fn load(path: &Path) -> Result<Checked, Report> {
    match std::fs::read_to_string(path) {
        Ok(text) => load_text(&text, path),
        Err(error) => {
            let remedy =
                "give a readable file in UTF-8 with --config; `interlingua config reference` prints one to start from";
            let problem = Problem::new(Key::default(), format!("cannot read the file: {error}"), remedy);
            Err(Report { file: path.to_owned(), problems: vec![problem], warnings: vec![] })
        }
    }
}

/// As [`load`], for text that stands (or could stand) at `path`: file names in it are relative to that file's folder.
pub fn load_text(text: &str, path: &Path) -> Result<Checked, Report> {
    let mut problems = Vec::new();
    let document = Document::parse(text, &mut problems);
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let value = document.value(&folder, &mut problems);
    let mut holes = Vec::new();
    let mut config: Option<Config> = read::read(value, &Key::default(), &mut problems, &mut holes);
    let mut configured = Vec::new();
    let mut warnings = Vec::new();
    if let Some(config) = &mut config {
        configured = adapters::read_all(&config.adapter, &mut problems, &mut holes);
        check::check(config, &configured, &folder, &mut problems, &mut warnings);
    }
    let in_hole = |problem: &Problem| !problem.syntax && holes.iter().any(|hole| problem.key.is_within(hole));
    problems.retain(|problem| !in_hole(problem));
    warnings.retain(|problem| !in_hole(problem));
    for problem in problems.iter_mut().chain(&mut warnings) {
        document.locate(problem);
    }
    problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
    warnings.sort_by_key(|problem| problem.line);
    match config {
        Some(config) if problems.is_empty() => Ok(Checked { config, adapters: configured, warnings }),
        Some(_) | None => Err(Report { file: path.to_owned(), problems, warnings }),
    }
}
