//! Names of the store credential's parts, and who may hold one.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// File in [`crate::paths::STORE_CREDENTIALS_DIR`], and Secret key, that holds the access key id.
pub const ACCESS_KEY_ID: &str = "access-key-id";
/// File and Secret key that holds the secret access key.
pub const SECRET_ACCESS_KEY: &str = "secret-access-key";

/// What a credential of the embedded store may do inside one Recommender's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The trainer: read, and create what does not exist yet.
    Train,
    /// The serving pods: read.
    Serve,
    /// The operator: read, list, delete.
    Operator,
}

impl Role {
    /// The role's name inside an access key id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Serve => "serve",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who an access key id stands for: one role in one Recommender's prefix.
///
/// Written `<namespace>.<name>.<role>`. A Kubernetes namespace and a Recommender's name are DNS labels and hold no dot,
/// so this parses one way only; a slash would collide with SigV4, which separates the credential scope by slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessKeyId {
    /// Namespace of the Recommender.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// What the holder may do.
    pub role: Role,
}

impl AccessKeyId {
    /// Parses `<namespace>.<name>.<role>`; `None` for anything else, empty parts included.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (namespace, name, role) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_label(namespace) || !is_label(name) {
            return None;
        }
        let role = match role {
            "train" => Role::Train,
            "serve" => Role::Serve,
            "operator" => Role::Operator,
            _ => return None,
        };
        Some(Self { namespace: namespace.to_owned(), name: name.to_owned(), role })
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.namespace, self.name, self.role)
    }
}

/// The text whose HMAC-SHA-256 under the installation's root key, in lower-case hex, is the secret access key.
/// The version prefix leaves room for another derivation later.
pub fn secret_derivation_input(id: &AccessKeyId) -> String {
    format!("recmesh/v1/{id}")
}

/// The secret access key of `id`: HMAC-SHA-256 over [`secret_derivation_input`] in 64 lower-case hex digits.
///
/// The operator calls this to fill a Recommender's Secret, the store to check a signature; so neither keeps a list.
///
/// # Panics
/// Never: HMAC takes keys of any length.
pub fn derive_secret(root_key: &[u8], id: &AccessKeyId) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(root_key).expect("HMAC takes keys of any length");
    mac.update(secret_derivation_input(id).as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_id_parses_one_way_only() {
        let id = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        assert_eq!(id.to_string(), "shop.movies.train");
        assert_eq!(AccessKeyId::parse("shop.movies.train"), Some(id));
        for bad in [
            "",
            "shop",
            "shop.movies",
            "shop.movies.admin",
            "a.b.c.train",
            ".movies.train",
            "shop..train",
            "Shop.movies.train",
            "shop.mov/ies.train",
            "-shop.movies.train",
        ] {
            assert_eq!(AccessKeyId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_what_openssl_computes() {
        // printf %s recmesh/v1/shop.movies.train | openssl dgst -sha256 -hmac key
        let id = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        let expected = "391feec2cd232206b045d593cc5545222d8e84be8ef00deb238a276e61b7fcbc";
        assert_eq!(derive_secret(b"key", &id), expected);
        assert_ne!(derive_secret(b"other", &id), expected);
    }
}
