//! The table `[adapter.NAME]` with `type = "external"`.

use crate::mapping::{read_capabilities, write_capabilities};
use adapter_api::model::Domain;
use adapter_api::{AdapterError, Capabilities, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// An adapter in another process, which connects to a Unix socket of the gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Unix socket to listen on; it is made anew at each start, for the gateway's own user alone.
    #[schemars(example = &"run/irc.sock")]
    pub socket_file: PathBuf,
    /// What the adapter can carry, as JSON; the adapter writes it. What it says when it connects must be the same.
    #[schemars(example = &"irc.capabilities.json")]
    pub capabilities_file: PathBuf,
    /// The domains that it may serve and speak for.
    #[schemars(with = "Vec<String>", example = &["irc.example"])]
    pub domains: Vec<Domain>,
    /// The program to start and keep running, with its arguments; it finds the socket in `INTERLINGUA_SOCKET` and its name in
    /// `INTERLINGUA_INSTANCE`. Default: none, the adapter is started by somebody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = &["python3", "irc.py"])]
    pub command: Vec<String>,
    /// How long a session waits for its adapter after a broken connection; then what is under way is unconfirmed. Default: "10s".
    #[serde(default = "default_resume", with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub resume_within: Duration,
    /// How often each side shows that it lives; three times as long in silence is death. Default: "5s".
    #[serde(default = "default_heartbeat", with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub heartbeat: Duration,
}

fn default_resume() -> Duration {
    Duration::from_secs(10)
}

fn default_heartbeat() -> Duration {
    Duration::from_secs(5)
}

/// `sun_path` of Linux holds 108 octets with the NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Shorter ones cut healthy adapters on a busy machine.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

impl Config {
    /// Everything that is wrong in it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |key: &str, value: String, problem: String, remedy: &str| {
            problems.push(Problem { key: key.to_owned(), value, problem, remedy: remedy.to_owned() });
        };
        if self.socket_file.as_os_str().len() > MAX_SOCKET_PATH {
            let problem = format!("longer than {MAX_SOCKET_PATH} octets");
            add("socket_file", self.socket_file.display().to_string(), problem, "choose a shorter path");
        }
        if self.domains.is_empty() {
            add("domains", String::new(), "no domain".to_owned(), "name the domains that the adapter serves");
        }
        if self.heartbeat < MIN_HEARTBEAT {
            let value = adapter_api::duration::format(self.heartbeat);
            add("heartbeat", value, format!("less than {MIN_HEARTBEAT:?}"), "write \"5s\"");
        }
        if self.command.first().is_some_and(String::is_empty) {
            add("command", String::new(), "no program".to_owned(), "name the program first");
        }
        if let Err(problem) = self.read_capabilities() {
            let value = self.capabilities_file.display().to_string();
            add("capabilities_file", value, problem, "let the adapter write the file anew");
        }
        problems
    }

    /// What the file says, in the form that an external adapter can have.
    pub(crate) fn capabilities(&self) -> Result<Capabilities, AdapterError> {
        self.read_capabilities()
            .map_err(|problem| AdapterError::Config { key: "capabilities_file".to_owned(), problem })
    }

    fn read_capabilities(&self) -> Result<Capabilities, String> {
        let text = std::fs::read_to_string(&self.capabilities_file).map_err(|error| error.to_string())?;
        let said: Capabilities = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        read_capabilities(write_capabilities(&said)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_found_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.json");
        std::fs::write(&file, "{}").unwrap();
        let table = serde_json::json!({ "socket_file": "s".repeat(108), "capabilities_file": file, "domains": [],
            "command": [""], "heartbeat": "1ms" });
        let config: Config = serde_json::from_value(table).unwrap();
        let problems = config.problems();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["socket_file", "domains", "heartbeat", "command", "capabilities_file"]);
        assert!(problems.iter().any(|problem| problem.problem.contains("missing field")), "{problems:?}");
        assert!(matches!(config.capabilities(), Err(AdapterError::Config { key, .. }) if key == "capabilities_file"));
    }
}
