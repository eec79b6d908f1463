use serde::Serialize;

use super::{ImppUri, UriError, XmppUri};

/// What `inspect uri --json` prints of an `im:` or `pres:` URI.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ImppUriReport {
    /// The URI is valid.
    Valid {
        /// The text looked at.
        input: String,
        /// Always true.
        valid: bool,
        /// The decoded local part, empty if the URI has no address.
        local: String,
        /// The canonical domain.
        domain: Option<String>,
        /// The key under which identities are compared.
        canonical: Option<String>,
        /// Decoded names and values after the `?`.
        headers: Vec<(String, String)>,
        /// Whether an operation can go to it.
        addressable: bool,
    },
    /// The URI is not valid.
    Invalid {
        /// The text looked at.
        input: String,
        /// Always false.
        valid: bool,
        /// The error's class ([`UriError::code`]).
        error: &'static str,
        /// Octets before the error.
        position: usize,
        /// The error in words.
        text: String,
    },
}

impl ImppUriReport {
    /// Parses `input` and reports what was found.
    pub fn inspect(input: &str) -> Self {
        match ImppUri::parse(input) {
            Ok(uri) => Self::of_valid(input, &uri),
            Err(error) => Self::Invalid {
                input: input.into(),
                valid: false,
                error: error.code(),
                position: error.position(),
                text: error.to_string(),
            },
        }
    }

    fn of_valid(input: &str, uri: &ImppUri) -> Self {
        let address = uri.address();
        Self::Valid {
            input: input.into(),
            valid: true,
            local: address.map(|a| a.local().into()).unwrap_or_default(),
            domain: address.map(|a| a.domain().to_string()),
            canonical: uri.canonical(),
            headers: uri.headers().to_vec(),
            addressable: address.is_some(),
        }
    }
}

/// What `inspect uri --json` prints of an `xmpp:` URI; absent parts are left out.
#[derive(Debug, Default, Serialize)]
pub struct XmppUriReport {
    input: String,
    scheme: &'static str,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fragment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl XmppUriReport {
    /// Parses `input` and reports what was found.
    pub fn inspect(input: &str) -> Self {
        let report = Self { input: input.into(), scheme: super::xmpp::SCHEME, ..Self::default() };
        match XmppUri::parse(input) {
            Ok(uri) => Self {
                valid: true,
                auth: uri.auth,
                local: uri.local,
                domain: uri.domain.map(|domain| domain.to_string()),
                resource: uri.resource,
                query_type: uri.query_type,
                pairs: uri.pairs,
                fragment: uri.fragment,
                ..report
            },
            Err(error) => {
                let text = Some(error.to_string());
                Self { error: Some(error.code()), position: Some(error.position()), text, ..report }
            }
        }
    }
}

/// Whether two URIs are equivalent, as far as either has a scheme of this module.
///
/// URIs of different schemes are never equivalent. `None`: neither is `im:`, `pres:` or `xmpp:`, so that another
/// crate has to answer.
pub fn compare(a: &str, b: &str) -> Option<Result<bool, UriError>> {
    match (Known::parse(a), Known::parse(b)) {
        (None, None) => None,
        (Some(Err(error)), _) | (_, Some(Err(error))) => Some(Err(error)),
        (Some(Ok(a)), Some(Ok(b))) => Some(Ok(a.is_equivalent(&b))),
        (Some(Ok(_)), None) | (None, Some(Ok(_))) => Some(Ok(false)),
    }
}

enum Known {
    Impp(ImppUri),
    Xmpp(XmppUri),
}

impl Known {
    fn parse(text: &str) -> Option<Result<Self, UriError>> {
        let (scheme, _) = text.split_once(':')?;
        match scheme.to_ascii_lowercase().as_str() {
            "im" | "pres" => Some(ImppUri::parse(text).map(Self::Impp)),
            "xmpp" => Some(XmppUri::parse(text).map(Self::Xmpp)),
            _ => None,
        }
    }

    fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Impp(a), Self::Impp(b)) => a.is_equivalent(b),
            (Self::Xmpp(a), Self::Xmpp(b)) => a.is_equivalent(b),
            (Self::Impp(_), Self::Xmpp(_)) | (Self::Xmpp(_), Self::Impp(_)) => false,
        }
    }
}
