//! The tables of which there are several: domains, routes, policy rules.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use adapter_api::{Credentials, DomainPattern, Trunk};
use impp_model::domain::Domain;
use impp_model::{Address, Kind};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A domain that this gateway knows by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainTable {
    /// The domain. Required.
    #[schemars(with = "String", example = &"sip.example.com")]
    pub name: Domain,
    /// Whether this gateway speaks for the domain.
    #[serde(default)]
    pub role: Role,
    /// The adapter instance that reaches the domain. Only that adapter's own discovery is used for it, no RFC 3861
    /// lookup, which would point at this gateway. Required for a local domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sip")]
    pub adapter: Option<String>,
    /// A fixed next hop in the adapter's own form, as `sip:127.0.0.1:15060;transport=udp`. Omitted: the adapter's
    /// discovery, its link or its own users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sip:127.0.0.1:15060;transport=udp")]
    pub next_hop: Option<String>,
    /// Networks from which users of this domain may send without further proof. Over UDP only loopback and private
    /// networks: elsewhere a source address proves nothing.
    #[serde(default)]
    #[schemars(example = ["127.0.0.1/32"])]
    pub trusted: Vec<Network>,
    /// What the domain's SIP server wants before it takes anything, and how it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkTable>,
    /// The address of a user of this domain that sends back every message it gets and lets itself be watched: `doctor` tries the
    /// whole way there and back with it, by messages that count nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"echo@sip.example.com")]
    pub echo: Option<String>,
    /// How often the gateway itself does so, for `interlingua_canary_up`. Omitted: only `doctor` does.
    #[serde(default, with = "adapter_api::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"1m")]
    pub canary_every: Option<Duration>,
    /// When the same domain lives in several networks: the name under which the others see the users of this one. Each
    /// table of the domain but one needs it, and no two may be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"im.example.com")]
    pub shown_as: Option<Domain>,
    /// Which certificate to present; not in this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub certificate: Option<usize>,
}

/// What the SIP server of the `[[domain]]` above wants before it takes anything, and how it is watched.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkTable {
    /// The name by which the server knows this gateway, to answer its challenges (RFC 8760) and to register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"gateway")]
    pub username: Option<String>,
    /// The password, for labs; else use `password_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"${TRUNK_PASSWORD}")]
    pub password: Option<String>,
    /// A file that holds the password and nothing else; white space around it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"trunk.password")]
    pub password_file: Option<PathBuf>,
    /// The realm that may ask for it. Omitted: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sip.example.com")]
    pub realm: Option<String>,
    /// Whether to register as `username` there, so that the server sends to this gateway.
    #[serde(default)]
    pub register: bool,
    /// How often to ask with OPTIONS whether the next hop answers; peer_up shows it. Omitted: messages alone tell.
    #[serde(default, with = "adapter_api::duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"30s")]
    pub keep_alive: Option<Duration>,
}

impl TrunkTable {
    /// The password, or the key that is wrong and why.
    pub(crate) fn read_password(&self) -> Result<Option<String>, (&'static str, String)> {
        let password = match (&self.password, &self.password_file) {
            (Some(_), Some(_)) => return Err(("password", "given twice".to_owned())),
            (Some(password), None) => password.clone(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .map_err(|error| ("password_file", format!("cannot read {}: {error}", file.display())))?,
            (None, None) => return Ok(None),
        };
        match password.trim() {
            "" => Err((if self.password.is_some() { "password" } else { "password_file" }, "empty".to_owned())),
            password => Ok(Some(password.to_owned())),
        }
    }

    /// As adapters see it; `check` has seen to it that it is whole.
    pub(crate) fn shared(&self) -> Trunk {
        let password = self.read_password().ok().flatten();
        let credentials = self.username.as_ref().zip(password).map(|(username, password)| Credentials {
            username: username.as_str().into(),
            password: password.into(),
            realm: self.realm.as_deref().map(Into::into),
        });
        Trunk { credentials, register: self.register, keep_alive: self.keep_alive }
    }
}

/// Whether this gateway speaks for a domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It speaks for it towards other networks.
    #[default]
    Local,
    /// A partner with a fixed route.
    Remote,
}

/// A route for domains without a table of their own. Exactly one of `adapter`, `protocol` and `next_hop` is set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// The source's domain, as `sip.example.com`, `*.example.com` or `*`.
    #[serde(default)]
    pub from: Pattern,
    /// The destination's domain, in the same forms. Required.
    #[schemars(example = &"*")]
    pub to: Pattern,
    /// The adapter instance to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"office")]
    pub adapter: Option<String>,
    /// The protocol to use, by its RFC 3861 label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"_xmpp")]
    pub protocol: Option<String>,
    /// A fixed next hop, as `sip:192.0.2.1:5060;transport=tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"sip:192.0.2.1:5060;transport=tcp")]
    pub next_hop: Option<String>,
}

impl DomainTable {
    /// The name under which other networks know it.
    pub fn seen_as(&self) -> &Domain {
        self.shown_as.as_ref().unwrap_or(&self.name)
    }

    /// Where canaries are sent back, if anywhere; `check` has seen to it that it is an address.
    pub(crate) fn echo_address(&self) -> Option<Address> {
        Address::parse_bare(self.echo.as_ref()?).ok()
    }
}

/// A rule on who may send to whom.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// The source's domain, as `bad.example`, `*.bad.example` or `*`.
    #[serde(default)]
    pub from: Pattern,
    /// The destination's domain, in the same forms.
    #[serde(default)]
    pub to: Pattern,
    /// The kinds of operation it is about: `message`, `disposition`, `composing`, `subscribe`, `notify`, `authorize`,
    /// `publish`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", example = ["message"])]
    pub kinds: Vec<Kind>,
    /// What to do with what matches. Required.
    #[schemars(example = &"deny")]
    pub action: Action,
    /// Octets of the largest content that an `allow` lets pass, all its forms together. Default: no limit of the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &65_536)]
    pub max_content: Option<usize>,
    /// Whether an `allow` wants TLS with a proven certificate towards and from each end that is not local: a peer that
    /// proved itself otherwise is refused. Of the ways on by SIP only those that begin with TLS are used; over XMPP a
    /// server is sent nothing unless its certificate proves it, by dialback least of all. A component link is none.
    #[serde(default)]
    pub require_tls: bool,
    /// Operations a second that an `allow` lets pass from one domain to one other, twice as many at once; each pair that
    /// the rule matches has its own. What is beyond is refused as by `[policy.rates]`. Omitted: no limit of the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &100)]
    pub rate: Option<NonZeroU32>,
}

/// What a policy rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let it pass; later rules are not looked at.
    Allow,
    /// Refuse it.
    Deny,
}

/// A network as `192.0.2.0/24`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Network(pub IpNet);

impl Network {
    /// Whether all of it is this host.
    pub fn is_loopback(&self) -> bool {
        LOOPBACK.iter().filter_map(|net| IpNet::from_str(net).ok()).any(|net| net.contains(&self.0))
    }

    /// Whether all of it is loopback or private address space, where a UDP source can be believed.
    pub fn is_private(&self) -> bool {
        PRIVATE.iter().filter_map(|net| IpNet::from_str(net).ok()).any(|net| net.contains(&self.0))
    }
}

/// RFC 1122 §3.2.1.3, RFC 4291 §2.5.3.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// RFC 1122 §3.2.1.3, RFC 1918 §3, RFC 3927 §2.1, RFC 4291 §2.5.3, RFC 4193 §3.1, RFC 4291 §2.5.6.
const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

impl FromStr for Network {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()).map(Self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wanted = "a network in quotes, as \"192.0.2.0/24\" or \"192.0.2.1\"";
        text.parse().map_err(|_| serde::de::Error::custom(format!("not a network; expected {wanted}")))
    }
}

/// Domains as `example.org`, `*.example.org` or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub DomainPattern);

impl Default for Pattern {
    fn default() -> Self {
        Self(DomainPattern::Any)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| serde::de::Error::custom("no domain; expected \"example.org\", \"*.example.org\" or \"*\""))
    }
}

macro_rules! text_in_the_schema {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    };
}
text_in_the_schema!(Network);
text_in_the_schema!(Pattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_private_networks_count_as_private() {
        let private = |text: &str| text.parse::<Network>().unwrap().is_private();
        for net in ["127.0.0.1/32", "10.1.2.3", "192.168.0.0/16", "::1", "fd00::/8"] {
            assert!(private(net), "{net}");
        }
        for net in ["0.0.0.0/0", "192.0.2.1", "172.16.0.0/8", "::/0", "2001:db8::/32"] {
            assert!(!private(net), "{net}");
        }
    }
}
