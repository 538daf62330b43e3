//! The own certificate and its private key.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{facts::Facts, file::FileError, refusal::Refusal, spiffe_id::SpiffeId, validity::Validity};
use crate::limits::CHAIN_CERTIFICATES_MAX;

/// Side of a connection that a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Accepts connections.
    Server,
    /// Opens connections.
    Client,
}

impl Purpose {
    /// Checks what a certificate states against the rules for a leaf (X.509-SVID specification, 3
    /// to 4), and returns its id.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(self, facts: &Facts) -> Result<&SpiffeId, Refusal> {
        if facts.is_ca || facts.may_sign {
            return Err(Refusal::CaCertificate);
        }
        let is_for = match self {
            Self::Server => facts.is_for_servers,
            Self::Client => facts.is_for_clients,
        };
        if !is_for {
            return Err(Refusal::KeyUsage);
        }
        facts.id.as_ref().map_err(|refusal| *refusal)
    }
}

/// A certificate that can be presented to peers, and its key.
#[derive(Clone)]
pub struct ValidCredentials {
    /// Id that the certificate states.
    pub id: SpiffeId,
    /// Period of the certificate.
    pub validity: Validity,
    key: Arc<CertifiedKey>,
}

impl fmt::Debug for ValidCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidCredentials").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ValidCredentials {
    /// Reads a private key and a certificate chain from PEM, the leaf first.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(pem: &[u8], purpose: Purpose, now: UnixTime, provider: &CryptoProvider) -> Result<Self, FileError> {
        let mut keys: Vec<PrivateKeyDer<'static>> = PrivateKeyDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
        let found = keys.len();
        let (1, Some(key)) = (found, keys.pop()) else { return Err(FileError::Keys(found)) };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
        let leaf = chain.first().filter(|_| chain.len() <= CHAIN_CERTIFICATES_MAX);
        let leaf = leaf.ok_or(FileError::Certificates { found: chain.len(), maximum: CHAIN_CERTIFICATES_MAX })?;
        let bad = |reason| FileError::Certificate { position: 1, reason };
        let facts = Facts::of(leaf).map_err(bad)?;
        let id = purpose.check(&facts).map_err(bad)?.clone();
        facts.validity.check(now).map_err(bad)?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(FileError::Key)?;
        Ok(Self { id, validity: facts.validity, key: Arc::new(key) })
    }

    /// For rustls.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}
