//! What an operator allows, before any name is looked up.

use adapter_api::{Configuration, DomainPattern};
use impp_model::{Cause, Domain};

/// Relay policy and rules, first match wins.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whom the gateway carries for.
    pub relay: Relay,
    /// Checked in order before anything else.
    pub rules: Vec<Rule>,
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
    /// What to do with what matches.
    pub action: Action,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Carry it, subject to the relay policy.
    Allow,
    /// Refuse it.
    Deny,
}

impl Policy {
    /// Judges one pair of domains; the text says which rule decided.
    pub fn judge(&self, configuration: &Configuration, from: &Domain, to: &Domain) -> (Result<(), Cause>, String) {
        let rule = self.rules.iter().position(|rule| rule.from.matches(from) && rule.to.matches(to));
        if let Some((index, Action::Deny)) = rule.and_then(|i| self.rules.get(i).map(|rule| (i, rule.action))) {
            return (Err(Cause::PolicyDenied), format!("policy.rule[{index}] denies it"));
        }
        match self.relay {
            Relay::Local if configuration.is_local(from) => (Ok(()), format!("{from} is a local domain")),
            Relay::Local if configuration.is_local(to) => (Ok(()), format!("{to} is a local domain")),
            Relay::Local => (Err(Cause::RelayDenied), format!("neither {from} nor {to} is a local domain")),
        }
    }

    /// Like [`judge`](Self::judge) without the words, for the path of every message.
    pub fn allows(&self, configuration: &Configuration, from: &Domain, to: &Domain) -> Result<(), Cause> {
        for rule in &self.rules {
            if rule.from.matches(from) && rule.to.matches(to) {
                match rule.action {
                    Action::Allow => break,
                    Action::Deny => return Err(Cause::PolicyDenied),
                }
            }
        }
        match self.relay {
            Relay::Local if configuration.is_local(from) || configuration.is_local(to) => Ok(()),
            Relay::Local => Err(Cause::RelayDenied),
        }
    }
}
