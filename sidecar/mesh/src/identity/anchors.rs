//! The certificates that are trusted to issue others.

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject as _};

use super::{facts::Facts, file::FileError, refusal::Refusal, validity::Validity};
use crate::limits::ANCHORS_MAX;

/// Trust anchors, at least one.
#[derive(Clone, Debug)]
pub struct TrustAnchors(Vec<(Validity, TrustAnchor<'static>)>);

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
        Ok(Self(anchors.collect::<Result<_, _>>()?))
    }

    /// Those that are valid now. webpki does not check the period of an anchor.
    pub fn valid(&self, now: UnixTime) -> Vec<TrustAnchor<'static>> {
        self.0.iter().filter(|(validity, _)| validity.check(now).is_ok()).map(|(_, anchor)| anchor.clone()).collect()
    }

    /// Number of anchors.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
