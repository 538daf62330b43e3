//! What the sidecar has in addition in local mode, in which it holds the model. Pure.

use serde_json::{Value, json};
use sidecar_contract::paths;

use crate::names::Names;

/// Annotation: the Secret with the credentials of the user's own bucket, which `spec.store` of the
/// Recommender names.
pub const STORE_SECRET_ANNOTATION: &str = "recmesh.dev/store-secret";
/// The volume with the serving config.
const CONFIG_VOLUME: &str = "recmesh-proxy-config";
/// The volume with the store credentials.
const STORE_VOLUME: &str = "recmesh-proxy-store";
/// The volume for verified snapshots.
const CACHE_VOLUME: &str = "recmesh-proxy-cache";
/// Argument of the sidecar.
pub const ARGUMENT: &str = "--local";

/// The volumes. An app starts also without config and credentials, which the kubelet adds when they
/// exist; until then the sidecar forwards.
pub fn volumes(recommender: &str, store_secret: Option<&str>, cache_size: &str) -> [Value; 3] {
    let names = Names::new(recommender);
    let secret = store_secret.map_or_else(|| names.serve_secret(), str::to_owned);
    [
        json!({"name": CONFIG_VOLUME, "configMap": {"name": names.serving_config(), "optional": true}}),
        json!({"name": STORE_VOLUME, "secret": {"secretName": secret, "optional": true}}),
        json!({"name": CACHE_VOLUME, "emptyDir": {"sizeLimit": cache_size}}),
    ]
}

/// Their mounts.
pub fn mounts() -> [Value; 3] {
    [
        json!({"name": CONFIG_VOLUME, "mountPath": paths::SERVING_CONFIG_DIR, "readOnly": true}),
        json!({"name": STORE_VOLUME, "mountPath": paths::STORE_CREDENTIALS_DIR, "readOnly": true}),
        json!({"name": CACHE_VOLUME, "mountPath": paths::CACHE_DIR}),
    ]
}

/// Whether a text is an amount of memory: `^[1-9][0-9]{0,6}(Mi|Gi)$`, as in the chart's policy.
pub fn is_memory(text: &str) -> bool {
    let digits = text.strip_suffix("Mi").or_else(|| text.strip_suffix("Gi")).unwrap_or_default();
    (1..=7).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text may name a Secret: `^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`, as in the chart's
/// policy.
pub fn is_secret_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=253).contains(&text.len())
        && text.bytes().all(|byte| is_inner(byte) || b"-.".contains(&byte))
        && [text.bytes().next(), text.bytes().last()].into_iter().flatten().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_and_names_of_secrets() {
        for (text, expected) in
            [("1Mi", true), ("512Mi", true), ("9999999Gi", true), ("12345678Mi", false), ("0512Mi", false)]
        {
            assert_eq!(is_memory(text), expected, "{text}");
        }
        for text in ["", "Mi", "512", "512M", "1.5Gi", "-1Mi", "512Mi\n", "512MiMi"] {
            assert!(!is_memory(text), "{text}");
        }
        let longest = "a".repeat(253);
        for (text, expected) in [("a", true), ("my-bucket.1", true), (longest.as_str(), true), ("-a", false)] {
            assert_eq!(is_secret_name(text), expected, "{text}");
        }
        for text in ["", "a-", "A", "a/b", "a_b", &"a".repeat(254)] {
            assert!(!is_secret_name(text), "{text}");
        }
    }
}
