//! Bucket credentials in a user's Secret. Its keys are named like environment variables; each
//! scheme has an allow-list.
//!
//! There is an allow-list because the process that reads the Secret may have other permissions than
//! the Secret's owner. A key that refers to a file or a token endpoint of that process must be
//! ignored.

use std::{collections::BTreeMap, fmt, io::Read as _, path::Path};

use crate::{StoreError, limits::SECRET_VALUE_BYTES_MAX, transport};

/// URL scheme of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `s3://`.
    S3,
    /// `gs://`.
    Gcs,
    /// `az://`.
    Azure,
    /// `http://` and `https://`; read-only.
    Http,
}

impl Scheme {
    /// Scheme of a URL.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        match scheme {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" => Some(Self::Azure),
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }

    /// Allowed keys of a Secret.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &[
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "AWS_REGION",
                "AWS_ENDPOINT_URL",
                "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
                "AWS_SKIP_SIGNATURE",
            ],
            Self::Gcs => &["GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BASE_URL", "GOOGLE_SKIP_SIGNATURE"],
            Self::Azure => &[
                "AZURE_STORAGE_ACCOUNT_NAME",
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_SAS_TOKEN",
                "AZURE_CLIENT_ID",
                "AZURE_CLIENT_SECRET",
                "AZURE_TENANT_ID",
                "AZURE_STORAGE_ENDPOINT",
                "AZURE_SKIP_SIGNATURE",
            ],
            Self::Http => &["HTTP_USERNAME", "HTTP_PASSWORD", "HTTP_BEARER_TOKEN"],
        }
    }

    /// Sets of keys; a Secret must have all keys of one or more sets.
    fn required_key_sets(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::S3 => &[&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], &["AWS_SKIP_SIGNATURE"]],
            Self::Gcs => &[&["GOOGLE_SERVICE_ACCOUNT_KEY"], &["GOOGLE_SKIP_SIGNATURE"]],
            Self::Azure => &[
                &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"],
                &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"],
                &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"],
                &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_SKIP_SIGNATURE"],
            ],
            // A web server may need only to be reached.
            Self::Http => &[
                &["HTTP_USERNAME", "HTTP_PASSWORD"],
                &["HTTP_BEARER_TOKEN"],
                &[transport::CA_CERTIFICATES],
                &[transport::PROXY_URL],
            ],
        }
    }
}

/// Maximum number of unused keys of a Secret in a message.
const OTHER_KEYS_MAX: usize = 10;
/// Maximum length of an unused key in a message.
const KEY_CHARS_MAX: usize = 100;

/// Allowed keys and values of a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketSecret {
    /// Name of the Secret, for messages.
    pub name: String,
    values: BTreeMap<String, String>,
    /// Other keys of the Secret, for messages.
    other_keys: Vec<String>,
}

impl BucketSecret {
    /// Secret `name` with these keys and values. Keys that no scheme allows, and blank values, are
    /// dropped.
    pub fn new(name: impl Into<String>, values: impl IntoIterator<Item = (String, String)>) -> Self {
        let allowed_keys = [Scheme::S3, Scheme::Gcs, Scheme::Azure, Scheme::Http].map(Scheme::keys);
        let is_allowed =
            |key: &str| transport::KEYS.contains(&key) || allowed_keys.iter().any(|keys| keys.contains(&key));
        let mut used = BTreeMap::new();
        let mut other_keys = Vec::new();
        for (key, value) in values {
            if is_allowed(&key) && !value.trim().is_empty() {
                used.insert(key, value.trim().to_owned());
            } else if other_keys.len() < OTHER_KEYS_MAX {
                other_keys.push(key.chars().take(KEY_CHARS_MAX).collect());
            }
        }
        Self { name: name.into(), values: used, other_keys }
    }

    /// Secret whose keys are environment variables with this prefix. `None` if the variable
    /// `<prefix>SECRET_NAME`, which contains its name, is missing.
    pub fn from_env(prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Option<Self> {
        let with_prefix = |(key, value): (String, String)| Some((key.strip_prefix(prefix)?.to_owned(), value));
        let values: BTreeMap<String, String> = variables.filter_map(with_prefix).collect();
        let mut values = values;
        let name = values.remove(SECRET_NAME)?;
        Some(Self::new(name, values))
    }

    /// Secret that is mounted at `directory`; `None` if no file has the name of an allowed key.
    pub fn from_directory(directory: &Path) -> Result<Option<Self>, StoreError> {
        let mut values = Vec::new();
        let schemes = [Scheme::S3, Scheme::Gcs, Scheme::Azure];
        for key in schemes.iter().flat_map(|scheme| scheme.keys()).chain(&transport::KEYS) {
            let path = directory.join(key);
            let file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::File { path, source }),
            };
            let mut text = String::new();
            let read = file.take(SECRET_VALUE_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|source| StoreError::File { path, source })?;
            values.push(((*key).to_owned(), text));
        }
        Ok((!values.is_empty()).then(|| Self::new("spec.store.secretRef", values)))
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Keys and values for a scheme. Fails if no required set of keys is complete.
    pub(crate) fn values(&self, scheme: Scheme) -> Result<impl Iterator<Item = (&str, &str)>, StoreError> {
        let is_complete = |set: &&[&str]| set.iter().all(|key| self.values.contains_key(*key));
        if !scheme.required_key_sets().iter().any(is_complete) {
            let sets: Vec<String> = scheme.required_key_sets().iter().map(|set| set.join(" and ")).collect();
            let found: Vec<&str> =
                scheme.keys().iter().filter(|key| self.values.contains_key(**key)).copied().collect();
            let found = match (found.is_empty(), self.other_keys.is_empty()) {
                (false, _) => format!("only {}", found.join(", ")),
                (true, true) => "none of these keys".to_owned(),
                (true, false) => format!("none of these keys, only {}", self.other_keys.join(", ")),
            };
            return Err(StoreError::Config(format!(
                "Secret {} has {found}: expected {}",
                self.name,
                sets.join(", or ")
            )));
        }
        let keys = scheme.keys();
        Ok(self.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(key, _)| keys.contains(key)))
    }
}

/// Suffix, after the prefix, of the variable with the name of the Secret.
const SECRET_NAME: &str = sidecar_contract::paths::SECRET_NAME;

impl fmt::Debug for BucketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketSecret")
            .field("name", &self.name)
            .field("keys", &self.values.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(values: &[(&str, &str)]) -> BucketSecret {
        BucketSecret::new("shop-s3", values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn missing_keys_are_reported_with_every_valid_set() {
        let message = |scheme, values: &[(&str, &str)]| match secret(values).values(scheme).err() {
            Some(error) => error.to_string(),
            None => String::new(),
        };
        let incomplete = message(Scheme::S3, &[("AWS_ACCESS_KEY_ID", "a"), ("password", "p")]);
        assert!(incomplete.contains("Secret shop-s3 has only AWS_ACCESS_KEY_ID"), "{incomplete}");
        let expected = "expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE";
        assert!(incomplete.contains(expected), "{incomplete}");
        assert!(message(Scheme::Gcs, &[]).contains("none of these keys: expected GOOGLE_SERVICE_ACCOUNT_KEY"));
        let other = message(Scheme::S3, &[("access-key", "a"), ("secret-key", "s")]);
        assert!(other.contains("has none of these keys, only access-key, secret-key: expected AWS"), "{other}");
        assert!(message(Scheme::Azure, &[("AZURE_STORAGE_ACCOUNT_KEY", "k")]).contains("AZURE_STORAGE_ACCOUNT_NAME"));
        assert!(message(Scheme::Http, &[("HTTP_USERNAME", "u")]).contains("HTTP_PASSWORD, or HTTP_BEARER_TOKEN"));
        assert_eq!(message(Scheme::S3, &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s\n")]), "");
        assert!(message(Scheme::S3, &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", " ")]).contains("only"));
    }

    #[test]
    fn keys_that_refer_to_files_or_endpoints_of_the_process_are_dropped() {
        let secret = secret(&[
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.169.254/"),
            ("GOOGLE_SERVICE_ACCOUNT", "/etc/passwd"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/etc/passwd"),
        ]);
        let keys: Vec<_> = secret.values(Scheme::S3).unwrap().map(|(key, _)| key).collect();
        assert_eq!(keys, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
        assert_eq!(secret.values.len(), 2);
    }

    #[test]
    fn secrets_are_read_from_the_environment_by_prefix_and_redacted() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "the pod's"),
            ("RECMESH_ITEMS_AWS_ACCESS_KEY_ID", "items"),
            ("RECMESH_ITEMS_AWS_SECRET_ACCESS_KEY", "hidden"),
            ("RECMESH_ITEMS_SECRET_NAME", "shop-items"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let items = BucketSecret::from_env("RECMESH_ITEMS_", variables.clone().into_iter()).unwrap();
        assert_eq!((items.name.as_str(), items.get("AWS_ACCESS_KEY_ID")), ("shop-items", Some("items")));
        assert!(!format!("{items:?}").contains("hidden"));
        assert_eq!(BucketSecret::from_env("RECMESH_SOURCE_", variables.into_iter()), None);
    }
}
