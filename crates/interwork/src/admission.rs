//! Who may hand in what: the checks before any name is looked up.

use crate::policy::Policy;
use adapter_api::{Configuration, InstanceName, Provenance, Role, SpeaksFor};
use impp_model::{Cause, Failure, Mark, Operation, Side};

/// Why an operation was refused before routing.
pub type Refusal = Failure;

/// What the checks look at besides the operation.
pub(crate) struct Rules<'a, F> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) policy: &'a Policy,
    /// Whether two instances are doors to the same network.
    pub(crate) same_network: F,
}

impl<F: Fn(&InstanceName, &InstanceName) -> bool> Rules<'_, F> {
    /// Checks one operation in the order of DESIGN A4 and takes one hop off its count.
    ///
    /// The addresses are valid by their type (RFC 3860 §3.4.1, step 1).
    pub(crate) fn admit(&self, operation: &mut Operation, provenance: &Provenance) -> Result<(), Refusal> {
        self.prove_source(operation, provenance)?;
        self.rename_source(operation, provenance);
        count_hop(operation)?;
        self.mark(operation)?;
        // DEVIATES RFC 3860 §3.4.1: access control comes before resolution, so that the refused cause no DNS queries.
        self.policy.admit(self.configuration, operation, provenance)
    }

    /// From here on the source has the name under which other networks know its domain.
    fn rename_source(&self, operation: &mut Operation, provenance: &Provenance) {
        let source = operation.source_mut();
        if let Some(entry) = self.configuration.renamed(&provenance.adapter, source.address.domain()) {
            source.address = source.address.with_domain(entry.name.clone());
            operation.forget_object();
        }
    }

    // RFC 7247 §8: what comes back unchanged is told from what comes for the first time, also through XMPP, which
    // counts no hops.
    fn mark(&self, operation: &mut Operation) -> Result<(), Refusal> {
        let Operation::Message(message) = operation else { return Ok(()) };
        let mark = Mark::of(&self.configuration.gateway, &message.source.address, &message.destination.address);
        let passed = message.message.passed.pass(mark);
        passed.map_err(|error| Failure::new(Side::Near, Cause::Loop).with_text(error.to_string()))
    }

    // RFC 7247 §8, RFC 6120 §8.1.2.2: nobody sends as a domain that was not proven for its link.
    fn prove_source(&self, operation: &Operation, provenance: &Provenance) -> Result<(), Refusal> {
        let source = &operation.source().address;
        let proven = match &provenance.speaks_for {
            SpeaksFor::Nobody => false,
            SpeaksFor::Address(address) => address == source,
            SpeaksFor::Domains(domains) => domains.contains(source.domain()),
            SpeaksFor::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern.matches(source.domain()))
                    && !self.belongs_elsewhere(source.domain(), &provenance.adapter)
            }
        };
        if proven { Ok(()) } else { Err(Failure::new(Side::Near, Cause::SourceNotProven)) }
    }

    /// A local domain of another network is never vouched for by a pattern, however wide.
    fn belongs_elsewhere(&self, domain: &impp_model::Domain, adapter: &InstanceName) -> bool {
        self.configuration
            .domain(domain)
            .filter(|entry| entry.role == Role::Local)
            .and_then(|entry| entry.adapter.as_ref())
            .is_some_and(|owner| !(self.same_network)(owner, adapter))
    }
}

// RFC 3860 §3.4.2: discarded at zero, otherwise one less on the way on.
fn count_hop(operation: &mut Operation) -> Result<(), Refusal> {
    if operation.kind().is_presence() {
        // RFC 3859 §3.1: these operations count no hops.
        return Ok(());
    }
    let Some(hops) = operation.max_forwards_mut() else {
        // An open set: what this hub does not know it does not carry.
        return Err(Failure::new(Side::Ours, Cause::NotImplemented));
    };
    match hops.decremented() {
        Some(left) => {
            *hops = left;
            Ok(())
        }
        None => Err(Failure::new(Side::Near, Cause::HopsExhausted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{configuration, message};
    use adapter_api::SourceProof;
    use impp_model::MaxForwards;

    fn verdict(from: &str, speaks_for: SpeaksFor, hops: u8) -> Result<u8, Cause> {
        let configuration = configuration(&[("sip.example", "sip"), ("xmpp.example", "office")]);
        let rules = Rules {
            configuration: &configuration,
            policy: &Policy::default(),
            same_network: |a: &InstanceName, b: &InstanceName| a == b,
        };
        let provenance = Provenance {
            may_repeat: false,
            adapter: "office".into(),
            peer: "peer.example".into(),
            proof: SourceProof::Secret,
            speaks_for,
        };
        let mut operation = message(from, "b@sip.example");
        if let Operation::Message(message) = &mut operation {
            message.max_forwards = MaxForwards(hops);
        }
        rules.admit(&mut operation, &provenance).map_err(|failure| failure.cause)?;
        match operation {
            Operation::Message(message) => Ok(message.max_forwards.0),
            Operation::Disposition(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => Err(Cause::NotImplemented),
        }
    }

    fn anyone() -> SpeaksFor {
        SpeaksFor::Patterns([adapter_api::DomainPattern::Any].into())
    }

    // checks: IM-12, IM-13, SIP-031
    // checks: REQ-2.4.3
    #[test]
    fn rfc3860_s3_4_2_a_hop_is_counted_and_none_left_is_a_failure() {
        assert_eq!(verdict("a@xmpp.example", anyone(), 5), Ok(4));
        assert_eq!(verdict("a@xmpp.example", anyone(), 0), Err(Cause::HopsExhausted));
    }

    // checks: SEC-001, ARC-013
    #[test]
    fn a_pattern_never_vouches_for_a_local_domain_of_another_network() {
        assert_eq!(verdict("a@far.example", anyone(), 5), Ok(4));
        assert_eq!(verdict("a@sip.example", anyone(), 5), Err(Cause::SourceNotProven));
        assert_eq!(verdict("a@xmpp.example", SpeaksFor::Nobody, 5), Err(Cause::SourceNotProven));
    }
}
