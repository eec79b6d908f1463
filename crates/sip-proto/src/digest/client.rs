use super::{Challenge, Credentials, DigestError, Password};
use crate::header_id::HeaderId;
use crate::message::Message;

/// A user name and password, as a server knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    username: String,
    password: Password,
    realm: Option<String>,
}

/// Answers the challenges of one server and its proxies (RFC 3261 §22.2, RFC 8760 §2.4).
///
/// Later requests carry credentials at once, until they are challenged again.
#[derive(Debug)]
pub struct Client {
    account: Account,
    sessions: Vec<Session>,
}

/// A nonce that is in use.
#[derive(Debug)]
struct Session {
    proxy: bool,
    challenge: Challenge,
    cnonce: String,
    nc: u32,
}

/// The challenges that one request has met; it starts empty.
#[derive(Debug, Default)]
pub struct Tries {
    met: Vec<(bool, String)>,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswerable {
    /// No challenge of the digest scheme.
    #[error("no digest challenge")]
    NoChallenge,
    /// RFC 8760 §2.4: none with an algorithm that is known here.
    #[error("no known digest algorithm")]
    Algorithm,
    /// The account is for another realm.
    #[error("challenge is for another realm")]
    Realm,
    /// RFC 3261 §22.1: the credentials were refused.
    #[error("credentials were refused")]
    Refused,
}

/// A proxy or two and the server; more is a loop.
const MAX_SESSIONS: usize = 4;

/// RFC 3261 §22.1: one answer to each realm, one more when the nonce was stale.
const MAX_STALE: usize = 2;

impl Account {
    /// An account at any realm.
    pub fn new(username: impl Into<String>, password: Password) -> Self {
        Self { username: username.into(), password, realm: None }
    }

    /// An account at this realm only.
    #[must_use]
    pub fn at(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }
}

impl Client {
    /// Begins without a nonce.
    pub const fn new(account: Account) -> Self {
        Self { account, sessions: Vec::new() }
    }

    /// Takes the challenges of a 401 or 407; when that succeeds, the request is to be sent again with what
    /// [`authorize`](Self::authorize) gives. `cnonce` is random.
    pub fn handle_challenge(
        &mut self,
        tries: &mut Tries,
        response: &Message,
        cnonce: &str,
    ) -> Result<(), Unanswerable> {
        let mut problem = Unanswerable::NoChallenge;
        let mut taken = false;
        for (header, proxy) in [(HeaderId::WwwAuthenticate, false), (HeaderId::ProxyAuthenticate, true)] {
            let mut realms: Vec<String> = Vec::new();
            for challenge in response.headers(header).filter_map(|header| header.text().ok()).map(Challenge::parse) {
                match challenge {
                    // RFC 8760 §2.4: the topmost of each realm that is known.
                    Ok(challenge) if realms.contains(&challenge.realm) => {}
                    Ok(challenge) => {
                        realms.push(challenge.realm.clone());
                        match self.take(tries, proxy, challenge, cnonce) {
                            Ok(()) => taken = true,
                            Err(why) => problem = why,
                        }
                    }
                    Err(DigestError::Algorithm) => problem = Unanswerable::Algorithm,
                    Err(_) => {}
                }
            }
        }
        if taken { Ok(()) } else { Err(problem) }
    }

    fn take(&mut self, tries: &mut Tries, proxy: bool, challenge: Challenge, cnonce: &str) -> Result<(), Unanswerable> {
        if self.account.realm.as_ref().is_some_and(|realm| *realm != challenge.realm) {
            return Err(Unanswerable::Realm);
        }
        self.sessions.retain(|session| session.proxy != proxy || session.challenge.realm != challenge.realm);
        let met = tries.met.iter().filter(|(of, realm)| *of == proxy && *realm == challenge.realm).count();
        // RFC 3261 §22.1: what was refused is not tried again, unless only its nonce was.
        if met >= if challenge.stale { MAX_STALE } else { 1 } || self.sessions.len() >= MAX_SESSIONS {
            return Err(Unanswerable::Refused);
        }
        tries.met.push((proxy, challenge.realm.clone()));
        self.sessions.push(Session { proxy, challenge, cnonce: cnonce.to_owned(), nc: 0 });
        Ok(())
    }

    /// The headers that prove a request, as far as the challenges met so far tell; each call uses the nonces once more.
    pub fn authorize(&mut self, method: &str, uri: &str, body: &[u8]) -> Vec<(HeaderId, String)> {
        let account = &self.account;
        self.sessions.iter_mut().map(|session| session.authorize(account, method, uri, body)).collect()
    }

    /// Whether a server has asked for credentials and requests carry them.
    pub fn is_challenged(&self) -> bool {
        !self.sessions.is_empty()
    }
}

impl Session {
    fn authorize(&mut self, account: &Account, method: &str, uri: &str, body: &[u8]) -> (HeaderId, String) {
        self.nc = self.nc.saturating_add(1);
        let challenge = &self.challenge;
        let mut credentials = Credentials {
            username: account.username.clone(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: uri.to_owned(),
            opaque: challenge.opaque.clone(),
            algorithm: challenge.algorithm,
            nc: self.nc,
            cnonce: self.cnonce.clone(),
            qop: challenge.qop,
            response: String::new(),
        };
        credentials.response = credentials.expected(&account.password, method, body);
        let header = if self.proxy { HeaderId::ProxyAuthorization } else { HeaderId::Authorization };
        (header, credentials.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn challenged(lines: &str) -> Message {
        let text = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n{lines}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn client() -> Client {
        Client::new(Account::new("alice", Password::new("secret")))
    }

    fn credentials(client: &mut Client) -> Vec<(HeaderId, Credentials)> {
        let headers = client.authorize("MESSAGE", "sip:a@b", b"");
        headers.into_iter().map(|(id, value)| (id, Credentials::parse(&value).unwrap())).collect()
    }

    // checks: DIG-004, SIP-037
    #[test]
    fn rfc8760_s2_4_the_topmost_known_algorithm_is_used() {
        let mut client = client();
        assert!(!client.is_challenged() && credentials(&mut client).is_empty());
        let response = challenged(
            "WWW-Authenticate: Basic realm=\"r\"\r\nWWW-Authenticate: Digest realm=\"r\",nonce=\"0\",algorithm=SHA3\r\n\
             WWW-Authenticate: Digest realm=\"r\",nonce=\"1\",algorithm=SHA-256,qop=\"auth\"\r\n\
             WWW-Authenticate: Digest realm=\"r\",nonce=\"2\",algorithm=MD5,qop=\"auth\"\r\n",
        );
        client.handle_challenge(&mut Tries::default(), &response, "c").unwrap();
        let found = credentials(&mut client);
        let [(HeaderId::Authorization, first)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.nonce.as_str(), first.nc, first.algorithm.to_string().as_str()), ("1", 1, "SHA-256"));
        assert_eq!(credentials(&mut client)[0].1.nc, 2);
    }

    // checks: SIP-038
    #[test]
    fn rfc3261_s22_1_refused_credentials_are_not_tried_again() {
        let (mut client, mut tries) = (client(), Tries::default());
        let challenge = |nonce: u8, more: &str| {
            challenged(&format!("WWW-Authenticate: Digest realm=\"r\",nonce=\"{nonce}\"{more}\r\n"))
        };
        assert_eq!(client.handle_challenge(&mut tries, &challenge(1, ""), "c"), Ok(()));
        assert_eq!(client.handle_challenge(&mut tries, &challenge(2, ",stale=true"), "c"), Ok(()));
        assert_eq!(client.handle_challenge(&mut tries, &challenge(3, ""), "c"), Err(Unanswerable::Refused));
        assert!(!client.is_challenged(), "refused credentials are not sent with the next request");
        assert_eq!(client.handle_challenge(&mut tries, &challenge(4, ",stale=true"), "c"), Err(Unanswerable::Refused));
        assert_eq!(client.handle_challenge(&mut Tries::default(), &challenge(5, ""), "c"), Ok(()));
    }

    #[test]
    fn a_proxy_and_the_server_each_get_their_own() {
        let (mut client, mut tries) = (client(), Tries::default());
        let response = challenged("Proxy-Authenticate: Digest realm=\"p\",nonce=\"1\"\r\n");
        client.handle_challenge(&mut tries, &response, "c").unwrap();
        let response = challenged("WWW-Authenticate: Digest realm=\"s\",nonce=\"2\",opaque=\"o\"\r\n");
        client.handle_challenge(&mut tries, &response, "c").unwrap();
        let found = credentials(&mut client);
        assert_eq!((found[0].0, found[1].0), (HeaderId::ProxyAuthorization, HeaderId::Authorization));
        assert_eq!(found[1].1.opaque.as_deref(), Some("o"));
    }

    #[test]
    fn what_cannot_be_answered_has_its_reason() {
        let take = |client: &mut Client, line: &str| {
            client.handle_challenge(&mut Tries::default(), &challenged(line), "c").unwrap_err()
        };
        assert_eq!(take(&mut client(), ""), Unanswerable::NoChallenge);
        assert_eq!(take(&mut client(), "WWW-Authenticate: Basic realm=\"r\"\r\n"), Unanswerable::NoChallenge);
        let unknown = "WWW-Authenticate: Digest realm=\"r\",nonce=\"0\",algorithm=SHA3\r\n";
        assert_eq!(take(&mut client(), unknown), Unanswerable::Algorithm);
        let mut elsewhere = Client::new(Account::new("alice", Password::new("secret")).at("other"));
        let known = "WWW-Authenticate: Digest realm=\"r\",nonce=\"0\"\r\n";
        assert_eq!(take(&mut elsewhere, known), Unanswerable::Realm);
    }
}
