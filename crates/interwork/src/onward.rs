//! What policy and the names of domains leave of the way on.

use crate::core::Core;
use crate::policy::Way;
use adapter_api::Hop;
use impp_model::{Cause, Failure, Operation, Side};
use std::sync::Arc;

impl Core {
    /// The hop, without what a rule forbids.
    pub(crate) fn way_on(&self, operation: &Operation, hop: &Arc<Hop>) -> Result<Arc<Hop>, Failure> {
        let book = self.rules.load();
        match book.policy.way(&book.configuration, operation, hop) {
            Way::AsItIs => Ok(hop.clone()),
            Way::Only(hop) => Ok(Arc::new(hop)),
            Way::None => {
                Err(Failure::new(Side::Ours, Cause::PolicyDenied).with_text("no way with TLS, which a rule wants"))
            }
        }
    }

    /// The operation with its destination as the network that it goes to knows it.
    pub(crate) fn named_for_its_network(&self, operation: Arc<Operation>) -> Arc<Operation> {
        let address = &operation.destination().address;
        let book = self.rules.load();
        let name = book.wire_name(address.domain());
        if name == address.domain() {
            return operation;
        }
        let (address, mut renamed) = (address.with_domain(name.clone()), (*operation).clone());
        renamed.destination_mut().address = address;
        renamed.forget_object();
        Arc::new(renamed)
    }
}
