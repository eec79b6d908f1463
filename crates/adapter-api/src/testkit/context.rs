//! What adapters are made with, for tests.

use crate::{Configuration, Context, Tls};
use impp_model::Domain;
use impp_resolve::{Answer, Dns, DnsError, Name, RecordType};
use std::sync::Arc;
use tokio::sync::watch;

/// A context without certificates and with a name service that knows nothing.
pub fn context(gateway: &Domain) -> Context {
    let configuration = Configuration::new(gateway.clone(), Vec::new());
    Context {
        configuration: watch::Sender::new(Arc::new(configuration)).subscribe(),
        dns: Arc::new(NoDns),
        tls: Arc::new(Tls::none(gateway.clone())),
    }
}

struct NoDns;

#[async_trait::async_trait]
impl Dns for NoDns {
    async fn query(&self, _: &Name, _: RecordType) -> Result<Answer, DnsError> {
        Err(DnsError::NoRecords { ttl: None })
    }
}
