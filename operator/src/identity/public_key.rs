//! The public key of a request, and the proof that the requester has the private key.

use rcgen::SubjectPublicKeyInfo;
use thiserror::Error;
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY},
    prelude::FromDer as _,
};

/// The type of keys that the signer supports, as a volume names it.
pub const KEY_TYPE: &str = "ECDSAP256";
/// Max bytes of a request, as in the API server.
const REQUEST_BYTES_MAX: usize = 10 * 1024;

/// A public key whose private key the requester has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey(pub(super) SubjectPublicKeyInfo);

/// Why a request has no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyProblem {
    /// The key has another type.
    #[error("the type of the key is not supported; expected {KEY_TYPE}")]
    Unsupported,
    /// The bytes are not a request, or its signature is wrong.
    #[error("the PKCS#10 request is malformed, or its signature is not that of its key")]
    Unproven,
}

/// Reads the key of a PKCS#10 request, and verifies the signature of the request with it.
///
/// # Errors
/// Returns why the key cannot be used.
pub fn proven(request: &[u8]) -> Result<ProvenKey, KeyProblem> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(KeyProblem::Unproven);
    }
    let (rest, request) = X509CertificationRequest::from_der(request).map_err(|_| KeyProblem::Unproven)?;
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(KeyProblem::Unsupported);
    }
    let is_proven = rest.is_empty() && request.verify_signature().is_ok();
    let key = SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| KeyProblem::Unproven)?;
    if is_proven { Ok(ProvenKey(key)) } else { Err(KeyProblem::Unproven) }
}
