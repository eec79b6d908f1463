//! Server dialback (XEP-0220): keys (XEP-0185) and elements; the machines that use them are in [`server`](crate::server).

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use strict_xml::{Element, SharedStr, XmlWriter};

use crate::named::named;
use crate::ns;
use crate::secret::{Secret, hex, same_digest};
use crate::stanza::ErrorType;

/// The key by which the domain `originating` proves itself to `receiving` on the stream that `receiving` named.
// XEP-0185 §2: an HMAC whose key is the hexadecimal SHA-256 of the secret.
pub fn dialback_key(secret: &Secret, receiving: &str, originating: &str, stream_id: &str) -> String {
    let key = hex(&Sha256::digest(secret.expose()));
    // 64 hexadecimal digits are one block of SHA-256, so the HMAC neither hashes nor pads its key.
    let padded = |pad: u8| key.bytes().map(|octet| octet ^ pad).collect::<Vec<_>>();
    let text = format!("{receiving} {originating} {stream_id}");
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    hex(&Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize())
}

/// Whether `key` is the one that [`dialback_key`] makes.
pub fn is_dialback_key(secret: &Secret, receiving: &str, originating: &str, stream_id: &str, key: &str) -> bool {
    same_digest(&dialback_key(secret, receiving, originating, stream_id), key)
}

/// A `<db:result/>` or `<db:verify/>`; domains are text as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Which of the two.
    pub kind: PacketKind,
    /// Who sends it.
    pub from: SharedStr,
    /// Whom it is for.
    pub to: SharedStr,
    /// Of a verify: the stream that the key is for.
    pub id: Option<SharedStr>,
    /// The question or its answer.
    pub content: Content,
}

named! {
    /// XEP-0220 §1.4: who talks to whom.
    pub enum PacketKind {
        /// Between initiating and receiving server.
        Result => "result",
        /// Between receiving and authoritative server.
        Verify => "verify",
    }
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A question: is this key right?
    Key(SharedStr),
    /// It is.
    Valid,
    /// It is not.
    Invalid,
    /// It could not be judged.
    Error(DialbackCondition),
}

named! {
    /// XEP-0220 §2.5: why a key could not be judged, or was not.
    pub enum DialbackCondition {
        /// The domain asked is not hosted there.
        ItemNotFound => "item-not-found",
        /// No connection to the authoritative server.
        RemoteConnectionFailed => "remote-connection-failed",
        /// The authoritative server does not know the domain.
        RemoteServerNotFound => "remote-server-not-found",
        /// The authoritative server did not answer.
        RemoteServerTimeout => "remote-server-timeout",
        /// TLS is wanted first.
        PolicyViolation => "policy-violation",
        /// A certificate is wanted.
        NotAuthorized => "not-authorized",
        /// The authoritative server said no.
        Forbidden => "forbidden",
        /// The identity could not be established.
        NotAcceptable => "not-acceptable",
        /// Too many domains on this stream.
        ResourceConstraint => "resource-constraint",
        /// None of the others; also any that is not known.
        UndefinedCondition => "undefined-condition",
    }
}

impl DialbackCondition {
    /// What the initiating server may do about it.
    const fn error_type(self) -> ErrorType {
        match self {
            Self::RemoteConnectionFailed | Self::RemoteServerTimeout | Self::ResourceConstraint => ErrorType::Wait,
            Self::NotAuthorized | Self::Forbidden => ErrorType::Auth,
            Self::PolicyViolation | Self::NotAcceptable => ErrorType::Modify,
            Self::ItemNotFound | Self::RemoteServerNotFound | Self::UndefinedCondition => ErrorType::Cancel,
        }
    }
}

/// A dialback element without what every one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("dialback element without addresses, id or known type")]
pub struct MalformedPacket;

impl Packet {
    /// A question.
    pub fn ask(kind: PacketKind, from: &str, to: &str, id: Option<&str>, key: &str) -> Self {
        Self {
            kind,
            from: SharedStr::copy(from),
            to: SharedStr::copy(to),
            id: id.map(SharedStr::copy),
            content: Content::Key(SharedStr::copy(key)),
        }
    }

    /// Whether the element belongs to dialback, under whatever prefix.
    pub fn is_packet(element: &Element) -> bool {
        element.ns == *ns::DIALBACK
    }

    /// Reads an element.
    pub fn read(element: &Element) -> Result<Self, MalformedPacket> {
        let kind = PacketKind::parse(&element.name).filter(|_| Self::is_packet(element)).ok_or(MalformedPacket)?;
        let attr = |name| element.attr(name).map(SharedStr::copy);
        let content = match element.attr("type") {
            None => Content::Key(SharedStr::copy(element.text().trim())),
            Some("valid") => Content::Valid,
            Some("invalid") => Content::Invalid,
            Some("error") => Content::Error(read_error(element)),
            Some(_) => return Err(MalformedPacket),
        };
        let id = attr("id");
        // XEP-0220 §2.1.2: a verify names the stream it is about.
        if kind == PacketKind::Verify && id.is_none() {
            return Err(MalformedPacket);
        }
        let (from, to) = attr("from").zip(attr("to")).ok_or(MalformedPacket)?;
        Ok(Self { kind, from, to, id, content })
    }

    /// The answer: addresses swapped, id copied.
    #[must_use]
    pub fn answer(&self, content: Content) -> Self {
        Self { kind: self.kind, from: self.to.clone(), to: self.from.clone(), id: self.id.clone(), content }
    }

    /// Appends the element to a stream whose header declares the prefix `db` and has `jabber:server` as its content.
    pub fn write(&self, out: &mut BytesMut) {
        let name = match self.kind {
            PacketKind::Result => "db:result",
            PacketKind::Verify => "db:verify",
        };
        let mut xml = XmlWriter::new(out);
        xml.start(name).attr("from", &self.from).attr("to", &self.to).attr_opt("id", self.id.as_deref());
        match &self.content {
            Content::Key(key) => xml.text(key),
            Content::Valid => xml.attr("type", "valid"),
            Content::Invalid => xml.attr("type", "invalid"),
            Content::Error(condition) => {
                let name = condition.as_str();
                xml.attr("type", "error").start("error").attr("type", condition.error_type().as_str());
                xml.start(name).attr("xmlns", ns::STANZA_ERRORS).end(name).end("error")
            }
        };
        xml.end(name);
    }
}

fn read_error(element: &Element) -> DialbackCondition {
    let error = element.elements().find(|child| child.name == "error");
    error
        .and_then(|error| error.elements().find(|child| child.ns == ns::STANZA_ERRORS && child.name != "text"))
        .and_then(|condition| DialbackCondition::parse(&condition.name))
        .unwrap_or(DialbackCondition::UndefinedCondition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, Scope, parse_element};

    fn read(text: &str) -> Result<Packet, MalformedPacket> {
        let mut scope = Scope::with_default(ns::SERVER);
        scope.declare("db", ns::DIALBACK);
        Packet::read(&parse_element(text.as_bytes(), &scope, &Limits::default()).unwrap())
    }

    fn written(packet: &Packet) -> String {
        let mut out = BytesMut::new();
        packet.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    // checks: DBK-001
    #[test]
    fn xep0185_s3_and_xep0220_s2_example_keys() {
        let secret = Secret::new("s3cr3tf0rd14lb4ck");
        let key = dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229F");
        assert_eq!(key, "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643");
        assert!(is_dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229F", &key));
        assert!(!is_dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229E", &key));
        assert!(!is_dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229F", ""));
        let key = dialback_key(&secret, "montague.example", "capulet.example", "D60000229F");
        assert_eq!(key, "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3");
        let key = dialback_key(&Secret::new("d14lb4ck43v3r"), "capulet.example", "montague.example", "417GAF25");
        assert_eq!(key, "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d");
    }

    // checks: DBK-003
    #[test]
    fn xep0220_s2_2_2_answers_swap_addresses_and_copy_the_id() {
        let question = read("<db:verify from='a' id='1' to='b'>\n k </db:verify>").unwrap();
        assert_eq!(question, Packet::ask(PacketKind::Verify, "a", "b", Some("1"), "k"));
        assert_eq!(written(&question), "<db:verify from='a' to='b' id='1'>k</db:verify>");
        let answer = question.answer(Content::Valid);
        assert_eq!(written(&answer), "<db:verify from='b' to='a' id='1' type='valid'/>");
        assert_eq!(read(&written(&answer)), Ok(answer));
    }

    // checks: DBK-005
    #[test]
    fn xep0220_s2_5_errors_hold_a_condition() {
        for condition in DialbackCondition::ALL {
            let answer = Packet::ask(PacketKind::Result, "a", "b", None, "k").answer(Content::Error(*condition));
            assert_eq!(read(&written(&answer)), Ok(answer));
        }
        let unknown = read("<db:result from='a' to='b' type='error'><error><x/></error></db:result>").unwrap();
        assert_eq!(unknown.content, Content::Error(DialbackCondition::UndefinedCondition));
    }

    // checks: DBK-006
    #[test]
    fn xep0220_s2_any_prefix_that_is_declared() {
        let packet = read("<d:result xmlns:d='jabber:server:dialback' from='a' to='b' type='invalid'/>").unwrap();
        assert_eq!(packet.content, Content::Invalid);
        for malformed in [
            "<db:result from='a'>k</db:result>",
            "<db:verify from='a' to='b'>k</db:verify>",
            "<db:result from='a' to='b' type='maybe'/>",
            "<db:other from='a' to='b'/>",
            "<result from='a' to='b'>k</result>",
        ] {
            assert_eq!(read(malformed), Err(MalformedPacket), "{malformed}");
        }
    }
}
