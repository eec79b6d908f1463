//! `[[adapter.NAME.user]]`: who may prove himself by digest, and for whom he then speaks.

use super::problem;
use adapter_api::{Problem, SpeaksFor};
use impp_model::{Address, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use sip_proto::digest::Password;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A user, or the server of a domain, that proves itself with a password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name in the credentials. Default: the user part of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"alice")]
    pub username: Option<String>,
    /// The password, for labs; else use `password_file`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"${ALICE_PASSWORD}")]
    pub password: Option<PasswordText>,
    /// A file that holds the password and nothing else; white space around it is dropped. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"alice.password")]
    pub password_file: Option<PathBuf>,
    /// The one address that this user sends from. Either this or `domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"alice@sip.example.com")]
    pub address: Option<String>,
    /// The domain for all of whose users this one sends: a server, as of a trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"partner.example")]
    pub domain: Option<String>,
}

/// A password in the configuration; never shown, neither by `Debug` nor by serialisation.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PasswordText(String);

impl fmt::Debug for PasswordText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordText(..)")
    }
}

impl Serialize for PasswordText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("...")
    }
}

/// A user, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct KnownUser {
    pub(crate) username: String,
    pub(crate) password: Password,
    pub(crate) speaks_for: SpeaksFor,
}

impl User {
    /// What the table says; the problem's key is below the table.
    pub(super) fn read(&self) -> Result<KnownUser, Problem> {
        let (speaks_for, usual) = self.speaks_for()?;
        let Some(username) = self.username.clone().or(usual).filter(|name| !name.is_empty()) else {
            return Err(problem("username", "", "missing", "write the name in the server's credentials"));
        };
        Ok(KnownUser { username, password: Password::new(self.read_password()?), speaks_for })
    }

    fn speaks_for(&self) -> Result<(SpeaksFor, Option<String>), Problem> {
        match (&self.address, &self.domain) {
            (Some(address), None) => {
                let parsed = Address::parse_bare(address);
                let remedy = "write user and domain, as \"alice@sip.example.com\"";
                let parsed = parsed.map_err(|error| problem("address", address, &error.to_string(), remedy))?;
                let usual = parsed.local().to_owned();
                Ok((SpeaksFor::Address(parsed), Some(usual)))
            }
            (None, Some(domain)) => {
                let parsed = Domain::parse_host(domain);
                let remedy = "write the domain whose users it sends for, as \"partner.example\"";
                let parsed = parsed.map_err(|error| problem("domain", domain, &error.to_string(), remedy))?;
                Ok((SpeaksFor::Domains(Arc::from([parsed])), None))
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(problem("address", "", "not exactly one of address and domain", "keep one of them"))
            }
        }
    }

    fn read_password(&self) -> Result<String, Problem> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), None) => password.0.clone(),
            (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
                let remedy = "put the password there, readable by this process alone";
                problem("password_file", &file.display().to_string(), &error.to_string(), remedy)
            })?,
            (Some(_), Some(_)) => {
                return Err(problem("password", "", "given twice", "keep password_file and remove password"));
            }
            (None, None) => {
                return Err(problem("password_file", "", "missing", "name the file that holds the password"));
            }
        };
        let password = password.trim().to_owned();
        if password.is_empty() {
            return Err(problem("password", "", "empty", "choose a long random password"));
        }
        Ok(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<KnownUser, String> {
        serde_json::from_value::<User>(json).unwrap().read().map_err(|problem| problem.key)
    }

    #[test]
    fn a_user_speaks_for_its_address_and_a_server_for_its_domain() {
        let user = read(serde_json::json!({ "address": "alice@sip.example", "password": " secret\n" })).unwrap();
        assert_eq!((user.username.as_str(), user.password), ("alice", Password::new("secret")));
        assert!(matches!(user.speaks_for, SpeaksFor::Address(_)));
        let trunk = serde_json::json!({ "domain": "p.example", "username": "gw", "password": "s" });
        assert!(matches!(read(trunk).unwrap().speaks_for, SpeaksFor::Domains(_)));
    }

    #[test]
    fn what_is_wrong_has_its_key() {
        for (json, key) in [
            (serde_json::json!({ "address": "a@b.example" }), "password_file"),
            (serde_json::json!({ "address": "a@b.example", "password": " " }), "password"),
            (serde_json::json!({ "address": "a@b.example", "password": "s", "password_file": "f" }), "password"),
            (serde_json::json!({ "address": "a@b.example", "password_file": "/nonexistent/x" }), "password_file"),
            (serde_json::json!({ "domain": "b.example", "password": "s" }), "username"),
            (serde_json::json!({ "domain": "b c", "username": "u", "password": "s" }), "domain"),
            (serde_json::json!({ "address": "b", "password": "s" }), "address"),
            (serde_json::json!({ "username": "u", "password": "s" }), "address"),
        ] {
            assert_eq!(read(json.clone()).unwrap_err(), key, "{json}");
        }
        let shown = format!("{:?}", serde_json::from_str::<User>(r#"{"password":"hidden"}"#).unwrap());
        assert!(!shown.contains("hidden"));
    }
}
