use std::collections::BTreeSet;
use std::sync::Arc;

use impp_model::Domain;
use impp_model::domain::DomainError;
use impp_model::uri::{ImppUri, UriError};

use crate::dns::{Dns, Name};
use crate::lookup::Lookup;
use crate::order::Draw;
use crate::plan::{Candidate, Choice, Discovery, Limits, Reach, place};
use crate::protocol::{Protocol, Service};
use crate::resolution::{Reason, Resolution, Transport, Via};
use crate::{sip, xmpp};

/// Decides which protocol serves a domain and where, by RFC 3861.
#[derive(Clone)]
pub struct Resolver {
    dns: Arc<dyn Dns>,
    options: Options,
}

/// How a [`Resolver`] decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Protocols that can be spoken, in the order of preference, which alone chooses among them (RFC 3861 §5).
    pub supported: Vec<Protocol>,
    /// Domains served here.
    pub local_domains: BTreeSet<Domain>,
    /// Whether to ask the protocols' own discovery after RFC 3861 found no record.
    pub native: bool,
    /// Whether a domain without any SRV record is tried at its own addresses (RFC 3861 §4).
    pub implicit: bool,
    /// When to ask if the domain is an alias.
    pub alias_check: AliasCheck,
    /// Bounds of the targets.
    pub limits: Limits,
    /// Transports that SIP can be spoken over.
    pub sip_transports: Vec<Transport>,
    /// Whether XMPP can be spoken over TLS from the first octet on (XEP-0368).
    pub xmpp_direct_tls: bool,
}

/// When a domain is taken for an alias, whose target then stands for it in all lookups (RFC 3861 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasCheck {
    /// Never asked.
    Never,
    /// Asked before anything else.
    First,
    /// Asked when the domain itself has no record of the service, which costs the common case nothing.
    Last,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            supported: vec![Protocol::SIP, Protocol::XMPP],
            local_domains: BTreeSet::new(),
            native: true,
            implicit: true,
            alias_check: AliasCheck::Last,
            limits: Limits::default(),
            sip_transports: vec![Transport::Tls, Transport::Tcp, Transport::Udp],
            xmpp_direct_tls: true,
        }
    }
}

impl Resolver {
    /// A resolver that asks `dns`.
    pub fn new(dns: Arc<dyn Dns>, options: Options) -> Self {
        Self { dns, options }
    }

    /// How it decides.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Decides about an `im:` or `pres:` URI; one whose domain can't be looked up is a failed resolution, no error.
    pub async fn resolve_uri(
        &self,
        uri: &str,
        source: Option<&Protocol>,
        draw: &mut Draw<'_>,
    ) -> Result<Resolution, UriError> {
        let uri = match ImppUri::parse(uri) {
            Ok(uri) => uri,
            Err(UriError::Domain { cause: DomainError::NotFullyQualified | DomainError::IpLiteral, .. }) => {
                return Ok(Resolution::not_fully_qualified());
            }
            Err(error) => return Err(error),
        };
        let service = uri.scheme().into();
        let address = uri.into_address().ok_or(UriError::Mailbox { at: 0 })?;
        Ok(self.resolve(service, address.domain(), source, draw).await)
    }

    /// Decides about a domain.
    ///
    /// `source` is the protocol that the operation came by; its own discovery goes first, so that a domain which
    /// speaks it is known to be in the source's network (RFC 7247 §5).
    pub async fn resolve(
        &self,
        service: Service,
        domain: &Domain,
        source: Option<&Protocol>,
        draw: &mut Draw<'_>,
    ) -> Resolution {
        if self.options.local_domains.contains(domain) {
            return Resolution::local(domain);
        }
        if !domain.is_fqdn() {
            return Resolution::not_fully_qualified();
        }
        let lookup = Lookup::new(&*self.dns);
        let search = Search { options: &self.options, lookup, draw, failed: false, not_offered: None, unusable: None };
        search.run(service, domain, source).await
    }
}

/// One decision in progress.
struct Search<'a, 'd> {
    options: &'a Options,
    lookup: Lookup<'a>,
    draw: &'a mut Draw<'d>,
    /// A query failed, so that absence is not proven.
    failed: bool,
    /// A service was declined by its domain.
    not_offered: Option<Reason>,
    /// The first way found that leads nowhere.
    unusable: Option<(Reason, Choice)>,
}

impl Search<'_, '_> {
    async fn run(mut self, service: Service, domain: &Domain, source: Option<&Protocol>) -> Resolution {
        match self.find(service, domain, source).await {
            Some(choice) => Resolution::deliver(choice, domain, self.lookup.into_trace()),
            None => self.refuse(domain),
        }
    }

    async fn find(&mut self, service: Service, domain: &Domain, source: Option<&Protocol>) -> Option<Choice> {
        let mut base = Name::from(domain);
        if self.options.alias_check == AliasCheck::First {
            base = self.canonical(base).await?;
        }
        if let Some(choice) = self.find_service(service, &base).await {
            return Some(choice);
        }
        if self.options.alias_check == AliasCheck::Last && !self.is_settled() {
            let canonical = self.canonical(base.clone()).await?;
            if canonical != base {
                base = canonical;
                if let Some(choice) = self.find_service(service, &base).await {
                    return Some(choice);
                }
            }
        }
        if self.options.native && !self.is_settled() {
            self.lookup.note("native discovery".into(), "RFC 3861 found no record of the service");
            if let Some(choice) = self.find_native(&base, source).await {
                return Some(choice);
            }
        }
        // RFC 3861 §4: once there is an SRV record, addresses of the domain itself are not to be used.
        if self.options.implicit && !self.is_settled() { self.find_implicit(base, source).await } else { None }
    }

    /// The name to look up: the domain's, or that of which it is an alias.
    async fn canonical(&mut self, name: Name) -> Option<Name> {
        let canonical = self.lookup.canonical(name, "RFC 3861: the domain may be an alias").await;
        self.failed |= canonical.is_none();
        canonical
    }

    /// RFC 3861 §3: `_im` or `_pres` of each protocol, in local order.
    async fn find_service(&mut self, service: Service, base: &Name) -> Option<Choice> {
        let options = self.options;
        for protocol in &options.supported {
            let name = base.below(&format!("{}.{protocol}", service.label()));
            let found = self.lookup.srv(name, "RFC 3861: does the service speak this protocol").await;
            let discovery = Discovery::of_srv(found, None, None);
            let choice = self.consider(discovery, Via::Rfc3861Srv, protocol, Reason::NotOffered).await;
            if choice.is_some() {
                return choice;
            }
        }
        None
    }

    /// RFC 7247 §5: the protocols' own discovery, the source's own first.
    async fn find_native(&mut self, base: &Name, source: Option<&Protocol>) -> Option<Choice> {
        let options = self.options;
        let others = options.supported.iter().filter(|protocol| Some(*protocol) != source);
        for protocol in source.into_iter().chain(others) {
            let discovery = match protocol.as_str() {
                "_sip" => sip::discover(&mut self.lookup, base, false, &options.sip_transports).await,
                "_xmpp" => xmpp::discover(&mut self.lookup, base, options.xmpp_direct_tls).await,
                _ => Discovery::Absent,
            };
            let choice = self.consider(discovery, Via::NativeSrv, protocol, Reason::NativeNotOffered).await;
            if choice.is_some() {
                return choice;
            }
        }
        None
    }

    /// RFC 3861 §4: the domain itself, as if an SRV record pointed to it.
    async fn find_implicit(&mut self, base: Name, source: Option<&Protocol>) -> Option<Choice> {
        let with_port = || self.options.supported.iter().filter_map(|p| p.default_port().map(|port| (p, port)));
        // A domain in the source's own network would not have been sent here.
        let foreign = with_port().find(|(protocol, _)| Some(*protocol) != source);
        let (protocol, port) = foreign.or_else(|| with_port().next())?;
        let candidates = vec![Candidate::implicit(base, port, None)];
        let choice = self.consider(Discovery::Found(candidates), Via::ImplicitSrv, protocol, Reason::NotFound).await;
        // A domain without addresses does not resolve; that is no way at all.
        self.unusable.take_if(|(reason, _)| *reason == Reason::NoTargetAddress);
        choice
    }

    /// Takes a way if it leads somewhere, else remembers why not.
    async fn consider(
        &mut self,
        discovery: Discovery,
        via: Via,
        protocol: &Protocol,
        not_offered: Reason,
    ) -> Option<Choice> {
        let candidates = match discovery {
            Discovery::Found(candidates) => candidates,
            Discovery::Absent => return None,
            Discovery::NotOffered => {
                self.not_offered = Some(not_offered);
                return None;
            }
            Discovery::Failed => {
                self.failed = true;
                return None;
            }
        };
        let (targets, reach) = place(&mut self.lookup, candidates, &self.options.limits, self.draw).await;
        let choice = Choice { via, protocol: protocol.clone(), targets };
        match reach {
            Reach::Reachable => return Some(choice),
            Reach::Unknown => self.failed = true,
            Reach::Unreachable(reason) => {
                self.unusable.get_or_insert((reason, choice));
            }
        }
        None
    }

    /// Whether something was found that forbids to look further.
    fn is_settled(&self) -> bool {
        self.failed || self.not_offered.is_some() || self.unusable.is_some()
    }

    fn refuse(self, domain: &Domain) -> Resolution {
        let trace = self.lookup.into_trace();
        // RFC 2782 would go on to address records; but an unanswered query proves nothing.
        if self.failed {
            return Resolution::unknown(trace);
        }
        match (self.unusable, self.not_offered) {
            (Some((reason, choice)), _) => Resolution::refuse(reason, Some(choice), domain, trace),
            (None, Some(reason)) => Resolution::refuse(reason, None, domain, trace),
            (None, None) => Resolution::refuse(Reason::NotFound, None, domain, trace),
        }
    }
}
