//! Where a cluster finds what is a local file here.

use std::path::Path;

use anyhow::{Result, bail, ensure};

/// Largest file that goes into a ConfigMap, in bytes: what one holds, less its names.
pub const CONFIG_MAP_BYTES_MAX: u64 = (1 << 20) - 4096;
/// Longest name of a Recommender, and what a name must match (the definition's own rule).
const NAME_CHARS_MAX: usize = 40;
/// A claim that the user must put in.
pub const CLAIM_TO_FILL_IN: &str = "fill-in-your-claim";
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "https://", "http://"];

/// A source of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An object, a prefix, a file of a web server.
    Url(String),
    /// A key of a ConfigMap, which is to be made from the file if it was not named.
    ConfigMap {
        /// Its name.
        name: String,
        /// Its key.
        key: String,
        /// Whether it has to be made.
        to_make: bool,
    },
    /// A file of a volume.
    Claim {
        /// Its claim.
        name: String,
        /// The path on it.
        path: String,
    },
}

impl Place {
    /// `s3://…`, `https://…`, `claim:NAME/PATH` or `configmap:NAME/KEY`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str, flag: &str) -> Result<Self> {
        let two = |rest: &str| {
            rest.split_once('/')
                .filter(|(a, b)| is_object_name(a) && !b.is_empty())
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        if let Some(rest) = text.strip_prefix("claim:")
            && let Some((name, path)) = two(rest)
        {
            ensure!(
                !path.starts_with('/') && path.split('/').all(|part| part != "." && part != ".."),
                "{flag} {text}: the path starts at the volume's root, without a leading slash, . or .."
            );
            return Ok(Self::Claim { name, path });
        }
        if let Some(rest) = text.strip_prefix("configmap:")
            && let Some((name, key)) = two(rest)
        {
            ensure!(key == as_key(&key), "{flag} {text}: a key is letters, digits, dashes, dots and underscores");
            return Ok(Self::ConfigMap { name, key, to_make: false });
        }
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
        match rest.and_then(|rest| rest.split_once('/')) {
            Some((host, _)) if !host.is_empty() && !text.contains(['?', '#']) => {
                ensure!(
                    !(text.starts_with("http") && text.ends_with('/')),
                    "{flag} {text}: of a web server one file is read"
                );
                Ok(Self::Url(text.to_owned()))
            }
            _ => bail!(
                "{flag} is {text:?}: expected s3://BUCKET/KEY (or gs://, az://, https://), claim:NAME/PATH or configmap:NAME/KEY"
            ),
        }
    }

    /// For a file that is only here: a ConfigMap if it fits one, else a volume to fill in.
    pub fn of_file(path: &Path, size_bytes: u64, name: &str) -> Self {
        let file = path.file_name().map_or("data".to_owned(), |file| file.to_string_lossy().into_owned());
        if path.is_file() && size_bytes < CONFIG_MAP_BYTES_MAX {
            Self::ConfigMap { name: format!("{name}-data"), key: as_key(&file), to_make: true }
        } else {
            Self::Claim { name: CLAIM_TO_FILL_IN.to_owned(), path: file }
        }
    }

    /// What says the format where the resource does not; `None` for files below a directory, which have names of their own.
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::ConfigMap { key, .. } => Some(key),
            Self::Url(url) => url.rsplit('/').next().filter(|name| !name.is_empty()),
            Self::Claim { path, .. } => path.rsplit('/').next().filter(|name| !name.is_empty()),
        }
    }
}

/// A name for the resource: `given`, or what the path suggests.
///
/// # Errors
/// A given name that the definition refuses.
pub fn name(given: Option<&str>, path: &Path) -> Result<String> {
    if let Some(name) = given {
        ensure!(
            is_name(name),
            "--name {name:?}: at most {NAME_CHARS_MAX} lower-case letters, digits and dashes, starting with a letter and not ending with a dash"
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

/// A file's name as a key.
fn as_key(file: &str) -> String {
    file.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).take(253).collect()
}

/// A word as the shell takes it.
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
    fn sources_are_named_in_one_word() {
        let parse = |text| Place::parse(text, "--source").ok();
        assert_eq!(parse("s3://shop/r.csv"), Some(Place::Url("s3://shop/r.csv".to_owned())));
        assert_eq!(
            parse("claim:exports/a/r.csv"),
            Some(Place::Claim { name: "exports".to_owned(), path: "a/r.csv".to_owned() })
        );
        assert_eq!(
            parse("configmap:data/r.csv"),
            Some(Place::ConfigMap { name: "data".to_owned(), key: "r.csv".to_owned(), to_make: false })
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
    fn a_name_is_one_that_the_definition_takes() {
        let of = |path: &str| name(None, Path::new(path)).unwrap();
        assert_eq!(
            ["/a/ml-latest_Small.csv.gz", "u.data", "2024-05.csv", "/", "Käufe 2.csv"].map(of),
            ["ml-latest-small", "u", "recommender", "recommender", "k-ufe-2"]
        );
        assert!(name(Some("Movies"), Path::new("a")).is_err() && name(Some("movies"), Path::new("a")).is_ok());
        assert_eq!(shell_word("a b's.csv"), r"'a b'\''s.csv'");
    }
}
