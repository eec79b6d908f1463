//! The table `[adapter.NAME]` with `type = "xmpp"`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use adapter_api::{Acknowledgement, Problem};
use impp_model::Domain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use transport::{ListenAddr, Transport};
use xmpp_proto::jid;
use xmpp_proto::server::PeerPolicy;

use crate::config::{Acknowledge, Limits, SecretText, problem};

/// Server-to-server XMPP (RFC 6120): this gateway is the server of its local domains of other networks, and reaches every
/// XMPP domain by what its DNS says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where other servers connect: `tcp:` for streams that begin in clear and go on with STARTTLS, `tls:` for TLS from the
    /// first octet (XEP-0368). Empty: streams go out only, and no dialback key of ours is confirmed.
    #[serde(default = "usual_listeners")]
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<ListenAddr>,
    /// Whether nothing goes over a stream without TLS. `false` is for closed labs.
    #[serde(default = "yes")]
    pub require_tls: bool,
    /// Whether a server whose certificate does not prove its domain may be proven by dialback (XEP-0220): no better than the
    /// name system. `false` demands a valid certificate of every peer.
    #[serde(default = "yes")]
    pub dialback: bool,
    /// Whether one stream may be used both ways (XEP-0288).
    #[serde(default = "yes")]
    pub bidi: bool,
    /// Whether further domains here are added to a stream that dialback has opened, instead of a stream for each (XEP-0220 §2.6).
    /// Prosody 0.12 answers such domains over the wrong stream.
    #[serde(default)]
    pub multiplex: bool,
    /// Whether stanzas are acknowledged and streams resumed where the peer does so, too (XEP-0198).
    #[serde(default = "yes")]
    pub stream_management: bool,
    /// A file with the secret that dialback keys are made of, where several gateways serve the same domains. Default: a random
    /// secret for each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"dialback.secret")]
    pub dialback_secret_file: Option<PathBuf>,
    /// How messages to servers without stream management count as delivered: `barrier` asks the addressee's server after them,
    /// `none` asks nobody, and messages end as handed over.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// What holds for single peers.
    #[serde(default)]
    pub peer: Vec<PeerTable>,
    /// Bounds of one stream.
    #[serde(default)]
    pub limits: Limits,
}

/// What holds for one peer, where it differs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerTable {
    /// The peer's domain. Required.
    #[schemars(with = "String", example = &"example.org")]
    pub domain: Domain,
    /// As `require_tls` above. Default: that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = true)]
    pub require_tls: Option<bool>,
    /// As `dialback` above. Default: that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = false)]
    pub dialback: Option<bool>,
    /// As `acknowledge` above. Default: that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"none")]
    pub acknowledge: Option<Acknowledge>,
}

fn yes() -> bool {
    true
}

/// RFC 6120 §14.7, on every address of IPv4.
fn usual_listeners() -> Vec<ListenAddr> {
    vec![ListenAddr { transport: Transport::Tcp, addr: ([0, 0, 0, 0], 5269).into() }]
}

/// What the adapter runs with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<ListenAddr>,
    pub(crate) policy: PeerPolicy,
    pub(crate) peers: BTreeMap<jid::Domain, PeerPolicy>,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) acknowledge_of: BTreeMap<jid::Domain, Acknowledge>,
    pub(crate) bidi: bool,
    pub(crate) multiplex: bool,
    pub(crate) stream_management: bool,
    pub(crate) secret: Option<Arc<SecretText>>,
    pub(crate) limits: Limits,
}

impl Config {
    /// Everything that is wrong with these values.
    pub fn problems(&self) -> Vec<Problem> {
        self.settings().err().unwrap_or_default()
    }

    pub(crate) fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        self.check_listeners(&mut problems);
        self.limits.check(&mut problems);
        let secret = self.read_secret(&mut problems);
        let (mut peers, mut acknowledge_of) = (BTreeMap::new(), BTreeMap::new());
        for (number, peer) in self.peer.iter().enumerate() {
            let Ok(domain) = jid::Domain::parse(&peer.domain.to_unicode()) else { continue };
            let policy = PeerPolicy {
                require_tls: peer.require_tls.unwrap_or(self.require_tls),
                dialback: peer.dialback.unwrap_or(self.dialback),
            };
            acknowledge_of.extend(peer.acknowledge.map(|acknowledge| (domain.clone(), acknowledge)));
            if peers.insert(domain, policy).is_some() {
                let key = format!("peer[{number}].domain");
                problems.push(problem(&key, peer.domain.as_str(), "listed twice", "remove one of the two tables"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Settings {
            listen: self.listen.clone(),
            policy: PeerPolicy { require_tls: self.require_tls, dialback: self.dialback },
            peers,
            acknowledge: self.acknowledge,
            acknowledge_of,
            bidi: self.bidi,
            multiplex: self.multiplex,
            stream_management: self.stream_management,
            secret: secret.map(Arc::new),
            limits: self.limits.clone(),
        })
    }

    fn check_listeners(&self, problems: &mut Vec<Problem>) {
        for (number, listen) in self.listen.iter().enumerate() {
            if !matches!(listen.transport, Transport::Tcp | Transport::Tls) {
                let remedy = "write tcp: (STARTTLS) or tls: (TLS from the start)";
                let key = format!("listen[{number}]");
                problems.push(problem(&key, &listen.to_string(), "not a transport of XMPP", remedy));
            }
        }
    }

    fn read_secret(&self, problems: &mut Vec<Problem>) -> Option<SecretText> {
        let file = self.dialback_secret_file.as_ref()?;
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => {
                let remedy = "write a long random secret into it, as from `openssl rand -hex 32`";
                problems.push(problem("dialback_secret_file", "", "empty", remedy));
                None
            }
            Ok(text) => Some(SecretText::from(text.trim())),
            Err(error) => {
                let remedy = "put the secret there, readable by this process alone";
                let file = file.display().to_string();
                problems.push(problem("dialback_secret_file", &file, &error.to_string(), remedy));
                None
            }
        }
    }
}

impl Settings {
    /// How what goes to `domain` is confirmed.
    pub(crate) fn acknowledge(&self, domain: &jid::Domain) -> Acknowledge {
        self.acknowledge_of.get(domain).copied().unwrap_or(self.acknowledge)
    }

    /// The same of the peers that have a table of their own, for the hub.
    pub(crate) fn acknowledgement_of(&self) -> BTreeMap<Domain, Acknowledgement> {
        let named = |(domain, acknowledge): (&jid::Domain, &Acknowledge)| {
            Some((Domain::parse_host(domain.as_str()).ok()?, (*acknowledge).into()))
        };
        self.acknowledge_of.iter().filter_map(named).collect()
    }

    /// What is demanded of `domain`.
    pub(crate) fn policy(&self, domain: &jid::Domain) -> PeerPolicy {
        self.peers.get(domain).copied().unwrap_or(self.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn defaults_demand_tls_and_allow_dialback() {
        let settings = config(serde_json::json!({})).settings().unwrap();
        assert_eq!(settings.policy, PeerPolicy { require_tls: true, dialback: true });
        assert_eq!(settings.listen.len(), 1);
        assert!(settings.bidi && settings.stream_management && settings.secret.is_none());
    }

    #[test]
    fn a_peer_has_a_policy_of_its_own() {
        let settings = config(serde_json::json!({"peer": [{"domain": "Lab.example", "dialback": false}]})).settings();
        let settings = settings.unwrap();
        let domain = |name| jid::Domain::parse(name).unwrap();
        assert_eq!(settings.policy(&domain("lab.example")), PeerPolicy { require_tls: true, dialback: false });
        assert_eq!(settings.policy(&domain("other.example")), PeerPolicy { require_tls: true, dialback: true });
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let config = config(serde_json::json!({
            "listen": ["udp:127.0.0.1:5269"], "dialback_secret_file": "/nonexistent/x", "limits": {"max_stanza": 5},
            "peer": [{"domain": "a.example"}, {"domain": "A.example"}]
        }));
        let keys: Vec<_> = config.problems().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["listen[0]", "limits.max_stanza", "dialback_secret_file", "peer[1].domain"]);
    }
}
