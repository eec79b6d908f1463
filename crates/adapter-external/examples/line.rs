//! The toy protocol of `adapter-line` as a process of its own: what `command` of an external adapter starts.
//!
//! `line --capabilities` prints the file for `capabilities_file`; LISTEN and DOMAIN say where and for which domain.

use adapter_api::{Configuration, Context, Shutdown, Tls};
use adapter_external::client::{Settings, serve};
use impp_model::Domain;
use impp_resolve::{Answer, Dns, DnsError, Name, RecordType};
use std::sync::Arc;
use tokio::sync::watch;

/// Names are the gateway's to look up.
struct NoNames;

#[async_trait::async_trait]
impl Dns for NoNames {
    async fn query(&self, _: &Name, _: RecordType) -> Result<Answer, DnsError> {
        Err(DnsError::NoRecords { ttl: None })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let domain: Domain = variable("DOMAIN", "line.example").parse()?;
    let listen = variable("LISTEN", "127.0.0.1:0");
    let config = serde_json::json!({ "listen": listen, "domain": domain, "users": ["alice", "bob"] });
    let context = Context {
        configuration: watch::Sender::new(Arc::new(Configuration::new(domain.clone(), Vec::new()))).subscribe(),
        dns: Arc::new(NoNames),
        tls: Arc::new(Tls::none(domain.clone())),
    };
    let instance = variable("INTERLINGUA_INSTANCE", "line");
    let adapter = adapter_line::new(instance.as_str().into(), serde_json::from_value(config)?, context)?;
    if std::env::args().any(|argument| argument == "--capabilities") {
        let said = serde_json::to_string_pretty(adapter.capabilities())?;
        #[allow(clippy::print_stdout, reason = "what it is asked for")]
        {
            println!("{said}");
        }
        return Ok(());
    }
    let settings = Settings::from_environment(vec![domain])?;
    // The process ends when the gateway says goodbye, or with its signals.
    let (_trigger, shutdown) = Shutdown::new();
    Ok(serve(adapter, settings, shutdown).await?)
}
