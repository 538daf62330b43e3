//! Both sides of a TLS connection: TLS 1.3 only, HTTP/2 only, a certificate on both sides. Sessions
//! are not resumed, because a resumed one is not verified again; there is no early data.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::SocketAddr,
    sync::Arc,
};

use http::HeaderValue;
use rustls::{
    ClientConfig, ServerConfig, client::Resumption, pki_types::ServerName, server::NoServerSessionStorage,
    version::TLS13,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{
    credentials::ValidCredentials,
    current::Identity,
    handshake::{Established, Refused, established},
    refusal::Refusal,
    spiffe_id::Workload,
    verifier::{Admission, Expected, Presenter, Verifier},
};

/// The name of HTTP/2 in the handshake.
const ALPN_HTTP2: &[u8] = b"h2";

/// Accepts connections of callers that are admitted.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    identity: Arc<Identity>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// For these files and callers.
    ///
    /// # Errors
    /// Only if the cryptography library lacks TLS 1.3.
    pub fn new(identity: Arc<Identity>, admission: Arc<dyn Admission>) -> Result<Self, rustls::Error> {
        let verifier = Verifier::new(Arc::clone(&identity), Expected::Callers(admission));
        let builder = ServerConfig::builder_with_details(Arc::clone(identity.provider()), Arc::clone(identity.clock()));
        let mut config = builder
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(Presenter(Arc::clone(&identity))));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), identity })
    }

    /// Performs the handshake of an accepted connection.
    ///
    /// # Errors
    /// Why it is refused, and the stream over which the client was told so.
    pub async fn accept<S>(&self, stream: S) -> Result<Established<server::TlsStream<S>>, (Refused, Option<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let own = own(&self.identity).map_err(|refused| (refused, None))?;
        let accepted = self.acceptor.accept(stream).into_fallible().await;
        let stream = accepted.map_err(|(error, stream)| (Refused::of(&error, own.id.clone()), Some(stream)))?;
        self.established(stream, &own).map_err(|refused| (refused, None))
    }

    fn established<S>(
        &self,
        stream: server::TlsStream<S>,
        own: &ValidCredentials,
    ) -> Result<Established<server::TlsStream<S>>, Refused> {
        let (_, connection) = stream.get_ref();
        check_alpn(connection.alpn_protocol(), own)?;
        let leaf = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
        established(stream, &self.identity, own, leaf.as_ref(), random())
    }
}

/// Opens connections to the serving pods of one Recommender.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    identity: Arc<Identity>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// For these files and this server.
    ///
    /// # Errors
    /// Only if the cryptography library lacks TLS 1.3.
    pub fn new(identity: Arc<Identity>, server: Workload) -> Result<Self, rustls::Error> {
        let verifier = Verifier::new(Arc::clone(&identity), Expected::Server(server));
        let builder = ClientConfig::builder_with_details(Arc::clone(identity.provider()), Arc::clone(identity.clock()));
        let mut config = builder
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(Presenter(Arc::clone(&identity))));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.enable_early_data = false;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), identity })
    }

    /// The digest of the current trust anchors, once they were read.
    pub fn anchors(&self) -> Option<HeaderValue> {
        self.identity.anchors().map(|anchors| anchors.header().clone())
    }

    /// Performs the handshake of a connection to this address. The server verifies this side after
    /// the handshake has ended here, so its refusal is late.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn connect<S>(&self, stream: S, address: SocketAddr) -> Result<Established<client::TlsStream<S>>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let own = own(&self.identity)?;
        // The verifier checks the SPIFFE id, so the name is not used.
        let name = ServerName::IpAddress(address.ip().into());
        let stream = self.connector.connect(name, stream).await.map_err(|error| Refused::of(&error, own.id.clone()))?;
        let (_, connection) = stream.get_ref();
        check_alpn(connection.alpn_protocol(), &own)?;
        let leaf = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
        established(stream, &self.identity, &own, leaf.as_ref(), random())
    }
}

/// The own certificate, if the files allow a handshake.
fn own(identity: &Identity) -> Result<Arc<ValidCredentials>, Refused> {
    let own = identity.credentials();
    match (&own, identity.anchors()) {
        (Some(own), Some(_)) => Ok(Arc::clone(own)),
        _ => Err(Refused::new(Refusal::NoIdentity, own.map(|own| own.id.clone()))),
    }
}

fn check_alpn(protocol: Option<&[u8]>, own: &ValidCredentials) -> Result<(), Refused> {
    if protocol == Some(ALPN_HTTP2) { Ok(()) } else { Err(Refused::new(Refusal::Protocol, Some(own.id.clone()))) }
}

/// A number from 0 to 1.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
