//! What name service must say for others to find users behind this gateway, and what it says.

use std::collections::BTreeSet;

use adapter_api::Check;
use impp_model::domain::Domain;
use impp_resolve::{Dns, DnsError, Name, Naptr, Record, RecordType, Srv};
use serde_json::Value;
use transport::dane::SecureDns;

use super::{Patient, Report};
use crate::config::{Config, DomainTable};
use crate::zone;

/// A record to publish.
struct Wanted {
    owner: String,
    record: Record,
    /// Whether others find nobody without it.
    is_needed: bool,
}

impl Wanted {
    /// As a master file has it, every name absolute.
    fn line(&self) -> String {
        let kind = self.record.record_type();
        let dot = match &self.record {
            Record::Srv(_) | Record::Naptr(_) | Record::Cname(_) => ".",
            Record::A(_) | Record::Aaaa(_) => "",
        };
        format!("{}. IN {kind} {}{dot}", self.owner, self.record)
    }
}

/// What a gateway offers to one network: transports with their ports.
#[derive(Default)]
struct Offer {
    sip: Vec<(String, u16)>,
    xmpp: Vec<(String, u16)>,
}

impl Offer {
    fn of(config: &Config) -> Self {
        let mut offer = Self::default();
        for table in config.adapter.values() {
            let into = match table.get("type").and_then(Value::as_str) {
                Some("sip") => &mut offer.sip,
                Some("xmpp") => &mut offer.xmpp,
                Some(_) | None => continue,
            };
            // What is advertised is what others can reach.
            let listed = |key: &str| table.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
            let texts =
                listed("advertise").or_else(|| listed("listen")).into_iter().flatten().filter_map(Value::as_str);
            into.extend(texts.filter_map(|text| {
                let (transport, address) = text.split_once(':')?;
                Some((transport.to_owned(), address.rsplit_once(':')?.1.parse().ok()?))
            }));
        }
        offer
    }

    fn port(of: &[(String, u16)], transport: &str) -> Option<u16> {
        of.iter().find(|(name, _)| name == transport).map(|(_, port)| *port)
    }
}

/// Which networks find the users of a domain through this gateway: all but its own.
pub(super) fn shown_in(config: &Config, table: &DomainTable) -> (bool, bool) {
    let kind = table.adapter.as_ref().and_then(|name| config.adapter.get(name)?.get("type")?.as_str());
    (kind != Some("sip"), !matches!(kind, Some("xmpp" | "xmpp-component")))
}

/// RFC 3263, RFC 6120 §3.2, XEP-0368, RFC 3861: the records for one local domain.
fn wanted(config: &Config, table: &DomainTable) -> Vec<Wanted> {
    let (offer, domain) = (Offer::of(config), table.seen_as());
    let Ok(target) = Name::parse(config.gateway.name.as_str()) else { return Vec::new() };
    let mut wanted = Vec::new();
    let mut srv = |service: &str, port: u16, is_needed: bool| {
        let record = Record::Srv(Srv { priority: 0, weight: 0, port, target: target.clone() });
        wanted.push(Wanted { owner: format!("{service}.{domain}"), record, is_needed });
    };
    let (in_sip, in_xmpp) = shown_in(config, table);
    let sip = if in_sip { offer.sip } else { Vec::new() };
    let xmpp = if in_xmpp { offer.xmpp } else { Vec::new() };
    let services =
        [("tls", "_sips._tcp", "SIPS+D2T"), ("tcp", "_sip._tcp", "SIP+D2T"), ("udp", "_sip._udp", "SIP+D2U")];
    for (transport, service, _) in services {
        if let Some(port) = Offer::port(&sip, transport) {
            srv(service, port, true);
        }
    }
    for (transport, service, is_needed) in [("tcp", "_xmpp-server._tcp", true), ("tls", "_xmpps-server._tcp", false)] {
        if let Some(port) = Offer::port(&xmpp, transport) {
            srv(service, port, is_needed);
        }
    }
    let clear = |of: &[(String, u16)]| Offer::port(of, "tcp").or_else(|| of.first().map(|(_, port)| *port));
    for (label, port) in [("_sip", clear(&sip)), ("_xmpp", clear(&xmpp))] {
        for service in ["_im", "_pres"] {
            if let Some(port) = port {
                srv(&format!("{service}.{label}"), port, false);
            }
        }
    }
    for (order, (transport, service, name)) in (1u16..).zip(services) {
        let Ok(replacement) = Name::parse(&format!("{service}.{domain}")) else { continue };
        if Offer::port(&sip, transport).is_some() {
            let (flags, service) = ("s".to_owned(), name.to_owned());
            let naptr = Naptr { order: order * 10, preference: 0, flags, service, regexp: String::new(), replacement };
            wanted.push(Wanted { owner: domain.to_string(), record: Record::Naptr(naptr), is_needed: false });
        }
    }
    wanted
}

/// The gateway's own name: everything else leads there.
pub(super) async fn gateway(patient: &Patient<'_>, report: &mut Report) {
    let name = &patient.config.gateway.name;
    let (mut found, mut error) = (BTreeSet::new(), None);
    for kind in [RecordType::A, RecordType::Aaaa] {
        match ask(patient.dns, name.as_str(), kind).await {
            Ok(records) => found.extend(records.iter().filter_map(Record::address)),
            Err(problem) => error = Some(problem),
        }
    }
    let check = match (found.is_empty(), error) {
        (false, _) => {
            let all: Vec<_> = found.iter().map(ToString::to_string).collect();
            Check::ok("address", all.join(" "))
        }
        (true, Some(problem)) => silent("address", &problem),
        (true, None) => {
            Check::fail("address", "the gateway's name has no address", format!("publish: {name}. IN A ADDRESS"))
        }
    };
    report.add(name.as_str(), check);
    if let Ok(Some(secure)) = zone::secure(&patient.config.dns) {
        associations(patient, &*secure, report).await;
    }
}

/// RFC 7673: what vouches for our certificate where name service is signed.
async fn associations(patient: &Patient<'_>, secure: &dyn SecureDns, report: &mut Report) {
    let name = &patient.config.gateway.name;
    let Some(association) = patient.tls.shown(name).and_then(|shown| shown.association) else { return };
    for (_, port) in Offer::of(patient.config).xmpp {
        let owner = format!("_{port}._tcp.{name}");
        let line = format!("{owner}. IN TLSA {association}");
        let item = format!("{owner} TLSA");
        let check = match secure.tlsa(&owner).await {
            Ok(found) if !found.is_secure => {
                Check::warn(item, "not signed: it vouches for nothing", format!("sign the zone, and publish: {line}"))
            }
            Ok(found) if found.records.contains(&association) => Check::ok(item, association.to_string()),
            Ok(found) if found.records.is_empty() => Check::warn(item, "not there", format!("publish: {line}")),
            Ok(_) => Check::fail(
                item,
                "it names another key: servers that check it send nothing here",
                format!("publish: {line}"),
            ),
            Err(error) => Check::fail(item, error.to_string(), format!("correct the signatures, and publish: {line}")),
        };
        report.publish.entry(name.to_string()).or_default().push(line);
        report.add(name.as_str(), check);
    }
}

/// What leads others to the users of a local domain.
pub(super) async fn domain(patient: &Patient<'_>, table: &DomainTable, report: &mut Report) {
    let domain = table.seen_as().as_str();
    for wanted in wanted(patient.config, table) {
        let kind = wanted.record.record_type();
        let item = format!("{} {kind}", wanted.owner);
        let check = match ask(patient.dns, &wanted.owner, kind).await {
            Ok(found) => compare(item, &wanted, &found),
            Err(problem) => silent(&item, &problem),
        };
        report.publish.entry(domain.to_owned()).or_default().push(wanted.line());
        report.add(domain, check);
    }
    // With an adapter for servers, too, it is this gateway that is found.
    if Offer::of(patient.config).xmpp.is_empty() {
        behind_server(patient, table.seen_as(), report).await;
    }
}

/// A domain that is a component of an XMPP server is found where that server is.
async fn behind_server(patient: &Patient<'_>, domain: &Domain, report: &mut Report) {
    let is_component = |table: &Value| {
        table.get("type").and_then(Value::as_str) == Some("xmpp-component")
            && table
                .get("domain")
                .and_then(Value::as_str)
                .is_some_and(|name| name.eq_ignore_ascii_case(domain.as_str()))
    };
    if !patient.config.adapter.values().any(is_component) {
        return;
    }
    let owner = format!("_xmpp-server._tcp.{domain}");
    let item = format!("{owner} SRV");
    let check = match ask(patient.dns, &owner, RecordType::Srv).await {
        Ok(found) if found.is_empty() => Check::warn(
            item,
            "not there: only the XMPP server behind the component link finds these users",
            format!("publish: {owner}. IN SRV 0 0 5269 HOST-OF-THAT-SERVER."),
        ),
        Ok(found) => Check::ok(item, all(&found)),
        Err(problem) => silent(&item, &problem),
    };
    report.add(domain.as_str(), check);
}

fn all(found: &[Record]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn compare(item: String, wanted: &Wanted, found: &[Record]) -> Check {
    let leads_here = |record: &Record| match (record, &wanted.record) {
        (Record::Srv(found), Record::Srv(wanted)) => (found.port, &found.target) == (wanted.port, &wanted.target),
        (Record::Naptr(found), Record::Naptr(wanted)) => {
            found.service.eq_ignore_ascii_case(&wanted.service) && found.replacement == wanted.replacement
        }
        _ => false,
    };
    if found.iter().any(leads_here) {
        return Check::ok(item, all(found));
    }
    let remedy = format!("publish: {}", wanted.line());
    let said = if found.is_empty() { "not there".to_owned() } else { format!("leads elsewhere: {}", all(found)) };
    if wanted.is_needed { Check::fail(item, said, remedy) } else { Check::warn(item, said, remedy) }
}

fn silent(item: &str, problem: &str) -> Check {
    Check::fail(item, problem, "see to the name servers, or name others in [dns] nameservers")
}

/// The records of one type; none is no error.
async fn ask(dns: &dyn Dns, name: &str, kind: RecordType) -> Result<Vec<Record>, String> {
    let name = Name::parse(name).map_err(|error| error.to_string())?;
    match dns.query(&name, kind).await {
        Ok(answer) => Ok(answer.records.into_iter().filter(|record| record.record_type() == kind).collect()),
        Err(DnsError::NoRecords { .. } | DnsError::NxDomain { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}
