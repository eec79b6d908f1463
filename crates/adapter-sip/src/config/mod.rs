//! The table `[adapter.NAME]` with `type = "sip"`.

mod user;

pub use user::{PasswordText, User};

use adapter_api::{Problem, Transport};
use impp_model::Domain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sip_proto::digest::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use user::KnownUser;

/// A SIP/SIMPLE adapter: MESSAGE over UDP, TCP, TLS and WebSocket.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, as `udp:127.0.0.1:5060`, `tcp:127.0.0.1:5060`, `tls:127.0.0.1:5061`, `ws:127.0.0.1:8088` and
    /// `wss:127.0.0.1:8443`. Each UDP address also needs TCP, for what is too large for a datagram; `tls:` and `wss:` need a
    /// certificate in `[tls]`.
    #[schemars(example = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"])]
    pub listen: Vec<String>,
    /// The addresses under which peers reach those of `listen`, in the same form; they stand in Via. Needed when `listen`
    /// has a wildcard address or lies behind address translation. Default: `listen` itself.
    #[serde(default)]
    #[schemars(example = ["udp:203.0.113.5:5060", "tcp:203.0.113.5:5060"])]
    pub advertise: Vec<String>,
    /// What becomes of a request beyond 1300 octets whose next hop is reached over UDP: `"tcp"` sends it over TCP to the
    /// same hop, `"refuse"` tells the sender that it is too large. Default: "tcp".
    #[serde(default)]
    pub large_messages: LargeMessages,
    /// Whether messages whose senders want receipts go out as message/cpim, which asks for them (RFC 5438): `"auto"` does so
    /// until a peer answers 415, `"never"` sends plain text and carries no receipts. Default: "auto".
    #[serde(default)]
    pub receipts: Wrapping,
    /// Octets of the largest body accepted in a MESSAGE; more is answered with 413. Default: 65536.
    #[serde(default = "default_max_message")]
    pub max_message: usize,
    /// Subscriptions to presence.
    #[serde(default)]
    pub presence: Presence,
    /// The realm in challenges to users of this instance. Default: `gateway.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sip.example.com")]
    pub realm: Option<String>,
    /// The digest algorithms that challenges offer: `"sha-512-256"`, `"sha-256"`, `"md5"`. The strongest comes first. MD5 is
    /// obsolete: an attacker in the middle makes a client that knows it use it. Default: ["sha-256"].
    #[serde(default = "default_digest")]
    pub digest: Vec<DigestAlgorithm>,
    /// Who may prove himself with a password instead of a certificate or a trusted address; a reload takes over who is listed,
    /// and what stands in the files.
    #[serde(default)]
    pub user: Vec<User>,
    /// The web pages that may open a WebSocket, as `https://chat.example.com`; empty for all.
    #[serde(default)]
    #[schemars(example = ["https://chat.example.com"])]
    pub origins: Vec<String>,
    /// Bounds of what peers can make this gateway keep.
    #[serde(default)]
    pub limits: Limits,
}

/// Subscriptions to presence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    /// How long changes are gathered before a watcher is notified again; the last state always arrives. Default: "5s".
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub notify_interval: Duration,
    /// The shortest subscription that is taken; a shorter one is answered with 423, one of an hour or more never.
    /// Default: "60s".
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub min_expires: Duration,
    /// The longest subscription; what asks for more gets this. Default: "24h".
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub max_expires: Duration,
    /// Dialogs kept, those of watchers and of presentities together; further subscriptions are answered with 503.
    /// Default: 262144.
    pub dialogs: usize,
    /// Dialogs of one watcher, on all of his devices: four with a thousand contacts each. What is beyond is answered with 500.
    /// Default: 4096.
    pub dialogs_per_watcher: usize,
    /// Domains of this network whose users publish their presence here (PUBLISH): for them this gateway is the presence
    /// agent, and asks no next hop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", example = ["sip.example.com"])]
    pub agent: Vec<Domain>,
    /// Who may watch the users of `agent`: `"contacts"`, those whom the user watches or has watched himself, others wait until he
    /// does; `"everyone"` whom `[policy]` admits. Default: "contacts".
    pub agent_approval: Approval,
}

/// How a user who has a presence agent, but no word of his own for it, approves watchers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// By subscribing to them.
    #[default]
    Contacts,
    /// He need not.
    Everyone,
}

impl Default for Presence {
    fn default() -> Self {
        // RFC 3856 §6.10: no more than one notification in five seconds.
        Self {
            notify_interval: Duration::from_secs(5),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(24 * 3600),
            dialogs: 262_144,
            dialogs_per_watcher: 4_096,
            agent: Vec::new(),
            agent_approval: Approval::default(),
        }
    }
}

/// What becomes of a request that is too large for UDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LargeMessages {
    /// It goes over TCP.
    #[default]
    Tcp,
    /// Its sender is told that it is too large.
    Refuse,
}

/// Whether messages go out as message/cpim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wrapping {
    /// Those that want receipts, to peers that take it.
    #[default]
    Auto,
    /// None.
    Never,
}

/// A hash function for digest (RFC 8760 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DigestAlgorithm {
    /// SHA-512 cut to 256 bits.
    #[serde(rename = "sha-512-256")]
    Sha512Of256,
    /// SHA-256.
    #[serde(rename = "sha-256")]
    Sha256,
    /// MD5.
    Md5,
}

impl From<DigestAlgorithm> for Hash {
    fn from(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Sha512Of256 => Self::Sha512Of256,
            DigestAlgorithm::Sha256 => Self::Sha256,
            DigestAlgorithm::Md5 => Self::Md5,
        }
    }
}

fn default_digest() -> Vec<DigestAlgorithm> {
    vec![DigestAlgorithm::Sha256]
}

/// Bounds of what peers can make this gateway keep.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests under way in each direction; more are answered with 503. Default: 262144.
    pub transactions: usize,
    /// Requests that came over UDP and are answered: each is kept for retransmissions, 32 to 36 s, so this bears a 36th part of
    /// it each second. Beyond it, or where their answers take 384 octets for each, new ones are answered with 503. Default: 1310720.
    pub answered: usize,
    /// Messages that wait to be sent, all peers together; more are refused. Default: 8192.
    pub queue: usize,
    /// Messages that wait for the answer to an earlier one to the same URI. Default: 100.
    pub queue_per_uri: usize,
    /// Connections, both ways together; further ones are closed at once. Default: 4096.
    pub connections: usize,
    /// Connections that are accepted from one address, or one /64 of IPv6; further ones are closed at once. Default: 512.
    pub connections_per_address: usize,
    /// A connection without traffic for so long is closed. Default: "10m".
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions: sip_proto::transaction::MAX_TRANSACTIONS,
            answered: sip_proto::transaction::MAX_ANSWERED,
            queue: 8192,
            queue_per_uri: 100,
            connections: 4096,
            connections_per_address: 512,
            idle_timeout: Duration::from_secs(600),
        }
    }
}

fn default_max_message() -> usize {
    65_536
}

/// One address of `listen` or `advertise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) transport: Transport,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenError {
    /// No known transport in front.
    Form,
    /// No address with a port.
    Address,
}

impl Listen {
    /// Whether it is for datagrams.
    pub(crate) fn is_udp(&self) -> bool {
        self.transport == Transport::Udp
    }

    /// Parses `udp:192.0.2.1:5060`; `advertise` also allows a host name.
    pub(crate) fn parse(text: &str) -> Result<Self, ListenError> {
        let (transport, rest) = text.split_once(':').ok_or(ListenError::Form)?;
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "ws" => Transport::Ws,
            "tls" => Transport::Tls,
            "wss" => Transport::Wss,
            _ => return Err(ListenError::Form),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(ListenError::Address)?;
        let port = port.parse().map_err(|_| ListenError::Address)?;
        let host = Domain::parse_host(host).map_err(|_| ListenError::Address)?;
        Ok(Self { transport, host: host.as_str().to_owned(), port })
    }

    /// The address, when the host is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let host = self.host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(&self.host);
        host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl Config {
    /// The addresses to listen on; what is wrong in them is left to [`problems`](Self::problems).
    pub(crate) fn listens(&self) -> Vec<Listen> {
        self.listen.iter().filter_map(|text| Listen::parse(text).ok()).collect()
    }

    /// The addresses to put into Via.
    pub(crate) fn advertised(&self) -> Vec<Listen> {
        self.advertise.iter().filter_map(|text| Listen::parse(text).ok()).collect()
    }

    /// Everything that is wrong in this table.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.listen.is_empty() {
            problems.push(problem(
                "listen",
                "",
                "no address to listen on",
                "listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]",
            ));
        }
        for (key, list) in [("listen", &self.listen), ("advertise", &self.advertise)] {
            for (index, text) in list.iter().enumerate() {
                if let Err(error) = Listen::parse(text) {
                    problems.push(listen_problem(&format!("{key}[{index}]"), text, error));
                }
            }
        }
        self.check_listens(&mut problems);
        self.check_users(&mut problems);
        self.check_sizes(&mut problems);
        problems
    }

    fn check_listens(&self, problems: &mut Vec<Problem>) {
        let (listens, advertised) = (self.listens(), self.advertised());
        for (index, (text, listen)) in
            self.listen.iter().zip(self.listen.iter().map(|text| Listen::parse(text))).enumerate()
        {
            let (key, Ok(listen)) = (format!("listen[{index}]"), listen) else { continue };
            let Some(address) = listen.address() else {
                problems.push(problem(
                    &key,
                    text,
                    "a host name can't be listened on",
                    "write the address of an interface",
                ));
                continue;
            };
            let covered = advertised.iter().any(|other| other.transport == listen.transport);
            if address.ip().is_unspecified() && !covered {
                let remedy = "name the address that peers see in advertise, with the same transport";
                problems.push(problem(&key, text, "a wildcard address can't stand in Via", remedy));
            }
            // RFC 3261 §18.2.1: what listens on UDP listens on TCP, too.
            let twin = |other: &Listen| {
                other.transport == Transport::Tcp && other.port == listen.port && other.host == listen.host
            };
            if listen.transport == Transport::Udp && !listens.iter().any(twin) {
                let remedy = format!("add \"tcp:{}:{}\"", listen.host, listen.port);
                problems.push(problem(&key, text, "UDP without TCP on the same port (RFC 3261 §18.2.1)", &remedy));
            }
        }
    }

    fn check_users(&self, problems: &mut Vec<Problem>) {
        if self.digest.is_empty() && !self.user.is_empty() {
            problems.push(problem("digest", "[]", "no user could answer", "digest = [\"sha-256\"], or leave it out"));
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, user) in self.users().enumerate() {
            match user {
                Ok(known) if !names.insert(known.username.clone()) => {
                    let remedy = "give each a username of its own";
                    let key = format!("user[{index}].username");
                    problems.push(problem(&key, &known.username, "another user has the same name", remedy));
                }
                Ok(_) => {}
                Err(found) => problems.push(found),
            }
        }
    }

    /// The users, or what is wrong with their tables; reads the files of their passwords.
    pub(crate) fn users(&self) -> impl Iterator<Item = Result<KnownUser, Problem>> {
        self.user.iter().enumerate().map(|(index, user)| {
            user.read().map_err(|found| Problem { key: format!("user[{index}].{}", found.key), ..found })
        })
    }

    /// The hash functions that challenges offer.
    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.digest.iter().map(|algorithm| Hash::from(*algorithm)).collect()
    }

    fn check_sizes(&self, problems: &mut Vec<Problem>) {
        let largest = sip_proto::limits::MAX_BODY;
        if self.max_message == 0 || self.max_message > largest {
            let remedy = format!("a number from 1 to {largest}");
            problems.push(problem("max_message", &self.max_message.to_string(), "out of range", &remedy));
        }
        let limits = &self.limits;
        let counts = [
            ("limits.transactions", limits.transactions),
            ("limits.answered", limits.answered),
            ("limits.queue", limits.queue),
            ("limits.queue_per_uri", limits.queue_per_uri),
            ("limits.connections", limits.connections),
            ("limits.connections_per_address", limits.connections_per_address),
        ];
        for (key, count) in counts {
            if count == 0 {
                problems.push(problem(key, "0", "nothing would be let through", "a positive number, or leave it out"));
            }
        }
        if limits.idle_timeout < MIN_IDLE {
            let value = adapter_api::duration::format(limits.idle_timeout);
            problems.push(problem(
                "limits.idle_timeout",
                &value,
                "connections would close between request and answer",
                "at least \"32s\"",
            ));
        }
    }
}

/// RFC 3261 §17.1.2.2, Timer F: shorter, and answers would find their connection closed.
const MIN_IDLE: Duration = Duration::from_secs(32);

fn listen_problem(key: &str, text: &str, error: ListenError) -> Problem {
    match error {
        ListenError::Form => problem(
            key,
            text,
            "not of the form TRANSPORT:ADDRESS:PORT",
            "write udp:, tcp:, tls:, ws: or wss: in front, as \"udp:127.0.0.1:5060\"",
        ),
        ListenError::Address => {
            problem(key, text, "no address with a port", "as \"udp:192.0.2.1:5060\" or \"tcp:[2001:db8::1]:5060\"")
        }
    }
}

fn problem(key: &str, value: &str, problem: &str, remedy: &str) -> Problem {
    Problem { key: key.to_owned(), value: value.to_owned(), problem: problem.to_owned(), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str]) -> Config {
        serde_json::from_value(serde_json::json!({ "listen": listen })).unwrap()
    }

    fn keys(config: &Config) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_are_sound() {
        let config = config(&["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "tcp:[::1]:5060"]);
        assert_eq!(config.problems(), []);
        assert_eq!((config.large_messages, config.max_message), (LargeMessages::Tcp, 65_536));
        assert!(serde_json::from_str::<Config>(r#"{"listen":[],"lsiten":1}"#).is_err());
    }

    // checks: SIP-018
    #[test]
    fn rfc3261_s18_2_1_udp_needs_tcp() {
        assert_eq!(keys(&config(&["udp:127.0.0.1:5060", "tcp:127.0.0.1:5061"])), ["listen[0]"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut config =
            config(&["sctp:127.0.0.1:5061", "5060", "udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "tcp:a.example:5060"]);
        config.max_message = 0;
        config.limits.queue = 0;
        config.limits.idle_timeout = Duration::from_secs(1);
        assert_eq!(
            keys(&config),
            [
                "listen[0]",
                "listen[1]",
                "listen[2]",
                "listen[3]",
                "listen[4]",
                "max_message",
                "limits.queue",
                "limits.idle_timeout"
            ]
        );
        config.advertise = vec!["udp:gw.example.net:5060".into(), "tcp:gw.example.net:5060".into()];
        assert_eq!(keys(&config)[2..4], ["listen[4]", "max_message"]);
    }

    #[test]
    fn every_transport_of_the_contract_is_known() {
        let config = config(&["tls:127.0.0.1:5061", "ws:127.0.0.1:80", "wss:[::1]:443", "tcp:127.0.0.1:5060"]);
        assert_eq!(config.problems(), []);
    }

    // checks: DIG-009
    #[test]
    fn md5_is_off_by_default_and_names_are_unique() {
        let mut config = config(&["tcp:127.0.0.1:5060"]);
        assert_eq!(config.hashes(), [Hash::Sha256]);
        let user = serde_json::json!({ "address": "a@b.example", "password": "s" });
        config.user = vec![serde_json::from_value(user).unwrap(); 2];
        config.digest.clear();
        assert_eq!(keys(&config), ["digest", "user[1].username"]);
    }
}
