//! The trust domain, and the SPIFFE id of an account in it.

/// Longest trust domain, as SPIFFE defines it.
const TRUST_DOMAIN_CHARS_MAX: usize = 255;

/// A valid trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Checks a trust domain.
    ///
    /// # Errors
    /// States what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > TRUST_DOMAIN_CHARS_MAX || !text.bytes().all(is_valid) {
            return Err(format!(
                "trust domain {:?}: expected 1 to {TRUST_DOMAIN_CHARS_MAX} characters of a-z, 0-9, '.', '-' and '_', such as \
                 recmesh.example.com",
                text.chars().take(TRUST_DOMAIN_CHARS_MAX).collect::<String>()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The domain without a scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the domain itself, which its roots have.
    pub fn root_id(&self) -> String {
        format!("spiffe://{}", self.0)
    }

    /// The id of an account.
    pub fn account_id(&self, namespace: &str, service_account: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{service_account}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_that_sidecars_compare() {
        let domain = TrustDomain::parse("recmesh.recmesh-system.recmesh").unwrap();
        assert_eq!(domain.account_id("shop", "web"), "spiffe://recmesh.recmesh-system.recmesh/ns/shop/sa/web");
        assert_eq!(domain.root_id(), "spiffe://recmesh.recmesh-system.recmesh");
    }

    #[test]
    fn a_domain_that_spiffe_does_not_allow_is_rejected() {
        let long = "a".repeat(256);
        for text in ["", "Recmesh", "a/b", "a:1", "spiffe://a", "ä", "a b", "a%41", &long] {
            let error = TrustDomain::parse(text).unwrap_err();
            assert!(error.contains("expected 1 to 255 characters"), "{error}");
        }
    }
}
