//! The table `[adapter.NAME]` with `type = "external"`.

use crate::mapping::{read_capabilities, write_capabilities};
use adapter_api::model::Domain;
use adapter_api::{AdapterError, Capabilities, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use transport::tls::{TlsFileError, TlsSettings, Trust};
use transport::{ListenAddr, Tls, Transport};

/// An adapter in another process, which connects to a Unix socket of the gateway, or from elsewhere over mutual TLS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The Unix socket to listen on; it is made anew at each start, for the gateway's own user alone. Either this or `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"run/irc.sock")]
    pub socket_file: Option<PathBuf>,
    /// Where an adapter on another machine connects, over mutual TLS alone: the gateway shows a certificate of `[tls]`, the
    /// adapter one that proves `client_name`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"tls:192.0.2.1:7443")]
    pub listen: Option<ListenAddr>,
    /// With `listen`: the authorities, in PEM, that issue certificates for this adapter; nobody else's count here, those of
    /// `[tls] trust` neither. A change counts from the next connection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"adapters-ca.pem")]
    pub client_authority_file: Option<PathBuf>,
    /// With `listen`: the name (`dNSName`) that the adapter's certificate must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"irc.adapters.example")]
    pub client_name: Option<Domain>,
    /// What the adapter can carry, as JSON; the adapter writes it. What it says when it connects must be the same.
    #[schemars(example = &"irc.capabilities.json")]
    pub capabilities_file: PathBuf,
    /// The domains that it may serve and speak for.
    #[schemars(with = "Vec<String>", example = &["irc.example"])]
    pub domains: Vec<Domain>,
    /// The program to start and keep running, with its arguments; it finds the socket in `INTERLINGUA_SOCKET` and its name in
    /// `INTERLINGUA_INSTANCE`. Only with `socket_file`. Default: none, the adapter is started by somebody else.
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

/// Where an adapter connects: [`Config`] without its contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// A Unix socket.
    Socket(PathBuf),
    /// TCP, for whoever proves a name under the authorities of a file.
    Tls(SocketAddr, PathBuf, Domain),
}

/// `sun_path` of Linux holds 108 octets with the NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Shorter ones cut healthy adapters on a busy machine.
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

impl Config {
    /// Everything that is wrong in it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(problem) = self.door() {
            problems.push(problem);
        }
        let mut add = |key: &str, value: String, problem: String, remedy: &str| {
            problems.push(Problem { key: key.to_owned(), value, problem, remedy: remedy.to_owned() });
        };
        let socket_len = self.socket_file.as_ref().map_or(0, |path| path.as_os_str().len());
        if socket_len > MAX_SOCKET_PATH {
            let value = self.socket_file.iter().map(|path| path.display().to_string()).collect();
            let problem = format!("longer than {MAX_SOCKET_PATH} octets");
            add("socket_file", value, problem, "choose a shorter path");
        }
        if let Some(Err(error)) = self.client_authority_file.as_deref().map(read_authorities) {
            let value = self.client_authority_file.iter().map(|path| path.display().to_string()).collect();
            let problem = error.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            add("client_authority_file", value, problem, "give the certificates of the authorities in PEM");
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

    /// Where the adapter connects, or what contradicts itself there.
    pub(crate) fn door(&self) -> Result<Door, Problem> {
        let problem = |key: &str, value: String, problem: &str, remedy: &str| {
            Err(Problem { key: key.to_owned(), value, problem: problem.to_owned(), remedy: remedy.to_owned() })
        };
        let listen = match (&self.socket_file, self.listen) {
            (Some(_), Some(listen)) => {
                let remedy = "keep socket_file for an adapter on this machine, listen for one elsewhere";
                return problem("listen", listen.to_string(), "beside socket_file", remedy);
            }
            (None, None) => {
                return problem(
                    "socket_file",
                    String::new(),
                    "missing",
                    "name a Unix socket, or write listen = \"tls:...\"",
                );
            }
            (Some(socket), None) if self.client_authority_file.is_none() && self.client_name.is_none() => {
                return Ok(Door::Socket(socket.clone()));
            }
            (Some(_), None) => {
                let key = if self.client_name.is_some() { "client_name" } else { "client_authority_file" };
                return problem(
                    key,
                    String::new(),
                    "no effect on a Unix socket",
                    "write listen instead of socket_file, or take it out",
                );
            }
            (None, Some(listen)) => listen,
        };
        if listen.transport != Transport::Tls {
            let remedy = "write \"tls:ADDRESS:PORT\"; in clear only socket_file is served";
            return problem("listen", listen.to_string(), "adapters connect over mutual TLS alone", remedy);
        }
        if !self.command.is_empty() {
            let remedy = "write socket_file instead of listen, or start the adapter where it runs";
            return problem(
                "command",
                self.command.join(" "),
                "a process that the gateway starts is on this machine",
                remedy,
            );
        }
        match (&self.client_authority_file, &self.client_name) {
            (Some(authority), Some(name)) => Ok(Door::Tls(listen.addr, authority.clone(), name.clone())),
            (None, _) => problem(
                "client_authority_file",
                String::new(),
                "missing",
                "name the authority of the adapter's certificate",
            ),
            (_, None) => {
                problem("client_name", String::new(), "missing", "name what the adapter's certificate must prove")
            }
        }
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

/// The authorities of a file, and no others.
pub(crate) fn read_authorities(file: &Path) -> Result<Tls, Vec<TlsFileError>> {
    let settings = TlsSettings { trust: vec![Trust::File(file.to_owned())], ..TlsSettings::default() };
    Tls::load(settings, Domain::parse("localhost.invalid").expect("a constant domain is valid"))
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

    #[test]
    fn mutual_tls_is_whole_or_refused() {
        let wrong = |change: serde_json::Value| {
            let mut table = serde_json::json!({ "capabilities_file": "c.json", "domains": ["irc.example"] });
            table.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let config: Config = serde_json::from_value(table).unwrap();
            config.door().map_err(|problem| problem.key)
        };
        let whole = serde_json::json!({ "listen": "tls:127.0.0.1:7443", "client_authority_file": "ca.pem", "client_name": "irc.adapters.example" });
        assert!(matches!(wrong(whole.clone()), Ok(Door::Tls(..))));
        let with = |key: &str, value: serde_json::Value| {
            let mut changed = whole.clone();
            changed[key] = value;
            wrong(changed).unwrap_err()
        };
        assert_eq!(with("listen", "tcp:127.0.0.1:7443".into()), "listen");
        assert_eq!(with("socket_file", "run/s".into()), "listen");
        assert_eq!(with("command", serde_json::json!(["irc"])), "command");
        assert_eq!(with("client_name", serde_json::Value::Null), "client_name");
        assert_eq!(with("client_authority_file", serde_json::Value::Null), "client_authority_file");
        assert_eq!(wrong(serde_json::json!({})).unwrap_err(), "socket_file");
        assert_eq!(
            wrong(serde_json::json!({ "socket_file": "s", "client_name": "a.example" })).unwrap_err(),
            "client_name"
        );
    }
}
