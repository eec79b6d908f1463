//! What an operator allows, before any name is looked up.

use crate::blocklist::Blocklist;
use adapter_api::{Configuration, DomainPattern, Hop, Provenance, Transport};
use impp_model::{Cause, Domain, Failure, Kind, Operation, Side};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Relay policy and rules, first match wins.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whom the gateway carries for.
    pub relay: Relay,
    /// Checked in order before anything else.
    pub rules: Vec<Rule>,
    /// Domains that nobody here speaks with, whatever the rules say.
    pub blocklist: Arc<Blocklist>,
}

/// Whom the gateway carries for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Relay {
    /// One end must be a local domain: there is no open relay.
    #[default]
    Local,
}

/// One `[[policy.rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The source's domain.
    pub from: DomainPattern,
    /// The destination's domain.
    pub to: DomainPattern,
    /// The kinds of operation it is about; all if none is named.
    pub kinds: Vec<Kind>,
    /// What to do with what matches.
    pub action: Action,
    /// Octets of the largest content that passes.
    pub max_content: Option<usize>,
    /// Whether what leads to or from a foreign domain must go over TLS with a proven certificate.
    pub require_tls: bool,
    /// Operations a second of one pair of domains.
    pub rate: Option<NonZeroU32>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Carry it, subject to the relay policy.
    Allow,
    /// Refuse it.
    Deny,
}

impl Rule {
    fn is_about(&self, from: &Domain, to: &Domain, kind: Kind) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && self.from.matches(from) && self.to.matches(to)
    }
}

impl Policy {
    /// The rule that decides about a pair, with its place.
    fn rule(&self, from: &Domain, to: &Domain, kind: Kind) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| rule.is_about(from, to, kind))
    }

    /// Judges a pair of domains; the text says what decided.
    pub fn judge(
        &self,
        configuration: &Configuration,
        from: &Domain,
        to: &Domain,
        kind: Kind,
    ) -> (Result<(), Cause>, String) {
        if let Some(listed) = [from, to].into_iter().find(|domain| self.blocklist.contains(domain)) {
            return (Err(Cause::PolicyDenied), format!("{listed} is on a blocklist"));
        }
        let rule = self.rule(from, to, kind);
        if let Some((index, Rule { action: Action::Deny, .. })) = rule {
            return (Err(Cause::PolicyDenied), format!("policy.rule[{index}] denies it"));
        }
        let conditions = rule.map_or_else(String::new, |(index, rule)| {
            let size = rule.max_content.map(|octets| format!(", at most {octets} octets")).unwrap_or_default();
            let tls = if rule.require_tls { ", over authenticated TLS only" } else { "" };
            let rate = rule.rate.map(|rate| format!(", at most {rate} a second of this pair")).unwrap_or_default();
            format!("; policy.rule[{index}] allows it{size}{tls}{rate}")
        });
        match self.relay {
            Relay::Local if configuration.is_local(from) => (Ok(()), format!("{from} is a local domain{conditions}")),
            Relay::Local if configuration.is_local(to) => (Ok(()), format!("{to} is a local domain{conditions}")),
            Relay::Local => (Err(Cause::RelayDenied), format!("neither {from} nor {to} is a local domain")),
        }
    }

    /// Judges an operation that came in: what [`judge`](Self::judge) does, without its words, and the rule's conditions.
    pub fn admit(
        &self,
        configuration: &Configuration,
        operation: &Operation,
        provenance: &Provenance,
    ) -> Result<(), Failure> {
        let (from, to) = (operation.source().address.domain(), operation.destination().address.domain());
        let refused = |cause| Failure::new(Side::Near, cause);
        if self.blocklist.contains(from) || self.blocklist.contains(to) {
            return Err(refused(Cause::PolicyDenied));
        }
        if let Some((_, rule)) = self.rule(from, to, operation.kind()) {
            if rule.action == Action::Deny {
                return Err(refused(Cause::PolicyDenied));
            }
            if rule.max_content.is_some_and(|most| content_len(operation) > most) {
                return Err(refused(Cause::TooLarge));
            }
            // Our own networks are reached by links of the operator's choice.
            if rule.require_tls && !configuration.is_local(from) && !provenance.proof.is_tls() {
                return Err(refused(Cause::PolicyDenied).with_text("the peer has proven itself by no TLS certificate"));
            }
        }
        match self.relay {
            Relay::Local if configuration.is_local(from) || configuration.is_local(to) => Ok(()),
            Relay::Local => Err(refused(Cause::RelayDenied)),
        }
    }

    /// Whether the peer on the way on must be proven over TLS. Our own networks are reached by links of the operator's choice.
    pub(crate) fn wants_proof(&self, configuration: &Configuration, operation: &Operation) -> bool {
        let (from, to) = (operation.source().address.domain(), operation.destination().address.domain());
        self.rule(from, to, operation.kind()).is_some_and(|(_, rule)| rule.require_tls) && !configuration.is_local(to)
    }

    /// The rule whose rate an operation counts for.
    pub(crate) fn rated(&self, operation: &Operation) -> Option<usize> {
        if self.rules.iter().all(|rule| rule.rate.is_none()) {
            return None;
        }
        let (from, to) = (operation.source().address.domain(), operation.destination().address.domain());
        self.rule(from, to, operation.kind()).filter(|(_, rule)| rule.rate.is_some()).map(|(index, _)| index)
    }

    /// Judges the way on. Of several targets those in clear are left out.
    pub(crate) fn way(&self, configuration: &Configuration, operation: &Operation, hop: &Hop) -> Way {
        if !self.wants_proof(configuration, operation) {
            return Way::AsItIs;
        }
        match hop {
            Hop::Fixed(text) if is_secure_uri(text) => Way::AsItIs,
            Hop::Located { domain, targets } => {
                let targets: Vec<_> = targets
                    .iter()
                    .filter(|target| target.transport.is_some_and(Transport::is_secure))
                    .cloned()
                    .collect();
                if targets.is_empty() { Way::None } else { Way::Only(Hop::Located { domain: domain.clone(), targets }) }
            }
            Hop::Fixed(_) | Hop::Link => Way::None,
        }
    }
}

/// What a rule leaves of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    AsItIs,
    Only(Hop),
    None,
}

/// A next hop that says TLS itself: `sips:`, or `transport=tls` or `wss`.
fn is_secure_uri(uri: &str) -> bool {
    let uri = uri.to_ascii_lowercase();
    let mut parameters = uri.split(['?', ';']).skip(1);
    uri.starts_with("sips:") || parameters.any(|parameter| matches!(parameter, "transport=tls" | "transport=wss"))
}

fn content_len(operation: &Operation) -> usize {
    // The others have the size that their fields' own limits give them.
    let Operation::Message(operation) = operation else { return 0 };
    let message = &operation.message;
    std::iter::once(&message.content).chain(&message.alternatives).map(|content| content.octets.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{configuration, domain, message};
    use adapter_api::{SourceProof, SpeaksFor, Target};

    fn rule(from: &str, action: Action) -> Rule {
        Rule {
            from: from.parse().unwrap(),
            to: DomainPattern::Any,
            kinds: Vec::new(),
            action,
            max_content: None,
            require_tls: false,
            rate: None,
        }
    }

    fn verdict(rules: Vec<Rule>, blocked: &str, from: &str, proof: SourceProof) -> Result<(), Cause> {
        let policy = Policy { rules, blocklist: Arc::new(Blocklist::parse(blocked).unwrap()), ..Policy::default() };
        let configuration = configuration(&[("local.example", "office")]);
        let operation = message(from, "b@local.example");
        let provenance = Provenance {
            may_repeat: false,
            adapter: "sip".into(),
            peer: "peer".into(),
            proof,
            speaks_for: SpeaksFor::Domains([domain("far.example")].into()),
        };
        let found = policy.admit(&configuration, &operation, &provenance).map_err(|failure| failure.cause);
        let (from, to) = (operation.source().address.domain(), operation.destination().address.domain());
        let (judged, why) = policy.judge(&configuration, from, to, operation.kind());
        assert!(judged == found || judged.is_ok(), "{why}: the words agree with the deed");
        found
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let plain = |rules, from| verdict(rules, "", from, SourceProof::None);
        let rules = || vec![rule("good.bad.example", Action::Allow), rule("*.bad.example", Action::Deny)];
        assert_eq!(plain(rules(), "a@x.bad.example"), Err(Cause::PolicyDenied));
        assert_eq!(plain(rules(), "a@good.bad.example"), Ok(()));
        assert_eq!(plain(rules(), "a@bad.example"), Ok(()));
        let other_kind = Rule { kinds: vec![Kind::Subscribe], ..rule("*", Action::Deny) };
        assert_eq!(plain(vec![other_kind], "a@far.example"), Ok(()));
        let messages = Rule { kinds: vec![Kind::Message], ..rule("*", Action::Deny) };
        assert_eq!(plain(vec![messages], "a@far.example"), Err(Cause::PolicyDenied));
        let short = Rule { max_content: Some(4), ..rule("*", Action::Allow) };
        assert_eq!(plain(vec![short], "a@far.example"), Err(Cause::TooLarge));
    }

    #[test]
    fn a_blocklist_stands_above_the_rules() {
        let allowed = || vec![rule("*", Action::Allow)];
        let listed = "# spam\nbad.example\n*.worse.example # all of it\n";
        for (from, expected) in [
            ("a@bad.example", Err(Cause::PolicyDenied)),
            ("a@x.bad.example", Ok(())),
            ("a@x.y.worse.example", Err(Cause::PolicyDenied)),
            ("a@worse.example", Ok(())),
        ] {
            assert_eq!(verdict(allowed(), listed, from, SourceProof::None), expected, "{from}");
        }
    }

    // checks: SEC-002
    // checks: REQ-5.2.1, IM-19
    #[test]
    fn required_tls_is_required_of_foreign_ends_both_ways() {
        let strict = Rule { require_tls: true, ..rule("*", Action::Allow) };
        for proof in [SourceProof::None, SourceProof::TrustedAddress, SourceProof::Secret, SourceProof::Digest] {
            assert_eq!(verdict(vec![strict.clone()], "", "a@far.example", proof), Err(Cause::PolicyDenied));
        }
        assert_eq!(verdict(vec![strict.clone()], "", "a@far.example", SourceProof::Certificate), Ok(()));
        let policy = Policy { rules: vec![strict], ..Policy::default() };
        let configuration = configuration(&[("local.example", "office")]);
        let out = message("a@local.example", "b@far.example");
        let way = |hop: &Hop| policy.way(&configuration, &out, hop);
        assert_eq!(way(&Hop::Link), Way::None);
        assert_eq!(way(&Hop::Fixed("sip:192.0.2.1;transport=tcp".into())), Way::None);
        assert_eq!(way(&Hop::Fixed("sip:192.0.2.1;transport=TLS".into())), Way::AsItIs);
        let target = |transport, port| Target {
            host: "h".into(),
            address: ([192, 0, 2, 1], port).into(),
            transport: Some(transport),
        };
        let located = |targets| Hop::Located { domain: domain("far.example"), targets };
        let mixed = located(vec![target(Transport::Tcp, 1), target(Transport::Tls, 2)]);
        assert_eq!(way(&mixed), Way::Only(located(vec![target(Transport::Tls, 2)])));
        assert_eq!(way(&located(vec![target(Transport::Udp, 1)])), Way::None);
        let home = message("a@far.example", "b@local.example");
        assert_eq!(policy.way(&configuration, &home, &Hop::Link), Way::AsItIs);
    }
}
