//! What vectors take as given, as settings of the gateway.

use std::time::Duration;

use transport::tls::testkit::San;

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
    /// What presence is set up like.
    pub(crate) presence: Presence,
    /// The domain that the gateway serves at the XMPP server.
    pub(crate) component: &'static str,
    /// The next hop of example.net comes from DNS, and is a server over TLS whose certificate has these names.
    pub(crate) certificate: &'static [San<'static>],
    /// Nobody is trusted by his address; romeo proves himself with a password.
    pub(crate) digest: bool,
}

/// The presence part of a set-up.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    pub(crate) dialog: Dialog,
    pub(crate) min_expires: &'static str,
    pub(crate) notify_interval: &'static str,
    /// The gateway is the presence agent of the SIP domain.
    pub(crate) agent: bool,
    /// Whom the XMPP server may speak for.
    pub(crate) vouches_for: &'static str,
    /// A dialog that begins lasts so long, in seconds.
    pub(crate) expires: u32,
}

/// The subscription that is there before a vector begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialog {
    None,
    /// juliet watches romeo.
    Watching,
    /// romeo watches juliet, who has not decided.
    Asked,
    /// romeo watches juliet.
    Watched,
    /// So does mercutio.
    WatchedByTwo,
}

/// The one vector of the SIP layer with a subscription.
pub(crate) const PIDF_IN_SIP_LAYER: &str = "SPL-20";

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
            over: if id == PIDF_IN_SIP_LAYER { Some(Transport::Tcp) } else { over },
            presence: Presence {
                dialog: Dialog::None,
                min_expires: "1s",
                notify_interval: "50ms",
                agent: false,
                vouches_for: "*",
                expires: 3600,
            },
            // A server routes to a component what is for the component's domain.
            component: if id == "IMX-53" { "nx.invalid" } else { SIP_DOMAIN },
            certificate: match id {
                "SPL-14" => &[San::Dns("*.example.net")],
                "SPL-15" => &[San::Uri("sip:other.example"), San::Dns("example.net")],
                _ => &[],
            },
            digest: false,
        };
        let dialog = if id.starts_with("PRX") || id == PIDF_IN_SIP_LAYER { Dialog::Watching } else { Dialog::Watched };
        for sentence in sentences {
            match sentence.as_str() {
                "active dialog" | "active dialog, romeo shown available" => given.presence.dialog = dialog,
                "active dialog, stanzas 100 ms apart" => {
                    (given.presence.dialog, given.presence.notify_interval) = (dialog, "5s");
                }
                "pending dialog of PRS-01" => given.presence.dialog = Dialog::Asked,
                "active dialogs of romeo@example.net and mercutio@example.net on juliet" => {
                    given.presence.dialog = Dialog::WatchedByTwo;
                }
                "gateway serves example.com only" => given.presence.vouches_for = "example.com",
                "minimum 60 s configured" => given.presence.min_expires = "60s",
                "minimum 7200 s configured" => given.presence.min_expires = "7200s",
                "gateway acts as ESC for example.net" => given.presence.agent = true,
                "gateway acts as ESC for example.net; juliet is authorized for romeo" => {
                    (given.presence.agent, given.presence.dialog) = (true, Dialog::Watching);
                }
                "romeo already granted juliet (SIP dialog active)" => given.presence.dialog = Dialog::Watching,
                "SHA-256 and MD5 enabled" => given.digest = true,
                "no state known for juliet"
                | "no dialog"
                | "juliet subscribed the gateway address or the server trusts it" => {}

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
        // What a vector waits for comes soon: a refresh at 85 % of a subscription, the end of one.
        match id {
            "PRX-09" | "PRX-15" | "PRX-16" => given.presence.expires = 4,
            "PRS-21" => given.presence.expires = 6,
            _ => {}
        }
        given
    }
}
