//! Location of the data in the cluster, and names that derive from the local file.

use std::path::Path;

use anyhow::{Result, bail, ensure};

/// Maximum size of the files in a ConfigMap, in bytes: the limit of Kubernetes less room for names.
pub const CONFIG_MAP_BYTES_MAX: u64 = (1 << 20) - 4096;
/// Maximum length of a Recommender's name; the CRD has the same limit.
const NAME_CHARS_MAX: usize = 40;
/// Placeholder that the user must replace with the name of a PersistentVolumeClaim.
pub const CLAIM_PLACEHOLDER: &str = "fill-in-your-claim";
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "https://", "http://"];

/// A `source` of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLocation {
    /// An object, a prefix of a bucket, or a file on a web server.
    Url(String),
    /// A key of a ConfigMap.
    ConfigMap {
        /// Name of the ConfigMap.
        name: String,
        /// Key of the file.
        key: String,
        /// Whether the ConfigMap must be created from the local file.
        must_create: bool,
    },
    /// A file on a volume.
    Claim {
        /// Name of the PersistentVolumeClaim.
        name: String,
        /// Path of the file from the volume's root.
        path: String,
    },
}

impl DataLocation {
    /// Parses `s3://…`, `https://…`, `claim:NAME/PATH` or `configmap:NAME/KEY`.
    ///
    /// # Errors
    /// Text of any other form.
    pub fn parse(text: &str, flag: &str) -> Result<Self> {
        let name_and_rest = |rest: &str| {
            rest.split_once('/')
                .filter(|(a, b)| is_object_name(a) && !b.is_empty())
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        if let Some(rest) = text.strip_prefix("claim:")
            && let Some((name, path)) = name_and_rest(rest)
        {
            ensure!(
                !path.starts_with('/') && path.split('/').all(|part| part != "." && part != ".."),
                "{flag} {text}: expected a path from the volume's root, without a leading slash, . or .."
            );
            return Ok(Self::Claim { name, path });
        }
        if let Some(rest) = text.strip_prefix("configmap:")
            && let Some((name, key)) = name_and_rest(rest)
        {
            ensure!(
                key == as_key(&key),
                "{flag} {text}: expected a key of letters, digits, dashes, dots and underscores"
            );
            return Ok(Self::ConfigMap { name, key, must_create: false });
        }
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
        match rest.and_then(|rest| rest.split_once('/')) {
            Some((host, _)) if !host.is_empty() && !text.contains(['?', '#']) => {
                ensure!(
                    !(text.starts_with("http") && text.ends_with('/')),
                    "{flag} {text}: expected the URL of one file; a directory of a web server cannot be read"
                );
                Ok(Self::Url(text.to_owned()))
            }
            _ => bail!(
                "{flag} {text:?}: expected s3://BUCKET/KEY (or gs://, az://, https://), claim:NAME/PATH or configmap:NAME/KEY"
            ),
        }
    }

    /// Location for a local file: a ConfigMap if it is small enough, else a volume that the user
    /// must fill in.
    pub fn of_file(path: &Path, size_bytes: u64, name: &str) -> Self {
        let file = path.file_name().map_or("data".to_owned(), |file| file.to_string_lossy().into_owned());
        if path.is_file() && size_bytes < CONFIG_MAP_BYTES_MAX {
            Self::ConfigMap { name: format!("{name}-data"), key: as_key(&file), must_create: true }
        } else {
            Self::Claim { name: CLAIM_PLACEHOLDER.to_owned(), path: file }
        }
    }

    /// Name of the file, from which the trainer derives the format if the resource has none. `None`
    /// for a prefix, whose files have names of their own.
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::ConfigMap { key, .. } => Some(key),
            Self::Url(url) => url.rsplit('/').next().filter(|name| !name.is_empty()),
            Self::Claim { path, .. } => path.rsplit('/').next().filter(|name| !name.is_empty()),
        }
    }
}

/// Name of the resource: `given`, or one that derives from the path.
///
/// # Errors
/// A given name that the CRD rejects.
pub fn name(given: Option<&str>, path: &Path) -> Result<String> {
    if let Some(name) = given {
        ensure!(
            is_name(name),
            "--name {name:?}: expected at most {NAME_CHARS_MAX} lowercase letters, digits and dashes, starting with a letter and not ending with a dash"
        );
        return Ok(name.to_owned());
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = file.split('.').next().unwrap_or_default();
    let dashed: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(NAME_CHARS_MAX).collect();
    let name = dashed.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    Ok(if is_name(name) { name.to_owned() } else { "recommender".to_owned() })
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(allowed)
}

fn is_object_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-' || c == '.')
}

/// The file name as a ConfigMap key.
fn as_key(file: &str) -> String {
    file.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).take(253).collect()
}

/// Quotes a word for the shell if necessary.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/=".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_parsed() {
        let parse = |text| DataLocation::parse(text, "--source").ok();
        assert_eq!(parse("s3://shop/r.csv"), Some(DataLocation::Url("s3://shop/r.csv".to_owned())));
        assert_eq!(
            parse("claim:exports/a/r.csv"),
            Some(DataLocation::Claim { name: "exports".to_owned(), path: "a/r.csv".to_owned() })
        );
        assert_eq!(
            parse("configmap:data/r.csv"),
            Some(DataLocation::ConfigMap { name: "data".to_owned(), key: "r.csv".to_owned(), must_create: false })
        );
        for bad in [
            "r.csv",
            "s3://shop",
            "ftp://a/b",
            "claim:exports",
            "claim:Exports/a",
            "claim:a//b",
            "claim:a/../b",
            "configmap:a/b c",
            "https://a/b/",
            "https://a/b?c",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_valid_in_the_crd() {
        let derived = |path: &str| name(None, Path::new(path)).unwrap();
        assert_eq!(
            ["/a/ml-latest_Small.csv.gz", "u.data", "2024-05.csv", "/", "Käufe 2.csv"].map(derived),
            ["ml-latest-small", "u", "recommender", "recommender", "k-ufe-2"]
        );
        assert!(name(Some("Movies"), Path::new("a")).is_err() && name(Some("movies"), Path::new("a")).is_ok());
        assert_eq!(shell_word("a b's.csv"), r"'a b'\''s.csv'");
    }
}
