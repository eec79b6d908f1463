//! The table `[adapter.NAME]` with `type = "matrix"`.

use adapter_api::model::Domain;
use adapter_api::{AdapterError, Problem};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// An application service of a Matrix homeserver.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The homeserver's `server_name`: the domain of its users.
    #[schemars(with = "String", example = &"matrix.example")]
    pub domain: Domain,
    /// Where its client API is, in clear: on this machine or in its network.
    #[schemars(example = &"http://127.0.0.1:8008")]
    pub homeserver: String,
    /// Where the homeserver sends what happens: the `url` of the registration.
    #[schemars(with = "String", example = &"127.0.0.1:9009")]
    pub listen: SocketAddr,
    /// A file that holds the registration's `as_token`, by which the homeserver knows us.
    #[schemars(example = &"as.token")]
    pub as_token_file: PathBuf,
    /// A file that holds the registration's `hs_token`, by which we know the homeserver.
    #[schemars(example = &"hs.token")]
    pub hs_token_file: PathBuf,
    /// What the names of users from elsewhere begin with; the registration reserves them. Default: "_il_".
    #[serde(default = "default_ghosts")]
    pub ghosts: String,
}

fn default_ghosts() -> String {
    "_il_".to_owned()
}

/// Of what a token may be; far more than anybody generates.
const MAX_TOKEN: usize = 1024;

/// Leaves room for an address in 255 octets.
const MAX_GHOSTS: usize = 32;

impl Config {
    /// Everything that is wrong in it; reads the token files.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |key: &str, value: &str, problem: String, remedy: &str| {
            let (key, value, remedy) = (key.to_owned(), value.to_owned(), remedy.to_owned());
            problems.push(Problem { key, value, problem, remedy });
        };
        if let Err(problem) = self.homeserver_url() {
            add(
                "homeserver",
                &self.homeserver,
                problem,
                "write the homeserver's own listener, as \"http://127.0.0.1:8008\"",
            );
        }
        if is_public(self.listen.ip()) {
            let problem = "events and the token would cross a public network in clear".to_owned();
            add("listen", &self.listen.to_string(), problem, "listen on a loopback or private address");
        }
        let named = !self.ghosts.is_empty() && self.ghosts.len() <= MAX_GHOSTS;
        if !named || !self.ghosts.bytes().all(crate::mapping::is_plain) {
            let problem = format!("not 1 to {MAX_GHOSTS} of a-z, 0-9 and ._-");
            add("ghosts", &self.ghosts, problem, "write what the registration reserves, as \"_il_\"");
        }
        for (key, file) in [("as_token_file", &self.as_token_file), ("hs_token_file", &self.hs_token_file)] {
            if let Err(problem) = read_token(file) {
                add(
                    key,
                    &file.display().to_string(),
                    problem,
                    "put the token of the registration there, and nothing else",
                );
            }
        }
        problems
    }

    pub(crate) fn homeserver_url(&self) -> Result<Url, String> {
        let url = Url::parse(&self.homeserver).map_err(|error| error.to_string())?;
        let address = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        match url.scheme() {
            "http" if address.is_some_and(is_public) => {
                Err("the token would cross a public network in clear".to_owned())
            }
            "http" => Ok(url),
            other => Err(format!("{other}: only http is spoken, within a host or a private network")),
        }
    }

    pub(crate) fn tokens(&self) -> Result<(String, String), AdapterError> {
        let read =
            |key: &str, file| read_token(file).map_err(|problem| AdapterError::Config { key: key.to_owned(), problem });
        Ok((read("as_token_file", &self.as_token_file)?, read("hs_token_file", &self.hs_token_file)?))
    }
}

fn is_public(address: IpAddr) -> bool {
    let private = match address {
        IpAddr::V4(four) => four.is_loopback() || four.is_private() || four.is_link_local(),
        IpAddr::V6(six) => six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local(),
    };
    !private
}

/// White space around the token is dropped.
fn read_token(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let token = text.trim();
    let visible = |token: &str| token.bytes().all(|octet| octet.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN || !visible(token) {
        return Err("holds no token: visible ASCII without spaces".to_owned());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_found_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, " secret\n").unwrap();
        let table = serde_json::json!({ "domain": "matrix.example", "homeserver": "http://127.0.0.1:8008",
            "listen": "127.0.0.1:9009", "as_token_file": token, "hs_token_file": token });
        let good: Config = serde_json::from_value(table).unwrap();
        assert_eq!((good.problems(), good.tokens().unwrap().0), (vec![], "secret".to_owned()));
        let wrong = |change: fn(&mut Config)| {
            let mut config = good.clone();
            change(&mut config);
            config.problems().into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert_eq!(wrong(|config| config.homeserver = "https://matrix.example".into()), ["homeserver"]);
        assert_eq!(wrong(|config| config.homeserver = "http://192.0.2.1:8008".into()), ["homeserver"]);
        assert_eq!(wrong(|config| config.listen = "192.0.2.1:9009".parse().unwrap()), ["listen"]);
        assert_eq!(wrong(|config| config.ghosts = "Ghost".into()), ["ghosts"]);
        assert_eq!(wrong(|config| config.as_token_file = "/nowhere".into()), ["as_token_file"]);
    }
}
