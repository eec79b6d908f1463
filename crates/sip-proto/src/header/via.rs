use std::net::{IpAddr, SocketAddr};

use super::{HeaderError, Param, Params};
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
    uri::Host,
};

/// One hop of a request's path (RFC 3261 §20.42), with the `rport` of RFC 3581.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or another token, as spelled.
    pub transport: &'a str,
    /// Where responses go unless a parameter says otherwise.
    pub host: Host<'a>,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// All parameters.
    pub params: Params<'a>,
    known: Known<'a>,
}

/// The values of the parameters that are asked for most, each the first of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known<'a> {
    branch: Option<Option<&'a str>>,
    rport: Option<Option<&'a str>>,
    maddr: Option<Option<&'a str>>,
}

/// What a branch of RFC 3261 begins with (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseTarget {
    /// To this address, over UDP from the address the request came to, or on the request's connection.
    Address(SocketAddr),
    /// To the host of `maddr` or `sent-by`, at this port.
    Name(String, u16),
}

impl<'a> Via<'a> {
    /// Parses one value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let (via, rest) = Self::parse_first(text)?;
        if grammar::trim(rest).is_empty() { Ok(via) } else { Err(HeaderError::Syntax(HeaderId::Via)) }
    }

    /// Parses the first value of a comma list; gives the rest behind its comma, empty at the end.
    pub fn parse_first(text: &'a str) -> Result<(Self, &'a str), HeaderError> {
        let mut cursor = Cursor::new(text);
        let via = Self::take(&mut cursor).ok_or(HeaderError::Syntax(HeaderId::Via))?;
        cursor.lws();
        if cursor.is_done() {
            return Ok((via, ""));
        }
        if cursor.eat(b',') && !grammar::trim(cursor.rest()).is_empty() {
            return Ok((via, cursor.rest()));
        }
        Err(HeaderError::Syntax(HeaderId::Via))
    }

    /// RFC 3261 §17.1.3: identifies the transaction. `None` when absent.
    pub fn branch(&self) -> Option<&'a str> {
        self.known.branch.flatten()
    }

    /// The branch when it is unique by RFC 3261 §8.1.1.7: with the magic cookie and something behind it.
    pub fn unique_branch(&self) -> Option<&'a str> {
        self.branch().filter(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch.get(..MAGIC_COOKIE.len()).is_some_and(|cookie| cookie.eq_ignore_ascii_case(MAGIC_COOKIE))
        })
    }

    /// RFC 3581 §3: outer `None` when absent, inner `None` when asked for but not filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.known.rport.map(|port| port.and_then(|port| port.parse().ok()))
    }

    /// The address a server saw the request come from (RFC 3261 §18.2.1).
    ///
    /// Brackets around an IPv6 address are accepted, though the grammar has none (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// RFC 3261 §18.1.1: the multicast address to answer to.
    pub fn maddr(&self) -> Option<&'a str> {
        self.known.maddr.flatten()
    }

    /// RFC 3261 §18.1.1: time to live of a multicast packet.
    pub fn ttl(&self) -> Option<u8> {
        self.params.get("ttl")?.parse().ok()
    }

    /// RFC 5923 §5: this connection may carry requests backwards.
    pub fn alias(&self) -> bool {
        self.params.has("alias")
    }

    /// Whether the transport is one that does not lose or reorder.
    pub fn is_reliable(&self) -> bool {
        !self.transport.eq_ignore_ascii_case("UDP")
    }

    /// RFC 3261 §18.1.1: the port of `sent-by`, else the default of the transport.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(match self.transport {
            secure if secure.eq_ignore_ascii_case("TLS") => 5061,
            // RFC 7118 §5.2: those of HTTP.
            plain if plain.eq_ignore_ascii_case("WS") => 80,
            secure if secure.eq_ignore_ascii_case("WSS") => 443,
            _ => 5060,
        })
    }

    /// Whether `sent-by` is this host and port; a port that is absent is the default one.
    pub fn sent_by_is(&self, host: &str, port: u16) -> bool {
        self.host.as_str().eq_ignore_ascii_case(host) && self.port_or_default() == port
    }

    /// RFC 3261 §18.2.2 and RFC 3581 §4: where the response to a request goes that came in a datagram from `source`.
    pub fn response_target(&self, source: SocketAddr) -> ResponseTarget {
        if let Some(maddr) = self.maddr() {
            return match maddr.parse() {
                Ok(address) => ResponseTarget::Address(SocketAddr::new(address, self.port_or_default())),
                Err(_) => ResponseTarget::Name(maddr.to_owned(), self.port_or_default()),
            };
        }
        ResponseTarget::Address(self.reply_address(source))
    }

    /// As [`response_target`](Self::response_target), but for `maddr`: always the host the request came from.
    pub fn reply_address(&self, source: SocketAddr) -> SocketAddr {
        // RFC 3581 §4: with rport the answer goes back to where the request really came from.
        let port = if self.rport().is_some() { source.port() } else { self.port_or_default() };
        SocketAddr::new(source.ip(), port)
    }

    fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.lws();
        let name = cursor.token()?;
        slash(cursor)?;
        let version = cursor.token()?;
        slash(cursor)?;
        let transport = cursor.token()?;
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" || !cursor.lws() {
            return None;
        }
        let host = Host::take(cursor)?;
        let port = take_port(cursor)?;
        let mut known = Known::default();
        let params = Params::take_each(cursor, |param| known.look(&param))?;
        Some(Self { transport, host, port, params, known })
    }
}

impl<'a> Known<'a> {
    fn look(&mut self, param: &Param<'a>) {
        let names = [("branch", &mut self.branch), ("rport", &mut self.rport), ("maddr", &mut self.maddr)];
        for (name, value) in names {
            if param.name.eq_ignore_ascii_case(name) {
                value.get_or_insert(param.value);
            }
        }
    }
}

fn slash(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.lws();
    let found = cursor.eat(b'/');
    cursor.lws();
    found.then_some(())
}

/// An optional port, with white space allowed around its colon; outer `None` when it is malformed.
fn take_port(cursor: &mut Cursor<'_>) -> Option<Option<u16>> {
    let before = *cursor;
    cursor.lws();
    if !cursor.eat(b':') {
        *cursor = before;
        return Some(None);
    }
    cursor.lws();
    let port = cursor.take_while(|octet| octet.is_ascii_digit()).parse().ok()?;
    Some(Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_and_tortuous_values() {
        let via = Via::parse("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKff1;alias;ttl=3").unwrap();
        assert_eq!((via.transport, via.host.as_str(), via.port), ("UDP", "10.1.1.1", Some(4540)));
        assert_eq!(
            (via.branch(), via.rport(), via.alias(), via.ttl()),
            (Some("z9hG4bKff1"), Some(None), true, Some(3))
        );
        let (first, rest) = Via::parse_first(
            "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239",
        )
        .unwrap();
        assert_eq!((first.transport, first.branch()), ("TCP", Some("z9hG4bK9ikj8")));
        assert_eq!(Via::parse(rest).unwrap().branch(), Some("z9hG4bK30239"));
    }

    // checks: TOR-014
    #[test]
    fn malformed_values() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/7.0/UDP a.example",
            "HTTP/2.0/UDP a.example",
            "SIP/2.0/UDP a.example:99999",
            "SIP/2.0/UDP a.example:",
            "SIP/2.0/UDP a.example,",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP a.example b",
        ] {
            assert!(Via::parse_first(text).is_err(), "{text}");
        }
    }

    // checks: TOR-105, TOR-106, ADR-032
    #[test]
    fn rfc5118_s4_5_received_with_and_without_brackets() {
        for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
            let text = format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111");
            let via = Via::parse(&text).unwrap();
            assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
            assert_eq!(via.host.as_str(), "[2001:db8::9:1]");
        }
    }

    // checks: SIP-013, SIP-014
    #[test]
    fn rfc3581_s4_response_goes_to_the_source_port_only_with_rport() {
        let source: SocketAddr = "192.0.2.1:9988".parse().unwrap();
        let target = |text| Via::parse(text).unwrap().response_target(source);
        assert_eq!(target("SIP/2.0/UDP 10.1.1.1:4540;rport"), ResponseTarget::Address(source));
        assert_eq!(target("SIP/2.0/UDP 10.1.1.1:4540"), ResponseTarget::Address("192.0.2.1:4540".parse().unwrap()));
        assert_eq!(target("SIP/2.0/UDP a.example"), ResponseTarget::Address("192.0.2.1:5060".parse().unwrap()));
        assert_eq!(
            target("SIP/2.0/UDP a.example;maddr=239.0.0.1"),
            ResponseTarget::Address("239.0.0.1:5060".parse().unwrap())
        );
    }

    // checks: SIP-006, TOR-033
    #[test]
    fn a_bare_cookie_is_no_unique_branch() {
        let unique = |text| Via::parse(text).unwrap().unique_branch().is_some();
        assert!(unique("SIP/2.0/UDP a;branch=z9hG4bKx"));
        assert!(!unique("SIP/2.0/UDP a;branch=z9hG4bK"));
        assert!(!unique("SIP/2.0/UDP a;branch=390skdjuw"));
        assert!(!unique("SIP/2.0/UDP a"));
    }
}
