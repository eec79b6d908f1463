//! The tables of which there is one each.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use impp_model::domain::Domain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use transport::tls::{CertificateFiles, TlsSettings, Trust};

use super::domains::PolicyRule;

/// This gateway itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The FQDN of this gateway, as it stands in Via headers, stream ids and logs. Required.
    #[schemars(with = "String", example = &"gw.example.net")]
    pub name: Domain,
    /// The folder of the embedded store, for what could not be delivered at once. Without one such messages are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"var/interlingua")]
    pub data_dir: Option<PathBuf>,
    /// The file with the key that what is stored is encrypted with, the archive's spool too: 32 random octets, as they are, as
    /// 64 hexadecimal digits or in base64. Without one it stands in the folder as it is. A store keeps the key, or the lack of
    /// one, that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"data.key")]
    pub data_key_file: Option<PathBuf>,
    /// Threads that serve the networks; the store has its own. Default: one for every two processors, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &4)]
    pub threads: Option<NonZeroUsize>,
    /// Bounds of what is stored.
    #[serde(default)]
    pub limits: StoreLimits,
}

impl Gateway {
    /// How many threads serve the networks: two that wake each other cost more than one that is busy.
    pub fn threads(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(|| processors().div_ceil(2), NonZeroUsize::get)
    }
}

/// Bounds of what is stored; what is beyond them is refused, and its sender may try again later.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreLimits {
    /// Messages that wait. Some 300 octets of memory each. Those for one next hop never take more than there is left for all
    /// others, so at most half.
    pub messages: usize,
    /// Octets of messages that wait, with some 500 for each beside its own.
    pub octets: u64,
    /// Octets that stay free on the disk, for ending what is stored already.
    pub disk_reserve: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        let store::Limits { records, octets, .. } = store::Limits::default();
        Self { messages: records, octets, disk_reserve: store::DISK_RESERVE }
    }
}

/// The admin API, metrics and health checks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where HTTP is served: the API at /api/v1, and /metrics, /healthz, /readyz. An address and port, or a socket file as
    /// `unix:/run/interlingua/admin.sock`; who may open that file, its owner and its group, may do everything.
    #[schemars(with = "String")]
    pub listen: AdminListen,
    /// The file with the bearer token that requests must carry and that gives all rights. Required unless `listen` is a
    /// loopback address or a socket file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"admin.token")]
    pub token_file: Option<PathBuf>,
    /// The file with a second token, for screens and scrapers: it changes nothing and is shown no user's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"admin-read.token")]
    pub read_token_file: Option<PathBuf>,
    /// A file that each change made through the API, a signal or the command line is appended to: who, what, result, as
    /// one JSON object a line. They stand in the log, too, under the target `audit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/log/interlingua/audit.log")]
    pub audit_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        let listen = AdminListen::Network(SocketAddr::from(([127, 0, 0, 1], 8080)));
        Self { listen, token_file: None, read_token_file: None, audit_file: None }
    }
}

/// Where the admin API is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AdminListen {
    /// An address and port.
    Network(SocketAddr),
    /// A socket file.
    Socket(PathBuf),
}

impl AdminListen {
    const SCHEME: &str = "unix:";

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Network(address) => address.ip().is_loopback(),
            Self::Socket(_) => true,
        }
    }
}

impl TryFrom<String> for AdminListen {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const REMEDY: &str = "neither address nor socket file; write \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/run/interlingua/admin.sock\"";
        match text.strip_prefix(Self::SCHEME) {
            Some(path) if path.starts_with('/') => Ok(Self::Socket(path.into())),
            Some(_) => Err(REMEDY),
            None => text.parse().map(Self::Network).map_err(|_| REMEDY),
        }
    }
}

impl From<AdminListen> for String {
    fn from(listen: AdminListen) -> Self {
        listen.to_string()
    }
}

impl std::fmt::Display for AdminListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "{}{}", Self::SCHEME, path.display()),
        }
    }
}

/// What is logged, and how; logs go to standard error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as `info,adapter_sip=debug`; RUST_LOG wins over it.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Name service.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// The name servers to ask, as address and port. Empty: those of the system.
    #[schemars(with = "Vec<String>", example = ["127.0.0.1:5353"])]
    pub nameservers: Vec<SocketAddr>,
    /// Answer from this master file (RFC 1035 §5) instead of the network: for labs and for trying out changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"lab.zone")]
    pub zone_file: Option<PathBuf>,
    /// Whether records that are signed (DNSSEC) may vouch for the certificates of XMPP and SIP servers (DANE, RFC 7673). The gateway
    /// checks the signatures itself; the name servers must hand them through. A wrong signature, or other certificates than those
    /// vouched for, and nothing is sent.
    pub dnssec: bool,
    /// The keys that signatures begin with, as DNSKEY records in a master file. Default: those of the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"anchors.key")]
    pub trust_anchor_file: Option<PathBuf>,
}

/// Certificates, for every protocol that uses TLS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whose signatures on peers' certificates count: `system` for the authorities of the operating system, or a file of
    /// certificates in PEM, relative to the folder of the configuration file.
    pub trust: Vec<String>,
    /// The certificates of this gateway. A peer is shown the one whose names contain the domain that it asks for, or on whose
    /// behalf it is connected to; else that of `gateway.name`, else the first. Changed files are loaded within seconds.
    pub certificates: Vec<Certificate>,
    /// One more certificate, ordered from an authority and ordered again in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { trust: vec![Self::SYSTEM.to_owned()], certificates: Vec::new(), acme: None }
    }
}

/// A certificate that is ordered by ACME (RFC 8555). The authority's own server is judged by `trust`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The authority's directory. Required.
    #[schemars(example = &"https://acme-v02.api.letsencrypt.org/directory")]
    pub directory: String,
    /// Whether you agree to the authority's terms of service; without that nothing is ordered.
    #[serde(default)]
    pub agree_to_terms: bool,
    /// Where the authority may write to.
    #[serde(default)]
    #[schemars(example = ["mailto:admin@example.net"])]
    pub contact: Vec<String>,
    /// The names in the certificate: `gateway.name`, and the domains that are to be proven to others. Required.
    #[schemars(with = "Vec<String>", example = ["gw.example.net", "sip.example.com"])]
    pub domains: Vec<Domain>,
    /// How control of the names is shown: by a page at port 80, or in a handshake at port 443.
    #[serde(default)]
    pub challenge: AcmeChallenge,
    /// Where the authority's questions are answered while an order is under way. Default: port 80 or 443 of every IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"0.0.0.0:80")]
    pub listen: Option<SocketAddr>,
    /// Where account and certificate are kept; relative to the folder of the configuration file. Required.
    #[schemars(example = &"acme")]
    pub folder: PathBuf,
    /// For authorities that want an account of theirs named: what they gave you for it (RFC 8555 §7.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
}

/// The account at an authority that its ACME account belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The key identifier. Required.
    #[schemars(example = &"kid-1")]
    pub key_id: String,
    /// The HMAC key as the authority gives it, in base64url. Required.
    #[schemars(example = &"acme.hmac")]
    pub key_file: PathBuf,
}

#[cfg(feature = "acme")]
impl ExternalAccount {
    /// As the transport wants it.
    pub fn settings(&self) -> transport::acme::ExternalAccount {
        transport::acme::ExternalAccount { key_id: self.key_id.clone(), key_file: self.key_file.clone() }
    }
}

/// How control of a name is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AcmeChallenge {
    /// A page at port 80 (RFC 8555 §8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A handshake at port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl AcmeChallenge {
    /// The port at which authorities ask.
    pub fn port(self) -> u16 {
        match self {
            Self::Http01 => 80,
            Self::TlsAlpn01 => 443,
        }
    }
}

impl Acme {
    /// Where questions are answered.
    pub fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], self.challenge.port())))
    }

    /// The file with the certificate, its chain and its key.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

impl Tls {
    const SYSTEM: &str = "system";

    /// The files, as the transport wants them.
    pub fn settings(&self) -> TlsSettings {
        let trust = |entry: &String| match entry.as_str() {
            Self::SYSTEM => Trust::System,
            file => Trust::File(file.into()),
        };
        let files = |own: &Certificate| CertificateFiles {
            certificate: own.certificate.clone(),
            private_key: own.private_key.clone(),
        };
        TlsSettings {
            certificates: self.certificates.iter().map(files).collect(),
            ordered: self.acme.as_ref().map(Acme::certificate),
            trust: self.trust.iter().map(trust).collect(),
        }
    }

    /// Makes file names relative to `folder` absolute.
    pub(super) fn resolve(&mut self, folder: &Path) {
        for entry in self.trust.iter_mut().filter(|entry| *entry != Self::SYSTEM) {
            *entry = folder.join(&*entry).display().to_string();
        }
        if let Some(acme) = &mut self.acme {
            acme.folder = folder.join(&acme.folder);
        }
        for own in &mut self.certificates {
            own.certificate = folder.join(&own.certificate);
            own.private_key = folder.join(&own.private_key);
        }
    }
}

/// One certificate of this gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate in PEM, the rest of its chain behind it; relative to the folder of the configuration file. Required.
    #[schemars(example = &"gw.pem")]
    pub certificate: PathBuf,
    /// Its private key in PEM. Required.
    #[schemars(example = &"gw.key")]
    pub private_key: PathBuf,
}

/// RFC 3861: how the protocol of an unknown domain is found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// The RFC 3861 labels that are looked up, in local order of preference.
    pub supported: Vec<String>,
}

impl Default for Routing {
    fn default() -> Self {
        Self { supported: vec!["_sip".to_owned(), "_xmpp".to_owned()] }
    }
}

/// How long a sender waits, and what is reported to whom.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// How long a sender who is told of each message (SIP, native) waits for the far side's own confirmation.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub hold_timeout: Duration,
    /// When a message that its link could not repeat is journalled; "0s" commits it before it is sent. No effect without
    /// `data_dir`.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub write_ahead_after: Duration,
    /// How long delivery of a stored message is tried. No effect without `data_dir`.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub expiry: Duration,
    /// After which time a SIP or native sender is told once, by a message from `gateway`, that a stored message waits; "0s"
    /// for never.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub warn_after: Duration,
    /// How long an error is still matched to a message that the addressee's server had taken, and a repeat to its message.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub bounce_window: Duration,
    /// How a SIP or native sender who was told of acceptance hears of a later failure: `text` is a message from
    /// `gateway` at this gateway's name; `off` only counts it.
    pub notice: Notice,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            hold_timeout: Duration::from_secs(2),
            write_ahead_after: Duration::from_millis(20),
            expiry: Duration::from_secs(24 * 3600),
            warn_after: Duration::from_secs(5 * 60),
            bounce_window: Duration::from_secs(10 * 60),
            notice: Notice::Text,
        }
    }
}

/// How long is remembered where each message went.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// How many of the last messages, kept in memory; some 300 octets each.
    pub recent: usize,
    /// How long the traces of messages that were stored are kept in `data_dir` after their end.
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// How many of those are kept at the most; some 600 octets each.
    pub stored: usize,
    /// Where an OpenTelemetry collector takes spans by OTLP over HTTP: one for each leg of an operation. Needs a program built with
    /// the feature `otel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"http://127.0.0.1:4318/v1/traces")]
    pub otlp_endpoint: Option<String>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { recent: 10_000, keep: Duration::from_secs(24 * 3600), stored: 100_000, otlp_endpoint: None }
    }
}

/// How a sender is told of a failure after he was told of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// By a message from the gateway.
    Text,
    /// Not at all; it is counted.
    Off,
}

/// Who may watch how many, and the pace of a restart.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    /// How many presentities one watcher may watch; further subscriptions are refused.
    pub per_watcher: usize,
    /// How many watchers one presentity may have.
    pub per_presentity: usize,
    /// How many subscriptions the watchers of one domain may have together.
    pub per_domain: usize,
    /// The state of so many subscriptions a second is asked for after a restart, and told anew to watchers whose link was away,
    /// until all are.
    pub restart_rate: u32,
    /// Whether the state may be asked for once without a subscription (RFC 8048 §7); the far side decides what it says.
    pub polls: bool,
}

impl Default for Presence {
    fn default() -> Self {
        let limits = interwork::PresenceLimits::default();
        Self {
            per_watcher: limits.per_watcher,
            per_presentity: limits.per_presentity,
            per_domain: limits.per_domain,
            restart_rate: limits.restart_rate,
            polls: limits.polls,
        }
    }
}

/// Who may send what to whom.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Between which domains messages pass; there is no open relay.
    pub relay: Relay,
    /// How much may come in. What is beyond is refused, and its sender may try again: SIP 503 with Retry-After,
    /// `resource-constraint`, native 503.
    pub rates: PolicyRates,
    /// Rules on top of that; the first that matches decides, without one the message passes.
    pub rule: Vec<PolicyRule>,
    /// Files with domains that nobody here speaks with, whatever the rules say: one domain or `*.domain` a line, `#`
    /// begins a comment. Relative to the folder of the configuration file; read again when they change.
    #[schemars(with = "Vec<String>", example = ["blocked.txt"])]
    pub blocklists: Vec<PathBuf>,
}

impl Policy {
    /// Makes file names relative to `folder` absolute.
    pub(super) fn resolve(&mut self, folder: &Path) {
        for file in &mut self.blocklists {
            *file = folder.join(&*file);
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { relay: Relay::Local, rates: PolicyRates::default(), rule: Vec::new(), blocklists: Vec::new() }
    }
}

/// How much may come in.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyRates {
    /// Messages and other operations a second from one address, twice as many at once. Omitted: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &20)]
    pub per_source: Option<NonZeroU32>,
    /// The same from all addresses of one domain together. Omitted: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &2000)]
    pub per_domain: Option<NonZeroU32>,
}

/// Between which domains messages pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relay {
    /// One end must be a local `[[domain]]`.
    Local,
}
