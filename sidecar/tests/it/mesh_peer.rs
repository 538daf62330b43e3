//! A peer for tests of mutual TLS that presents any certificate and accepts any server, and the
//! files of a good identity.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};
use test_certificates::{Authority, Issued, Leaf, replace};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Trust domain of the tests.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// The id of a ServiceAccount.
pub fn id(namespace: &str, service_account: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}")
}

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap()
}

/// Writes the files of an identity; returns the flags that name them.
pub fn identity_files(directory: &Path, name: &str, authority: &Authority, leaf: &Leaf) -> [String; 4] {
    let path = |kind: &str| directory.join(format!("{name}-{kind}.pem"));
    replace(&path("credentials"), &authority.issue(leaf).pem);
    replace(&path("anchors"), &authority.pem());
    let text = |kind: &str| path(kind).to_str().unwrap().to_owned();
    ["--credentials".to_owned(), text("credentials"), "--anchors".to_owned(), text("anchors")]
}

/// Only TLS 1.3.
pub static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
/// Only TLS 1.2.
pub static TLS12_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

/// Accepts any server.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a client presents.
#[derive(Clone, Debug)]
pub struct Client {
    /// Certificate chain and private key.
    pub credentials: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    /// Versions of TLS.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// Protocols that it offers.
    pub protocols: Vec<&'static str>,
}

impl Client {
    /// TLS 1.3 with HTTP/2.
    pub fn new(issued: &Issued) -> Self {
        let credentials = Some((vec![issued.certificate.clone()], issued.key.clone()));
        Self { credentials, versions: &TLS13_ONLY, protocols: vec!["h2"] }
    }

    /// Of connections that share what they learn, as sessions that can be resumed.
    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).unwrap();
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(Arc::clone(&provider))));
        let mut config = match &self.credentials {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::try_from(key.clone()).unwrap();
                let key = provider.key_provider.load_private_key(key).unwrap();
                // Without the check that the key is that of the certificate.
                let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
                let key = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(key))
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Opens a connection. With TLS 1.3 the server may still refuse the certificate.
    pub async fn connect(&self, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
        connect_with(self.config(), port).await
    }

    /// Sends a request over a new connection; returns the status of the response. The error is that
    /// of any step.
    pub async fn recommend(&self, port: u16) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
        recommend_over(self.connect(port).await?).await
    }
}

/// Opens a connection.
pub async fn connect_with(config: Arc<ClientConfig>, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("serving-pod").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// Sends a request over a connection and closes it; returns the status of the response.
pub async fn recommend_over(stream: TlsStream<TcpStream>) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post("https://serving-pod/recommend").header("content-type", "application/json");
    let body = Full::new(Bytes::from_static(br#"{"user": "user6", "n": 3}"#));
    let response = sender.send_request(request.body(body)?).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    drop(sender);
    connection.await??;
    Ok(status)
}
