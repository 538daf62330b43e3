//! The certificate of a pod.

use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::{
    public_key::ProvenKey,
    root::{CLOCK_SKEW_SECONDS, Root, date},
};

/// Max life of a certificate: the time for which a stolen key can be used. Renewal begins at half
/// of it, so that pods survive half a day without a signer.
pub const LIFE_SECONDS_MAX: i64 = 24 * 3600;
/// Min life of a certificate, as in the API server.
const LIFE_SECONDS_MIN: i64 = 3600;

/// Validity of a certificate in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Begin.
    pub not_before: i64,
    /// When the kubelet should renew it.
    pub begin_refresh_at: i64,
    /// End.
    pub not_after: i64,
}

impl Validity {
    /// The validity of a certificate that is signed at `now`; `None` if less than an hour would be
    /// left, which the API server does not accept.
    pub fn new(now: i64, max_expiration_seconds: Option<i32>, root: &Root) -> Option<Self> {
        // Clocks may differ, but nothing is valid before the CA that signs it.
        let not_before = root.not_before().max(now - CLOCK_SKEW_SECONDS);
        let requested = max_expiration_seconds.map_or(LIFE_SECONDS_MAX, i64::from);
        let life = requested.min(LIFE_SECONDS_MAX).min(root.not_after() - not_before);
        let validity = Self { not_before, begin_refresh_at: not_before + life / 2, not_after: not_before + life };
        (life >= LIFE_SECONDS_MIN).then_some(validity)
    }
}

/// Signs the certificate of an id. Returns it as PEM.
///
/// # Errors
/// Fails if the id is not ASCII, or if the signature fails.
pub fn sign(root: &Root, id: &str, key: &ProvenKey, validity: Validity) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&key.0, &root.issuer)?.pem())
}
