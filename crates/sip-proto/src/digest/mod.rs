//! Digest authentication with RFC 8760, as server and as client.
//!
//! [`Server`](crate::digest::Server) challenges and judges what comes back; [`Client`](crate::digest::Client) answers challenges and goes on with the nonce that a
//! server has accepted. Neither reads a clock or draws a random number. Basic is neither offered nor answered.

mod algorithm;
mod challenge;
mod client;
mod credentials;
mod nonce;
mod params;
mod server;

pub use algorithm::{Algorithm, Hash};
pub use challenge::Challenge;
pub use client::{Account, Client, Tries, Unanswerable};
pub use credentials::Credentials;
pub use nonce::{MAX_NONCES, NONCE_LIFETIME};
pub use server::{Server, Verdict};

use std::fmt;

/// A shared secret; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password from configuration.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a header value is no digest challenge, or no digest credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Another scheme, such as Basic, which RFC 8760 §2.6 rules out.
    #[error("scheme is not Digest")]
    Scheme,
    /// No list of parameters as RFC 7616 §3.3 has it.
    #[error("malformed at octet {offset}")]
    Syntax {
        /// Counted from the start of the value.
        offset: usize,
    },
    /// A parameter occurs twice.
    #[error("{0} occurs twice")]
    Repeated(&'static str),
    /// A parameter that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value that its parameter cannot have.
    #[error("{0} is malformed")]
    Value(&'static str),
    /// RFC 8760 §2.4: an algorithm that is not known here.
    #[error("algorithm is unknown")]
    Algorithm,
}

/// What the response is computed from (RFC 7616 §3.4).
struct Inputs<'a> {
    algorithm: Algorithm,
    username: &'a str,
    realm: &'a str,
    password: &'a Password,
    nonce: &'a str,
    cnonce: &'a str,
    nc: u32,
    qop: Qop,
    method: &'a str,
    uri: &'a str,
    body: &'a [u8],
}

/// RFC 7616 §3.3: what the response protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// Method and URI.
    Auth,
    /// The body, too.
    AuthInt,
}

impl Qop {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

impl Inputs<'_> {
    /// RFC 7616 §3.4.1, with a quality of protection, which RFC 8760 §2.6 demands.
    fn response(&self) -> String {
        let Algorithm { hash, session } = self.algorithm;
        let mut a1 = hash.of(&[self.username, self.realm, &self.password.0]);
        if session {
            a1 = hash.of(&[&a1, self.nonce, self.cnonce]);
        }
        let a2 = match self.qop {
            Qop::Auth => hash.of(&[self.method, self.uri]),
            // RFC 8760 §2.6: an empty body hashes as the empty string.
            Qop::AuthInt => hash.of(&[self.method, self.uri, &hash.of_octets(self.body)]),
        };
        let nc = format!("{:08x}", self.nc);
        hash.of(&[&a1, self.nonce, &nc, self.cnonce, self.qop.name(), &a2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1.
    fn mufasa(hash: Hash, qop: Qop) -> String {
        let password = Password::new("Circle of Life");
        let inputs = Inputs {
            algorithm: Algorithm { hash, session: false },
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: &password,
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: 1,
            qop,
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        };
        inputs.response()
    }

    // checks: DIG-003
    #[test]
    fn rfc7616_s3_9_1_known_answers() {
        assert_eq!(mufasa(Hash::Sha256, Qop::Auth), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        assert_eq!(mufasa(Hash::Md5, Qop::Auth), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(mufasa(Hash::Sha512Of256, Qop::Auth).len(), 64);
    }

    // checks: DIG-007
    #[test]
    fn rfc8760_s2_6_an_empty_body_hashes_as_the_empty_string() {
        assert_eq!(Hash::Sha256.of_octets(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(mufasa(Hash::Sha256, Qop::AuthInt), mufasa(Hash::Sha256, Qop::Auth));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
    }
}
