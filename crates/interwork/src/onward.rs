//! What policy and the names of domains leave of the way on.

use crate::core::Core;
use crate::policy::{Policy, Way};
use adapter_api::{DomainEntry, Hop};
use impp_model::{Cause, Domain, Failure, Operation, Side};
use std::sync::Arc;

impl Core {
    /// What the operator allows.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().clone()
    }

    /// Has everything that comes from here on judged by another policy.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write() = Arc::new(policy);
    }

    /// The hop, without what a rule forbids.
    pub(crate) fn way_on(&self, operation: &Operation, hop: &Arc<Hop>) -> Result<Arc<Hop>, Failure> {
        match self.policy().way(&self.config.configuration, operation, hop) {
            Way::AsItIs => Ok(hop.clone()),
            Way::Only(hop) => Ok(Arc::new(hop)),
            Way::None => {
                Err(Failure::new(Side::Ours, Cause::PolicyDenied).with_text("no way with TLS, which a rule wants"))
            }
        }
    }

    /// What its own network calls a domain.
    pub(crate) fn wire_name<'a>(&'a self, domain: &'a Domain) -> &'a Domain {
        self.config.configuration.domain(domain).map_or(domain, DomainEntry::wire_name)
    }

    /// The operation with its destination as the network that it goes to knows it.
    pub(crate) fn named_for_its_network(&self, operation: Arc<Operation>) -> Arc<Operation> {
        let address = &operation.destination().address;
        let name = self.wire_name(address.domain());
        if name == address.domain() {
            return operation;
        }
        let (address, mut renamed) = (address.with_domain(name.clone()), (*operation).clone());
        renamed.destination_mut().address = address;
        renamed.forget_object();
        Arc::new(renamed)
    }
}
