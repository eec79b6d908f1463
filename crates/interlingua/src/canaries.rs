//! Canaries: which address of a peer sends them back, where they come from, and those that are sent all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use impp_model::{Address, domain::Domain};
use interwork::Sample;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Config, Role};
use crate::reload::Reloader;

/// How long a canary may take there and back: longer than a held message, shorter than an operator's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked whether one is due, and whether the configuration has changed.
const LOOK: Duration = Duration::from_secs(1);

/// A peer that gets a canary every so often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    from: Domain,
    echo: Address,
    every: Duration,
}

/// The canaries that a configuration wants sent all the time.
pub(crate) fn planned(config: &Config) -> Vec<Planned> {
    let plan = |table: &crate::config::DomainTable| {
        let (echo, every) = (table.echo_address()?, table.canary_every?);
        Some(Planned { from: source(config, table.seen_as())?, echo, every })
    };
    config.domain.iter().filter_map(plan).collect()
}

/// The local domain on whose behalf a peer is tried: one that it sees in another network.
pub(crate) fn source(config: &Config, peer: &Domain) -> Option<Domain> {
    let tables = &config.domain;
    let adapter = tables.iter().find(|table| table.seen_as() == peer).and_then(|table| table.adapter.as_ref());
    // A component speaks for one domain alone (XEP-0114).
    let link = adapter.and_then(|name| config.adapter.get(name)?.get("domain")?.as_str());
    if let Some(link) = link.and_then(|name| Domain::parse_host(name).ok()) {
        return Some(link);
    }
    let other = tables.iter().find(|table| {
        table.role == Role::Local && table.seen_as() != peer && (adapter.is_none() || table.adapter.as_ref() != adapter)
    });
    other.map(|table| table.seen_as().clone())
}

/// Sends what is due, as the configuration in use says at that moment; runs until dropped.
pub(crate) async fn send(reloader: &Reloader) {
    let mut due: BTreeMap<Address, Instant> = BTreeMap::new();
    let mut flying = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        while flying.try_join_next().is_some() {}
        let (planned, now) = (reloader.canaries(), Instant::now());
        due.retain(|echo, _| planned.iter().any(|plan| plan.echo == *echo));
        for Planned { from, echo, every } in planned {
            if due.get(&echo).is_some_and(|due| *due > now) || reloader.core().is_draining() {
                continue;
            }
            due.insert(echo.clone(), now + every);
            let core = reloader.core().clone();
            flying.spawn(async move {
                let (message, presence) = (Sample::Message, Sample::Presence);
                tokio::join!(
                    core.canary(&from, &echo, message, PATIENCE),
                    core.canary(&from, &echo, presence, PATIENCE)
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::path::Path;

    const HEAD: &str = r#"
[gateway]
name = "gw.example.net"
[adapter.sip]
type = "sip"
listen = ["tcp:127.0.0.1:0"]
[adapter.office]
type = "xmpp-component"
connect = "127.0.0.1:5347"
domain = "sip.example"
secret = "x"
[[domain]]
name = "sip.example"
adapter = "sip"
trusted = ["127.0.0.1/32"]
echo = "echo@sip.example"
canary_every = "1m"
[[domain]]
name = "xmpp.example"
adapter = "office"
echo = "echo@xmpp.example"
"#;

    fn domain(name: &str) -> Domain {
        Domain::parse_host(name).unwrap()
    }

    #[test]
    fn a_canary_comes_from_a_domain_that_the_link_may_speak_for() {
        let config = config::load_text(HEAD, Path::new("gw.toml")).unwrap().config;
        assert_eq!(source(&config, &domain("xmpp.example")), Some(domain("sip.example")), "the component's own");
        assert_eq!(source(&config, &domain("sip.example")), Some(domain("xmpp.example")), "of another network");
        let planned = planned(&config);
        let plan = |plan: &Planned| (plan.from.to_string(), plan.echo.to_string(), plan.every.as_secs());
        let expected = ("xmpp.example".to_owned(), "echo@sip.example".to_owned(), 60);
        assert_eq!(planned.iter().map(plan).collect::<Vec<_>>(), [expected], "without canary_every only doctor sends");
    }
}
