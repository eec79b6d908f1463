//! What an operator may change while the hub runs.

use crate::core::Core;
use crate::policy::Policy;
use crate::rates::{RateLimits, Rates};
use crate::routing::RoutingConfig;
use adapter_api::{Configuration, DomainEntry};
use impp_model::Domain;
use std::sync::Arc;

/// Domains, routes and policy: always replaced as a whole, so that nothing is judged by half of a change.
#[derive(Debug, Clone)]
pub struct Rulebook {
    /// What adapters see, too.
    pub configuration: Arc<Configuration>,
    /// `[[route]]` and `[routing]`.
    pub routing: RoutingConfig,
    /// `[policy]`.
    pub policy: Policy,
    /// `[policy.rates]`.
    pub rates: RateLimits,
}

impl Rulebook {
    /// What its own network calls a domain.
    pub(crate) fn wire_name<'a>(&'a self, domain: &'a Domain) -> &'a Domain {
        self.configuration.domain(domain).map_or(domain, DomainEntry::wire_name)
    }
}

impl Core {
    /// The rulebook in use.
    pub fn rulebook(&self) -> Arc<Rulebook> {
        self.rules.load_full()
    }

    /// Has everything that comes from here on judged by another rulebook, and tells the adapters.
    ///
    /// What is under way goes on as it was decided; what waits in the ledger is decided anew when it is tried. Who has
    /// used up a rate stays so unless the rates, or a rule where one has a rate, have changed.
    pub fn replace_rulebook(&self, book: Rulebook) {
        let (configuration, book) = (book.configuration.clone(), Arc::new(book));
        self.rules.store(Arc::clone(&book));
        if !self.rates.load().is_of(book.rates, &book.policy.rules) {
            self.rates.store(Arc::new(Rates::new(book.rates, &book.policy.rules)));
        }
        // Look-ups that began before may still end: their decisions are of an older edition.
        self.decisions.write().renew();
        self.config.configuration.send_if_modified(|known| {
            let is_new = !Arc::ptr_eq(known, &configuration);
            *known = configuration;
            is_new
        });
    }
}
