//! SASL EXTERNAL between servers (RFC 6120 §6, XEP-0178 §3), both roles, judged by what a certificate proves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use strict_xml::{Element, XmlWriter};

use crate::jid::Domain;
use crate::named::named;
use crate::ns;
use crate::server::PeerIdentity;

/// XEP-0178 §3: the only mechanism between servers.
pub const EXTERNAL: &str = "EXTERNAL";

named! {
    /// RFC 6120 §6.5: why authentication fails.
    pub enum SaslCondition {
        /// The initiator gave up.
        Aborted => "aborted",
        /// The account is disabled.
        AccountDisabled => "account-disabled",
        /// The credentials are too old.
        CredentialsExpired => "credentials-expired",
        /// TLS first.
        EncryptionRequired => "encryption-required",
        /// Not base64.
        IncorrectEncoding => "incorrect-encoding",
        /// Not an identity that the credentials allow.
        InvalidAuthzid => "invalid-authzid",
        /// A mechanism that is not offered.
        InvalidMechanism => "invalid-mechanism",
        /// Not in its form.
        MalformedRequest => "malformed-request",
        /// The mechanism is too weak.
        MechanismTooWeak => "mechanism-too-weak",
        /// The credentials do not prove the identity; also any condition that is not known.
        NotAuthorized => "not-authorized",
        /// To be tried later.
        TemporaryAuthFailure => "temporary-auth-failure",
    }
}

/// Appends the initiator's request.
pub fn write_auth(out: &mut BytesMut, domain: &Domain) {
    // XEP-0178 §3: the authorization identity is redundant, and older receivers want it.
    let identity = STANDARD.encode(domain.as_str());
    XmlWriter::new(out).start("auth").attr("xmlns", ns::SASL).attr("mechanism", EXTERNAL).text(&identity).end("auth");
}

/// Appends the receiver's consent.
pub fn write_success(out: &mut BytesMut) {
    XmlWriter::new(out).start("success").attr("xmlns", ns::SASL).end("success");
}

/// Appends the receiver's refusal.
pub fn write_failure(out: &mut BytesMut, condition: SaslCondition) {
    let name = condition.as_str();
    XmlWriter::new(out).start("failure").attr("xmlns", ns::SASL).start(name).end(name).end("failure");
}

/// Reads a refusal.
pub fn read_failure(failure: &Element) -> SaslCondition {
    let known = failure.elements().filter(|child| child.ns == ns::SASL);
    known.filter_map(|child| SaslCondition::parse(&child.name)).next().unwrap_or(SaslCondition::NotAuthorized)
}

/// Judges an `<auth/>`: which domain the peer has proven.
///
/// `identity` is what TLS told of the peer, none without TLS; `from` is what the stream's header says.
// DEVIATES RFC 6120 §6.4.2: a request without initial response counts as one with an empty one, without a challenge.
pub fn judge_external(
    auth: &Element,
    identity: Option<&PeerIdentity>,
    from: Option<&Domain>,
) -> Result<Domain, SaslCondition> {
    // RFC 6120 §6.3.4: TLS goes before SASL.
    let identity = identity.ok_or(SaslCondition::EncryptionRequired)?;
    if auth.attr("mechanism") != Some(EXTERNAL) {
        return Err(SaslCondition::InvalidMechanism);
    }
    let text = auth.text();
    let claimed = match (text.trim(), from) {
        // XEP-0178 §3: without authorization identity the header's `from` counts.
        ("" | "=", Some(from)) => from.clone(),
        ("" | "=", None) => return Err(SaslCondition::InvalidAuthzid),
        (encoded, _) => decode(encoded)?,
    };
    if from.is_some_and(|from| *from != claimed) {
        return Err(SaslCondition::InvalidAuthzid);
    }
    if identity.proves(&claimed) { Ok(claimed) } else { Err(SaslCondition::NotAuthorized) }
}

fn decode(encoded: &str) -> Result<Domain, SaslCondition> {
    let octets = STANDARD.decode(encoded).map_err(|_| SaslCondition::IncorrectEncoding)?;
    let text = String::from_utf8(octets).map_err(|_| SaslCondition::InvalidAuthzid)?;
    Domain::parse(&text).map_err(|_| SaslCondition::InvalidAuthzid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(mechanism: &'static str, text: &'static str, from: Option<&str>) -> Result<String, SaslCondition> {
        let auth = Element::new("auth", ns::SASL).with_attr("mechanism", mechanism).with_text(text);
        let from = from.map(|from| Domain::parse(from).unwrap());
        let identity = PeerIdentity::proving(["example.com", "*.example.org"]);
        judge_external(&auth, Some(&identity), from.as_ref()).map(|domain| domain.to_string())
    }

    // checks: EXT-001, EXT-002
    #[test]
    fn xep0178_s3_the_identity_is_the_headers_or_the_same() {
        assert_eq!(judge("EXTERNAL", "=", Some("example.com")).as_deref(), Ok("example.com"));
        assert_eq!(judge("EXTERNAL", " ZXhhbXBsZS5jb20=\n", Some("Example.com")).as_deref(), Ok("example.com"));
        assert_eq!(judge("EXTERNAL", "ZXhhbXBsZS5jb20=", None).as_deref(), Ok("example.com"));
        assert_eq!(judge("EXTERNAL", "", Some("a.example.org")).as_deref(), Ok("a.example.org"));
        assert_eq!(judge("EXTERNAL", "=", Some("other.example")), Err(SaslCondition::NotAuthorized));
        assert_eq!(judge("EXTERNAL", "ZXhhbXBsZS5jb20=", Some("a.example.org")), Err(SaslCondition::InvalidAuthzid));
        assert_eq!(judge("EXTERNAL", "=", None), Err(SaslCondition::InvalidAuthzid));
        assert_eq!(judge("EXTERNAL", "%", Some("example.com")), Err(SaslCondition::IncorrectEncoding));
        assert_eq!(judge("EXTERNAL", "/w==", Some("example.com")), Err(SaslCondition::InvalidAuthzid));
        assert_eq!(judge("PLAIN", "=", Some("example.com")), Err(SaslCondition::InvalidMechanism));
    }

    // checks: XST-007
    #[test]
    fn rfc6120_s6_3_4_no_external_without_tls() {
        let auth = Element::new("auth", ns::SASL).with_attr("mechanism", EXTERNAL).with_text("=");
        let from = Domain::parse("example.com").unwrap();
        assert_eq!(judge_external(&auth, None, Some(&from)), Err(SaslCondition::EncryptionRequired));
    }

    #[test]
    fn refusals_are_read_as_written() {
        let mut out = BytesMut::new();
        write_failure(&mut out, SaslCondition::InvalidAuthzid);
        let read = strict_xml::parse_element(&out, &strict_xml::Scope::new(), &strict_xml::Limits::default()).unwrap();
        assert_eq!(read_failure(&read), SaslCondition::InvalidAuthzid);
        assert_eq!(read_failure(&Element::new("failure", ns::SASL)), SaslCondition::NotAuthorized);
    }
}
