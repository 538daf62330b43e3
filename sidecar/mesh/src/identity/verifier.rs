//! The checks of a handshake, as rustls asks for them: `verify` with the current files, then who is
//! expected.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use super::{
    credentials::Purpose,
    current::Identity,
    facts::Facts,
    refusal::Refusal,
    spiffe_id::{SpiffeId, Workload},
    verify::{Peer, verify},
};

/// Decides which callers may connect. The answer may change at any time.
pub trait Admission: fmt::Debug + Send + Sync {
    /// Whether a caller of the own trust domain may connect.
    fn admits(&self, own: &SpiffeId, caller: &SpiffeId) -> bool;
}

/// Who is expected at the other end.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Any caller that is admitted.
    Callers(Arc<dyn Admission>),
    /// One workload.
    Server(Workload),
}

/// Verifies peers against the current files.
#[derive(Debug)]
pub struct Verifier {
    identity: Arc<Identity>,
    expected: Expected,
}

/// The reason of a refusal in an error of rustls.
#[derive(Debug)]
pub struct Rejected {
    /// The reason.
    pub reason: Refusal,
    /// The id that the certificate states, whether it is verified or not.
    pub claimed: Option<SpiffeId>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Rejected {}

impl Verifier {
    /// A verifier.
    pub fn new(identity: Arc<Identity>, expected: Expected) -> Self {
        Self { identity, expected }
    }

    fn check(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Peer, Error> {
        self.decide(leaf, chain, now).map_err(|reason| {
            let claimed = Facts::of(leaf).ok().and_then(|facts| facts.id.ok());
            let rejected = OtherError(Arc::new(Rejected { reason, claimed }));
            Error::InvalidCertificate(CertificateError::Other(rejected))
        })
    }

    fn decide(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Peer, Refusal> {
        let own = self.identity.credentials().ok_or(Refusal::NoIdentity)?;
        let anchors = self.identity.anchors().ok_or(Refusal::NoIdentity)?;
        let purpose = match self.identity.purpose() {
            Purpose::Server => Purpose::Client,
            Purpose::Client => Purpose::Server,
        };
        let algorithms = &self.identity.provider().signature_verification_algorithms;
        let peer = verify(leaf, chain, &anchors, &own.id.trust_domain, purpose, now, algorithms)?;
        match &self.expected {
            Expected::Callers(admission) if !admission.admits(&own.id, &peer.id) => Err(Refusal::NotAllowed),
            Expected::Server(workload) if *workload != peer.id.workload => Err(Refusal::WrongServer),
            Expected::Callers(_) | Expected::Server(_) => Ok(peer),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.identity.provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.identity.provider().signature_verification_algorithms.supported_schemes()
    }
}

/// TLS 1.2 is not offered, so rustls never asks for its signatures.
fn tls13_only() -> Error {
    Error::General("only TLS 1.3 is supported".to_owned())
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// Presents the current certificate.
#[derive(Debug)]
pub struct Presenter(pub Arc<Identity>);

impl ResolvesServerCert for Presenter {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.credentials().map(|credentials| credentials.certified_key())
    }
}

impl ResolvesClientCert for Presenter {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.credentials().map(|credentials| credentials.certified_key())
    }

    fn has_certs(&self) -> bool {
        self.0.credentials().is_some()
    }
}
