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
