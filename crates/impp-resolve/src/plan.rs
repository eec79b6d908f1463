use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use impp_model::Domain;

use crate::dns::{Name, Srv};
use crate::lookup::{Found, Lookup, Trace};
use crate::order::{Draw, order_by_weight};
use crate::protocol::Protocol;
use crate::resolution::{Outcome, Reason, Resolution, Step, Target, Transport, Via};

/// What bounds the targets of a decision.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many targets are looked up; fewer than two are taken for two (RFC 3861 §6).
    pub max_targets: usize,
    /// Addresses of this gateway, which are never a way to anybody else.
    pub own_listeners: Vec<SocketAddr>,
    /// Whether an address belongs to this host; asked for those that a listener on all addresses would be reached at.
    pub is_here: fn(IpAddr) -> bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_targets: DEFAULT_MAX_TARGETS, own_listeners: Vec::new(), is_here: surely_here }
    }
}

/// A domain with more hosts than this gains nothing by the rest, and a hostile one could make us ask for ever.
const DEFAULT_MAX_TARGETS: usize = 8;

/// RFC 3861 §6: at least two addresses should be tried.
const MIN_MAX_TARGETS: usize = 2;

/// RFC 2308 §7 allows five minutes; a server that failed should be asked again soon, but not for every message.
const FAILURE_TTL: Duration = Duration::from_secs(5);

/// A host before its addresses are known.
pub(crate) struct Candidate {
    pub(crate) srv: Srv,
    pub(crate) transport: Option<Transport>,
    pub(crate) direct_tls: Option<bool>,
}

impl Candidate {
    /// The host itself at a port, as an SRV record of preference 0 would have it (RFC 3861 §4).
    pub(crate) fn implicit(host: Name, port: u16, transport: Option<Transport>) -> Self {
        Self { srv: Srv { priority: 0, weight: 0, port, target: host }, transport, direct_tls: None }
    }
}

/// What the SRV records of a service say.
pub(crate) enum Discovery {
    /// Where it is.
    Found(Vec<Candidate>),
    /// There is no record.
    Absent,
    /// RFC 2782: it is decidedly not available.
    NotOffered,
    /// It is not known whether there is a record.
    Failed,
}

impl Discovery {
    pub(crate) fn of_srv(found: Found<Srv>, transport: Option<Transport>, direct_tls: Option<bool>) -> Self {
        let records = match found {
            Found::Records(records) => records,
            Found::Nothing => return Self::Absent,
            Found::Failed => return Self::Failed,
        };
        // RFC 2782: "." says that the service is not here; among other targets it says nothing.
        let real = records.into_iter().filter(|srv| !srv.target.is_root());
        let candidates: Vec<_> = real.map(|srv| Candidate { srv, transport, direct_tls }).collect();
        if candidates.is_empty() { Self::NotOffered } else { Self::Found(candidates) }
    }
}

/// A way that was found, if perhaps one that leads nowhere.
pub(crate) struct Choice {
    pub(crate) via: Via,
    pub(crate) protocol: Protocol,
    pub(crate) targets: Vec<Target>,
}

/// Whether the targets of a choice can be connected to.
pub(crate) enum Reach {
    Reachable,
    Unreachable(Reason),
    /// No address was found, but not every query was answered.
    Unknown,
}

/// Puts candidates in order and looks up their addresses.
pub(crate) async fn place(
    lookup: &mut Lookup<'_>,
    candidates: Vec<Candidate>,
    limits: &Limits,
    draw: &mut Draw<'_>,
) -> (Vec<Target>, Reach) {
    let mut candidates = order_by_weight(candidates, |candidate| &candidate.srv, draw);
    candidates.truncate(limits.max_targets.max(MIN_MAX_TARGETS));
    let found = addresses(lookup, &candidates).await;
    let failed = found.values().any(|found| matches!(found, Found::Failed));
    let addresses = |host: &Name| match found.get(host) {
        Some(Found::Records(addresses)) => addresses.clone(),
        Some(Found::Nothing | Found::Failed) | None => Vec::new(),
    };
    let mut targets: Vec<Target> =
        candidates.into_iter().map(|candidate| (addresses(&candidate.srv.target), candidate)).map(target).collect();
    let skipped = skip_own_listeners(lookup, &mut targets, limits);
    let reach = if targets.iter().any(|target| !target.addresses.is_empty()) {
        Reach::Reachable
    } else if failed {
        Reach::Unknown
    } else {
        Reach::Unreachable(if skipped { Reason::OwnListener } else { Reason::NoTargetAddress })
    };
    (targets, reach)
}

/// The addresses of every host, each looked up once, in the order of the candidates.
async fn addresses(lookup: &mut Lookup<'_>, candidates: &[Candidate]) -> BTreeMap<Name, Found<IpAddr>> {
    let mut hosts: Vec<Name> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if !hosts.contains(&candidate.srv.target) {
            hosts.push(candidate.srv.target.clone());
        }
    }
    let found = lookup.addresses(&hosts, "addresses of a target").await;
    hosts.into_iter().zip(found).collect()
}

fn target((addresses, candidate): (Vec<IpAddr>, Candidate)) -> Target {
    let Candidate { srv: Srv { priority, weight, port, target }, transport, direct_tls } = candidate;
    Target { target, port, priority, weight, transport, direct_tls, addresses }
}

/// Removes this gateway's own addresses; a message sent there would come back.
fn skip_own_listeners(lookup: &mut Lookup<'_>, targets: &mut [Target], limits: &Limits) -> bool {
    let mut skipped = false;
    for target in targets {
        let port = target.port;
        target.addresses.retain(|address| {
            let address = SocketAddr::new(*address, port);
            let is_own = limits.own_listeners.iter().any(|listener| leads_to(address, *listener, limits.is_here));
            if is_own {
                lookup.note(format!("{address} skipped"), "it is a listener of this gateway");
                skipped = true;
            }
            !is_own
        });
    }
    skipped
}

/// Whether `address` is that of a listener; one on all addresses is at every address of this host.
fn leads_to(address: SocketAddr, listener: SocketAddr, is_here: fn(IpAddr) -> bool) -> bool {
    let ip = address.ip().to_canonical();
    // Connecting to the unspecified address leads to this host, whatever it listens on.
    let same = ip == listener.ip().to_canonical() || (ip.is_unspecified() && listener.ip() == loopback_like(ip));
    address.port() == listener.port() && (same || (listener.ip().is_unspecified() && is_here(ip)))
}

/// The addresses that no other host has.
fn surely_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

fn loopback_like(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

impl Resolution {
    pub(crate) fn local(domain: &Domain) -> Self {
        let mut trace = Trace::default();
        let result = format!("{domain} is served here");
        trace.steps.push(Step { query: None, result, why: "a local domain is never looked up".into() });
        Self::new(Outcome::Local, None, None, None, trace)
    }

    /// RFC 3861 §3: such a name is not looked up.
    pub(crate) fn not_fully_qualified() -> Self {
        Self::new(Outcome::Failure, Some(Reason::NotFullyQualified), None, None, Trace::default())
    }

    pub(crate) fn deliver(choice: Choice, domain: &Domain, trace: Trace) -> Self {
        Self::new(Outcome::Deliver, None, Some(choice), Some(domain.clone()), trace)
    }

    pub(crate) fn refuse(reason: Reason, choice: Option<Choice>, domain: &Domain, trace: Trace) -> Self {
        let identity = choice.is_some().then(|| domain.clone());
        Self::new(Outcome::Failure, Some(reason), choice, identity, trace)
    }

    pub(crate) fn unknown(mut trace: Trace) -> Self {
        trace.ttl = Some(trace.ttl.map_or(FAILURE_TTL, |ttl| ttl.min(FAILURE_TTL)));
        Self::new(Outcome::TemporaryFailure, Some(Reason::Dns), None, None, trace)
    }

    fn new(
        outcome: Outcome,
        reason: Option<Reason>,
        choice: Option<Choice>,
        tls_reference_identity: Option<Domain>,
        trace: Trace,
    ) -> Self {
        let (via, protocol, targets) = match choice {
            Some(Choice { via, protocol, targets }) => (Some(via), Some(protocol), targets),
            None => (None, None, Vec::new()),
        };
        let queries = trace.steps.iter().filter_map(|step| step.query.clone()).collect();
        let ttl = trace.ttl.unwrap_or_default();
        let steps = trace.steps;
        Self { outcome, reason, via, protocol, targets, tls_reference_identity, queries, steps, ttl }
    }
}

/// The decision of one protocol's own discovery, which falls back only if there is no record.
pub(crate) async fn locate(
    mut lookup: Lookup<'_>,
    domain: &Domain,
    protocol: Protocol,
    discovery: Discovery,
    (fallback, fallback_via): (Candidate, Via),
    limits: &Limits,
    draw: &mut Draw<'_>,
) -> Resolution {
    let (candidates, via) = match discovery {
        Discovery::Found(candidates) => (candidates, Via::NativeSrv),
        Discovery::Absent => (vec![fallback], fallback_via),
        Discovery::NotOffered => {
            return Resolution::refuse(Reason::NativeNotOffered, None, domain, lookup.into_trace());
        }
        Discovery::Failed => return Resolution::unknown(lookup.into_trace()),
    };
    let (targets, reach) = match domain.ip() {
        Some(address) => {
            (candidates.into_iter().map(|candidate| target((vec![address], candidate))).collect(), Reach::Reachable)
        }
        None => place(&mut lookup, candidates, limits, draw).await,
    };
    let trace = lookup.into_trace();
    match reach {
        Reach::Reachable => Resolution::deliver(Choice { via, protocol, targets }, domain, trace),
        Reach::Unknown => Resolution::unknown(trace),
        Reach::Unreachable(Reason::NoTargetAddress) if via != Via::NativeSrv => {
            Resolution::refuse(Reason::NotFound, None, domain, trace)
        }
        Reach::Unreachable(reason) => {
            Resolution::refuse(reason, Some(Choice { via, protocol, targets }), domain, trace)
        }
    }
}
