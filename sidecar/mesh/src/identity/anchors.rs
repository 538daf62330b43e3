//! The certificates that are trusted to issue others.

use http::HeaderValue;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};
use sidecar_contract::{Digest, anchors_digest};

use super::{facts::Facts, file::FileError, refusal::Refusal, validity::Validity};
use crate::limits::ANCHORS_MAX;

/// Trust anchors, at least one.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    anchors: Vec<(Validity, TrustAnchor<'static>)>,
    digest: Digest,
    /// The digest in requests.
    header: HeaderValue,
}

impl TrustAnchors {
    /// Reads certificates of CAs from PEM.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(pem: &[u8]) -> Result<Self, FileError> {
        let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
        if certificates.is_empty() || certificates.len() > ANCHORS_MAX {
            return Err(FileError::Certificates { found: certificates.len(), maximum: ANCHORS_MAX });
        }
        let anchors = certificates.iter().zip(1..).map(|(certificate, position)| {
            let facts = Facts::of(certificate).map_err(|reason| FileError::Certificate { position, reason })?;
            if !facts.may_issue {
                return Err(FileError::NotACa(position));
            }
            let anchor = webpki::anchor_from_trusted_cert(certificate)
                .map_err(|_| FileError::Certificate { position, reason: Refusal::Malformed })?;
            Ok((facts.validity, anchor.to_owned()))
        });
        let anchors = anchors.collect::<Result<_, _>>()?;
        let digest = anchors_digest(certificates.iter().map(AsRef::as_ref));
        // Hex digits are a valid header.
        let header = HeaderValue::from_str(digest.as_str()).unwrap_or(HeaderValue::from_static(""));
        Ok(Self { anchors, digest, header })
    }

    /// Those that are valid now. webpki does not check the period of an anchor.
    pub fn valid(&self, now: UnixTime) -> Vec<TrustAnchor<'static>> {
        self.anchors
            .iter()
            .filter(|(validity, _)| validity.check(now).is_ok())
            .map(|(_, anchor)| anchor.clone())
            .collect()
    }

    /// Number of anchors.
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// The digest by which others compare them.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The digest as the value of a header.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }
}
