use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use impp_model::Domain;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use crate::dane::{Application, DaneError, Discovery, SecureDns, Tlsa, Usage, callers, discover, discover_sip};

use super::files::{self, CertificateFiles, Loaded, Stamps, TlsFileError, TlsSettings};
use super::identity::{PeerIdentity, Vouched};
use super::names::CertificateNames;
use super::verify::{ShowsItsKey, verify_chain};

/// The certificates and authorities of this gateway, as their files have them at the moment; shared by all adapters.
pub struct Tls {
    settings: ArcSwap<TlsSettings>,
    /// Whose certificate is shown where none fits better.
    gateway: Domain,
    provider: Arc<CryptoProvider>,
    verifier: Arc<ShowsItsKey>,
    current: Arc<ArcSwap<Snapshot>>,
    /// Where DNSSEC is asked about peers.
    dns: Option<Arc<dyn SecureDns>>,
    /// The files that were last looked at, whether or not they could be used.
    seen: ArcSwap<Stamps>,
}

/// What the files held when they were last read whole.
#[derive(Debug)]
struct Snapshot {
    certificates: Vec<Loaded>,
    roots: RootCertStore,
}

/// A certificate of ours, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its file.
    pub file: PathBuf,
    /// Its names.
    pub names: Vec<String>,
    /// The end of its validity.
    pub not_after: SystemTime,
}

/// What a peer is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its file.
    pub file: PathBuf,
    /// What it proves.
    pub identity: PeerIdentity,
    /// Whether it may be shown by who is called.
    pub for_servers: bool,
    /// Whether it may be shown by who calls.
    pub for_clients: bool,
    /// What a TLSA record `3 1 1` for it says.
    pub association: Option<Tlsa>,
}

/// How often the files are looked at: sooner than anybody waits for a renewal, and as cheap as a few `stat`s.
pub const RELOAD_CHECK: Duration = Duration::from_secs(10);

/// From here on the end of a certificate is warned of: three weekends; certificates of 90 days are renewed before.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(21 * 24 * 3600);

/// What the name system may take to vouch for a caller; then it is proven in another way, or not.
const CALLER_PATIENCE: Duration = Duration::from_secs(5);

/// How often a warning is repeated.
const WARN_AGAIN: Duration = Duration::from_secs(24 * 3600);

impl Tls {
    /// Reads all files; every problem is told, not only the first.
    pub fn load(settings: TlsSettings, gateway: Domain) -> Result<Self, Vec<TlsFileError>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let seen = ArcSwap::from_pointee(Stamps::of(&settings));
        let snapshot = Snapshot::load(&settings, &provider)?;
        let verifier = ShowsItsKey::new(&provider);
        let settings = ArcSwap::from_pointee(settings);
        let current = Arc::new(ArcSwap::from_pointee(snapshot));
        Ok(Self { settings, gateway, provider, verifier, current, dns: None, seen })
    }

    /// The same, with a validating resolver that may vouch for servers (RFC 7673).
    pub fn with_dnssec(self, dns: Arc<dyn SecureDns>) -> Self {
        Self { dns: Some(dns), ..self }
    }

    /// Whether the name system is asked to vouch for peers.
    pub fn asks_dnssec(&self) -> bool {
        self.dns.is_some()
    }

    /// What the name system vouches for at the XMPP server of `service` that is called; nothing without DNSSEC.
    pub async fn discover(&self, service: &str, host: &str, port: u16) -> Result<Discovery, DaneError> {
        match &self.dns {
            Some(dns) => discover(&**dns, service, host, port).await,
            None => Ok(Discovery::Insecure),
        }
    }

    /// The same of the SIP server of `domain` at an address.
    pub async fn discover_sip(&self, domain: &Domain, address: SocketAddr) -> Result<Discovery, DaneError> {
        match &self.dns {
            Some(dns) => discover_sip(&**dns, domain, address).await,
            None => Ok(Discovery::Insecure),
        }
    }

    /// RFC 7712 §5.1: a server that calls, shows the certificate `own` and says to be that of `domain`, which the name system may
    /// vouch for where no authority does. A look-up that fails proves nothing, and forbids nothing: the peer may be proven in
    /// another way.
    pub async fn vouch_for_caller(
        &self,
        peer: PeerIdentity,
        own: &CertificateDer<'_>,
        domain: &Domain,
    ) -> PeerIdentity {
        let Some(dns) = self.dns.as_ref().filter(|_| peer.xmpp(domain).is_err()) else { return peer };
        let asking = tokio::time::timeout(CALLER_PATIENCE, callers(&**dns, domain));
        match asking.await.unwrap_or_else(|_| Err(DaneError::Failure(domain.to_string()))) {
            Ok(associations) if associations.iter().any(|tlsa| tlsa.matches(own)) => {
                peer.vouched_for(domain.clone(), Vouched::Certificate)
            }
            Ok(_) => peer,
            Err(error) => {
                tracing::info!(peer = %domain, reason = error.code(), %error, "the name system vouches for no caller");
                peer
            }
        }
    }

    /// Without certificates of its own and without trust: no listener, and no peer is proven.
    pub fn none(gateway: Domain) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let snapshot = Snapshot { certificates: Vec::new(), roots: RootCertStore::empty() };
        Self {
            settings: ArcSwap::default(),
            gateway,
            verifier: ShowsItsKey::new(&provider),
            provider,
            current: Arc::new(ArcSwap::from_pointee(snapshot)),
            dns: None,
            seen: ArcSwap::default(),
        }
    }

    /// Whether there is a certificate to show, or will be one when it is ordered.
    pub fn has_certificates(&self) -> bool {
        self.settings.load().ordered.is_some() || !self.current.load().certificates.is_empty()
    }

    /// Whether no peer can be proven by a certificate.
    pub fn trusts_nobody(&self) -> bool {
        self.current.load().roots.is_empty()
    }

    /// Our certificates, in the order of the configuration.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        let info = |loaded: &Loaded| CertificateInfo {
            file: loaded.file.clone(),
            names: loaded.names.all(),
            not_after: loaded.not_after,
        };
        self.current.load().certificates.iter().map(info).collect()
    }

    /// What the certificate that is shown for `domain` proves.
    pub fn names_for(&self, domain: &Domain) -> Option<CertificateNames> {
        self.current.load().choose(Some(domain), &self.gateway).map(|loaded| loaded.names.clone())
    }

    /// Reads the files again if one was changed; on an error what was loaded stays. Whether something was loaded.
    pub fn reload_if_changed(&self) -> Result<bool, Vec<TlsFileError>> {
        if **self.seen.load() == Stamps::of(&self.settings.load()) { Ok(false) } else { self.reload().map(|()| true) }
    }

    /// Reads the files again; on an error what was loaded stays.
    pub fn reload(&self) -> Result<(), Vec<TlsFileError>> {
        let settings = self.settings.load();
        // Before reading: what changes meanwhile is read next time.
        self.seen.store(Arc::new(Stamps::of(&settings)));
        self.current.store(Arc::new(Snapshot::load(&settings, &self.provider)?));
        Ok(())
    }

    /// Reads the files of other settings and goes on with them; on an error all stays as it was.
    pub fn configure(&self, settings: TlsSettings) -> Result<(), Vec<TlsFileError>> {
        let seen = Stamps::of(&settings);
        self.current.store(Arc::new(Snapshot::load(&settings, &self.provider)?));
        self.seen.store(Arc::new(seen));
        self.settings.store(Arc::new(settings));
        Ok(())
    }

    /// Follows changes of the files and warns of certificates that end soon, for ever.
    pub async fn watch(&self) {
        let mut warned: Option<tokio::time::Instant> = None;
        loop {
            match self.reload_if_changed() {
                Ok(true) => {
                    tracing::info!("certificates loaded anew");
                    warned = None;
                }
                Ok(false) => {}
                Err(errors) => {
                    for error in errors {
                        tracing::error!(%error, remedy = error.remedy(), "changed certificates are not used");
                    }
                }
            }
            if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
                self.warn_of_expiry(SystemTime::now());
                warned = Some(tokio::time::Instant::now());
            }
            tokio::time::sleep(RELOAD_CHECK).await;
        }
    }

    fn warn_of_expiry(&self, now: SystemTime) {
        for CertificateInfo { file, names, not_after } in self.certificates() {
            let (file, names) = (file.display(), names.join(" "));
            match not_after.duration_since(now) {
                Err(_) => tracing::error!(%file, names, "this certificate has expired: peers refuse it"),
                Ok(left) if left < EXPIRY_WARNING => {
                    let days = left.as_secs() / (24 * 3600);
                    tracing::warn!(%file, names, days, "this certificate expires soon: renew it");
                }
                Ok(_) => {}
            }
        }
    }

    /// The certificate that a peer is shown that asks for `domain`, as a peer that trusts whom we trust judges it.
    pub fn shown(&self, domain: &Domain) -> Option<Shown> {
        let current = self.current.load();
        let loaded = current.choose(Some(domain), &self.gateway)?;
        let identity = self.judge(&loaded.key.cert, SystemTime::now());
        let end = loaded.key.end_entity_cert().ok()?;
        let (for_servers, for_clients) = files::purposes_of(end);
        let file = loaded.file.clone();
        Some(Shown { file, identity, for_servers, for_clients, association: Tlsa::of_key(end) })
    }

    /// Judges the certificates that a peer showed, its own first.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> PeerIdentity {
        let Some(end) = chain.first() else { return PeerIdentity::none() };
        let algorithms = &self.provider.signature_verification_algorithms;
        let verdict = verify_chain(chain, &self.current.load().roots, algorithms, now);
        PeerIdentity::new(verdict, CertificateNames::read(end), files::end_of(end))
    }

    /// RFC 7673 §4: judges the server of `domain` by what the name system vouches for, too.
    pub(super) fn judge_vouched(
        &self,
        peer: PeerIdentity,
        chain: &[CertificateDer<'_>],
        domain: &Domain,
        discovery: &Discovery,
    ) -> Result<PeerIdentity, DaneError> {
        let Discovery::Server { application, host, associations } = discovery else { return Ok(peer) };
        let names = peer.names();
        let is_named = match application {
            Application::Xmpp => names.prove_xmpp(domain) || names.prove_host(host),
            // RFC 5922 §7.2: no wildcards.
            Application::Sip => names.prove_sip(domain) || names.prove_sip(host),
        };
        let is_valid = peer.chain().is_ok() && is_named;
        if associations.is_empty() {
            // RFC 5922 §7.3 takes no host for its domain, whoever vouches for the SRV record.
            let by_host = is_valid && *application == Application::Xmpp;
            return Ok(if by_host { peer.vouched_for(domain.clone(), Vouched::Host) } else { peer });
        }
        let Some(end) = chain.first() else { return Err(DaneError::Mismatch) };
        let algorithms = &self.provider.signature_verification_algorithms;
        let above = || chain.iter().skip(1);
        let holds = |tlsa: &Tlsa| match tlsa.usable() {
            // RFC 7671 §5.1: neither its names nor its dates count.
            Some(Usage::DaneEe) => tlsa.matches(end),
            Some(Usage::DaneTa) => {
                is_named && verify_chain(chain, &tlsa.anchors(chain), algorithms, SystemTime::now()).is_ok()
            }
            Some(Usage::PkixEe) => is_valid && tlsa.matches(end),
            Some(Usage::PkixTa) => is_valid && above().any(|certificate| tlsa.matches(certificate)),
            None => false,
        };
        if associations.iter().any(holds) {
            Ok(peer.vouched_for(domain.clone(), Vouched::Certificate))
        } else {
            Err(DaneError::Mismatch)
        }
    }

    /// For connections that are accepted: shows the certificate for the name that the peer asks for, asks for the peer's
    /// and takes any. A peer that offers ALPN must offer one of `alpn`, unless there is none.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        Arc::new(self.server_side(alpn, Arc::clone(&self.verifier) as _))
    }

    /// The same for clients whom a verifier judges in the handshake; it is made from the one that checks their keys alone.
    pub(super) fn demanding_config(
        &self,
        alpn: &[&[u8]],
        demand: impl FnOnce(Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let mut config = self.server_side(alpn, demand(Arc::clone(&self.verifier) as _));
        // A session that goes on is not judged again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    fn server_side(&self, alpn: &[&[u8]], verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let by_name = ByServerName { current: Arc::clone(&self.current), gateway: self.gateway.clone() };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        #[allow(clippy::expect_used, reason = "the provider is this file's own choice")]
        let builder =
            builder.with_safe_default_protocol_versions().expect("the provider has suites for TLS 1.2 and 1.3");
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(by_name));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// For connections that we make: shows the certificate whose names contain `source`, else the gateway's, if the peer
    /// asks for one; takes any from the peer.
    pub fn client_config(&self, source: Option<&Domain>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let own = self.current.load().choose(source, &self.gateway).map(|loaded| Arc::clone(&loaded.key));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        #[allow(clippy::expect_used, reason = "the provider is this file's own choice")]
        let builder =
            builder.with_safe_default_protocol_versions().expect("the provider has suites for TLS 1.2 and 1.3");
        let verifier = Arc::clone(&self.verifier);
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_client_cert_resolver(Arc::new(Chosen(own)));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // A session belongs to the certificate that was shown in it, and the configuration to one connection.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &*self.settings.load()).finish_non_exhaustive()
    }
}

impl Snapshot {
    fn load(settings: &TlsSettings, provider: &CryptoProvider) -> Result<Self, Vec<TlsFileError>> {
        let mut errors = Vec::new();
        let mut certificates = Vec::new();
        for (number, files) in settings.certificates.iter().enumerate() {
            match files.load(number, provider) {
                Ok(loaded) => certificates.push(loaded),
                Err(error) => errors.push(error),
            }
        }
        // Nothing is lost by one that cannot be read: it is ordered again.
        let ordered = settings
            .ordered
            .iter()
            .map(|file| CertificateFiles { certificate: file.clone(), private_key: file.clone() });
        certificates.extend(ordered.filter_map(|files| files.load(settings.certificates.len(), provider).ok()));
        let mut roots = RootCertStore::empty();
        let trust = settings.trust.iter().enumerate();
        errors.extend(trust.filter_map(|(number, trust)| trust.load(number, &mut roots).err()));
        if errors.is_empty() { Ok(Self { certificates, roots }) } else { Err(errors) }
    }

    /// The certificate whose names contain `domain`, else the gateway's, else the first.
    fn choose(&self, domain: Option<&Domain>, gateway: &Domain) -> Option<&Loaded> {
        let naming = |domain: &Domain| self.certificates.iter().find(|loaded| loaded.names.contain(domain));
        domain.and_then(naming).or_else(|| naming(gateway)).or_else(|| self.certificates.first())
    }
}

/// RFC 6066, server_name: the certificate for the name that the client asks for.
#[derive(Debug)]
struct ByServerName {
    current: Arc<ArcSwap<Snapshot>>,
    gateway: Domain,
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let domain = hello.server_name().and_then(|name| Domain::parse_host(name).ok());
        self.current.load().choose(domain.as_ref(), &self.gateway).map(|loaded| Arc::clone(&loaded.key))
    }
}

/// One certificate, or none, for whoever asks.
#[derive(Debug)]
struct Chosen(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Chosen {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
