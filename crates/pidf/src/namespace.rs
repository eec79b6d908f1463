//! The namespaces of presence documents.

/// RFC 3863 §4.1.1.
pub const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// RFC 5262 §3.
pub const PIDF_DIFF: &str = "urn:ietf:params:xml:ns:pidf-diff";
/// RFC 4479 §5.
pub const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// RFC 4480 §3.1.
pub const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// RFC 4482 §3.
pub const CIPID: &str = "urn:ietf:params:xml:ns:pidf:cipid";
/// RFC 4481 §3.
pub const TIMED_STATUS: &str = "urn:ietf:params:xml:ns:pidf:timed-status";
/// RFC 4119 §2.2.
pub const GEOPRIV: &str = "urn:ietf:params:xml:ns:pidf:geopriv10";
/// RFC 3922 §5.1.5: never standardised, but sent.
pub const IM_STATUS: &str = "urn:ietf:params:xml:ns:pidf:im";
/// RFC 8048 §6.2: where `<show/>` comes from.
pub const JABBER_CLIENT: &str = "jabber:client";

/// RFC 3863 §4.2.2: whether the namespace, if there is one, is an absolute URI without fragment.
pub(crate) fn is_sound(ns: &str) -> bool {
    // Those of the IETF are the most frequent.
    if matches!(ns, PIDF | RPID | DATA_MODEL | CIPID) {
        return true;
    }
    let scheme = ns.split_once(':').map(|(scheme, _)| scheme);
    let letters = |scheme: &str| scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    let absolute =
        scheme.is_some_and(|scheme| scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && letters(scheme));
    ns.is_empty() || (absolute && !ns.contains('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-23
    #[test]
    fn rfc3863_s4_2_2_namespaces_are_absolute_without_fragment() {
        for ns in ["", PIDF, JABBER_CLIENT, "http://id.example.com/x?y", "x+1:"] {
            assert!(is_sound(ns), "{ns}");
        }
        for ns in ["x", "/x", ":x", "1:x", "a/b:c", "http://www.w3.org/2000/09/xmldsig#", "../x"] {
            assert!(!is_sound(ns), "{ns}");
        }
    }
}
