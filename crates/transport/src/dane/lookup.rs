use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use impp_model::Domain;

use super::{DaneError, SecureDns, Tlsa, Usage};

/// Whose names in a certificate count beside what the name system vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// Those of RFC 6120 §13.7.
    Xmpp,
    /// Those of RFC 5922 §7.
    Sip,
}

/// What the name system vouches for at one server of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// Nothing: DNSSEC does not reach so far.
    Insecure,
    /// That this host is a server of the domain (RFC 7673 §3.1).
    Server {
        /// What the server speaks.
        application: Application,
        /// The target of SRV.
        host: Domain,
        /// The certificates that it may show, as far as that is said in a way that is understood; none: any for these names.
        associations: Vec<Tlsa>,
    },
}

/// Servers of a domain that are looked up: whoever asks may have written the records.
const MAX_SERVERS: usize = 8;

/// RFC 7673 §3: what DNSSEC proves of the XMPP server at `host` and `port` that SRV records of `service`, as
/// `_xmpp-server._tcp.example.com`, have named.
pub(crate) async fn discover(
    dns: &dyn SecureDns,
    service: &str,
    host: &str,
    port: u16,
) -> Result<Discovery, DaneError> {
    let Some(target) = host_of(host) else { return Ok(Discovery::Insecure) };
    let servers = dns.srv(service).await?;
    let is_named = servers.records.iter().any(|(name, at)| *at == port && host_of(name).as_ref() == Some(&target));
    if !servers.is_secure || !is_named {
        return Ok(Discovery::Insecure);
    }
    // RFC 7673 §3.2: without a secure address no TLSA is asked for.
    let associations = if dns.addresses(target.as_str()).await?.is_secure {
        associations(dns, &target, port).await?
    } else {
        Vec::new()
    };
    Ok(Discovery::Server { application: Application::Xmpp, host: target, associations })
}

/// The same of the SIP server of `domain` at `address`, which is one of the targets of its SRV records for TLS (RFC 3263 §4.1), or
/// without any the domain's own host (RFC 6698 §3).
pub(crate) async fn discover_sip(
    dns: &dyn SecureDns,
    domain: &Domain,
    address: SocketAddr,
) -> Result<Discovery, DaneError> {
    if domain.ip().is_some() {
        return Ok(Discovery::Insecure);
    }
    let servers = dns.srv(&format!("_sips._tcp.{domain}")).await?;
    let hosts = match (servers.records.is_empty(), servers.is_secure) {
        (true, _) => vec![domain.clone()],
        (false, false) => return Ok(Discovery::Insecure),
        (false, true) => hosts(servers.records.iter().filter(|(_, port)| *port == address.port())),
    };
    let mut failed = None;
    for host in hosts {
        match dns.addresses(host.as_str()).await {
            Ok(found) if found.is_secure && found.records.contains(&address.ip()) => {
                let associations = associations(dns, &host, address.port()).await?;
                return Ok(Discovery::Server { application: Application::Sip, host, associations });
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    // RFC 7673 §3.4: the address may be that of the host whose look-up failed.
    failed.map_or(Ok(Discovery::Insecure), Err)
}

/// RFC 7712 §5.1: the certificates, by themselves, that DNSSEC proves to be those of XMPP servers of `domain`.
pub(crate) async fn callers(dns: &dyn SecureDns, domain: &Domain) -> Result<Vec<Tlsa>, DaneError> {
    let mut found = Vec::new();
    for service in ["_xmpps-server", "_xmpp-server"] {
        let servers = dns.srv(&format!("{service}._tcp.{domain}")).await?;
        for (name, port) in servers.records.iter().filter(|_| servers.is_secure).take(MAX_SERVERS) {
            let Some(host) = host_of(name) else { continue };
            if dns.addresses(host.as_str()).await?.is_secure {
                found.extend(associations(dns, &host, *port).await?);
            }
        }
    }
    found.retain(|tlsa| tlsa.usable() == Some(Usage::DaneEe));
    Ok(found)
}

/// RFC 7673 §3.3: the associations of a server, as far as they are secure and understood.
async fn associations(dns: &dyn SecureDns, host: &Domain, port: u16) -> Result<Vec<Tlsa>, DaneError> {
    let tlsa = dns.tlsa(&format!("_{port}._tcp.{host}")).await?;
    let usable = tlsa.records.into_iter().filter(|record| record.usable().is_some());
    Ok(if tlsa.is_secure { usable.collect() } else { Vec::new() })
}

fn hosts<'r>(records: impl Iterator<Item = &'r (String, u16)>) -> Vec<Domain> {
    records.filter_map(|(name, _)| host_of(name)).take(MAX_SERVERS).collect()
}

fn host_of(name: &str) -> Option<Domain> {
    Domain::parse_host(name.trim_end_matches('.')).ok().filter(|host| host.ip().is_none())
}

impl fmt::Display for Discovery {
    /// For operators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Server { host, associations, .. } = self else {
            return f.write_str("nothing is signed: DNSSEC vouches for no certificate");
        };
        let usages: BTreeSet<_> = associations.iter().filter_map(|tlsa| Some(tlsa.usable()?.as_str())).collect();
        if usages.is_empty() {
            return write!(f, "{host} is signed, and no TLSA record is there");
        }
        let (usages, s) = (Vec::from_iter(usages).join(", "), if associations.len() > 1 { "s" } else { "" });
        write!(f, "{usages} record{s} found, signed: the certificate of {host} must be one of these")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dane::Secured;
    use async_trait::async_trait;
    use std::net::{IpAddr, Ipv4Addr};

    /// Which of SRV, address and TLSA are secure; the last may fail.
    struct Fake([bool; 3], Option<DaneError>);

    #[async_trait]
    impl SecureDns for Fake {
        async fn srv(&self, name: &str) -> Result<Secured<(String, u16)>, DaneError> {
            let port = match name {
                "_xmpp-server._tcp.example.com" => 5269,
                "_sips._tcp.example.com" => 5061,
                _ => return Ok(Secured::none()),
            };
            Ok(Secured { records: vec![("Host.example.net.".to_owned(), port)], is_secure: self.0[0] })
        }
        async fn addresses(&self, name: &str) -> Result<Secured<IpAddr>, DaneError> {
            assert!(["host.example.net", "host.example.org"].contains(&name), "{name}");
            Ok(Secured { records: vec![Ipv4Addr::LOCALHOST.into()], is_secure: self.0[1] })
        }
        async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError> {
            assert!(name.starts_with("_5") && name.contains("._tcp.host.example."), "{name}");
            match &self.1 {
                Some(error) => Err(error.clone()),
                None => Ok(Secured { records: vec![tlsa(3), tlsa(9), tlsa(1)], is_secure: self.0[2] }),
            }
        }
    }

    fn tlsa(usage: u8) -> Tlsa {
        Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
    }

    async fn found(secure: [bool; 3], host: &str, port: u16) -> Discovery {
        discover(&Fake(secure, None), "_xmpp-server._tcp.example.com", host, port).await.unwrap()
    }

    fn server(application: Application, host: &str, associations: Vec<Tlsa>) -> Discovery {
        Discovery::Server { application, host: host.parse().unwrap(), associations }
    }

    #[tokio::test]
    async fn rfc7673_s3_each_step_must_be_secure_for_the_next() {
        let host = "host.example.net.";
        let server = |associations| server(Application::Xmpp, "host.example.net", associations);
        assert_eq!(found([true; 3], host, 5269).await, server(vec![tlsa(3), tlsa(1)]));
        assert_eq!(found([true, true, false], host, 5269).await, server(vec![]));
        assert_eq!(found([true, false, true], host, 5269).await, server(vec![]));
        assert_eq!(found([false, true, true], host, 5269).await, Discovery::Insecure);
        // A host or port that SRV does not name, and an address.
        for (host, port) in [("other.example.net", 5269), (host, 5270), ("127.0.0.1", 5269)] {
            assert_eq!(found([true; 3], host, port).await, Discovery::Insecure);
        }
    }

    #[tokio::test]
    async fn rfc7673_s3_3_a_sip_server_is_known_by_its_address() {
        let at = |secure, domain: &'static str, address: &'static str| async move {
            discover_sip(&Fake(secure, None), &domain.parse().unwrap(), address.parse().unwrap()).await.unwrap()
        };
        let both = || vec![tlsa(3), tlsa(1)];
        let served = server(Application::Sip, "host.example.net", both());
        assert_eq!(at([true; 3], "example.com", "127.0.0.1:5061").await, served);
        // Another port or address than the records say, or any of them not signed.
        for (secure, address) in [
            ([true; 3], "127.0.0.1:5071"),
            ([true; 3], "127.0.0.2:5061"),
            ([false, true, true], "127.0.0.1:5061"),
            ([true, false, true], "127.0.0.1:5061"),
        ] {
            assert_eq!(at(secure, "example.com", address).await, Discovery::Insecure, "{secure:?} {address}");
        }
        // Without SRV records the host is the domain.
        let own = server(Application::Sip, "host.example.org", both());
        assert_eq!(at([true; 3], "host.example.org", "127.0.0.1:5099").await, own);
        assert_eq!(at([true; 3], "127.0.0.1", "127.0.0.1:5061").await, Discovery::Insecure);
    }

    #[tokio::test]
    async fn rfc7712_s5_1_a_caller_is_known_by_its_certificate_alone() {
        let of = |secure| async move { callers(&Fake(secure, None), &"example.com".parse().unwrap()).await.unwrap() };
        assert_eq!(of([true; 3]).await, [tlsa(3)]);
        for secure in [[false, true, true], [true, false, true], [true, true, false]] {
            assert_eq!(of(secure).await, [], "{secure:?}");
        }
    }

    #[tokio::test]
    async fn rfc7673_s3_4_a_failure_is_no_proof_that_there_is_nothing() {
        let (domain, address) = ("example.com".parse().unwrap(), "127.0.0.1:5061".parse().unwrap());
        for error in [DaneError::Bogus("x".into()), DaneError::Failure("x".into())] {
            let dns = Fake([true; 3], Some(error.clone()));
            let refused = discover(&dns, "_xmpp-server._tcp.example.com", "host.example.net", 5269).await;
            assert_eq!(refused, Err(error.clone()));
            assert_eq!(discover_sip(&dns, &domain, address).await, Err(error.clone()));
            assert!(error.to_string().starts_with(error.code()));
        }
    }

    #[test]
    fn an_operator_reads_what_is_vouched_for() {
        let text = |associations| server(Application::Sip, "host.example.net", associations).to_string();
        assert!(text(vec![tlsa(3)]).starts_with("DANE-EE record found, signed"));
        assert!(text(vec![tlsa(3), tlsa(0), tlsa(3)]).starts_with("DANE-EE, PKIX-TA records found, signed"));
        assert!(text(vec![]).contains("no TLSA record"));
        assert!(Discovery::Insecure.to_string().contains("nothing is signed"));
    }
}
