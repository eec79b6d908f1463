//! Certificates ordered from an authority by ACME (RFC 8555), and ordered again before they end.

mod answer; // RFC 8555 §8.3, RFC 8737
mod file;
mod https;
mod order; // RFC 8555 §7.1

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use impp_model::Domain;
use instant_acme::ExternalAccountKey;

use crate::BindError;
use crate::tls::Tls;
use file::Held;

/// From whom, for which names and how.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Where the authority may write to, as `mailto:` URIs.
    pub contact: Vec<String>,
    /// The names of the certificate; one certificate has them all.
    pub domains: Vec<Domain>,
    /// How control of the names is shown.
    pub challenge: Challenge,
    /// Where the authority's questions are answered while an order is under way; it asks at port 80 or 443.
    pub listen: SocketAddr,
    /// Where the account is kept.
    pub folder: PathBuf,
    /// The file for the certificate, its chain and its key.
    pub certificate: PathBuf,
    /// What binds the account to one that the authority knows already.
    pub external_account: Option<ExternalAccount>,
}

/// RFC 8555 §7.3: an account at the authority, outside ACME.
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// The key identifier that the authority gave.
    pub key_id: String,
    /// A file with the HMAC key in base64url, as the authority gave it.
    pub key_file: PathBuf,
}

/// How control of a name is shown to the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a page of HTTP (RFC 8555 §8.3).
    Http01,
    /// By a certificate in a handshake of its own protocol (RFC 8737).
    TlsAlpn01,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The authority refused, or could not be asked.
    #[error("{0}")]
    Authority(#[source] instant_acme::Error),
    /// The authority offers no challenge of the kind that is configured.
    #[error("the authority offers no such challenge for {0}")]
    NoChallenge(String),
    /// The authority did not find what it asked for.
    #[error("the authority could not verify {domain}: {why}")]
    Unverified {
        /// The name.
        domain: String,
        /// In the authority's words.
        why: String,
    },
    /// The order ended without a certificate.
    #[error("the order ended as {0:?}")]
    Order(instant_acme::OrderStatus),
    /// Nobody can ask us.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate that answers a question could not be made.
    #[error("no certificate for the challenge")]
    Certificate,
    /// A file of the folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ExternalAccount {
    /// Whether the file holds a key.
    pub fn check(&self) -> Result<(), AcmeError> {
        self.key().map(drop)
    }

    fn key(&self) -> Result<ExternalAccountKey, AcmeError> {
        let failed = |source: io::Error| AcmeError::File { path: self.key_file.clone(), source };
        let text = fs::read_to_string(&self.key_file).map_err(failed)?;
        // RFC 8555 §7.3 wants no padding; some authorities hand it out with it.
        let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
        match key {
            Ok(key) if !key.is_empty() => Ok(ExternalAccountKey::new(self.key_id.clone(), &key)),
            Ok(_) | Err(_) => Err(failed(io::Error::new(io::ErrorKind::InvalidData, "no key in base64url"))),
        }
    }
}

impl AcmeSettings {
    fn account(&self) -> PathBuf {
        self.folder.join("account.json")
    }
}

/// Orders the certificate when there is none or a third of its time is left, for ever; each is used at once.
pub async fn keep(settings: AcmeSettings, tls: Arc<Tls>) {
    let mut failures = 0;
    loop {
        let due = Held::read(&settings.certificate).map(|held| held.due(&settings.domains));
        let wait = due.and_then(|due| due.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        if !wait.is_zero() {
            // In steps, for clocks are set and machines sleep.
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
            continue;
        }
        match order::order(&settings, &tls).await {
            Ok(()) => {
                failures = 0;
                match tls.reload() {
                    Ok(()) => tracing::info!(directory = settings.directory, "certificate ordered and in use"),
                    Err(errors) => {
                        errors.iter().for_each(|error| tracing::error!(%error, "ordered certificate not used"))
                    }
                }
            }
            Err(error) => {
                failures += 1;
                let pause = pause(failures);
                let directory = &settings.directory;
                tracing::warn!(directory, %error, retry_in_seconds = pause.as_secs(), "no certificate was ordered");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Doubled with each failure: authorities bar those who fail often (RFC 8555 §6.6).
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    doubled.mul_f64(rand::random_range(0.5..=1.0))
}

/// A wrong record or a closed port may be mended in a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Some tries are left in the third of a certificate's life that remains.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

const LOOK_AGAIN: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8555_s7_3_the_key_of_an_external_account_is_base64url() {
        let folder = tempfile::tempdir().unwrap();
        let account = |text: &str| {
            let key_file = folder.path().join("hmac");
            fs::write(&key_file, text).unwrap();
            ExternalAccount { key_id: "kid-1".to_owned(), key_file }.check()
        };
        assert!(account("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n").is_ok());
        assert!(account("a_-0YQ==").is_ok());
        for wrong in ["", "two words", "a+/0"] {
            assert!(matches!(account(wrong), Err(AcmeError::File { .. })), "{wrong}");
        }
    }

    #[test]
    fn each_failure_waits_longer_up_to_a_bound() {
        let range = |failures| (0..50).map(move |_| pause(failures));
        assert!(range(1).all(|pause| pause <= FIRST_PAUSE && pause >= FIRST_PAUSE / 2));
        assert!(range(3).all(|pause| pause >= FIRST_PAUSE * 2));
        assert!(range(u32::MAX).all(|pause| pause <= LONGEST_PAUSE && pause >= LONGEST_PAUSE / 2));
    }
}
