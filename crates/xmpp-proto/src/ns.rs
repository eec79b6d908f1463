//! XML namespaces, each named for what it is.

/// RFC 6120 §4.8.1: streams.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9.2: stream error conditions.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3.2: stanza error conditions.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §4.8.3: content of client streams, and of the stanzas made here.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 §4.8.3: content of server streams.
pub const SERVER: &str = "jabber:server";
/// XEP-0114 §3: content of streams of connecting components.
pub const COMPONENT_ACCEPT: &str = "jabber:component:accept";
/// RFC 6120 §5.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// XEP-0220.
pub const DIALBACK: &str = "jabber:server:dialback";
/// XEP-0220 §2.4.2: the stream feature.
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// XEP-0288 §2.2.
pub const BIDI: &str = "urn:xmpp:bidi";
/// XEP-0288 §2.1: the stream feature.
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// XEP-0198.
pub const MANAGEMENT: &str = "urn:xmpp:sm:3";
/// XEP-0203.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0030.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0199.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0092.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0202.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0106 §6: the feature, not an element's namespace.
pub const JID_ESCAPING: &str = "jid\\20escaping";
/// XEP-0085.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0184.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0333.
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0334.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0308.
pub const CORRECTION: &str = "urn:xmpp:message-correct:0";
/// XEP-0461.
pub const REPLY: &str = "urn:xmpp:reply:0";
/// XEP-0428.
pub const FALLBACK: &str = "urn:xmpp:fallback:0";
/// XEP-0444.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0424.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0380.
pub const ENCRYPTION: &str = "urn:xmpp:eme:0";
/// XEP-0131.
pub const SHIM: &str = "http://jabber.org/protocol/shim";
/// XEP-0066.
pub const OOB: &str = "jabber:x:oob";
/// XEP-0280.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0115.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0319.
pub const IDLE: &str = "urn:xmpp:idle:1";
/// XEP-0172.
pub const NICK: &str = "http://jabber.org/protocol/nick";
