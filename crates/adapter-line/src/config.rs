//! The table `[adapter.NAME]`.

use adapter_api::Problem;
use adapter_api::model::Domain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// An adapter for the toy line protocol.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    #[schemars(with = "String", example = &"127.0.0.1:7777")]
    pub listen: SocketAddr,
    /// The domain of its users.
    #[schemars(with = "String", example = &"line.example")]
    pub domain: Domain,
    /// The users: the part of their addresses before the domain.
    pub users: Vec<String>,
}

impl Config {
    /// Everything that is wrong in it, for `interlingua check`.
    pub fn problems(&self) -> Vec<Problem> {
        if self.listen.ip().is_loopback() {
            return Vec::new();
        }
        vec![Problem {
            key: "listen".to_owned(),
            value: self.listen.to_string(),
            problem: "the line protocol has no passwords".to_owned(),
            remedy: "listen on a loopback address".to_owned(),
        }]
    }
}
