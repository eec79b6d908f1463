use impp_model::Domain;

use crate::dns::{Dns, Name};
use crate::lookup::Lookup;
use crate::order::Draw;
use crate::plan::{Candidate, Discovery, Limits, locate};
use crate::protocol::Protocol;
use crate::resolution::{Resolution, Via};

/// RFC 6120 §14.7.
pub(crate) const DEFAULT_PORT: u16 = 5269;

/// Finds the XMPP servers of a domain (RFC 6120 §3.2, XEP-0368 §3).
///
/// `direct_tls`: whether servers that begin with TLS are of use.
pub async fn locate_xmpp(
    dns: &dyn Dns,
    domain: &Domain,
    direct_tls: bool,
    limits: &Limits,
    draw: &mut Draw<'_>,
) -> Resolution {
    let mut lookup = Lookup::new(dns);
    let base = Name::from(domain);
    let (discovery, via) = if domain.ip().is_some() {
        (Discovery::Absent, Via::Direct)
    } else {
        (discover(&mut lookup, &base, direct_tls).await, Via::ImplicitSrv)
    };
    // RFC 6120 §3.2.2: without SRV records the domain itself at the registered port.
    let fallback = Candidate::implicit(base, DEFAULT_PORT, None);
    locate(lookup, domain, Protocol::XMPP, discovery, (fallback, via), limits, draw).await
}

/// Both kinds of SRV record as one set.
pub(crate) async fn discover(lookup: &mut Lookup<'_>, base: &Name, direct_tls: bool) -> Discovery {
    let mut sets = Vec::with_capacity(2);
    if direct_tls {
        let found = lookup.srv(base.below("_xmpps-server._tcp"), "XEP-0368: XMPP with TLS from the start").await;
        sets.push(Discovery::of_srv(found, None, Some(true)));
    }
    let found = lookup.srv(base.below("_xmpp-server._tcp"), "RFC 6120: XMPP servers of the domain").await;
    sets.push(Discovery::of_srv(found, None, Some(false)));
    mix(sets)
}

/// XEP-0368 §3: one order of priorities and weights for both.
fn mix(sets: Vec<Discovery>) -> Discovery {
    let (mut candidates, mut not_offered, mut failed) = (Vec::new(), false, false);
    for set in sets {
        match set {
            Discovery::Found(found) => candidates.extend(found),
            Discovery::Absent => {}
            Discovery::NotOffered => not_offered = true,
            Discovery::Failed => failed = true,
        }
    }
    match (candidates.is_empty(), failed, not_offered) {
        (false, _, _) => Discovery::Found(candidates),
        (true, true, _) => Discovery::Failed,
        (true, false, true) => Discovery::NotOffered,
        (true, false, false) => Discovery::Absent,
    }
}
