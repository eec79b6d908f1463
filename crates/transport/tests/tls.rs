//! Handshakes, and what they prove of either end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::sync::Arc;

use impp_model::Domain;
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use transport::Tls;
use transport::tls::testkit::{Authority, Issued, San, Variant};
use transport::tls::{
    CertificateSource, Handshake, HandshakeError, IdentityFault, PeerIdentity, TlsAcceptor, TlsFileError,
};

fn domain(name: &str) -> Domain {
    Domain::parse_host(name).unwrap()
}

/// One end: its certificates lie in `folder` as long as it lives.
struct End {
    folder: TempDir,
    tls: Arc<Tls>,
}

fn end(authority: &Authority, name: &str, issued: &[(&str, &Issued)]) -> End {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::load(authority.settings(folder.path(), issued), domain(name)).unwrap();
    End { folder, tls: Arc::new(tls) }
}

/// Shakes hands as `source` with the server of `target`; what each end learns of the other.
async fn meet(
    client: &End,
    source: &str,
    server: &End,
    target: &str,
    alpn: [&[&[u8]]; 2],
) -> Result<[Handshake<tokio::io::DuplexStream>; 2], HandshakeError> {
    let (near, far) = duplex(16 << 10);
    let acceptor = TlsAcceptor::new(Arc::clone(&server.tls), alpn[1]);
    let accepting = tokio::spawn(async move { acceptor.accept(far).await });
    let (target, source) = (domain(target), domain(source));
    let connected = client.tls.connect(near, &target, Some(&source), alpn[0]).await;
    let accepted = accepting.await.unwrap();
    Ok([connected?, accepted?])
}

// checks: EXT-001, XST-008, XST-009
#[tokio::test]
async fn rfc6120_s13_7_both_ends_are_proven_by_certificates_for_servers() {
    let authority = Authority::new("CA");
    let client = end(&authority, "a.example", &[("a", &authority.issue(&[San::Srv("_xmpp-server.a.example")]))]);
    let server = end(&authority, "b.example", &[("b", &authority.issue(&[San::Dns("b.example")]))]);
    let alpn: &[&[u8]] = &[b"xmpp-server"];
    let [mut near, mut far] = meet(&client, "a.example", &server, "b.example", [alpn, alpn]).await.unwrap();
    assert_eq!((near.peer.xmpp(&domain("b.example")), near.version), (Ok(()), "TLS 1.3"));
    assert_eq!(far.peer.xmpp(&domain("a.example")), Ok(()));
    assert_eq!(far.peer.xmpp(&domain("b.example")), Err(IdentityFault::WrongName));
    assert_eq!(far.peer.xmpp_domains(), ["a.example"]);
    assert_eq!(near.alpn.as_deref(), Some(&b"xmpp-server"[..]));
    near.stream.write_all(b"hello").await.unwrap();
    near.stream.flush().await.unwrap();
    let mut read = [0; 5];
    far.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

// checks: XST-042
#[tokio::test]
async fn who_speaks_another_protocol_is_refused() {
    let authority = Authority::new("CA");
    let client = end(&authority, "a.example", &[]);
    let server = end(&authority, "b.example", &[("b", &authority.issue(&[San::Dns("b.example")]))]);
    let ours: &[&[u8]] = &[b"xmpp-server"];
    let refused = meet(&client, "a.example", &server, "b.example", [&[b"xmpp-client"], ours]).await;
    assert!(matches!(refused, Err(HandshakeError::Io(_))));
    let [_, far] = meet(&client, "a.example", &server, "b.example", [&[], ours]).await.unwrap();
    assert_eq!((far.alpn, far.peer), (None, PeerIdentity::none()));
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name_asked_for() {
    let authority = Authority::new("CA");
    let client = end(&authority, "a.example", &[]);
    let issue = |name| authority.issue(&[San::Dns(name)]);
    let (b, c, gateway) = (issue("b.example"), issue("*.c.example"), issue("gw.example"));
    let server = end(&authority, "gw.example", &[("b", &b), ("c", &c), ("gw", &gateway)]);
    for (asked, shown) in [
        ("b.example", "b.example"),
        ("x.c.example", "*.c.example"),
        ("other.example", "gw.example"),
        ("192.0.2.1", "gw.example"),
    ] {
        let [near, _] = meet(&client, "a.example", &server, asked, [&[], &[]]).await.unwrap();
        assert_eq!(near.peer.names().all(), [shown], "{asked}");
    }
}

// checks: XST-008
#[tokio::test]
async fn each_fault_of_a_certificate_has_its_reason_and_breaks_no_handshake() {
    let (authority, stranger) = (Authority::new("CA"), Authority::new("CA"));
    let names = [San::Dns("b.example")];
    let for_clients = Variant { for_clients: true, ..Variant::default() };
    let cases = [
        (authority.issue(&names), Ok(())),
        (authority.issue_variant(&names, &for_clients), Ok(())),
        (authority.issue_variant(&names, &Variant::expired()), Err(IdentityFault::Expired)),
        (authority.issue_variant(&names, &Variant::not_yet_valid()), Err(IdentityFault::NotYetValid)),
        (authority.issue_variant(&names, &Variant::self_signed()), Err(IdentityFault::SelfSigned)),
        (stranger.issue(&names), Err(IdentityFault::Untrusted)),
        (authority.issue(&[San::Dns("c.example")]), Err(IdentityFault::WrongName)),
        (authority.issue(&[]), Err(IdentityFault::WrongName)),
    ];
    let (b, client) = (domain("b.example"), end(&authority, "a.example", &[]));
    for (issued, verdict) in cases {
        let server = end(&authority, "b.example", &[("b", &issued)]);
        let [near, _] = meet(&client, "a.example", &server, "b.example", [&[], &[]]).await.unwrap();
        assert_eq!([near.peer.xmpp(&b), near.peer.sip(&b), near.peer.host(&b)], [verdict; 3]);
        let expected = if verdict.is_ok() { vec!["b.example".to_owned()] } else { vec![] };
        if verdict != Err(IdentityFault::WrongName) {
            assert_eq!(near.peer.xmpp_domains(), expected);
        }
    }
    assert_eq!(IdentityFault::SelfSigned.code(), "certificate-self-signed");
}

/// What a listener that demands `b.example` says of a client, and the client of its answer.
async fn demand(
    client: &End,
    server: &End,
    authorities: &Arc<Tls>,
) -> (Option<IdentityFault>, Option<AlertDescription>) {
    let (near, far) = duplex(16 << 10);
    let name = domain("b.example");
    let acceptor = TlsAcceptor::demanding(Arc::clone(&server.tls), &[], Arc::clone(authorities), name);
    let accepting = tokio::spawn(async move { acceptor.accept(far).await.map(|_| ()) });
    let mut stream = client.tls.connect(near, &domain("gw.example"), None, &[]).await.unwrap().stream;
    let refused = match accepting.await.unwrap() {
        Ok(()) => None,
        Err(HandshakeError::Refused(fault)) => Some(fault),
        Err(other) => panic!("{other}"),
    };
    let alert = stream.read_u8().await.unwrap_err();
    let alert = alert.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let alert = alert.map(|error| {
        let rustls::Error::AlertReceived(alert) = error else { panic!("{error}") };
        *alert
    });
    (refused, alert)
}

#[tokio::test]
async fn a_demanding_listener_takes_its_client_alone_and_tells_others_why() {
    let (ours, stranger) = (Authority::new("CA"), Authority::new("other CA"));
    let server = end(&stranger, "gw.example", &[("gw", &stranger.issue(&[San::Dns("gw.example")]))]);
    // Whom the gateway trusts else does not count here.
    let authorities = end(&ours, "gw.example", &[]).tls;
    let names = [San::Dns("b.example")];
    let for_clients = Variant { for_clients: true, ..Variant::default() };
    let refused = |fault, alert| (Some(fault), Some(alert));
    use AlertDescription as Alert;
    let cases = [
        (ours.issue(&names), (None, None)),
        (ours.issue_variant(&names, &for_clients), (None, None)),
        (ours.issue_variant(&names, &Variant::expired()), refused(IdentityFault::Expired, Alert::CertificateExpired)),
        (stranger.issue(&names), refused(IdentityFault::Untrusted, Alert::UnknownCA)),
        (ours.issue_variant(&names, &Variant::self_signed()), refused(IdentityFault::Untrusted, Alert::UnknownCA)),
        (ours.issue(&[San::Dns("c.example")]), refused(IdentityFault::WrongName, Alert::BadCertificate)),
    ];
    for (issued, verdict) in cases {
        let client = end(&ours, "b.example", &[("b", &issued)]);
        assert_eq!(demand(&client, &server, &authorities).await, verdict);
    }
    let mute = End { folder: tempfile::tempdir().unwrap(), tls: Arc::new(Tls::none(domain("b.example"))) };
    let missing = refused(IdentityFault::NoCertificate, Alert::CertificateRequired);
    assert_eq!(demand(&mute, &server, &authorities).await, missing);
}

#[tokio::test]
async fn without_certificates_of_ours_nobody_is_served_and_nobody_proven() {
    let authority = Authority::new("CA");
    let server = end(&authority, "b.example", &[("b", &authority.issue(&[San::Dns("b.example")]))]);
    let nothing = End { folder: tempfile::tempdir().unwrap(), tls: Arc::new(Tls::none(domain("a.example"))) };
    let [near, far] = meet(&nothing, "a.example", &server, "b.example", [&[], &[]]).await.unwrap();
    assert_eq!(near.peer.xmpp(&domain("b.example")), Err(IdentityFault::Untrusted));
    assert_eq!(far.peer.xmpp(&domain("a.example")), Err(IdentityFault::NoCertificate));
    assert!(meet(&server, "b.example", &nothing, "a.example", [&[], &[]]).await.is_err());
    assert!(!nothing.tls.has_certificates() && nothing.folder.path().exists());
}

#[tokio::test]
async fn changed_files_are_loaded_and_broken_ones_are_not() {
    let (authority, names) = (Authority::new("CA"), [San::Dns("b.example")]);
    let server = end(&authority, "b.example", &[("b", &authority.issue(&names))]);
    let client = end(&authority, "a.example", &[]);
    assert!(!server.tls.reload_if_changed().unwrap());
    let wider = authority.issue(&[San::Dns("b.example"), San::Dns("a-much-longer-name-that-changes-the-size.example")]);
    // Half of a renewal: the key is not that of the certificate yet.
    std::fs::write(server.folder.path().join("b.pem"), &wider.certificate_pem).unwrap();
    let errors = server.tls.reload_if_changed().unwrap_err();
    assert!(matches!(&errors[..], [TlsFileError::Key { entry: CertificateSource::PrivateKey(0), .. }]), "{errors:?}");
    assert_eq!(server.tls.certificates()[0].names, ["b.example"]);
    // The same broken files are not read again and again.
    assert!(!server.tls.reload_if_changed().unwrap());
    wider.write(server.folder.path(), "b");
    server.tls.reload().unwrap();
    assert_eq!(server.tls.certificates()[0].names.len(), 2);
    let [near, _] = meet(&client, "a.example", &server, "b.example", [&[], &[]]).await.unwrap();
    assert_eq!(near.peer.names().all().len(), 2);
}

#[test]
fn every_wrong_file_is_told_at_once() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("CA"));
    let (one, two) = (authority.issue(&[San::Dns("a.example")]), authority.issue(&[San::Dns("b.example")]));
    let mut settings = authority.settings(folder.path(), &[("one", &one), ("two", &two)]);
    settings.certificates[0].private_key = folder.path().join("missing.key");
    settings.certificates[1].private_key = folder.path().join("one.key");
    std::fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    let errors = Tls::load(settings, domain("gw.example")).unwrap_err();
    let entries: Vec<_> = errors.iter().map(TlsFileError::entry).collect();
    use CertificateSource::{PrivateKey, Trust};
    assert_eq!(entries, [PrivateKey(0), PrivateKey(1), Trust(0)]);
    assert!(errors.iter().all(|error| !error.remedy().is_empty()));
}

#[test]
fn a_chain_is_judged_as_it_was_shown() {
    let authority = Authority::new("CA");
    let judge = end(&authority, "a.example", &[]);
    let now = std::time::SystemTime::now();
    assert_eq!(judge.tls.judge(&[], now), PeerIdentity::none());
    let nonsense = CertificateDer::from(vec![0x30, 0]);
    assert_eq!(judge.tls.judge(&[nonsense], now).chain(), Err(IdentityFault::Malformed));
}
