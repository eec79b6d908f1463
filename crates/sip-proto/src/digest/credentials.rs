use std::fmt;

use super::params::AuthParams;
use super::{Algorithm, DigestError, Inputs, Password, Qop};
use crate::header::quote;

/// The value of Authorization or Proxy-Authorization (RFC 7616 §3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// Of which realm.
    pub realm: String,
    /// From the challenge.
    pub nonce: String,
    /// The Request-URI as the client knew it.
    pub uri: String,
    /// From the challenge.
    pub opaque: Option<String>,
    /// How the response was computed.
    pub algorithm: Algorithm,
    /// How often this nonce was used, this time included.
    pub nc: u32,
    pub(super) cnonce: String,
    pub(super) qop: Qop,
    pub(super) response: String,
}

impl Credentials {
    /// Parses one header value; never a list (RFC 3261 §7.3.1).
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let params = AuthParams::parse(text)?;
        let qop = match params.find("qop")?.as_deref() {
            // RFC 8760 §2.6.
            None | Some("auth") => Qop::Auth,
            Some("auth-int") => Qop::AuthInt,
            Some(_) => return Err(DigestError::Value("qop")),
        };
        let nc = params.require("nc")?;
        let digits = nc.len() == 8 && nc.bytes().all(|octet| octet.is_ascii_hexdigit());
        let nc = u32::from_str_radix(&nc, 16).ok().filter(|_| digits).ok_or(DigestError::Value("nc"))?;
        Ok(Self {
            username: params.require("username")?,
            realm: params.require("realm")?,
            nonce: params.require("nonce")?,
            uri: params.require("uri")?,
            opaque: params.find("opaque")?.map(Into::into),
            algorithm: Algorithm::parse(params.find("algorithm")?.as_deref())?,
            nc,
            cnonce: params.require("cnonce")?,
            qop,
            response: params.require("response")?,
        })
    }

    /// What the response must be, with this password.
    pub(super) fn expected(&self, password: &Password, method: &str, body: &[u8]) -> String {
        let inputs = Inputs {
            algorithm: self.algorithm,
            username: &self.username,
            realm: &self.realm,
            password,
            nonce: &self.nonce,
            cnonce: &self.cnonce,
            nc: self.nc,
            qop: self.qop,
            method,
            uri: &self.uri,
            body,
        };
        inputs.response()
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, nc, qop, .. } = self;
        let [username, realm, nonce, uri, cnonce, response] =
            [&self.username, &self.realm, &self.nonce, &self.uri, &self.cnonce, &self.response].map(|text| quote(text));
        write!(f, "Digest username={username},realm={realm},nonce={nonce},uri={uri},algorithm={algorithm}")?;
        write!(f, ",qop={},nc={nc:08x},cnonce={cnonce},response={response}", qop.name())?;
        self.opaque.as_ref().map_or(Ok(()), |opaque| write!(f, ",opaque={}", quote(opaque)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:a@b\",algorithm=SHA-256,qop=auth,\
                        nc=0000000a,cnonce=\"c\",response=\"x\",opaque=\"o\"";

    // checks: DIG-006
    #[test]
    fn reads_and_writes() {
        let credentials = Credentials::parse(TEXT).unwrap();
        assert_eq!((credentials.nc, credentials.uri.as_str()), (10, "sip:a@b"));
        assert_eq!(credentials.to_string(), TEXT);
    }

    #[test]
    fn every_part_must_be_there_and_sound() {
        for (from, to, error) in [
            ("cnonce=\"c\",", "", DigestError::Missing("cnonce")),
            ("nc=0000000a,", "", DigestError::Missing("nc")),
            ("nc=0000000a", "nc=a", DigestError::Value("nc")),
            ("nc=0000000a", "nc=+000000a", DigestError::Value("nc")),
            ("qop=auth", "qop=auth-conf", DigestError::Value("qop")),
            ("uri=\"sip:a@b\",", "", DigestError::Missing("uri")),
            ("SHA-256", "SHA3", DigestError::Algorithm),
        ] {
            assert_eq!(Credentials::parse(&TEXT.replace(from, to)), Err(error), "{to}");
        }
        assert_eq!(Credentials::parse(&TEXT.replace("qop=auth,", "")).unwrap().qop, Qop::Auth);
    }
}
