//! What vectors take as given, as settings of the gateway.

use std::time::Duration;

use crate::sip_peer::Transport;

/// How the gateway is set up for one vector.
pub(crate) struct Given {
    /// How long a sender who waits for an answer is held.
    pub(crate) hold: Duration,
    /// What is too large for UDP is refused.
    pub(crate) refuse_large: bool,
    /// The next hop of example.net comes from DNS, with two servers.
    pub(crate) two_servers: bool,
    /// The XMPP server never proves a delivery.
    pub(crate) mute_xmpp: bool,
    /// The second stimulus is sent once the first has its response.
    pub(crate) after_response: bool,
    /// The vector of the same suite that comes before this one.
    pub(crate) after: Option<&'static str>,
    /// Nothing answers at the SIP network's next hop.
    pub(crate) no_sip: bool,
    /// What SIP goes over in both directions; none: what the vector names, and UDP from the gateway.
    pub(crate) over: Option<Transport>,
    /// The domain that the gateway serves at the XMPP server.
    pub(crate) component: &'static str,
}

/// The domain of the SIP network.
pub(crate) const SIP_DOMAIN: &str = "example.net";

/// Longer than 0.5 + 1 + 2 s, when RFC 4320 §4.1 allows a first 100.
const LONG_HOLD: Duration = Duration::from_secs(4);

impl Given {
    /// Reads what a vector says; an unknown sentence fails the test.
    pub(crate) fn read(id: &str, sentences: &[String], over: Option<Transport>) -> Self {
        let mut given = Self {
            hold: Duration::from_secs(2),
            refuse_large: false,
            two_servers: false,
            mute_xmpp: false,
            after_response: false,
            after: None,
            no_sip: false,
            over,
            // A server routes to a component what is for the component's domain.
            component: if id == "IMX-53" { "nx.invalid" } else { SIP_DOMAIN },
        };
        for sentence in sentences {
            match sentence.as_str() {
                "no positive knowledge of a congestion safe path, no MSRP upgrade configured"
                | "build the body length from the headers the implementation emits" => given.refuse_large = true,
                "SRV lists server1 (priority 0) and server2 (priority 1)" => given.two_servers = true,
                "XMPP side held for 10 s" => (given.mute_xmpp, given.hold) = (true, LONG_HOLD),
                // Half a second is longer than a response takes; while there is none, a copy only waits for it.
                "second copy 500 ms after the first" => given.after_response = true,
                "after CRS-01" | "CRS-01 answered 202" => given.after = Some("CRS-01"),
                "SIP peer unreachable" => given.no_sip = true,
                // True of every set-up here.
                "peer is known to accept message/cpim (OPTIONS or configuration)" => {}
                "both within the lifetime of the first server transaction"
                | "gateway is configured to hold the final response for up to 2 s"
                | "From domain example.com is an XMPP domain this gateway serves"
                | "gateway has no credentials for realm example.net"
                | "one server only" => {}
                other => panic!("{id}: unknown given: {other}"),
            }
        }
        given
    }
}
