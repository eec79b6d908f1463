use std::fmt;

use super::params::AuthParams;
use super::{Algorithm, DigestError, Qop};
use crate::header::quote;

/// The value of WWW-Authenticate or Proxy-Authenticate (RFC 7616 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose users are asked for.
    pub realm: String,
    /// The server's data.
    pub nonce: String,
    /// To be given back unchanged.
    pub opaque: Option<String>,
    /// How to compute the response.
    pub algorithm: Algorithm,
    /// Only the nonce was too old: the password was right.
    pub stale: bool,
    pub(super) qop: Qop,
}

impl Challenge {
    /// Parses one header value; never a list (RFC 3261 §7.3.1).
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let params = AuthParams::parse(text)?;
        Ok(Self {
            realm: params.require("realm")?,
            nonce: params.require("nonce")?,
            opaque: params.find("opaque")?.map(Into::into),
            algorithm: Algorithm::parse(params.find("algorithm")?.as_deref())?,
            stale: params.find("stale")?.is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            qop: choose(params.find("qop")?.as_deref())?,
        })
    }
}

/// The weaker of what a server offers, which survives changes on the way; RFC 8760 §2.6: `auth` where nothing is offered.
fn choose(offered: Option<&str>) -> Result<Qop, DigestError> {
    let Some(offered) = offered else { return Ok(Qop::Auth) };
    let has = |qop: Qop| offered.split(',').any(|word| word.trim().eq_ignore_ascii_case(qop.name()));
    [Qop::Auth, Qop::AuthInt].into_iter().find(|qop| has(*qop)).ok_or(DigestError::Value("qop"))
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (realm, nonce) = (quote(&self.realm), quote(&self.nonce));
        write!(f, "Digest realm={realm},nonce={nonce},qop=\"{}\",algorithm={}", self.qop.name(), self.algorithm)?;
        if let Some(opaque) = &self.opaque {
            write!(f, ",opaque={}", quote(opaque))?;
        }
        if self.stale { f.write_str(",stale=true") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Hash;

    #[test]
    fn reads_and_writes() {
        let text = "Digest realm=\"a\",nonce=\"n\\\"1\",qop=\"auth\",algorithm=SHA-256,opaque=\"\",stale=true";
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!((challenge.nonce.as_str(), challenge.stale, challenge.opaque.as_deref()), ("n\"1", true, Some("")));
        assert_eq!(challenge.to_string(), text);
    }

    // checks: DIG-002
    #[test]
    fn rfc8760_s2_6_a_missing_qop_is_auth() {
        let challenge = Challenge::parse("Digest realm=a, nonce=b").unwrap();
        assert_eq!((challenge.qop, challenge.algorithm.hash), (Qop::Auth, Hash::Md5));
        let qop = |text| Challenge::parse(&format!("Digest realm=a,nonce=b,qop={text}")).map(|found| found.qop);
        assert_eq!(qop("\"auth-int, AUTH\""), Ok(Qop::Auth));
        assert_eq!(qop("auth-int"), Ok(Qop::AuthInt));
        assert_eq!(qop("none"), Err(DigestError::Value("qop")));
    }

    // checks: DIG-004
    #[test]
    fn an_unknown_algorithm_is_told_apart() {
        let unknown = Challenge::parse("Digest realm=a,nonce=b,algorithm=SHA3-512");
        assert_eq!(unknown, Err(DigestError::Algorithm));
    }
}
