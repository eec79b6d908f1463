use impp_model::Domain;

use super::{DaneError, SecureDns, Tlsa};

/// What the name system vouches for at one server of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// Nothing: DNSSEC does not reach so far.
    Insecure,
    /// That this host is a server of the domain (RFC 7673 §3.1).
    Server {
        /// The target of SRV.
        host: Domain,
        /// The certificates that it may show, as far as that is said in a way that is understood; none: any for these names.
        associations: Vec<Tlsa>,
    },
}

/// RFC 7673 §3: what DNSSEC proves of the server at `host` and `port` that SRV records of `service`, as
/// `_xmpp-server._tcp.example.com`, have named.
pub async fn discover(dns: &dyn SecureDns, service: &str, host: &str, port: u16) -> Result<Discovery, DaneError> {
    let host = host.trim_end_matches('.');
    let Some(target) = Domain::parse_host(host).ok().filter(|target| target.ip().is_none()) else {
        return Ok(Discovery::Insecure);
    };
    let servers = dns.srv(service).await?;
    let is_named = servers.records.iter().any(|(name, at)| {
        *at == port && Domain::parse_host(name.trim_end_matches('.')).is_ok_and(|name| name == target)
    });
    if !servers.is_secure || !is_named {
        return Ok(Discovery::Insecure);
    }
    // RFC 7673 §3.2: without a secure address no TLSA is asked for.
    let associations = match dns.addresses(host).await? {
        addresses if !addresses.is_secure => Vec::new(),
        _ => {
            let tlsa = dns.tlsa(&format!("_{port}._tcp.{host}")).await?;
            if tlsa.is_secure { tlsa.records } else { Vec::new() }
        }
    };
    let associations = associations.into_iter().filter(|tlsa| tlsa.usable().is_some()).collect();
    Ok(Discovery::Server { host: target, associations })
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
            assert_eq!(name, "_xmpp-server._tcp.example.com");
            Ok(Secured { records: vec![("Xmpp.example.net.".to_owned(), 5269)], is_secure: self.0[0] })
        }
        async fn addresses(&self, _: &str) -> Result<Secured<IpAddr>, DaneError> {
            Ok(Secured { records: vec![Ipv4Addr::LOCALHOST.into()], is_secure: self.0[1] })
        }
        async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError> {
            assert_eq!(name, "_5269._tcp.xmpp.example.net");
            match &self.1 {
                Some(error) => Err(error.clone()),
                None => Ok(Secured { records: vec![tlsa(3), tlsa(9)], is_secure: self.0[2] }),
            }
        }
    }

    fn tlsa(usage: u8) -> Tlsa {
        Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
    }

    async fn found(secure: [bool; 3], host: &str, port: u16) -> Discovery {
        discover(&Fake(secure, None), "_xmpp-server._tcp.example.com", host, port).await.unwrap()
    }

    fn server(associations: Vec<Tlsa>) -> Discovery {
        Discovery::Server { host: "xmpp.example.net".parse().unwrap(), associations }
    }

    #[tokio::test]
    async fn rfc7673_s3_each_step_must_be_secure_for_the_next() {
        let host = "xmpp.example.net.";
        assert_eq!(found([true; 3], host, 5269).await, server(vec![tlsa(3)]));
        assert_eq!(found([true, true, false], host, 5269).await, server(vec![]));
        assert_eq!(found([true, false, true], host, 5269).await, server(vec![]));
        assert_eq!(found([false, true, true], host, 5269).await, Discovery::Insecure);
        // A host or port that SRV does not name, and an address.
        for (host, port) in [("other.example.net", 5269), (host, 5270), ("127.0.0.1", 5269)] {
            assert_eq!(found([true; 3], host, port).await, Discovery::Insecure);
        }
    }

    #[tokio::test]
    async fn rfc7673_s3_4_a_failure_is_no_proof_that_there_is_nothing() {
        for error in [DaneError::Bogus("x".into()), DaneError::Failure("x".into())] {
            let dns = Fake([true; 3], Some(error.clone()));
            let refused = discover(&dns, "_xmpp-server._tcp.example.com", "xmpp.example.net", 5269).await;
            assert_eq!(refused, Err(error));
        }
    }
}
