//! One order, from the account to the file with the certificate.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::answer::{self, Answers};
use super::file::replace;
use super::https::Https;
use super::{AcmeError, AcmeSettings, Challenge, ExternalAccount};
use crate::bind_tcp;
use crate::tls::Tls;

/// How long the authority may take to ask, and then to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Orders a certificate and writes it down.
pub(super) async fn order(settings: &AcmeSettings, tls: &Arc<Tls>) -> Result<(), AcmeError> {
    let account = account(settings, tls).await?;
    let names: Vec<_> = settings.domains.iter().map(|domain| Identifier::Dns(domain.as_str().to_owned())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(AcmeError::Authority)?;
    let answers = Arc::<Answers>::default();
    let listener = bind_tcp(settings.listen)?;
    let answering = tokio::spawn(answer::serve(listener, settings.challenge, Arc::clone(&answers)));
    let ordered = finish(settings, &mut order, &answers).await;
    answering.abort();
    replace(&settings.certificate, ordered?.as_bytes())
}

/// The account that is kept, or a new one.
async fn account(settings: &AcmeSettings, tls: &Arc<Tls>) -> Result<Account, AcmeError> {
    let builder = Account::builder_with_http(Box::new(Https(Arc::clone(tls))));
    let path = settings.account();
    if let Some(known) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok())
        && known.directory == settings.directory
    {
        return builder.from_credentials(known.credentials).await.map_err(AcmeError::Authority);
    }
    let contact: Vec<_> = settings.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref().map(ExternalAccount::key).transpose()?;
    let made = builder.create(&wanted, settings.directory.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(AcmeError::Authority)?;
    let kept = Kept { directory: settings.directory.clone(), credentials };
    let text = serde_json::to_vec(&kept).map_err(|error| AcmeError::Authority(error.into()))?;
    replace(&path, &text)?;
    Ok(account)
}

/// An account belongs to one authority.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// RFC 8555 §7.4: shows control of each name, then has the certificate signed; chain and key in PEM.
async fn finish(settings: &AcmeSettings, order: &mut Order, answers: &Answers) -> Result<String, AcmeError> {
    let kind = match settings.challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(AcmeError::Authority)?;
        // RFC 8555 §7.1.4: what was shown lately counts again.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let missing = || AcmeError::NoChallenge(domain.clone());
        let mut challenge = authorization.challenge(kind.clone()).ok_or_else(missing)?;
        answers.add(&domain, &challenge.token, &challenge.key_authorization())?;
        challenge.set_ready().await.map_err(AcmeError::Authority)?;
    }
    let status = order.poll_ready(&PATIENCE).await.map_err(AcmeError::Authority)?;
    if status != OrderStatus::Ready {
        return Err(unverified(order).await.unwrap_or(AcmeError::Order(status)));
    }
    let key = order.finalize().await.map_err(AcmeError::Authority)?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(AcmeError::Authority)?;
    Ok(format!("{chain}\n{key}"))
}

/// What the authority says of the name that it could not verify.
async fn unverified(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let domain = state.identifier().to_string();
        if let Some(why) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(AcmeError::Unverified { domain, why: why.to_string() });
        }
    }
    None
}
