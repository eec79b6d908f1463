//! The certificates that peers are shown for a local domain.

use std::time::SystemTime;

use adapter_api::Check;
use serde_json::Value;
use transport::tls::{EXPIRY_WARNING, IdentityFault, Shown};

use super::{Patient, Report, names};
use crate::config::DomainTable;

/// Looks at what is shown to networks that speak TLS with this gateway about `table`.
pub(super) fn domain(patient: &Patient<'_>, table: &DomainTable, report: &mut Report) {
    let (in_sip, in_xmpp) = names::shown_in(patient.config, table);
    let speaks_tls = |kind: &str| {
        patient.config.adapter.values().any(|table| {
            let listens = table.get("listen").and_then(Value::as_array).into_iter().flatten();
            let mut secured = listens.filter_map(Value::as_str).filter(|listen| listen.starts_with("tls:"));
            let is_kind = table.get("type").and_then(Value::as_str) == Some(kind);
            // Servers of XMPP begin TLS on any stream.
            is_kind && (kind == "xmpp" || secured.next().is_some())
        })
    };
    let (sip, xmpp) = (in_sip && speaks_tls("sip"), in_xmpp && speaks_tls("xmpp"));
    if !sip && !xmpp {
        return;
    }
    let name = table.seen_as();
    let order = format!("order one with the name {name} (see [tls.acme]) and list it in [tls] certificates");
    let Some(shown) = patient.tls.shown(name) else {
        return report.add(name.as_str(), Check::fail("certificate names", "there is no certificate", order));
    };
    let file = shown.file.display().to_string();
    let names = shown.identity.names();
    let is_named = (!sip || names.prove_sip(name)) && (!xmpp || names.prove_xmpp(name));
    let all = names.all().join(" ");
    let check = if is_named {
        Check::ok("certificate names", format!("{file}: {all}"))
    } else {
        Check::fail("certificate names", format!("{file} is for {all}, not for {name}"), order)
    };
    report.add(name.as_str(), check);
    for check in [expiry(&shown), chain(&shown), purposes(&shown)] {
        report.add(name.as_str(), check);
    }
}

fn expiry(shown: &Shown) -> Check {
    const ITEM: &str = "certificate expiry";
    let file = shown.file.display();
    let Some(end) = shown.identity.not_after() else { return Check::fail(ITEM, "unreadable", "replace the file") };
    match end.duration_since(SystemTime::now()) {
        Err(_) => Check::fail(ITEM, format!("{file} has expired"), "renew it: peers refuse it"),
        Ok(left) => {
            let found = format!("{file} ends in {} days", left.as_secs() / 86_400);
            if left < EXPIRY_WARNING { Check::warn(ITEM, found, "renew it now") } else { Check::ok(ITEM, found) }
        }
    }
}

fn chain(shown: &Shown) -> Check {
    const ITEM: &str = "certificate chain";
    match shown.identity.chain() {
        // Told by the other items.
        Ok(()) | Err(IdentityFault::Expired | IdentityFault::Purpose | IdentityFault::WrongName) => {
            Check::ok(ITEM, "leads to an authority that is trusted here")
        }
        Err(fault) => Check::fail(
            ITEM,
            format!("{fault}: peers that trust whom this host trusts refuse it"),
            "put the authority's intermediate certificates behind it in the file; a private authority belongs into [tls] trust",
        ),
    }
}

/// X.509 extended key usage. Public authorities have stopped issuing for clients; servers take one for servers from who calls.
fn purposes(shown: &Shown) -> Check {
    const ITEM: &str = "certificate purposes";
    match (shown.for_servers, shown.for_clients) {
        (true, true) => Check::ok(ITEM, "servers and clients"),
        (true, false) => Check::ok(ITEM, "servers; peers that insist on clients' fall back to dialback"),
        (false, _) => Check::fail(ITEM, "not for servers", "order one with the purpose serverAuth"),
    }
}
