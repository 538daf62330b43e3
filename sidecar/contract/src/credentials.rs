//! Credentials of the embedded store: file names, roles, and the derivation of secrets.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Name of the file in [`crate::paths::STORE_CREDENTIALS_DIR`], and of the Secret key, with the
/// access key id.
pub const ACCESS_KEY_ID: &str = "access-key-id";
/// Name of the file and Secret key with the secret access key.
pub const SECRET_ACCESS_KEY: &str = "secret-access-key";

/// Permissions of a credential of the embedded store, within the prefix of one Recommender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Trainer: read, list, create.
    Train,
    /// Serving pods: read.
    Serve,
    /// Operator: read, list, delete.
    Operator,
}

impl Role {
    /// Name of the role in an access key id.
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

/// Access key id: one role for the prefix of one Recommender.
///
/// Written `<namespace>.<name>.<role>`. A namespace and a Recommender's name are DNS labels without
/// dots, so parsing is unambiguous. A slash as separator would conflict with SigV4, which separates
/// the credential scope by slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessKeyId {
    /// Namespace of the Recommender.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// Role of the holder.
    pub role: Role,
}

impl AccessKeyId {
    /// Parses `<namespace>.<name>.<role>`; `None` for anything else, including empty parts.
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

/// Message of the HMAC that derives the secret access key. The version prefix allows for a
/// different derivation later.
pub fn secret_derivation_input(id: &AccessKeyId) -> String {
    format!("recmesh/v1/{id}")
}

/// Derives the secret access key of `id`: the HMAC-SHA-256 of [`secret_derivation_input`] under the
/// root key of the installation, as 64 lower-case hex digits.
///
/// The operator calls this to create the Secret of a Recommender, the store to verify a signature.
/// So neither stores a list of credentials.
///
/// # Panics
/// Never: HMAC accepts keys of any length.
pub fn derive_secret(root_key: &[u8], id: &AccessKeyId) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(root_key).expect("HMAC accepts keys of any length");
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
    fn access_key_ids_parse_unambiguously() {
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
    fn derived_secret_matches_openssl() {
        // printf %s recmesh/v1/shop.movies.train | openssl dgst -sha256 -hmac key
        let id = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role: Role::Train };
        let expected = "391feec2cd232206b045d593cc5545222d8e84be8ef00deb238a276e61b7fcbc";
        assert_eq!(derive_secret(b"key", &id), expected);
        assert_ne!(derive_secret(b"other", &id), expected);
    }
}
