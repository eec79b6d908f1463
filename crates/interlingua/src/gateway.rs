//! From a checked configuration to a hub with its adapters.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use adapter_api::{Configuration, Context as AdapterContext, DomainEntry, InstanceName};
use anyhow::{Context, Result, anyhow};
use impp_resolve::Limits;
use interwork::{
    Blocklist, Core, CoreConfig, DeliveryLimits, Instance, Policy, PresenceLimits, RateLimits, Relay, Route,
    RoutingConfig, Rule, Rulebook, Via,
};
use serde_json::Value;
use store::Store;
use tokio::sync::watch;
use transport::Tls;

use crate::adapters::Live;
use crate::blocklists;
use crate::config::{self, Action, Checked, Config, Notice, Role};
use crate::stored::Stored;
use crate::zone;

/// A hub and its adapters, none of them running yet.
pub(crate) struct Gateway {
    /// The hub.
    pub(crate) core: Arc<Core>,
    /// What the ledger is written to.
    pub(crate) store: Arc<dyn Store>,
    /// The adapters.
    pub(crate) instances: Vec<Instance>,
    /// The adapters that take over changes while they run, by name.
    pub(crate) live: Vec<(String, Arc<dyn Live>)>,
    /// Our certificates.
    pub(crate) tls: Arc<Tls>,
    /// Name service.
    pub(crate) dns: Arc<dyn impp_resolve::Dns>,
}

impl Gateway {
    /// Makes all of it; to be called within a runtime. Waits for the disk.
    pub(crate) fn new(checked: &Checked, stored: Stored) -> Result<Self> {
        let blocklist = blocklists::read(&checked.config.policy.blocklists).map_err(|problem| anyhow!(problem))?;
        let rules = rulebook(&checked.config, blocklist);
        let configuration = watch::Sender::new(rules.configuration.clone());
        let dns = zone::dns(&checked.config.dns)?;
        let tls = Tls::load(checked.config.tls.settings(), checked.config.gateway.name.clone());
        let tls = tls.map_err(|errors| {
            anyhow!("tls: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let tls = Arc::new(match zone::secure(&checked.config.dns)? {
            Some(secure) => tls.with_dnssec(secure),
            None => tls,
        });
        let context = AdapterContext { configuration: configuration.subscribe(), dns: dns.clone(), tls: tls.clone() };
        let (mut instances, mut live) = (Vec::new(), Vec::new());
        for (name, configured) in &checked.adapters {
            let name = InstanceName::from(name.as_str());
            let made = configured.make(name.clone(), context.clone()).with_context(|| format!("adapter.{name}"))?;
            live.extend(made.live.map(|live| (name.to_string(), live)));
            instances.push(Instance { name, adapter: made.adapter });
        }
        let Stored { store, storage } = stored;
        let config = core_config(&checked.config, rules, configuration);
        let core = Core::new(config, instances.clone(), dns.clone(), storage, rand::random());
        Ok(Self { core, store, instances, live, tls, dns })
    }
}

fn shared(config: &Config) -> Configuration {
    let entry = |table: &config::DomainTable| DomainEntry {
        name: table.seen_as().clone(),
        own_name: table.shown_as.as_ref().map(|_| table.name.clone()),
        role: match table.role {
            Role::Local => adapter_api::Role::Local,
            Role::Remote => adapter_api::Role::Remote,
        },
        adapter: table.adapter.as_deref().map(InstanceName::from),
        next_hop: table.next_hop.as_deref().map(Arc::from),
        trusted: table.trusted.iter().map(|network| network.0).collect(),
    };
    let trunk = |table: &config::DomainTable| Some((table.name.clone(), table.trunk.as_ref()?.shared()));
    Configuration {
        gateway: config.gateway.name.clone(),
        domains: config.domain.iter().map(entry).collect(),
        hold_timeout: config.delivery.hold_timeout,
        trunks: config.domain.iter().filter_map(trunk).collect(),
    }
}

/// What may change while the gateway runs.
pub(crate) fn rulebook(config: &Config, blocklist: Blocklist) -> Rulebook {
    Rulebook {
        configuration: Arc::new(shared(config)),
        routing: RoutingConfig {
            routes: config.route.iter().filter_map(route).collect(),
            supported: config.routing.supported.iter().map(|label| label.as_str().into()).collect(),
        },
        policy: policy(&config.policy, blocklist),
        rates: RateLimits { source: config.policy.rates.per_source, domain: config.policy.rates.per_domain },
    }
}

fn core_config(config: &Config, rules: Rulebook, configuration: watch::Sender<Arc<Configuration>>) -> CoreConfig {
    CoreConfig {
        rules,
        configuration,
        discovery: discovery_limits(config),
        traces: config.trace.recent,
        delivery: DeliveryLimits {
            hold_timeout: config.delivery.hold_timeout,
            write_ahead_after: config.delivery.write_ahead_after,
            expiry: config.delivery.expiry,
            warn_after: config.delivery.warn_after,
            notice: config.delivery.notice == Notice::Text,
            ..DeliveryLimits::default()
        },
        presence: PresenceLimits {
            per_watcher: config.presence.per_watcher,
            per_presentity: config.presence.per_presentity,
            per_domain: config.presence.per_domain,
            restart_rate: config.presence.restart_rate,
            polls: config.presence.polls,
        },
    }
}

/// What `[policy]` says, with the domains of its lists.
pub(crate) fn policy(config: &config::Policy, blocklist: Blocklist) -> Policy {
    let rules = config.rule.iter().map(|rule| Rule {
        from: rule.from.0.clone(),
        to: rule.to.0.clone(),
        kinds: rule.kinds.clone(),
        action: match rule.action {
            Action::Allow => interwork::Action::Allow,
            Action::Deny => interwork::Action::Deny,
        },
        max_content: rule.max_content,
        require_tls: rule.require_tls,
        rate: rule.rate,
    });
    let relay = match config.relay {
        config::Relay::Local => Relay::Local,
    };
    Policy { relay, rules: rules.collect(), blocklist: Arc::new(blocklist) }
}

/// The bounds of discovery: what leads back to this gateway is no way to anybody.
pub(crate) fn discovery_limits(config: &Config) -> Limits {
    Limits { own_listeners: own_listeners(config), is_here: transport::is_here, ..Limits::default() }
}

/// Every address of this gateway that the configuration names: a message never goes there.
pub(crate) fn own_listeners(config: &Config) -> Vec<SocketAddr> {
    let texts = config.adapter.values().flat_map(|table| {
        let values = ["listen", "advertise"].into_iter().filter_map(|key| table.get(key));
        values
            .flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice))
            .filter_map(Value::as_str)
    });
    let address = |text: &str| text.parse().ok().or_else(|| text.split_once(':')?.1.parse().ok());
    texts.filter_map(address).filter(|address: &SocketAddr| address.port() != 0).collect()
}

/// `check` has seen to it that there is exactly one way.
fn route(table: &config::RouteTable) -> Option<Route> {
    let adapter = || table.adapter.as_deref().map(|name| Via::Adapter(name.into()));
    let protocol = || table.protocol.as_deref().map(|label| Via::Protocol(label.into()));
    let next_hop = || table.next_hop.as_deref().map(|hop| Via::NextHop(hop.into()));
    let via = adapter().or_else(protocol).or_else(next_hop)?;
    Some(Route { from: table.from.0.clone(), to: table.to.0.clone(), via })
}

/// What `serve` says it serves: each adapter with its domains, none twice.
pub(crate) fn domains_of<'c>(config: &'c Config, adapter: &str) -> BTreeSet<&'c str> {
    let of_adapter = config.domain.iter().filter(|table| table.adapter.as_deref() == Some(adapter));
    of_adapter.map(|table| table.name.as_str()).collect()
}
