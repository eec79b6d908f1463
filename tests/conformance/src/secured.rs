//! A SIP server of example.net over TLS, with a certificate from an authority that the gateway trusts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use transport::tls::testkit::{Authority, San};
use transport::tls::{Tls, TlsAcceptor};

pub(crate) struct SecuredServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: Authority,
    folder: TempDir,
}

impl SecuredServer {
    /// Listens and shows a certificate with these names.
    pub(crate) async fn open(names: &[San<'_>]) -> Self {
        let (authority, folder) = (Authority::new("CA"), tempfile::tempdir().unwrap());
        let issued = authority.issue(names);
        let settings = authority.settings(folder.path(), &[("server", &issued)]);
        let own = Tls::load(settings, "server.invalid".parse().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::new(Arc::new(own), &[]), authority, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// What the gateway has to judge it by: trust in the authority, and no certificate of its own.
    pub(crate) fn trusted(&self) -> Tls {
        let settings = self.authority.settings(self.folder.path(), &[]);
        Tls::load(settings, "gw.example.com".parse().unwrap()).unwrap()
    }

    /// Whether the gateway connects and leaves again without a word.
    pub(crate) async fn is_left(&self, patience: Duration) -> bool {
        let (socket, _) = timeout(patience, self.listener.accept()).await.expect("the gateway connects").unwrap();
        let Ok(mut handshake) = self.acceptor.accept(socket).await else { return true };
        let mut octets = Vec::new();
        // An end without the alert is an error of the stream, and an end all the same.
        let _ = timeout(patience, handshake.stream.read_to_end(&mut octets)).await.expect("the connection ends");
        octets.is_empty()
    }
}
