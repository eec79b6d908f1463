use std::time::Duration;
use subtle::ConstantTimeEq as _;

use super::nonce::{Fault, MAX_NONCES, Nonces};
use super::{Algorithm, Challenge, Credentials, Hash, Password, Qop};
use crate::header_id::HeaderId;
use crate::message::Message;
use crate::uri::Uri;

/// One realm, seen from the server (RFC 3261 §22, RFC 8760 §2.3).
///
/// Keeps nothing for a challenge; `now` is always the time since one fixed point.
#[derive(Debug)]
pub struct Server {
    realm: String,
    hashes: Vec<Hash>,
    nonces: Nonces,
}

/// What a request proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It comes from this user.
    Proven(String),
    /// It has no credentials for this realm: challenge it.
    Missing,
    /// Its credentials are right, and its nonce is too old or was used up: challenge it with `stale`.
    Stale,
    /// Its credentials are wrong: challenge it anew.
    Wrong,
    /// RFC 8760 §2.6: its credentials are for another URI.
    OtherUri,
}

impl Server {
    /// A realm with a random key for its nonces; the strongest hash is offered first.
    pub fn new(realm: impl Into<String>, hashes: &[Hash], key: [u8; 32]) -> Self {
        let mut hashes = hashes.to_vec();
        hashes.sort();
        hashes.dedup();
        Self { realm: realm.into(), hashes, nonces: Nonces::new(key, MAX_NONCES) }
    }

    /// The values of as many WWW-Authenticate headers, the most preferred first (RFC 8760 §2.3).
    pub fn challenges(&mut self, stale: bool, now: Duration) -> Vec<String> {
        let nonce = self.nonces.issue(now);
        let challenge = |hash: &Hash| Challenge {
            realm: self.realm.clone(),
            nonce: nonce.clone(),
            opaque: None,
            algorithm: Algorithm { hash: *hash, session: false },
            stale,
            qop: Qop::Auth,
        };
        self.hashes.iter().map(|hash| challenge(hash).to_string()).collect()
    }

    /// Judges the credentials in `header`, Authorization or Proxy-Authorization, of a request.
    pub fn verify<'p>(
        &mut self,
        request: &Message,
        header: HeaderId,
        password_of: impl Fn(&str) -> Option<&'p Password>,
        now: Duration,
    ) -> Verdict {
        let values = request.headers(header).filter_map(|header| Credentials::parse(header.text().ok()?).ok());
        let Some(credentials) = values.into_iter().find(|found| found.realm == self.realm) else {
            return Verdict::Missing;
        };
        if !self.is_right(&credentials, request, password_of) {
            return Verdict::Wrong;
        }
        // The URI is under the digest: an honest client wrote it for what it sent, and proxies may have moved on.
        if !same_target(&credentials.uri, request.request_uri().unwrap_or_default()) {
            return Verdict::OtherUri;
        }
        match self.nonces.count(&credentials.nonce, credentials.nc, now) {
            Ok(()) => Verdict::Proven(credentials.username),
            Err(Fault::Stale | Fault::Replayed) => Verdict::Stale,
        }
    }

    fn is_right<'p>(
        &self,
        credentials: &Credentials,
        request: &Message,
        password_of: impl Fn(&str) -> Option<&'p Password>,
    ) -> bool {
        let Algorithm { hash, session } = credentials.algorithm;
        // RFC 8760 §2.3: what was not offered is not taken.
        if session || !self.hashes.contains(&hash) || credentials.qop != Qop::Auth {
            return false;
        }
        let method = request.method().map_or("", |method| method.as_str());
        let (known, nobody) = (password_of(&credentials.username), Password::new(""));
        // Computed for an unknown user as well, which takes as long.
        let expected = credentials.expected(known.unwrap_or(&nobody), method, request.body());
        let same = bool::from(expected.as_bytes().ct_eq(credentials.response.as_bytes()));
        same && known.is_some()
    }
}

/// RFC 3261 §22.4: the URI under the digest is the Request-URI, or one of the same user where a proxy changed the host.
fn same_target(signed: &str, requested: &str) -> bool {
    if signed == requested {
        return true;
    }
    let (Ok(signed), Ok(requested)) = (Uri::parse(signed), Uri::parse(requested)) else { return false };
    if signed.equivalent(&requested) {
        return true;
    }
    let user = |uri: &Uri<'_>| uri.sip().and_then(|uri| uri.user.map(str::to_owned));
    user(&signed).is_some() && user(&signed) == user(&requested)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Account, Client, Tries};
    use bytes::Bytes;

    const NOW: Duration = Duration::from_secs(9);

    fn server() -> Server {
        Server::new("gw.example", &[Hash::Md5, Hash::Sha256], [7; 32])
    }

    fn request(uri: &str, authorization: &str) -> Message {
        let text = format!(
            "MESSAGE {uri} SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: x\r\nCSeq: 1 MESSAGE\r\n{authorization}Content-Type: text/plain\r\n\r\nhello"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn challenged(server: &mut Server) -> Message {
        let lines: String =
            server.challenges(false, NOW).iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
        let text = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n{lines}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn answer(server: &mut Server, password: &str, uri: &str) -> String {
        let mut client = Client::new(Account::new("alice", Password::new(password)));
        client.handle_challenge(&mut Tries::default(), &challenged(server), "c0").unwrap();
        let (id, value) = client.authorize("MESSAGE", uri, b"hello").remove(0);
        format!("{}: {value}\r\n", id.name())
    }

    fn verify(server: &mut Server, request: &Message, now: Duration) -> Verdict {
        let password = Password::new("secret");
        server.verify(request, HeaderId::Authorization, |user| (user == "alice").then_some(&password), now)
    }

    // checks: DIG-001, DIG-002, DIG-009
    #[test]
    fn rfc8760_s2_3_one_challenge_for_each_algorithm_the_strongest_first() {
        let challenges = server().challenges(true, NOW);
        let parsed: Vec<_> = challenges.iter().map(|text| Challenge::parse(text).unwrap()).collect();
        assert_eq!([parsed[0].algorithm.hash, parsed[1].algorithm.hash], [Hash::Sha256, Hash::Md5]);
        assert!(parsed.iter().all(|challenge| challenge.qop == Qop::Auth && challenge.stale));
        let strict = Server::new("r", &[Hash::Sha256], [0; 32]).challenges(false, NOW);
        assert!(strict.len() == 1 && !strict[0].contains("MD5"));
    }

    // checks: DIG-006, DIG-008
    #[test]
    fn rfc3261_s22_4_credentials_prove_their_user_once() {
        let mut server = server();
        let line = answer(&mut server, "secret", "sip:a@b");
        let message = request("sip:a@b", &line);
        assert_eq!(verify(&mut server, &message, NOW), Verdict::Proven("alice".to_owned()));
        assert_eq!(verify(&mut server, &message, NOW), Verdict::Stale, "the same again");
        let line = answer(&mut server, "secret", "sip:a@b");
        assert_eq!(verify(&mut server, &request("sip:a@b", &line), NOW + Duration::from_secs(400)), Verdict::Stale);
        assert_eq!(verify(&mut server, &request("sip:A@b", &line), NOW), Verdict::OtherUri);
        assert_eq!(verify(&mut server, &request("sip:a@192.0.2.1", &line), NOW), Verdict::Proven("alice".to_owned()));
    }

    #[test]
    fn wrong_ones_prove_nothing() {
        let mut server = server();
        assert_eq!(verify(&mut server, &request("sip:a@b", ""), NOW), Verdict::Missing);
        assert_eq!(verify(&mut server, &request("sip:a@b", "Authorization: Basic YTpi\r\n"), NOW), Verdict::Missing);
        let line = answer(&mut server, "guess", "sip:a@b");
        assert_eq!(verify(&mut server, &request("sip:a@b", &line), NOW), Verdict::Wrong);
        let line = answer(&mut server, "", "sip:a@b").replace("alice", "bob");
        assert_eq!(verify(&mut server, &request("sip:a@b", &line), NOW), Verdict::Wrong);
        let elsewhere = line.replace("gw.example", "other.example");
        assert_eq!(verify(&mut server, &request("sip:a@b", &elsewhere), NOW), Verdict::Missing);
        let mut strict = Server::new("gw.example", &[Hash::Sha256], [7; 32]);
        let line = answer(&mut server, "secret", "sip:a@b").replace("SHA-256", "MD5");
        assert_eq!(verify(&mut strict, &request("sip:a@b", &line), NOW), Verdict::Wrong);
    }
}
