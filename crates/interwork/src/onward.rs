//! What policy and the names of domains leave of the way on.

use crate::core::Core;
use crate::policy::Way;
use crate::routing::Choice;
use adapter_api::Hop;
use impp_model::{Cause, Failure, Operation, Side};
use std::sync::Arc;

impl Core {
    /// The hop, without what a rule forbids.
    pub(crate) fn way_on(&self, operation: &Operation, choice: &Choice) -> Result<Arc<Hop>, Failure> {
        let book = self.rules.load();
        if self.proves_peers(choice.index) {
            return Ok(choice.hop.clone());
        }
        match book.policy.way(&book.configuration, operation, &choice.hop) {
            Way::AsItIs => Ok(choice.hop.clone()),
            Way::Only(hop) => Ok(Arc::new(hop)),
            Way::None => {
                Err(Failure::new(Side::Ours, Cause::PolicyDenied).with_text("no way with TLS, which a rule wants"))
            }
        }
    }

    /// Whether a rule wants the peer on the way on proven over TLS.
    pub(crate) fn wants_proof(&self, operation: &Operation) -> bool {
        let book = self.rules.load();
        book.policy.wants_proof(&book.configuration, operation)
    }

    /// Whether the instance at this place sees to that itself.
    pub(crate) fn proves_peers(&self, index: usize) -> bool {
        self.candidates.get(index).is_some_and(|candidate| candidate.capabilities.proves_peers)
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
