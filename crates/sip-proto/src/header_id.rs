//! Header field names.

use std::fmt;

/// Declares the known names once: variant, canonical spelling, the lower-case forms it is recognised by.
macro_rules! header_ids {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $($form:literal)|+;)*) => {
        /// A header field name, interned; names are case-insensitive (RFC 3261 §7.3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum HeaderId {
            $($(#[$doc])* $variant,)*
            /// Any other name; its spelling stays with the header.
            Other,
        }

        impl HeaderId {
            /// Every known name, in alphabetical order.
            pub const KNOWN: &[Self] = &[$(Self::$variant,)*];

            /// The long form, as this crate writes it; empty for [`HeaderId::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "",
                }
            }

            fn of_lower(lower: &[u8]) -> Self {
                match lower {
                    $($($form)|+ => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

header_ids! {
    /// RFC 3261 §20.1.
    Accept = "Accept", b"accept";
    /// RFC 3841.
    AcceptContact = "Accept-Contact", b"accept-contact" | b"a";
    /// RFC 3261 §20.2.
    AcceptEncoding = "Accept-Encoding", b"accept-encoding";
    /// RFC 3261 §20.3.
    AcceptLanguage = "Accept-Language", b"accept-language";
    /// RFC 3261 §20.4.
    AlertInfo = "Alert-Info", b"alert-info";
    /// RFC 3261 §20.5.
    Allow = "Allow", b"allow";
    /// RFC 6665 §8.2.2.
    AllowEvents = "Allow-Events", b"allow-events" | b"u";
    /// RFC 3261 §20.6.
    AuthenticationInfo = "Authentication-Info", b"authentication-info";
    /// RFC 3261 §20.7.
    Authorization = "Authorization", b"authorization";
    /// RFC 3261 §20.8.
    CallId = "Call-ID", b"call-id" | b"i";
    /// RFC 3261 §20.9.
    CallInfo = "Call-Info", b"call-info";
    /// RFC 3261 §20.10.
    Contact = "Contact", b"contact" | b"m";
    /// RFC 3261 §20.11.
    ContentDisposition = "Content-Disposition", b"content-disposition";
    /// RFC 3261 §20.12.
    ContentEncoding = "Content-Encoding", b"content-encoding" | b"e";
    /// RFC 3261 §20.13.
    ContentLanguage = "Content-Language", b"content-language";
    /// RFC 3261 §20.14.
    ContentLength = "Content-Length", b"content-length" | b"l";
    /// RFC 3261 §20.15.
    ContentType = "Content-Type", b"content-type" | b"c";
    /// RFC 3261 §20.16.
    CSeq = "CSeq", b"cseq";
    /// RFC 3261 §20.17.
    Date = "Date", b"date";
    /// RFC 3261 §20.18.
    ErrorInfo = "Error-Info", b"error-info";
    /// RFC 6665 §8.2.1.
    Event = "Event", b"event" | b"o";
    /// RFC 3261 §20.19.
    Expires = "Expires", b"expires";
    /// RFC 5626 §4.4.1.
    FlowTimer = "Flow-Timer", b"flow-timer";
    /// RFC 3261 §20.20.
    From = "From", b"from" | b"f";
    /// RFC 7044.
    HistoryInfo = "History-Info", b"history-info";
    /// RFC 8224.
    Identity = "Identity", b"identity" | b"y";
    /// RFC 4474.
    IdentityInfo = "Identity-Info", b"identity-info" | b"n";
    /// RFC 3261 §20.21.
    InReplyTo = "In-Reply-To", b"in-reply-to";
    /// RFC 3261 §20.22.
    MaxForwards = "Max-Forwards", b"max-forwards";
    /// RFC 3261 §20.24.
    MimeVersion = "MIME-Version", b"mime-version";
    /// RFC 3261 §20.23.
    MinExpires = "Min-Expires", b"min-expires";
    /// RFC 4028.
    MinSe = "Min-SE", b"min-se";
    /// RFC 3261 §20.25.
    Organization = "Organization", b"organization";
    /// RFC 3325.
    PAssertedIdentity = "P-Asserted-Identity", b"p-asserted-identity";
    /// RFC 3325.
    PPreferredIdentity = "P-Preferred-Identity", b"p-preferred-identity";
    /// RFC 3327.
    Path = "Path", b"path";
    /// RFC 3261 §20.26.
    Priority = "Priority", b"priority";
    /// RFC 3323.
    Privacy = "Privacy", b"privacy";
    /// RFC 3261 §20.27.
    ProxyAuthenticate = "Proxy-Authenticate", b"proxy-authenticate";
    /// RFC 3261 §20.28.
    ProxyAuthorization = "Proxy-Authorization", b"proxy-authorization";
    /// RFC 3261 §20.29.
    ProxyRequire = "Proxy-Require", b"proxy-require";
    /// RFC 3262.
    RAck = "RAck", b"rack";
    /// RFC 3326.
    Reason = "Reason", b"reason";
    /// RFC 3261 §20.30.
    RecordRoute = "Record-Route", b"record-route";
    /// RFC 3515.
    ReferTo = "Refer-To", b"refer-to" | b"r";
    /// RFC 3892.
    ReferredBy = "Referred-By", b"referred-by" | b"b";
    /// RFC 3841.
    RejectContact = "Reject-Contact", b"reject-contact" | b"j";
    /// RFC 3261 §20.31.
    ReplyTo = "Reply-To", b"reply-to";
    /// RFC 3841.
    RequestDisposition = "Request-Disposition", b"request-disposition" | b"d";
    /// RFC 3261 §20.32.
    Require = "Require", b"require";
    /// RFC 3261 §20.33.
    RetryAfter = "Retry-After", b"retry-after";
    /// RFC 3261 §20.34.
    Route = "Route", b"route";
    /// RFC 3262.
    RSeq = "RSeq", b"rseq";
    /// RFC 3261 §20.35.
    Server = "Server", b"server";
    /// RFC 3608.
    ServiceRoute = "Service-Route", b"service-route";
    /// RFC 4028.
    SessionExpires = "Session-Expires", b"session-expires" | b"x";
    /// RFC 3903 §11.3.1.
    SipEtag = "SIP-ETag", b"sip-etag";
    /// RFC 3903 §11.3.2.
    SipIfMatch = "SIP-If-Match", b"sip-if-match";
    /// RFC 3261 §20.36.
    Subject = "Subject", b"subject" | b"s";
    /// RFC 6665 §8.2.3.
    SubscriptionState = "Subscription-State", b"subscription-state";
    /// RFC 3261 §20.37.
    Supported = "Supported", b"supported" | b"k";
    /// RFC 5839.
    SuppressIfMatch = "Suppress-If-Match", b"suppress-if-match";
    /// RFC 3261 §20.38.
    Timestamp = "Timestamp", b"timestamp";
    /// RFC 3261 §20.39.
    To = "To", b"to" | b"t";
    /// RFC 3261 §20.40.
    Unsupported = "Unsupported", b"unsupported";
    /// RFC 3261 §20.41.
    UserAgent = "User-Agent", b"user-agent";
    /// RFC 3261 §20.42.
    Via = "Via", b"via" | b"v";
    /// RFC 3261 §20.43.
    Warning = "Warning", b"warning";
    /// RFC 3261 §20.44.
    WwwAuthenticate = "WWW-Authenticate", b"www-authenticate";
}

/// Octets of the longest known name; a longer one needs no look-up.
const LONGEST: usize = 20;

impl HeaderId {
    /// Recognises a name, which must be a token, in any case, long or compact.
    pub fn of(name: &[u8]) -> Self {
        let mut lower = [0; LONGEST];
        let Some(filled) = lower.get_mut(..name.len()) else { return Self::Other };
        for (to, from) in filled.iter_mut().zip(name) {
            // Lower case for letters; of the other characters of a token only an underscore changes, and no name has it.
            *to = from | 0x20;
        }
        Self::of_lower(filled)
    }
}

impl fmt::Display for HeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for id in HeaderId::KNOWN {
            assert!(id.name().len() <= LONGEST, "{id}");
            assert_eq!(HeaderId::of(id.name().as_bytes()), *id);
            assert_eq!(HeaderId::of(id.name().to_ascii_uppercase().as_bytes()), *id);
        }
    }

    // checks: SIP-010, EVT-037
    #[test]
    fn rfc3261_s7_3_3_compact_forms() {
        let forms = [
            ("v", HeaderId::Via),
            ("F", HeaderId::From),
            ("t", HeaderId::To),
            ("i", HeaderId::CallId),
            ("m", HeaderId::Contact),
            ("L", HeaderId::ContentLength),
            ("s", HeaderId::Subject),
            ("c", HeaderId::ContentType),
            ("k", HeaderId::Supported),
            ("e", HeaderId::ContentEncoding),
            ("o", HeaderId::Event),
            ("u", HeaderId::AllowEvents),
            ("x", HeaderId::SessionExpires),
            ("j", HeaderId::RejectContact),
        ];
        for (form, id) in forms {
            assert_eq!(HeaderId::of(form.as_bytes()), id);
        }
        assert_eq!(HeaderId::of(b"z"), HeaderId::Other);
        assert_eq!(HeaderId::of(&[b'a'; 400]), HeaderId::Other);
    }
}
