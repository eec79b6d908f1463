//! Where a gateway's native API is, and as whom to use it.

use std::path::PathBuf;

use adapter_native::client::{Client, ClientError};
use anyhow::{Context, Error, Result, bail};

/// Where a gateway's native API is, and as whom to use it.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The native API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081", env = "INTERLINGUA_SERVER")]
    server: String,
    /// The user's token; other users of this machine can see it, unlike one in the environment or a file
    #[arg(long, env = "INTERLINGUA_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the user's token; it goes before --token and the environment
    #[arg(long, value_name = "FILE", value_parser = super::running::readable)]
    token_file: Option<PathBuf>,
}

impl Server {
    pub(crate) fn client(&self) -> Result<Client> {
        let token = match (&self.token, &self.token_file) {
            (_, Some(path)) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            (Some(token), None) => token.clone(),
            (None, None) => bail!("no token: give --token-file, --token or INTERLINGUA_TOKEN"),
        };
        Ok(Client::new(&self.server, token.trim())?)
    }

    /// What to do about an error.
    pub(crate) fn explain(&self, error: ClientError) -> Error {
        let hint = if matches!(&error, ClientError::Http(http) if http.is_connect()) {
            format!("is a gateway with a native adapter running at {}? See --server", self.server)
        } else if matches!(&error, ClientError::Refused { status: 401, .. }) {
            "the gateway does not know this token".to_owned()
        } else {
            format!("while talking to {}", self.server)
        };
        Error::new(error).context(hint)
    }
}
