//! Which adapter takes an operation, to which hop, and why.

use adapter_api::{Capabilities, Configuration, DomainEntry, DomainPattern, Hop, InstanceName};
use impp_model::{Cause, Domain, Failure, Kind, Side};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// `[[route]]` and `[routing]`.
#[derive(Debug, Clone, Default)]
pub struct RoutingConfig {
    /// For domains without a table of their own; first match wins.
    pub routes: Vec<Route>,
    /// RFC 3861 labels in the order of preference, as `_sip`.
    pub supported: Vec<Arc<str>>,
}

/// One `[[route]]`.
#[derive(Debug, Clone)]
pub struct Route {
    /// The source's domain.
    pub from: DomainPattern,
    /// The destination's domain.
    pub to: DomainPattern,
    /// Where it goes.
    pub via: Via,
}

/// How a route names its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// An adapter instance.
    Adapter(InstanceName),
    /// Any instance of the protocol with this RFC 3861 label.
    Protocol(Arc<str>),
    /// A next hop in its adapter's own form; its scheme names the protocol.
    NextHop(Arc<str>),
}

/// Where operations between two domains go, and why. Shared by all of them until `valid_until`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decision {
    /// Each thing considered, in order, for a person.
    pub steps: Vec<String>,
    /// The result.
    pub result: Result<Choice, Failure>,
    /// When it must be made anew; none while the configuration alone decided.
    #[serde(skip)]
    pub valid_until: Option<Instant>,
}

impl Decision {
    /// The step that decided, for one line of text.
    pub fn why(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }
}

/// The adapter and hop chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The instance.
    pub adapter: InstanceName,
    /// Its place among the hub's instances.
    #[serde(skip)]
    pub(crate) index: usize,
    /// Where it should go from there.
    pub hop: Arc<Hop>,
}

/// What the router knows of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: InstanceName,
    pub(crate) capabilities: Capabilities,
}

/// What to do next for one pair of domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Configuration alone decides.
    Ready(Result<(usize, Hop), Failure>),
    /// The adapter is known; its own discovery finds the hop (RFC 3263, RFC 6120 §3.2).
    Native(usize),
    /// RFC 3861 decides among these labels, then native discovery in the same order.
    Discover(Vec<Arc<str>>),
}

/// Everything a plan is made from.
pub(crate) struct Router<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) routing: &'a RoutingConfig,
    pub(crate) candidates: &'a [Candidate],
}

impl Router<'_> {
    /// Decides as far as configuration goes, for an operation that came in through `near`.
    pub(crate) fn plan(&self, near: &InstanceName, from: &Domain, to: &Domain, steps: &mut Vec<String>) -> Plan {
        if let Some(entry) = self.configuration.domain(to) {
            if from == to && self.is_network(near) {
                // Its own network did not keep it: sent back there it would come again.
                steps.push(format!("{to} is the network it came from"));
                return Plan::Ready(Err(Failure::new(Side::Near, Cause::Loop)));
            }
            if let Some(plan) = self.by_domain(entry, from, steps) {
                return plan;
            }
        } else {
            steps.push(format!("{to} has no [[domain]] table"));
        }
        if let Some(plan) = self.by_route(from, to, steps) {
            return plan;
        }
        self.by_discovery(near, from, steps)
    }

    fn by_domain(&self, entry: &DomainEntry, from: &Domain, steps: &mut Vec<String>) -> Option<Plan> {
        let named = match (&entry.adapter, &entry.next_hop) {
            (Some(adapter), _) => self.candidates.iter().position(|c| c.name == *adapter),
            (None, Some(hop)) => self.of_scheme(hop, from),
            (None, None) => return None,
        };
        let Some(chosen) = named.and_then(|index| self.speaking_for(index, from)) else {
            steps.push(format!("[[domain]] {}: no adapter of that network can send as {from}", entry.name));
            return None;
        };
        let adapter = self.name(chosen);
        match &entry.next_hop {
            Some(hop) => steps.push(format!("[[domain]] {}: adapter {adapter}, next hop {hop}", entry.name)),
            None => steps.push(format!("[[domain]] {}: adapter {adapter}", entry.name)),
        }
        Some(self.reach(chosen, entry.next_hop.as_ref()))
    }

    fn by_route(&self, from: &Domain, to: &Domain, steps: &mut Vec<String>) -> Option<Plan> {
        for (number, route) in self.routing.routes.iter().enumerate() {
            if !(route.from.matches(from) && route.to.matches(to)) {
                continue;
            }
            let chosen = match &route.via {
                Via::Adapter(adapter) => self.candidates.iter().position(|c| c.name == *adapter),
                Via::Protocol(label) => self.of_label(label, from),
                Via::NextHop(hop) => self.of_scheme(hop, from),
            };
            let Some(chosen) = chosen.filter(|index| self.sends_as(*index, from)) else {
                steps.push(format!("route[{number}] matches, but its adapter cannot send as {from}"));
                continue;
            };
            steps.push(format!("route[{number}]: adapter {}", self.name(chosen)));
            let fixed = match &route.via {
                Via::NextHop(hop) => Some(hop),
                Via::Adapter(_) | Via::Protocol(_) => None,
            };
            return Some(self.reach(chosen, fixed));
        }
        None
    }

    // RFC 7247 §5: the source's own network is asked first, lest a domain that has both be sent around a loop.
    fn by_discovery(&self, near: &InstanceName, from: &Domain, steps: &mut Vec<String>) -> Plan {
        let labels: Vec<Arc<str>> =
            self.routing.supported.iter().filter(|label| self.label_known(label, near, from)).cloned().collect();
        if labels.is_empty() {
            steps.push("no adapter of a protocol with an RFC 3861 label can be asked".to_owned());
            return Plan::Ready(Err(Failure::new(Side::Ours, Cause::NoRoute)));
        }
        Plan::Discover(labels)
    }

    fn label_known(&self, label: &str, near: &InstanceName, from: &Domain) -> bool {
        let is_near =
            self.candidates.iter().any(|c| c.name == *near && c.capabilities.srv_label.as_deref() == Some(label));
        is_near || self.of_label(label, from).is_some()
    }

    /// The instance that serves what discovery found, if it is not the source's own network.
    pub(crate) fn discovered(&self, label: &str, near: &InstanceName, from: &Domain) -> Result<usize, Failure> {
        let own = self.candidates.iter().find(|c| c.name == *near).and_then(|c| c.capabilities.srv_label.as_deref());
        if own == Some(label) {
            return Err(Failure::new(Side::Near, Cause::NoRoute)
                .with_text("the addressee's domain is served by the network the message came from"));
        }
        self.of_label(label, from).ok_or_else(|| Failure::new(Side::Ours, Cause::NoRoute))
    }

    pub(crate) fn reach(&self, index: usize, fixed: Option<&Arc<str>>) -> Plan {
        let standing = self.candidates.get(index).is_some_and(|c| c.capabilities.standing_link);
        match fixed {
            Some(hop) => Plan::Ready(Ok((index, Hop::Fixed(hop.clone())))),
            None if standing => Plan::Ready(Ok((index, Hop::Link))),
            None => Plan::Native(index),
        }
    }

    /// The instance itself or, where its link serves another domain, a sibling that can send as `from`.
    fn speaking_for(&self, index: usize, from: &Domain) -> Option<usize> {
        if self.sends_as(index, from) {
            return Some(index);
        }
        let protocol = &self.candidates.get(index)?.capabilities.protocol;
        (0..self.candidates.len()).find(|other| {
            self.sends_as(*other, from)
                && self.candidates.get(*other).is_some_and(|c| c.capabilities.protocol == *protocol)
        })
    }

    /// The instance for a protocol label; one that finds its own hops before one that is bound to a link.
    pub(crate) fn of_label(&self, label: &str, from: &Domain) -> Option<usize> {
        let fits = |index: &usize| {
            self.sends_as(*index, from)
                && self.candidates.get(*index).is_some_and(|c| c.capabilities.srv_label.as_deref() == Some(label))
        };
        (0..self.candidates.len())
            .filter(fits)
            .min_by_key(|index| self.candidates.get(*index).is_some_and(|c| c.capabilities.standing_link))
    }

    /// Whether there is a network behind the instance that delivers among its own users, unlike the native protocol.
    fn is_network(&self, name: &InstanceName) -> bool {
        self.candidates.iter().any(|c| c.name == *name && c.capabilities.srv_label.is_some())
    }

    fn of_scheme(&self, hop: &str, from: &Domain) -> Option<usize> {
        let scheme = hop.split(':').next().unwrap_or(hop).trim_end_matches('s');
        (0..self.candidates.len()).find(|index| {
            self.sends_as(*index, from)
                && self.candidates.get(*index).is_some_and(|c| c.capabilities.protocol.eq_ignore_ascii_case(scheme))
        })
    }

    fn sends_as(&self, index: usize, from: &Domain) -> bool {
        self.candidates.get(index).is_some_and(|c| c.capabilities.sends_as.allows(from))
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        self.candidates.get(index).map_or("", |c| c.name.as_str())
    }
}

/// Whether an instance can take the operation at all.
pub(crate) fn carries(candidate: &Candidate, kind: Kind) -> bool {
    candidate.capabilities.carries(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{candidate, configuration, domain};
    use adapter_api::SendsAs;

    fn candidates() -> Vec<Candidate> {
        let mut office = candidate("office", "xmpp", Some("_xmpp"), true);
        office.capabilities.sends_as = SendsAs::Domains(vec![domain("sip.example")]);
        let mut second = candidate("second", "xmpp", Some("_xmpp"), true);
        second.capabilities.sends_as = SendsAs::Domains(vec![domain("native.example")]);
        vec![candidate("sip", "sip", Some("_sip"), false), office, second, candidate("native", "native", None, true)]
    }

    fn plan(near: &str, from: &str, to: &str) -> (Plan, Vec<String>) {
        let configuration =
            configuration(&[("sip.example", "sip"), ("xmpp.example", "office"), ("native.example", "native")]);
        let routing = RoutingConfig {
            routes: vec![Route {
                from: DomainPattern::Any,
                to: "*.routed.example".parse().unwrap(),
                via: Via::NextHop("sip:192.0.2.9;transport=tcp".into()),
            }],
            supported: vec!["_sip".into(), "_xmpp".into()],
        };
        let candidates = candidates();
        let router = Router { configuration: &configuration, routing: &routing, candidates: &candidates };
        let mut steps = Vec::new();
        let plan = router.plan(&near.into(), &domain(from), &domain(to), &mut steps);
        (plan, steps)
    }

    #[test]
    fn a_listed_domain_uses_its_adapter_alone() {
        assert_eq!(plan("sip", "sip.example", "xmpp.example").0, Plan::Ready(Ok((1, Hop::Link))));
        assert_eq!(plan("office", "xmpp.example", "sip.example").0, Plan::Native(0));
    }

    #[test]
    fn a_network_gets_its_own_message_back_as_a_loop_and_native_users_reach_each_other() {
        let (plan_back, _) = plan("sip", "sip.example", "sip.example");
        assert!(matches!(plan_back, Plan::Ready(Err(failure)) if failure.cause == Cause::Loop));
        assert_eq!(plan("native", "native.example", "native.example").0, Plan::Ready(Ok((3, Hop::Link))));
    }

    // checks: CMPN-003
    #[test]
    fn a_sibling_link_takes_what_the_named_one_may_not_send() {
        assert_eq!(plan("native", "native.example", "xmpp.example").0, Plan::Ready(Ok((2, Hop::Link))));
    }

    // checks: AR-27
    #[test]
    fn a_route_takes_precedence_over_dns() {
        let (plan, steps) = plan("office", "xmpp.example", "a.routed.example");
        assert_eq!(plan, Plan::Ready(Ok((0, Hop::Fixed("sip:192.0.2.9;transport=tcp".into())))));
        assert!(steps.last().is_some_and(|step| step.contains("route[0]")));
    }

    // checks: AR-05
    // checks: REQ-2.1.5, REQ-2.2.1
    #[test]
    fn rfc3861_s5_an_unlisted_domain_is_discovered_in_the_local_order() {
        assert_eq!(plan("sip", "sip.example", "far.example").0, Plan::Discover(vec!["_sip".into(), "_xmpp".into()]));
    }

    // checks: ARC-003
    #[test]
    fn rfc7247_s5_nothing_goes_back_to_the_network_it_came_from() {
        let configuration = configuration(&[("sip.example", "sip")]);
        let (routing, candidates) = (RoutingConfig::default(), candidates());
        let router = Router { configuration: &configuration, routing: &routing, candidates: &candidates };
        let found = |label, near: &str| router.discovered(label, &near.into(), &domain("sip.example"));
        assert_eq!(found("_sip", "sip").map_err(|f| f.cause), Err(Cause::NoRoute));
        assert_eq!(found("_xmpp", "sip").map_err(|f| f.cause), Ok(1));
    }
}
