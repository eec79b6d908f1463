//! The table `[adapter.NAME]` with `type = "native"`.

use adapter_api::Problem;
use impp_model::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A native adapter: HTTP, server-sent events and WebSocket for users with bearer tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to serve HTTP on, as `127.0.0.1:8081`. Beyond loopback a TLS proxy belongs in front.
    #[schemars(with = "String", example = &"127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// The users, each known by its own bearer token. Default: none.
    #[serde(default, rename = "user")]
    pub users: Vec<UserConfig>,
    /// Bounds of what one user can make this gateway keep.
    #[serde(default)]
    pub limits: Limits,
}

/// One native user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The user's address, as `carol@native.example`; its domain belongs in a `[[domain]]` with this adapter.
    #[schemars(example = &"carol@native.example")]
    pub address: String,
    /// The bearer token itself, for labs; else use `token_file`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"${CAROL_TOKEN}")]
    pub token: Option<Secret>,
    /// A file that holds the bearer token and nothing else; white space around it is dropped. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"carol.token")]
    pub token_file: Option<PathBuf>,
}

/// Bounds of what clients can make this gateway hold.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of the content of one message, either way; more is refused. Default: 65536.
    pub max_message: usize,
    /// Octets of one request body or WebSocket message; more is answered with 413. Default: 262144, so that every
    /// message within `max_message` fits with JSON's escapes but for pathological ones.
    pub max_body: usize,
    /// Devices a user can have, at most 16. Default: 16.
    pub max_devices: usize,
    /// How long a device that is not used keeps its place in the events. Default: "24h".
    #[serde(with = "adapter_api::duration")]
    #[schemars(with = "String")]
    pub device_expiry: Duration,
    /// Events kept for each user. When all of them wait for an acknowledgement, further ones are refused. Default: 1000.
    pub max_events: usize,
    /// Octets of events kept for each user. Default: 4194304.
    pub max_events_octets: usize,
    /// Messages of one user that may wait for their answer at the same time; more are answered with 429. Default: 64.
    pub max_in_flight: usize,
    /// Open connections, all users together; more wait to be accepted. Default: 10000.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 65_536,
            max_body: 262_144,
            max_devices: MAX_DEVICES,
            device_expiry: Duration::from_secs(24 * 3600),
            max_events: 1000,
            max_events_octets: 4_194_304,
            max_in_flight: 64,
            max_connections: 10_000,
        }
    }
}

/// The contract's bound on devices: enough for a person, little enough to keep a cursor for each.
pub(crate) const MAX_DEVICES: usize = 16;

/// Text that is never shown: neither by `Debug` nor by serialisation.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// Why a user's token can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Neither `token` nor `token_file`.
    #[error("the user has no token")]
    Missing,
    /// Both of them.
    #[error("both token and token_file are set")]
    Both,
    /// The file can't be read.
    #[error("cannot read the token file")]
    File(#[source] std::io::Error),
    /// RFC 6750 §2.1: not a `b64token`.
    #[error("a token is letters, digits and -._~+/ with = at the end only")]
    Syntax,
}

impl UserConfig {
    /// The user's token; reads the file.
    pub fn token(&self) -> Result<Secret, TokenError> {
        let token = match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => return Err(TokenError::Both),
            (None, None) => return Err(TokenError::Missing),
            (Some(token), None) => token.clone(),
            (None, Some(path)) => Secret(std::fs::read_to_string(path).map_err(TokenError::File)?.trim().to_owned()),
        };
        if is_b64token(token.expose()) { Ok(token) } else { Err(TokenError::Syntax) }
    }
}

/// RFC 6750 §2.1: what can stand after `Bearer`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet))
}

impl Config {
    /// Everything that is wrong with this table, at once; reads the token files.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut seen = Seen::default();
        for (index, user) in self.users.iter().enumerate() {
            user_problems(index, user, &mut seen, &mut problems);
        }
        self.limits.problems(&mut problems);
        problems
    }
}

/// What a second user must not have, too.
#[derive(Default)]
struct Seen {
    addresses: BTreeSet<Address>,
    tokens: BTreeSet<String>,
}

fn user_problems(index: usize, user: &UserConfig, seen: &mut Seen, problems: &mut Vec<Problem>) {
    let key = |field: &str| format!("user[{index}].{field}");
    match Address::parse_bare(&user.address) {
        Err(error) => {
            problems.push(problem(key("address"), &user.address, error.to_string(), "write it as carol@native.example"))
        }
        Ok(address) if address.local().chars().any(char::is_uppercase) => problems.push(problem(
            key("address"),
            &user.address,
            "XMPP folds upper case, so nobody there could address this user".to_owned(),
            "write it in lower case",
        )),
        Ok(address) if !seen.addresses.insert(address.clone()) => problems.push(problem(
            key("address"),
            &user.address,
            "another user has this address".to_owned(),
            "give each address once",
        )),
        Ok(_) => {}
    }
    match user.token() {
        Err(error) => problems.push(token_problem(index, user, &error)),
        Ok(token) if !seen.tokens.insert(token.expose().to_owned()) => problems.push(problem(
            key("token"),
            "",
            "another user has this token".to_owned(),
            "give each user a token of its own",
        )),
        Ok(_) => {}
    }
}

fn token_problem(index: usize, user: &UserConfig, error: &TokenError) -> Problem {
    let file = user.token_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let field = if user.token_file.is_some() { "token_file" } else { "token" };
    let remedy = match error {
        TokenError::Missing => "set token_file (or token, in labs)",
        TokenError::Both => "keep one of them",
        TokenError::File(_) => "write the token there, readable by the gateway",
        TokenError::Syntax => "make one with: openssl rand -hex 32",
    };
    let what = match error {
        TokenError::File(source) => format!("{error}: {source}"),
        TokenError::Missing | TokenError::Both | TokenError::Syntax => error.to_string(),
    };
    problem(format!("user[{index}].{field}"), &file, what, remedy)
}

impl Limits {
    fn problems(&self, problems: &mut Vec<Problem>) {
        let bounds = [
            ("max_message", self.max_message, 1, MAX_OCTETS),
            ("max_body", self.max_body, self.max_message, MAX_OCTETS),
            ("max_devices", self.max_devices, 1, MAX_DEVICES),
            ("max_events", self.max_events, 1, MAX_COUNT),
            ("max_events_octets", self.max_events_octets, self.max_message, MAX_OCTETS),
            ("max_in_flight", self.max_in_flight, 1, MAX_COUNT),
            ("max_connections", self.max_connections, 1, MAX_COUNT),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                let what = format!("not between {least} and {most}");
                problems.push(problem(format!("limits.{key}"), &value.to_string(), what, "choose a value in between"));
            }
        }
        if self.device_expiry < MIN_DEVICE_EXPIRY {
            let value = adapter_api::duration::format(self.device_expiry);
            let what = "a device could lose its place between two calls".to_owned();
            problems.push(problem("limits.device_expiry".to_owned(), &value, what, "use at least 1m"));
        }
    }
}

/// Beyond this a single user could exhaust a small machine.
const MAX_OCTETS: usize = 1 << 30;

/// More than any one machine serves; keeps sums far from overflow.
const MAX_COUNT: usize = 1_000_000;

/// Longer than a client needs to reconnect.
const MIN_DEVICE_EXPIRY: Duration = Duration::from_secs(60);

fn problem(key: String, value: &str, problem: String, remedy: &str) -> Problem {
    Problem { key, value: value.to_owned(), problem, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_plain_table_has_no_problem() {
        let config =
            config(r#"{"listen":"127.0.0.1:8081","user":[{"address":"carol@native.example","token":"c4r0l"}]}"#);
        assert_eq!(config.problems(), []);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for json in [r#"{"listen":"127.0.0.1:1","jwt":{}}"#, r#"{"listen":"127.0.0.1:1","limits":{"max":1}}"#] {
            assert!(serde_json::from_str::<Config>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_and_no_token_is_shown() {
        let config = config(
            r#"{"listen":"127.0.0.1:8081","limits":{"max_devices":17,"device_expiry":"1s"},"user":[
                {"address":"carol","token":"hush"},
                {"address":"Carol@native.example","token":"hush"},
                {"address":"dave@native.example"},
                {"address":"dave@native.example","token":"a b"},
                {"address":"erin@native.example","token":"x","token_file":"y"},
                {"address":"frank@native.example","token_file":"/nonexistent/token"}]}"#,
        );
        let problems = config.problems();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "user[0].address",
                "user[1].address",
                "user[1].token",
                "user[2].token",
                "user[3].address",
                "user[3].token",
                "user[4].token_file",
                "user[5].token_file",
                "limits.max_devices",
                "limits.device_expiry"
            ]
        );
        assert!(!format!("{problems:?} {config:?}").contains("hush"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hush"));
    }

    #[test]
    fn a_token_file_may_end_with_a_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "c4r0l\n").unwrap();
        let user = UserConfig {
            address: "carol@native.example".to_owned(),
            token: None,
            token_file: Some(file.path().to_owned()),
        };
        assert_eq!(user.token().unwrap().expose(), "c4r0l");
    }
}
