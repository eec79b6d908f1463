//! The table `[adapter.NAME]` with `type = "xmpp-component"`.

use std::fmt;
use std::path::PathBuf;

use adapter_api::{DomainPattern, Problem};
use impp_model::Domain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A component of an existing XMPP server (XEP-0114): the server routes one domain to this gateway, and carries what
/// the gateway sends to any XMPP domain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server takes components, as `127.0.0.1:5347` or `xmpp.example.org:5347`. The protocol has no TLS:
    /// beyond loopback it belongs in a tunnel.
    #[schemars(example = &"127.0.0.1:5347")]
    pub connect: String,
    /// The domain this gateway serves there: all it sends on this link comes from it.
    #[schemars(example = &"sip.example.com")]
    pub domain: String,
    /// The secret shared with the server, for labs; else use `secret_file`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"${OFFICE_SECRET}")]
    pub secret: Option<SecretText>,
    /// A file that holds the secret and nothing else; white space around it is dropped. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"office.secret")]
    pub secret_file: Option<PathBuf>,
    /// The domains whose users the server may speak for: `example.org`, `*.example.org` (all below) or `*` (all).
    /// Local domains of other networks are always excluded. Default: `["*"]`.
    #[serde(default = "everybody")]
    pub vouches_for: Vec<String>,
    /// How a message counts as delivered: `barrier` asks the addressee's server after it, `none` asks nobody, and
    /// messages end as handed over. Default: `barrier`.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// Bounds of this link.
    #[serde(default)]
    pub limits: Limits,
}

/// Who confirms what was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// An IQ that the addressee's server must answer after the messages before it.
    #[default]
    Barrier,
    /// Nobody.
    None,
}

/// Bounds of one link.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of the largest stanza that the server takes; larger messages are refused as too large. At least 10000.
    /// Default: 262144, the usual limit of servers for their users.
    pub max_stanza: usize,
    /// Messages that wait while the link is down or full; further ones are refused. Default: 8192.
    pub max_queue: usize,
    /// Messages from the link whose outcome is not known yet; further ones are refused. Default: 32768.
    pub max_pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_stanza: 262_144, max_queue: 8192, max_pending: 32_768 }
    }
}

/// A secret in the configuration; never shown, neither by `Debug` nor by serialisation.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("...")
    }
}

/// RFC 6120 §13.12: no limit on stanzas is below this.
const MIN_STANZA: usize = 10_000;

fn everybody() -> Vec<String> {
    vec!["*".to_owned()]
}

/// What the adapter runs with: the configuration, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) domain: Domain,
    pub(crate) secret: SecretText,
    pub(crate) vouches_for: Vec<DomainPattern>,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) limits: Limits,
}

impl Config {
    /// Everything that is wrong with these values.
    pub fn problems(&self) -> Vec<Problem> {
        self.settings().err().unwrap_or_default()
    }

    pub(crate) fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let connect = self.host_and_port(&mut problems);
        let domain = Domain::parse_host(&self.domain)
            .map_err(|error| {
                problems.push(problem(
                    "domain",
                    &self.domain,
                    &error.to_string(),
                    "write the domain that the server routes to this component, as \"sip.example.com\"",
                ));
            })
            .ok();
        let secret = self.read_secret(&mut problems);
        let vouches_for = self.patterns(&mut problems);
        self.limits.check(&mut problems);
        match (connect, domain, secret) {
            (Some((host, port)), Some(domain), Some(secret)) if problems.is_empty() => Ok(Settings {
                host,
                port,
                domain,
                secret,
                vouches_for,
                acknowledge: self.acknowledge,
                limits: self.limits.clone(),
            }),
            _ => Err(problems),
        }
    }

    fn host_and_port(&self, problems: &mut Vec<Problem>) -> Option<(String, u16)> {
        let parsed = self.connect.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let host = Domain::parse_host(host).ok()?;
            Some((host.as_str().to_owned(), port))
        });
        if parsed.is_none() {
            let remedy = "write host and port of the server's component listener, as \"127.0.0.1:5347\"";
            problems.push(problem("connect", &self.connect, "not host:port", remedy));
        }
        parsed
    }

    fn read_secret(&self, problems: &mut Vec<Problem>) -> Option<SecretText> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), None) => Ok(secret.0.trim().to_owned()),
            (None, Some(file)) => std::fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(|error| {
                let remedy = "put the secret there, readable by this process alone";
                problem("secret_file", &file.display().to_string(), &error.to_string(), remedy)
            }),
            (Some(_), Some(_)) => Err(problem("secret", "", "given twice", "keep secret_file and remove secret")),
            (None, None) => {
                let remedy = "write secret_file = \"FILE\" with the secret that the server has for this component";
                Err(problem("secret_file", "", "missing", remedy))
            }
        };
        match secret {
            Ok(secret) if secret.is_empty() => {
                let remedy = "choose a long random secret and give it to the server, too";
                problems.push(problem("secret", "", "empty", remedy));
                None
            }
            Ok(secret) => Some(SecretText(secret)),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    fn patterns(&self, problems: &mut Vec<Problem>) -> Vec<DomainPattern> {
        let mut patterns = Vec::new();
        for (number, text) in self.vouches_for.iter().enumerate() {
            match text.parse::<DomainPattern>() {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => {
                    let remedy = "write a domain, \"*.domain\" or \"*\"";
                    problems.push(problem(&format!("vouches_for[{number}]"), text, &error.to_string(), remedy));
                }
            }
        }
        patterns
    }
}

impl Limits {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let Self { max_stanza, max_queue, max_pending } = *self;
        if max_stanza < MIN_STANZA {
            let remedy = "write at least 10000: every server takes stanzas of that size";
            problems.push(problem("limits.max_stanza", &max_stanza.to_string(), "too small", remedy));
        }
        for (key, value) in [("limits.max_queue", max_queue), ("limits.max_pending", max_pending)] {
            if value == 0 {
                problems.push(problem(key, "0", "nothing could pass", "write a positive number, or leave it out"));
            }
        }
    }
}

pub(crate) fn problem(key: &str, value: &str, problem: &str, remedy: &str) -> Problem {
    Problem { key: key.into(), value: value.into(), problem: problem.into(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_documents() {
        let config = config(serde_json::json!({
            "connect": "127.0.0.1:5347", "domain": "SIP.example.com", "secret": "s"
        }));
        let settings = config.settings().unwrap();
        assert_eq!(
            (settings.host.as_str(), settings.port, settings.domain.as_str()),
            ("127.0.0.1", 5347, "sip.example.com")
        );
        assert_eq!((settings.acknowledge, settings.vouches_for), (Acknowledge::Barrier, vec![DomainPattern::Any]));
        assert!(!format!("{config:?}").contains("\"s\""));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let config = config(serde_json::json!({
            "connect": "localhost", "domain": "a b", "vouches_for": ["*.ok.example", "no good"],
            "limits": {"max_stanza": 5, "max_queue": 0}
        }));
        let keys: Vec<_> = config.problems().into_iter().map(|p| p.key).collect();
        let expected = ["connect", "domain", "secret_file", "vouches_for[1]", "limits.max_stanza", "limits.max_queue"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn the_secret_comes_from_one_place() {
        let base = serde_json::json!({"connect": "[::1]:5347", "domain": "a.example", "secret_file": "/nonexistent/x"});
        let mut both = base.clone();
        both["secret"] = "x".into();
        assert_eq!(config(both).problems()[0].problem, "given twice");
        assert_eq!(config(base).problems()[0].key, "secret_file");
    }
}
